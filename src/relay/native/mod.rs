//! The native half of the relay: sessions, rooms, one order in each, repair.
//! `handshake` makes sessions, `frames` reads what they send, `publish` enters
//! it in a room, `fanout` sends it at the end of the turn, `repair` sends it
//! again. Never reads a clock, and keeps nothing for an unproven address.

mod direct;
mod fanout;
mod frames;
mod handshake;
mod instance;
mod join;
mod leave;
mod listing;
mod membership;
mod presence;
mod publish;
mod repair;
mod reply;
mod room;
mod session;
mod snapshot;
mod views;

pub(super) use leave::Ending;
pub use views::{RoomView, SlowView};

use super::bucket::{Bucket, Rate};
use super::cookie::Cookies;
use super::hash::SeededHash;
use super::order::{Links, List};
use super::recent::RecentTable;
use super::timers::Timers;
use super::{Relay, Target, Verdict};
use crate::Time;
use crate::batch::{Outbox, Path, RoomIndex, Roster, Rosters};
use crate::config::{self, AccessKey, Limits};
use crate::metrics::DropReason;
use crate::wire::handshake::OtherVersion;
use crate::wire::header::{DATAGRAM_BYTES_MAX, Malformed, VERSION};
use crate::wire::id::{Ccid, Epoch, MemberId, Nonce, Scid};
use crate::wire::uplink::{Session, Uplink};
use fanout::Packer;
use instance::{Instances, Spent};
use leave::Closing;
use membership::Memberships;
use room::{Pools, Rooms};
use session::{SessionIndex, Sessions};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// The native half of the relay's state.
pub(super) struct Native {
    pub(super) epoch: Epoch,
    cookies: Cookies,
    secrets: Secrets,
    access_key: Option<[u8; 32]>,
    /// Where those are sent whose session ends because the relay is to be empty.
    pub(super) moved_to: Option<Box<str>>,
    pub(super) sessions: Sessions,
    instances: Instances,
    pub(super) rooms: Rooms,
    memberships: Memberships,
    /// A live membership is in its room's `reports`, another in `feeding`.
    membership_links: Links,
    feeding: List,
    feed_due: Option<Time>,
    pools: Pools,
    /// Sessions that their clients closed.
    closed: RecentTable<(Ccid, Nonce), ()>,
    ended: RecentTable<Scid, ()>,
    /// CLOSEs that are still to be repeated.
    closing: VecDeque<Closing>,
    /// Sessions whose port is said to be closed, and until when they may speak.
    probed: VecDeque<(Time, Scid)>,
    rooms_by_prefix: HashMap<super::admission::Prefix, u32, SeededHash>,
    room_timers: Timers,
    version_answers: Bucket,
    no_session_answers: Bucket,
    /// The id of the next native member, and of the next plain one.
    next_member: MemberId,
    next_plain: MemberId,
    turn: Turn,
    packer: Packer,
}

/// What happened since the last end of a turn.
struct Turn {
    retries: u32,
    repairs: u32,
    entry_bytes: usize,
    /// Rooms with something to cast.
    rooms: Vec<RoomIndex>,
    /// Memberships that are owed an ACK.
    acks: Vec<u32>,
    /// Memberships that were told that they are too fast.
    slowed: Vec<u32>,
    /// Sessions that said something, or asked for it again.
    spoke: Vec<SessionIndex>,
    /// What those said whose turn ended last: messages and bytes.
    said: Vec<(SocketAddr, u32, u32)>,
}

/// What a member of one room needs at most beside its name: its session, instance and
/// membership, their links, its places in five tables and on a roster.
const MEMBER_BYTES: usize = size_of::<Option<session::Session>>()
    + size_of::<Option<instance::Remembered>>()
    + size_of::<Option<membership::Membership>>()
    + 3 * size_of::<[u32; 2]>()
    + 5 * 10
    + 2 * size_of::<u32>()
    + size_of::<Path>();
const _: () = assert!(MEMBER_BYTES <= 512, "the memory that the doc of Limits::sessions_max names");

