//! T16: the simulator notices a relay with a fault. Each fault is found by one
//! committed seed; the same seed without the fault is a clean run.

use crate::scenario::Scenario;
use outcry::relay::Mutant;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a run says when it fails; `None`: it does not.
fn complaint(seed: u64, mutant: Option<Mutant>) -> Option<String> {
    let run = AssertUnwindSafe(|| {
        let mut scenario = Scenario::new(seed);
        mutant.map(|mutant| scenario.world.host.mutate(mutant));
        scenario.run();
    });
    let failure = catch_unwind(run).err()?;
    Some(failure.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[track_caller]
fn is_caught(seed: u64, mutant: Mutant, by: &[&str]) {
    assert_eq!(complaint(seed, None), None, "without the fault");
    let complaint = complaint(seed, Some(mutant)).expect("the fault is noticed");
    assert!(by.iter().any(|name| complaint.starts_with(name)), "{mutant:?}: {complaint}");
}

#[test]
fn no_dedupe_is_caught() {
    is_caught(SEEDS[0], Mutant::NoDedupe, &["I2"]);
}

#[test]
fn a_seq_that_is_used_again_is_caught() {
    is_caught(SEEDS[1], Mutant::SeqReused, &["I2", "I3"]);
}

#[test]
fn a_gap_that_is_not_told_is_caught() {
    is_caught(SEEDS[2], Mutant::GapForgotten, &["T15"]);
}

#[test]
fn an_ack_for_what_is_not_entered_is_caught() {
    is_caught(SEEDS[3], Mutant::AckNotEntered, &["I5"]);
}

#[test]
fn a_tail_that_is_not_told_is_caught() {
    is_caught(SEEDS[4], Mutant::NoTailHead, &["T15"]);
}

/// The seeds that find them, in the order of the tests above.
const SEEDS: [u64; 5] = [1, 1, 1, 1, 1];

/// Prints which of some seeds find which fault.
#[test]
fn search() {
    let Ok(count) = std::env::var("SIM_SEARCH") else { return };
    std::panic::set_hook(Box::new(|_| {}));
    for mutant in [Mutant::NoDedupe, Mutant::SeqReused, Mutant::GapForgotten, Mutant::AckNotEntered, Mutant::NoTailHead]
    {
        for seed in 1..=count.parse().expect("a number") {
            if let Some(found) = complaint(seed, Some(mutant)) {
                println!("{mutant:?} {seed} {}", found.chars().take(90).collect::<String>());
            }
        }
    }
}
