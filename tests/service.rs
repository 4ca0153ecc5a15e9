//! The relay under a service manager, which this test plays: the socket is
//! handed over, readiness and life are told, and the end is.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod process;

use process::{HANG, Running, Serve, outcry};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Hands over descriptor 3, as systemd does. Standard input carries it as far as the shell.
const HAND_OVER: &str = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"";

fn member() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket
}

fn heard(socket: &UdpSocket) -> String {
    let mut bytes = [0; 2048];
    let len = socket.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..len].to_vec()).unwrap()
}

/// `outcry serve` with `handed` as descriptor 3.
fn handed(handed: OwnedFd, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", HAND_OVER, env!("CARGO_BIN_EXE_outcry"), "serve"]).args(args);
    command.env("NO_COLOR", "1").stdin(Stdio::from(handed)).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn what_waited_in_a_socket_that_is_handed_over_is_served() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let (alice, bob) = (member(), member());
    alice.send_to(b"alice", addr).unwrap();
    let relay =
        Serve::from(Running::start_with(&mut handed(socket.into(), &["--bind", "127.0.0.1:1", "--lang", "en"])));
    assert_eq!(relay.addr, addr, "its own address counts");
    bob.send_to(b"bob", addr).unwrap();
    assert_eq!(heard(&alice), "bob joined");
    relay.end();
}

/// The manager waits at the socket after us, and takes an error there for its end.
#[test]
fn a_socket_is_given_back_without_errors() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (shared, addr) = (socket.try_clone().unwrap(), socket.local_addr().unwrap());
    let relay = Serve::from(Running::start_with(&mut handed(shared.into(), &["--lang", "en"])));
    let (alice, bob) = (member(), member());
    alice.send_to(b"alice", addr).unwrap();
    bob.send_to(b"bob", addr).unwrap();
    assert_eq!(heard(&alice), "bob joined");
    // Told of the end, their ports answer that nobody is there.
    drop((alice, bob));
    relay.end();
    let mut waiting = mio::net::UdpSocket::from_std(socket);
    let mut poll = mio::Poll::new().unwrap();
    poll.registry().register(&mut waiting, mio::Token(0), mio::Interest::READABLE).unwrap();
    let mut events = mio::Events::with_capacity(8);
    poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
    let events: Vec<_> = events.iter().collect();
    assert!(!events.iter().any(|event| event.is_error()), "{events:?}");
}

#[test]
fn what_is_no_udp_socket_is_refused() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = handed(tcp.into(), &[]).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && err.contains("ListenDatagram="), "{err}");
}

#[test]
fn a_socket_for_another_process_is_not_taken() {
    let mut command = outcry(&["serve", "--bind", "127.0.0.1:0"]);
    Serve::from(Running::start(command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1"))).end();
}

#[test]
fn ready_alive_and_stopping_are_told() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("notify-{}", std::process::id()));
    _ = std::fs::remove_file(&path);
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(HANG)).unwrap();
    let told = || {
        let mut bytes = [0; 64];
        let len = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    let mut command = outcry(&["serve", "--bind", "127.0.0.1:0"]);
    let mut relay = Serve::from(Running::start(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "60000")));
    assert_eq!(told(), "READY=1");
    for _ in 0..3 {
        assert_eq!(told(), "WATCHDOG=1", "an idle relay is alive");
    }
    relay.process.signal("TERM");
    std::iter::repeat_with(told).find(|told| told == "STOPPING=1").unwrap();
    assert_eq!(relay.process.exit_code(), Some(0));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_relay_that_does_not_start_is_not_ready() {
    let name = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("notify-not-{}", std::process::id()));
    _ = std::fs::remove_file(&name);
    let manager = UnixDatagram::bind(&name).unwrap();
    manager.set_nonblocking(true).unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let ended = outcry(&["serve", "--bind", &bind]).env("NOTIFY_SOCKET", &name).output().unwrap();
    assert_eq!((ended.status.code(), manager.recv(&mut [0; 8]).is_err()), (Some(1), true));
    std::fs::remove_file(name).unwrap();
}
