//! Owns what this client says in one room until the relay has it: the numbers,
//! the window, the timeouts, what is sent again and what is given up. Never
//! writes a datagram.

use super::event::{Event, Events, NotSent, RoomId, Ticket};
use super::options::{SEND_QUEUE_BYTES_MAX, SEND_QUEUE_MESSAGES_MAX, Unfit};
use super::rtt::Rtt;
use crate::Time;
use crate::wire::header::{EntryKind, RefusedCause};
use crate::wire::id::{Seq, Sseq};
use std::collections::VecDeque;
use std::time::Duration;

/// How long nothing may be acknowledged until the session is given up.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// What is older when the connection comes back is not sent.
const EXPIRES_AFTER: Duration = Duration::from_secs(30);
/// Payload buffers that are kept for later messages.
const SPARE_MAX: usize = 64;

/// A message on its way.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    kind: EntryKind,
    payload: Vec<u8>,
    queued_at: Time,
    last_sent: Time,
    /// Times that it was sent.
    sent: u32,
}

impl Pending {
    fn is_void(&self) -> bool {
        self.kind == EntryKind::VOID
    }
}

/// What a JOINED means for the messages that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// The first one, or the first one of a relay's new state.
    NewEpoch,
    /// The session is new, the relay's state is not.
    NewSession,
    /// The relay had lost the membership only.
    SameSession,
}

/// The pace that a relay has asked for.
#[derive(Clone, Copy, Debug)]
struct Pace {
    message: Duration,
    bytes_per_s: u32,
    next_at: Time,
    /// That time has come: what holds the message back now is something else.
    reached: bool,
}

impl Pace {
    fn step(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000_000);
        let by_bytes = bytes.checked_div(self.bytes_per_s.into()).unwrap_or(0);
        self.message.max(Duration::from_nanos(by_bytes))
    }
}

/// One room's messages on their way out. They have consecutive numbers, the
/// first of them [`Self::first`].
pub(super) struct Sending {
    room: RoomId,
    queue: VecDeque<Pending>,
    queued_bytes: usize,
    /// The number of the first message in the queue: all before it are acknowledged.
    first: u32,
    /// The message that is sent next.
    next: usize,
    /// Messages before this one were sent in this session.
    high: usize,
    in_flight: usize,
    /// When to send all that is unacknowledged again, and how often that was done.
    resend_at: Option<Time>,
    resends: u32,
    /// When the open messages last made progress, or began to wait.
    progress_at: Option<Time>,
    pace: Option<Pace>,
    spare: Vec<Vec<u8>>,
}

impl Sending {
    pub(super) fn new(room: RoomId) -> Self {
        Self {
            room,
            queue: VecDeque::new(),
            queued_bytes: 0,
            first: 1,
            next: 0,
            high: 0,
            in_flight: 0,
            resend_at: None,
            resends: 0,
            progress_at: None,
            pace: None,
            spare: Vec::new(),
        }
    }

    /// A buffer for the next message's payload.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Whether a message of so many bytes may wait here.
    pub(super) fn has_place(&self, bytes: usize) -> bool {
        self.queue.len() < SEND_QUEUE_MESSAGES_MAX && self.queued_bytes + bytes <= SEND_QUEUE_BYTES_MAX
    }

    /// Takes a message over.
    pub(super) fn push(&mut self, now: Time, ticket: Ticket, kind: EntryKind, payload: Vec<u8>) -> Result<(), Unfit> {
        if !self.has_place(payload.len()) {
            return Err(Unfit::Full);
        }
        self.queued_bytes += payload.len();
        self.queue.push_back(Pending { ticket, kind, payload, queued_at: now, last_sent: now, sent: 0 });
        Ok(())
    }

    /// Bytes of payload sent and not acknowledged.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Messages not yet acknowledged.
    pub(super) fn open(&self) -> usize {
        self.queue.len()
    }

    // ---- out ---------------------------------------------------------------------

    /// The message to send now, if there is one; `window` bytes may still be
    /// sent without acknowledgement, `idle`: none are.
    pub(super) fn peek(&self, now: Time, window: usize, idle: bool) -> Option<(Sseq, EntryKind, &[u8])> {
        let pending = self.queue.get(self.next)?;
        let fits = self.next < self.high || idle || pending.payload.len() <= window;
        let is_time = self.pace.is_none_or(|pace| pace.next_at <= now);
        (fits && is_time).then(|| (self.number(self.next), pending.kind, pending.payload.as_slice()))
    }

