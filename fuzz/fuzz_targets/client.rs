//! Fuzzes `targets::client`, which says what must hold.
#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::client(input));
