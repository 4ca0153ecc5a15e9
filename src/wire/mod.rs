//! Bytes to values and back. Knows no time, keeps no state, allocates nothing.

#![doc = include_str!("PROTOCOL.md")]

pub mod cursor;
pub mod downlink;
mod entry;
pub mod handshake;
pub mod header;
pub mod id;
mod listing;
pub mod plain;
pub mod uplink;
