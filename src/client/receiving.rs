//! Owns what arrives in one room until it is delivered: in the order of the
//! room, each entry once, with the gaps named. Also says how that goes
//! (REPORT). Never looks into an entry.

use super::chance::Chance;
use super::gaps::{Arrival, Gaps};
use super::options::{HELD_BYTES_MAX, HELD_ENTRIES_MAX};
use super::rtt::Rtt;
use crate::Time;
use crate::wire::downlink::Batch;
use crate::wire::header::EntryKind;
use crate::wire::id::{MemberId, RoomHandle, Seq, Sseq};
use crate::wire::uplink::{Frame, SeqRange};
use std::collections::BTreeMap;
use std::time::Duration;

/// A gap is asked for after a random time from this ...
const NACK_WAIT_MIN: Duration = Duration::from_millis(5);
/// ... to this: what was only overtaken comes meanwhile, and a thousand members do not ask at once.
const NACK_WAIT_MAX: Duration = Duration::from_millis(10);
/// After the first new entry since the last REPORT, the next one.
const REPORT_AFTER: Duration = Duration::from_secs(1);
/// A gap so old is reported at once, and reports of gaps are so far apart.
const REPORT_GAP_AFTER: Duration = Duration::from_millis(100);
/// How far above what is known a number in what goes to a whole room may be.
pub(super) const LEAP_MAX: u64 = 4096;
/// No room gets this far; numbers above would overflow.
const SEQ_MAX: u64 = u64::MAX >> 1;
/// What an entry counts beside its payload, in bytes: as on the wire.
const ENTRY_BYTES: usize = crate::wire::downlink::ENTRY_HEADER_BYTES;

/// An entry in its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) seq: Seq,
    pub(super) time_s: u32,
    pub(super) member: MemberId,
    pub(super) sseq: Sseq,
    pub(super) kind: EntryKind,
    pub(super) payload: &'a [u8],
}

/// What comes next in a room.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next<'a> {
    Entry(Told<'a>),
    Gone { from: Seq, to: Seq },
}

/// An entry that waits for an earlier one.
#[derive(Debug)]
struct Held {
    time_s: u32,
    member: MemberId,
    sseq: Sseq,
    kind: EntryKind,
    payload: Box<[u8]>,
}

/// What became of the entries of a BATCH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) new: u32,
    pub(super) known: u32,
    /// Did not find a place; they are asked for again.
    pub(super) dropped: u32,
}

/// When a gap that shows now is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    wait: Duration,
    /// Between two requests for the same entries: 1.5 round trips.
    pace: Duration,
}

/// One room's entries on their way in.
#[derive(Debug)]
pub(super) struct Receiving {
    gaps: Gaps,
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    /// Bytes of entries received since JOIN.
    bytes: u64,
    /// When the first new entry since the last REPORT came.
    fresh_at: Option<Time>,
    reported_at: Option<Time>,
}

impl Receiving {
    /// Begins with entry `first`; those up to `head` are fetched.
    pub(super) fn new(first: Seq, head: Seq, now: Time) -> Self {
        Self {
            gaps: Gaps::new(first.0.min(SEQ_MAX), head.0.min(SEQ_MAX), now),
            held: BTreeMap::new(),
            held_bytes: 0,
            bytes: 0,
            fresh_at: None,
            reported_at: None,
        }
    }

    /// Goes on after a reconnect: entries up to `head` exist, and the counts of REPORT begin anew.
    pub(super) fn resume(&mut self, head: Seq, now: Time) {
        self.gaps.raise(head.0.min(SEQ_MAX), now, Duration::ZERO);
        self.gaps.forget_lost();
        (self.bytes, self.fresh_at, self.reported_at) = (0, None, None);
    }

    /// The entry that is delivered next.
    pub(super) fn next(&self) -> Seq {
        Seq(self.gaps.next())
    }

    /// Whether what goes to a whole room may speak of entry `seq`: else somebody
    /// who was once there may have made it up.
    pub(super) fn believes(&self, seq: Seq) -> bool {
        seq.0 <= self.gaps.newest().saturating_add(LEAP_MAX)
    }

    // ---- in ----------------------------------------------------------------------

    /// For what comes next; `base` is its first entry. Chance is asked only where a gap shows.
    pub(super) fn timing(&self, base: Seq, rtt: &Rtt, chance: &mut Chance) -> Timing {
        let has_gap = base.0 > self.gaps.newest() + 1;
        let wait = if has_gap { nack_wait(chance) } else { Duration::ZERO };
        Timing { wait, pace: pace(rtt) }
    }

