//! What the threads of one measurement share: counters and two flags. Atomics
//! only; nothing here waits.

use crate::members::Taken;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::Thread;

/// Shared by sending, receiving and reporting threads.
pub struct Board {
    copies: Box<[AtomicU32]>,
    /// Copies that one message has when everybody got it.
    expected: u32,
    sent: AtomicU64,
    received: AtomicU64,
    datagrams: AtomicU64,
    distinct: AtomicU64,
    /// The latest that a message went out since somebody asked, in ns.
    lag: AtomicU64,
    /// The sending thread that waits for complete messages, in closed loop.
    waiting: OnceLock<Thread>,
    stop_sending: AtomicBool,
    sending_over: AtomicBool,
    stop_receiving: AtomicBool,
}

impl Board {
    /// For a plan of `messages`, each for `expected` receivers.
    pub fn new(messages: usize, expected: u32) -> Self {
        Self {
            copies: (0..messages).map(|_| AtomicU32::new(0)).collect(),
            expected,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            datagrams: AtomicU64::new(0),
            distinct: AtomicU64::new(0),
            lag: AtomicU64::new(0),
            waiting: OnceLock::new(),
            stop_sending: AtomicBool::new(false),
            sending_over: AtomicBool::new(false),
            stop_receiving: AtomicBool::new(false),
        }
    }

    /// Counts one distinct copy of a message; returns how many were before it.
    pub fn count_copy(&self, message: usize) -> u32 {
        let before = self.copies[message].fetch_add(1, Relaxed);
        if before + 1 == self.expected
            && let Some(sender) = self.waiting.get()
        {
            sender.unpark();
        }
        before
    }

    /// The calling thread wants to be woken by each complete message.
    pub fn wake_me(&self) {
        let _ = self.waiting.set(std::thread::current());
    }

    /// Whether everybody has got a message.
    pub fn is_complete(&self, message: usize) -> bool {
        self.copies(message) >= self.expected
    }

    /// Distinct copies of a message that have arrived.
    pub fn copies(&self, message: usize) -> u32 {
        self.copies[message].load(Relaxed)
    }

    /// Copies that one message has when everybody got it.
    pub fn expected(&self) -> u32 {
        self.expected
    }

    /// Counts a message that was sent.
    pub fn count_sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    /// Takes note of how late a message goes out.
    pub fn note_lag(&self, ns: u64) {
        self.lag.fetch_max(ns, Relaxed);
    }

    /// The latest of all messages since the last call, in ns.
    pub fn take_lag(&self) -> u64 {
        self.lag.swap(0, Relaxed)
    }

    /// Messages sent, warm-up included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Counts what a receiving thread took: messages of any kind, and the
    /// distinct copies of this run's messages among them.
    pub fn count_received(&self, taken: Taken, distinct: u64) {
        self.received.fetch_add(taken.messages, Relaxed);
        self.datagrams.fetch_add(taken.datagrams, Relaxed);
        self.distinct.fetch_add(distinct, Relaxed);
    }

    /// Messages taken by all receiving threads.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// How many of them the kernel handed over at once, on average: 1 without
    /// UDP_GRO. A dropped train is one drop to the kernel, and so many copies.
    pub fn messages_per_datagram(&self) -> f64 {
        let datagrams = self.datagrams.load(Relaxed);
        if datagrams == 0 { 1.0 } else { self.received() as f64 / datagrams as f64 }
    }

    /// Distinct copies taken, those of the warm-up included.
    pub fn distinct(&self) -> u64 {
        self.distinct.load(Relaxed)
    }

    /// Whether every copy of every sent message is here.
    pub fn complete(&self) -> bool {
        self.distinct.load(Relaxed) >= self.sent() * u64::from(self.expected)
    }

    /// Ends sending; what is under way is still received.
    pub fn stop_sending(&self) {
        self.stop_sending.store(true, Relaxed);
    }

    /// Whether sending was ended.
    pub fn sending_stopped(&self) -> bool {
        self.stop_sending.load(Relaxed)
    }

    /// The sending threads have ended.
    pub fn end_sending(&self) {
        self.sending_over.store(true, Relaxed);
    }

    /// Whether the sending threads have ended, or will at once.
    pub fn sending_over(&self) -> bool {
        self.sending_over.load(Relaxed) || self.sending_stopped()
    }

    /// Ends receiving.
    pub fn stop_receiving(&self) {
        self.stop_receiving.store(true, Relaxed);
    }

    /// Whether receiving was ended.
    pub fn receiving_stopped(&self) -> bool {
        self.stop_receiving.load(Relaxed)
    }
}
