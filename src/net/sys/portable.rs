//! Owns the portable backend: one system call a datagram, no trains, no error
//! queue, no source addresses. For other systems, and as the oracle that the
//! Linux backend is tested against.

#![deny(unsafe_code)]

use super::addr::{Family, canonical, for_family};
use crate::batch::{Inbox, Item, Path};
use crate::net::kernel::{Kernel, QueuedError};
use mio::net::UdpSocket;
use std::io;

/// More than any datagram: a shorter buffer would cut one without a word.
const DATAGRAM_MAX: usize = 64 * 1024;

/// A UDP socket and a buffer of 64 KiB.
pub(in crate::net) struct Portable {
    socket: UdpSocket,
    family: Family,
    bytes: Box<[u8]>,
}

impl Portable {
    /// Takes over a non-blocking socket.
    pub(in crate::net) fn new(socket: UdpSocket, family: Family) -> Self {
        Self { socket, family, bytes: vec![0; DATAGRAM_MAX].into_boxed_slice() }
    }

    #[cfg(unix)]
    pub(in crate::net) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    pub(in crate::net) fn socket_mut(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    fn receive_one(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        let (len, remote) = self.socket.recv_from(&mut self.bytes)?;
        inbox.push(Path::to(canonical(remote)), &self.bytes[..len]);
        Ok(())
    }

    fn send_one(&self, arena: &[u8], item: &Item) -> io::Result<()> {
        assert_eq!(item.segments, 1, "trains are split for a backend that sends none");
        self.socket.send_to(&arena[item.range()], for_family(item.to.remote, self.family)).map(drop)
    }
}

impl Kernel for Portable {
    fn sends_trains(&self) -> bool {
        false
    }

    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        while inbox.len() < inbox.limit() {
            match self.receive_one(inbox) {
                Err(error) if inbox.is_empty() => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn send(&mut self, arena: &[u8], items: &[Item]) -> io::Result<usize> {
        for (taken, item) in items.iter().enumerate() {
            match self.send_one(arena, item) {
                Err(error) if taken == 0 => return Err(error),
                Err(_) => return Ok(taken),
                Ok(()) => {}
            }
        }
        Ok(items.len())
    }

    fn next_error(&mut self) -> QueuedError {
        QueuedError::Empty
    }
}
