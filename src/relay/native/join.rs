//! How a session comes into a room and goes, and how rooms begin and end.

use super::frames::Heard;
use super::membership::{Feed, Membership, Report};
use super::room::{LOBBY, LOBBY_NAME, Room, RoomMembers};
use super::session::{NONE, SessionIndex};
use super::{Native, Relay};
use crate::Time;
use crate::batch::{Outbox, RoomIndex};
use crate::config::{self, Limits};
use crate::relay::Mutant;
use crate::relay::admission::Prefix;
use crate::relay::bucket::Bucket;
use crate::relay::history::{PAGE_BYTES, Ring, RingLimits};
use crate::relay::order::List;
use crate::wire::downlink::{Frame, Presence};
use crate::wire::header::Code;
use crate::wire::id::{KeyId, Req, RoomHandle, RoomTag, Seq, Sseq};
use crate::wire::plain::{Change, Name};
use std::sync::Arc;
use std::time::Duration;

/// A room as a JOIN names it: name, key id, sealed, unlisted.
type Asked<'a> = (&'a str, KeyId, bool, bool);

impl Native {
    /// The lobby is always there.
    pub(in crate::relay) fn open_lobby(&mut self, limits: &Limits) {
        let ring =
            Ring::new(self.pools.of_mut(LOBBY), 0, ring_limits(limits)).expect("invariant: the pool holds a ring");
        let lobby = self.new_room((LOBBY_NAME, KeyId(0), false, false), ring, None);
        let index = self.rooms.insert(lobby);
        assert!(index == LOBBY, "invariant: the lobby is the first room");
    }

    fn new_room(&mut self, (name, key_id, sealed, unlisted): Asked<'_>, ring: Ring, creator: Option<Prefix>) -> Room {
        Room {
            name: name.into(),
            key_id,
            key: self.rooms.key(name, key_id),
            sealed,
            unlisted,
            tag: RoomTag(self.secrets.next()),
            renewal: None,
            members: RoomMembers::default(),
            reports: List::EMPTY,
            cast_to: Seq(ring.head()),
            ring,
            uncast_cost: 0,
            is_due: false,
            cast_bytes: 0,
            last_cast_ns: 0,
            busy_since_ns: 0,
            last_entry_ns: 0,
            heads_sent: config::HEAD_AFTER_MS.len() as u8,
            empty_since: None,
            presence: Bucket::default(),
            creator,
        }
    }
}

pub(super) fn ring_limits(limits: &Limits) -> RingLimits {
    RingLimits { pages_max: limits.ring_bytes_max as usize / PAGE_BYTES, messages_max: limits.ring_messages_max }
}

impl Relay {
    pub(super) fn hear_join(
        &mut self,
        now: Time,
        heard: &mut Heard,
        req: Req,
        (name, key_id, sealed, unlisted): Asked<'_>,
        out: &mut Outbox,
    ) {
        let is_lobby = name == LOBBY_NAME;
        let room = if sealed != (key_id != KeyId(0)) || (is_lobby && sealed) {
            Err(Code::Protocol)
        } else {
            self.find_or_open(now, heard.index, (name, key_id, sealed, unlisted))
        };
        match room.and_then(|room| self.enter_room(now, heard.index, room, out)) {
            Ok(at) => {
                let name = Arc::clone(&self.native.sessions.session(heard.index).name);
                self.reply(heard, &self.joined(at, req, &name), out);
                let room = self.native.memberships.at(at).room;
                if self.native.rooms.at(room).renewal.is_some() {
                    self.reply(heard, &self.head_of(room), out);
                }
            }
            Err(code) => self.reply(heard, &refused(req, code), out),
        }
    }

