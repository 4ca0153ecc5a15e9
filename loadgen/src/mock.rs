//! A relay of the plain protocol with known faults: what the known-answer
//! tests measure, and the simplest server there is to compare with.

use crate::clock::Clock;
use crate::plan::Dice;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the mock does wrong. The default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Drops each copy with this probability.
    pub drop: f64,
    /// Does not relay a message, with this probability.
    pub refuse: f64,
    /// Sends each copy twice with this probability.
    pub duplicate: f64,
    /// Relays a message after its successor with this probability.
    pub swap: f64,
    /// Holds every message back for this long.
    pub delay: Duration,
    /// The copy of rank k goes out k times this after the first: latency grows with rank.
    pub per_rank: Duration,
    /// Damages each copy with this probability.
    pub corrupt: f64,
    /// Stops for the second duration at the first one after the first chat line.
    pub stop: Option<(Duration, Duration)>,
    /// Admits only so many members.
    pub members_max: Option<usize>,
}

/// A running mock server; it ends when dropped.
pub struct Mock {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Mock {
    /// Starts on a free port of 127.0.0.1.
    pub fn start(faults: Faults) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        crate::members::udp::widen(&socket, 8 << 20)?;
        socket.set_read_timeout(Some(Duration::from_millis(1)))?;
        let address = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut relay = Relay::new(socket, faults);
        let seen = stop.clone();
        let thread = std::thread::spawn(move || relay.run(&seen));
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Held {
    due: u64,
    from: SocketAddr,
    bytes: Vec<u8>,
}

struct Relay {
    socket: UdpSocket,
    faults: Faults,
    members: Vec<SocketAddr>,
    held: VecDeque<Held>,
    swapped: Option<Held>,
    clock: Clock,
    dice: Dice,
    first_chat: Option<u64>,
    stopped: bool,
}

impl Relay {
    fn new(socket: UdpSocket, faults: Faults) -> Self {
        Self {
            socket,
            faults,
            members: Vec::new(),
            held: VecDeque::new(),
            swapped: None,
            clock: Clock::start(),
            dice: Dice::new(1),
            first_chat: None,
            stopped: false,
        }
    }

    fn run(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut buffer = [0; 2048];
        while !stop.load(Relaxed) {
            self.send_due();
            self.pause_once();
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => self.handle(from, &buffer[..len]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn pause_once(&mut self) {
        let (Some((after, length)), Some(first)) = (self.faults.stop, self.first_chat) else { return };
        if !self.stopped && self.clock.now() >= first + after.as_nanos() as u64 {
            self.stopped = true;
            std::thread::sleep(length);
        }
    }

    fn handle(&mut self, from: SocketAddr, bytes: &[u8]) {
        if !self.members.contains(&from) {
            if self.faults.members_max.is_none_or(|most| self.members.len() < most) {
                self.members.push(from);
            }
        } else if bytes.ends_with(b" : EXIT") {
            self.members.retain(|member| *member != from);
        } else {
            self.first_chat.get_or_insert(self.clock.now());
            if !self.chance(self.faults.refuse) {
                self.hold(from, bytes);
            }
        }
    }

    /// Queues a line; one that is to be swapped waits for its successor.
    fn hold(&mut self, from: SocketAddr, bytes: &[u8]) {
        let due = self.clock.now() + self.faults.delay.as_nanos() as u64;
        let line = Held { due, from, bytes: bytes.to_vec() };
        match self.swapped.take() {
            Some(earlier) => self.held.extend([line, Held { due, ..earlier }]),
            None if self.chance(self.faults.swap) => self.swapped = Some(line),
            None => self.held.push_back(line),
        }
    }

    fn send_due(&mut self) {
        while self.held.front().is_some_and(|line| line.due <= self.clock.now()) {
            if let Some(line) = self.held.pop_front() {
                self.fan_out(line);
            }
        }
    }

    fn fan_out(&mut self, line: Held) {
        let began = self.clock.now();
        for at in 0..self.members.len() {
            let member = self.members[at];
            if member == line.from || self.chance(self.faults.drop) {
                continue;
            }
            if !self.faults.per_rank.is_zero() {
                self.clock.wait_until(began + at as u64 * self.faults.per_rank.as_nanos() as u64, u64::MAX);
            }
            self.send(member, &line.bytes);
            if self.chance(self.faults.duplicate) {
                self.send(member, &line.bytes);
            }
        }
    }

    fn send(&mut self, member: SocketAddr, bytes: &[u8]) {
        // Unreachable members are the caller's business: the mock has no policy.
        if self.chance(self.faults.corrupt) {
            let mut damaged = bytes.to_vec();
            let last = damaged.len() - 1;
            damaged[last] ^= 1;
            let _ = self.socket.send_to(&damaged, member);
        } else {
            let _ = self.socket.send_to(bytes, member);
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.dice.unit() < probability
    }
}
