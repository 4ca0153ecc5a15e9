//! What native members live through: their relay is killed and started again
//! (T28), strangers flood it while members come (T26), and one of many has a
//! narrow link (the live half of T19).

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use loadgen::benchmark::Benchmark;
use loadgen::child::Relay;
use loadgen::members::Transport;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outcry::metrics::DropReason;
use outcry::wire::handshake::{Cookie, Hello};
use outcry::wire::header::HELLO_BYTES_MIN;
use outcry::wire::id::{Ccid, Instance, Nonce};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::crowd::{Crowd, until};
use support::narrow::Narrow;
use support::relay::Served;
use support::{benchmark_of, run};

/// T28. A message is safe when its sender was told of it; the others are sent
/// again to whatever relay is there next.
#[test]
fn what_a_killed_relay_did_not_acknowledge_arrives_at_the_next_one() {
    const MEMBERS: u32 = 10;
    let Ok(relay) = Relay::start(100, &[]) else {
        println!("SKIPPED: the relay is not built (cargo build --workspace)");
        return;
    };
    let address = relay.address();
    let mut crowd = Crowd::towards(address, MEMBERS);
    crowd.join(0..MEMBERS);
    assert!(until(|| crowd.joined(0..MEMBERS) == MEMBERS as usize), "all come in");
    crowd.chat(200, 200.0);
    // In the middle of a burst: some of it is under way.
    (0..MEMBERS).for_each(|member| crowd.say(member));
    kill(Pid::from_raw(relay.pid() as i32), Signal::SIGKILL).unwrap();
    drop(relay);
    let safe = crowd.acknowledged();
    crowd.chat(100, 200.0);
    let _next = Relay::start_at(address, 100, &[]).unwrap();
    crowd.chat(200, 200.0);
    let open = |crowd: &Crowd| crowd.figures().open;
    assert!(until(|| open(&crowd) == 0), "every sender learns what became of its messages; open {}", open(&crowd));
    let everything = 0..crowd.sent.len() as u32;
    for member in 0..MEMBERS as usize {
        let missed =
            || everything.clone().filter(|at| !safe.contains(at) && !crowd.heard_by(member).contains(at)).count();
        assert!(until(|| missed() == 0), "u{member} misses {} messages", missed());
    }
    assert_eq!(crowd.figures().not_sent, 0);
    assert!(crowd.logs.iter().all(|log| log.lock().unwrap().sessions >= 2), "a new session each");
}

/// A bound on the flood: far more than can be sent while newcomers come in.
const HELLOS_MAX: u64 = 20_000_000;

/// Says HELLO from several addresses, each time as somebody else, until told
/// to stop, but not for ever. Returns how often.
fn flood(target: SocketAddr, is_over: &AtomicBool) -> u64 {
    let sockets: Vec<UdpSocket> = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let mut datagram = [0; HELLO_BYTES_MIN];
    for number in 0..HELLOS_MAX {
        if is_over.load(Ordering::Relaxed) {
            return number;
        }
        let (ccid, nonce, instance) = (Ccid(number), Nonce(number), Instance(number));
        let hello = Hello { ccid, nonce, cookie: Cookie::default(), instance, proof: None, name: "flood" };
        let len = hello.encode(&mut datagram);
        // What is not taken was not sent: it is a flood all the same.
        let _ = sockets[number as usize % sockets.len()].send_to(&datagram[..len], target);
    }
    HELLOS_MAX
}

