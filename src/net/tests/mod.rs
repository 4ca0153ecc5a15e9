//! Tests of the whole module: the rules of the flush against a scripted
//! kernel, and the backends against the real one, over loopback.

#[cfg(unix)]
mod balance;
mod loopback;
mod peers;
#[cfg(unix)]
mod policy;
mod script;
#[cfg(target_os = "linux")]
mod system;
#[cfg(unix)]
mod trains;
#[cfg(target_os = "linux")]
mod volley;