    /// The message that [`peek`](Self::peek) gave is on its way. `true`: not for the first time.
    pub(super) fn sent(&mut self, now: Time, rtt: &Rtt) -> bool {
        let pending = &mut self.queue[self.next];
        pending.sent += 1;
        pending.last_sent = now;
        let (bytes, again) = (pending.payload.len(), pending.sent > 1);
        if let Some(pace) = &mut self.pace {
            pace.next_at = pace.next_at.max(now) + pace.step(bytes);
            pace.reached = false;
        }
        if self.next == self.high {
            self.high += 1;
            self.in_flight += bytes;
        }
        self.next += 1;
        self.resend_at.get_or_insert(now + rtt.timeout(self.resends));
        self.progress_at.get_or_insert(now);
        again
    }

    /// When [`handle_deadline`](Self::handle_deadline) or [`peek`](Self::peek) is worth a call.
    pub(super) fn due(&self) -> Option<Time> {
        let has_more = self.next < self.queue.len();
        let paced = self.pace.filter(|pace| has_more && !pace.reached).map(|pace| pace.next_at);
        let stuck = self.progress_at.map(|at| at + STUCK_AFTER);
        [paced, self.resend_at, stuck].into_iter().flatten().min()
    }

    /// Lets everything unacknowledged be sent again when its time has come.
    /// `false`: nothing was acknowledged for too long.
    pub(super) fn handle_deadline(&mut self, now: Time) -> bool {
        if let Some(pace) = &mut self.pace {
            pace.reached |= pace.next_at <= now;
        }
        if self.resend_at.is_some_and(|at| at <= now) {
            self.resends += 1;
            self.rewind(0);
        }
        self.progress_at.is_none_or(|at| now.since(at) < STUCK_AFTER)
    }

    // ---- in ----------------------------------------------------------------------

    /// A message that was sent once has come back with what goes to the whole
    /// room: that took a round trip. Anything else may have been lost on its way back first.
    pub(super) fn measure(&self, now: Time, echo: Sseq, rtt: &mut Rtt) {
        let pending = self.position(echo).map(|at| &self.queue[at]);
        if let Some(pending) = pending.filter(|pending| pending.sent == 1) {
            rtt.sample(now.since(pending.last_sent));
        }
    }

    /// The relay has everything up to `cumulative`, which is entry `seq`.
    pub(super) fn acknowledge(&mut self, now: Time, cumulative: Sseq, seq: Seq, rtt: &Rtt, events: &mut Events) {
        let Some(count) = self.count_up_to(cumulative) else { return };
        self.accepted(count, Some(seq), events);
        self.made_progress(now, rtt);
    }

    /// The relay has a number above the next one and not that: everything is
    /// sent again, unless that was done within a round trip.
    pub(super) fn handle_missing(&mut self, now: Time, cumulative: Sseq, rtt: &Rtt) {
        let is_next = cumulative.0.wrapping_add(1) == self.first;
        if let Some(pending) = self.queue.front().filter(|_| is_next && self.high > 0)
            && now.since(pending.last_sent) > rtt.smoothed()
        {
            self.rewind(0);
        }
    }

    /// The relay will never take a message: its number is sent as void. `false`: no such message is open.
    pub(super) fn refuse(&mut self, now: Time, number: Sseq, cause: RefusedCause, events: &mut Events) -> bool {
        let Some(at) = self.position(number).filter(|at| *at < self.high) else { return false };
        self.progress_at = Some(now);
        let pending = &mut self.queue[at];
        if pending.is_void() {
            return true;
        }
        events.push(Event::NotSent { ticket: pending.ticket, room: self.room, why: NotSent::Refused(cause) });
        pending.kind = EntryKind::VOID;
        let payload = std::mem::take(&mut pending.payload);
        self.release(payload.len());
        self.keep(payload);
        self.rewind(at);
        true
    }

    /// The relay did not take `first_dropped` and what followed: they are sent
    /// again after `retry`, at its pace. `false`: nothing of that is open.
    pub(super) fn slow(&mut self, now: Time, first_dropped: Sseq, retry: Duration, msgs_s: u32, bytes_s: u32) -> bool {
        let Some(at) = self.position(first_dropped).filter(|at| *at < self.high) else { return false };
        let message = Duration::from_secs(1).checked_div(msgs_s).unwrap_or(Duration::ZERO);
        self.pace = Some(Pace { message, bytes_per_s: bytes_s, next_at: now + retry, reached: false });
        // It is an answer: the relay is there and says when to come again.
        self.progress_at = Some(now + retry);
        self.rewind(at);
        true
    }

