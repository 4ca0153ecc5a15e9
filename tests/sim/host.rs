//! Owns the relay, its clock and its socket: datagrams in, turns as the server
//! takes them, datagrams out. The socket can be clogged and its sends can fail.
//! Never decides about members.

use crate::chance::{Chance, MS, SECOND};
use outcry::Time;
use outcry::batch::{Item, Outbox, Path, SendDrop, SendTally};
use outcry::config::{self, Limits};
use outcry::relay::Relay;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

/// Where the relay is bound.
pub(crate) const RELAY_PORT: u16 = 9999;
/// Datagrams that wait at the relay's socket at most.
const RECEIVE_QUEUE_MAX: usize = 4096;
/// What a turn costs, and each datagram that leaves in it.
const TURN_NS: u64 = 20_000;
const SEND_NS: u64 = 500;
/// Unix seconds at the start of a simulation.
pub(crate) const UNIX_S: u64 = 1_700_000_000;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Rc<[u8]>,
    /// The system did not take it.
    pub(crate) is_lost: bool,
}

/// The relay and its socket.
pub(crate) struct Host {
    pub(crate) relay: Relay,
    pub(crate) limits: Limits,
    /// The operator has set the clock so many seconds forward or back.
    pub(crate) clock_step_s: i64,
    /// Sends that fail at once, in a million.
    pub(crate) send_fault_ppm: u32,
    /// The socket takes nothing until then.
    pub(crate) clogged_until: u64,
    started_at: u64,
    pub(crate) out: Outbox,
    tally: SendTally,
    inbox: VecDeque<(SocketAddr, Rc<[u8]>)>,
    unreachable: VecDeque<SocketAddr>,
    /// What a clogged socket has not taken, and when it is dropped.
    waiting: VecDeque<Sent>,
    waits_until: Option<u64>,
    free_at: u64,
    chance: Chance,
    #[cfg(feature = "mutants")]
    mutant: Option<outcry::relay::Mutant>,
}

