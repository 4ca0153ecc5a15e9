//! Owns the flush: what is sent next, and what becomes of an item that the
//! kernel did not take. Never makes a system call itself and never looks into
//! a datagram.
//!
//! The rules, by [`Fault`], for the item that failed:
//!
//! | fault | do |
//! |---|---|
//! | `WouldBlock` | stop: [`Flushed::Blocked`]; the next flush goes on here |
//! | `Interrupted`, `NoBuffers` | again, a few times; then drop |
//! | any other, and ICMP was in the error queue | again, a few times: the error was most likely another peer's |
//! | `Unreachable` | again, once; then drop |
//! | `TooLong`, `Device`, `Invalid` on a train | send the same messages one by one, at once |
//! | anything else | drop |

use super::errno::Fault;
use super::gso::Gso;
use super::kernel::{ITEMS_MAX, Kernel};
use super::unreachable::Unreachable;
use crate::Time;
use crate::batch::{Item, Outbox, Rosters, SendDrop, SendTally};
use std::mem;

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Every copy was sent or dropped; the outbox may be cleared.
    Done,
    /// The send buffer is full. Flush again when the socket is writable, or
    /// [`abandon`](super::Socket::abandon).
    Blocked,
}

/// Times that one item is tried again after `Interrupted`.
const INTERRUPTS_MAX: u8 = 32;
/// Times that one item is tried again after `NoBuffers`...
const NO_BUFFERS_MAX: u8 = 3;
/// ...and all items of one flush: a full device queue must not hold the loop.
const PATIENCE: u32 = 64;
/// Times that one item is tried again while other peers' ICMP pours in. Every
/// ICMP error fails one call, whoever that is for, and with its own errno
/// (a path MTU report as `TooLong`).
const ICMP_MAX: u8 = 8;
/// Times that one item is tried again after `Unreachable` without a cause in the queue.
const UNREACHABLE_MAX: u8 = 1;

/// Items offered to the kernel in one call after a failure, doubled by each
/// call that takes all. A backend prepares what it is offered: with a thousand
/// dead peers, offering everything behind each of them would cost more than sending.
const WINDOW_MIN: usize = 32;

/// Items in sending order, of which the first `next` are dealt with.
struct Queue {
    items: Vec<Item>,
    next: usize,
}

impl Queue {
    fn new() -> Self {
        Self { items: Vec::with_capacity(ITEMS_MAX), next: 0 }
    }

    fn clear(&mut self) {
        self.items.clear();
        self.next = 0;
    }

    fn waiting(&self) -> &[Item] {
        &self.items[self.next..]
    }

    fn waiting_up_to(&self, items: usize) -> &[Item] {
        let waiting = self.waiting();
        &waiting[..waiting.len().min(items)]
    }

    fn is_empty(&self) -> bool {
        self.next == self.items.len()
    }

    fn has_room(&self, items: usize) -> bool {
        self.items.len() + items <= ITEMS_MAX
    }

    /// Takes the next `items` as dealt with. Returns their copies.
    fn advance(&mut self, items: usize) -> u64 {
        let copies = copies(&self.waiting()[..items]);
        self.next += items;
        copies
    }
}

fn copies(items: &[Item]) -> u64 {
    items.iter().map(|item| u64::from(item.segments)).sum()
}

/// Tries of the item at the head so far, by what went wrong.
#[derive(Clone, Copy, Default)]
struct Attempts {
    interrupted: u8,
    no_buffers: u8,
    icmp: u8,
    unreachable: u8,
}

/// Whether one more try is left, which it takes.
fn again(tries: &mut u8, limit: u8) -> bool {
    *tries += 1;
    *tries <= limit
}

/// A refused train whose messages are being sent one by one.
#[derive(Clone, Copy)]
struct Refusal {
    fault: Fault,
    /// All of them so far went out plain: so it was the train that was refused.
    intact: bool,
}

