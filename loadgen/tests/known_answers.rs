//! The tool against a server whose faults are known: it must find them, in
//! number. Times are asserted against wide bounds only.

mod support;

use loadgen::benchmark::Benchmark;
use loadgen::check::State;
use loadgen::members::{Options, Sockets};
use loadgen::mock::{Faults, Mock};
use loadgen::plan::Arrival;
use loadgen::scenario::{Scenario, Script};
use loadgen::stage;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{Silent, benchmark, run};

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
    assert!(near(report.loss.unexplained, copies * 0.001, 0.3), "{:?}", report.loss);
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
    let refused = stage::run(&limited, &AtomicBool::new(false), &mut Silent).unwrap_err();
    assert!(refused.contains("only 7 of 10"), "{refused}");
}

#[test]
fn nobody_there_is_said_at_once() {
    let gone = Mock::start(Faults::default()).unwrap();
    let nobody = benchmark(&gone, 10, 1, 100.0, 1);
    drop(gone);
    let refused = stage::run(&nobody, &AtomicBool::new(false), &mut Silent).unwrap_err();
    assert!(refused.contains("port unreachable"), "{refused}");
}

#[test]
fn five_milliseconds_more_are_five_milliseconds() {
    let mock = Mock::start(Faults { delay: Duration::from_millis(5), ..Faults::default() }).unwrap();
    let report = run(&benchmark(&mock, 10, 2, 100.0, 2));
    let delivery = &report.latency[0];
    // Never less, on however busy a machine; exactly so in virtual time.
    assert!(delivery.min.ns().unwrap() >= 5e6, "{delivery:?}");
    assert_eq!(report.traffic.complete, 200);
}

/// That it is found at all; the exact slope is a test in virtual time, because
/// on a busy machine the mock itself falls behind its delays.
#[test]
fn the_slope_of_a_delay_that_grows_with_rank() {
    let mock = Mock::start(Faults { per_rank: Duration::from_micros(500), ..Faults::default() }).unwrap();
    let report = run(&benchmark(&mock, 100, 1, 10.0, 2));
    assert_eq!((report.position.points.len(), report.loss.lost), (99, 0));
    assert!(report.position.fit.unwrap().slope_ns > 0.0, "{:?}", report.position.fit);
}

#[test]
fn a_stopped_server_shows_in_the_maximum() {
    let stop = Some((Duration::from_secs(1), Duration::from_millis(500)));
    let mock = Mock::start(Faults { stop, ..Faults::default() }).unwrap();
    let report = run(&benchmark(&mock, 10, 2, 100.0, 3));
    let max = report.latency[0].max.ns().unwrap();
    assert!((0.45e9..5e9).contains(&max), "{max}");
    assert_eq!(report.loss.lost, 0);
    let behind =
        report.delivery_histogram.iter().filter(|(ns, _)| *ns > 50_000_000).map(|(_, count)| count).sum::<u64>();
    assert!(behind >= 45 * 9, "open loop: every message planned in the stop waited, {behind} copies did");
}

#[test]
fn a_closed_loop_keeps_its_depth_and_loses_nothing() {
    let mock = Mock::start(Faults::default()).unwrap();
    let closed = Benchmark { in_flight: Some(4), runs: 3, ..benchmark(&mock, 20, 5, 1.0, 1) };
    let report = run(&closed);
    assert_eq!(report.runs.len(), 3);
    assert!(report.traffic.sent > 100 && report.traffic.complete == report.traffic.sent, "{:?}", report.traffic);
    assert!(report.intervals.iter().any(|interval| interval.half_width.is_some()));
    assert_eq!((report.setup.rate, report.setup.in_flight), (None, Some(4)));
}

#[test]
fn an_interrupt_ends_early_and_still_reports() {
    let mock = Mock::start(Faults::default()).unwrap();
    let long = benchmark(&mock, 10, 2, 100.0, 3600);
    let interrupt = Arc::new(AtomicBool::new(false));
    let flag = interrupt.clone();
    let after = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        flag.store(true, Ordering::Relaxed);
    });
    let report = stage::run(&long, &interrupt, &mut Silent).unwrap();
    after.join().unwrap();
    assert!(report.verdict.interrupted);
    assert!(report.traffic.sent > 10 && report.traffic.complete == report.traffic.sent, "{:?}", report.traffic);
}

#[test]
fn the_reflector_finds_a_ceiling() {
    let mock = Mock::start(Faults::default()).unwrap();
    let report = run(&Benchmark { calibrate: true, ..benchmark(&mock, 50, 5, 50.0, 1) });
    assert!(report.ceiling.unwrap() > 1000.0);
    assert_eq!(report.gates.len(), 7);
}

#[test]
fn members_that_share_sockets_are_members_all_the_same() {
    let mock = Mock::start(Faults { drop: 0.01, ..Faults::default() }).unwrap();
    let of_their_own = benchmark(&mock, 101, 10, 200.0, 2);
    let shared = Benchmark { sockets: Sockets::Shared(2), rx_threads: 2, options: Options::default(), ..of_their_own };
    let report = run(&shared);
    assert!(report.setup.members_made.contains("SHARED"));
    assert_eq!(report.traffic.expected, 400 * 100);
    // A starved generator may lose some itself; it must say so and not blame the mock.
    assert!(near(report.loss.unexplained, 400.0, 0.3), "{:?}", report.loss);
    assert_eq!((report.integrity.unexpected, report.integrity.duplicate), (0, 0));
}

#[test]
fn members_that_churn_do_not_count_and_cost_nothing() {
    let mock = Mock::start(Faults::default()).unwrap();
    let script = Script { scenario: Scenario::Churn, aside: 0.2, churn_rate: 100.0, ..Script::default() };
    let report = run(&Benchmark { script, ..benchmark(&mock, 50, 5, 100.0, 2) });
    assert_eq!((report.traffic.delivered, report.loss.lost), (200 * 39, 0));
    assert!(report.integrity.aside > 200 && report.integrity.unexpected == 0, "{:?}", report.integrity);
}

#[test]
fn members_that_do_not_read_do_not_count() {
    let mock = Mock::start(Faults::default()).unwrap();
    let script = Script { scenario: Scenario::Slow, aside: 0.2, ..Script::default() };
    let report = run(&Benchmark { script, ..benchmark(&mock, 50, 5, 100.0, 1) });
    assert_eq!((report.traffic.delivered, report.loss.lost), (100 * 39, 0));
    assert!(report.gates.iter().all(|gate| !gate.name.contains("alive") || gate.state == State::Ok));
}

#[test]
fn a_burst_is_a_burst() {
    let mock = Mock::start(Faults::default()).unwrap();
    let script = Script { scenario: Scenario::Burst, ..Script::default() };
    let mut bursts = benchmark(&mock, 10, 2, 20.0, 2);
    bursts.workload.arrival = Arrival::Poisson;
    let report = run(&Benchmark { script, ..bursts });
    assert_eq!((report.setup.arrival.as_str(), report.traffic.sent), ("burst:20@1000", 40));
}
