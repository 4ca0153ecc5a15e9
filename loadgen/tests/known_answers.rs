//! The tool against a server whose faults are known: it must find them, in
//! number. Times are asserted against wide bounds only.

use loadgen::benchmark::{self, Benchmark, Progress};
use loadgen::measure::{Board, Second, Watch};
use loadgen::mock::{Faults, Mock};
use loadgen::plan::{Arrival, Workload};
use loadgen::report::Report;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

struct Silent;

impl Watch for Silent {
    fn progress(&mut self, _: Duration, _: &Board, _: Option<&Second>) {}
}

impl Progress for Silent {
    fn say(&mut self, _: &str) {}
}

fn benchmark(mock: &Mock, members: u32, senders: u32, rate: f64, seconds: u64) -> Benchmark {
    Benchmark {
        target: mock.address(),
        members,
        workload: Workload {
            rate,
            senders,
            arrival: Arrival::Fixed,
            sizes: "64".parse().unwrap(),
            warmup: Duration::from_millis(200),
            duration: Duration::from_secs(seconds),
            seed: 1,
        },
        size_text: "64".into(),
        drain: Duration::from_secs(5),
        late: Duration::from_secs(1),
        join_rate: 5000.0,
        join_patience: Duration::from_secs(10),
        tx_threads: 1,
        rx_threads: 1,
        pin: None,
        receive_buffer: Some(1 << 20),
        server_pid: None,
        slos: Vec::new(),
    }
}

fn run(benchmark: &Benchmark) -> Report {
    benchmark::run(benchmark, &AtomicBool::new(false), &mut Silent).expect("the run ends with a report")
}

/// Within `share` of `wanted`.
fn near(found: u64, wanted: f64, share: f64) -> bool {
    (found as f64 - wanted).abs() <= wanted * share
}

#[test]
fn a_faultless_server_has_no_fault() {
    let mock = Mock::start(Faults::default()).unwrap();
    let report = run(&benchmark(&mock, 50, 5, 200.0, 2));
    assert_eq!(report.traffic.planned, 400);
    assert_eq!(report.traffic.sent, 400);
    assert_eq!(report.traffic.complete, 400);
    assert_eq!(report.traffic.delivered, 400 * 49);
    let counts = report.integrity;
    assert_eq!((counts.duplicate, counts.reordered, counts.corrupt, counts.unexpected), (0, 0, 0, 0));
    assert_eq!(report.loss.lost, 0);
    assert!(report.position.fit.is_some());
}

#[test]
fn one_copy_in_a_thousand_dropped() {
    let mock = Mock::start(Faults { drop: 0.001, ..Faults::default() }).unwrap();
    let report = run(&benchmark(&mock, 100, 10, 500.0, 4));
    let copies = 2000.0 * 99.0;
    assert!(near(report.loss.lost, copies * 0.001, 0.3), "{:?}", report.loss);
    assert_eq!(report.loss.unexplained, report.loss.lost);
    assert_eq!(
        report.traffic.complete + report.loss.lost,
        2000 + (report.loss.lost - (2000 - report.traffic.complete))
    );
}

#[test]
fn one_copy_in_five_hundred_sent_twice() {
    let mock = Mock::start(Faults { duplicate: 0.002, ..Faults::default() }).unwrap();
    let report = run(&benchmark(&mock, 100, 10, 500.0, 4));
    assert!(near(report.integrity.duplicate, 2000.0 * 99.0 * 0.002, 0.3), "{:?}", report.integrity);
    assert_eq!(report.traffic.delivered, 2000 * 99);
}

#[test]
fn one_message_in_a_hundred_swapped_with_its_neighbour() {
    let mock = Mock::start(Faults { swap: 0.01, ..Faults::default() }).unwrap();
    let report = run(&benchmark(&mock, 20, 1, 1000.0, 4));
    assert!(near(report.integrity.reordered, 4000.0 * 19.0 * 0.01, 0.5), "{:?}", report.integrity);
    assert_eq!(report.integrity.duplicate, 0);
}

#[test]
fn one_copy_in_two_hundred_damaged() {
    let mock = Mock::start(Faults { corrupt: 0.005, ..Faults::default() }).unwrap();
    let report = run(&benchmark(&mock, 50, 5, 500.0, 2));
    let wanted = 1000.0 * 49.0 * 0.005;
    assert!(near(report.integrity.corrupt, wanted * 1.1, 0.4), "{:?}", report.integrity);
    assert!(report.loss.lost <= report.integrity.corrupt);
}

#[test]
fn too_few_places_is_said_and_not_measured() {
    let mock = Mock::start(Faults { members_max: Some(7), ..Faults::default() }).unwrap();
    let mut limited = benchmark(&mock, 10, 1, 100.0, 1);
    limited.join_patience = Duration::from_secs(2);
    let refused = benchmark::run(&limited, &AtomicBool::new(false), &mut Silent).unwrap_err();
    assert!(refused.contains("only 7 of 10"), "{refused}");
}

#[test]
fn nobody_there_is_said_at_once() {
    let gone = Mock::start(Faults::default()).unwrap();
    let nobody = benchmark(&gone, 10, 1, 100.0, 1);
    drop(gone);
    let refused = benchmark::run(&nobody, &AtomicBool::new(false), &mut Silent).unwrap_err();
    assert!(refused.contains("port unreachable"), "{refused}");
}
