//! The flags that say what is measured, shared by run, sweep and search.

use crate::benchmark::{Benchmark, Progress};
use crate::child::Relay;
use crate::lossy::Flaws;
use crate::members::{Options, Protocol, Sockets, Venue};
use crate::plan::{Arrival, Sizes, Workload};
use crate::report::Slo;
use crate::scenario::{Scenario, Script};
use crate::trace::Trace;
use crate::units::{parse_bytes, parse_count, parse_duration, parse_scaled};
use clap::Args;
use outcry::client::AccessKey;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Args, Clone, Debug)]
pub(super) struct WorkloadArgs {
    /// Address of the server, as IP:PORT. Without it a relay is started on a
    /// free port of the loopback for the time of the run.
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    target: Option<SocketAddr>,

    /// What the server speaks; plain and native over UDP, nats, redis and mqtt over TCP, a
    /// connection per member.
    #[arg(long, value_enum, default_value = "plain")]
    protocol: Protocol,

    /// Members in all.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = parse_count)]
    clients: u32,

    /// How many of them send, spread evenly over all.
    #[arg(long, value_name = "M", default_value = "50", value_parser = parse_count)]
    senders: u32,

    /// When messages come: poisson, fixed, burst:COUNT@MS (--rate is ignored by burst).
    #[arg(long, default_value = "poisson")]
    arrival: Arrival,

    /// Bytes of a message, or sizes with weights as 64:9,1000:1.
    #[arg(long, default_value = "64")]
    size: String,

    /// Of the schedule: the same seed sends the same messages at the same times.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Sent before anything counts.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    warmup: Duration,

    /// Measure so often, each time with the next seed, and give confidence intervals.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    runs: u32,

    /// Do not find out first what the generator can receive here (a second).
    #[arg(long)]
    no_calibrate: bool,

    /// How long copies are waited for after the last message, at most.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    drain: Duration,

    /// A copy later than this counts as late.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    late: Duration,

    /// Joins per second; 5k, or 200k for --scenario storm.
    #[arg(long, value_name = "RATE", value_parser = parse_scaled)]
    join_rate: Option<f64>,

    /// What goes on besides messages.
    #[arg(long, value_enum, default_value = "steady")]
    scenario: Scenario,

    /// Share of the members that churn or do not read, where the scenario has such, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    aside: f64,

    /// Leaves and joins per second, for --scenario churn and soak.
    #[arg(long, value_name = "RATE", default_value = "50", value_parser = parse_scaled)]
    churn_rate: f64,

    /// How long the server is stopped, for --scenario stall.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = parse_duration)]
    stall: Duration,

    /// How members are made: auto, per-client (up to 16,000), shared:K (K sockets, an address
    /// 127.x.y.z per member, up to 1,000,000, never to be compared with per-client).
    #[arg(long, value_name = "KIND", default_value = "auto")]
    sockets: Sockets,

    /// Sending threads.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    tx_threads: u32,

    /// Receiving threads.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    rx_threads: u32,

    /// Pin the generator's threads to cores from this one on.
    #[arg(long, value_name = "CORE")]
    pin: Option<usize>,

    /// Receive buffer of each socket, as 256K or 4M.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    rcvbuf: Option<usize>,

    /// Receive trains whole (UDP_GRO): cheaper for server and generator where the
    /// server sends trains, so such results are labelled and compared with their like.
    #[arg(long)]
    gro: bool,

    /// Native members are in this room; in several, it is how their names begin.
    #[arg(long, value_name = "NAME", default_value = Venue::ROOM_DEFAULT)]
    room: String,

    /// Rooms that members are spread over evenly, for --scenario rooms.
    #[arg(long, value_name = "R", default_value = "1", value_parser = parse_count)]
    rooms: u32,

    /// File with the access key of the server, for native members.
    #[arg(long, value_name = "FILE")]
    access_key_file: Option<PathBuf>,

    /// Share of datagrams that a proxy on the way loses, each way, as 0.05. Such
    /// results are labelled and compared with their like.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    loss: f64,

    /// How many are lost in a row, on average.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    loss_burst: f64,

    /// Share of datagrams that the proxy delivers twice.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    duplicate: f64,

    /// Share of datagrams that the proxy holds for 1 to 5 ms, so that others overtake them.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    reorder: f64,

    /// The server's process on this host: its CPU per copy and its memory are reported.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// The server's OpenMetrics page (http only): losses are attributed by its
    /// counters, read before and after measuring.
    #[arg(long, value_name = "URL")]
    server_metrics: Option<String>,

    /// What must hold, else exit 1: p99=2ms, last.p99=5ms, loss=0, loss=0.1%. Repeatable.
    #[arg(long, value_name = "BOUND")]
    slo: Vec<Slo>,
}

