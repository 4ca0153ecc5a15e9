//! The relay: the plain chat room as a state machine. Bytes, addresses and
//! time come in; what is to be sent goes to an [`Outbox`]. Never reads a
//! clock, opens a socket, draws a random number or starts a thread.
//!
//! `peers` knows who is here, `admission` who may come, `notices` when the
//! room is told, `mirror` who is an echo; this file joins them into the rows
//! of the table in `wire/PROTOCOL.md`.

mod admission;
mod bans;
mod bucket;
mod challenge;
mod console;
mod cookie;
mod event;
mod hash;
mod history;
mod members;
mod mirror;
mod mutants;
mod names;
mod native;
mod notices;
mod order;
mod peers;
mod recent;
mod snapshot;
mod steering;
mod strangers;
mod timers;

pub use bans::{Ban, BanTarget, Network, NotBannable};
pub use event::{Command, Event, Outcome, Target};
#[cfg(feature = "mutants")]
pub use mutants::Mutant;
pub use native::{RoomView, SlowView};
#[cfg(unix)]
pub(crate) use snapshot::AddrRow;
pub use snapshot::{Snapshot, Unfit};

use crate::Time;
use crate::batch::{MemberIndex, Outbox, Path, Roster};
use crate::config::{self, Limits};
use crate::metrics::{Counters, DropReason};
use crate::wire::plain::{self, Answer, Text};
use admission::Admission;
use bans::Bans;
use bucket::Rate;
use console::Console;
use hash::SeededHash;
use mirror::MirrorGuard;
#[cfg(not(feature = "mutants"))]
use mutants::Mutant;
use names::Names;
use native::Native;
use notices::{Notices, Room};
use peers::Peers;
use std::collections::VecDeque;
use std::net::SocketAddr;
use steering::{Gate, Sweep};

/// Members that one call of [`Relay::handle_deadline`] expires or warns at most.
const EXPIRIES_PER_CALL: usize = 16;

/// What a datagram turned out to be. Each is exactly one.
enum Verdict {
    Relayed,
    Control,
    Dropped(DropReason),
}

/// The relay's whole state.
///
/// Memory: what `limits.peers_max` needs (see `peers`), the fixed tables of
/// `config`, all taken in [`Relay::new`].
pub struct Relay {
    limits: Limits,
    /// What all its secrets follow from.
    seed: [u8; 32],
    /// The address the relay is bound to: nobody else's.
    own: SocketAddr,
    rates: Rates,
    lang: plain::Lang,
    counters: Counters,
    peers: Peers,
    admission: Admission,
    notices: Notices,
    names: Names,
    native: Native,
    mirror: MirrorGuard,
    bans: Bans,
    sweep: Option<Sweep>,
    gate: Gate,
    hash: SeededHash,
    console: Option<Console>,
    events: VecDeque<Event>,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

/// The rates that each member has.
struct Rates {
    messages: Rate,
    bytes: Rate,
    told: Rate,
}

impl Rates {
    fn of(limits: &Limits) -> Self {
        Self {
            messages: Rate::per_second(limits.msgs_per_s, 0),
            bytes: Rate::per_second(limits.bytes_per_s, config::BYTE_BURST_MIN),
            told: Rate { per_s: 1, burst: 1 },
        }
    }
}

impl Relay {
    /// A relay without members. `own` is the address it is bound to, `seed`
    /// 32 random bytes: who knows them can forge join codes.
    pub fn new(limits: &Limits, own: SocketAddr, seed: [u8; 32]) -> Self {
        let mut relay = Self::empty(limits, own, seed);
        relay.native.open_lobby(limits);
        relay
    }

