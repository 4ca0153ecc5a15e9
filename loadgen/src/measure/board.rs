//! What the threads of one measurement share: counters and two flags. Atomics
//! only; nothing here waits.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Shared by sending, receiving and reporting threads.
pub struct Board {
    copies: Box<[AtomicU32]>,
    /// Copies that one message has when everybody got it.
    expected: u32,
    sent: AtomicU64,
    received: AtomicU64,
    stop_sending: AtomicBool,
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
            stop_sending: AtomicBool::new(false),
            stop_receiving: AtomicBool::new(false),
        }
    }

    /// Counts one distinct copy of a message; returns how many were before it.
    pub fn count_copy(&self, message: usize) -> u32 {
        self.copies[message].fetch_add(1, Relaxed)
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

    /// Messages sent, warm-up included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Counts copies, duplicates and all, that a receiving thread took.
    pub fn count_received(&self, copies: u64) {
        self.received.fetch_add(copies, Relaxed);
    }

    /// Copies taken by all receiving threads.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Whether every copy of every sent message is here.
    pub fn complete(&self) -> bool {
        let expected = self.sent() * u64::from(self.expected);
        self.received() >= expected
            && self.copies.iter().map(|copies| u64::from(copies.load(Relaxed))).sum::<u64>() >= expected
    }

    /// Ends sending; what is under way is still received.
    pub fn stop_sending(&self) {
        self.stop_sending.store(true, Relaxed);
    }

    /// Whether sending was ended.
    pub fn sending_stopped(&self) -> bool {
        self.stop_sending.load(Relaxed)
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