impl Native {
    /// No room is open yet.
    pub(super) fn new(limits: &Limits, seed: &[u8; 32], hash: SeededHash) -> Self {
        let mut secrets = Secrets::new(seed);
        let (sessions, rooms) = (limits.sessions_max as usize, limits.rooms_max as usize);
        let memberships = sessions * config::ROOMS_PER_SESSION_MAX;
        let first = secrets.next() as u32;
        let mut native = Self {
            epoch: Epoch(secrets.next()),
            cookies: Cookies::new(seed),
            access_key: None,
            moved_to: None,
            sessions: Sessions::new(limits.sessions_max, hash),
            instances: Instances::new(limits.sessions_max, hash),
            rooms: Rooms::new(limits.rooms_max, hash),
            memberships: Memberships::new(sessions * 2),
            membership_links: Links::new(memberships),
            feeding: List::EMPTY,
            feed_due: None,
            pools: Pools::new(limits),
            closed: RecentTable::new(config::CLOSED_REMEMBERED_MAX, hash),
            ended: RecentTable::new(config::CLOSED_REMEMBERED_MAX, hash),
            closing: VecDeque::with_capacity(config::CLOSING_MAX),
            probed: VecDeque::with_capacity(config::CLOSING_MAX),
            rooms_by_prefix: HashMap::with_capacity_and_hasher(rooms, hash),
            room_timers: Timers::new(limits.rooms_max),
            version_answers: Bucket::default(),
            no_session_answers: Bucket::default(),
            next_member: MemberId(first | 1),
            next_plain: MemberId((first & !1).max(2)),
            turn: Turn {
                retries: 0,
                repairs: 0,
                entry_bytes: 0,
                rooms: Vec::with_capacity(rooms),
                acks: Vec::with_capacity(config::INBOX_DATAGRAMS * config::ROOMS_PER_SESSION_MAX),
                slowed: Vec::with_capacity(config::INBOX_DATAGRAMS * config::ROOMS_PER_SESSION_MAX),
                spoke: Vec::with_capacity(config::INBOX_DATAGRAMS),
                said: Vec::with_capacity(config::INBOX_DATAGRAMS),
            },
            packer: Packer::new(),
            secrets,
        };
        native.set_access_key(limits.access_key.as_ref());
        native
    }

    /// What a client must prove from now on to know.
    pub(super) fn set_access_key(&mut self, key: Option<&AccessKey>) {
        self.access_key = key.map(|key| blake3::derive_key("outcry 1 access", key.as_bytes()));
    }

    /// Refuses the messages of a client, or does not any more. Returns where it is.
    pub(super) fn mute(&mut self, target: &Target, muted: bool) -> Option<SocketAddr> {
        let session = self.sessions.session_mut(self.sessions.find_target(target)?);
        session.muted = muted;
        self.instances.at_mut(session.instance).muted = muted;
        Some(session.path.remote)
    }

    /// Takes note that a session's client is kicked: it is refused for a minute, whatever its address.
    pub(super) fn note_kick(&mut self, index: SessionIndex) {
        self.instances.at_mut(self.sessions.session(index).instance).kicked = true;
    }

    /// What a session's client has used of its rates.
    fn spent(&mut self, index: SessionIndex) -> &mut Spent {
        &mut self.instances.at_mut(self.sessions.session(index).instance).spent
    }

    /// The id of a new native member: odd, so that it is no plain member's.
    fn fresh_member(&mut self) -> MemberId {
        let member = self.next_member;
        self.next_member = MemberId(member.0.wrapping_add(2));
        member
    }

    /// The id of a new plain member: even, and never 0.
    pub(super) fn fresh_plain(&mut self) -> MemberId {
        let member = self.next_plain;
        self.next_plain = MemberId(member.0.wrapping_add(2).max(2));
        member
    }

    /// Whether a member id is a plain member's, by its form.
    fn is_plain(member: MemberId) -> bool {
        member.0.is_multiple_of(2)
    }
}

/// A stream of secrets from the relay's seed: tickets, tags, the epoch.
struct Secrets {
    key: [u8; 32],
    drawn: u64,
}

impl Secrets {
    fn new(seed: &[u8; 32]) -> Self {
        Self { key: blake3::derive_key("outcry 1 native secrets", seed), drawn: 0 }
    }

