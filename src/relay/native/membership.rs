//! Owns who is in which room: one record for each session in each room, on
//! the session's list and on the room's. Never decides who may come in.

use super::room::{Room, RoomMembers};
use super::session::{NONE, SessionIndex};
use crate::Time;
use crate::batch::{MemberIndex, Path, RoomIndex};
use crate::config;
use crate::relay::bucket::Bucket;
use crate::relay::snapshot::{FeedRow, MembershipRow, ReportRow, SlabRows, Unfit, names_each};
use crate::wire::id::{Seq, Sseq};

/// A session's membership of a room.
pub(super) struct Membership {
    pub(super) session: SessionIndex,
    pub(super) room: RoomIndex,
    /// The next membership of the session.
    pub(super) next: u32,
    /// Where it lies among all members of the room, and on its roster.
    pub(super) place: u32,
    pub(super) roster_place: u32,
    pub(super) is_live: bool,
    /// It was told in this turn that it is too fast: in what it says, in what it asks for.
    pub(super) slowed: [bool; 2],
    /// An ACK is owed at the end of this turn; and the highest number that came too early in it, 0: none.
    pub(super) owes_ack: bool,
    pub(super) early: Sseq,
    /// The number that the next message must have.
    pub(super) next_sseq: Sseq,
    /// What the last accepted one became; 0: not known any more.
    pub(super) acked_seq: Seq,
    /// The newest entry that says its name, and the newest that it caused; 0: none.
    pub(super) named_at: Seq,
    pub(super) entered_at: Seq,
    pub(super) report: Report,
    pub(super) feed: Feed,
}

impl Membership {
    fn row(&self) -> MembershipRow {
        let (report, feed) = (&self.report, &self.feed);
        MembershipRow {
            session: self.session.0,
            room: self.room.0,
            is_live: self.is_live,
            next_sseq: self.next_sseq.0,
            acked_seq: self.acked_seq.0,
            named_at: self.named_at.0,
            entered_at: self.entered_at.0,
            report: ReportRow {
                at_ns: report.at_ns,
                contiguous: report.contiguous,
                highest: report.highest,
                lost: report.lost,
                any: report.any,
                is_lossy: report.is_lossy,
                cast_bytes: report.cast_bytes,
            },
            feed: FeedRow {
                next: feed.next,
                bytes_per_s: feed.bytes_per_s,
                bucket: feed.bucket.full_at_ns(),
                measured_ms: feed.measured_ms,
                measured_kib: feed.measured_kib,
                unsettled: feed.unsettled,
                fresh: feed.fresh,
                fresh_ms: feed.fresh_ms,
            },
        }
    }

    /// On no list yet.
    fn of(row: &MembershipRow) -> Self {
        let (report, feed) = (&row.report, &row.feed);
        Self {
            session: SessionIndex(row.session),
            room: RoomIndex(row.room),
            next: NONE,
            place: 0,
            roster_place: 0,
            is_live: row.is_live,
            slowed: [false; 2],
            owes_ack: false,
            early: Sseq(0),
            next_sseq: Sseq(row.next_sseq),
            acked_seq: Seq(row.acked_seq),
            named_at: Seq(row.named_at),
            entered_at: Seq(row.entered_at),
            report: Report {
                at_ns: report.at_ns,
                contiguous: report.contiguous,
                highest: report.highest,
                lost: report.lost,
                any: report.any,
                is_lossy: report.is_lossy,
                cast_bytes: report.cast_bytes,
            },
            feed: Feed {
                next: feed.next,
                bytes_per_s: feed.bytes_per_s,
                bucket: Bucket::full_from(feed.bucket),
                measured_ms: feed.measured_ms,
                measured_kib: feed.measured_kib,
                unsettled: feed.unsettled,
                fresh: feed.fresh,
                fresh_ms: feed.fresh_ms,
            },
        }
    }
}

/// How long ago the REPORT came that a new one is compared with.
#[derive(Clone, Copy)]
pub(super) enum Span {
    /// Too long ago, or never: nothing was said meanwhile, or nothing is known.
    Anew,
    /// So many ms.
    Ms(u64),
}

/// What a member reported last.
#[derive(Clone, Copy, Default)]
pub(super) struct Report {
    pub(super) at_ns: u64,
    pub(super) contiguous: u64,
    /// These two: of a live member as they were when its loss was judged last.
    pub(super) highest: u64,
    pub(super) lost: u32,
    /// It has reported at least once.
    pub(super) any: bool,
    /// The last one showed more loss than a live member may have.
    pub(super) is_lossy: bool,
    /// The room's `cast_bytes` at that moment.
    pub(super) cast_bytes: u64,
}

impl Report {
    /// What is known of one that comes now: nothing of the room's past is owed to it.
    pub(super) fn of_newcomer(now: Time, room: &Room) -> Self {
        let (head, cast_bytes) = (room.ring.head(), room.cast_bytes);
        Self { at_ns: now.nanos(), contiguous: head, highest: head, cast_bytes, ..Self::default() }
    }

    /// What a REPORT says beside its loss.
    pub(super) fn take(&mut self, now: Time, head: u64, contiguous: u64, cast_bytes: u64) {
        (self.at_ns, self.any, self.cast_bytes) = (now.nanos(), true, cast_bytes);
        self.contiguous = contiguous.min(head);
    }

