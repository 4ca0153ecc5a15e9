//! The end of a turn: what each room took in leaves for its members, the same
//! bytes for all, and who must be told otherwise is told.

use super::room::Room;
use crate::Time;
use crate::batch::{Audience, Outbox, RoomIndex};
use crate::config;
use crate::relay::history::{FRESH_COST_MAX, Pool};
use crate::relay::{Mutant, Relay};
use crate::wire::downlink::{BATCH_OVERHEAD, Builder, Frame};
use crate::wire::header::{DATAGRAM_BYTES_MAX, ROOM_OVERHEAD};
use crate::wire::id::{RoomTag, Seq, Sseq};
use std::time::Duration;

/// Entry bytes that fit in a datagram with one BATCH.
const ENTRY_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - ROOM_OVERHEAD - BATCH_OVERHEAD;
/// Datagrams that hold what a ring may have fresh: any two hold more than one's worth.
const DATAGRAMS_MAX: usize = 2 * FRESH_COST_MAX.div_ceil(ENTRY_BYTES_MAX) + 2;

/// Lays a room's fresh entries into datagrams.
///
/// Memory: 53 KB, taken at the start.
pub(super) struct Packer {
    space: Box<[u8]>,
    lens: Vec<u16>,
}

impl Packer {
    pub(super) fn new() -> Self {
        let space = vec![0xFF; DATAGRAMS_MAX * DATAGRAM_BYTES_MAX].into_boxed_slice();
        Self { space, lens: Vec::with_capacity(DATAGRAMS_MAX) }
    }

    /// Casts all that a room has not cast yet. False: the turn has no place
    /// left for it; the members see what they miss, and ask for it.
    #[must_use]
    pub(super) fn cast(&mut self, index: RoomIndex, room: &mut Room, pool: &Pool, out: &mut Outbox) -> bool {
        let (from, head) = (room.cast_to.0 + 1, room.ring.head());
        room.cast_to = Seq(head);
        room.uncast_cost = 0;
        if room.members.live.is_empty() || from > head {
            return true;
        }
        // Datagrams of about the same length: a train's segments are filled up to the longest.
        let bytes = room.ring.bytes_from(pool, from);
        let datagrams = bytes.div_ceil(ENTRY_BYTES_MAX);
        let share = bytes.div_ceil(datagrams) + ENTRY_BYTES_MAX / 16;
        self.pack(index, room, pool, (from, head), share.min(ENTRY_BYTES_MAX));
        if self.lens.len() > datagrams && share < ENTRY_BYTES_MAX {
            self.pack(index, room, pool, (from, head), ENTRY_BYTES_MAX);
        }
        room.cast_bytes += self.lens.iter().map(|&len| u64::from(len)).sum::<u64>();
        let messages = (head + 1 - from) as usize;
        self.send(index, Audience::Live, messages, out)
    }

    /// Casts what is packed, if the turn has a place for it.
    fn send(&self, index: RoomIndex, audience: Audience, messages: usize, out: &mut Outbox) -> bool {
        let longest = self.lens.iter().copied().max().map_or(0, usize::from);
        let (casts, bytes) = out.spare_casts();
        let fits = casts > 0 && longest * self.lens.len() <= bytes;
        if fits {
            out.cast(index, audience, (&self.space, DATAGRAM_BYTES_MAX), &self.lens, messages);
        }
        fits
    }

    fn pack(&mut self, index: RoomIndex, room: &Room, pool: &Pool, (from, head): (u64, u64), share: usize) {
        self.lens.clear();
        let mut next = from;
        for space in self.space.chunks_exact_mut(DATAGRAM_BYTES_MAX) {
            if next > head {
                return;
            }
            let mut builder = Builder::to_room(space, room.cast_tag());
            next = fill(&mut builder, index, room, pool, (next, head), share);
            self.lens.push(builder.len() as u16);
        }
        assert!(next > head, "invariant: what is fresh fits in {DATAGRAMS_MAX} datagrams");
    }

