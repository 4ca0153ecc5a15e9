//! Sending again: to whom asks, and to those that are too slow to be sent
//! everything as it is said. The ring is the only memory; no member has a queue.

use super::fanout::fill;
use super::frames::Heard;
use super::membership::{Feed, Membership, Report, Span};
use super::reply::Reply;
use super::room::Room;
use super::session::SessionIndex;
use crate::Time;
use crate::batch::{Outbox, RoomIndex};
use crate::config;
use crate::relay::bucket::{Bucket, Rate};
use crate::relay::{Mutant, Relay};
use crate::wire::downlink::{BATCH_OVERHEAD, Builder, Frame};
use crate::wire::header::{DATAGRAM_BYTES_MAX, ROOM_OVERHEAD, SlowCause};
use crate::wire::id::{Seq, Sseq};
use crate::wire::uplink::Ranges;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a member is sent again, a second.
const REPAIR: Rate = Rate { per_s: config::REPAIR_BYTES_PER_S, burst: config::REPAIR_BYTES_PER_S / 4 };
const DATAGRAM_COST: u32 = DATAGRAM_BYTES_MAX as u32;
/// What stands about the entries of a datagram with one BATCH.
const FRAMING_BYTES: u32 = (ROOM_OVERHEAD + BATCH_OVERHEAD) as u32;
/// An answer to a NACK, in as many datagrams as it needs.
struct Answer {
    session: SessionIndex,
    /// The one that is filled.
    reply: Reply,
    /// Those that are sent.
    sent: u32,
}

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
        heard: &mut Heard,
        room: RoomIndex,
        ranges: Ranges<'_>,
        out: &mut Outbox,
    ) {
        let index = heard.index;
        let native = &mut self.native;
        let first = native.sessions.session(index).first_membership;
        let Some(at) = native.memberships.find(first, room) else {
            self.counters.native.frames_no_room += 1;
            return;
        };
        self.counters.native.nacks += 1;
        // Who asks for nothing says nothing about how it receives.
        if ranges.iter().all(|range| range.count == 0) {
            return;
        }
        if !native.memberships.at(at).is_live {
            if let Some(first) = ranges.iter().map(|range| range.start.0).min() {
                native.memberships.at_mut(at).feed.asked(now, first.max(1));
                self.arm_feed(now);
            }
            return;
        }
        // It says how it receives, too: of REPORTs, one a second where repair is
        // quick, two in a row are soon lost.
        self.note_sign(now, at);
        self.arm_room(room);
        let is_short = !self.answer_nack(now, heard, room, ranges, out);
        let repair = self.native.spent(index).repair;
        if is_short && !repair.has(REPAIR, DATAGRAM_COST, now) {
            // Worth another attempt when a whole answer is allowed.
            let whole_ms = repair.wait_ms(REPAIR, config::REPAIRS_PER_NACK * DATAGRAM_COST, now);
            self.tell_slow(heard, at, (Sseq(0), SlowCause::Repair, whole_ms), out);
        }
    }

    /// Sends one member what it asks for, or that it is gone, packed. False:
    /// not all that one answer may hold was allowed.
    fn answer_nack(&mut self, now: Time, heard: &Heard, room: RoomIndex, ranges: Ranges<'_>, out: &mut Outbox) -> bool {
        self.note_speaker(heard);
        let ccid = self.native.sessions.session(heard.index).ccid;
        let mut answer = Answer { session: heard.index, reply: Reply::new(ccid), sent: 0 };
        let mut is_whole = true;
        for range in ranges.iter() {
            // There is no number 0.
            let zero = u16::from(range.start.0 == 0);
            let (start, count) = (range.start.0.max(1), range.count.saturating_sub(zero));
            let asked = self.native.rooms.at(room).ring.asked(start, count);
            is_whole = asked.gone.is_none_or(|gone| self.add_gap(now, &mut answer, room, &gone, out))
                && asked.kept.is_none_or(|kept| self.add_entries(now, &mut answer, room, kept, out));
            if !is_whole {
                break;
            }
        }
        self.send_answer(&mut answer, out);
        is_whole || answer.sent == config::REPAIRS_PER_NACK
    }

    /// Adds that some entries are gone. False: that is not allowed now.
    fn add_gap(
        &mut self,
        now: Time,
        answer: &mut Answer,
        room: RoomIndex,
        gone: &RangeInclusive<u64>,
        out: &mut Outbox,
    ) -> bool {
        if self.is_mutant(Mutant::GapForgotten) {
            return true;
        }
        let frame = Frame::Gap { room: Room::handle(room), from: Seq(*gone.start()), to: Seq(*gone.end()) };
        let fits = !answer.reply.is_empty() && answer.reply.push(&frame);
        if !fits {
            self.send_answer(answer, out);
            if !self.may_answer(now, answer, out) {
                return false;
            }
            answer.reply.push(&frame);
        }
        self.counters.native.gaps += 1;
        true
    }

    /// Adds entries of a room, in as many datagrams as they need. False: not all of them are allowed now.
    fn add_entries(
        &mut self,
        now: Time,
        answer: &mut Answer,
        room: RoomIndex,
        range: RangeInclusive<u64>,
        out: &mut Outbox,
    ) -> bool {
        let (mut next, last) = (*range.start(), *range.end());
        while next <= last {
            if answer.reply.is_empty() && !self.may_answer(now, answer, out) {
                return false;
            }
            let native = &self.native;
            let (here, pool) = (native.rooms.at(room), native.pools.of(room));
            let from = next;
            answer.reply.append(|builder| next = fill(builder, room, here, pool, (from, last), usize::MAX));
            self.counters.native.entries_repaired += next - from;
            if next <= last {
                self.send_answer(answer, out);
            }
        }
        true
    }

    /// Whether the answer to a NACK may have one more datagram.
    fn may_answer(&mut self, now: Time, answer: &Answer, out: &Outbox) -> bool {
        if answer.sent == config::REPAIRS_PER_NACK {
            return false;
        }
        let session = self.native.sessions.session_mut(answer.session);
        let left = config::NACKED_PER_TURN.saturating_sub(self.native.turn.repairs);
        // Half of what it leaves to the others: whoever asks gets something.
        let is_allowed = u32::from(session.repairs) * 2 < left && self.may_repair(now, answer.session, out);
        if is_allowed {
            self.native.sessions.session_mut(answer.session).repairs += 1;
        } else {
            self.counters.native.repairs_dropped += 1;
        }
        is_allowed
    }

    /// Sends what an answer has so far, if there is anything in it.
    fn send_answer(&mut self, answer: &mut Answer, out: &mut Outbox) {
        let path = self.native.sessions.session(answer.session).path;
        if let Some(datagram) = answer.reply.take() {
            self.tell(path, datagram, out);
            self.counters.native.repairs += 1;
            answer.sent += 1;
        }
    }

    /// Whether this turn and this member's rate allow one more datagram of repair; if so it is counted.
    fn may_repair(&mut self, now: Time, index: SessionIndex, out: &Outbox) -> bool {
        let turn = self.native.turn.repairs < config::REPAIRS_PER_TURN && out.spare().1 > 0;
        let allowed = turn && self.native.spent(index).repair.take(REPAIR, DATAGRAM_COST, now);
        self.native.turn.repairs += u32::from(allowed);
        allowed
    }

    /// Feeds one datagram. Returns the first entry that is not in it, and its bytes.
    fn send_entries(
        &mut self,
        index: SessionIndex,
        room: RoomIndex,
        range: (u64, u64),
        out: &mut Outbox,
    ) -> (u64, u32) {
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

    /// Tells a member that is fed that something is gone. False: not now.
    fn tell_gap(
        &mut self,
        now: Time,
        index: SessionIndex,
        room: RoomIndex,
        gone: RangeInclusive<u64>,
        out: &mut Outbox,
    ) -> bool {
        if self.is_mutant(Mutant::GapForgotten) {
            return true;
        }
        let mut space = [0; GAP_BYTES];
        if !self.may_repair(now, index, out) {
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
        let known = membership.report.any;
        membership.report.take(now, head, contiguous, cast_bytes);
        if let Some(span) = membership.feed.span(now, known) {
            membership.report.judge(highest.min(head), lost, span);
            membership.feed.measure(now, kib, span, membership.report.is_lossy);
        }
        let (is_live, is_lossy) = (membership.is_live, membership.report.is_lossy);
        if is_live {
            self.note_sign(now, at);
            if is_lossy {
                self.set_live(now, at, false);
            }
        } else {
            membership.feed.skip(now, contiguous.min(head) + 1);
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

    /// A member that JOINs again has not heard that it is in, and so nothing
    /// of what was cast since: it had nothing to report, and begins now.
    pub(super) fn begin_reports(&mut self, now: Time, at: u32) {
        let native = &mut self.native;
        let Membership { room, is_live, report, .. } = *native.memberships.at(at);
        if report.any {
            return;
        }
        if !is_live {
            self.set_live(now, at, true);
        }
        let native = &mut self.native;
        native.memberships.at_mut(at).report = Report::of_newcomer(now, native.rooms.at(room));
        self.note_sign(now, at);
        self.arm_room(room);
    }

    /// A live member has shown how it receives: it is the last of its room that is due to.
    fn note_sign(&mut self, now: Time, at: u32) {
        let native = &mut self.native;
        let membership = native.memberships.at_mut(at);
        let here = native.rooms.at_mut(membership.room);
        (membership.report.at_ns, membership.report.cast_bytes) = (now.nanos(), here.cast_bytes);
        native.membership_links.remove(&mut here.reports, at);
        native.membership_links.push_back(&mut here.reports, at);
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
                let allowed = may_feed && self.may_repair(now, session, out);
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
            // The entries, as a REPORT counts them: else those that fill no datagram
            // cost more than is said to have come, and the rate only falls.
            feed.bucket.take(feed.rate(), bytes.saturating_sub(FRAMING_BYTES), now);
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

    /// The member has everything before `next`: some of it came while it was live.
    fn skip(&mut self, now: Time, next: u64) {
        if next > self.next {
            self.begin(now, next);
        }
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

    /// What a REPORT that comes now can be compared with; `None`: it is too early.
    /// Those of gaps come ten times a second, in which a datagram is chance and a
    /// KiB is coarse.
    fn span(&self, now: Time, is_known: bool) -> Option<Span> {
        let since_ms = u64::from(wrapped_ms(now).wrapping_sub(self.measured_ms));
        match since_ms {
            _ if !is_known => Some(Span::Anew),
            0..config::FEED_MEASURED_MS => None,
            config::FEED_MEASURED_MS..=config::REPORT_MISSED_MS => Some(Span::Ms(since_ms)),
            _ => Some(Span::Anew),
        }
    }

    /// Sets the rate by what came within a span.
    fn measure(&mut self, now: Time, kib: u16, span: Span, is_lossy: bool) {
        self.bytes_per_s = match span {
            Span::Anew => config::FEED_BYTES_PER_S_START,
            Span::Ms(ms) => {
                let taken = u64::from(kib.wrapping_sub(self.measured_kib)) * 1024 * 1000 / ms;
                // More than a full path took, so that it can catch up; where little
                // is lost, twice as much.
                let more = if is_lossy { taken * 3 / 2 } else { taken * 2 };
                u32::try_from(more).unwrap_or(u32::MAX).max(config::FEED_BYTES_PER_S_MIN)
            }
        };
        (self.measured_ms, self.measured_kib) = (wrapped_ms(now), kib);
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