    /// Judges how much was lost within a span. A few numbers say nothing, unless none is lost.
    pub(super) fn judge(&mut self, highest: u64, lost: u32, span: Span) {
        let seen = highest.saturating_sub(self.highest);
        let missed = u64::from(lost.wrapping_sub(self.lost));
        self.is_lossy = match span {
            Span::Anew => false,
            // Where nothing at all comes through, only what is missing grows.
            Span::Ms(_) if missed > 0 && seen.max(missed) < config::JUDGED_NUMBERS_MIN => return,
            Span::Ms(_) => missed * 2 > seen,
        };
        (self.highest, self.lost) = (highest, lost);
    }

    /// Whether this one was made after one that says `highest` and `lost`:
    /// neither ever falls, so that one was overtaken on its way.
    pub(super) fn is_newer_than(&self, highest: u64, lost: u32) -> bool {
        let falls = lost.wrapping_sub(self.lost) > u32::MAX / 2;
        self.any && (highest < self.highest || falls)
    }
}

/// How a member that is not live is fed.
#[derive(Clone, Copy, Default)]
pub(super) struct Feed {
    /// The next number to send it.
    pub(super) next: u64,
    pub(super) bytes_per_s: u32,
    pub(super) bucket: Bucket,
    /// The REPORT from which on it is measured: when it came, in ms that wrap, and its kib.
    pub(super) measured_ms: u32,
    pub(super) measured_kib: u16,
    /// Of what was sent before `next`, how much may still be on its way, and how
    /// much was sent after `fresh_ms`, which wraps.
    pub(super) unsettled: u16,
    pub(super) fresh: u16,
    pub(super) fresh_ms: u16,
}

/// All memberships, in a slab.
///
/// Memory: about 170 bytes each, 8 in links, and 64 in the room's rosters.
pub(super) struct Memberships {
    slots: Vec<Option<Membership>>,
    free: Vec<u32>,
}

impl Memberships {
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity) }
    }

    /// Every place in the snapshot's form.
    pub(super) fn rows(&self) -> SlabRows<MembershipRow> {
        let slots = self.slots.iter().map(|slot| slot.as_ref().map(Membership::row)).collect();
        SlabRows { slots, free: self.free.clone() }
    }

    /// Takes the memberships of a snapshot, each at its place and on no list yet; there are none.
    pub(super) fn refill(&mut self, rows: &SlabRows<MembershipRow>) -> Result<(), Unfit> {
        names_each(rows.free.iter().copied(), rows.len(), |at| !rows.has(at), "free places of memberships")?;
        self.slots.extend(rows.slots.iter().map(|row| row.as_ref().map(Membership::of)));
        self.free.extend(&rows.free);
        Ok(())
    }

    pub(super) fn at(&self, index: u32) -> &Membership {
        self.slots[index as usize].as_ref().expect("invariant: an index is of a living membership")
    }

    /// The membership at a place that may be free by now.
    pub(super) fn living_mut(&mut self, index: u32) -> Option<&mut Membership> {
        self.slots[index as usize].as_mut()
    }

    pub(super) fn at_mut(&mut self, index: u32) -> &mut Membership {
        self.slots[index as usize].as_mut().expect("invariant: an index is of a living membership")
    }

    pub(super) fn insert(&mut self, membership: Membership) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("invariant: memberships are numbered in 32 bits")
        });
        assert!(at != NONE, "memberships are numbered in 32 bits");
        self.slots[at as usize] = Some(membership);
        at
    }

    pub(super) fn remove(&mut self, index: u32) -> Membership {
        self.free.push(index);
        self.slots[index as usize].take().expect("invariant: an index is of a living membership")
    }

    /// The membership of `room` in the list that begins with `first`.
    pub(super) fn find(&self, first: u32, room: RoomIndex) -> Option<u32> {
        self.of(first).find(|&at| self.at(at).room == room)
    }

    /// The list of memberships that begins with `first`.
    pub(super) fn of(&self, first: u32) -> impl Iterator<Item = u32> {
        let known = |at: u32| (at != NONE).then_some(at);
        std::iter::successors(known(first), move |&at| known(self.at(at).next))
    }

    /// Puts a membership on its room's list and roster.
    pub(super) fn enter(&mut self, at: u32, members: &mut RoomMembers, path: Path) {
        let place = members.all.len();
        members.all.push(at);
        self.at_mut(at).place = u32::try_from(place).expect("invariant: sessions_max fits in u32");
        self.enter_roster(at, members, path);
    }

    /// Takes a membership off its room's list and roster.
    pub(super) fn exit(&mut self, at: u32, members: &mut RoomMembers) {
        self.exit_roster(at, members);
        let place = self.at(at).place;
        members.all.swap_remove(place as usize);
        if let Some(&moved) = members.all.get(place as usize) {
            self.at_mut(moved).place = place;
        }
    }

    /// Moves a membership to the other roster of its room.
    pub(super) fn set_live(&mut self, at: u32, is_live: bool, members: &mut RoomMembers, path: Path) {
        self.exit_roster(at, members);
        self.at_mut(at).is_live = is_live;
        self.enter_roster(at, members, path);
    }

    pub(super) fn enter_roster(&mut self, at: u32, members: &mut RoomMembers, path: Path) {
        let membership = self.at_mut(at);
        let (side, roster) = members.side(membership.is_live);
        side.push(at);
        membership.roster_place = roster.push(path).0;
    }

    fn exit_roster(&mut self, at: u32, members: &mut RoomMembers) {
        let Membership { roster_place, is_live, .. } = *self.at(at);
        let (side, roster) = members.side(is_live);
        side.swap_remove(roster_place as usize);
        roster.swap_remove(MemberIndex(roster_place));
        if let Some(&moved) = side.get(roster_place as usize) {
            self.at_mut(moved).roster_place = roster_place;
        }
    }
}