    /// The room of that name; a new one if there is none.
    fn find_or_open(&mut self, now: Time, index: SessionIndex, asked: Asked<'_>) -> Result<RoomIndex, Code> {
        if let Some(room) = self.native.rooms.find(asked.0, asked.1) {
            return Ok(room);
        }
        let prefix = Prefix::of(self.native.sessions.session(index).path.remote.ip());
        let native = &mut self.native;
        let created = native.rooms_by_prefix.get(&prefix).copied().unwrap_or(0);
        if self.limits.prefix_rooms_max != 0 && created >= self.limits.prefix_rooms_max {
            return Err(Code::Limit);
        }
        if u32::from(native.sessions.session(index).memberships) >= self.limits.rooms_per_session_max {
            return Err(Code::Limit);
        }
        let (limits, reuses_seqs) = (ring_limits(&self.limits), self.is_mutant(Mutant::SeqReused));
        let has_ring = |native: &Native| !native.rooms.is_full() && native.pools.has_ring();
        if !has_ring(&self.native) {
            let empty = self.native.rooms.longest_empty().ok_or(Code::Limit)?;
            self.end_room(empty);
        }
        let native = &mut self.native;
        // A number is never used twice for what has the same handle or name.
        let head = if reuses_seqs { 0 } else { native.rooms.highest_ended.0 };
        let ring = Ring::new(native.pools.for_new(), head, limits).ok_or(Code::Limit)?;
        let room = native.new_room(asked, ring, Some(prefix));
        *native.rooms_by_prefix.entry(prefix).or_insert(0) += 1;
        self.counters.native.rooms_opened += 1;
        let index = self.native.rooms.insert(room);
        self.native.rooms.set_empty(index, Some(now));
        Ok(index)
    }

    /// Makes a session a member of a room, if it is none.
    fn enter_room(&mut self, now: Time, index: SessionIndex, room: RoomIndex, out: &mut Outbox) -> Result<u32, Code> {
        let native = &mut self.native;
        let session = native.sessions.session(index);
        if let Some(at) = native.memberships.find(session.first_membership, room) {
            self.begin_reports(now, at);
            return Ok(at);
        }
        if u32::from(session.memberships) >= self.limits.rooms_per_session_max {
            return Err(Code::Limit);
        }
        let here = native.rooms.at(room);
        if self.limits.room_members_max != 0 && here.members.all.len() >= self.limits.room_members_max as usize {
            return Err(Code::Full);
        }
        let next_sseq = native.instances.at(session.instance).next_sseq(here.key);
        let (path, next) = (session.path, session.first_membership);
        let at = native.memberships.insert(Membership {
            session: index,
            room,
            next,
            place: 0,
            roster_place: 0,
            is_live: true,
            owes_ack: false,
            early: Sseq(0),
            slowed: [false; 2],
            next_sseq,
            acked_seq: Seq(0),
            named_at: Seq(0),
            entered_at: Seq(0),
            report: Report::of_newcomer(now, here),
            feed: Feed::default(),
        });
        let session = native.sessions.session_mut(index);
        session.first_membership = at;
        session.memberships += 1;
        native.rooms.set_empty(room, None);
        let here = native.rooms.at_mut(room);
        native.memberships.enter(at, &mut here.members, path);
        native.membership_links.push_back(&mut here.reports, at);
        self.arm_room(room);
        self.enter_joined(now, at, out);
        Ok(at)
    }

    fn enter_joined(&mut self, now: Time, at: u32, out: &mut Outbox) {
        let native = &self.native;
        let Membership { session, room, .. } = *native.memberships.at(at);
        let session = native.sessions.session(session);
        let (member, name) = (session.member, Arc::clone(&session.name));
        if let Some(seq) = self.enter_presence(now, room, member, &Presence::Joined { name: &name }, false, out) {
            let membership = self.native.memberships.at_mut(at);
            membership.named_at = seq;
            membership.entered_at = seq;
        }
        if room == LOBBY {
            self.tell_plain(now, Change::Joined, &name, out);
        }
    }

    /// Tells the plain members that a native one came or went.
    fn tell_plain(&mut self, now: Time, change: Change, name: &str, out: &mut Outbox) {
        if self.peers.len() == 0 {
            return;
        }
        if out.spare().0 == 0 {
            self.counters.notices_suppressed += 1;
            return;
        }
        let name = Name::parse(name).expect("invariant: a member's name is a name");
        self.notify(now, change, &name, None, out);
    }

