//! The client: the member's half of the native protocol as a state machine.
//! Datagrams and time come in; datagrams and events are fetched. Never reads a
//! clock, opens a socket, draws a random number or starts a thread: a driver
//! does, [`blocking`](crate::blocking) is one.
//!
//! This file is the face. `arriving` is what each datagram does, `departing`
//! what is in the next one, `lifecycle` how a session begins and ends;
//! `handshake`, `session`, `room`, `sending`, `receiving`, `gaps`, `requests`,
//! `direct`, `names`, `seal` and `rtt` each own what their name says.
//!
//! # Driving it
//!
//! After each verb and each `handle_` call: fetch datagrams with
//! [`poll_transmit`](Client::poll_transmit) and send them, fetch events with
//! [`poll_event`](Client::poll_event), both until `None`. Then wait for a
//! datagram or for [`next_deadline`](Client::next_deadline), whichever is first.
//!
//! ```
//! use outcry::Time;
//! use outcry::client::{Client, Options, RoomSpec};
//!
//! let now = Time::default();
//! let mut client = Client::new(Options::new("alice"), [7; 32], now)?;
//! let lobby = client.join(now, RoomSpec::lobby())?;
//! client.send(now, lobby, b"hello")?;  // waits until it can go out
//!
//! let mut datagram = [0; outcry::client::DATAGRAM_BYTES];
//! while let Some(len) = client.poll_transmit(now, &mut datagram) {
//!     // Send datagram[..len] to the relay. Here, it is the HELLO.
//!     assert_eq!(len, 1232);
//! }
//! assert!(client.poll_event().is_none() && client.next_deadline() > Some(now));
//! # Ok::<(), outcry::client::Unfit>(())
//! ```
//!
//! # What it promises
//!
//! Each entry of a room is told once and in the room's order, or named in an
//! [`Event::Gap`]. Each message ends in one [`Event::Delivered`] or
//! [`Event::NotSent`]. What goes over a reconnect and what does not says
//! [`Event::Connected`]. A relay accepts a sender's numbers one after the
//! other: on a path that reorders heavily one sender is limited to some
//! `window` a round trip.

mod arriving;
mod chance;
mod departing;
mod direct;
mod event;
mod gaps;
mod handshake;
mod lifecycle;
mod names;
mod options;
mod receiving;
mod requests;
mod room;
mod rtt;
mod seal;
mod sending;
mod session;
#[cfg(test)]
mod tests;
mod wording;

pub use crate::wire::header::{Code, DirectStatus, EntryKind, RefusedCause, SlowCause};
pub use crate::wire::id::{Epoch, Instance, KeyId, MemberId, Seq, Sseq};
pub use event::{Change, Direct, DirectOutcome, End, Event, Lost, Message, NotSent, Presence};
pub use event::{RequestId, RoomId, Ticket};
pub use options::{AccessKey, Options, RoomSpec, Unfit};
pub use options::{
    DIRECTS_MAX, EVENT_BYTES_MAX, EVENTS_MAX, HELD_BYTES_MAX, HELD_ENTRIES_MAX, NAMES_MAX, REQUESTS_MAX, ROOMS_MAX,
    SEND_QUEUE_BYTES_MAX, SEND_QUEUE_MESSAGES_MAX,
};
pub use seal::{ARGON2_KIB, RoomKey, SealError, text_bytes_max as sealed_text_bytes_max};
pub use wording::explain;

use crate::Time;
use crate::wire::header::{DATAGRAM_BYTES_MAX, DIRECT_PAYLOAD_BYTES_MAX, MSG_PAYLOAD_BYTES_MAX};
use chance::Chance;
use direct::Directs;
use event::Events;
use handshake::Handshake;
use lifecycle::Closing;
use requests::{Ask, Requests, Whom};
use room::Room;
use rtt::Rtt;
use session::Session;
use std::time::Duration;

