//! What the operating system tells: threads, the server's process, the
//! kernel's drops, the machine. Reads /proc; measures nothing itself.

pub mod drops;
pub mod environment;
pub mod queue;
pub mod server;
pub mod threads;
