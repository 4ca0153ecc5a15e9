//! T14 and T15: many seeds, each a run of its own.

use crate::scenario::{Outcome, Scenario};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Seeds of a run without `SIM_SEEDS`; scripts/check runs 200.
const SEEDS: u64 = 50;
/// Runs at a time.
const THREADS: u64 = 2;

/// Says which seed it is if a run fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} fails; again: scripts/sim --from {} --seeds 1", self.0, self.0);
        }
    }
}

fn run(seed: u64) -> Outcome {
    let _named = Named(seed);
    Scenario::new(seed).run()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn every_seed_keeps_the_invariants_and_comes_to_rest() {
    let from = setting("SIM_FROM", 1);
    let end = from + setting("SIM_SEEDS", SEEDS);
    let shows_progress = std::env::var_os("SIM_PROGRESS").is_some();
    let (next, failed) = (AtomicU64::new(from), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if std::panic::catch_unwind(|| run(seed)).is_err() {
                        failed.store(true, Ordering::Relaxed);
                    } else if shows_progress {
                        eprint!("\r{} seeds, the last one {seed}", seed + 1 - from);
                    }
                }
            });
        }
    });
    assert!(!failed.load(Ordering::Relaxed), "a seed fails: see above");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [11, 12] {
        assert_eq!(run(seed), run(seed));
    }
}
