//! Native members against this workspace's relay: known answers where nothing
//! is lost, rooms that keep to themselves, what shared sockets, trains, keys
//! and closed loops change, and what a relay that stands still does not.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use loadgen::benchmark::Benchmark;
use loadgen::child::Relay;
use loadgen::lossy::Flaws;
use loadgen::members::{Options, Protocol, Sockets, Venue};
use loadgen::report::Report;
use loadgen::scenario::{Scenario, Script};
use loadgen::search;
use loadgen::stage;
use outcry::client::AccessKey;
use outcry::config::Limits;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use support::relay::Served;
use support::{Silent, benchmark_of, run};

fn native(served: &Served, members: u32, senders: u32, rate: f64, seconds: u64) -> Benchmark {
    Benchmark { protocol: Protocol::Native, ..benchmark_of(served.address(), members, senders, rate, seconds) }
}

/// All that was sent came to all it was for, and every sender knows.
#[track_caller]
fn is_faultless(report: &Report, sent: u64, receivers: u64) {
    assert_eq!((report.traffic.sent, report.traffic.complete), (sent, sent), "{:?}", report.traffic);
    assert_eq!(report.traffic.delivered, sent * receivers);
    let counts = report.integrity;
    let wrong = counts.duplicate + counts.reordered + counts.corrupt + counts.unexpected + counts.notices;
    assert_eq!(wrong, 0, "{counts:?}");
    let native = report.native.unwrap();
    assert!(native.accepted >= sent, "{native:?}");
    assert_eq!((native.not_sent, native.open, native.gone, native.malformed), (0, 0, 0, 0), "{native:?}");
}

#[test]
fn every_copy_comes_once_and_every_sender_is_told() {
    let served = Served::start();
    let calibrated = Benchmark { calibrate: true, rx_threads: 2, ..native(&served, 31, 5, 100.0, 2) };
    let report = run(&calibrated);
    is_faultless(&report, 200, 30);
    assert!(report.ceiling.unwrap() > 1000.0);
    assert_eq!(report.setup.members_made, "one UDP socket per member; native clients, room loadgen");
    let alive = report.gates.iter().find(|gate| gate.name.contains("alive")).unwrap();
    assert_eq!(alive.value, "31 of 31");
}

#[test]
fn a_closed_loop_counts_a_message_when_the_last_receiver_has_it() {
    let served = Served::start();
    let report = run(&Benchmark { in_flight: Some(8), ..native(&served, 20, 5, 1.0, 1) });
    assert!(report.traffic.sent > 50, "{:?}", report.traffic);
    is_faultless(&report, report.traffic.sent, 19);
}

#[test]
fn shared_sockets_and_trains_carry_clients_too() {
    let served = Served::start();
    let options = Options { receive_buffer: Some(4 << 20), gro: true };
    let shared = Benchmark { sockets: Sockets::Shared(2), options, ..native(&served, 30, 5, 100.0, 1) };
    let report = run(&shared);
    is_faultless(&report, 100, 29);
    assert!(report.setup.members_made.contains("SHARED:") && report.setup.members_made.contains("GRO:"));
}

#[test]
fn what_is_said_in_a_room_is_heard_there_and_nowhere_else() {
    let served = Served::start();
    let script = Script { scenario: Scenario::Rooms, ..Script::default() };
    let venue = Venue { rooms: 5, ..Venue::default() };
    let report = run(&Benchmark { script, venue, ..native(&served, 50, 10, 100.0, 2) });
    is_faultless(&report, 200, 9);
    let rooms = report.rooms.unwrap();
    assert_eq!((rooms.rooms.len(), rooms.size, rooms.leaked), (5, 10, 0));
    assert_eq!(rooms.rooms.iter().map(|room| room.delivered).sum::<u64>(), 1800);
    assert!(rooms.rooms.iter().all(|room| room.sent > 0 && room.complete == room.sent));
}

#[test]
fn rooms_that_do_not_come_out_even_are_refused() {
    let served = Served::start();
    let script = Script { scenario: Scenario::Rooms, ..Script::default() };
    for (rooms, senders) in [(1, 5), (7, 7), (5, 4), (30, 30)] {
        let venue = Venue { rooms, ..Venue::default() };
        let uneven = Benchmark { script, venue, ..native(&served, 50, senders, 100.0, 1) };
        assert!(uneven.validate().unwrap_err().contains("--rooms"), "{rooms} rooms, {senders} senders");
    }
}

