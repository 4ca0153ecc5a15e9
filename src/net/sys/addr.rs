//! Owns the form of addresses: canonical outside, `sockaddr` bytes for the
//! kernel. Never lets an IPv4 host appear under two names.

#![deny(unsafe_code)]

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

#[cfg(target_os = "linux")]
pub(super) use name::Name;

/// The protocol that a socket was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Family {
    V4,
    /// Speaks IPv4 too when bound to `[::]`, under v4-mapped addresses.
    V6,
}

impl Family {
    /// The family of a socket that is bound to `addr`.
    pub(in crate::net) fn of(addr: &SocketAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// The one name of a host: IPv4 where it is v4-mapped, no flow label, a scope
/// only where it says something (fe80::/10).
pub(in crate::net) fn canonical(addr: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(v6) = addr else { return addr };
    match v6.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, v6.port())),
        IpAddr::V6(ip) => {
            let scope = if ip.is_unicast_link_local() { v6.scope_id() } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(ip, v6.port(), 0, scope))
        }
    }
}

/// `addr` in a form that a socket of `family` can send to.
pub(super) fn for_family(addr: SocketAddr, family: Family) -> SocketAddr {
    match (addr, family) {
        (SocketAddr::V4(v4), Family::V6) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        _ => addr,
    }
}

/// The 16 bytes of `ip` on an IPv6 socket.
#[cfg(target_os = "linux")]
pub(super) fn v6_octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The reverse of [`v6_octets`].
#[cfg(target_os = "linux")]
pub(super) fn ip_of_v6_octets(octets: [u8; 16]) -> IpAddr {
    IpAddr::from(octets).to_canonical()
}

#[cfg(target_os = "linux")]
mod name {
    use super::{Family, canonical, for_family};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

    const V4_LEN: usize = size_of::<libc::sockaddr_in>();
    const V6_LEN: usize = size_of::<libc::sockaddr_in6>();
    const V4_FAMILY: u16 = libc::AF_INET as u16;
    const V6_FAMILY: u16 = libc::AF_INET6 as u16;

    /// Room for a `sockaddr_in` or a `sockaddr_in6`, as bytes (ip(7), ipv6(7)).
    #[derive(Clone, Copy)]
    #[repr(C, align(4))]
    pub(in crate::net::sys) struct Name([u8; V6_LEN]);

    impl Name {
        pub(in crate::net::sys) const EMPTY: Self = Self([0; V6_LEN]);
        pub(in crate::net::sys) const LEN_MAX: u32 = V6_LEN as u32;

        #[cfg(test)]
        pub(super) const fn from_bytes(bytes: [u8; V6_LEN]) -> Self {
            Self(bytes)
        }

        /// Writes `addr` as a socket of `family` wants it. Returns its length.
        /// An IPv6 address on an IPv4 socket is written too; the kernel refuses it.
        pub(in crate::net::sys) fn encode(&mut self, addr: SocketAddr, family: Family) -> u32 {
            match for_family(addr, family) {
                SocketAddr::V4(v4) => self.encode_v4(&v4),
                SocketAddr::V6(v6) => self.encode_v6(&v6),
            }
        }

        fn encode_v4(&mut self, addr: &SocketAddrV4) -> u32 {
            let mut bytes = [0; V4_LEN];
            bytes[..2].copy_from_slice(&V4_FAMILY.to_ne_bytes());
            bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
            bytes[4..8].copy_from_slice(&addr.ip().octets());
            self.0[..V4_LEN].copy_from_slice(&bytes);
            V4_LEN as u32
        }

        fn encode_v6(&mut self, addr: &SocketAddrV6) -> u32 {
            let mut bytes = [0; V6_LEN];
            bytes[..2].copy_from_slice(&V6_FAMILY.to_ne_bytes());
            bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
            bytes[8..24].copy_from_slice(&addr.ip().octets());
            bytes[24..28].copy_from_slice(&addr.scope_id().to_ne_bytes());
            self.0 = bytes;
            V6_LEN as u32
        }

