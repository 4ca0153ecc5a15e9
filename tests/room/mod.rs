//! A relay in this process, on real sockets, and members that the test plays.
//! Nothing here is faster than the test: what a member is sent waits in its
//! buffer until the test asks for it.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

use crate::process::{HANG, host, until};
use outcry::config::{Config, Io};
use outcry::server::{Handle, Report, Server, ServerError};
use socket2::SockRef;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

/// Both ways to talk to the kernel.
pub const BACKENDS: [Io; 2] = [Io::Auto, Io::Portable];
/// What a member's buffer asks of the kernel.
const BUFFER_BYTES: usize = 16 << 20;
/// What a short datagram costs of a buffer, by the kernel's reckoning.
const SHORT_COST: usize = 1024;

/// The configuration of a relay on loopback, changed by `change`.
pub fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::for_bind((host(0), 0).into());
    change(&mut config);
    config
}

/// Turns until nothing waits to be read.
#[track_caller]
pub fn turn_until_idle(server: &mut Server) {
    until("the relay to be idle", || {
        server.turn(Some(Duration::from_millis(1))).unwrap();
        server.is_idle().then_some(())
    });
}

/// A running relay; it is ended when dropped.
pub struct Relay {
    pub addr: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<Result<Report, ServerError>>>,
}

impl Relay {
    pub fn start(config: &Config) -> Self {
        Self::run(Server::bind(config).unwrap())
    }

    pub fn run(server: Server) -> Self {
        let (addr, handle) = (server.local_addr(), server.handle());
        Self { addr, handle, thread: Some(std::thread::spawn(move || server.run())) }
    }

    pub fn report(&self) -> Report {
        self.handle.report().expect("the relay runs")
    }

    /// Waits until its report fits.
    #[track_caller]
    pub fn until(&self, what: &str, fits: impl Fn(&Report) -> bool) -> Report {
        until(what, || Some(self.report()).filter(&fits))
    }

    /// Waits until so many members are here.
    #[track_caller]
    pub fn holds(&self, members: usize) {
        self.until(&format!("{members} members"), |report| report.members == members);
    }

    /// Ends it: its report, which balances.
    #[track_caller]
    pub fn end(mut self) -> Report {
        let thread = self.thread.take().unwrap();
        let handle = self.handle.clone();
        std::thread::spawn(move || handle.shut_down());
        until("the relay's end", || thread.is_finished().then_some(()));
        let report = thread.join().expect("the relay does not panic").unwrap();
        assert!(report.balances(), "{report:#}");
        report
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let handle = self.handle.clone();
        std::thread::spawn(move || handle.shut_down());
    }
}

/// A plain member: a socket, and the relay that it speaks to.
pub struct Member {
    socket: UdpSocket,
    relay: SocketAddr,
    room: usize,
}

impl Member {
    pub fn joins(relay: SocketAddr, name: &str) -> Self {
        Self::joins_from(host(0), relay, name)
    }

    pub fn joins_from(host: IpAddr, relay: SocketAddr, name: &str) -> Self {
        let member = Self::at(host, relay);
        member.says(name);
        member
    }

    /// Somebody who has not said anything yet.
    pub fn at(host: IpAddr, relay: SocketAddr) -> Self {
        let socket = UdpSocket::bind((host, 0)).unwrap();
        let options = SockRef::from(&socket);
        options.set_recv_buffer_size(BUFFER_BYTES).unwrap();
        let room = options.recv_buffer_size().unwrap() / SHORT_COST;
        socket.set_read_timeout(Some(HANG)).unwrap();
        Self { socket, relay, room }
    }

    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Whether so many short datagrams can wait here.
    pub fn has_room_for(&self, datagrams: usize) -> bool {
        datagrams <= self.room
    }

    pub fn says(&self, message: impl AsRef<[u8]>) {
        self.socket.send_to(message.as_ref(), self.relay).unwrap();
    }

    /// What it is sent next.
    #[track_caller]
    pub fn hears_something(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let (len, from) = self.socket.recv_from(&mut buffer).expect("something is sent to the member");
        assert_eq!(from, self.relay, "a member hears the relay alone");
        buffer[..len].to_vec()
    }

    #[track_caller]
    pub fn hears(&self, expected: impl AsRef<[u8]>) {
        let (heard, expected) = (self.hears_something(), expected.as_ref());
        assert_eq!(heard, expected, "{:?}", String::from_utf8_lossy(&heard));
    }

    /// What has arrived, up to now.
    pub fn has_heard(&self) -> Vec<Vec<u8>> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2048];
        let heard = std::iter::from_fn(|| match self.socket.recv(&mut buffer) {
            Ok(len) => Some(buffer[..len].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("a member's socket failed: {error}"),
        });
        let heard = heard.collect();
        self.socket.set_nonblocking(false).unwrap();
        heard
    }
}
