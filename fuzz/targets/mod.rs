//! What must hold for any bytes: the bodies of the fuzz targets, plain
//! functions that panic if it does not. Built by `fuzz_targets/` for the
//! fuzzer, and by `tests/fuzz_corpus.rs` for every seed on stable. Never knows
//! of a fuzzer.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each fuzz target uses one of them")]

mod client;
mod control;
mod promises;
mod relay;
#[path = "../../tests/support/mod.rs"]
mod support;
mod wire;
mod world;

pub use client::client;
pub use control::control;
pub use relay::relay;
pub use wire::{downlink, plain, uplink};

/// The name of a target, of its file and of its folder of seeds, its body, and
/// how many cut or damaged forms of each seed are worth a replay.
pub type Target = (&'static str, fn(&[u8]), usize);

/// One datagram is read in microseconds.
const EVERY_FORM: usize = usize::MAX;
/// A script is half an hour of somebody's life.
const SOME_FORMS: usize = 16;

/// Every target.
pub const ALL: &[Target] = &[
    ("uplink", uplink, EVERY_FORM),
    ("downlink", downlink, EVERY_FORM),
    ("plain", plain, EVERY_FORM),
    ("relay", relay, SOME_FORMS),
    ("client", client, SOME_FORMS),
    ("control", control, EVERY_FORM),
];