/// How fast and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub rate: f64,
    pub in_flight: Option<u32>,
    pub duration: Duration,
}

/// Names are not looked up: what was measured should stand in the report.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, as 127.0.0.1:9999 or [::1]:9999".into())
}

impl WorkloadArgs {
    /// The benchmark that these flags ask for, at `pace`.
    pub(super) fn benchmark(&self, pace: Pace, trace: Option<Trace>) -> Result<Benchmark, String> {
        if !(0.0..100.0).contains(&self.aside) {
            return Err("--aside must be 0 or more percent, and below 100".into());
        }
        let script = Script {
            scenario: self.scenario,
            aside: self.aside / 100.0,
            churn_rate: self.churn_rate.max(0.001),
            stall: self.stall,
        };
        let benchmark = Benchmark {
            target: self.target.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into()),
            own_relay: self.target.is_none(),
            protocol: self.protocol,
            members: self.clients,
            sockets: self.sockets,
            script,
            size_text: if trace.is_some() { "as traced".into() } else { self.size.clone() },
            workload: self.workload(pace, trace)?,
            in_flight: pace.in_flight,
            runs: self.runs,
            calibrate: !self.no_calibrate,
            drain: self.drain,
            late: self.late,
            join_rate: self.join_rate.unwrap_or_else(|| script.join_rate()),
            join_patience: Duration::from_secs(10),
            tx_threads: self.tx_threads,
            rx_threads: self.rx_threads,
            pin: self.pin,
            venue: self.venue()?,
            flaws: self.flaws(),
            options: Options { receive_buffer: self.rcvbuf, gro: self.gro },
            // Known when the relay is started.
            server_pid: self.server_pid.or_else(|| self.target.is_none().then_some(0)),
            server_metrics: self.server_metrics.clone(),
            slos: self.slo.clone(),
        };
        benchmark.validate()?;
        Ok(benchmark)
    }

    /// For those who vary the rate.
    pub(super) fn refuse_own_rate(&self) -> Result<(), String> {
        match self.arrival {
            Arrival::Burst { .. } => {
                Err("--arrival burst has its own rate: take poisson or fixed, or `loadgen run`".into())
            }
            _ => Ok(()),
        }
    }

    /// For those who measure each point once.
    pub(super) fn refuse_runs(&self) -> Result<(), String> {
        if self.runs == 1 {
            Ok(())
        } else {
            Err("--runs is for `loadgen run`: here each point is measured once".into())
        }
    }

    /// Starts a relay for benchmarks that name no target. It ends with what is returned.
    pub(super) fn provide(
        &self,
        benchmarks: &mut [Benchmark],
        say: &mut dyn Progress,
    ) -> Result<Option<Relay>, String> {
        if self.target.is_some() {
            return Ok(None);
        }
        if !self.protocol.is_udp() {
            return Err(format!("--protocol {} needs --target: only outcry is started here", self.protocol));
        }
        let key = self.access_key_file.iter().flat_map(|file| ["--access-key-file".into(), file.display().to_string()]);
        let relay = Relay::start(self.clients, &key.collect::<Vec<String>>())?;
        for benchmark in benchmarks {
            benchmark.target = relay.address();
            benchmark.server_pid = Some(relay.pid());
        }
        say.say(&format!("no --target: started a relay at {} (process {})", relay.address(), relay.pid()));
        Ok(Some(relay))
    }

    fn venue(&self) -> Result<Venue, String> {
        let read =
            |file: &PathBuf| std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()));
        let key = self.access_key_file.as_ref().map(read).transpose()?;
        let access_key = key.map(|bytes| AccessKey::from_file(&bytes));
        Ok(Venue { room: self.room.clone(), rooms: self.rooms, access_key })
    }

    fn flaws(&self) -> Option<Flaws> {
        let asked = Flaws { loss: self.loss, burst: self.loss_burst, duplicate: self.duplicate, reorder: self.reorder };
        (asked != Flaws::default()).then_some(asked)
    }

    fn workload(&self, pace: Pace, trace: Option<Trace>) -> Result<Workload, String> {
        let senders = trace.as_ref().map_or(self.senders, Trace::senders);
        if trace.is_some() && senders > self.clients {
            return Err(format!("--trace names sender {}, and --clients are {}", senders - 1, self.clients));
        }
        Ok(Workload {
            rate: trace.as_ref().map_or(pace.rate, |trace| trace.rate(pace.duration)),
            senders,
            arrival: trace.map_or_else(|| self.arrival.clone(), |trace| Arrival::Trace(Arc::new(trace))),
            sizes: self.size.parse::<Sizes>()?,
            warmup: self.warmup,
            duration: pace.duration,
            seed: self.seed,
        })
    }
}
