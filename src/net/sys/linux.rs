//! Owns the Linux backend: `recvmmsg`, `sendmmsg` with trains (UDP GSO), the
//! error queue. Never retries and never judges an error.

mod error_queue;
mod incoming;
mod options;
mod outgoing;
mod pktinfo;
mod said;

use super::addr::Family;
use super::fixed::Fixed;
use crate::batch::{Inbox, Item};
use crate::net::kernel::{ITEMS_MAX, Kernel, QueuedError};
use error_queue::ErrorQueue;
use incoming::Incoming;
use mio::net::UdpSocket;
#[cfg(test)]
pub(in crate::net) use options::forbid_checksums;
pub(in crate::net) use options::{
    coalesce, force_rcvbuf, force_sndbuf, forget_errors, kernel_drops, prepare, unprepare,
};
pub(super) use outgoing::{Outgoing, SendControl, empty_header, segment_control};
pub use said::{Said, said};
use std::io;
use std::os::fd::AsRawFd;

/// A UDP socket with the arrays of its system calls. Memory: 220 KiB, and 170
/// bytes a slot of the inbox, taken in `new` and at the first receive.
pub(in crate::net) struct Linux {
    socket: UdpSocket,
    incoming: Incoming,
    outgoing: Outgoing,
    errors: ErrorQueue,
}

impl Linux {
    /// Takes over a non-blocking socket on which [`prepare`] was called.
    /// `wildcard`: it is bound to no address, so each datagram says which it hit.
    pub(in crate::net) fn new(socket: UdpSocket, family: Family, wildcard: bool) -> Self {
        Self {
            socket,
            incoming: Incoming::new(family, wildcard),
            outgoing: Outgoing::new(family, ITEMS_MAX),
            errors: ErrorQueue::new(),
        }
    }

    pub(in crate::net) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    pub(in crate::net) fn socket_mut(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }
}

impl Kernel for Linux {
    fn sends_trains(&self) -> bool {
        true
    }

    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        self.incoming.receive(self.socket.as_raw_fd(), inbox)
    }

    fn send(&mut self, arena: &[u8], items: &[Item]) -> io::Result<usize> {
        self.outgoing.send(self.socket.as_raw_fd(), arena, items)
    }

    fn next_error(&mut self) -> QueuedError {
        self.errors.next(self.socket.as_raw_fd())
    }
}