/// T26.
#[test]
fn a_flood_of_hellos_drops_nobody_and_keeps_nobody_out() {
    const HONEST: u32 = 100;
    const NEWCOMERS: u32 = 20;
    let served = Served::start();
    let mut crowd = Crowd::of(&served, HONEST);
    let newcomers = Crowd::towards(served.address(), NEWCOMERS);
    let address = served.address();
    let is_over = Arc::new(AtomicBool::new(false));
    let until_then = Arc::clone(&is_over);
    let flooding = std::thread::spawn(move || flood(address, &until_then));
    newcomers.join(0..NEWCOMERS);
    crowd.chat(100, 100.0);
    // Clients give the first HELLO up after 15 s: who is in by then was let in in time.
    let came = || newcomers.joined(0..NEWCOMERS);
    until(|| came() == NEWCOMERS as usize || newcomers.native.complaint().is_some());
    // Counted before the flood ends: it lasted as long as anybody was outside.
    let in_the_flood = came();
    is_over.store(true, Ordering::Relaxed);
    let hellos = flooding.join().unwrap();
    assert!(in_the_flood >= 18, "{in_the_flood} of {NEWCOMERS} came in during the flood");
    assert!(hellos < HELLOS_MAX, "the flood ended before they were in");
    crowd.settle();
    let figures = crowd.figures();
    let sessions: usize = crowd.logs.iter().map(|log| log.lock().unwrap().sessions).sum();
    assert_eq!((sessions, figures.not_sent, figures.gone), (HONEST as usize, 0, 0), "nobody was dropped: {figures:?}");
    drop((crowd, newcomers));
    let counters = served.end().counters;
    println!("{hellos} HELLOs\n{:?}", counters.native);
    assert!(counters.dropped(DropReason::HelloFlood) > 0, "more HELLOs came than are answered");
    assert!(counters.balances());
}

/// What was measured before the end of the server is reported, and nobody blames the generator.
#[test]
fn a_server_that_dies_is_told_and_what_came_before_it_is_kept() {
    let Ok(relay) = Relay::start(100, &[]) else {
        println!("SKIPPED: the relay is not built (cargo build --workspace)");
        return;
    };
    let pid = relay.pid();
    let three_runs = Benchmark { server_pid: Some(pid), runs: 3, ..benchmark_of(relay.address(), 10, 2, 100.0, 3) };
    let killing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(2500));
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        drop(relay);
    });
    let report = run(&three_runs);
    killing.join().unwrap();
    assert_eq!((report.verdict.exit_code(), report.runs.len()), (3, 1), "{:?}", report.verdict);
    assert!(report.traffic.delivered > 500 && report.loss.lost > 100, "{:?}", report.traffic);
    let told = |what: &str| report.verdict.reasons.iter().any(|reason| reason.contains(what));
    assert!(told("members alive at the end: 0 of 10") && told(&format!("process {pid}")), "{:?}", report.verdict);
    assert!(report.server.is_none());
}

/// T19, live: who cannot take what the others can costs them nothing, is fed
/// at its own pace, and the relay keeps no more than its rings for it.
#[test]
fn one_behind_a_narrow_link_costs_the_others_nothing() {
    const MEMBERS: u32 = 50;
    let served = Served::start();
    let mut crowd = Crowd::of(&served, MEMBERS);
    let narrow = Narrow::start(served.address(), 10_000.0);
    let slow = Crowd::towards(narrow.address(), 1);
    slow.join(0..1);
    assert!(until(|| slow.joined(0..1) == 1), "it comes in");
    // Some 35 kB/s, for longer than three reports may be missed.
    crowd.chat(2_400, 400.0);
    crowd.settle();
    crowd.check();
    let heard = slow.heard_by(0).len();
    assert_eq!((crowd.figures().not_sent, crowd.figures().gone), (0, 0), "the others have everything");
    {
        let log = slow.logs[0].lock().unwrap();
        assert!(log.told.is_sorted_by(|one, next| one < next), "what it is told comes in order");
        assert_eq!(log.sessions, 1, "and it keeps its session");
    }
    let lost = narrow.lost();
    drop((crowd, slow, narrow));
    let counters = served.end().counters;
    println!("{heard} of 2400 heard so far, {lost} datagrams lost\n{:?}", counters.native);
    assert!(heard > 0 && lost > 0 && counters.native.demoted >= 1, "its link was too narrow");
}
