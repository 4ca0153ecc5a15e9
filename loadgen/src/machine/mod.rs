//! What the operating system tells: threads, the server's process, the
//! kernel's drops, the machine, and the server's own counters. Measures nothing itself.

pub mod drops;
pub mod environment;
pub mod page;
pub mod queue;
pub mod server;
pub mod threads;