    /// A relay without a room.
    fn empty(limits: &Limits, own: SocketAddr, seed: [u8; 32]) -> Self {
        let key = blake3::derive_key("outcry 1 table hash", &seed);
        let hash = SeededHash::new(std::array::from_fn(|at| key[at]));
        let lang = steering::plain_lang(limits.lang);
        Self {
            seed,
            own,
            rates: Rates::of(limits),
            lang,
            counters: Counters::default(),
            peers: Peers::new(limits.peers_max, hash),
            admission: Admission::new(limits, &seed, hash),
            notices: Notices::new(lang, limits.notices_per_s, limits.notice_copies_per_s),
            names: Names::new(hash),
            native: Native::new(limits, &seed, hash),
            mirror: MirrorGuard::new(hash),
            bans: Bans::new(hash),
            sweep: None,
            gate: Gate::default(),
            hash,
            console: limits.console.then(|| Console::new(limits.idle_ms, hash)),
            events: VecDeque::new(),
            limits: limits.clone(),
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Takes in one datagram of one peer, or of nobody known.
    pub fn handle_datagram(&mut self, now: Time, path: Path, bytes: &[u8], out: &mut Outbox) {
        self.counters.datagrams_in += 1;
        let verdict = if admission::is_possible_peer(&path, self.own) {
            self.hear(now, path, bytes, out)
        } else {
            Verdict::Dropped(DropReason::BadSource)
        };
        match verdict {
            Verdict::Relayed => self.counters.relayed += 1,
            Verdict::Control => self.counters.control += 1,
            Verdict::Dropped(reason) => self.counters.drop(reason),
        }
    }

    /// Takes note of a datagram that was longer than a receive slot. It is
    /// never relayed; a member is told so.
    pub fn handle_truncated(&mut self, now: Time, path: Path, out: &mut Outbox) {
        self.counters.datagrams_in += 1;
        self.counters.drop(DropReason::Truncated);
        if let Some(index) = self.peers.find(path.remote) {
            self.peers.touch(index, path, now);
            self.peers.peer_mut(index).echoes = 0;
            self.explain(now, index, Answer::TooLong(config::LINE_BYTES_MAX), out);
        }
    }

    fn hear(&mut self, now: Time, path: Path, bytes: &[u8], out: &mut Outbox) -> Verdict {
        let text = Text::parse(bytes);
        let member = self.peers.find(path.remote);
        if text == Text::Native {
            // Of a plain member: it was heard, and this was no echo.
            if let Some(index) = member {
                self.peers.touch(index, path, now);
                self.peers.peer_mut(index).echoes = 0;
            }
            self.counters.native.datagrams_in += 1;
            let verdict = self.hear_native(now, path, bytes, out);
            self.counters.native.relayed += u64::from(matches!(verdict, Verdict::Relayed));
            return verdict;
        }
        if member.is_none() && self.native.sessions.find_address(path.remote).is_some() {
            return Verdict::Dropped(DropReason::TextFromNative);
        }
        let wants_in = member.is_none() && matches!(text, Text::Bare(_) | Text::Line { .. });
        if wants_in && self.bans.cover_address(path.remote.ip(), now) {
            return Verdict::Dropped(DropReason::Banned);
        }
        if let Some(console) = &mut self.console
            && matches!(text, Text::Bare(_) | Text::Line { .. } | Text::Exit)
        {
            console.note(now, path, member.is_some());
            let text = Box::from(&bytes[..bytes.len().min(config::LINE_BYTES_MAX)]);
            self.events.push_back(Event::Heard { remote: path.remote, text });
        }
        match member {
            Some(index) => self.hear_member(now, index, path, text, bytes, out),
            None => self.hear_stranger(now, path, text, bytes, out),
        }
    }

    /// Takes note that the port at `remote` answered that nobody is there.
    /// One such report can be forged, so it takes several, some time apart,
    /// with nothing heard in between.
    pub fn handle_unreachable(&mut self, now: Time, remote: SocketAddr, out: &mut Outbox) {
        let Some(index) = self.peers.find(remote) else { return self.probe(now, remote, out) };
        let peer = self.peers.peer_mut(index);
        if peer.unreachables == 0 {
            peer.unreachable_since_ns = now.nanos();
        }
        peer.unreachables = peer.unreachables.saturating_add(1);
        let long = now.nanos().saturating_sub(peer.unreachable_since_ns) >= config::UNREACHABLE_SPAN_MS * 1_000_000;
        if long && peer.unreachables >= config::UNREACHABLE_COUNT {
            self.leave(now, index, crate::metrics::LeaveReason::Unreachable, out);
        }
    }

    /// Does what has become due. What does not fit in one turn stays due.
    pub fn handle_deadline(&mut self, now: Time, out: &mut Outbox) {
        self.handle_silence(now, out);
        self.handle_native_deadline(now, out);
        self.handle_steps(now, out);
        let peers = &self.peers;
        let member_at = |remote| peers.find(remote).map(|index| (index, peers.path(index)));
        let mut room = Room { members: peers.len(), mirror: &mut self.mirror, counters: &mut self.counters, out };
        self.notices.handle_deadline(now, member_at, &mut room);
    }

    /// When [`handle_deadline`](Self::handle_deadline) is to be called next. O(1).
    pub fn next_deadline(&self) -> Option<Time> {
        let silence = [self.next_warning(), self.next_expiry()];
        let due = [self.notices.next_deadline(), self.next_native_deadline(), self.next_step()];
        let due = silence.into_iter().chain(due);
        due.flatten().min()
    }

    /// What happened since the last call, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The plain members' ways.
    pub fn roster(&self) -> &Roster {
        self.peers.roster()
    }

    /// Members now, plain and native.
    pub fn members(&self) -> usize {
        self.peers.len() + self.native.sessions.len()
    }

    /// Native members now.
    pub fn sessions(&self) -> usize {
        self.native.sessions.len()
    }

    /// Rooms now.
    pub fn rooms(&self) -> usize {
        self.native.rooms.len()
    }

    /// Sends one `[relay] ...` line to one address.
    fn answer(&mut self, to: Path, answer: Answer<'_>, out: &mut Outbox) {
        out.unicast(to, plain::answer(self.lang, answer).as_bytes());
        self.counters.answers += 1;
    }

    /// Tells a member why its line was dropped, but not more than once a second.
    fn explain(&mut self, now: Time, index: MemberIndex, answer: Answer<'_>, out: &mut Outbox) {
        if self.peers.peer_mut(index).told.take(self.rates.told, 1, now) {
            self.answer(self.peers.path(index), answer, out);
        }
    }
}
