//! Owns the buffers that one `recvmmsg` fills. Never reads what is in them.

use super::{FRESH, Path};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Bytes of one receive slot. More than any datagram the relay accepts (1472,
/// a native HELLO), so that a cut datagram is always one to be dropped.
pub const SLOT_BYTES: usize = 2048;

/// Reused receive slots: `capacity` datagrams of up to [`SLOT_BYTES`] each.
///
/// Memory: `capacity * (2048 + 64)` bytes, taken in [`Inbox::new`].
pub struct Inbox {
    bytes: Box<[u8]>,
    slots: Box<[Slot]>,
    filled: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    len: u16,
    truncated: bool,
    path: Path,
}

/// One received datagram, borrowed from the inbox.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Where it came from, and which of our addresses it was sent to.
    pub path: Path,
    /// Its payload; only a part of it if `truncated`.
    pub bytes: &'a [u8],
    /// It was longer than a slot (`MSG_TRUNC`) and must not be relayed.
    pub truncated: bool,
}

impl Inbox {
    /// An inbox of `capacity` empty slots.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "an inbox has at least one slot");
        let nobody = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let empty = Slot { len: 0, truncated: false, path: Path::to(nobody) };
        Self {
            bytes: vec![FRESH; capacity * SLOT_BYTES].into_boxed_slice(),
            slots: vec![empty; capacity].into_boxed_slice(),
            filled: 0,
        }
    }

    /// Slots in all.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Datagrams received since the last [`clear`](Self::clear).
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether no datagram is in it.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Forgets what was received; the buffers stay.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// The first byte of the whole buffer: slot `i` is at `i * SLOT_BYTES`.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only recvmmsg fills several slots at once"))]
    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The next free slot's buffer, `None` when the inbox is full.
    pub fn free_slot(&mut self) -> Option<&mut [u8]> {
        let start = self.filled * SLOT_BYTES;
        self.bytes.get_mut(start..start + SLOT_BYTES)
    }

    /// Takes the next slot as filled with `len` bytes from `path`.
    pub fn push_filled(&mut self, path: Path, len: usize, truncated: bool) {
        let len = u16::try_from(len.min(SLOT_BYTES)).expect("invariant: a slot is shorter than 64 KiB");
        self.slots[self.filled] = Slot { len, truncated, path };
        self.filled += 1;
    }

    /// Copies a datagram in, for sources other than the kernel. Longer ones
    /// are cut and marked, as the kernel does. False when the inbox is full.
    pub fn push(&mut self, path: Path, bytes: &[u8]) -> bool {
        let Some(slot) = self.free_slot() else { return false };
        let kept = bytes.len().min(SLOT_BYTES);
        slot[..kept].copy_from_slice(&bytes[..kept]);
        self.push_filled(path, kept, kept < bytes.len());
        true
    }

    /// Datagram `index`, in order of arrival.
    pub fn datagram(&self, index: usize) -> Datagram<'_> {
        assert!(index < self.filled, "datagram {index} of {}", self.filled);
        let slot = &self.slots[index];
        let start = index * SLOT_BYTES;
        Datagram {
            path: slot.path,
            bytes: &self.bytes[start..start + usize::from(slot.len)],
            truncated: slot.truncated,
        }
    }

    /// All datagrams, in order of arrival.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.filled).map(|index| self.datagram(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_marks_what_was_cut() {
        let path = Path::to("127.0.0.1:5".parse().unwrap());
        let mut inbox = Inbox::new(2);
        assert!(inbox.push(path, b"one"));
        assert!(inbox.push(path, &[7; SLOT_BYTES + 1]));
        assert!(!inbox.push(path, b"no room"));
        let seen: Vec<_> = inbox.datagrams().map(|d| (d.bytes.len(), d.truncated)).collect();
        assert_eq!(seen, [(3, false), (SLOT_BYTES, true)]);
        inbox.clear();
        assert!(inbox.is_empty() && inbox.push(path, b"again"));
    }
}
