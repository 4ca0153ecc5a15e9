//! Owns the round-trip time and the timeouts that follow from it (RFC 6298,
//! with this protocol's bounds). Never knows what was sent.

use std::time::Duration;

/// Least timeout.
const RTO_MIN: Duration = Duration::from_millis(100);
/// Timeout before the first sample.
const RTO_FIRST: Duration = Duration::from_secs(1);
/// Timeouts double up to this.
pub(super) const RTO_MAX: Duration = Duration::from_secs(4);
/// Longest sample that is believed: what is older answers something else.
const SAMPLE_MAX: Duration = Duration::from_secs(60);
/// Taken for the round trip before the first sample.
const SRTT_FIRST: Duration = Duration::from_millis(100);

/// The smoothed round-trip time and its variation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl Rtt {
    /// Takes in how long an answer took, of something that was sent once (Karn's rule).
    pub(super) fn sample(&mut self, took: Duration) {
        let took = took.min(SAMPLE_MAX);
        let Some(smoothed) = self.smoothed else {
            (self.smoothed, self.variation) = (Some(took), took / 2);
            return;
        };
        self.variation = (self.variation * 3 + smoothed.abs_diff(took)) / 4;
        self.smoothed = Some((smoothed * 7 + took) / 8);
    }

    /// The smoothed round-trip time; 100 ms before the first sample.
    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(SRTT_FIRST)
    }

    /// The timeout of what was sent `repeats` times again already.
    pub(super) fn timeout(&self, repeats: u32) -> Duration {
        let first = self.smoothed.map_or(RTO_FIRST, |smoothed| smoothed + self.variation * 4);
        let doubled = first.max(RTO_MIN).checked_mul(1u32.checked_shl(repeats).unwrap_or(u32::MAX));
        doubled.unwrap_or(RTO_MAX).min(RTO_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn before_a_sample_a_second_and_doubling_to_four() {
        let rtt = Rtt::default();
        let timeouts = [0, 1, 2, 3, 4, 40].map(|repeats| rtt.timeout(repeats).as_secs());
        assert_eq!(timeouts, [1, 2, 4, 4, 4, 4]);
    }

    #[test]
    fn the_first_sample_counts_in_full_and_later_ones_an_eighth() {
        let mut rtt = Rtt::default();
        rtt.sample(ms(80));
        assert_eq!((rtt.smoothed(), rtt.timeout(0)), (ms(80), ms(240)));
        rtt.sample(ms(160));
        assert_eq!((rtt.smoothed(), rtt.timeout(0)), (ms(90), ms(90 + 4 * 50)));
    }

    #[test]
    fn a_fast_path_waits_a_tenth_of_a_second() {
        let mut rtt = Rtt::default();
        (0..100).for_each(|_| rtt.sample(Duration::from_micros(50)));
        assert_eq!((rtt.timeout(0), rtt.timeout(1)), (ms(100), ms(200)));
    }

    proptest! {
        #[test]
        fn the_timeout_stays_in_its_bounds_and_above_the_round_trip(
            samples in proptest::collection::vec(0u64..100_000_000, 1..50),
            repeats in 0u32..100,
        ) {
            let mut rtt = Rtt::default();
            for &micros in &samples {
                rtt.sample(Duration::from_micros(micros));
                prop_assert!(rtt.smoothed() <= SAMPLE_MAX);
                prop_assert!((RTO_MIN..=RTO_MAX).contains(&rtt.timeout(repeats)));
                prop_assert!(rtt.timeout(0) >= rtt.smoothed().min(RTO_MAX));
                prop_assert!(rtt.timeout(repeats + 1) >= rtt.timeout(repeats));
            }
        }
    }
}
