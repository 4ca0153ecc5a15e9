//! Owns [`Time`], the only notion of time that the pure core knows. Never
//! reads a clock: `server.rs` does, once a turn, and hands the result down.

use std::cmp::Ordering;
use std::time::Duration;

/// A moment: nanoseconds since the relay's start, and the Unix time in seconds.
///
/// The nanoseconds never go backwards (they come from a monotonic clock) and
/// drive every timer and rate, and alone decide what is earlier; the Unix
/// seconds are for people only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Time {
    nanos: u64,
    unix_s: u64,
}

impl Time {
    /// The moment `nanos` after the relay's start, at `unix_s` seconds of Unix time.
    pub const fn new(nanos: u64, unix_s: u64) -> Self {
        Self { nanos, unix_s }
    }

    /// Nanoseconds since the relay's start.
    pub const fn nanos(self) -> u64 {
        self.nanos
    }

    /// Unix time in whole seconds.
    pub const fn unix_s(self) -> u64 {
        self.unix_s
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

impl PartialEq for Time {
    fn eq(&self, other: &Time) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Time) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Time) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, span: Duration) -> Time {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Time { nanos: self.nanos.saturating_add(nanos), unix_s: self.unix_s.saturating_add(span.as_secs()) }
    }
}
