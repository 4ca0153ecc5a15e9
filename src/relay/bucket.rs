//! Owns token buckets. Never reads a clock; a clock that steps back or leaps
//! cannot make one give more than its burst and its rate allow.

use crate::Time;

const NANOS_PER_S: u64 = 1_000_000_000;

/// How much may pass: `per_s` a second in the long run, `burst` at once.
/// `per_s` 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) per_s: u32,
    pub(super) burst: u32,
}

impl Rate {
    /// One second's worth at once, but at least `burst_min`.
    pub(super) fn per_second(per_s: u32, burst_min: u32) -> Self {
        Self { per_s, burst: per_s.max(burst_min) }
    }

    /// A token takes whole nanoseconds, rounded up: never above the rate, and
    /// below it by no more than `per_s` in 10^9.
    fn span_nanos(self, tokens: u32) -> u64 {
        u64::from(tokens) * NANOS_PER_S.div_ceil(u64::from(self.per_s))
    }
}

/// A token bucket in eight bytes: the moment at which it would be full again
/// (the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: u64,
}

impl Bucket {
    /// The bucket that is full from `full_at_ns` on.
    pub(super) const fn full_from(full_at_ns: u64) -> Self {
        Self { full_at: full_at_ns }
    }

    /// When it is full, in ns.
    pub(super) const fn full_at_ns(self) -> u64 {
        self.full_at
    }

    /// Whether `cost` tokens are there now.
    pub(super) fn has(&self, rate: Rate, cost: u32, now: Time) -> bool {
        rate.per_s == 0 || self.after(rate, cost, now) - now.nanos() <= rate.span_nanos(rate.burst)
    }

    /// Takes `cost` tokens, if they are there.
    pub(super) fn take(&mut self, rate: Rate, cost: u32, now: Time) -> bool {
        let has = self.has(rate, cost, now);
        if has && rate.per_s != 0 {
            self.full_at = self.after(rate, cost, now);
        }
        has
    }

    /// In how many ms `cost` tokens will be there.
    pub(super) fn wait_ms(&self, rate: Rate, cost: u32, now: Time) -> u64 {
        if rate.per_s == 0 {
            return 0;
        }
        let over = (self.after(rate, cost, now) - now.nanos()).saturating_sub(rate.span_nanos(rate.burst.max(cost)));
        over.div_ceil(1_000_000)
    }

    fn after(&self, rate: Rate, cost: u32, now: Time) -> u64 {
        self.full_at.max(now.nanos()).saturating_add(rate.span_nanos(cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: u64) -> Time {
        Time::new(nanos, 0)
    }

    #[test]
    fn a_burst_passes_then_the_rate() {
        let rate = Rate { per_s: 10, burst: 3 };
        let mut bucket = Bucket::default();
        let passed = |bucket: &mut Bucket, now| (0..9).filter(|_| bucket.take(rate, 1, at(now))).count();
        assert_eq!(passed(&mut bucket, 0), 3);
        assert_eq!(passed(&mut bucket, 100_000_000), 1);
        assert_eq!(passed(&mut bucket, 10_000_000_000), 3);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let mut bucket = Bucket::default();
        assert!((0..1000).all(|_| bucket.take(Rate { per_s: 0, burst: 0 }, u32::MAX, at(5))));
    }

    proptest! {
        /// T6: whatever the clock does, no more than burst + rate x time passes.
        #[test]
        fn never_above_burst_and_rate(
            per_s in 1u32..10_000,
            burst in 1u32..1000,
            steps in proptest::collection::vec((0u64..5_000_000_000, 1u32..50), 1..200),
        ) {
            let rate = Rate { per_s, burst };
            let mut bucket = Bucket::default();
            let (mut passed, mut latest) = (0u64, 0u64);
            for (now, cost) in steps {
                latest = latest.max(now);
                if bucket.take(rate, cost, at(now)) {
                    passed += u64::from(cost);
                }
                let allowed = f64::from(burst) + f64::from(per_s) * latest as f64 / 1e9;
                prop_assert!(passed as f64 <= allowed + 1e-6, "{passed} of {allowed}");
            }
        }

        /// With a clock that only goes forward, what the rate allows does pass.
        #[test]
        fn not_below_the_rate_either(per_s in 1u32..10_000, burst in 1u32..100) {
            let rate = Rate { per_s, burst };
            let mut bucket = Bucket::default();
            let gap = NANOS_PER_S.div_ceil(u64::from(per_s));
            prop_assert!((0..200u64).all(|n| bucket.take(rate, 1, at(n * gap))));
        }
    }
}
