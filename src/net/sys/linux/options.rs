//! Owns the socket options that std and socket2 do not set.

use crate::net::sys::addr::Family;
use libc::{c_int, socklen_t};
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Index of the drop counter in `SO_MEMINFO` (`SK_MEMINFO_DROPS`, linux/sock_diag.h).
const MEMINFO_DROPS: usize = 8;
const MEMINFO_LEN: usize = 9;

/// What every relay socket wants, by name. On an IPv6 socket the IPv4 options
/// go with the v4-mapped traffic.
///
/// `RECVERR`: ICMP errors arrive, with the peer they are about.
/// `PMTUDISC_OMIT`: forged ICMP cannot shrink the path, and no IP id is drawn.
const FOR_V4: [(&str, c_int, c_int, c_int); 2] = [
    ("IP_RECVERR", libc::IPPROTO_IP, libc::IP_RECVERR, 1),
    ("IP_MTU_DISCOVER", libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
];
const FOR_V6: [(&str, c_int, c_int, c_int); 2] = [
    ("IPV6_RECVERR", libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
    ("IPV6_MTU_DISCOVER", libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
];

/// Sets up `socket`; with `wildcard`, each datagram will say which address it hit.
///
/// # Errors
/// The name of the option that the kernel refused, and its reason.
pub(in crate::net) fn prepare(
    socket: &impl AsRawFd,
    family: Family,
    wildcard: bool,
) -> Result<(), (&'static str, io::Error)> {
    let for_v6: &[_] = if family == Family::V6 { &FOR_V6 } else { &[] };
    let pktinfo = wildcard.then_some(pktinfo(family));
    for &(name, level, option, value) in FOR_V4.iter().chain(for_v6).chain(&pktinfo) {
        set(socket.as_raw_fd(), level, option, value).map_err(|error| (name, error))?;
    }
    Ok(())
}

fn pktinfo(family: Family) -> (&'static str, c_int, c_int, c_int) {
    match family {
        Family::V4 => ("IP_PKTINFO", libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        Family::V6 => ("IPV6_RECVPKTINFO", libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Takes back what is of use only to who reads the error queue and what comes
/// beside a datagram. That the path's size is not believed may stay.
pub(in crate::net) fn unprepare(socket: &impl AsRawFd, family: Family) {
    forget_errors(socket);
    let (_, level, option, _) = pktinfo(family);
    // It was set before, or is off: nothing is lost.
    let _ = set(socket.as_raw_fd(), level, option, 0);
}

/// Switches ICMP errors off again: that empties the error queue (ip(7)).
pub(in crate::net) fn forget_errors(socket: &impl AsRawFd) {
    for (_, level, option, _) in [FOR_V4[0], FOR_V6[0]] {
        // An IPv4 socket knows nothing of the second.
        let _ = set(socket.as_raw_fd(), level, option, 0);
    }
}

/// Asks for a receive buffer beyond `net.core.rmem_max` (needs `CAP_NET_ADMIN`).
pub(in crate::net) fn force_rcvbuf(socket: &impl AsRawFd, bytes: usize) -> io::Result<()> {
    set(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, buffer_size(bytes))
}

/// Asks for a send buffer beyond `net.core.wmem_max` (needs `CAP_NET_ADMIN`).
pub(in crate::net) fn force_sndbuf(socket: &impl AsRawFd, bytes: usize) -> io::Result<()> {
    set(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, buffer_size(bytes))
}

/// Lets `socket` take datagrams in a row as one (udp(7) `UDP_GRO`).
pub(in crate::net) fn coalesce(socket: &impl AsRawFd) -> io::Result<()> {
    set(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// The kernel doubles what it is asked for.
fn buffer_size(bytes: usize) -> c_int {
    c_int::try_from(bytes).unwrap_or(c_int::MAX).min(c_int::MAX / 2)
}

/// Datagrams that the kernel dropped at this socket so far, modulo 2^32.
pub(in crate::net) fn kernel_drops(socket: &impl AsRawFd) -> io::Result<u32> {
    let mut meminfo = [0u32; MEMINFO_LEN];
    let mut len = socklen_t::try_from(size_of_val(&meminfo)).expect("invariant: 36 fits");
    // SAFETY: the kernel writes at most `len` bytes, the size of `meminfo`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            meminfo.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(meminfo[MEMINFO_DROPS]) } else { Err(io::Error::last_os_error()) }
}

/// Makes the kernel refuse trains: without checksums there is no segmentation.
#[cfg(test)]
pub(in crate::net) fn forbid_checksums(socket: &impl AsRawFd) -> io::Result<()> {
    set(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1)
}

fn set(fd: RawFd, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    let len = socklen_t::try_from(size_of_val(&value)).expect("invariant: 4 fits");
    // SAFETY: the kernel reads `len` bytes, the size of `value`.
    let result = unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
