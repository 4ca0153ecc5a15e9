//! Owns the control message that says which of our addresses a datagram was
//! sent to, or shall leave from (ip(7) `IP_PKTINFO`, RFC 3542 `IPV6_PKTINFO`).

#![deny(unsafe_code)]

use crate::net::sys::addr::{Family, ip_of_v6_octets, v6_octets};
use crate::net::sys::cmsg::{Control, Message};
use std::net::{IpAddr, Ipv4Addr};

/// `struct in_pktinfo`: interface, our address, the address in the header.
pub(super) const V4_LEN: usize = size_of::<libc::in_pktinfo>();
/// `struct in6_pktinfo`: our address, interface.
pub(super) const V6_LEN: usize = size_of::<libc::in6_pktinfo>();

/// The address of ours in `message`, canonical, if it is there.
pub(super) fn read(message: &Message<'_>) -> Option<IpAddr> {
    match (message.level, message.kind) {
        // Our address rather than the header's, which may be a broadcast.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => Some(IpAddr::from(message.field::<4>(4)?)),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => Some(ip_of_v6_octets(message.field::<16>(0)?)),
        _ => None,
    }
}

/// Writes "leave from `local`" behind the first `used` bytes of `control`.
/// The route decides on the interface.
pub(super) fn write<const N: usize>(control: &mut Control<N>, used: usize, local: IpAddr, family: Family) -> usize {
    match (family, local) {
        (Family::V4, IpAddr::V4(ip)) => control.push(used, libc::IPPROTO_IP, libc::IP_PKTINFO, &v4(ip)),
        (Family::V6, ip) => control.push(used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &v6(ip)),
        // An address that this socket cannot have been hit at.
        (Family::V4, IpAddr::V6(_)) => used,
    }
}

fn v4(ip: Ipv4Addr) -> [u8; V4_LEN] {
    let mut data = [0; V4_LEN];
    data[4..8].copy_from_slice(&ip.octets());
    data
}

fn v6(ip: IpAddr) -> [u8; V6_LEN] {
    let mut data = [0; V6_LEN];
    data[..16].copy_from_slice(&v6_octets(ip));
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sys::cmsg::space;

    #[test]
    fn what_is_written_is_read() {
        for (family, ip) in [(Family::V4, "127.0.0.2"), (Family::V6, "127.0.0.2"), (Family::V6, "2001:db8::1")] {
            let ip: IpAddr = ip.parse().unwrap();
            let mut control = Control::<{ space(V6_LEN) }>::EMPTY;
            let used = write(&mut control, 0, ip, family);
            assert_eq!(control.messages(used).find_map(|message| read(&message)), Some(ip));
        }
    }

    #[test]
    fn short_or_foreign_messages_say_nothing() {
        let message = |level, kind, data| Message { level, kind, data };
        assert_eq!(read(&message(libc::IPPROTO_IP, libc::IP_PKTINFO, &[0; 7])), None);
        assert_eq!(read(&message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &[0; 15])), None);
        assert_eq!(read(&message(libc::SOL_SOCKET, libc::SCM_TIMESTAMP, &[0; 32])), None);
    }
}