/// The sending half of a socket. Memory: 3 * 64 KiB of items, taken in `new`.
pub(super) struct Egress {
    /// On their way to the kernel.
    items: Queue,
    /// From the outbox, trains not yet split for destinations that refuse them.
    staged: Queue,
    /// The messages of one refused train; they go before `items`.
    resend: Queue,
    refusal: Option<Refusal>,
    /// The outbox has more.
    more: bool,
    window: usize,
    attempts: Attempts,
    patience: u32,
    gso: Gso,
    unreachable: Unreachable,
}

impl Egress {
    pub(super) fn new(sends_trains: bool) -> Self {
        Self {
            items: Queue::new(),
            staged: Queue::new(),
            resend: Queue::new(),
            refusal: None,
            more: false,
            window: ITEMS_MAX,
            attempts: Attempts::default(),
            patience: 0,
            gso: Gso::new(sends_trains),
            unreachable: Unreachable::new(),
        }
    }

    pub(super) fn unreachable(&mut self) -> &mut Unreachable {
        &mut self.unreachable
    }

    pub(super) fn has_unreachable(&self) -> bool {
        self.unreachable.has_some()
    }

    pub(super) fn unreachable_overflowed(&self) -> u64 {
        self.unreachable.overflowed()
    }

    /// Sends what is in `outbox`, or what is left of it.
    pub(super) fn flush<K: Kernel>(
        &mut self,
        kernel: &mut K,
        now: Time,
        outbox: &mut Outbox,
        rosters: &dyn Rosters,
        tally: &mut SendTally,
    ) -> Flushed {
        self.begin(outbox, rosters, tally);
        self.gso.expire(now);
        self.patience = PATIENCE;
        while self.refill(outbox, rosters) {
            let window = self.window;
            let offered = self.head().waiting_up_to(window);
            let (count, result) = (offered.len(), kernel.send(outbox.arena(), offered));
            let all = result.as_ref().is_ok_and(|&taken| taken == count);
            self.window = if all { (window * 2).min(ITEMS_MAX) } else { WINDOW_MIN };
            match result {
                // Never seen; but an item that is neither taken nor refused would loop for ever.
                Ok(0) => self.drop_head(SendDrop::Other, tally),
                Ok(taken) => self.take_as_sent(taken, tally),
                Err(error) => match Fault::of(&error) {
                    Fault::WouldBlock => return Flushed::Blocked,
                    fault => self.settle(fault, kernel, now, tally),
                },
            }
            self.conclude_resend(now);
        }
        Flushed::Done
    }

    /// Drops what is left of `outbox`.
    pub(super) fn abandon(&mut self, outbox: &mut Outbox, rosters: &dyn Rosters, tally: &mut SendTally) {
        self.begin(outbox, rosters, tally);
        self.refusal = None;
        self.attempts = Attempts::default();
        for queue in [&mut self.resend, &mut self.items, &mut self.staged] {
            tally.drop(SendDrop::Blocked, copies(queue.waiting()));
            queue.clear();
        }
        while self.more {
            self.more = outbox.fill(rosters, &mut self.staged.items);
            tally.drop(SendDrop::Blocked, copies(self.staged.waiting()));
            self.staged.clear();
        }
    }

    fn begin(&mut self, outbox: &mut Outbox, rosters: &dyn Rosters, tally: &mut SendTally) {
        if outbox.is_flushing() {
            return;
        }
        let idle = self.resend.is_empty() && self.items.is_empty() && self.staged.is_empty();
        assert!(idle, "an outbox is cleared only after Done or abandon");
        outbox.begin(rosters, tally);
        self.more = true;
    }

    /// What is sent from now: the head of the line.
    fn head(&mut self) -> &mut Queue {
        if self.resend.is_empty() { &mut self.items } else { &mut self.resend }
    }

    /// Makes sure that something is at the head; false when all is dealt with.
    fn refill(&mut self, outbox: &mut Outbox, rosters: &dyn Rosters) -> bool {
        while self.head().is_empty() {
            if self.staged.is_empty() {
                if !self.more {
                    return false;
                }
                self.staged.clear();
                self.more = outbox.fill(rosters, &mut self.staged.items);
            }
            self.items.clear();
            if self.gso.is_on_everywhere() {
                mem::swap(&mut self.items, &mut self.staged);
            } else {
                self.split_where_refused();
            }
        }
        true
    }

