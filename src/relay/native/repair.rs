//! Sending again: to whom asks, and to those that are too slow to be sent
//! everything as it is said. The ring is the only memory; no member has a queue.

use super::fanout::fill;
use super::membership::{Feed, Membership};
use super::room::Room;
use super::session::SessionIndex;
use crate::Time;
use crate::batch::{Outbox, RoomIndex};
use crate::config;
use crate::relay::Relay;
use crate::relay::bucket::{Bucket, Rate};
use crate::wire::downlink::{Builder, Frame};
use crate::wire::header::{DATAGRAM_BYTES_MAX, ROOM_OVERHEAD};
use crate::wire::id::Seq;
use crate::wire::uplink::Ranges;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a member is sent again, a second.
const REPAIR: Rate = Rate { per_s: config::REPAIR_BYTES_PER_S, burst: config::REPAIR_BYTES_PER_S / 4 };
const DATAGRAM_COST: u32 = DATAGRAM_BYTES_MAX as u32;
/// Bytes of a datagram with nothing but a GAP.
const GAP_BYTES: usize = ROOM_OVERHEAD + 3 + 2 + 8 + 8;
/// What one datagram of one member is surely left behind: entries of so many bytes, whatever their seconds.
const NEAR_BYTES: usize = DATAGRAM_BYTES_MAX - 64;
/// Members that are looked at when feeding is due; the others come next.
const FEEDS_PER_DEADLINE: u32 = 1024;

impl Relay {
    pub(super) fn hear_nack(
        &mut self,
        now: Time,
        index: SessionIndex,
        room: RoomIndex,
        ranges: Ranges<'_>,
        out: &mut Outbox,
    ) {
        let native = &mut self.native;
        let first = native.sessions.session(index).first_membership;
        let Some(at) = native.memberships.find(first, room) else {
            self.counters.native.frames_no_room += 1;
            return;
        };
        self.counters.native.nacks += 1;
        if !native.memberships.at(at).is_live {
            if let Some(first) = ranges.iter().map(|range| range.start.0).min() {
                native.memberships.at_mut(at).feed.asked(now, first.max(1));
                self.arm_feed(now);
            }
            return;
        }
        let mut left = config::REPAIRS_PER_NACK;
        for range in ranges.iter() {
            if left == 0 {
                return;
            }
            // There is no number 0.
            let zero = u16::from(range.start.0 == 0);
            let (start, count) = (range.start.0.max(1), range.count.saturating_sub(zero));
            let asked = self.native.rooms.at(room).ring.asked(start, count);
            if let Some(gone) = asked.gone {
                left -= 1;
                self.tell_gap(now, index, room, gone, out);
            }
            if let Some(kept) = asked.kept {
                self.send_again(now, index, room, kept, &mut left, out);
            }
        }
    }

    /// Sends entries of a room to one member, in as many datagrams as it may have.
    fn send_again(
        &mut self,
        now: Time,
        index: SessionIndex,
        room: RoomIndex,
        range: RangeInclusive<u64>,
        left: &mut u32,
        out: &mut Outbox,
    ) {
        let mut next = *range.start();
        while next <= *range.end() && *left > 0 {
            if !self.may_repair(now, index, DATAGRAM_COST, out) {
                self.counters.native.repairs_dropped += 1;
                return;
            }
            *left -= 1;
            next = self.send_entries(index, room, (next, *range.end()), out).0;
        }
    }

    /// Whether this turn and this member's rate allow one more datagram of repair; if so it is counted.
    fn may_repair(&mut self, now: Time, index: SessionIndex, bytes: u32, out: &Outbox) -> bool {
        let turn = self.native.turn.repairs < config::REPAIRS_PER_TURN && out.spare().1 > 0;
        let allowed = turn && self.native.sessions.session_mut(index).repair.take(REPAIR, bytes, now);
        self.native.turn.repairs += u32::from(allowed);
        allowed
    }