impl Host {
    pub(crate) fn new(limits: Limits, mut chance: Chance) -> Self {
        let relay = start(&limits, &mut chance);
        Self {
            relay,
            limits,
            clock_step_s: 0,
            send_fault_ppm: 0,
            clogged_until: 0,
            started_at: 0,
            out: Outbox::new(config::INBOX_DATAGRAMS, config::DATAGRAM_BYTES_MAX),
            tally: SendTally::default(),
            inbox: VecDeque::new(),
            unreachable: VecDeque::new(),
            waiting: VecDeque::new(),
            waits_until: None,
            free_at: 0,
            chance,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// From now on it is a relay with that fault.
    #[cfg(feature = "mutants")]
    pub(crate) fn mutate(&mut self, mutant: outcry::relay::Mutant) {
        self.mutant = Some(mutant);
        self.relay.mutate(mutant);
    }

    /// The process dies and another begins: all state is gone, and what waited at the socket.
    pub(crate) fn restart(&mut self, now: u64) {
        self.relay = start(&self.limits, &mut self.chance);
        #[cfg(feature = "mutants")]
        if let Some(mutant) = self.mutant {
            self.relay.mutate(mutant);
        }
        self.started_at = now;
        self.out.clear();
        self.inbox.clear();
        self.unreachable.clear();
        self.waiting.clear();
        (self.tally, self.waits_until, self.free_at) = (SendTally::default(), None, now);
    }

    /// The relay's time.
    pub(crate) fn time(&self, now: u64) -> Time {
        let unix_s = (UNIX_S + now / SECOND).saturating_add_signed(self.clock_step_s);
        Time::new(now - self.started_at, unix_s)
    }

    pub(crate) fn arrive(&mut self, from: SocketAddr, bytes: Rc<[u8]>) {
        if self.inbox.len() < RECEIVE_QUEUE_MAX {
            self.inbox.push_back((from, bytes));
        }
    }

    /// The port at `remote` says that nobody is there.
    pub(crate) fn refused(&mut self, remote: SocketAddr) {
        if self.unreachable.len() < 64 {
            self.unreachable.push_back(remote);
        }
    }

    /// When [`turn`](Self::turn) is to be called next.
    pub(crate) fn next_turn(&self, now: u64) -> Option<u64> {
        if let Some(until) = self.waits_until {
            return Some(until.min(self.clogged_until).max(now));
        }
        let has_work = !self.inbox.is_empty() || !self.unreachable.is_empty();
        let due = self.relay.next_deadline().map(|due| due.nanos() + self.started_at);
        let next = if has_work { Some(now) } else { due };
        next.map(|at| at.max(self.free_at).max(now))
    }

    /// One pass of the loop. `taken` is called with each datagram that the relay takes in.
    pub(crate) fn turn(&mut self, now: u64, mut taken: impl FnMut(SocketAddr, &[u8]), sent: &mut Vec<Sent>) {
        if self.waits_until.is_some() && !self.unclog(now, sent) {
            return;
        }
        let time = self.time(now);
        while let Some(remote) = self.unreachable.pop_front() {
            self.relay.handle_unreachable(time, remote, &mut self.out);
        }
        for _ in 0..config::INBOX_DATAGRAMS {
            let Some((from, bytes)) = self.inbox.pop_front() else { break };
            taken(from, &bytes);
            self.relay.handle_datagram(time, Path::to(from), &bytes, &mut self.out);
        }
        self.flush(now, sent);
        if self.waits_until.is_none() && self.relay.next_deadline().is_some_and(|due| due <= time) {
            self.relay.handle_deadline(time, &mut self.out);
            self.flush(now, sent);
        }
        while self.relay.poll_event().is_some() {}
        self.free_at = now + TURN_NS + SEND_NS * sent.len() as u64;
        assert!(self.relay.counters().balances(), "P9: {:?}", self.relay.counters());
        assert!(self.tally.balances() || self.waits_until.is_some(), "P9: {:?}", self.tally);
    }

    /// The socket takes again what it is given, or what it has not taken is dropped. False: neither yet.
    fn unclog(&mut self, now: u64, sent: &mut Vec<Sent>) -> bool {
        if now >= self.clogged_until {
            while let Some(datagram) = self.waiting.pop_front() {
                self.send(datagram, sent);
            }
        } else if self.waits_until.is_some_and(|until| until <= now) {
            self.tally.drop(SendDrop::Blocked, self.waiting.len() as u64);
            sent.extend(self.waiting.drain(..).map(|datagram| Sent { is_lost: true, ..datagram }));
        } else {
            return false;
        }
        self.waits_until = None;
        true
    }

    fn flush(&mut self, now: u64, sent: &mut Vec<Sent>) {
        self.relay.end_turn(self.time(now), &mut self.out);
        let copies = self.expand();
        let is_clogged = now < self.clogged_until;
        let mut space = if is_clogged { self.chance.below(8) } else { u64::MAX };
        for datagram in copies {
            if space == 0 {
                self.waiting.push_back(datagram);
                continue;
            }
            space -= 1;
            self.send(datagram, sent);
        }
        if !self.waiting.is_empty() {
            self.waits_until = Some(now + config::BLOCKED_DEADLINE_MS * MS);
        }
    }

    /// The turn's copies, one by one.
    fn expand(&mut self) -> Vec<Sent> {
        let mut copies: Vec<Sent> = Vec::new();
        let mut items: Vec<Item> = Vec::with_capacity(100);
        let mut last = None;
        self.out.begin(&self.relay, &mut self.tally);
        let mut more = true;
        while more {
            more = self.out.fill(&self.relay, &mut items);
            for item in items.drain(..).flat_map(Item::split) {
                let bytes = match (&last, copies.last()) {
                    (Some(range), Some(copy)) if *range == item.range() => Rc::clone(&copy.bytes),
                    _ => Rc::from(&self.out.arena()[item.range()]),
                };
                last = Some(item.range());
                copies.push(Sent { to: item.to.remote, bytes, is_lost: false });
            }
        }
        self.out.clear();
        copies
    }

    fn send(&mut self, datagram: Sent, sent: &mut Vec<Sent>) {
        let is_lost = self.chance.happens(self.send_fault_ppm);
        match is_lost {
            true => self.tally.drop(SendDrop::NoBuffers, 1),
            false => self.tally.sent += 1,
        }
        sent.push(Sent { is_lost, ..datagram });
    }
}

fn start(limits: &Limits, chance: &mut Chance) -> Relay {
    Relay::new(limits, SocketAddr::from(([127, 0, 0, 1], RELAY_PORT)), chance.seed())
}
