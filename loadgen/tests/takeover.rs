//! 1000 plain and 1000 native members through five takeovers of their relay in
//! 30 s: nothing is lost, nothing comes twice. Fewer and shorter by default;
//! `scripts/takeover` is the whole of it, with the relay as it is released.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use loadgen::benchmark::Benchmark;
use loadgen::child;
use loadgen::members::Protocol;
use loadgen::report::{self, Report};
use outcry::control::{Ask, Client};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::crowd::until;
use support::{benchmark_of, run};

/// Messages a second, of each protocol.
const PER_SECOND: f64 = 50.0;
const SENDERS: u32 = 20;

fn set(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A relay that hands over; it ends when dropped.
struct Relay {
    child: Child,
    address: SocketAddr,
}

impl Relay {
    fn start(program: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(["serve", "--log-format", "json", "--lang", "en"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok());
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.expect("it says where it listens") }
    }

    /// Waits for its end; for how long it stood still.
    fn stood(mut self) -> String {
        let log = BufReader::new(self.child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let over = log.into_iter().find(|line| line.contains("handed over to another process"));
        assert!(self.child.wait().unwrap().success());
        let over: serde_json::Value = serde_json::from_str(&over.expect("it was handed over")).unwrap();
        over["stood"].as_str().unwrap().to_owned()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stats(place: &Path) -> serde_json::Value {
    Client::connect(place).unwrap().ask(&Ask::Stats {}, |_| Ok(())).unwrap()
}

fn is_faultless(report: &Report, members: u64, kernel_drops: u64) {
    let mut text = String::new();
    report::print(report, &mut text).unwrap();
    println!("{text}");
    let (traffic, counts) = (&report.traffic, report.integrity);
    // Not the notices: the last joins are told when what is measured has begun.
    let wrong = counts.duplicate + counts.reordered + counts.corrupt + counts.unexpected;
    assert_eq!(wrong, 0, "{counts:?}");
    match report.native {
        Some(native) => {
            assert_eq!((traffic.complete, traffic.delivered), (traffic.sent, traffic.sent * (members - 1)));
            assert_eq!((native.not_sent, native.open, native.gone, native.malformed), (0, 0, 0, 0), "{native:?}");
        }
        // A plain message that the receive buffer had no room for is nowhere else.
        None => {
            let lost = traffic.sent * (members - 1) - traffic.delivered;
            assert!(lost <= kernel_drops * (members - 1), "{lost} copies lost, {kernel_drops} datagrams in the kernel");
        }
    }
}

#[test]
fn members_of_both_protocols_lose_nothing_while_their_relay_is_replaced_again_and_again() {
    let Ok(program) = child::find() else {
        println!("SKIPPED: the relay is not built (cargo build --workspace)");
        return;
    };
    let members = set("LOADGEN_TAKEOVER_MEMBERS", 150);
    let (takeovers, seconds) = (set("LOADGEN_TAKEOVERS", 3), set("LOADGEN_TAKEOVER_SECONDS", 6));
    let place: PathBuf = std::env::temp_dir().join(format!("lg-takeover-{}.sock", std::process::id()));
    let path = place.to_str().unwrap();
    let mut relay = Relay::start(&program, &["--bind", "127.0.0.1:0", "--control", path]);
    let address = relay.address;
    let measure = |protocol: Protocol| {
        let benchmark = benchmark_of(address, members, SENDERS, PER_SECOND, seconds.into());
        let benchmark = Benchmark { protocol, drain: Duration::from_secs(20), join_rate: 1000.0, ..benchmark };
        std::thread::spawn(move || run(&benchmark))
    };
    let measuring = [Protocol::Plain, Protocol::Native].map(measure);
    assert!(until(|| stats(&place)["members"] == 2 * members));
    let mut stood = Vec::new();
    for _ in 0..takeovers {
        std::thread::sleep(Duration::from_secs(seconds.into()) / (takeovers + 1));
        let next = Relay::start(&program, &["--takeover", path]);
        assert_eq!(next.address, address);
        stood.push(std::mem::replace(&mut relay, next).stood());
    }
    let reports = measuring.map(|measuring| measuring.join().unwrap());
    let (counted, each) = (stats(&place), u64::from(members));
    let kernel_drops = counted["kernel_drops"].as_u64().unwrap();
    println!("{members} plain and {members} native members, {takeovers} takeovers in {seconds} s");
    println!("the relay stood still for {stood:?}; the kernel dropped {kernel_drops} datagrams for want of room\n");
    reports.iter().for_each(|report| is_faultless(report, each, kernel_drops));
    assert_eq!(counted["joined"], 2 * members, "nobody joined again");
}
