//! Owns the meaning of the kernel's errors. Never acts on them: `egress.rs`
//! and `socket.rs` do.

use std::io;

/// What an error from the kernel says about the datagram or the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "only errno tells them all apart"))]
pub(super) enum Fault {
    /// The buffer is full (sending) or empty (receiving); an event will come.
    WouldBlock,
    /// The device's queue or the kernel's memory is full; no event will come.
    NoBuffers,
    /// A signal came first.
    Interrupted,
    /// A destination cannot be reached, not always the one just sent to: an
    /// ICMP error waits at the socket and fails the next call, whoever it is for.
    Unreachable,
    /// Longer than the path takes.
    TooLong,
    /// The device cannot do what was asked (a train without checksum offload).
    Device,
    /// The kernel knows no such request.
    Invalid,
    /// Nothing may be sent there.
    Denied,
    /// The socket itself is of no use any more.
    Broken,
    /// Anything else.
    Other,
}

impl Fault {
    #[cfg(unix)]
    pub(super) fn of(error: &io::Error) -> Self {
        let code = error.raw_os_error();
        TABLE.iter().find(|(errno, _)| code == Some(*errno)).map_or(Self::Other, |&(_, fault)| fault)
    }

    /// Coarser than errno, enough for the portable backend, which sends no trains.
    #[cfg(not(unix))]
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::WouldBlock,
            io::ErrorKind::Interrupted => Self::Interrupted,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::InvalidInput => Self::Invalid,
            _ => Self::Other,
        }
    }
}

/// errno(3), socket(7), ip(7), udp(7).
#[cfg(unix)]
const TABLE: [(i32, Fault); 17] = [
    (libc::EAGAIN, Fault::WouldBlock),
    (libc::ENOBUFS, Fault::NoBuffers),
    (libc::EINTR, Fault::Interrupted),
    (libc::ECONNREFUSED, Fault::Unreachable),
    (libc::EHOSTUNREACH, Fault::Unreachable),
    (libc::ENETUNREACH, Fault::Unreachable),
    (libc::EHOSTDOWN, Fault::Unreachable),
    (libc::EPERM, Fault::Unreachable),
    (libc::EMSGSIZE, Fault::TooLong),
    (libc::EIO, Fault::Device),
    (libc::EINVAL, Fault::Invalid),
    (libc::EACCES, Fault::Denied),
    (libc::EAFNOSUPPORT, Fault::Denied),
    (libc::EBADF, Fault::Broken),
    (libc::ENOTSOCK, Fault::Broken),
    (libc::EFAULT, Fault::Broken),
    (libc::ENOSYS, Fault::Broken),
];
