//! Owns the arrays of `recvmmsg`, which writes straight into an inbox. Never
//! copies a payload.

use super::outgoing::empty_header;
use super::{Fixed, pktinfo};
use crate::batch::{Inbox, Path, SLOT_BYTES};
use crate::net::kernel::ITEMS_MAX;
use crate::net::sys::addr::{Family, Name};
use crate::net::sys::cmsg::{Control, space};
use libc::{iovec, mmsghdr};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::ptr;

type ReceiveControl = Control<{ space(pktinfo::V6_LEN) }>;

/// What is said of a datagram whose sender the kernel did not name: nobody
/// whom the core accepts.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Message headers, each pointing to its own name, buffer and control bytes.
pub(super) struct Incoming {
    family: Family,
    /// Bytes of control messages to ask for; 0 unless bound to a wildcard.
    control_len: usize,
    headers: Fixed<mmsghdr>,
    pieces: Fixed<iovec>,
    names: Fixed<Name>,
    controls: Fixed<ReceiveControl>,
    /// Where the inbox was at the last call.
    base: usize,
    /// Headers that the kernel may have written to in the last call.
    used: usize,
}

impl Incoming {
    pub(super) fn new(family: Family, wildcard: bool) -> Self {
        Self::with_slots(family, if wildcard { ReceiveControl::LEN } else { 0 }, 0)
    }

    fn with_slots(family: Family, control_len: usize, slots: usize) -> Self {
        let names = Fixed::new(slots, |_| Name::EMPTY);
        let controls = Fixed::new(slots, |_| ReceiveControl::EMPTY);
        let nowhere = iovec { iov_base: ptr::null_mut(), iov_len: SLOT_BYTES };
        let pieces = Fixed::new(slots, |_| nowhere);
        let headers = Fixed::new(slots, |slot| {
            let mut header = empty_header();
            header.msg_hdr.msg_name = names.at(slot).cast();
            header.msg_hdr.msg_iov = pieces.at(slot);
            header.msg_hdr.msg_iovlen = 1;
            if control_len > 0 {
                header.msg_hdr.msg_control = controls.at(slot).cast();
            }
            header
        });
        Self { family, control_len, headers, pieces, names, controls, base: 0, used: slots }
    }

    /// Receives into the slots of the empty `inbox`.
    pub(super) fn receive(&mut self, fd: RawFd, inbox: &mut Inbox) -> io::Result<()> {
        let slots = self.prepare(inbox);
        let count = u32::try_from(slots).expect("invariant: at most 1024 slots");
        // SAFETY: the first `slots` headers point to a name, a piece and control
        // bytes of the stated lengths in arrays that live as long as `self`; the
        // pieces are slots of `inbox`, which is borrowed exclusively and whose
        // bytes were exposed to the kernel in this call.
        let received =
            unsafe { libc::recvmmsg(fd, self.headers.at(0), count, libc::MSG_DONTWAIT as _, ptr::null_mut()) };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        self.used = received;
        for slot in 0..received {
            self.hand_over(slot, inbox);
        }
        Ok(())
    }

    /// Brings the headers back to where they were before the kernel wrote the
    /// lengths it found. Returns how many may be used.
    fn prepare(&mut self, inbox: &mut Inbox) -> usize {
        assert!(inbox.is_empty(), "datagrams are received into an empty inbox");
        let slots_max = inbox.capacity().min(ITEMS_MAX);
        if self.headers.len() < slots_max {
            *self = Self::with_slots(self.family, self.control_len, slots_max);
        }
        let base = inbox.buffer().as_mut_ptr().expose_provenance();
        if self.base != base {
            self.aim(base);
        }
        for slot in 0..self.used {
            let header = &mut self.headers.element_mut(slot).msg_hdr;
            header.msg_namelen = Name::LEN_MAX;
            header.msg_controllen = self.control_len as _;
        }
        // A failed call may touch the first one.
        self.used = 1;
        inbox.limit().min(ITEMS_MAX)
    }

    /// Points the pieces to the slots of the inbox at `base`.
    fn aim(&mut self, base: usize) {
        self.base = base;
        for slot in 0..self.pieces.len() {
            let address = base.wrapping_add(slot * SLOT_BYTES);
            self.pieces.element_mut(slot).iov_base = ptr::with_exposed_provenance_mut(address);
        }
    }

    fn hand_over(&self, slot: usize, inbox: &mut Inbox) {
        let message = self.headers.element(slot);
        let header = &message.msg_hdr;
        let remote = self.names.element(slot).decode(header.msg_namelen).unwrap_or(NOBODY);
        let control = self.controls.element(slot);
        #[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
        let control_len = if self.control_len > 0 { header.msg_controllen as usize } else { 0 };
        let local = control.messages(control_len).find_map(|message| pktinfo::read(&message));
        let truncated = header.msg_flags & libc::MSG_TRUNC != 0;
        inbox.push_filled(Path { remote, local }, message.msg_len as usize, truncated);
    }
}