    /// Sends one datagram of entries to one member. Returns the first that is not in it, and its bytes.
    fn send_entries(&mut self, index: SessionIndex, room: RoomIndex, range: (u64, u64), out: &mut Outbox) -> (u64, u32) {
        let native = &self.native;
        let session = native.sessions.session(index);
        let mut space = [0; DATAGRAM_BYTES_MAX];
        let mut builder = Builder::to_client(&mut space, session.ccid);
        let next = fill(&mut builder, room, native.rooms.at(room), native.pools.of(room), range, usize::MAX);
        let (path, len) = (session.path, builder.len());
        self.tell(path, &space[..len], out);
        self.counters.native.repairs += 1;
        self.counters.native.entries_repaired += next - range.0;
        (next, len as u32)
    }

    /// False: not now.
    fn tell_gap(
        &mut self,
        now: Time,
        index: SessionIndex,
        room: RoomIndex,
        gone: RangeInclusive<u64>,
        out: &mut Outbox,
    ) -> bool {
        let mut space = [0; GAP_BYTES];
        if !self.may_repair(now, index, GAP_BYTES as u32, out) {
            self.counters.native.repairs_dropped += 1;
            return false;
        }
        let session = self.native.sessions.session(index);
        let mut builder = Builder::to_client(&mut space, session.ccid);
        builder.push(&Frame::Gap { room: Room::handle(room), from: Seq(*gone.start()), to: Seq(*gone.end()) });
        let (path, len) = (session.path, builder.len());
        self.tell(path, &space[..len], out);
        self.counters.native.gaps += 1;
        true
    }

    // ---- who is live -------------------------------------------------------------------

    pub(super) fn hear_report(
        &mut self,
        now: Time,
        index: SessionIndex,
        room: RoomIndex,
        (contiguous, highest, lost, kib): (u64, u64, u32, u16),
    ) {
        let native = &mut self.native;
        let first = native.sessions.session(index).first_membership;
        let Some(at) = native.memberships.find(first, room) else {
            self.counters.native.frames_no_room += 1;
            return;
        };
        self.counters.native.reports += 1;
        let here = native.rooms.at(room);
        let (head, cast_bytes) = (here.ring.head(), here.cast_bytes);
        let membership = native.memberships.at_mut(at);
        if membership.report.is_newer_than(highest, lost) {
            return;
        }
        let former = std::mem::replace(
            &mut membership.report,
            super::membership::Report {
                at_ns: now.nanos(),
                contiguous: contiguous.min(head),
                highest: highest.min(head),
                lost,
                any: true,
                is_lossy: false,
                cast_bytes,
                unjudged: Default::default(),
            },
        );
        let report = &mut membership.report;
        if membership.is_live {
            let mut unjudged = former.unjudged;
            report.is_lossy = unjudged.judge(&former, report).unwrap_or(false);
            report.unjudged = unjudged;
        } else {
            // By each REPORT: one that is fed comes back by the first good one.
            let seen = report.highest.saturating_sub(former.highest);
            report.is_lossy = u64::from(lost.wrapping_sub(former.lost)) * 10 > seen;
        }
        let (is_live, is_lossy) = (membership.is_live, membership.report.is_lossy);
        membership.was_lossy |= is_lossy;
        if membership.feed.measure(now, kib, former.any, membership.was_lossy) {
            membership.was_lossy = is_lossy;
        }
        if is_live {
            let here = native.rooms.at_mut(room);
            native.membership_links.remove(&mut here.reports, at);
            native.membership_links.push_back(&mut here.reports, at);
            if is_lossy {
                self.set_live(now, at, false);
            }
        } else {
            self.arm_feed(now);
        }
        self.arm_room(room);
    }

