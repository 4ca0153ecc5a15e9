//! Owns the opening of a socket: buffers, options, and errors that say what to
//! do. Never sends or receives.

use super::SocketOptions;
use super::sys::addr::{Family, canonical};
use socket2::{Domain, Protocol, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// Why no socket could be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// `EADDRINUSE`.
    #[error(
        "{addr} is in use: choose another port, or stop the program that holds it (`ss -ulpn sport = :{}` names it)",
        addr.port()
    )]
    InUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// `EACCES`, `EPERM`.
    #[error(
        "no permission to bind {addr}: choose a port of 1024 or more, or allow this one \
         (`sysctl -w net.ipv4.ip_unprivileged_port_start={}`, or CAP_NET_BIND_SERVICE)",
        addr.port()
    )]
    NoPermission {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// `EADDRNOTAVAIL`.
    #[error(
        "{ip} is not an address of this host: choose one that `ip address` lists, or {any} for all of them",
        ip = addr.ip(),
        any = any(*addr)
    )]
    NotOurs {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// `EAFNOSUPPORT`: mostly, IPv6 is switched off.
    #[error("this host does not speak {} ({addr}): bind an address of the other family, such as {other}", version(*addr), other = other(*addr))]
    NoFamily {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// fe80::/10 without an interface.
    #[error("{ip} is link-local and needs its interface: [{ip}%2]:{port}, with the number from `ip link`", ip = addr.ip(), port = addr.port())]
    NoScope {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The kernel lacks a feature that this backend relies on.
    #[error("the kernel refused {option} ({source}): use the portable I/O backend, which does without")]
    Option {
        /// The socket option, as its manual page names it.
        option: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot open a UDP socket on {addr}: {source}")]
    Other {
        /// The address asked for.
        addr: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
}

fn any(addr: SocketAddr) -> &'static str {
    if addr.is_ipv4() { "0.0.0.0" } else { "[::]" }
}

fn other(addr: SocketAddr) -> &'static str {
    if addr.is_ipv4() { "[::]" } else { "0.0.0.0" }
}

fn version(addr: SocketAddr) -> &'static str {
    if addr.is_ipv4() { "IPv4" } else { "IPv6" }
}

impl BindError {
    fn new(addr: SocketAddr, source: io::Error) -> Self {
        let no_scope = matches!(addr, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0);
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { addr },
            io::ErrorKind::PermissionDenied => Self::NoPermission { addr },
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { addr },
            _ if no_scope => Self::NoScope { addr },
            _ if is_no_family(&source) => Self::NoFamily { addr },
            _ => Self::Other { addr, source },
        }
    }
}

#[cfg(unix)]
fn is_no_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

#[cfg(not(unix))]
fn is_no_family(_: &io::Error) -> bool {
    false
}

/// One of the kernel's buffers for a socket, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// What was asked for; 0: the kernel's default.
    pub asked_bytes: usize,
    /// What the kernel gave, by the measure of what was asked (Linux reports
    /// the double, because its own overhead counts: socket(7)).
    pub obtained_bytes: usize,
}

impl Buffer {
    fn is_clamped(self) -> bool {
        self.obtained_bytes < self.asked_bytes
    }
}

/// The kernel's buffers for a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// For what was received and not yet read.
    pub rcv: Buffer,
    /// For what was sent and has not yet left.
    pub snd: Buffer,
}

impl Buffers {
    /// A line for each buffer that is smaller than asked, with what that means
    /// and the command that allows more.
    pub fn warnings(&self) -> Vec<String> {
        let rcv = ("receive", self.rcv, "bursts beyond it are dropped by the kernel", "rmem_max");
        let snd = ("send", self.snd, "large fan-outs stop and wait more often", "wmem_max");
        let clamped = [rcv, snd].into_iter().filter(|(_, buffer, ..)| buffer.is_clamped());
        clamped.map(|(name, buffer, meaning, limit)| warning(name, buffer, meaning, limit)).collect()
    }
}

fn warning(name: &str, buffer: Buffer, meaning: &str, limit: &str) -> String {
    let Buffer { asked_bytes, obtained_bytes } = buffer;
    let cure = if cfg!(target_os = "linux") {
        format!("; to allow it: sysctl -w net.core.{limit}={asked_bytes}")
    } else {
        String::new()
    };
    format!("the {name} buffer has {obtained_bytes} bytes instead of {asked_bytes}: {meaning}{cure}")
}

