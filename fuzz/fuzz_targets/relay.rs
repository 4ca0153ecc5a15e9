//! Fuzzes `targets::relay`, which says what must hold.
#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::relay(input));
