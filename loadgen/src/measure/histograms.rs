//! Latency histograms and the rule for reading them: a percentile that too
//! few messages carry is not a number, and a lost copy is infinitely late.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

/// A percentile needs this many samples beyond it.
pub const SAMPLES_PER_TAIL: f64 = 10.0;

const HOUR_NS: u64 = 3_600_000_000_000;

/// Nanoseconds, three digits, up to an hour: about 270 KB.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, HOUR_NS, 3).expect("invariant: constant bounds are good"))
    }
}

/// Whether `messages` are enough for percentile `q` (0..1).
pub fn supported(q: f64, messages: u64) -> bool {
    messages as f64 * (1.0 - q) >= SAMPLES_PER_TAIL * (1.0 - 1e-9)
}

/// The fewest messages that are enough for percentile `q` (0..1).
pub fn needed(q: f64) -> u64 {
    (SAMPLES_PER_TAIL * (1.0 - 1e-9) / (1.0 - q)).ceil() as u64
}

impl Latency {
    /// Adds one value.
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.max(1));
    }

    /// Adds all of another histogram.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("invariant: equal bounds");
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Values in it.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The smallest value; 0 when empty.
    pub fn min(&self) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.min() }
    }

    /// The largest value; 0 when empty.
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// The mean; 0 when empty.
    pub fn mean(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.mean() }
    }

    /// Percentile `q` of what arrived; `None` when empty.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(q))
    }

    /// Percentile `q` of `expected` values of which those not in here are
    /// infinite; infinity when the percentile falls among them.
    pub fn quantile_with_loss(&self, q: f64, expected: u64) -> f64 {
        let expected = expected.max(self.0.len());
        let rank = (q * expected as f64).ceil().max(1.0);
        if rank > self.0.len() as f64 {
            return f64::INFINITY;
        }
        self.0.value_at_quantile(rank / self.0.len() as f64) as f64
    }

    /// Every value that occurs, with its count.
    pub fn pairs(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    /// Of values and their counts.
    pub fn of_pairs(pairs: &[(u64, u64)]) -> Self {
        let mut latency = Self::default();
        pairs.iter().for_each(|(ns, count)| latency.0.saturating_record_n((*ns).max(1), *count));
        latency
    }

    /// Counts in classes of a quarter octave: class c holds 2^(c/4) ns and up.
    pub fn classes(&self) -> Vec<(u8, u64)> {
        let mut classes: Vec<(u8, u64)> = Vec::new();
        for (ns, count) in self.pairs() {
            let class = ((ns.max(1) as f64).log2() * 4.0) as u8;
            match classes.last_mut() {
                Some((last, sum)) if *last == class => *sum += count,
                _ => classes.push((class, count)),
            }
        }
        classes
    }

    /// In HdrHistogram's compressed form, as base64; empty when it is.
    pub fn packed(&self) -> String {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.0, &mut bytes);
        if self.0.is_empty() || written.is_err() { String::new() } else { STANDARD.encode(bytes) }
    }

    /// The histogram itself, for the files that hold one.
    pub fn inner(&self) -> &Histogram<u64> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_need_their_messages() {
        assert!(supported(0.99, 1000) && !supported(0.99, 999));
        assert!(supported(0.999, 10_000) && !supported(0.999, 9_999));
        assert!(supported(0.5, 20) && !supported(0.5, 19));
    }

    #[test]
    fn a_lost_copy_is_infinitely_late() {
        let mut latency = Latency::default();
        (1..=990).for_each(|ns| latency.record(ns * 1000));
        assert!(latency.quantile_with_loss(0.98, 1000).is_finite());
        assert!(latency.quantile_with_loss(0.991, 1000).is_infinite());
        assert_eq!(latency.quantile_with_loss(0.5, 990), latency.quantile(0.5).unwrap() as f64);
        assert!(Latency::default().quantile_with_loss(0.5, 10).is_infinite());
    }
}