/// Bytes of a buffer for [`Client::poll_transmit`]; no datagram has more.
pub const DATAGRAM_BYTES: usize = DATAGRAM_BYTES_MAX;

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that were handed in.
    pub datagrams_in: u64,
    /// Of these: not of this protocol, or broken.
    pub malformed: u64,
    /// Of these: for another session, room or attempt.
    pub foreign: u64,
    /// Of these: dropped because too many events wait to be fetched.
    pub undrained: u64,
    /// Datagrams that were fetched.
    pub datagrams_out: u64,
    /// Frames that answer nothing that is open, or name no room of this client.
    pub unexpected: u64,
    /// Numbers in what goes to a whole room that were too far above what is known.
    pub unbelievable: u64,
    /// Entries that came for the first time.
    pub entries: u64,
    /// Of these: in what was sent to this client alone, as a repair or because it could not keep up.
    pub entries_alone: u64,
    /// Entries that came again.
    pub known_entries: u64,
    /// Entries that found no place; they are asked for again.
    pub dropped_entries: u64,
    /// Entries whose content is not what their kind says.
    pub malformed_entries: u64,
    /// Sealed messages that the key does not open.
    pub undecryptable: u64,
    /// Sealed messages that came before under another seq.
    pub sealed_repeats: u64,
    /// Private messages that came again, or after a newer one.
    pub known_directs: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Requests for missing entries (NACK).
    pub nacks: u64,
    /// Messages that were sent again.
    pub resends: u64,
}

/// A member of a relay: one per socket.
///
/// Memory: what its limits allow, [`SEND_QUEUE_BYTES_MAX`] and
/// [`HELD_BYTES_MAX`] a room above all; a few KiB where nothing waits.
pub struct Client {
    options: Options,
    instance: Instance,
    chance: Chance,
    rtt: Rtt,
    events: Events,
    counts: Counts,
    /// The session that is used, and the one that is asked for beside it.
    session: Option<Session>,
    hello: Option<Handshake>,
    /// When to ask for a session, if that is not yet time.
    hello_at: Option<Time>,
    /// The epoch of the last session.
    epoch: Option<Epoch>,
    closing: Option<Closing>,
    is_over: bool,
    has_moved: bool,
    /// By id.
    rooms: Vec<Room>,
    requests: Requests,
    directs: Directs,
    next_room: u32,
    next_ticket: u64,
}

impl Client {
    /// A client that begins with its HELLO. `seed`: 32 random bytes, not used
    /// twice; who knows them can guess its numbers.
    ///
    /// # Errors
    /// The name is none.
    pub fn new(options: Options, seed: [u8; 32], now: Time) -> Result<Self, Unfit> {
        fit_name(&options.name)?;
        let mut chance = Chance::new(&seed);
        let drawn = Instance(chance.number());
        let instance = if options.instance == Instance(0) { drawn } else { options.instance };
        Ok(Self {
            options,
            instance,
            rtt: Rtt::default(),
            events: Events::default(),
            counts: Counts::default(),
            session: None,
            hello: Some(Handshake::new(&mut chance, now, true)),
            hello_at: None,
            epoch: None,
            closing: None,
            is_over: false,
            has_moved: false,
            rooms: Vec::new(),
            requests: Requests::new(),
            directs: Directs::new(),
            next_room: 1,
            next_ticket: 1,
            chance,
        })
    }

    // ---- in and out -------------------------------------------------------------------

    /// Takes in one datagram from the relay's address. What is not for this client is counted and dropped.
    pub fn handle_datagram(&mut self, now: Time, datagram: &[u8]) {
        self.counts.datagrams_in += 1;
        let (events, bytes) = self.events.size();
        if self.is_over {
            self.counts.foreign += 1;
        } else if events >= EVENTS_MAX || bytes >= EVENT_BYTES_MAX {
            self.counts.undrained += 1;
        } else {
            self.arrive(now, datagram);
        }
    }

    /// Does what has become due.
    pub fn handle_deadline(&mut self, now: Time) {
        if !self.is_over {
            self.handle_timers(now);
        }
    }

    /// When [`handle_deadline`](Self::handle_deadline) and then
    /// [`poll_transmit`](Self::poll_transmit) are to be called next. `None`: it is over.
    pub fn next_deadline(&self) -> Option<Time> {
        self.earliest_timer()
    }

