//! What native members count besides the copies they hand over: outcomes of
//! their own messages, gaps, repairs. Sums only; nothing is judged here.

use outcry::client::Counts;
use serde::{Deserialize, Serialize};

/// Sums over members; between two looks at them, differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeFigures {
    /// Own messages that the relay has entered, as it told their senders.
    pub accepted: u64,
    /// Own messages that were given up: refused, too old, or unknown.
    pub not_sent: u64,
    /// Own messages whose senders do not know yet, when it was looked last.
    pub open: u64,
    /// Messages that were sent again.
    pub resends: u64,
    /// Requests for missing entries (NACK).
    pub nacks: u64,
    /// Entries that came to one member alone: repaired, or fed to one that the relay found slow.
    pub alone: u64,
    /// Entries that a member had already.
    pub again: u64,
    /// Entries that the relay declared gone for good (GAP), one per member that misses it.
    pub gone: u64,
    /// Times that a sender was told to wait (SLOW).
    pub slowed: u64,
    /// Times that a member began to ask for a new session.
    pub reconnects: u64,
    /// Datagrams and frames that made no sense to a client.
    pub malformed: u64,
}

impl NativeFigures {
    /// Takes a client's counts in.
    pub(super) fn count(&mut self, counts: &Counts) {
        self.resends += counts.resends;
        self.nacks += counts.nacks;
        self.alone += counts.entries_alone;
        self.again += counts.known_entries;
        self.malformed += counts.malformed + counts.malformed_entries;
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.each(other, |one, other| one + other);
    }

    /// What came since `earlier`; what is open is open now.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        let open = self.open;
        self.each(earlier, u64::saturating_sub);
        Self { open, ..self }
    }

    fn each(&mut self, other: &Self, combine: impl Fn(u64, u64) -> u64) {
        for (one, other) in [
            (&mut self.accepted, other.accepted),
            (&mut self.not_sent, other.not_sent),
            (&mut self.open, other.open),
            (&mut self.resends, other.resends),
            (&mut self.nacks, other.nacks),
            (&mut self.alone, other.alone),
            (&mut self.again, other.again),
            (&mut self.gone, other.gone),
            (&mut self.slowed, other.slowed),
            (&mut self.reconnects, other.reconnects),
            (&mut self.malformed, other.malformed),
        ] {
            *one = combine(*one, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_no_difference() {
        let early = NativeFigures { accepted: 3, open: 2, ..NativeFigures::default() };
        let late = NativeFigures { accepted: 10, open: 1, nacks: 4, ..NativeFigures::default() };
        let between = late.since(&early);
        assert_eq!((between.accepted, between.open, between.nacks), (7, 1, 4));
    }
}
