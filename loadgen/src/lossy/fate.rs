//! What becomes of each datagram of one direction of one link: decided by the
//! seed, the link and how many came before, and by nothing else.

use super::Flaws;
use crate::plan::Dice;
use std::time::Duration;

/// One that is held is held so long, drawn evenly.
const HOLD_MIN: Duration = Duration::from_millis(1);
const HOLD_MAX: Duration = Duration::from_millis(5);

/// A datagram's fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It never was.
    Lost,
    /// It goes on.
    Passed,
    /// It goes on twice.
    Repeated,
    /// It goes on later: others overtake it.
    Held(Duration),
}

/// Decides.
pub(super) struct Fates {
    flaws: Flaws,
    dice: Dice,
    losing: bool,
}

impl Fates {
    /// Of one of the two directions of a link.
    pub(super) fn new(flaws: Flaws, seed: u64, link: u64, down: bool) -> Self {
        let number = (link * 2 + u64::from(down) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self { flaws, dice: Dice::new(seed ^ number), losing: false }
    }

    pub(super) fn next(&mut self) -> Fate {
        if self.is_lost() {
            return Fate::Lost;
        }
        let chance = self.dice.unit();
        if chance < self.flaws.duplicate {
            Fate::Repeated
        } else if chance < self.flaws.duplicate + self.flaws.reorder {
            Fate::Held(HOLD_MIN + (HOLD_MAX - HOLD_MIN).mul_f64(self.dice.unit()))
        } else {
            Fate::Passed
        }
    }

    /// Two states (E. N. Gilbert, 1960): runs of losses as long as asked for on
    /// average, as many of them as make the share that was asked for.
    fn is_lost(&mut self) -> bool {
        let Flaws { loss, burst, .. } = self.flaws;
        let likely = match self.losing {
            _ if burst <= 1.0 => loss,
            true => 1.0 - 1.0 / burst,
            false => loss / (burst * (1.0 - loss)),
        };
        self.losing = self.dice.unit() < likely;
        self.losing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 200_000;

    fn fates(flaws: Flaws, seed: u64) -> Vec<Fate> {
        let mut fates = Fates::new(flaws, seed, 3, true);
        (0..COUNT).map(|_| fates.next()).collect()
    }

    fn share(fates: &[Fate], which: impl Fn(&Fate) -> bool) -> f64 {
        fates.iter().filter(|fate| which(fate)).count() as f64 / COUNT as f64
    }

    #[test]
    fn one_seed_is_one_path_and_the_shares_are_those_asked_for() {
        for burst in [1.0, 4.0] {
            let flaws = Flaws { loss: 0.05, burst, duplicate: 0.01, reorder: 0.05 };
            let found = fates(flaws, 7);
            assert_eq!(found, fates(flaws, 7));
            assert_ne!(found, fates(flaws, 8));
            let lost = share(&found, |fate| *fate == Fate::Lost);
            assert!((0.045..0.055).contains(&lost), "{lost}");
            let runs = found.chunk_by(|one, other| (*one == Fate::Lost) == (*other == Fate::Lost));
            let runs = runs.filter(|run| run[0] == Fate::Lost).count();
            let mean = lost * COUNT as f64 / runs as f64;
            assert!((mean - burst.max(1.05)).abs() < 0.2, "runs of {mean}");
            assert!((0.008..0.011).contains(&share(&found, |fate| *fate == Fate::Repeated)));
            assert!((0.045..0.05).contains(&share(&found, |fate| matches!(fate, Fate::Held(_)))));
        }
    }

    #[test]
    fn no_flaw_is_no_flaw() {
        assert!(fates(Flaws::default(), 1).iter().all(|fate| *fate == Fate::Passed));
    }
}
