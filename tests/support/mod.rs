//! A relay without a socket, for tests: datagrams in, datagrams out, at a time
//! of the test's choosing. Checks the books after every step.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod native;

use outcry::Time;
use outcry::batch::{Item, Outbox, Path, SendTally};
use outcry::config::{self, Limits};
use outcry::relay::{Command, Event, Outcome, Relay};
use std::net::SocketAddr;
use std::time::Duration;

/// Where the relay under test pretends to be bound.
pub const OWN: &str = "127.0.0.1:9999";

/// A datagram that the relay sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("text")
    }
}

/// A relay, its outbox and its clock.
pub struct Bench {
    pub relay: Relay,
    pub out: Outbox,
    pub tally: SendTally,
    pub now: Time,
    pub events: Vec<Event>,
}

impl Bench {
    pub fn new(limits: &Limits) -> Self {
        Self {
            relay: Relay::new(limits, addr(OWN), [42; 32]),
            out: Outbox::new(config::INBOX_DATAGRAMS, config::DATAGRAM_BYTES_MAX),
            tally: SendTally::default(),
            now: Time::new(1_000_000_000, 1_700_000_000),
            events: Vec::new(),
        }
    }

    /// A relay on loopback with the defaults, changed by `change`.
    pub fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::for_bind(addr(OWN));
        limits.peers_max = 2000;
        limits.sessions_max = 2000;
        change(&mut limits);
        Self::new(&limits)
    }

    pub fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    /// One datagram in a turn of its own.
    pub fn hear(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Sent> {
        self.hear_all(&[(from, bytes)])
    }

    /// Several datagrams in one turn.
    pub fn hear_all(&mut self, datagrams: &[(SocketAddr, &[u8])]) -> Vec<Sent> {
        for (from, bytes) in datagrams {
            self.relay.handle_datagram(self.now, Path::to(*from), bytes, &mut self.out);
        }
        self.flush()
    }

    pub fn unreachable(&mut self, peer: SocketAddr) -> Vec<Sent> {
        self.relay.handle_unreachable(self.now, peer, &mut self.out);
        self.flush()
    }

    pub fn command(&mut self, command: Command) -> (Outcome, Vec<Sent>) {
        let outcome = self.relay.handle_command(self.now, command, &mut self.out);
        (outcome, self.flush())
    }

    /// Calls the relay at each of its deadlines until `span` has passed.
    pub fn run(&mut self, span: Duration) -> Vec<Sent> {
        let end = self.now + span;
        let mut sent = Vec::new();
        while let Some(due) = self.relay.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.relay.handle_deadline(self.now, &mut self.out);
            sent.extend(self.flush());
        }
        self.now = end;
        sent
    }

    /// Ends the turn.
    pub fn flush(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut items: Vec<Item> = Vec::with_capacity(100);
        self.relay.end_turn(self.now, &mut self.out);
        self.out.begin(&self.relay, &mut self.tally);
        let mut more = true;
        while more {
            more = self.out.fill(&self.relay, &mut items);
            for item in items.drain(..).flat_map(Item::split) {
                self.tally.sent += 1;
                sent.push(Sent { to: item.to.remote, bytes: self.out.arena()[item.range()].to_vec() });
            }
        }
        self.out.clear();
        self.events.extend(std::iter::from_fn(|| self.relay.poll_event()));
        assert!(self.tally.balances(), "{:?}", self.tally);
        assert!(self.relay.counters().balances(), "{:?}", self.relay.counters());
        sent
    }
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Member number `number` of 127.0.0.1.
pub fn peer(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 20_000 + number))
}
