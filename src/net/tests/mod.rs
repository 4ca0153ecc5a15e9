//! Tests of the whole module: the rules of the flush against a scripted
//! kernel, and the backends against the real one, over loopback.

mod balance;
mod loopback;
mod peers;
mod policy;
mod script;
#[cfg(target_os = "linux")]
mod system;
mod trains;