/// Opens a non-blocking socket on `addr`. `linux`: with the options that the
/// Linux backend relies on.
pub(super) fn open(addr: SocketAddr, options: &SocketOptions, linux: bool) -> Result<(UdpSocket, Buffers), BindError> {
    let addr = canonical(addr);
    let other = |source| BindError::new(addr, source);
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP)).map_err(other)?;
    socket.set_nonblocking(true).map_err(other)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // One socket for both: IPv4 hosts arrive v4-mapped.
        socket.set_only_v6(false).map_err(|source| BindError::Option { option: "IPV6_V6ONLY", source })?;
    }
    if linux {
        prepare(&socket, addr)?;
    }
    // Before the bind, so that the first datagram finds the room.
    let buffers = size_buffers(&socket, options).map_err(other)?;
    socket.bind(&addr.into()).map_err(other)?;
    Ok((socket.into(), buffers))
}

/// Takes over a bound socket: the same as [`open`], but a buffer that somebody
/// with more privilege made larger stays so.
pub(super) fn adopt(
    socket: UdpSocket,
    options: &SocketOptions,
    linux: bool,
) -> Result<(UdpSocket, Buffers), BindError> {
    let addr = socket.local_addr().map_err(|source| BindError::Other { addr: UNKNOWN, source })?;
    let other = |source| BindError::new(canonical(addr), source);
    socket.set_nonblocking(true).map_err(other)?;
    let socket = socket2::Socket::from(socket);
    settle(&socket, addr, linux)?;
    let buffers = grow_buffers(&socket, Domain::for_address(addr), options).map_err(other)?;
    Ok((socket.into(), buffers))
}

/// Gives a socket the options that a backend relies on, whichever backend had it before.
pub(super) fn settle(socket: &socket2::Socket, addr: SocketAddr, linux: bool) -> Result<(), BindError> {
    if linux {
        return prepare(socket, addr);
    }
    #[cfg(target_os = "linux")]
    super::sys::linux::unprepare(socket, Family::of(&addr));
    Ok(())
}

/// What a socket is called that does not know its address.
pub(super) const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

#[cfg(target_os = "linux")]
fn prepare(socket: &socket2::Socket, addr: SocketAddr) -> Result<(), BindError> {
    super::sys::linux::prepare(socket, Family::of(&addr), addr.ip().is_unspecified())
        .map_err(|(option, source)| BindError::Option { option, source })
}

#[cfg(not(target_os = "linux"))]
fn prepare(_: &socket2::Socket, addr: SocketAddr) -> Result<(), BindError> {
    let _ = Family::of(&addr);
    Ok(())
}

/// Asks for the buffers and reads back what the kernel gave. Less than asked
/// is no error: [`Buffers::warnings`] tells.
fn size_buffers(socket: &socket2::Socket, options: &SocketOptions) -> io::Result<Buffers> {
    if options.rcvbuf_bytes > 0 && force_rcvbuf(socket, options.rcvbuf_bytes).is_err() {
        let _ = socket.set_recv_buffer_size(options.rcvbuf_bytes);
    }
    if options.sndbuf_bytes > 0 && force_sndbuf(socket, options.sndbuf_bytes).is_err() {
        let _ = socket.set_send_buffer_size(options.sndbuf_bytes);
    }
    Ok(Buffers {
        rcv: Buffer { asked_bytes: options.rcvbuf_bytes, obtained_bytes: net(socket.recv_buffer_size()?) },
        snd: Buffer { asked_bytes: options.sndbuf_bytes, obtained_bytes: net(socket.send_buffer_size()?) },
    })
}

/// Asks only where asking makes a buffer larger, which a fresh socket finds out:
/// without privilege it would shrink to the kernel's limit.
fn grow_buffers(socket: &socket2::Socket, domain: Domain, options: &SocketOptions) -> io::Result<Buffers> {
    let fresh = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    let within_reach = size_buffers(&fresh, options)?;
    let grows = |asked: usize, reach: Buffer, has: usize| if reach.obtained_bytes > net(has) { asked } else { 0 };
    let asked = SocketOptions {
        rcvbuf_bytes: grows(options.rcvbuf_bytes, within_reach.rcv, socket.recv_buffer_size()?),
        sndbuf_bytes: grows(options.sndbuf_bytes, within_reach.snd, socket.send_buffer_size()?),
        ..*options
    };
    let Buffers { rcv, snd } = size_buffers(socket, &asked)?;
    Ok(Buffers {
        rcv: Buffer { asked_bytes: options.rcvbuf_bytes, ..rcv },
        snd: Buffer { asked_bytes: options.sndbuf_bytes, ..snd },
    })
}