    /// Takes entries in and hands out what is in its turn.
    pub(super) fn take_batch(
        &mut self,
        now: Time,
        batch: &Batch<'_>,
        timing: Timing,
        deliver: &mut impl FnMut(Next<'_>),
    ) -> Taken {
        let mut taken = Taken::default();
        for (seq, entry) in batch.numbered() {
            let told = Told {
                seq,
                time_s: batch.time_s,
                member: entry.member,
                sseq: entry.sseq,
                kind: entry.kind,
                payload: entry.payload,
            };
            self.take(now, told, timing, &mut taken, deliver);
        }
        if taken.new > 0 {
            self.fresh_at.get_or_insert(now);
        }
        taken
    }

    fn take(
        &mut self,
        now: Time,
        told: Told<'_>,
        timing: Timing,
        taken: &mut Taken,
        deliver: &mut impl FnMut(Next<'_>),
    ) {
        let in_turn = told.seq.0 == self.gaps.next();
        if told.seq.0 > SEQ_MAX || !(in_turn || self.can_hold(told.payload.len())) {
            taken.dropped += 1;
            return;
        }
        if self.gaps.arrive(told.seq.0, now, timing.wait, timing.pace) == Arrival::Known {
            taken.known += 1;
            return;
        }
        taken.new += 1;
        self.bytes += (ENTRY_BYTES + told.payload.len()) as u64;
        if !in_turn {
            self.hold(told);
            return;
        }
        deliver(Next::Entry(told));
        self.gaps.deliver();
        self.advance(deliver);
    }

    /// The relay says that `from` to `to` are gone for good.
    pub(super) fn take_gap(
        &mut self,
        now: Time,
        from: Seq,
        to: Seq,
        timing: Timing,
        deliver: &mut impl FnMut(Next<'_>),
    ) {
        self.gaps.declare_gone(from.0.min(SEQ_MAX), to.0.min(SEQ_MAX), now, timing.wait);
        self.advance(deliver);
    }

    /// The relay says that entries up to `head` exist.
    pub(super) fn take_head(&mut self, now: Time, head: Seq, chance: &mut Chance) {
        if head.0 > self.gaps.newest() {
            self.gaps.raise(head.0.min(SEQ_MAX), now, nack_wait(chance));
        }
    }

    /// Hands out everything that is in its turn by now.
    fn advance(&mut self, deliver: &mut impl FnMut(Next<'_>)) {
        loop {
            if let Some(gone) = self.gaps.skip_gone() {
                deliver(Next::Gone { from: Seq(*gone.start()), to: Seq(*gone.end()) });
            }
            let seq = self.gaps.next();
            // The first held entry is the lowest: no search where nothing is held.
            let Some(first) = self.held.first_entry().filter(|first| *first.key() == seq) else { return };
            let held = first.remove();
            self.held_bytes -= held.payload.len();
            let Held { time_s, member, sseq, kind, ref payload } = held;
            deliver(Next::Entry(Told { seq: Seq(seq), time_s, member, sseq, kind, payload }));
            self.gaps.deliver();
        }
    }

    fn can_hold(&self, bytes: usize) -> bool {
        self.held.len() < HELD_ENTRIES_MAX && self.held_bytes + bytes <= HELD_BYTES_MAX
    }

    fn hold(&mut self, told: Told<'_>) {
        self.held_bytes += told.payload.len();
        let Told { seq, time_s, member, sseq, kind, payload } = told;
        self.held.insert(seq.0, Held { time_s, member, sseq, kind, payload: payload.into() });
    }

    // ---- out ---------------------------------------------------------------------

    /// Fills `asks` with what is to be asked for now, and says how many ranges that are.
    pub(super) fn take_asks(&mut self, now: Time, rtt: &Rtt, asks: &mut [SeqRange]) -> usize {
        if self.gaps.due().is_none_or(|due| due > now) {
            return 0;
        }
        self.gaps.take_due(now, pace(rtt), asks)
    }

    /// Nothing is asked for within `span`: the relay has no budget for it.
    pub(super) fn pause_asks(&mut self, now: Time, span: Duration) {
        self.gaps.pause(now + span);
    }

    /// The REPORT to send now, if there is one.
    pub(super) fn take_report(&mut self, now: Time, room: RoomHandle) -> Option<Frame<'static>> {
        self.report_due().filter(|due| *due <= now)?;
        (self.fresh_at, self.reported_at) = (None, Some(now));
        Some(Frame::Report {
            room,
            contiguous: Seq(self.gaps.next() - 1),
            highest: Seq(self.gaps.newest()),
            lost: self.gaps.lost(),
            // Both wrap on the wire.
            kib: (self.bytes >> 10) as u16,
        })
    }

    /// When [`take_asks`](Self::take_asks) or [`take_report`](Self::take_report) is worth a call.
    pub(super) fn due(&self) -> Option<Time> {
        [self.gaps.due(), self.report_due()].into_iter().flatten().min()
    }

    fn report_due(&self) -> Option<Time> {
        let apart = self.reported_at.map(|at| at + REPORT_GAP_AFTER);
        let of_gap = self.gaps.oldest_found().map(|found| found + REPORT_GAP_AFTER);
        let of_gap = of_gap.map(|due| apart.map_or(due, |apart| apart.max(due)));
        let of_entries = self.fresh_at.map(|at| at + REPORT_AFTER);
        [of_gap, of_entries].into_iter().flatten().min()
    }
}

fn nack_wait(chance: &mut Chance) -> Duration {
    chance.span(NACK_WAIT_MIN, NACK_WAIT_MAX)
}

/// Between two requests for the same entries: 1.5 round trips.
fn pace(rtt: &Rtt) -> Duration {
    rtt.smoothed() * 3 / 2
}