    /// Writes the next datagram to send, and says how many bytes it has.
    ///
    /// # Panics
    /// If `out` has less than [`DATAGRAM_BYTES`].
    pub fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        assert!(out.len() >= DATAGRAM_BYTES, "invariant: a buffer holds any datagram");
        let len = self.depart(now, out)?;
        self.counts.datagrams_out += 1;
        Some(len)
    }

    /// What happened next. It borrows its text from the client: no copy is made.
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        self.events.poll()
    }

    // ---- verbs --------------------------------------------------------------------------

    /// Joins a room, now and after each reconnect. The id is good at once:
    /// what is sent before the relay has answered waits.
    ///
    /// # Errors
    /// The name is none, the room is joined already, or there are [`ROOMS_MAX`] rooms.
    pub fn join(&mut self, now: Time, spec: RoomSpec) -> Result<RoomId, Unfit> {
        self.expect_open()?;
        fit_name(&spec.name)?;
        let is_same = |room: &Room| room.spec.name == spec.name && room.spec.key_id() == spec.key_id();
        if self.rooms.iter().any(|room| is_same(room) && !room.is_leaving) {
            return Err(Unfit::Already);
        }
        if self.rooms.len() >= ROOMS_MAX {
            return Err(Unfit::TooManyRooms);
        }
        let id = RoomId(self.next_room);
        self.requests.ask(now, Ask::Join(id))?;
        self.next_room += 1;
        self.rooms.push(Room::new(id, spec, &mut self.chance));
        Ok(id)
    }

    /// Leaves a room: nothing more is told of it but [`Event::Left`], and what
    /// was not acknowledged is given up.
    ///
    /// # Errors
    /// It is not joined.
    pub fn leave(&mut self, now: Time, room: RoomId) -> Result<(), Unfit> {
        self.expect_open()?;
        let at = self.find_room(room).ok_or(Unfit::NoRoom)?;
        let room = &mut self.rooms[at];
        room.sending.end(&mut self.events);
        let (id, place) = (room.id, room.place);
        room.is_leaving = true;
        while self.requests.take(|ask| matches!(ask, Ask::Join(room) if *room == id)).is_some() {}
        match place {
            Some(place) => _ = self.requests.ask(now, Ask::Leave(Some(id), place.handle))?,
            None => self.forget_room(id),
        }
        Ok(())
    }

    /// Says a text in a room. It goes out as soon as the window allows it,
    /// together with what else waits.
    ///
    /// # Errors
    /// The room is not joined, the text too long (1191 bytes, less in a sealed
    /// room), or too much waits already.
    pub fn send(&mut self, now: Time, room: RoomId, text: &[u8]) -> Result<Ticket, Unfit> {
        self.send_kind(now, room, EntryKind::TEXT, text)
    }

    /// Says something of a kind of its own: 32 and above are the programs'.
    ///
    /// # Errors
    /// As [`send`](Self::send), or the kind is the protocol's own.
    pub fn send_kind(&mut self, now: Time, room: RoomId, kind: EntryKind, payload: &[u8]) -> Result<Ticket, Unfit> {
        self.expect_open()?;
        let at = self.find_room(room).ok_or(Unfit::NoRoom)?;
        let room = &mut self.rooms[at];
        let is_sealed = room.spec.key.is_some();
        if kind != EntryKind::TEXT && (is_sealed || kind.0 < EntryKind::APPLICATION.0) {
            return Err(Unfit::Kind);
        }
        let name = &self.options.name;
        let max = if is_sealed { sealed_text_bytes_max(name) } else { MSG_PAYLOAD_BYTES_MAX };
        if payload.len() > max {
            return Err(Unfit::TooLong { max });
        }
        if !room.sending.has_place(MSG_PAYLOAD_BYTES_MAX) {
            return Err(Unfit::Full);
        }
        let mut bytes = room.sending.buffer();
        let kind = if let Some(key) = room.spec.key.clone() {
            let sealed = room.seal(&key, name, payload, &mut self.chance, &mut bytes);
            sealed.map_err(|_| Unfit::TooLong { max })?;
            EntryKind::SEALED
        } else {
            bytes.extend_from_slice(payload);
            kind
        };
        let ticket = Ticket(self.next_ticket);
        room.sending.push(now, ticket, kind, bytes)?;
        self.next_ticket += 1;
        Ok(ticket)
    }

    /// Says a text to one member alone. The relay passes it on; nobody keeps it.
    ///
    /// # Errors
    /// It is too long (1143 bytes), or too much waits already.
    pub fn direct(&mut self, now: Time, to: MemberId, text: &[u8]) -> Result<Ticket, Unfit> {
        self.expect_open()?;
        if text.len() > DIRECT_PAYLOAD_BYTES_MAX {
            return Err(Unfit::TooLong { max: DIRECT_PAYLOAD_BYTES_MAX });
        }
        let ticket = Ticket(self.next_ticket);
        self.directs.push(now, ticket, to, EntryKind::TEXT, text)?;
        self.next_ticket += 1;
        Ok(ticket)
    }

    /// Asks for another name; [`Event::Nick`] answers.
    ///
    /// # Errors
    /// It is none, or too much is asked already.
    pub fn nick(&mut self, now: Time, name: &str) -> Result<RequestId, Unfit> {
        self.expect_open()?;
        fit_name(name)?;
        self.requests.ask(now, Ask::Nick(name.to_owned()))
    }

    /// Asks who is in a room: [`Event::Member`] for each, then [`Event::ListEnd`].
    ///
    /// # Errors
    /// The room is not joined, or too much is asked already.
    pub fn who(&mut self, now: Time, room: RoomId) -> Result<RequestId, Unfit> {
        self.expect_open()?;
        self.find_room(room).ok_or(Unfit::NoRoom)?;
        self.requests.ask(now, Ask::Who { room, cursor: 0, whom: Whom::All })
    }

    /// Asks for the relay's rooms: [`Event::Room`] for each, then [`Event::ListEnd`].
    ///
    /// # Errors
    /// Too much is asked already.
    pub fn list(&mut self, now: Time) -> Result<RequestId, Unfit> {
        self.expect_open()?;
        self.requests.ask(now, Ask::List { cursor: 0 })
    }

    /// The driver sends from another address now: the relay is told at once.
    pub fn address_changed(&mut self, now: Time) {
        if let Some(session) = &mut self.session {
            session.want_ping(now);
        }
    }

    /// The system says that nobody listens at the relay's address. Anyone can
    /// forge that, and a relay may be about to start again: the relay is asked,
    /// once a second at most, and only its silence counts.
    pub fn relay_unreachable(&mut self, now: Time) {
        if let Some(session) = self.session.as_mut().filter(|_| self.hello.is_none() && self.hello_at.is_none()) {
            session.doubt(now);
        }
    }

    /// Ends: the relay is told three times within 200 ms, what was not
    /// acknowledged is given up. Keep fetching datagrams until
    /// [`next_deadline`](Self::next_deadline) is `None`.
    pub fn close(&mut self, now: Time) {
        if !self.is_over {
            self.say_goodbye(now);
            self.end(End::Done, "");
        }
    }

    // ---- how things are -------------------------------------------------------------------

    /// What was counted so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether there is a session.
    pub fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// Whether it has ended; its last datagrams may still wait to be fetched.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Who this client is to the others, while there is a session.
    pub fn member(&self) -> Option<MemberId> {
        self.session.as_ref().map(|session| session.member)
    }

    /// The key of duplicate detection; keep it secret.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// The smoothed round-trip time; 100 ms before the first answer.
    pub fn round_trip(&self) -> Duration {
        self.rtt.smoothed()
    }

    /// Messages in a room that are neither delivered nor given up.
    pub fn unacknowledged(&self, room: RoomId) -> usize {
        self.find_room(room).map_or(0, |at| self.rooms[at].sending.open())
    }

    /// A member's name in a room, as of what was told last.
    pub fn name_of(&self, room: RoomId, member: MemberId) -> Option<&str> {
        self.rooms[self.find_room(room)?].names.name(member)
    }

    // ---- helpers ----------------------------------------------------------------------------

    fn expect_open(&self) -> Result<(), Unfit> {
        if self.is_over { Err(Unfit::Closed) } else { Ok(()) }
    }

    /// Where a room stands, unless it is being left.
    fn find_room(&self, id: RoomId) -> Option<usize> {
        let at = self.rooms.binary_search_by_key(&id, |room| room.id).ok()?;
        (!self.rooms[at].is_leaving).then_some(at)
    }
}

fn fit_name(name: &str) -> Result<(), Unfit> {
    crate::wire::cursor::name(name.as_bytes()).map(|_| ()).map_err(|_| Unfit::Name)
}
