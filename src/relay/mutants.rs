//! Owns the relay's deliberate faults: what the simulator must notice, or it
//! proves nothing. Only a debug build with the feature `mutants` can have one.

use super::Relay;

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` is for the simulator's debug builds and is never shipped");

/// A fault of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutants"), allow(unreachable_pub, reason = "it is shown to the simulator only"))]
pub enum Mutant {
    /// A message that comes again is entered again.
    NoDedupe,
    /// An entry's number is given to the next one too.
    SeqReused,
    /// Nobody is told that entries are gone.
    GapForgotten,
    /// A message is acknowledged and not entered.
    AckNotEntered,
    /// Nobody is told how far the room is when nothing more is said.
    NoTailHead,
}

impl Relay {
    /// From now on the relay has this fault.
    #[cfg(feature = "mutants")]
    pub fn mutate(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    /// Whether it has this fault.
    #[cfg(feature = "mutants")]
    pub(super) fn is_mutant(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether it has this fault: never.
    #[cfg(not(feature = "mutants"))]
    pub(super) const fn is_mutant(&self, _: Mutant) -> bool {
        false
    }
}