    /// When the live member that has not reported for longest is to be live no more.
    pub(super) fn next_report_missed(&self, room: RoomIndex) -> Option<Time> {
        let room = self.native.rooms.at(room);
        let report = &self.native.memberships.at(room.reports.first()?).report;
        let sent = room.cast_bytes - report.cast_bytes;
        let owed = Time::new(report.at_ns.max(room.busy_since_ns), 0);
        let due = owed + Duration::from_millis(config::REPORT_MISSED_MS);
        (sent >= config::REPORT_MISSED_BYTES).then_some(due)
    }

    /// Takes those off the live roster that have not said for too long how they receive.
    pub(super) fn demote_silent(&mut self, now: Time, room: RoomIndex) {
        while self.next_report_missed(room).is_some_and(|due| due <= now) {
            let Some(at) = self.native.rooms.at(room).reports.first() else { return };
            let membership = self.native.memberships.at_mut(at);
            membership.feed.bytes_per_s = config::FEED_BYTES_PER_S_START;
            membership.report.is_lossy = true;
            self.set_live(now, at, false);
        }
    }

    fn set_live(&mut self, now: Time, at: u32, is_live: bool) {
        let native = &mut self.native;
        native.unlink(at);
        let Membership { session, room, .. } = *native.memberships.at(at);
        let path = native.sessions.session(session).path;
        let here = native.rooms.at_mut(room);
        native.memberships.set_live(at, is_live, &mut here.members, path);
        let membership = native.memberships.at_mut(at);
        if is_live {
            membership.report.at_ns = now.nanos();
            membership.report.cast_bytes = here.cast_bytes;
            native.membership_links.push_back(&mut here.reports, at);
            self.counters.native.promoted += 1;
        } else {
            let next = membership.report.contiguous + 1;
            membership.feed = Feed { bucket: Bucket::default(), ..membership.feed };
            membership.feed.begin(now, next);
            native.membership_links.push_back(&mut native.feeding, at);
            self.counters.native.demoted += 1;
            self.arm_feed(now);
        }
    }

    // ---- feeding -----------------------------------------------------------------------

    /// Feeds slow members, if that is due: round robin, as fast as each can take it.
    pub(super) fn feed_due(&mut self, now: Time, out: &mut Outbox) {
        if self.native.feed_due.is_none_or(|due| due > now) {
            return;
        }
        self.native.feed_due = None;
        let Some(last) = self.native.feeding.last() else { return };
        let (mut hungry, mut looked_at) = (false, 0);
        while let Some(at) = self.native.feeding.first() {
            if looked_at == FEEDS_PER_DEADLINE || self.native.turn.repairs >= config::REPAIRS_PER_TURN {
                hungry = true;
                break;
            }
            looked_at += 1;
            // To the end, so that the next one to be fed is another.
            let native = &mut self.native;
            native.membership_links.remove(&mut native.feeding, at);
            native.membership_links.push_back(&mut native.feeding, at);
            hungry |= self.feed(now, at, out);
            if at == last {
                break;
            }
        }
        if hungry {
            self.arm_feed(now);
        }
    }

    /// Feeds one member what its rate allows. True: there is more for it.
    fn feed(&mut self, now: Time, at: u32, out: &mut Outbox) -> bool {
        let Membership { session, room, report, .. } = *self.native.memberships.at(at);
        let recovers = report.any && !report.is_lossy;
        loop {
            let ring = &self.native.rooms.at(room).ring;
            let (head, tail, next) = (ring.head(), ring.tail(), self.native.memberships.at(at).feed.next);
            if next > head {
                if recovers {
                    self.set_live(now, at, true);
                }
                return false;
            }
            let fed_to = if next < tail {
                self.tell_gap(now, session, room, next..=tail - 1, out).then_some(tail)
            } else {
                let near = recovers && ring.bytes_from(self.native.pools.of(room), next) <= NEAR_BYTES;
                let may_feed = near || self.has_feed(now, at);
                let allowed = may_feed && self.may_repair(now, session, DATAGRAM_COST, out);
                allowed.then(|| self.feed_entries(now, at, (next, head), near, out))
            };
            let Some(fed_to) = fed_to else { return true };
            self.native.memberships.at_mut(at).feed.sent(now, fed_to);
        }
    }