#[cfg(target_os = "linux")]
use super::sys::linux::{force_rcvbuf, force_sndbuf};

#[cfg(target_os = "linux")]
fn net(reported: usize) -> usize {
    reported / 2
}

#[cfg(not(target_os = "linux"))]
fn net(reported: usize) -> usize {
    reported
}

#[cfg(not(target_os = "linux"))]
fn force_rcvbuf(_: &socket2::Socket, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn force_sndbuf(_: &socket2::Socket, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clamped_buffer_is_told_with_its_cure() {
        let full = Buffer { asked_bytes: 8 << 20, obtained_bytes: 8 << 20 };
        let clamped = Buffer { asked_bytes: 8 << 20, obtained_bytes: 212_992 };
        let default = Buffer { asked_bytes: 0, obtained_bytes: 212_992 };
        assert!(Buffers { rcv: full, snd: default }.warnings().is_empty());
        let told = Buffers { rcv: clamped, snd: clamped }.warnings();
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("receive buffer has 212992 bytes instead of 8388608"), "{}", told[0]);
        if cfg!(target_os = "linux") {
            assert!(told[0].ends_with("sysctl -w net.core.rmem_max=8388608"), "{}", told[0]);
            assert!(told[1].ends_with("sysctl -w net.core.wmem_max=8388608"), "{}", told[1]);
        }
    }

    fn message(addr: &str, kind: io::ErrorKind) -> String {
        BindError::new(addr.parse().unwrap(), kind.into()).to_string()
    }

    #[test]
    fn errors_say_what_to_do() {
        assert!(message("0.0.0.0:5000", io::ErrorKind::AddrInUse).contains("ss -ulpn sport = :5000"));
        assert!(message("0.0.0.0:99", io::ErrorKind::PermissionDenied).contains("ip_unprivileged_port_start=99"));
        assert!(message("192.0.2.1:5", io::ErrorKind::AddrNotAvailable).contains("or 0.0.0.0 for all"));
        assert!(message("[2001:db8::1]:5", io::ErrorKind::AddrNotAvailable).contains("or [::] for all"));
        assert!(message("[fe80::1]:5", io::ErrorKind::InvalidInput).contains("[fe80::1%2]:5"));
        assert!(message("0.0.0.0:5", io::ErrorKind::TimedOut).contains("cannot open"));
    }

    #[test]
    fn a_socket_that_is_taken_over_keeps_its_larger_buffers() {
        let asks = |bytes| SocketOptions { rcvbuf_bytes: bytes, sndbuf_bytes: bytes, ..SocketOptions::default() };
        let (socket, large) = open("127.0.0.1:0".parse().unwrap(), &asks(100_000), false).unwrap();
        let (socket, kept) = adopt(socket, &asks(50_000), false).unwrap();
        assert_eq!(kept.rcv, Buffer { asked_bytes: 50_000, ..large.rcv });
        let (_, grown) = adopt(socket, &asks(150_000), false).unwrap();
        assert!(grown.rcv.obtained_bytes > kept.rcv.obtained_bytes, "{grown:?}");
        assert!(grown.snd.obtained_bytes > kept.snd.obtained_bytes, "{grown:?}");
    }

    /// Whoever reads no error queue would meet the errors in place of datagrams.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_shared_socket_has_the_options_of_who_uses_it() {
        use crate::net::{Io, Socket};
        let options = |io| SocketOptions { io, ..SocketOptions::default() };
        let fails = |socket: &UdpSocket| {
            let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            socket.send_to(b"x", closed).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            socket.recv(&mut [0; 9]).unwrap_err().kind()
        };
        let first = Socket::bind("127.0.0.1:0".parse().unwrap(), &options(Io::Auto)).unwrap();
        let shared = || UdpSocket::from(first.share().unwrap());
        assert_eq!(fails(&shared()), io::ErrorKind::ConnectionRefused);
        let portable = Socket::adopt(shared(), &options(Io::Portable)).unwrap();
        assert_eq!(fails(&shared()), io::ErrorKind::WouldBlock);
        first.reclaim().unwrap();
        assert_eq!(fails(&shared()), io::ErrorKind::ConnectionRefused);
        portable.reclaim().unwrap();
        assert_eq!(fails(&shared()), io::ErrorKind::WouldBlock);
    }

    #[cfg(unix)]
    #[test]
    fn a_missing_family_is_told() {
        let error = BindError::new("[::]:5".parse().unwrap(), io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
        assert!(
            error
                .to_string()
                .contains("does not speak IPv6 ([::]:5): bind an address of the other family, such as 0.0.0.0")
        );
    }
}
