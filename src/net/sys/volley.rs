//! Owns datagrams that have nothing in common but their socket: each has a
//! destination, and an address of ours to leave from. Never repeats one and
//! never judges an error.

#![deny(unsafe_code)]

use super::addr::Family;
use super::linux::Outgoing;
use crate::batch::{Item, Path};
use crate::net::kernel::ITEMS_MAX;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams of many speakers on one socket, up to 1024 in a system call.
///
/// For whoever plays many hosts: [`Path::local`] is the address that a datagram
/// leaves from (ip(7) `ipi_spec_dst`), which on the loopback may be any
/// 127.x.y.z. Memory is taken in [`new`](Self::new) only.
pub struct Volley {
    outgoing: Outgoing,
    items: Vec<Item>,
    /// Of `items`, those that are dealt with.
    next: usize,
    arena: Vec<u8>,
}

impl Volley {
    /// Room for `datagrams` (1 to 1024) with `bytes` in all, for sockets of the family of `bound`.
    pub fn new(bound: SocketAddr, datagrams: usize, bytes: usize) -> Self {
        let datagrams = datagrams.clamp(1, ITEMS_MAX);
        Self {
            outgoing: Outgoing::new(Family::of(&bound), datagrams),
            items: Vec::with_capacity(datagrams),
            next: 0,
            arena: Vec::with_capacity(bytes),
        }
    }

    /// Puts a datagram behind the others. `false`: there is no room for it now.
    #[must_use]
    pub fn push(&mut self, to: Path, bytes: &[u8]) -> bool {
        if self.next > 0 && self.is_empty() {
            self.clear();
        }
        let (start, len) = (u32::try_from(self.arena.len()), u16::try_from(bytes.len()));
        let has_room =
            self.items.len() < self.items.capacity() && bytes.len() <= self.arena.capacity() - self.arena.len();
        let (true, Ok(start), Ok(segment_len)) = (has_room, start, len) else { return false };
        self.arena.extend_from_slice(bytes);
        self.items.push(Item { to, start, segment_len, segments: 1 });
        true
    }

    /// Whether all that was pushed is dealt with.
    pub fn is_empty(&self) -> bool {
        self.next == self.items.len()
    }

    /// Offers what waits to the kernel, in order and in one call. Returns how
    /// many datagrams it took, at least one where one waited; the others wait for the next call.
    ///
    /// # Errors
    /// Why the kernel did not take the first one. It waits still: send again,
    /// [`skip`](Self::skip) it or [`clear`](Self::clear) all.
    pub fn send(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        if self.is_empty() {
            return Ok(0);
        }
        let taken = self.outgoing.send(socket.as_raw_fd(), &self.arena, &self.items[self.next..])?;
        self.next += taken;
        Ok(taken)
    }

    /// Gives up the first datagram that waits.
    pub fn skip(&mut self) {
        self.next = (self.next + 1).min(self.items.len());
    }

    /// Gives up all that wait.
    pub fn clear(&mut self) {
        self.items.clear();
        self.next = 0;
        self.arena.clear();
    }
}