#[test]
fn the_access_key_lets_in_and_without_it_the_relays_reason_is_told() {
    let bytes = b"sixteen bytes and a few more";
    let bind = "127.0.0.1:0".parse().unwrap();
    let access_key = Some(outcry::config::AccessKey::from_file(bytes).unwrap());
    let served = Served::with(Limits { access_key, ..Limits::for_bind(bind) });
    let venue = Venue { access_key: Some(AccessKey::from_file(bytes)), ..Venue::default() };
    is_faultless(&run(&Benchmark { venue, ..native(&served, 5, 2, 50.0, 1) }), 50, 4);
    let locked_out = Benchmark { join_patience: Duration::from_secs(1), ..native(&served, 5, 2, 50.0, 1) };
    let refused = stage::run(&locked_out, &AtomicBool::new(false), &mut Silent).unwrap_err();
    assert!(refused.contains("closed (Code(Access))"), "{refused}");
}

#[test]
fn members_that_churn_come_back_and_the_others_miss_nothing() {
    let served = Served::start();
    let script = Script { scenario: Scenario::Churn, aside: 0.2, churn_rate: 40.0, ..Script::default() };
    let report = run(&Benchmark { script, ..native(&served, 30, 5, 100.0, 2) });
    is_faultless(&report, 200, 23);
}

#[test]
fn a_lossy_path_costs_time_and_nothing_else_and_is_told_everywhere() {
    let served = Served::start();
    let flaws = Some(Flaws { loss: 0.05, ..Flaws::default() });
    let lossy = Benchmark { flaws, drain: Duration::from_secs(30), ..native(&served, 20, 4, 100.0, 2) };
    let report = run(&lossy);
    is_faultless(&report, 200, 19);
    let (native, path) = (report.native.unwrap(), report.path.unwrap());
    assert!(native.nacks > 0 && native.alone > 0 && path.lost > 0, "{native:?} {path:?}");
    assert!(report.setup.members_made.contains("LOSSY: 5 % of datagrams lost each way"));
    let mut text = String::new();
    loadgen::report::print(&report, &mut text).unwrap();
    assert!(text.contains("LOSSY:") && text.contains("\npath ") && text.contains("\nrepair "), "{text}");
}

/// T22: what waits in the queue of a relay that stands still and what it drops
/// is sent again until it is there.
#[test]
fn a_relay_that_stands_still_for_two_seconds_loses_nothing() {
    let Ok(relay) = Relay::start(100, &["--rcvbuf".into(), "64K".into()]) else {
        println!("SKIPPED: the relay is not built (cargo build --workspace)");
        return;
    };
    let stall = Duration::from_secs(2);
    let stalled = Benchmark {
        protocol: Protocol::Native,
        script: Script { scenario: Scenario::Stall, stall, ..Script::default() },
        server_pid: Some(relay.pid()),
        drain: Duration::from_secs(30),
        ..benchmark_of(relay.address(), 20, 5, 200.0, 6)
    };
    let report = run(&stalled);
    is_faultless(&report, 1200, 19);
    assert!(report.native.unwrap().resends > 0, "{:?}", report.native);
}

/// Where nothing is lost the highest rate tried is the answer, unless this machine is busy: then no
/// trial may be said to have failed for another reason.
#[test]
fn a_search_doubles_looks_below_and_blames_nobody_else() {
    let served = Served::start();
    let slos = vec!["loss=0".parse().unwrap(), "p50=900ms".parse().unwrap()];
    let from_50 = Benchmark { slos, ..native(&served, 20, 4, 50.0, 1) };
    let found = search::search(&from_50, 100.0, 0.5, &AtomicBool::new(false), &mut Silent).unwrap();
    assert!(found.trials.iter().all(|trial| trial.loss == 0.0 && !trial.missed), "{found:?}");
    assert_eq!(found.cut, None);
    match found.rate {
        Some(rate) if !found.limited_by_generator => assert_eq!((rate, found.below.len()), (100.0, 3)),
        _ => assert!(found.limited_by_generator, "{found:?}"),
    }
}

/// A limit of the relay's is found: who says more is told to wait, and what is said up to a
/// second's worth at once goes through.
#[test]
fn a_search_finds_what_a_relay_allows() {
    let bind = "127.0.0.1:0".parse().unwrap();
    let served = Served::with(Limits { msgs_per_s: 40, ..Limits::for_bind(bind) });
    let slos = vec!["p50=200ms".parse().unwrap()];
    let one = Benchmark { slos, drain: Duration::from_secs(30), ..native(&served, 5, 1, 40.0, 1) };
    let found = search::search(&one, 320.0, 1.5, &AtomicBool::new(false), &mut Silent).unwrap();
    let kept = found.trials.iter().filter(|trial| !trial.missed).filter_map(|trial| trial.rate);
    let missed = found.trials.iter().filter(|trial| trial.missed).filter_map(|trial| trial.rate);
    let (most, least) = (kept.fold(0.0, f64::max), missed.fold(f64::INFINITY, f64::min));
    assert!((40.0..=80.0).contains(&most), "{found:?}");
    assert!(least == 160.0 || found.limited_by_generator, "{found:?}");
}