    /// The relay expects `expected` next. What it has is delivered, what it
    /// cannot tell is unknown, what is too old is given up, the rest is
    /// numbered anew and sent again.
    pub(super) fn resume(&mut self, now: Time, expected: Sseq, resume: Resume, events: &mut Events) {
        let expected = expected.0.max(1);
        if resume != Resume::NewEpoch {
            self.settle_sent(expected, events);
        }
        if resume != Resume::SameSession {
            self.drop_old(now, resume, events);
        }
        self.first = expected;
        (self.next, self.high, self.in_flight) = (0, 0, 0);
        (self.resend_at, self.resends, self.progress_at, self.pace) = (None, 0, None, None);
    }

    /// Nothing more is sent: all that is open is given up.
    pub(super) fn end(&mut self, events: &mut Events) {
        while let Some(pending) = self.queue.pop_front() {
            let why = if pending.sent > 0 { NotSent::Unknown } else { NotSent::Ended };
            self.give_up(pending, why, events);
        }
        (self.next, self.high, self.in_flight, self.queued_bytes) = (0, 0, 0, 0);
        (self.resend_at, self.progress_at) = (None, None);
    }

    // ---- helpers -------------------------------------------------------------------

    fn number(&self, at: usize) -> Sseq {
        Sseq(self.first.wrapping_add(at as u32))
    }

    fn position(&self, number: Sseq) -> Option<usize> {
        let at = number.0.checked_sub(self.first)? as usize;
        (at < self.queue.len()).then_some(at)
    }

    /// How many messages that were sent have a number up to `cumulative`; `None`: no new one.
    fn count_up_to(&self, cumulative: Sseq) -> Option<usize> {
        self.position(cumulative).filter(|at| *at < self.high).map(|at| at + 1)
    }

    fn made_progress(&mut self, now: Time, rtt: &Rtt) {
        self.resends = 0;
        let waits = self.next > 0;
        self.resend_at = waits.then(|| now + rtt.timeout(0));
        self.progress_at = (self.high > 0).then_some(now);
        if self.queue.is_empty() {
            self.pace = None;
        }
    }

    fn rewind(&mut self, at: usize) {
        self.next = self.next.min(at);
        self.resend_at = None;
    }

    /// The first `count` messages were entered, the last of them as `seq`.
    fn accepted(&mut self, count: usize, seq: Option<Seq>, events: &mut Events) {
        for at in 0..count {
            let Some(pending) = self.queue.pop_front() else { break };
            if !pending.is_void() {
                let seq = seq.filter(|_| at + 1 == count);
                events.push(Event::Delivered { ticket: pending.ticket, room: self.room, seq });
            }
            self.release(pending.payload.len());
            self.keep(pending.payload);
            self.first = self.first.wrapping_add(1);
            self.high = self.high.saturating_sub(1);
            self.next = self.next.saturating_sub(1);
        }
    }

    /// Settles what was sent in the session before, now that the relay expects `expected`.
    fn settle_sent(&mut self, expected: u32, events: &mut Events) {
        if let Some(accepted) = expected.checked_sub(self.first) {
            self.accepted(self.high.min(accepted as usize), None, events);
        } else {
            // The relay has forgotten this sender: it cannot tell what it has entered.
            for _ in 0..self.high {
                let Some(pending) = self.queue.pop_front() else { break };
                self.give_up(pending, NotSent::Unknown, events);
            }
            self.high = 0;
        }
    }

    /// Gives up what is too old, and numbers that were void.
    fn drop_old(&mut self, now: Time, resume: Resume, events: &mut Events) {
        for _ in 0..self.queue.len() {
            let Some(mut pending) = self.queue.pop_front() else { break };
            if pending.is_void() {
                continue;
            }
            if now.since(pending.queued_at) <= EXPIRES_AFTER {
                if resume == Resume::NewSession {
                    // The relay has just told that it does not have it.
                    pending.sent = 0;
                }
                self.queue.push_back(pending);
                continue;
            }
            // The state that it was sent to is gone, and others may have it from there.
            let is_known = resume == Resume::NewSession || pending.sent == 0;
            self.give_up(pending, if is_known { NotSent::Expired } else { NotSent::Unknown }, events);
        }
    }

    fn give_up(&mut self, pending: Pending, why: NotSent, events: &mut Events) {
        self.queued_bytes = self.queued_bytes.saturating_sub(pending.payload.len());
        if !pending.is_void() {
            events.push(Event::NotSent { ticket: pending.ticket, room: self.room, why });
        }
        self.keep(pending.payload);
    }

    /// So many bytes of a message that was sent wait no more.
    fn release(&mut self, bytes: usize) {
        self.queued_bytes -= bytes;
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    fn keep(&mut self, mut payload: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && payload.capacity() > 0 {
            payload.clear();
            self.spare.push(payload);
        }
    }
}

#[cfg(test)]
#[path = "sending/tests.rs"]
mod tests;
