//! The only clock. Everything else is told what time it is.

use crate::Time;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the monotonic clock; Unix time is taken once, at the start.
pub(super) struct Clock {
    start: Instant,
    start_unix: Duration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the rule leaves")]
    pub(super) fn start() -> Self {
        let start_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_unix }
    }

    pub(super) fn now(&self) -> Time {
        let since = self.start.elapsed();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Time::new(nanos, (self.start_unix + since).as_secs())
    }
}
