//! Owns the list of peers that ICMP named as unreachable. Never judges them:
//! one ICMP can be forged, and the core decides how many make a peer gone.

use super::kernel::{Kernel, QueuedError};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Peers that wait to be read; more are counted, not kept.
const PEERS_MAX: usize = 1024;
/// Entries read in one go: a flood of ICMP must not hold the loop. What stays
/// behind fails the next call on the socket, so it is not forgotten.
const ENTRIES_MAX: usize = 16 * 1024;

/// Unreachable peers in order of report. Memory: 32 KiB, taken in `new`.
pub(super) struct Unreachable {
    peers: VecDeque<SocketAddr>,
    overflowed: u64,
}

impl Unreachable {
    pub(super) fn new() -> Self {
        Self { peers: VecDeque::with_capacity(PEERS_MAX), overflowed: 0 }
    }

    /// Empties the kernel's error queue. True if ICMP was in it: then an error
    /// of the last call was most likely not about that call.
    pub(super) fn drain<K: Kernel>(&mut self, kernel: &mut K) -> bool {
        let mut icmp = false;
        for _ in 0..ENTRIES_MAX {
            match kernel.next_error() {
                QueuedError::Empty => break,
                QueuedError::Unreachable(peer) => self.push(peer),
                QueuedError::OtherIcmp => {}
                QueuedError::Local => continue,
            }
            icmp = true;
        }
        icmp
    }

    /// A train to a dead peer comes back segment by segment: one name is enough.
    fn push(&mut self, peer: SocketAddr) {
        if self.peers.back() == Some(&peer) {
            return;
        }
        if self.peers.len() == PEERS_MAX {
            self.overflowed += 1;
        } else {
            self.peers.push_back(peer);
        }
    }

    pub(super) fn pop(&mut self) -> Option<SocketAddr> {
        self.peers.pop_front()
    }

    pub(super) fn has_some(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Names that found no room.
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn collapses_repeats_and_counts_overflow() {
        let mut list = Unreachable::new();
        for port in [1, 1, 2, 2, 1] {
            list.push(peer(port));
        }
        assert_eq!(
            [list.pop(), list.pop(), list.pop(), list.pop()],
            [Some(peer(1)), Some(peer(2)), Some(peer(1)), None]
        );
        for port in 0..=u16::try_from(PEERS_MAX).unwrap() {
            list.push(peer(port));
        }
        assert_eq!(list.overflowed(), 1);
        assert_eq!(list.pop(), Some(peer(0)));
    }
}
