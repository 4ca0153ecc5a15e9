//! Owns every system call of the crate and all of its `unsafe`. Never decides
//! what to do about an error.

#![allow(unsafe_code)]

pub(super) mod addr;
#[cfg(target_os = "linux")]
mod cmsg;
#[cfg(unix)]
mod descriptor;
#[cfg(target_os = "linux")]
mod fixed;
#[cfg(target_os = "linux")]
pub(super) mod linux;
pub(super) mod portable;
#[cfg(target_os = "linux")]
pub(super) mod prebuilt;
#[cfg(target_os = "linux")]
pub(super) mod volley;

#[cfg(unix)]
pub(super) use descriptor::duplicate;
