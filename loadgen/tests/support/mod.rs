//! What the tests of this crate share: a small benchmark against the mock.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of several test files")]

pub(crate) mod crowd;
pub(crate) mod narrow;
pub(crate) mod relay;

use loadgen::benchmark::{Benchmark, Progress};
use loadgen::measure::{Board, Second, Watch};
use loadgen::members::{Options, Protocol, Sockets, Venue};
use loadgen::mock::Mock;
use loadgen::plan::{Arrival, Workload};
use loadgen::report::Report;
use loadgen::scenario::Script;
use loadgen::stage;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub(crate) struct Silent;

impl Watch for Silent {
    fn progress(&mut self, _: Duration, _: &Board, _: Option<&Second>) {}
}

impl Progress for Silent {
    fn say(&mut self, _: &str) {}
}

pub(crate) fn benchmark(mock: &Mock, members: u32, senders: u32, rate: f64, seconds: u64) -> Benchmark {
    benchmark_of(mock.address(), members, senders, rate, seconds)
}

pub(crate) fn benchmark_of(target: SocketAddr, members: u32, senders: u32, rate: f64, seconds: u64) -> Benchmark {
    Benchmark {
        target,
        protocol: Protocol::Plain,
        members,
        own_relay: false,
        sockets: Sockets::Auto,
        script: Script::default(),
        workload: Workload {
            rate,
            senders,
            arrival: Arrival::Fixed,
            sizes: "64".parse().unwrap(),
            warmup: Duration::from_millis(200),
            duration: Duration::from_secs(seconds),
            seed: 1,
        },
        in_flight: None,
        runs: 1,
        calibrate: false,
        size_text: "64".into(),
        drain: Duration::from_secs(5),
        late: Duration::from_secs(1),
        join_rate: 5000.0,
        join_patience: Duration::from_secs(10),
        tx_threads: 1,
        rx_threads: 1,
        pin: None,
        venue: Venue::default(),
        flaws: None,
        options: Options { receive_buffer: Some(1 << 20), gro: false },
        server_pid: None,
        server_metrics: None,
        slos: Vec::new(),
    }
}

pub(crate) fn run(benchmark: &Benchmark) -> Report {
    stage::run(benchmark, &AtomicBool::new(false), &mut Silent).expect("the run ends with a report")
}