    /// Feeds one datagram. Returns the first entry that is not in it.
    fn feed_entries(&mut self, now: Time, at: u32, range: (u64, u64), is_free: bool, out: &mut Outbox) -> u64 {
        let Membership { session, room, .. } = *self.native.memberships.at(at);
        let (next, bytes) = self.send_entries(session, room, range, out);
        let feed = &mut self.native.memberships.at_mut(at).feed;
        if !is_free {
            // What it holds, not what it could: else long messages, which fill no
            // datagram, cost more than a REPORT says came, and the rate only falls.
            feed.bucket.take(feed.rate(), bytes, now);
        }
        next
    }

    /// Whether a member may be fed one more datagram.
    fn has_feed(&self, now: Time, at: u32) -> bool {
        let feed = &self.native.memberships.at(at).feed;
        feed.bucket.has(feed.rate(), DATAGRAM_COST, now)
    }
}

impl Feed {
    /// Goes on with `next`.
    fn begin(&mut self, now: Time, next: u64) {
        (self.next, self.unsettled, self.fresh, self.fresh_ms) = (next, 0, 0, wrapped_ms(now) as u16);
    }

    /// The member asks for `first`. What was sent a moment ago is still on its way.
    fn asked(&mut self, now: Time, first: u64) {
        self.settle(now);
        if first.saturating_add(self.unsettled.into()) < self.next {
            self.begin(now, first);
        }
    }

    /// Everything before `next` was sent.
    fn sent(&mut self, now: Time, next: u64) {
        self.settle(now);
        let sent = u16::try_from(next - self.next).unwrap_or(u16::MAX);
        (self.fresh, self.unsettled) = (self.fresh.saturating_add(sent), self.unsettled.saturating_add(sent));
        self.next = next;
    }

    /// What was sent long enough ago has come, or is lost.
    fn settle(&mut self, now: Time) {
        let now_ms = wrapped_ms(now) as u16;
        let since_ms = now_ms.wrapping_sub(self.fresh_ms);
        if since_ms >= config::FEED_SETTLES_MS {
            self.unsettled = if since_ms < 2 * config::FEED_SETTLES_MS { self.fresh } else { 0 };
            (self.fresh, self.fresh_ms) = (0, now_ms);
        }
    }

    /// Takes in what a REPORT says; `was_lossy`: one since the last measurement
    /// showed loss. False: it is too early. It is measured over a second at least:
    /// REPORTs of gaps come ten times as often, and KiB are too coarse for these.
    fn measure(&mut self, now: Time, kib: u16, is_known: bool, was_lossy: bool) -> bool {
        let now_ms = wrapped_ms(now);
        let since_ms = u64::from(now_ms.wrapping_sub(self.measured_ms));
        if !is_known || since_ms > config::REPORT_MISSED_MS {
            self.bytes_per_s = config::FEED_BYTES_PER_S_START;
        } else if since_ms >= config::FEED_MEASURED_MS {
            let taken = u64::from(kib.wrapping_sub(self.measured_kib)) * 1024 * 1000 / since_ms;
            // A quarter more than a full path took, so that it can catch up; where
            // nothing shows that it is full, twice as much.
            let more = if was_lossy { taken * 5 / 4 } else { taken * 2 };
            self.bytes_per_s = u32::try_from(more).unwrap_or(u32::MAX).max(config::FEED_BYTES_PER_S_MIN);
        } else {
            return false;
        }
        (self.measured_ms, self.measured_kib) = (now_ms, kib);
        true
    }

    fn rate(&self) -> Rate {
        let per_s = self.bytes_per_s.max(config::FEED_BYTES_PER_S_MIN);
        Rate { per_s, burst: DATAGRAM_COST.max(per_s / 16) }
    }
}

/// A time in ms, for what is compared within minutes.
fn wrapped_ms(now: Time) -> u32 {
    (now.nanos() / 1_000_000) as u32
}
