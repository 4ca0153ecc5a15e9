//! outcry: a UDP chat relay at the kernel's floor.

pub mod batch;
mod time;

pub use time::Time;
