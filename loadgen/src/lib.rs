//! loadgen: measures one-to-many delivery, and judges whether it could.
//!
//! ```text
//! cli ──▶ benchmark ──▶ session (join, prove, leave)
//!                  ├──▶ plan (seeded schedule)
//!                  ├──▶ measure: tx threads ──▶ members ──▶ (lossy ──▶) the target
//!                  │             rx threads ◀── members ◀──    "
//!                  ├──▶ machine (/proc: server, drops, threads)
//!                  └──▶ check (self-check) ──▶ report (text, JSON)
//! ```
//!
//! Imports go to the right only. `clock` is the only clock; `payload` alone
//! knows the bytes of a message; `members` alone knows sockets.

pub mod benchmark;
pub mod check;
pub mod child;
pub mod cli;
pub mod clock;
pub mod looker;
pub mod lossy;
pub mod machine;
pub mod measure;
pub mod members;
pub mod mock;
pub mod payload;
pub mod plan;
pub mod report;
pub mod rooms;
mod sampler;
pub mod scenario;
pub mod screen;
pub mod search;
pub mod session;
pub mod stage;
pub mod trace;
pub mod units;
