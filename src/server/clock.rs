//! The only clock. Everything else is told what time it is.

use crate::Time;
use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the monotonic clock. Unix time is read once a second: a machine that
/// learns late what time it is, or sleeps, would else keep its bans for as long.
#[derive(Clone)]
pub(super) struct Clock {
    start: Instant,
    unix: Cell<Unix>,
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
        let unix = Cell::new(Unix::read(Duration::ZERO));
        Self { start: Instant::now(), unix, shown: Duration::from_nanos(now_ns) }
    }

    /// It shows at least `now_ns` from now on.
    #[cfg(unix)]
    pub(super) fn advance_to(&mut self, now_ns: u64) {
        self.shown += Duration::from_nanos(now_ns.saturating_sub(self.now().nanos()));
    }

    pub(super) fn now(&self) -> Time {
        let since = self.start.elapsed();
        let nanos = u64::try_from((self.shown.saturating_add(since)).as_nanos()).unwrap_or(u64::MAX);
        if since >= self.unix.get().until {
            self.unix.set(Unix::read(since));
        }
        Time::new(nanos, self.unix.get().seconds)
    }
}

/// What the system's clock has shown, and until when that is taken for the time.
#[derive(Clone, Copy)]
struct Unix {
    seconds: u64,
    until: Duration,
}

impl Unix {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the rule leaves")]
    fn read(since: Duration) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Until the next second begins, if nobody sets the clock.
        let left = Duration::from_secs(1).saturating_sub(Duration::from_nanos(unix.subsec_nanos().into()));
        Self { seconds: unix.as_secs(), until: since + left }
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

    #[test]
    fn a_clock_that_was_set_is_believed_within_a_second() {
        let clock = Clock::resume(0);
        let right = clock.now().unix_s();
        clock.unix.set(Unix { seconds: 7, until: clock.start.elapsed() });
        assert!(clock.now().unix_s() >= right, "what was read is old");
        clock.unix.set(Unix { seconds: 7, until: Duration::MAX });
        assert_eq!(clock.now().unix_s(), 7, "and is not read each time");
        assert!(Unix::read(Duration::ZERO).until <= Duration::from_secs(1));
    }
}
