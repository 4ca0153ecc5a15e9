//! `loadgen run`.

use super::Output;
use crate::benchmark::{self, Benchmark};
use crate::measure::{Board, Second, Watch};
use crate::members::{Protocol, Sockets};
use crate::plan::{Arrival, Sizes, Workload};
use crate::report::{self, Report, Slo};
use crate::scenario::{Scenario, Script};
use crate::units::{parse_bytes, parse_count, parse_duration, parse_scaled, show_count, show_ns};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

#[derive(Args)]
pub(super) struct RunArgs {
    /// Address of the server, as IP:PORT.
    #[arg(long, value_name = "ADDR")]
    target: SocketAddr,

    /// What the server speaks; nats, redis and mqtt over TCP, a connection per member.
    #[arg(long, value_enum, default_value = "plain")]
    protocol: Protocol,

    /// Members in all.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = parse_count)]
    clients: u32,

    /// How many of them send, spread evenly over all.
    #[arg(long, value_name = "M", default_value = "50", value_parser = parse_count)]
    senders: u32,

    /// Messages per second of all senders together, as 200 or 2k.
    #[arg(long, default_value = "200", value_parser = parse_scaled)]
    rate: f64,

    /// Closed loop: keep W messages outstanding instead of following --rate.
    #[arg(long, value_name = "W", value_parser = parse_count, conflicts_with = "rate")]
    in_flight: Option<u32>,

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

    /// What counts.
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = parse_duration)]
    duration: Duration,

    /// Measure so often, each time with the next seed, and give confidence intervals.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    runs: u32,

    /// Do not find out first what the generator can receive here (half a second).
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

    /// The server's process on this host: its CPU per copy and its memory are reported.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// What must hold, else exit 1: p99=2ms, last.p99=5ms, loss=0, loss=0.1%. Repeatable.
    #[arg(long, value_name = "BOUND")]
    slo: Vec<Slo>,

    /// How results are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl RunArgs {
    fn benchmark(&self) -> Result<Benchmark, String> {
        let workload = Workload {
            rate: self.rate,
            senders: self.senders,
            arrival: self.arrival,
            sizes: self.size.parse::<Sizes>()?,
            warmup: self.warmup,
            duration: self.duration,
            seed: self.seed,
        };
        let script = Script {
            scenario: self.scenario,
            aside: (self.aside / 100.0).clamp(0.0, 1.0),
            churn_rate: self.churn_rate.max(0.001),
            stall: self.stall,
        };
        let benchmark = Benchmark {
            target: self.target,
            protocol: self.protocol,
            members: self.clients,
            sockets: self.sockets,
            script,
            workload,
            in_flight: self.in_flight,
            runs: self.runs,
            calibrate: !self.no_calibrate,
            size_text: self.size.clone(),
            drain: self.drain,
            late: self.late,
            join_rate: self.join_rate.unwrap_or_else(|| script.join_rate()),
            join_patience: Duration::from_secs(10),
            tx_threads: self.tx_threads,
            rx_threads: self.rx_threads,
            pin: self.pin,
            receive_buffer: self.rcvbuf,
            server_pid: self.server_pid,
            slos: self.slo.clone(),
        };
        benchmark.validate()?;
        Ok(benchmark)
    }
}

/// Runs and prints; the exit code, or what was wrong.
pub(super) fn run(args: &RunArgs) -> Result<u8, String> {
    let benchmark = args.benchmark()?;
    let interrupt = interrupt_flag()?;
    let report = benchmark::run(&benchmark, &interrupt, &mut Lines::default())?;
    print(&report, args.output)?;
    Ok(report.verdict.exit_code())
}

fn print(report: &Report, output: Output) -> Result<(), String> {
    let text = match output {
        Output::Json => serde_json::to_string_pretty(report).map_err(|error| error.to_string())?,
        Output::Text => {
            let mut text = String::new();
            report::print(report, &mut text).map_err(|error| error.to_string())?;
            text.trim_end().to_string()
        }
    };
    println!("{text}");
    Ok(())
}

/// Set by the first SIGINT or SIGTERM; a second one ends the process at once.
fn interrupt_flag() -> Result<Arc<AtomicBool>, String> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let ends = signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone());
        ends.and_then(|_| signal_hook::flag::register(signal, flag.clone()))
            .map_err(|error| format!("cannot watch for signals: {error}"))?;
    }
    Ok(flag)
}

/// Progress as plain lines on stderr.
#[derive(Default)]
struct Lines {
    started: bool,
}

impl benchmark::Progress for Lines {
    fn say(&mut self, line: &str) {
        eprintln!("{line}");
    }
}

impl Watch for Lines {
    fn progress(&mut self, elapsed: Duration, board: &Board, second: Option<&Second>) {
        if !self.started {
            self.started = true;
            eprintln!("sending, warm-up first; Ctrl-C ends early and still reports");
        }
        let Some(second) = second else { return };
        eprintln!(
            "[{:>5.1} s] sent {}  delivered {}/s  p50 {}  p99 {}  max {}",
            elapsed.as_secs_f64(),
            show_count(board.sent()),
            show_count(second.copies),
            show_ns(second.p50_ns as f64),
            show_ns(second.p99_ns as f64),
            show_ns(second.max_ns as f64),
        );
    }
}