    /// Casts how far a room is, to everyone in it.
    #[must_use]
    fn cast_head(&mut self, index: RoomIndex, room: &Room, members: u32, out: &mut Outbox) -> bool {
        let mut builder = Builder::to_room(&mut self.space[..DATAGRAM_BYTES_MAX], room.cast_tag());
        builder.push(&Frame::Head {
            room: Room::handle(index),
            tag: RoomTag(0),
            members,
            head: Seq(room.ring.head()),
            tail: Seq(room.ring.tail()),
        });
        self.lens.clear();
        self.lens.push(builder.len() as u16);
        self.send(index, Audience::Everyone, 0, out)
    }
}

/// Adds entries from `next` on, up to `share` bytes of them, but at least one
/// if it fits at all. Returns the first that is not in.
pub(super) fn fill(
    builder: &mut Builder<'_>,
    index: RoomIndex,
    room: &Room,
    pool: &Pool,
    (mut next, last): (u64, u64),
    mut share: usize,
) -> u64 {
    while next <= last {
        let space = builder.room_left().saturating_sub(BATCH_OVERHEAD);
        let run = room.ring.run(pool, next, last, space.min(share));
        let first = || builder.is_empty().then(|| room.ring.run(pool, next, next, space)).flatten();
        let Some(run) = run.or_else(first) else { break };
        builder.batch(Room::handle(index), run.time_s, Seq(run.base), run.count, run.bytes);
        next += u64::from(run.count);
        share = share.saturating_sub(run.bytes.len());
    }
    next
}

impl Relay {
    /// Ends a turn: what was said leaves for the rooms. To be called before
    /// each flush, after all that a turn takes in.
    pub fn end_turn(&mut self, now: Time, out: &mut Outbox) {
        self.cast_rooms(now, out);
        self.send_acks(out);
        self.forget_turn();
    }

    fn cast_rooms(&mut self, now: Time, out: &mut Outbox) {
        let mut due = std::mem::take(&mut self.native.turn.rooms);
        for &index in &due {
            let native = &mut self.native;
            let room = native.rooms.at_mut(index);
            self.counters.native.casts_dropped +=
                u64::from(!native.packer.cast(index, room, native.pools.of(index), out));
            room.is_due = false;
            room.note_cast(now);
            let is_fed = !room.members.fed.is_empty();
            if is_fed {
                self.arm_feed(now);
            }
            self.arm_room(index);
        }
        due.clear();
        self.native.turn.rooms = due;
    }

    fn send_acks(&mut self, out: &mut Outbox) {
        let mut owed = std::mem::take(&mut self.native.turn.acks);
        for &at in &owed {
            let native = &mut self.native;
            // Whoever left in this turn is owed nothing, nor is who has its place by now.
            let Some(membership) = native.memberships.living_mut(at).filter(|at| at.owes_ack) else { continue };
            membership.owes_ack = false;
            let frame = Frame::Ack {
                room: Room::handle(membership.room),
                cumulative: Sseq(membership.next_sseq.0.wrapping_sub(1)),
                seq: membership.acked_seq,
                missing: std::mem::take(&mut membership.early) >= membership.next_sseq,
            };
            let session = native.sessions.session(membership.session);
            let mut space = [0; 64];
            let mut builder = Builder::to_client(&mut space, session.ccid);
            builder.push(&frame);
            let (path, len) = (session.path, builder.len());
            self.tell(path, &space[..len], out);
            self.counters.native.acks += 1;
        }
        owed.clear();
        self.native.turn.acks = owed;
    }

