//! A relay without a socket, for tests: datagrams in, datagrams out, at a time
//! of the test's choosing. Checks the books after every step.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod native;
mod twin;

use outcry::Time;
use outcry::batch::{Item, Outbox, Path, SendTally};
use outcry::config::{self, Limits};
use outcry::relay::{Command, Event, Outcome, Relay};
use std::net::SocketAddr;
use std::time::Duration;
use twin::Twin;

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
    /// A relay that took over from this one, and must do the same from then on.
    twin: Option<Box<Twin>>,
}

impl Bench {
    pub fn new(limits: &Limits) -> Self {
        let out = Outbox::new(config::INBOX_DATAGRAMS, config::DATAGRAM_BYTES_MAX);
        Self::of(Relay::new(limits, addr(OWN), [42; 32]), out, Time::new(1_000_000_000, 1_700_000_000))
    }

    pub fn of(relay: Relay, out: Outbox, now: Time) -> Self {
        Self { relay, out, tally: SendTally::default(), now, events: Vec::new(), twin: None }
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
            self.take(*from, bytes);
        }
        self.flush()
    }

    /// One datagram of a turn that goes on.
    pub fn take(&mut self, from: SocketAddr, bytes: &[u8]) {
        let (now, path) = (self.now, Path::to(from));
        self.relay.handle_datagram(now, path, bytes, &mut self.out);
        self.also(|twin| twin.relay.handle_datagram(now, path, bytes, &mut twin.out));
    }

    /// A datagram that was longer than a receive slot.
    pub fn take_truncated(&mut self, from: SocketAddr) {
        let (now, path) = (self.now, Path::to(from));
        self.relay.handle_truncated(now, path, &mut self.out);
        self.also(|twin| twin.relay.handle_truncated(now, path, &mut twin.out));
    }

    pub fn unreachable(&mut self, peer: SocketAddr) -> Vec<Sent> {
        self.take_unreachable(peer);
        self.flush()
    }

    pub fn take_unreachable(&mut self, peer: SocketAddr) {
        let now = self.now;
        self.relay.handle_unreachable(now, peer, &mut self.out);
        self.also(|twin| twin.relay.handle_unreachable(now, peer, &mut twin.out));
    }

    pub fn command(&mut self, command: Command) -> (Outcome, Vec<Sent>) {
        let (now, same) = (self.now, command.clone());
        let outcome = self.relay.handle_command(now, command, &mut self.out);
        self.also(|twin| assert_eq!(twin.relay.handle_command(now, same, &mut twin.out), outcome));
        (outcome, self.flush())
    }

    /// Calls the relay at each of its deadlines until `span` has passed.
    pub fn run(&mut self, span: Duration) -> Vec<Sent> {
        let end = self.now + span;
        let mut sent = Vec::new();
        while let Some(due) = self.relay.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.relay.handle_deadline(self.now, &mut self.out);
            let now = self.now;
            self.also(|twin| twin.relay.handle_deadline(now, &mut twin.out));
            sent.extend(self.flush());
        }
        self.now = end;
        sent
    }

    /// Ends the turn.
    pub fn flush(&mut self) -> Vec<Sent> {
        let sent = flush(&mut self.relay, &mut self.out, &mut self.tally, self.now);
        let events: Vec<_> = std::iter::from_fn(|| self.relay.poll_event()).collect();
        self.compare(&sent, &events);
        self.events.extend(events);
        assert!(self.tally.balances(), "{:?}", self.tally);
        assert!(self.relay.counters().balances(), "{:?}", self.relay.counters());
        sent
    }
}

fn flush(relay: &mut Relay, out: &mut Outbox, tally: &mut SendTally, now: Time) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut items: Vec<Item> = Vec::with_capacity(100);
    relay.end_turn(now, out);
    out.begin(relay, tally);
    let mut more = true;
    while more {
        more = out.fill(relay, &mut items);
        for item in items.drain(..).flat_map(Item::split) {
            tally.sent += 1;
            sent.push(Sent { to: item.to.remote, bytes: out.arena()[item.range()].to_vec() });
        }
    }
    out.clear();
    sent
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Member number `number` of 127.0.0.1.
pub fn peer(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 20_000 + number))
}
