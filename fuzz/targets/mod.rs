//! What must hold for any bytes: the bodies of the fuzz targets, plain
//! functions that panic if it does not. Built by `fuzz_targets/` for the
//! fuzzer, and by `tests/fuzz_corpus.rs` for every seed on stable. Never knows
//! of a fuzzer.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each fuzz target uses one of them")]

mod wire;

pub use wire::{downlink, plain, uplink};

/// The name of a target, of its file and of its folder of seeds, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: &[Target] = &[("uplink", uplink), ("downlink", downlink), ("plain", plain)];