    fn forget_turn(&mut self) {
        let native = &mut self.native;
        native.turn.retries = 0;
        native.turn.repairs = 0;
        native.turn.entry_bytes = 0;
        native.turn.said.clear();
        for at in native.turn.slowed.drain(..) {
            // Of one that has its place by now it is true, too.
            native.memberships.living_mut(at).into_iter().for_each(|membership| membership.slowed = [false; 2]);
        }
        for index in native.turn.spoke.drain(..) {
            let session = native.sessions.session_mut(index);
            session.repairs = 0;
            session.spoke = false;
            let (lines, bytes) = std::mem::take(&mut session.said);
            if lines > 0 {
                native.turn.said.push((session.path.remote, lines, bytes));
            }
        }
    }

    /// What native members said in the turn that ended last: who, messages, bytes.
    pub fn said(&self) -> &[(std::net::SocketAddr, u32, u32)] {
        &self.native.turn.said
    }

    /// Sets when a room is to be looked at next.
    pub(super) fn arm_room(&mut self, index: RoomIndex) {
        let renewal = self.native.rooms.at(index).next_renewal();
        let due = [self.next_head(index), self.next_report_missed(index), self.room_expiry(index), renewal];
        match due.into_iter().flatten().min() {
            Some(due) => self.native.room_timers.set(u32::from(index.0), due),
            None => self.native.room_timers.cancel(u32::from(index.0)),
        }
    }

    /// Sets that of all rooms: limits have changed.
    pub(in crate::relay) fn arm_rooms(&mut self) {
        for place in 0..self.native.rooms.places() {
            let index = RoomIndex(place as u16);
            if self.native.rooms.get(index).is_some() {
                self.arm_room(index);
            }
        }
    }

    /// Does what is due in rooms: HEADs, members that do not report, rooms that end.
    pub(super) fn serve_rooms(&mut self, now: Time, out: &mut Outbox) {
        for _ in 0..config::ROOMS_PER_DEADLINE {
            let Some(key) = self.native.room_timers.pop_due(now) else { return };
            let index = RoomIndex(key as u16);
            if self.room_expiry(index).is_some_and(|due| due <= now) {
                self.end_room(index);
                continue;
            }
            self.send_head(now, index, out);
            self.demote_silent(now, index);
            self.tell_tag(now, index, out);
            self.arm_room(index);
        }
    }

    /// Tells some members of a room its new tag, and uses it when that is over.
    fn tell_tag(&mut self, now: Time, index: RoomIndex, out: &mut Outbox) {
        if self.native.rooms.at(index).next_renewal().is_none_or(|due| due > now) {
            return;
        }
        for _ in 0..config::TAGS_TOLD_AT_ONCE.min(out.spare().1) {
            let Some(at) = self.native.rooms.at_mut(index).next_untold() else { break };
            let session = self.native.sessions.session(self.native.memberships.at(at).session);
            let (mut space, path) = ([0; 64], session.path);
            let mut builder = Builder::to_client(&mut space, session.ccid);
            builder.push(&self.head_of(index));
            let len = builder.len();
            self.tell(path, &space[..len], out);
        }
        let native = &mut self.native;
        let room = native.rooms.at_mut(index);
        room.pause_renewal(now);
        if room.end_renewal(now) {
            room.renew(now, RoomTag(native.secrets.next()));
        }
    }

    fn next_head(&self, index: RoomIndex) -> Option<Time> {
        self.native.rooms.at(index).next_head().filter(|_| !self.is_mutant(Mutant::NoTailHead))
    }

    fn send_head(&mut self, now: Time, index: RoomIndex, out: &mut Outbox) {
        let members = self.members_of(index);
        let is_due = self.next_head(index).is_some_and(|due| due <= now);
        let native = &mut self.native;
        let room = native.rooms.at_mut(index);
        if is_due {
            room.heads_sent += 1;
            let sent = native.packer.cast_head(index, room, members, out);
            self.counters.native.heads += u64::from(sent);
            self.counters.native.casts_dropped += u64::from(!sent);
        }
    }

    /// Has slow members fed soon.
    pub(super) fn arm_feed(&mut self, now: Time) {
        let due = now + Duration::from_millis(config::FEED_EVERY_MS);
        self.native.feed_due.get_or_insert(due);
    }
}
