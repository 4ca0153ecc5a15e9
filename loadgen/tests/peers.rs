//! The tool against real servers, where they are installed: every copy comes,
//! once, and nobody hears itself. Skipped with a reason where they are not.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use loadgen::benchmark::Benchmark;
use loadgen::members::Protocol;
use loadgen::mock::{Faults, Mock};
use loadgen::report::Report;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{benchmark, run};

/// A server of a test's own, without persistence; it ends with the test.
struct Server {
    child: Child,
    address: SocketAddr,
    /// Its configuration, where it takes one as a file only.
    file: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.file.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

/// Starts `program`; `None`, and says why, where it is not installed.
fn start(program: &str, arguments: impl Fn(u16) -> (Vec<String>, Option<PathBuf>)) -> Option<Server> {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (arguments, file) = arguments(address.port());
    // Distributions keep servers where not everybody looks.
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else {
        println!("SKIPPED: {program} is not installed (apt-get install {program})");
        return None;
    };
    let server = Server { child, address, file };
    let answers = || TcpStream::connect(address).is_ok();
    let waited = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        answers()
    });
    assert!(waited, "{program} does not listen on {address} after ten seconds");
    Some(server)
}

fn words(text: String) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

fn measured(server: &Server, protocol: Protocol) -> Report {
    let mock = Mock::start(Faults::default()).unwrap();
    let benchmark = Benchmark {
        target: server.address,
        protocol,
        calibrate: true,
        rx_threads: 2,
        server_pid: Some(server.child.id()),
        ..benchmark(&mock, 31, 5, 100.0, 2)
    };
    run(&benchmark)
}

fn is_faultless(report: &Report, protocol: &str) {
    assert_eq!(report.setup.protocol, protocol);
    assert_eq!((report.traffic.sent, report.traffic.complete), (200, 200), "{:?}", report.traffic);
    assert_eq!(report.traffic.delivered, 200 * 30);
    let counts = report.integrity;
    let wrong = counts.duplicate + counts.reordered + counts.corrupt + counts.unexpected + counts.notices;
    assert_eq!(wrong, 0, "{counts:?}");
    assert!(report.server.unwrap().ns_per_copy > 0.0);
    assert!(report.ceiling.unwrap() > 1000.0);
    let alive = report.gates.iter().find(|gate| gate.name.contains("alive")).unwrap();
    assert_eq!(alive.value, "31 of 31");
}

#[test]
fn nats() {
    let Some(server) = start("nats-server", |port| (words(format!("-a 127.0.0.1 -p {port}")), None)) else { return };
    is_faultless(&measured(&server, Protocol::Nats), "nats");
}

#[test]
fn redis() {
    let arguments = |port| {
        let mut arguments = words(format!("--port {port} --bind 127.0.0.1 --appendonly no --save"));
        arguments.push(String::new());
        (arguments, None)
    };
    let Some(server) = start("redis-server", arguments) else { return };
    let report = measured(&server, Protocol::Redis);
    is_faultless(&report, "redis");
    // Those of the warm-up, of the measurement, and of the probes.
    assert!(report.setup.members_made.contains("such copies were dropped"), "{}", report.setup.members_made);
}

#[test]
fn mqtt() {
    let arguments = |port| {
        let file = std::env::temp_dir().join(format!("loadgen-mosquitto-{}-{port}.conf", std::process::id()));
        let text =
            format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n");
        std::fs::write(&file, text).unwrap();
        (vec!["-c".into(), file.display().to_string()], Some(file))
    };
    let Some(server) = start("mosquitto", arguments) else { return };
    is_faultless(&measured(&server, Protocol::Mqtt), "mqtt");
}
