//! Owns the reading of the socket's error queue (ip(7) `IP_RECVERR`).

use super::outgoing::empty_header;
use crate::net::kernel::QueuedError;
use crate::net::sys::addr::Name;
use crate::net::sys::cmsg::{Control, Message};
use std::os::fd::RawFd;

/// Room for the error, the router that reported it, and more than may be added.
pub(super) const CONTROL_LEN: usize = 256;
/// `ee_errno` and `ee_origin` in `struct sock_extended_err` (linux/errqueue.h).
const ERRNO: usize = 0;
const ORIGIN: usize = 4;

/// ICMP that means: this destination does not get what is sent to it.
const UNREACHABLE: [i32; 5] =
    [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EHOSTDOWN, libc::EACCES];

/// The buffers of one read.
pub(super) struct ErrorQueue {
    name: Name,
    control: Box<Control<CONTROL_LEN>>,
}

impl ErrorQueue {
    pub(super) fn new() -> Self {
        Self { name: Name::EMPTY, control: Box::new(Control::EMPTY) }
    }

    /// Takes one entry. Any failure to read counts as empty: the caller would
    /// otherwise read for ever, and a new error reports itself.
    pub(super) fn next(&mut self, fd: RawFd) -> QueuedError {
        let mut header = empty_header().msg_hdr;
        header.msg_name = (&raw mut self.name).cast();
        header.msg_namelen = Name::LEN_MAX;
        header.msg_control = (&raw mut *self.control).cast();
        header.msg_controllen = CONTROL_LEN as _;
        // SAFETY: name and control are fields of `self`, borrowed exclusively,
        // with their lengths; there is no piece, so no payload is written.
        let received = unsafe { libc::recvmsg(fd, &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
        if received < 0 {
            return QueuedError::Empty;
        }
        #[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
        let control_len = header.msg_controllen as usize;
        let report = self.control.messages(control_len).find_map(|message| read(&message));
        match (report, self.name.decode(header.msg_namelen)) {
            (Some(Report::Unreachable), Some(peer)) => QueuedError::Unreachable(peer),
            (Some(Report::Local), _) => QueuedError::Local,
            _ => QueuedError::OtherIcmp,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Unreachable,
    Local,
    Other,
}

pub(super) fn read(message: &Message<'_>) -> Option<Report> {
    let kind = (message.level, message.kind);
    if kind != (libc::IPPROTO_IP, libc::IP_RECVERR) && kind != (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) {
        return None;
    }
    let errno = i32::from_ne_bytes(message.field::<4>(ERRNO)?);
    Some(match message.field::<1>(ORIGIN)? {
        [libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6] if UNREACHABLE.contains(&errno) => Report::Unreachable,
        [libc::SO_EE_ORIGIN_LOCAL] => Report::Local,
        _ => Report::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(errno: i32, origin: u8) -> Option<Report> {
        let mut data = [0; 16];
        data[..4].copy_from_slice(&errno.to_ne_bytes());
        data[4] = origin;
        read(&Message { level: libc::IPPROTO_IPV6, kind: libc::IPV6_RECVERR, data: &data })
    }

    #[test]
    fn only_icmp_about_a_peers_life_names_it() {
        assert_eq!(report(libc::ECONNREFUSED, libc::SO_EE_ORIGIN_ICMP), Some(Report::Unreachable));
        assert_eq!(report(libc::EHOSTUNREACH, libc::SO_EE_ORIGIN_ICMP6), Some(Report::Unreachable));
        assert_eq!(report(libc::EMSGSIZE, libc::SO_EE_ORIGIN_ICMP), Some(Report::Other));
        assert_eq!(report(libc::EMSGSIZE, libc::SO_EE_ORIGIN_LOCAL), Some(Report::Local));
        let cut = Message { level: libc::IPPROTO_IP, kind: libc::IP_RECVERR, data: &[0; 4] };
        assert_eq!(read(&cut), None);
    }
}
