//! Owns the invariants I1 to I8: it sees every datagram that reaches or leaves
//! the relay, everything that clients are asked to do and all that they tell,
//! and keeps its own books. Shares no code with the relay or the client but
//! the codec; changes nothing.

mod paths;
mod told;
mod wire;

pub(crate) use told::{Backlog, Counting, LOBBY, Latencies, ROOMS, RoomNumber, VAULT, Who};

use outcry::client::Event;
use outcry::wire::downlink::Downlink;
use outcry::wire::uplink::Uplink;
use paths::Paths;
use std::net::SocketAddr;
use told::Books;
use wire::Wire;

/// Fails with the invariant's name where a condition does not hold.
macro_rules! holds {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            panic!($($what)+);
        }
    };
}
pub(crate) use holds;

/// First byte of every native datagram.
const NATIVE: u8 = 0xF7;

/// All books.
#[derive(Default)]
pub(crate) struct Checker {
    wire: Wire,
    paths: Paths,
    pub(crate) told: Books,
    /// Messages and bytes that a ring keeps, if gaps are to be looked at.
    pub(crate) ring: Option<(u64, u64)>,
}

impl Checker {
    /// Another relay process: what was proven to the former one means nothing to it.
    pub(crate) fn restarted(&mut self) {
        self.wire.restarted();
        self.paths = Paths::default();
    }

    /// A native client has sent this.
    pub(crate) fn client_sends(&mut self, bytes: &[u8]) {
        match Uplink::parse(bytes) {
            Ok(Uplink::Session(session)) => self.wire.client_sends(&session),
            Ok(Uplink::Hello(_)) => holds!((1232..=1472).contains(&bytes.len()), "a HELLO of {} bytes", bytes.len()),
            Err(wrong) => panic!("a client sends what is no datagram: {wrong:?}"),
        }
    }

    /// A plain member has joined by its name.
    pub(crate) fn plain_joins(&mut self, name: &[u8]) {
        self.wire.plain_sends(name);
        self.told.plain_names.insert(name.to_vec());
    }

    /// A plain member has sent this.
    pub(crate) fn plain_sends(&mut self, bytes: &[u8]) {
        self.wire.plain_sends(bytes);
    }

    /// The relay takes this in.
    pub(crate) fn relay_hears(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.paths.relay_hears(from, bytes);
        if let Ok(Uplink::Session(session)) = Uplink::parse(bytes) {
            self.wire.relay_hears(&session);
        }
    }

    /// The relay sends this.
    pub(crate) fn relay_sends(&mut self, now: u64, to: SocketAddr, bytes: &[u8]) {
        holds!(bytes.len() <= 1232, "a datagram of {} bytes leaves the relay", bytes.len());
        if bytes.first() != Some(&NATIVE) {
            return self.paths.relay_sends(to, bytes.len(), None);
        }
        if !self.wire.is_known(bytes) {
            let parsed = Downlink::parse(bytes);
            holds!(parsed.is_ok(), "the relay sends what is no datagram: {parsed:?}");
            self.wire.relay_sends(bytes, &parsed.expect("it was looked at"));
            for text in self.wire.take_fresh() {
                self.told.accepted(now, &text);
            }
        }
        self.paths.relay_sends(to, bytes.len(), Some(bytes));
    }

    /// A client tells this.
    pub(crate) fn client_tells(&mut self, now: u64, who: Who, event: &Event<'_>) {
        if let (Event::Gap { room, to, .. }, Some(ring)) = (event, self.ring) {
            let room = self.told.room(who, *room);
            let may_be = room.is_some_and(|room| self.wire.may_be_gone(room, to.0, ring));
            holds!(may_be, "I5: {who} is told that entries up to {} are gone, and no ring is full: {event:?}", to.0);
        }
        self.told.told(now, who, event);
    }

    /// Who waits for something.
    pub(crate) fn behind(&self) -> Vec<String> {
        self.told.behind(|room| self.wire.head(room))
    }

    /// What is still to be done for the one that is furthest behind.
    pub(crate) fn backlog(&self) -> Backlog {
        self.told.backlog(|room| self.wire.head(room), |room, from| self.wire.bytes_from(room, from))
    }

    /// Nothing is under way any more: everybody has everything.
    pub(crate) fn at_rest(&self) {
        self.told.at_rest(|room| self.wire.head(room));
    }
}
