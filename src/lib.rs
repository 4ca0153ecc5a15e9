//! outcry: a UDP chat relay at the kernel's floor.

pub mod batch;
pub mod config;
pub mod metrics;
pub mod relay;
mod time;
pub mod wire;

pub use time::Time;
