//! outcry: a UDP chat relay at the kernel's floor.

pub mod batch;
pub mod net;
mod time;

pub use time::Time;
