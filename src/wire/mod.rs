//! Bytes to values and back. Knows no time, keeps no state, allocates nothing.

#![doc = include_str!("PROTOCOL.md")]

pub mod plain;
