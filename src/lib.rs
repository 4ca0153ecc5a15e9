//! outcry: a UDP chat relay at the kernel's floor.

pub mod batch;
pub mod config;
pub mod directory;
pub mod metrics;
pub mod net;
pub mod relay;
pub mod server;
mod time;
pub mod wire;

pub use time::Time;
