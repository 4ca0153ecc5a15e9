//! T27: native members over a path that loses, repeats and reorders. What each
//! was told is written down, and the promises are checked on what is written.
//! A few seconds; with LOADGEN_LOSSY_SECONDS=60 the whole test.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use loadgen::lossy::{Flaws, Path};
use support::crowd::Crowd;
use support::crowd::until;
use support::relay::Served;

const MEMBERS: u32 = 50;
const PER_SECOND: f64 = 200.0;

fn seconds() -> usize {
    std::env::var("LOADGEN_LOSSY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

fn holds_over(flaws: Flaws, seed: u64) {
    let served = Served::start();
    let path = Path::start(flaws, seed, served.address()).unwrap();
    let mut crowd = Crowd::towards(path.address(), MEMBERS);
    crowd.join(0..MEMBERS);
    assert!(until(|| crowd.joined(0..MEMBERS) == MEMBERS as usize), "all come in");
    crowd.chat(seconds() * PER_SECOND as usize, PER_SECOND);
    crowd.settle();
    crowd.check();
    let (figures, path) = (crowd.figures(), path.figures());
    drop(crowd);
    println!("seed {seed}: {figures:?}\n{path:?}\n{:?}", served.end().counters.native);
    assert!(path.lost > 0 && path.repeated > 0 && path.held > 0 && figures.nacks > 0 && figures.resends > 0);
    assert_eq!((figures.not_sent, figures.gone), (0, 0));
}

#[test]
fn every_message_reaches_everyone_in_one_order_over_losses_repeats_and_reordering() {
    holds_over(Flaws { loss: 0.05, burst: 1.0, duplicate: 0.01, reorder: 0.05 }, 27);
}

#[test]
fn bursts_of_losses_change_nothing_about_that() {
    // Longer ones are a test of patience: a quiet link has but one datagram in eight seconds to get over them.
    holds_over(Flaws { loss: 0.05, burst: 2.0, duplicate: 0.01, reorder: 0.05 }, 28);
}