    /// Never 0.
    fn next(&mut self) -> u64 {
        self.drawn += 1;
        let digest = blake3::keyed_hash(&self.key, &self.drawn.to_le_bytes());
        let bytes = digest.as_bytes().first_chunk().expect("invariant: a digest is 32 bytes");
        u64::from_le_bytes(*bytes).max(1)
    }
}

impl Relay {
    /// A datagram that begins with the native magic.
    pub(super) fn hear_native(&mut self, now: Time, path: Path, bytes: &[u8], out: &mut Outbox) -> Verdict {
        // Whose it is comes before what it says.
        let known = Session::envelope(bytes).map(|(scid, _)| (scid, self.native.sessions.find_scid(scid)));
        if let Some((scid, None)) = known {
            return self.tell_no_session(now, path, scid, bytes, out);
        }
        match (Uplink::parse(bytes), known) {
            (Ok(Uplink::Hello(hello)), _) => self.hear_hello(now, path, &hello, bytes, out),
            (Ok(Uplink::Session(session)), Some((_, Some(index)))) => self.hear_session(now, path, index, session, out),
            (Ok(Uplink::Session(_)), _) => Verdict::Dropped(DropReason::NoSession),
            (Err(Malformed::OtherVersion { hello, .. }), _) => self.tell_version(now, path, hello, out),
            (Err(malformed), _) => Verdict::Dropped(reason_of(malformed)),
        }
    }

    fn tell_version(&mut self, now: Time, path: Path, hello: Option<Ccid>, out: &mut Outbox) -> Verdict {
        let rate = Rate::per_second(config::VERSION_ANSWERS_PER_S, 0);
        if let Some(ccid) = hello
            && self.native.version_answers.take(rate, 1, now)
        {
            let answer = OtherVersion { ccid, versions: [VERSION, 0, 0, 0, 0, 0, 0, 0] };
            self.tell(path, &answer.encode(), out);
        }
        Verdict::Dropped(DropReason::NativeVersion)
    }

    /// Sends one small datagram, if this turn still has room for it.
    fn tell(&mut self, to: Path, bytes: &[u8], out: &mut Outbox) {
        assert!(bytes.len() <= DATAGRAM_BYTES_MAX, "a native datagram of {} bytes", bytes.len());
        match out.spare() {
            (_, 0) => self.counters.native.answers_dropped += 1,
            _ => {
                out.unicast(to, bytes);
                self.counters.native.answers += 1;
            }
        }
    }

    /// Does what has become due in the native half.
    pub(super) fn handle_native_deadline(&mut self, now: Time, out: &mut Outbox) {
        self.expire_sessions(now, out);
        self.repeat_closes(now, out);
        self.serve_rooms(now, out);
        self.feed_due(now, out);
    }

    /// When the native half is to be called next.
    pub(super) fn next_native_deadline(&self) -> Option<Time> {
        let native = &self.native;
        let due = [
            self.next_session_expiry(),
            native.closing.front().map(|closing| closing.due),
            native.probed.front().map(|&(due, _)| due),
            native.instances.next_end(),
            native.room_timers.next(),
            native.feed_due,
        ];
        due.into_iter().flatten().min()
    }
}

fn reason_of(malformed: Malformed) -> DropReason {
    match malformed {
        Malformed::WrongDirection => DropReason::NativeFromRelay,
        Malformed::OtherVersion { .. } => DropReason::NativeVersion,
        Malformed::UnknownType(_) => DropReason::NativeType,
        Malformed::NotNative | Malformed::Size => DropReason::NativeSize,
        Malformed::Overrun | Malformed::Frame | Malformed::Name | Malformed::NotForRoom => DropReason::NativeFrame,
    }
}

impl Rosters for Relay {
    fn plain(&self) -> &Roster {
        self.peers.roster()
    }

    fn live(&self, room: RoomIndex) -> &Roster {
        &self.native.rooms.at(room).members.live_roster
    }

    fn fed(&self, room: RoomIndex) -> &Roster {
        &self.native.rooms.at(room).members.fed_roster
    }
}
