//! The proxy itself: one socket that members speak to, and one per member that
//! speaks to the target, so that the target sees as many addresses.

use super::fate::{Fate, Fates};
use super::{Flaws, MEMBERS_MAX, Told};
use crate::clock::Clock;
use crate::members::udp::widen;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// What waits at the front is for all members.
const FRONT_BUFFER: usize = 64 << 20;
const LINK_BUFFER: usize = 4 << 20;
const DATAGRAM_BYTES: usize = 2048;
/// Datagrams from one socket before the next one has its turn.
const VISITS: usize = 64;
const EVENTS: usize = 256;
const WAIT: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(1);
/// The token of the front; links have their number.
const FRONT: u64 = u64::MAX;

/// A member's two directions.
struct Link {
    member: SocketAddr,
    socket: UdpSocket,
    up: Fates,
    down: Fates,
}

/// A datagram that goes on later; compared by when, then by which.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: u64,
    number: u64,
    link: usize,
    down: bool,
    bytes: Vec<u8>,
}

pub(super) struct Proxy {
    flaws: Flaws,
    seed: u64,
    target: SocketAddr,
    front: UdpSocket,
    links: Vec<Link>,
    by_member: HashMap<SocketAddr, usize>,
    held: BinaryHeap<Reverse<Held>>,
    holds: u64,
    epoll: Epoll,
    clock: Clock,
    told: Arc<Told>,
}

fn bind(target: SocketAddr, buffer: usize) -> io::Result<UdpSocket> {
    let socket = match target {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)),
    }?;
    widen(&socket, buffer)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Proxy {
    pub(super) fn open(flaws: Flaws, seed: u64, target: SocketAddr, told: Arc<Told>) -> io::Result<Self> {
        let front = bind(target, FRONT_BUFFER)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&front, EpollEvent::new(EpollFlags::EPOLLIN, FRONT))?;
        let proxy = Self {
            flaws,
            seed,
            target,
            front,
            links: Vec::new(),
            by_member: HashMap::new(),
            held: BinaryHeap::new(),
            holds: 0,
            epoll,
            clock: Clock::start(),
            told,
        };
        proxy.note_port(&proxy.front)?;
        Ok(proxy)
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.front.local_addr()
    }

    fn note_port(&self, socket: &UdpSocket) -> io::Result<()> {
        let port = socket.local_addr()?.port();
        self.told.ports.lock().unwrap_or_else(PoisonError::into_inner).push(port);
        Ok(())
    }

    /// Passes datagrams on until it is told to stop. A proxy that cannot wait
    /// any more ends: what is missing then shows.
    pub(super) fn run(mut self) {
        while !self.told.stop.load(Relaxed) {
            if self.turn().is_err() {
                return;
            }
        }
    }

    /// Passes on what is there, and what has been held long enough.
    fn turn(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let ready = match self.epoll.wait(&mut events, self.timeout()) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        for event in &events[..ready] {
            match event.data() {
                FRONT => self.read_front(),
                link => self.read_link(link as usize),
            }
        }
        self.release();
        Ok(())
    }

    fn timeout(&self) -> EpollTimeout {
        let due = self.held.peek().map(|held| Duration::from_nanos(held.0.due.saturating_sub(self.clock.now())));
        let wait = due.map_or(WAIT, |due| (due + TICK - Duration::from_nanos(1)).min(WAIT));
        EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::ZERO)
    }

    fn read_front(&mut self) {
        let mut bytes = [0; DATAGRAM_BYTES];
        for _ in 0..VISITS {
            let Ok((len, member)) = self.front.recv_from(&mut bytes) else { return };
            // One that finds no socket is lost on the way.
            if let Some(link) = self.link_of(member) {
                let fate = self.links[link].up.next();
                self.pass(link, false, fate, &bytes[..len]);
            }
        }
    }

    /// A pending error, of a target that is gone, is read away like a datagram.
    fn read_link(&mut self, link: usize) {
        let mut bytes = [0; DATAGRAM_BYTES];
        for _ in 0..VISITS {
            match self.links[link].socket.recv(&mut bytes) {
                Ok(len) => {
                    let fate = self.links[link].down.next();
                    self.pass(link, true, fate, &bytes[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    fn link_of(&mut self, member: SocketAddr) -> Option<usize> {
        if let Some(link) = self.by_member.get(&member) {
            return Some(*link);
        }
        let number = self.links.len();
        let socket = bind(self.target, LINK_BUFFER).ok().filter(|_| number < MEMBERS_MAX as usize)?;
        socket.connect(self.target).ok()?;
        self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, number as u64)).ok()?;
        self.note_port(&socket).ok()?;
        let fates = |down| Fates::new(self.flaws, self.seed, number as u64, down);
        self.links.push(Link { member, socket, up: fates(false), down: fates(true) });
        self.by_member.insert(member, number);
        Some(number)
    }

    fn pass(&mut self, link: usize, down: bool, fate: Fate, bytes: &[u8]) {
        count(&self.told.datagrams);
        match fate {
            Fate::Lost => count(&self.told.lost),
            Fate::Passed => self.send(link, down, bytes),
            Fate::Repeated => {
                count(&self.told.repeated);
                self.send(link, down, bytes);
                self.send(link, down, bytes);
            }
            Fate::Held(span) => {
                count(&self.told.held);
                self.holds += 1;
                let due = self.clock.now() + span.as_nanos() as u64;
                self.held.push(Reverse(Held { due, number: self.holds, link, down, bytes: bytes.to_vec() }));
            }
        }
    }

    /// A datagram that the kernel does not take is lost on the way.
    fn send(&self, link: usize, down: bool, bytes: &[u8]) {
        let Link { member, socket, .. } = &self.links[link];
        let _ = if down { self.front.send_to(bytes, member) } else { socket.send(bytes) };
    }

    fn release(&mut self) {
        let now = self.clock.now();
        while let Some(Reverse(held)) = self.held.pop() {
            if held.due > now {
                self.held.push(Reverse(held));
                return;
            }
            self.send(held.link, held.down, &held.bytes);
        }
    }
}