    /// Moves staged items to `items`, trains as single datagrams where they must be.
    fn split_where_refused(&mut self) {
        while let Some(&item) = self.staged.waiting().first() {
            let whole = item.segments == 1 || self.gso.is_on_for(&item.to.remote);
            let pieces = if whole { 1 } else { usize::from(item.segments) };
            assert!(pieces <= ITEMS_MAX, "a train has at most 64 segments");
            if !self.items.has_room(pieces) {
                return;
            }
            if whole {
                self.items.items.push(item);
            } else {
                self.items.items.extend(item.split());
            }
            self.staged.next += 1;
        }
    }

    fn take_as_sent(&mut self, items: usize, tally: &mut SendTally) {
        self.attempts = Attempts::default();
        tally.sent += self.head().advance(items);
    }

    fn drop_head(&mut self, cause: SendDrop, tally: &mut SendTally) {
        self.attempts = Attempts::default();
        if let Some(refusal) = &mut self.refusal {
            refusal.intact = false;
        }
        tally.drop(cause, self.head().advance(1));
    }

    /// Decides what becomes of the item at the head, which `fault` kept from being sent.
    fn settle<K: Kernel>(&mut self, fault: Fault, kernel: &mut K, now: Time, tally: &mut SendTally) {
        match fault {
            Fault::WouldBlock => {}
            Fault::Interrupted => self.retry_interrupted(tally),
            Fault::NoBuffers => self.retry_no_buffers(tally),
            _ if self.unreachable.drain(kernel) && again(&mut self.attempts.icmp, ICMP_MAX) => {}
            Fault::Unreachable => self.retry_unreachable(tally),
            Fault::TooLong | Fault::Device | Fault::Invalid if self.head_is_train() => {
                self.resend_plain(fault, now, tally);
            }
            Fault::TooLong | Fault::Invalid | Fault::Denied => self.drop_head(SendDrop::Refused, tally),
            Fault::Device | Fault::Broken | Fault::Other => self.drop_head(SendDrop::Other, tally),
        }
    }

    fn head_is_train(&mut self) -> bool {
        self.head().waiting().first().is_some_and(|item| item.segments > 1)
    }

    fn retry_interrupted(&mut self, tally: &mut SendTally) {
        if !again(&mut self.attempts.interrupted, INTERRUPTS_MAX) {
            self.drop_head(SendDrop::Other, tally);
        }
    }

    fn retry_no_buffers(&mut self, tally: &mut SendTally) {
        if self.patience > 0 && again(&mut self.attempts.no_buffers, NO_BUFFERS_MAX) {
            self.patience -= 1;
            std::thread::yield_now();
        } else {
            self.drop_head(SendDrop::NoBuffers, tally);
        }
    }

    fn retry_unreachable(&mut self, tally: &mut SendTally) {
        if !again(&mut self.attempts.unreachable, UNREACHABLE_MAX) {
            self.drop_head(SendDrop::Unreachable, tally);
        }
    }

    /// The train at the head was refused: its messages go out one by one, now.
    fn resend_plain(&mut self, fault: Fault, now: Time, tally: &mut SendTally) {
        let train = self.items.waiting()[0];
        self.items.next += 1;
        self.resend.clear();
        self.resend.items.extend(train.split());
        self.refusal = Some(Refusal { fault, intact: true });
        self.attempts = Attempts::default();
        tally.trains_refused += 1;
        if fault == Fault::TooLong {
            self.gso.refuse(train.to.remote, now);
            self.restage();
        }
    }

    /// Once a refused train's messages are dealt with: a device that cannot do
    /// trains turns them off for all, but only if the messages themselves were
    /// not what it could not do.
    fn conclude_resend(&mut self, now: Time) {
        if !self.resend.is_empty() {
            return;
        }
        let Some(refusal) = self.refusal.take() else { return };
        if refusal.intact && refusal.fault != Fault::TooLong {
            self.gso.refuse_all(now);
            self.restage();
        }
    }

    /// Has what is on its way looked through again for trains to split.
    fn restage(&mut self) {
        if self.staged.is_empty() {
            mem::swap(&mut self.staged, &mut self.items);
        }
    }
}
