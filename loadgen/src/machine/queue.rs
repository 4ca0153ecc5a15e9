//! How much waits at one UDP socket of this host, asked of the kernel by
//! address (sock_diag(7), udp_diag): some microseconds, where reading
//! /proc/net/udp walks the table of all sockets for a millisecond.

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
/// Where `idiag_rqueue` stands in `struct inet_diag_msg`.
const QUEUE_AT: usize = HEADER_BYTES + 56;

/// Asks again and again about the socket that datagrams to one address reach.
pub struct Queue {
    netlink: OwnedFd,
    request: [u8; REQUEST_BYTES],
}

impl Queue {
    /// For the socket at `address`; `None` where the kernel does not tell.
    pub fn at(address: SocketAddr) -> Option<Self> {
        let kind = (AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag);
        let netlink = socket(kind.0, kind.1, kind.2, kind.3).ok()?;
        let queue = Self { netlink, request: request(address) };
        queue.waiting_bytes().map(|_| queue)
    }

    /// Bytes that wait to be read, kernel overhead included.
    pub fn waiting_bytes(&self) -> Option<u64> {
        let mut answer = [0; 512];
        send(self.netlink.as_raw_fd(), &self.request, MsgFlags::empty()).ok()?;
        let len = recv(self.netlink.as_raw_fd(), &mut answer, MsgFlags::empty()).ok()?;
        let kind = u16::from_ne_bytes([answer[4], answer[5]]);
        let queue = answer[..len].get(QUEUE_AT..)?.first_chunk::<4>()?;
        (kind == SOCK_DIAG_BY_FAMILY).then(|| u64::from(u32::from_ne_bytes(*queue)))
    }
}

/// `struct nlmsghdr`, then `struct inet_diag_req_v2` for one UDP socket. What
/// it calls the source is the far end, "for historical reasons".
fn request(address: SocketAddr) -> [u8; REQUEST_BYTES] {
    const FAMILIES: (u8, u8) = (2, 10);
    const IPPROTO_UDP: u8 = 17;
    let mut bytes = [0; REQUEST_BYTES];
    bytes[..4].copy_from_slice(&(REQUEST_BYTES as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    bytes[HEADER_BYTES] = if address.is_ipv4() { FAMILIES.0 } else { FAMILIES.1 };
    bytes[HEADER_BYTES + 1] = IPPROTO_UDP;
    // In any state; which one is told by ports, addresses, interface, and any cookie.
    bytes[HEADER_BYTES + 4..HEADER_BYTES + 8].fill(0xFF);
    let id = &mut bytes[HEADER_BYTES + 8..];
    id[2..4].copy_from_slice(&address.port().to_be_bytes());
    for at in [4, 20] {
        match address.ip() {
            IpAddr::V4(v4) => id[at..at + 4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => id[at..at + 16].copy_from_slice(&v6.octets()),
        }
    }
    id[40..].fill(0xFF);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::drops::udp_waiting;
    use std::net::UdpSocket;

    #[test]
    fn tells_what_waits_as_the_table_does() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(receiver) = UdpSocket::bind(host) else {
                println!("SKIPPED tells_what_waits_as_the_table_does: no {host} here");
                continue;
            };
            let address = receiver.local_addr().unwrap();
            let Some(queue) = Queue::at(address) else {
                println!("SKIPPED tells_what_waits_as_the_table_does: this kernel has no udp_diag");
                return;
            };
            assert_eq!(queue.waiting_bytes(), Some(0));
            let sender = UdpSocket::bind(host).unwrap();
            (0..100).for_each(|_| assert_eq!(sender.send_to(&[0; 1000], address).unwrap(), 1000));
            let waiting = queue.waiting_bytes().unwrap();
            assert!(waiting >= 100_000, "{waiting}");
            assert_eq!(waiting, udp_waiting(address.port()));
        }
    }

    #[test]
    fn a_socket_that_is_not_there_tells_nothing() {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(Queue::at(gone).is_none());
    }
}
