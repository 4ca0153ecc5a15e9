//! The only clock of the generator: nanoseconds of CLOCK_MONOTONIC since the
//! process began to measure. Sender and receiver live in one process, so one
//! origin makes a planned time and an arrival comparable without any exchange.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point of origin; copies of one clock agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that reads 0 now.
    #[allow(clippy::disallowed_methods, reason = "the one clock module of this crate")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Nanoseconds since the origin.
    #[allow(clippy::disallowed_methods, reason = "the one clock module of this crate")]
    pub fn now(&self) -> u64 {
        u64::try_from(Instant::now().duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sleeps until `margin` before `due`, then spins: a timer wakes up to a
    /// scheduling quantum late, and that lateness would be read as latency.
    pub fn wait_until(&self, due: u64, margin: u64) {
        let wake = due.saturating_sub(margin);
        let now = self.now();
        if wake > now {
            std::thread::sleep(Duration::from_nanos(wake - now));
        }
        while self.now() < due {
            std::hint::spin_loop();
        }
    }
}

/// Seconds since 1970, for file names and logs only; never for a difference.
#[allow(clippy::disallowed_methods, reason = "the one clock module of this crate")]
pub fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Bits that differ from one process to the next: a run's id, not a secret.
#[allow(clippy::disallowed_methods, reason = "the one clock module of this crate")]
pub fn entropy() -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    nanos ^ (u64::from(std::process::id()) << 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_at_least_until_due() {
        let clock = Clock::start();
        let due = clock.now() + 2_000_000;
        clock.wait_until(due, 50_000);
        assert!(clock.now() >= due);
    }
}
