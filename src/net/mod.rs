//! The kernel. Takes what is in an [`Outbox`](crate::batch::Outbox) out to the
//! network and puts what arrives into an [`Inbox`](crate::batch::Inbox). Never
//! knows what a packet means, and has no clock: time comes in as an argument.
//!
//! ```text
//! Socket ── Egress ── the rules for what the kernel refuses   (egress, errno, gso, unreachable)
//!    │         │
//!    └──── trait Kernel ── sys::linux     recvmmsg, sendmmsg + GSO, error queue
//!                       ── sys::portable  recv_from, send_to
//!                       ── a script, in tests
//! ```

mod bind;
mod egress;
mod errno;
mod gso;
#[cfg(unix)]
mod inherit;
mod kernel;
#[cfg(target_os = "linux")]
pub mod probe;
#[cfg(target_os = "linux")]
pub mod route;
mod socket;
mod sys;
#[cfg(test)]
mod tests;
mod unreachable;

pub use bind::{BindError, Buffer, Buffers};
pub use egress::Flushed;
#[cfg(unix)]
pub use inherit::{InheritError, inherited_socket, udp_socket};
pub use socket::{Io, Received, Socket, SocketOptions};
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub use sys::linux::{Said, said};
#[cfg(target_os = "linux")]
pub use sys::prebuilt::Prebuilt;
#[cfg(target_os = "linux")]
pub use sys::volley::Volley;