        /// The canonical address in the first `len` bytes; `None` if it is neither IPv4 nor IPv6.
        pub(in crate::net::sys) fn decode(&self, len: u32) -> Option<SocketAddr> {
            let bytes = self.0.get(..len as usize)?;
            match u16::from_ne_bytes(array(bytes, 0)?) {
                V4_FAMILY if bytes.len() >= V4_LEN => decode_v4(bytes),
                V6_FAMILY if bytes.len() >= V6_LEN => decode_v6(bytes),
                _ => None,
            }
        }
    }

    fn decode_v4(bytes: &[u8]) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(array(bytes, 2)?);
        Some(SocketAddr::from((Ipv4Addr::from(array::<4>(bytes, 4)?), port)))
    }

    fn decode_v6(bytes: &[u8]) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(array(bytes, 2)?);
        let ip = Ipv6Addr::from(array::<16>(bytes, 8)?);
        let scope = u32::from_ne_bytes(array(bytes, 24)?);
        Some(canonical(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))))
    }

    fn array<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
        bytes.get(start..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(ip: &str, port: u16, flow: u32, scope: u32) -> SocketAddr {
        SocketAddr::V6(SocketAddrV6::new(ip.parse().unwrap(), port, flow, scope))
    }

    #[test]
    fn one_key_per_host() {
        let table = [
            (v6("::ffff:10.1.2.3", 9, 7, 5), "10.1.2.3:9"),
            (v6("::ffff:0.0.0.0", 0, 0, 0), "0.0.0.0:0"),
            (v6("2001:db8::1", 9, 7, 5), "[2001:db8::1]:9"),
            (v6("fe80::1", 9, 7, 5), "[fe80::1%5]:9"),
            (v6("ff02::1", 9, 0, 5), "[ff02::1]:9"),
            (v6("::", 9, 0, 0), "[::]:9"),
            (v6("::10.1.2.3", 9, 0, 0), "[::a01:203]:9"),
            ("224.0.0.1:0".parse().unwrap(), "224.0.0.1:0"),
        ];
        for (addr, name) in table {
            assert_eq!(canonical(addr).to_string(), name, "{addr:?}");
            assert_eq!(canonical(canonical(addr)), canonical(addr));
        }
        assert_eq!(canonical(v6("2001:db8::1", 9, 7, 5)), canonical(v6("2001:db8::1", 9, 8, 6)));
    }

    #[cfg(target_os = "linux")]
    mod names {
        use super::*;
        use proptest::prelude::*;

        fn through(addr: SocketAddr, family: Family) -> SocketAddr {
            let mut name = Name::EMPTY;
            let len = name.encode(addr, family);
            name.decode(len).unwrap()
        }

        proptest! {
            #[test]
            fn the_kernels_form_names_the_same_host(ip: [u8; 16], port: u16, scope: u32, v4: [u8; 4]) {
                let six = canonical(SocketAddr::V6(SocketAddrV6::new(ip.into(), port, 0, scope)));
                prop_assert_eq!(through(six, Family::V6), six);
                let four = SocketAddr::from((v4, port));
                prop_assert_eq!(through(four, Family::V4), four);
                prop_assert_eq!(through(four, Family::V6), four);
            }

            #[test]
            fn any_bytes_decode_without_panic(bytes: [u8; 28], len in 0u32..64) {
                let _ = Name::from_bytes(bytes).decode(len);
                let v4 = Name::from_bytes([&[2, 0], &bytes[2..]].concat().try_into().unwrap());
                let _ = v4.decode(len);
            }
        }

        #[test]
        fn lengths_are_the_kernels() {
            let mut name = Name::EMPTY;
            assert_eq!(name.encode("1.2.3.4:5".parse().unwrap(), Family::V4), 16);
            assert_eq!(name.encode("1.2.3.4:5".parse().unwrap(), Family::V6), 28);
            assert_eq!(name.decode(15), None);
            assert_eq!(Name::EMPTY.decode(28), None);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn octets_go_both_ways() {
        for ip in ["1.2.3.4", "::1", "2001:db8::7"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(ip_of_v6_octets(v6_octets(ip)), ip);
        }
    }
}