    fn joined<'n>(&self, at: u32, req: Req, name: &'n str) -> Frame<'n> {
        let native = &self.native;
        let membership = native.memberships.at(at);
        let room = native.rooms.at(membership.room);
        Frame::Joined {
            req,
            room: Room::handle(membership.room),
            code: Code::Ok,
            tag: room.cast_tag(),
            members: self.members_of(membership.room),
            head: Seq(room.ring.head()),
            tail: Seq(room.ring.tail()),
            next_sseq: membership.next_sseq,
            name,
        }
    }

    /// Members of a room, plain ones included.
    pub(super) fn members_of(&self, room: RoomIndex) -> u32 {
        let plain = if room == LOBBY { self.peers.len() } else { 0 };
        u32::try_from(self.native.rooms.at(room).members.all.len() + plain).unwrap_or(u32::MAX)
    }

    /// How far a room is, for one member.
    pub(super) fn head_of(&self, index: RoomIndex) -> Frame<'static> {
        let room = self.native.rooms.at(index);
        Frame::Head {
            room: Room::handle(index),
            tag: room.tag,
            members: self.members_of(index),
            head: Seq(room.ring.head()),
            tail: Seq(room.ring.tail()),
        }
    }

    pub(super) fn hear_leave(&mut self, now: Time, index: SessionIndex, room: RoomIndex, out: &mut Outbox) -> Code {
        let native = &self.native;
        let first = native.sessions.session(index).first_membership;
        if let Some(at) = native.memberships.find(first, room) {
            self.leave_room(now, at, Code::Ok, out);
        }
        // Not there: it has left before, and asks again because it heard no answer.
        Code::Ok
    }

    pub(super) fn first_membership(&self, index: SessionIndex) -> Option<u32> {
        let first = self.native.sessions.session(index).first_membership;
        (first != NONE).then_some(first)
    }

    /// Ends a membership.
    pub(super) fn leave_room(&mut self, now: Time, at: u32, code: Code, out: &mut Outbox) {
        let native = &mut self.native;
        let Membership { session: index, room, .. } = *native.memberships.at(at);
        native.unlink(at);
        let here = native.rooms.at_mut(room);
        native.memberships.exit(at, &mut here.members);
        if here.members.all.is_empty() {
            native.rooms.set_empty(room, Some(now));
        }
        let session = native.sessions.session_mut(index);
        session.memberships -= 1;
        let (member, name, instance) = (session.member, Arc::clone(&session.name), session.instance);
        native.forget_membership(index, at);
        let membership = native.memberships.remove(at);
        let here = native.rooms.at(room);
        native.instances.at_mut(instance).keep(here.key, membership.next_sseq);
        let known = membership.entered_at.0 >= here.ring.tail() && membership.entered_at != Seq(0);
        self.enter_presence(now, room, member, &Presence::Left { code, name: &name }, known, out);
        if room == LOBBY {
            self.tell_plain(now, Change::Left, &name, out);
        }
        self.arm_room(room);
    }

    /// Ends a room that nobody is in.
    pub(super) fn end_room(&mut self, room: RoomIndex) {
        let native = &mut self.native;
        native.room_timers.cancel(u32::from(room.0));
        native.turn.rooms.retain(|&other| other != room);
        if let Some(prefix) = native.rooms.remove(room, native.pools.of_mut(room))
            && let Some(created) = native.rooms_by_prefix.get_mut(&prefix)
        {
            *created -= 1;
            if *created == 0 {
                native.rooms_by_prefix.remove(&prefix);
            }
        }
        self.counters.native.rooms_ended += 1;
    }

    /// When an empty room ends.
    pub(super) fn room_expiry(&self, index: RoomIndex) -> Option<Time> {
        let since = self.native.rooms.at(index).empty_since?;
        (index != LOBBY).then(|| since + Duration::from_millis(self.limits.room_idle_ms))
    }
}

impl Native {
    /// Takes a membership off the list of its room's reports, or of those that are fed.
    pub(super) fn unlink(&mut self, at: u32) {
        let Membership { room, is_live, .. } = *self.memberships.at(at);
        let list = if is_live { &mut self.rooms.at_mut(room).reports } else { &mut self.feeding };
        self.membership_links.remove(list, at);
    }

    /// Takes a membership off its session's list.
    fn forget_membership(&mut self, index: SessionIndex, at: u32) {
        let next = self.memberships.at(at).next;
        let session = self.sessions.session_mut(index);
        if session.first_membership == at {
            session.first_membership = next;
            return;
        }
        let first = session.first_membership;
        let before = self.memberships.of(first).find(|&before| self.memberships.at(before).next == at);
        let before = before.expect("invariant: a membership is on its session's list");
        self.memberships.at_mut(before).next = next;
    }
}

pub(super) fn refused(req: Req, code: Code) -> Frame<'static> {
    Frame::Joined {
        req,
        room: RoomHandle(0),
        code,
        tag: RoomTag(0),
        members: 0,
        head: Seq(0),
        tail: Seq(0),
        next_sseq: Sseq(0),
        name: "",
    }
}
