//! Seconds: receiving threads hand over one interval a second, the main thread
//! puts them together and keeps the totals.

use super::Latency;
use serde::{Deserialize, Serialize};
use std::sync::mpsc;

const SECOND_NS: u64 = 1_000_000_000;

/// What one thread recorded in one second.
pub(super) struct Interval {
    /// Which second since measuring began; those before it are 0 too.
    pub second: u64,
    /// When it is over, on the run's clock.
    pub until: u64,
    /// Delivery latencies of measured messages.
    pub latency: Latency,
}

/// A receiving thread's way to the collector.
pub(super) struct Port {
    full: mpsc::Sender<Box<Interval>>,
    empty: mpsc::Receiver<Box<Interval>>,
    begin: u64,
}

impl Port {
    /// The first interval: warm-up and the first second of measuring.
    pub(super) fn fresh(&self) -> Box<Interval> {
        self.blank(0)
    }

    /// The interval that follows `interval`, or that holds `now` if later.
    pub(super) fn after(&self, interval: &Interval, now: u64) -> Box<Interval> {
        self.blank((interval.second + 1).max(now.saturating_sub(self.begin) / SECOND_NS))
    }

    pub(super) fn send(&self, interval: Box<Interval>) {
        // Fails only when the collector is gone, and then nobody wants it.
        let _ = self.full.send(interval);
    }

    fn blank(&self, second: u64) -> Box<Interval> {
        let until = self.begin + (second + 1) * SECOND_NS;
        match self.empty.try_recv() {
            Ok(mut interval) => {
                interval.latency.clear();
                interval.second = second;
                interval.until = until;
                interval
            }
            Err(_) => Box::new(Interval { second, until, latency: Latency::default() }),
        }
    }
}

/// One second of a run, of all threads together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// From the beginning of measuring, from 0; what comes in the drain follows.
    pub second: u64,
    /// Messages planned.
    pub offered: u64,
    /// Messages sent.
    pub sent: u64,
    /// Copies delivered.
    pub copies: u64,
    /// Percentiles of delivery in ns; 0 when nothing came.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// Largest.
    pub max_ns: u64,
    /// Copies by class of latency: class c is 2^(c/4) ns and up.
    pub heat: Vec<(u8, u64)>,
    /// The whole histogram, compressed; for the interval log only.
    #[serde(skip)]
    pub packed: String,
}

/// Puts the threads' intervals together.
pub struct Collector {
    full: mpsc::Receiver<Box<Interval>>,
    own_port: Option<mpsc::Sender<Box<Interval>>>,
    returns: Vec<mpsc::Sender<Box<Interval>>>,
    begin: u64,
    pending: Vec<(u64, u32, Latency)>,
    threads: u32,
    /// All latencies.
    pub total: Latency,
    /// Whole seconds so far.
    pub seconds: Vec<Second>,
}

impl Collector {
    /// For `threads` receiving threads and a measurement from `begin` to `end`.
    pub fn new(threads: u32, begin: u64, end: u64) -> Self {
        let (own_port, full) = mpsc::channel();
        let seconds = Vec::with_capacity((end.saturating_sub(begin) / SECOND_NS + 8) as usize);
        Self {
            full,
            own_port: Some(own_port),
            returns: Vec::new(),
            begin,
            pending: Vec::new(),
            threads,
            total: Latency::default(),
            seconds,
        }
    }

    pub(super) fn port(&mut self) -> Port {
        let (give_back, empty) = mpsc::channel();
        self.returns.push(give_back);
        let full = self.own_port.clone().expect("invariant: ports are made before the own one is closed");
        Port { full, empty, begin: self.begin }
    }

    pub(super) fn close_own_port(&mut self) {
        self.own_port = None;
    }

    /// Takes what the threads have handed over; the newest whole second, if any ended.
    pub fn collect(&mut self) -> Option<&Second> {
        let before = self.seconds.len();
        while let Ok(interval) = self.full.try_recv() {
            self.total.add(&interval.latency);
            self.merge(&interval);
            // Any thread may reuse it; spreading them evenly is not worth a name in each.
            let turn = interval.second as usize % self.returns.len();
            let _ = self.returns[turn].send(interval);
        }
        if self.seconds.len() > before { self.seconds.last() } else { None }
    }

    fn merge(&mut self, interval: &Interval) {
        let second = interval.second;
        let at = self.pending.iter().position(|(pending, ..)| *pending == second).unwrap_or_else(|| {
            self.pending.push((second, 0, Latency::default()));
            self.pending.len() - 1
        });
        self.pending[at].1 += 1;
        self.pending[at].2.add(&interval.latency);
        if self.pending[at].1 == self.threads {
            let (second, _, latency) = self.pending.swap_remove(at);
            self.close(second, &latency);
        }
    }

    fn close(&mut self, second: u64, latency: &Latency) {
        self.seconds.push(Second {
            second,
            offered: 0,
            sent: 0,
            copies: latency.count(),
            heat: latency.classes(),
            packed: latency.packed(),
            p50_ns: latency.quantile(0.5).unwrap_or(0),
            p99_ns: latency.quantile(0.99).unwrap_or(0),
            max_ns: latency.max(),
        });
    }

    /// Counts a message of the plan under the second it was planned for.
    pub(super) fn count_message(&mut self, at: u64, sent: bool) {
        let second = at / SECOND_NS;
        if let Ok(at) = self.seconds.binary_search_by_key(&second, |second| second.second) {
            self.seconds[at].offered += 1;
            self.seconds[at].sent += u64::from(sent);
        }
    }

    /// Closes the seconds that not every thread reported.
    pub fn finish(&mut self) {
        self.collect();
        let mut left = std::mem::take(&mut self.pending);
        left.sort_by_key(|(second, ..)| *second);
        left.iter().for_each(|(second, _, latency)| self.close(*second, latency));
        self.seconds.sort_by_key(|second| second.second);
    }
}
