//! Owns the arrays of `sendmmsg`: items in, one system call out. Never copies
//! a payload.
//!
//! Members that get the same train share one buffer description and one
//! control message; then an item costs its address and two pointers.

use super::{Fixed, pktinfo};
use crate::batch::Item;
use crate::net::sys::addr::{Family, Name};
use crate::net::sys::cmsg::{Control, space};
use libc::{c_void, iovec, mmsghdr};
use std::io;
use std::os::fd::RawFd;
use std::ptr;

/// Room for a segment size and a source address.
pub(in crate::net::sys) type SendControl = Control<{ space(size_of::<u16>()) + space(pktinfo::V6_LEN) }>;

/// Message headers, each with its own name; pieces and controls are shared.
pub(in crate::net::sys) struct Outgoing {
    family: Family,
    headers: Fixed<mmsghdr>,
    names: Fixed<Name>,
    pieces: Fixed<iovec>,
    controls: Fixed<SendControl>,
}

/// What headers in a row may share.
#[derive(Clone, Copy)]
struct Shared {
    piece: *mut iovec,
    control: *mut c_void,
    control_len: usize,
}

impl Outgoing {
    /// Arrays for up to `items` items a call.
    pub(in crate::net::sys) fn new(family: Family, items: usize) -> Self {
        let names = Fixed::new(items, |_| Name::EMPTY);
        let headers = Fixed::new(items, |index| {
            let mut header = empty_header();
            header.msg_hdr.msg_name = names.at(index).cast();
            header.msg_hdr.msg_iovlen = 1;
            header
        });
        let nothing = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            family,
            headers,
            names,
            pieces: Fixed::new(items, |_| nothing),
            controls: Fixed::new(items, |_| SendControl::EMPTY),
        }
    }

    /// Sends `items`, or as many of them as fit. Returns how many were taken.
    pub(in crate::net::sys) fn send(&mut self, fd: RawFd, arena: &[u8], items: &[Item]) -> io::Result<usize> {
        let items = &items[..items.len().min(self.headers.len())];
        self.prepare(arena, items);
        let count = u32::try_from(items.len()).expect("invariant: at most 1024 items");
        // SAFETY: `prepare` pointed the first `count` headers to names and
        // controls in arrays that live as long as `self`, and to pieces inside
        // `arena`, which is borrowed and which the kernel only reads.
        let sent = unsafe { libc::sendmmsg(fd, self.headers.at(0), count, libc::MSG_DONTWAIT as _) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn prepare(&mut self, arena: &[u8], items: &[Item]) {
        let mut shared = Shared { piece: ptr::null_mut(), control: ptr::null_mut(), control_len: 0 };
        let mut before: Option<&Item> = None;
        for (index, item) in items.iter().enumerate() {
            let same_shape = before.is_some_and(|before| has_same_shape(before, item));
            if !same_shape {
                shared.piece = self.describe(index, arena, item);
            }
            if !same_shape || before.is_some_and(|before| before.to.local != item.to.local) {
                (shared.control, shared.control_len) = self.control(index, item);
            }
            self.address(index, item, shared);
            before = Some(item);
        }
    }

    /// The buffer of `item`, described in piece `index`.
    fn describe(&mut self, index: usize, arena: &[u8], item: &Item) -> *mut iovec {
        let bytes = &arena[item.range()];
        *self.pieces.element_mut(index) = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        self.pieces.at(index)
    }

    /// The control messages of `item`, written to control `index` if it needs any.
    fn control(&mut self, index: usize, item: &Item) -> (*mut c_void, usize) {
        let control = self.controls.element_mut(index);
        let mut used = 0;
        if item.segments > 1 {
            used = segment_control(control, item.segment_len);
        }
        if let Some(local) = item.to.local {
            used = pktinfo::write(control, used, local, self.family);
        }
        if used == 0 { (ptr::null_mut(), 0) } else { (self.controls.at(index).cast(), used) }
    }

    #[inline]
    fn address(&mut self, index: usize, item: &Item, shared: Shared) {
        let name_len = self.names.element_mut(index).encode(item.to.remote, self.family);
        let header = &mut self.headers.element_mut(index).msg_hdr;
        header.msg_namelen = name_len;
        header.msg_iov = shared.piece;
        header.msg_control = shared.control;
        header.msg_controllen = shared.control_len as _;
    }
}

fn has_same_shape(one: &Item, other: &Item) -> bool {
    (one.start, one.segment_len, one.segments) == (other.start, other.segment_len, other.segments)
}

/// Writes "cut into datagrams of `segment_len` bytes" to the start of `control` (udp(7)).
pub(in crate::net::sys) fn segment_control(control: &mut SendControl, segment_len: u16) -> usize {
    control.push(0, libc::SOL_UDP, libc::UDP_SEGMENT, &segment_len.to_ne_bytes())
}

/// A header that points nowhere.
pub(in crate::net::sys) fn empty_header() -> mmsghdr {
    // SAFETY: integers and pointers only, for which zero is a value; some C
    // libraries have private padding fields, so it cannot be written out.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Path;
    use std::net::SocketAddr;
    use std::slice;

    /// Needs no system call, so Miri can follow the pointers as the kernel does.
    #[test]
    fn headers_say_what_the_items_say_and_share_what_is_alike() {
        let arena: Vec<u8> = (0..100).collect();
        let to = |port, local: Option<&str>| Path {
            remote: SocketAddr::from(([127, 0, 0, 1], port)),
            local: local.map(|ip| ip.parse().unwrap()),
        };
        let item = |to, start, segment_len, segments| Item { to, start, segment_len, segments };
        let items = [
            item(to(1, None), 0, 10, 4),
            item(to(2, None), 0, 10, 4),
            item(to(3, Some("127.0.0.2")), 0, 10, 4),
            item(to(4, Some("127.0.0.2")), 0, 10, 4),
            item(to(5, None), 50, 7, 1),
            item(to(6, None), 50, 7, 1),
        ];
        let mut outgoing = Outgoing::new(Family::V6, 8);
        // Twice: what is left from the call before must not show.
        outgoing.prepare(&arena, &items[3..]);
        outgoing.prepare(&arena, &items);
        for (index, item) in items.iter().enumerate() {
            let header = &outgoing.headers.element(index).msg_hdr;
            // SAFETY: `prepare` just set these pointers, into live memory.
            let (name, piece) = unsafe { (*header.msg_name.cast::<Name>(), *header.msg_iov) };
            assert_eq!(name.decode(header.msg_namelen), Some(item.to.remote));
            // SAFETY: the piece lies in `arena`.
            let bytes = unsafe { slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len) };
            assert_eq!(bytes, &arena[item.range()]);
            let control = match header.msg_control.cast::<SendControl>() {
                none if none.is_null() => SendControl::EMPTY,
                // SAFETY: `prepare` just set the pointer, into live memory.
                some => unsafe { *some },
            };
            let messages: Vec<_> = control.messages(header.msg_controllen as _).collect();
            let segment = messages.iter().find(|message| message.kind == libc::UDP_SEGMENT);
            let local = messages.iter().find_map(pktinfo::read);
            assert_eq!(segment.is_some(), item.segments > 1);
            assert_eq!(local, item.to.local);
        }
        let headers: Vec<_> = (0..6).map(|index| outgoing.headers.element(index).msg_hdr).collect();
        assert!(headers[..4].iter().all(|header| header.msg_iov == headers[0].msg_iov));
        assert_eq!(headers[0].msg_control, headers[1].msg_control);
        assert_eq!(headers[2].msg_control, headers[3].msg_control);
        assert_ne!(headers[1].msg_control, headers[2].msg_control);
        assert!(headers[4].msg_control.is_null() && headers[5].msg_control.is_null());
    }
}
