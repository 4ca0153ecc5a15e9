//! Owns what can only be found out by trying: whether a train leaves, and what
//! arrives of it. Sends through the relay's own backend, to itself or not
//! beyond the first router, and never to a port where somebody listens.

use super::SocketOptions;
use super::bind;
use super::errno::Fault;
use super::kernel::Kernel;
use super::sys::addr::Family;
use super::sys::linux::{Linux, coalesce};
use crate::batch::{Item, Path};
use mio::net::UdpSocket as MioSocket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Datagrams of a train over loopback, and bytes of each.
pub const LOCAL_SEGMENTS: u16 = 16;
const LOCAL_BYTES: u16 = 64;
/// The same of a train that leaves the host.
pub const DISTANT_SEGMENTS: u16 = 2;
/// Bytes of each: with its headers the least that any IPv6 path takes.
pub const DISTANT_BYTES: u16 = 1232;
/// Where it goes: the discard service (RFC 863), which nobody runs.
pub const DISCARD_PORT: u16 = 9;
/// Routers that it passes: it dies at the first one.
const DISTANT_HOPS: u32 = 1;
/// Loopback delivers at once; this only keeps a loss from hanging.
const ARRIVAL_WAIT: Duration = Duration::from_millis(500);

/// What arrived of a train over loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Datagrams that arrived whole, of [`LOCAL_SEGMENTS`].
    pub datagrams: u16,
    /// Reads that it took: fewer than datagrams where they were coalesced (GRO).
    pub reads: u16,
}

/// Why a train did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// `EMSGSIZE`: longer than the interface takes.
    TooLong,
    /// `EIO`: the interface does no checksums.
    NoChecksums,
    /// `EINVAL`, `ENOPROTOOPT`: the kernel knows no trains.
    Unknown,
    /// No way there, or a firewall before it.
    Unreachable,
    /// Anything else.
    Other,
}

/// A train that did not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, by what can be done about it.
    pub cause: RefusalCause,
    /// The kernel's words.
    pub error: String,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let cause = match Fault::of(&error) {
            Fault::TooLong => RefusalCause::TooLong,
            Fault::Device => RefusalCause::NoChecksums,
            Fault::Invalid => RefusalCause::Unknown,
            Fault::Unreachable | Fault::Denied => RefusalCause::Unreachable,
            _ => RefusalCause::Other,
        };
        Self { cause, error: error.to_string() }
    }
}

/// Sends a train to a socket of this process; `gro`: one that takes it coalesced.
///
/// # Errors
/// The train did not leave.
pub fn train_over_loopback(gro: bool) -> Result<Arrival, Refusal> {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    receiver.set_read_timeout(Some(ARRIVAL_WAIT))?;
    if gro {
        coalesce(&receiver)?;
    }
    let (mut sender, _) = sender(Ipv4Addr::LOCALHOST.into(), None)?;
    send_train(&mut sender, receiver.local_addr()?, LOCAL_SEGMENTS, LOCAL_BYTES)?;
    Ok(count(&receiver))
}

/// Sends a train of zeros towards port 9 of `to`, with one hop to live: two
/// datagrams of 1232 bytes that no router passes on. Returns the port that
/// they left from.
///
/// # Errors
/// The train did not leave.
pub fn train_towards(to: IpAddr) -> Result<u16, Refusal> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let (mut sender, port) = sender(any, Some(DISTANT_HOPS))?;
    send_train(&mut sender, SocketAddr::new(to, DISCARD_PORT), DISTANT_SEGMENTS, DISTANT_BYTES)?;
    Ok(port)
}

/// A socket set up as the relay's, and its port.
fn sender(ip: IpAddr, hops: Option<u32>) -> io::Result<(Linux, u16)> {
    let addr = SocketAddr::new(ip, 0);
    let (socket, _) = bind::open(addr, &SocketOptions::default(), true).map_err(io::Error::other)?;
    match (hops, ip) {
        (Some(hops), IpAddr::V4(_)) => socket.set_ttl(hops)?,
        (Some(hops), IpAddr::V6(_)) => socket2::SockRef::from(&socket).set_unicast_hops_v6(hops)?,
        (None, _) => {}
    }
    let port = socket.local_addr()?.port();
    Ok((Linux::new(MioSocket::from_std(socket), Family::of(&addr), ip.is_unspecified()), port))
}

fn send_train(sender: &mut Linux, to: SocketAddr, segments: u16, segment_len: u16) -> io::Result<()> {
    let zeros = vec![0; usize::from(segments) * usize::from(segment_len)];
    let train = Item { to: Path::to(to), start: 0, segment_len, segments };
    sender.send(&zeros, &[train]).map(drop)
}

fn count(receiver: &UdpSocket) -> Arrival {
    let mut bytes = vec![0; usize::from(u16::MAX)];
    let mut arrival = Arrival { datagrams: 0, reads: 0 };
    while arrival.datagrams < LOCAL_SEGMENTS {
        let Ok(len) = receiver.recv(&mut bytes) else { break };
        arrival.reads += 1;
        arrival.datagrams += u16::try_from(len / usize::from(LOCAL_BYTES)).unwrap_or(u16::MAX);
    }
    arrival
}

/// Whether a datagram from an IPv4 socket reaches one that is bound to `[::]`.
///
/// # Errors
/// One of the two could not be opened.
pub fn v4_reaches_v6() -> io::Result<bool> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let (receiver, _) = bind::open(any, &SocketOptions::default(), true).map_err(io::Error::other)?;
    receiver.set_nonblocking(false)?;
    receiver.set_read_timeout(Some(ARRIVAL_WAIT))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    sender.send_to(&[0], (Ipv4Addr::LOCALHOST, receiver.local_addr()?.port()))?;
    let from = receiver.recv_from(&mut [0; 8]).map(|(_, from)| from);
    Ok(from.is_ok_and(|from| from.port() == sender.local_addr().map_or(0, |addr| addr.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_train_arrives_over_loopback_cut_or_coalesced() {
        let cut = train_over_loopback(false).unwrap();
        assert_eq!(cut, Arrival { datagrams: LOCAL_SEGMENTS, reads: LOCAL_SEGMENTS });
        let whole = train_over_loopback(true).unwrap();
        assert!(whole.datagrams == LOCAL_SEGMENTS && whole.reads < LOCAL_SEGMENTS, "{whole:?}");
    }

    #[test]
    fn a_train_towards_this_host_leaves() {
        assert!(train_towards(Ipv4Addr::LOCALHOST.into()).unwrap() > 0);
    }

    #[test]
    fn refusals_are_told_apart_by_what_helps() {
        let of = |errno| Refusal::from(io::Error::from_raw_os_error(errno)).cause;
        assert_eq!(of(libc::EMSGSIZE), RefusalCause::TooLong);
        assert_eq!(of(libc::EIO), RefusalCause::NoChecksums);
        assert_eq!(of(libc::EINVAL), RefusalCause::Unknown);
        assert_eq!(of(libc::ENETUNREACH), RefusalCause::Unreachable);
        assert_eq!(of(libc::EPERM), RefusalCause::Unreachable);
        assert_eq!(of(libc::ENOMEM), RefusalCause::Other);
    }
}
