//! Owns the layout of control messages (cmsg(3)), over plain bytes. Never
//! follows a pointer: what the kernel wrote is read as data, and checked.

#![deny(unsafe_code)]

use libc::c_int;

/// `size_t cmsg_len; int cmsg_level; int cmsg_type`: the kernel's layout,
/// whichever C library is used.
const HEADER: usize = size_of::<usize>() + 2 * size_of::<c_int>();

const fn aligned(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

/// Bytes that one message with `data_len` bytes of data takes (`CMSG_SPACE`).
pub(super) const fn space(data_len: usize) -> usize {
    aligned(HEADER) + aligned(data_len)
}

/// A buffer for control messages, aligned as the kernel wants them.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> Control<N> {
    pub(super) const EMPTY: Self = Self { bytes: [0; N] };
    pub(super) const LEN: usize = N;

    /// Holds as many of `bytes` as fit, as if the kernel had written them.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (mut control, len) = (Self::EMPTY, bytes.len().min(N));
        control.bytes[..len].copy_from_slice(&bytes[..len]);
        control
    }

    /// Writes one message behind the first `used` bytes. Returns what is used then.
    pub(super) fn push(&mut self, used: usize, level: c_int, kind: c_int, data: &[u8]) -> usize {
        let message = &mut self.bytes[used..used + space(data.len())];
        let (header, body) = message.split_at_mut(aligned(HEADER));
        let (len, rest) = header.split_at_mut(size_of::<usize>());
        len.copy_from_slice(&(aligned(HEADER) + data.len()).to_ne_bytes());
        rest[..4].copy_from_slice(&level.to_ne_bytes());
        rest[4..8].copy_from_slice(&kind.to_ne_bytes());
        body[..data.len()].copy_from_slice(data);
        used + space(data.len())
    }

    /// The messages in the first `len` bytes.
    pub(super) fn messages(&self, len: usize) -> Messages<'_> {
        Messages { bytes: &self.bytes[..len.min(N)] }
    }
}

/// One control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) level: c_int,
    pub(super) kind: c_int,
    pub(super) data: &'a [u8],
}

impl Message<'_> {
    /// `N` bytes of data from `start` on.
    pub(super) fn field<const N: usize>(&self, start: usize) -> Option<[u8; N]> {
        self.data.get(start..)?.first_chunk().copied()
    }
}

/// Reads control messages one after the other, up to the first that is malformed.
pub(super) struct Messages<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (len, rest) = self.bytes.split_first_chunk()?;
        let (level, rest) = rest.split_first_chunk()?;
        let (kind, _) = rest.split_first_chunk()?;
        let len = usize::from_ne_bytes(*len);
        let data = self.bytes.get(aligned(HEADER)..len)?;
        self.bytes = self.bytes.get(aligned(len)..).unwrap_or_default();
        Some(Message { level: c_int::from_ne_bytes(*level), kind: c_int::from_ne_bytes(*kind), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_the_c_librarys() {
        assert_eq!(HEADER, size_of::<libc::cmsghdr>());
        assert_eq!((space(2), space(12), space(20)), (24, 32, 40), "on 64-bit systems");
    }

    #[test]
    fn writes_what_the_kernel_reads() {
        let mut control = Control::<24>::EMPTY;
        assert_eq!(control.push(0, libc::SOL_UDP, libc::UDP_SEGMENT, &1200u16.to_ne_bytes()), 24);
        let expected: Vec<u8> =
            [&18u64.to_ne_bytes()[..], &17i32.to_ne_bytes(), &103i32.to_ne_bytes(), &1200u16.to_ne_bytes(), &[0; 6]]
                .concat();
        assert_eq!(control.bytes[..], expected);
    }

    #[test]
    fn stops_at_a_message_longer_than_the_buffer() {
        let mut control = Control::<48>::EMPTY;
        let used = control.push(0, 1, 2, &[3; 4]);
        control.push(used, 4, 5, &[6; 4]);
        assert_eq!(control.messages(used).count(), 1);
        assert_eq!(control.messages(48).count(), 2);
        assert_eq!(control.messages(47).count(), 2, "padding may be cut");
        assert_eq!(control.messages(43).count(), 1);
        control.bytes[used..used + 8].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(control.messages(48).count(), 1);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(messages in proptest::collection::vec((any::<i32>(), any::<i32>(), proptest::collection::vec(any::<u8>(), 0..48)), 0..4)) {
            let mut control = Control::<256>::EMPTY;
            let used = messages.iter().fold(0, |used, (level, kind, data)| control.push(used, *level, *kind, data));
            let read: Vec<_> = control.messages(used).map(|m| (m.level, m.kind, m.data.to_vec())).collect();
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn garbage_never_panics_and_ends(
            bytes in proptest::array::uniform32(any::<u8>()),
            first_len in 0usize..64,
            claimed in prop_oneof![0usize..64, Just(usize::MAX), Just(usize::MAX - 3)],
        ) {
            let mut control = Control { bytes };
            prop_assert!(control.messages(first_len).count() <= 2);
            control.bytes[..size_of::<usize>()].copy_from_slice(&claimed.to_ne_bytes());
            for message in control.messages(first_len) {
                prop_assert!(message.data.len() <= 32 - HEADER);
                let _ = message.field::<20>(3);
            }
        }
    }
}
