//! The only clock. Everything else is told what time it is.

use crate::Time;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the monotonic clock; Unix time is taken once, at the start.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    start_unix: Duration,
    /// What it showed at `start`: that of a relay that was handed over goes on.
    shown: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self::resume(0)
    }

    /// A clock that shows `now_ns` now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the rule leaves")]
    pub(super) fn resume(now_ns: u64) -> Self {
        let start_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_unix, shown: Duration::from_nanos(now_ns) }
    }

    /// It shows at least `now_ns` from now on.
    #[cfg(unix)]
    pub(super) fn advance_to(&mut self, now_ns: u64) {
        self.shown += Duration::from_nanos(now_ns.saturating_sub(self.now().nanos()));
    }

    pub(super) fn now(&self) -> Time {
        let since = self.start.elapsed();
        let nanos = u64::try_from((self.shown.saturating_add(since)).as_nanos()).unwrap_or(u64::MAX);
        Time::new(nanos, (self.start_unix + since).as_secs())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_and_never_back() {
        let mut clock = Clock::resume(5_000_000_000);
        assert!(clock.now() >= Time::new(5_000_000_000, 0));
        clock.advance_to(60_000_000_000);
        let now = clock.now();
        assert!(now >= Time::new(60_000_000_000, 0) && now < Time::new(120_000_000_000, 0));
        clock.advance_to(1);
        assert!(clock.now() >= now);
    }
}
