//! Owns the boundary to the kernel: what a backend must do. Never decides what
//! an error means: backends report it, `egress.rs` decides.

use crate::batch::{Inbox, Item};
use std::io;
use std::net::SocketAddr;

/// Items that one [`Kernel::send`] takes at most: `UIO_MAXIOV`, where
/// `sendmmsg` stops too.
pub(super) const ITEMS_MAX: usize = 1024;

/// A non-blocking UDP socket: the Linux one, the portable one, or a script in tests.
pub(super) trait Kernel {
    /// Whether an item may be a train. If not, every item has one segment.
    fn sends_trains(&self) -> bool;

    /// Receives what is waiting into the free slots of an empty `inbox`, at
    /// least one datagram.
    ///
    /// # Errors
    /// Nothing was received: `EAGAIN`, or an ICMP error that waited.
    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()>;

    /// Sends `items` in order and says how many the kernel took. Fewer than
    /// all: the next one failed, and its error is lost (sendmmsg(2)).
    ///
    /// # Errors
    /// The first item was not taken, for this reason.
    fn send(&mut self, arena: &[u8], items: &[Item]) -> io::Result<usize>;

    /// Takes one entry off the error queue.
    fn next_error(&mut self) -> QueuedError;
}

/// One entry of the socket's error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "other systems have no such queue"))]
pub(super) enum QueuedError {
    /// The queue is empty.
    Empty,
    /// ICMP: a datagram to this peer (canonical) could not be delivered.
    Unreachable(SocketAddr),
    /// ICMP that says nothing about a peer's life, such as a path MTU.
    OtherIcmp,
    /// Reported by this host, to the call that caused it.
    Local,
}
