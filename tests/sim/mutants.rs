//! T16: the simulator notices a relay with a fault. Each fault is found by one
//! committed seed; the same seed without the fault is a clean run.

use crate::scenario::Scenario;
use crate::tail::quiet_room;
use outcry::relay::Mutant;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a run says when it fails; `None`: it does not.
fn complaint(run: impl FnOnce()) -> Option<String> {
    let failure = catch_unwind(AssertUnwindSafe(run)).err()?;
    Some(failure.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[track_caller]
fn is_caught(run: impl Fn(Option<Mutant>), mutant: Mutant, by: &[&str]) {
    assert_eq!(complaint(|| run(None)), None, "without the fault");
    let complaint = complaint(|| run(Some(mutant))).expect("the fault is noticed");
    assert!(by.iter().any(|name| complaint.starts_with(name)), "{mutant:?}: {complaint}");
}

/// The run of a seed, with a fault.
fn seed(seed: u64) -> impl Fn(Option<Mutant>) {
    move |mutant| {
        let mut scenario = Scenario::new(seed);
        mutant.into_iter().for_each(|mutant| scenario.world.host.mutate(mutant));
        scenario.run();
    }
}

#[test]
fn no_dedupe_is_caught() {
    is_caught(seed(2), Mutant::NoDedupe, &["I2"]);
}

#[test]
fn a_seq_that_is_used_again_is_caught() {
    is_caught(seed(9), Mutant::SeqReused, &["I2", "I3"]);
}

#[test]
fn a_gap_that_is_not_told_is_caught() {
    is_caught(seed(34), Mutant::GapForgotten, &["T15"]);
}

#[test]
fn an_ack_for_what_is_not_entered_is_caught() {
    is_caught(seed(1), Mutant::AckNotEntered, &["I5"]);
}

#[test]
fn a_tail_that_is_not_told_is_caught() {
    let run = |mutant: Option<Mutant>| {
        quiet_room(1, |world| mutant.into_iter().for_each(|mutant| world.host.mutate(mutant)));
    };
    is_caught(run, Mutant::NoTailHead, &["T15"]);
}
