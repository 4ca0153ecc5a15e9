//! One run from the first socket to the report: join, measure, look at server
//! and kernel, judge.

use crate::check::Surroundings;
use crate::clock::{self, Clock};
use crate::machine::{drops, environment::CoreTime, server};
use crate::measure::{self, Measurement, Settings, Watch};
use crate::members::{Transport, plain, udp};
use crate::payload;
use crate::plan::{Plan, Workload};
use crate::report::{Context, JoinFigures, Report, Server, Setup, Slo};
use crate::session::{Joining, Session};
use crate::units::{show_count, show_ns};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Everything one run is told.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// The server.
    pub target: SocketAddr,
    /// Members in all.
    pub members: u32,
    /// What is sent.
    pub workload: Workload,
    /// The sizes as written, for the report.
    pub size_text: String,
    /// How long copies are waited for.
    pub drain: Duration,
    /// What is late.
    pub late: Duration,
    /// Joins per second.
    pub join_rate: f64,
    /// When to give up joining, if nobody new came in for so long.
    pub join_patience: Duration,
    /// Sending threads.
    pub tx_threads: u32,
    /// Receiving threads.
    pub rx_threads: u32,
    /// First core of the generator.
    pub pin: Option<usize>,
    /// Receive buffer of each socket.
    pub receive_buffer: Option<usize>,
    /// The server's process.
    pub server_pid: Option<u32>,
    /// What must hold.
    pub slos: Vec<Slo>,
}

/// Told what a run is doing.
pub trait Progress: Watch {
    /// One line for people.
    fn say(&mut self, line: &str);
}

impl Benchmark {
    /// Refuses what cannot be measured, with what would be right.
    pub fn validate(&self) -> Result<(), String> {
        let workload = &self.workload;
        if self.members < 2 {
            return Err("--clients must be at least 2: one speaks, one hears".into());
        }
        if workload.senders == 0 || workload.senders > self.members {
            return Err(format!("--senders must be 1 to {} (--clients)", self.members));
        }
        if workload.rate <= 0.0 {
            return Err("--rate must be above 0".into());
        }
        if self.join_rate <= 0.0 {
            return Err("--join-rate must be above 0".into());
        }
        if workload.duration.is_zero() {
            return Err("--duration must be above 0".into());
        }
        if !(1..=64).contains(&self.rx_threads) || !(1..=64).contains(&self.tx_threads) {
            return Err("--tx-threads and --rx-threads must be 1 to 64".into());
        }
        let needed = plain::name(self.members - 1).len() + payload::OVERHEAD_BYTES;
        if usize::from(workload.sizes.least()) < needed {
            return Err(format!("--size must be at least {needed}: name, time stamp and checksum need that"));
        }
        Ok(())
    }

    fn settings(&self, run: u32) -> Settings {
        Settings {
            run,
            senders: self.workload.senders,
            tx_threads: self.tx_threads,
            rx_threads: self.rx_threads,
            pin: self.pin,
            late: self.late,
            drain_max: self.drain,
        }
    }

    fn setup(&self, made: String, run: &Measurement) -> Setup {
        Setup {
            target: self.target.to_string(),
            protocol: "plain".into(),
            members: self.members,
            members_made: made,
            senders: self.workload.senders,
            rate: self.workload.rate,
            arrival: format!("{:?}", self.workload.arrival).to_lowercase(),
            size: self.size_text.clone(),
            seed: self.workload.seed,
            warmup_ns: self.workload.warmup.as_nanos() as u64,
            duration_ns: run.duration_ns,
            late_ns: self.late.as_nanos() as u64,
        }
    }
}

/// Runs it.
pub fn run(benchmark: &Benchmark, interrupt: &AtomicBool, progress: &mut impl Progress) -> Result<Report, String> {
    let clock = Clock::start();
    let plan = Plan::new(&benchmark.workload)?;
    let looker = Looker::new(benchmark)?;
    let before = looker.look()?;
    let transport = open(benchmark)?;
    let made = transport.label();
    let own_ports: HashSet<u16> = transport.udp_ports().into_iter().collect();
    let run_id = run_id();
    let session = Session::new(transport, clock, run_id);
    progress.say(&format!("joining {} members at {}", show_count(benchmark.members.into()), benchmark.target));
    let joining =
        Joining { rate: benchmark.join_rate, patience: benchmark.join_patience, rx_threads: benchmark.rx_threads };
    let joined = session.join(&joining, interrupt, |_| ())?;
    progress.say(&format!("all members proven in {}", show_ns(joined.elapsed.as_nanos() as f64)));
    let at_start = looker.look()?;
    let drops_at_start = drops::udp_drops(&own_ports);
    let settings = benchmark.settings(run_id);
    let run = measure::measure(&session.transport, &plan, &settings, clock, interrupt, progress)?;
    let at_end = looker.look()?;
    let around = Surroundings {
        generator_drops: drops::udp_drops(&own_ports).saturating_sub(drops_at_start),
        stolen: at_end.cores.stolen_since(&at_start.cores),
        alive: session.count_alive(benchmark.rx_threads)?,
        members: benchmark.members,
        ceiling: None,
    };
    session.leave();
    Ok(Report::new(
        &run,
        Context {
            setup: benchmark.setup(made, &run),
            join: JoinFigures { elapsed_ns: joined.elapsed.as_nanos() as u64, repeated: joined.repeated },
            server: looker.server(&before, &at_start, &at_end, &run),
            around,
            server_drops: at_end.server_drops.saturating_sub(at_start.server_drops),
            name_of: plain::name,
            slos: benchmark.slos.clone(),
        },
    ))
}

fn open(benchmark: &Benchmark) -> Result<Arc<dyn Transport>, String> {
    let members = udp::PerClient::open(benchmark.target, benchmark.members, benchmark.receive_buffer)?;
    Ok(Arc::new(members))
}

fn run_id() -> u32 {
    let bits = clock::entropy();
    (bits ^ (bits >> 32)) as u32
}

/// Looks at the server from outside.
struct Looker {
    pid: Option<u32>,
    /// The server's port, where the server is on this host.
    port: HashSet<u16>,
}

/// What was seen at one moment.
struct Look {
    sample: Option<server::Sample>,
    server_drops: u64,
    cores: CoreTime,
}

impl Looker {
    fn new(benchmark: &Benchmark) -> Result<Self, String> {
        let local = benchmark.target.ip().is_loopback() || benchmark.server_pid.is_some();
        let port = local.then(|| benchmark.target.port()).into_iter().collect();
        Ok(Self { pid: benchmark.server_pid, port })
    }

    fn look(&self) -> Result<Look, String> {
        let sample = self.pid.map(server::sample).transpose()?;
        Ok(Look { sample, server_drops: drops::udp_drops(&self.port), cores: CoreTime::now() })
    }

    fn server(&self, before: &Look, start: &Look, end: &Look, run: &Measurement) -> Option<Server> {
        let (pid, before, start, end) = (self.pid?, before.sample?, start.sample?, end.sample?);
        let used = server::used(&start, &end);
        Some(Server {
            pid,
            cpu_ns: used.cpu_ns,
            user_share: used.user_share,
            utilisation: used.cpu_ns as f64 / run.sending_ns.max(1) as f64,
            ns_per_copy: used.cpu_ns as f64 / run.copies_with_warmup.max(1) as f64,
            rss_before: before.rss_bytes,
            rss_joined: start.rss_bytes,
            rss_end: end.rss_bytes,
        })
    }
}
