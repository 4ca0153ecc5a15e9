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
pub(super) struct Outgoing {
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
    pub(super) fn new(family: Family, items: usize) -> Self {
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
    pub(super) fn send(&mut self, fd: RawFd, arena: &[u8], items: &[Item]) -> io::Result<usize> {
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
