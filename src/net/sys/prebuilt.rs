//! Owns a fan-out with nothing but the system calls: the floor that the relay
//! is measured against.

use super::addr::{Family, Name};
use super::fixed::Fixed;
use super::linux::{SendControl, empty_header, prepare, segment_control};
use crate::net::kernel::ITEMS_MAX;
use libc::{iovec, mmsghdr};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// One payload to many destinations, every byte of every `sendmmsg` prepared.
///
/// It exists to be measured: what it costs per copy is what the kernel costs,
/// and what the relay costs above it is ours. Its socket gets the same options
/// as the relay's, so that neither is cheaper by them. It forgets nothing and decides
/// nothing, so it is of no use for a real fan-out.
pub struct Prebuilt {
    socket: UdpSocket,
    headers: Fixed<mmsghdr>,
    copies_each: u64,
    /// What the headers point into.
    _names: Fixed<Name>,
    _piece: Fixed<iovec>,
    _control: Fixed<SendControl>,
    _payload: Fixed<u8>,
}

impl Prebuilt {
    /// Prepares to send `payload` to each of `destinations`: as one datagram,
    /// or as a train of datagrams of `segment_len` bytes, the last one shorter
    /// if need be (udp(7) `UDP_SEGMENT`: at most 64 of them and 65,507 bytes).
    ///
    /// # Errors
    /// The socket could not be cloned, or refused an option.
    pub fn new(
        socket: &UdpSocket,
        destinations: &[SocketAddr],
        payload: &[u8],
        segment_len: Option<u16>,
    ) -> io::Result<Self> {
        let family = Family::of(&socket.local_addr()?);
        let payload = Fixed::new(payload.len(), |index| payload[index]);
        let piece = Fixed::new(1, |_| iovec {
            iov_base: if payload.len() == 0 { std::ptr::null_mut() } else { payload.at(0).cast() },
            iov_len: payload.len(),
        });
        let mut control = Fixed::new(1, |_| SendControl::EMPTY);
        let control_len = segment_len.map_or(0, |len| segment_control(control.element_mut(0), len));
        let mut names = Fixed::new(destinations.len(), |_| Name::EMPTY);
        let headers = Fixed::new(destinations.len(), |index| {
            let mut header = empty_header();
            header.msg_hdr.msg_namelen = names.element_mut(index).encode(destinations[index], family);
            header.msg_hdr.msg_name = names.at(index).cast();
            header.msg_hdr.msg_iov = piece.at(0);
            header.msg_hdr.msg_iovlen = 1;
            if control_len > 0 {
                header.msg_hdr.msg_control = control.at(0).cast();
                header.msg_hdr.msg_controllen = control_len as _;
            }
            header
        });
        let copies_each = segment_len.map_or(1, |len| payload.len().div_ceil(usize::from(len.max(1))).max(1) as u64);
        let socket = socket.try_clone()?;
        prepare(&socket, family, false).map_err(|(_, error)| error)?;
        Ok(Self { socket, headers, copies_each, _names: names, _piece: piece, _control: control, _payload: payload })
    }

    /// Sends to every destination, up to 1024 in a system call. Returns the copies sent.
    ///
    /// # Errors
    /// The first error that the kernel reports; destinations before it were served.
    pub fn send_all(&mut self) -> io::Result<u64> {
        let mut next = 0;
        while next < self.headers.len() {
            next += self.send_from(next)?;
        }
        Ok(next as u64 * self.copies_each)
    }

    fn send_from(&mut self, next: usize) -> io::Result<usize> {
        let count = (self.headers.len() - next).min(ITEMS_MAX);
        let count = u32::try_from(count).expect("invariant: at most 1024 items");
        // SAFETY: `count` headers follow at `next`; they point into arrays that
        // `self` owns and that nobody else writes to.
        let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), self.headers.at(next), count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}
