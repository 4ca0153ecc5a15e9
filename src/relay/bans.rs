//! Owns who is banned: networks by address and length, names in any case,
//! each for ever or until a moment. Never decides what a ban does.

use super::hash::SeededHash;
use super::snapshot::{BanRow, Unfit, fits};
use crate::Time;
use crate::config;
use crate::wire::plain::Name;
use std::char::ToLowercase;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What a name begins with that could be taken for an address.
const NAME_PREFIX: &str = "name:";
/// Bits of an IPv6 address before the IPv4 one that is mapped into it.
const MAPPED_BITS: u8 = 96;

/// All addresses that begin with the same bits. A v4-mapped one is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of `ip` whose first `bits` bits count; `None` if it has not that many.
    pub fn new(ip: IpAddr, bits: u8) -> Option<Self> {
        match (ip, ip.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(v4)) if bits <= 128 => {
                bits.checked_sub(MAPPED_BITS).map(|bits| Self::masked(IpAddr::V4(v4), bits))
            }
            (_, ip) => (bits <= width(ip)).then(|| Self::masked(ip, bits)),
        }
    }

    /// The network of one address.
    pub fn host(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self { first: ip, bits: width(ip) }
    }

    /// Whether `ip` is one of its addresses.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.first.is_ipv4() && Self::masked(ip, self.bits) == *self
    }

    fn masked(ip: IpAddr, bits: u8) -> Self {
        let first = match ip {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
            }
        };
        Self { first, bits }
    }
}

/// Bits of an address.
fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == width(self.first) {
            true => self.first.fmt(out),
            false => write!(out, "{}/{}", self.first, self.bits),
        }
    }
}

/// The text is neither an address nor a network nor a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBannable;

impl fmt::Display for NotBannable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("expected an address, a network like 192.0.2.0/24 or 2001:db8::/32, or a name")
    }
}

impl std::error::Error for NotBannable {}

impl FromStr for Network {
    type Err = NotBannable;

    /// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`; a port is of no account.
    fn from_str(text: &str) -> Result<Self, NotBannable> {
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Self::host(addr.ip()));
        }
        let Some((ip, bits)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| NotBannable);
        };
        let (ip, bits) = (ip.parse().map_err(|_| NotBannable)?, bits.parse().map_err(|_| NotBannable)?);
        Self::new(ip, bits).ok_or(NotBannable)
    }
}

/// Who is banned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BanTarget {
    /// Whoever comes from there.
    Network(Network),
    /// Whoever wants to be called so; in lower case.
    Name(Box<str>),
}

impl BanTarget {
    /// Whether it is about a member.
    pub fn covers(&self, ip: IpAddr, name: &str) -> bool {
        match self {
            BanTarget::Network(network) => network.contains(ip),
            BanTarget::Name(banned) => **banned == *folded(name),
        }
    }
}

impl FromStr for BanTarget {
    type Err = NotBannable;

    /// A network, or else a name; `name:` before it where it could be taken for a network.
    fn from_str(text: &str) -> Result<Self, NotBannable> {
        let name = |name: &str| match Name::parse(name) {
            Ok(name) => Ok(Self::Name(folded(name.as_str()))),
            Err(_) => Err(NotBannable),
        };
        match (text.strip_prefix(NAME_PREFIX), text.parse()) {
            (Some(rest), _) => name(rest),
            (None, Ok(network)) => Ok(Self::Network(network)),
            // No name that anybody has: a network that was mistyped.
            (None, Err(wrong)) if text.rsplit_once('/').is_some_and(|(ip, _)| ip.parse::<IpAddr>().is_ok()) => {
                Err(wrong)
            }
            (None, Err(_)) => name(text),
        }
    }
}

impl fmt::Display for BanTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BanTarget::Network(network) => network.fmt(out),
            BanTarget::Name(name) => {
                let prefix = if *self == name.parse().unwrap_or(Self::Name("".into())) { "" } else { NAME_PREFIX };
                write!(out, "{prefix}{name}")
            }
        }
    }
}

/// What a name and all that differ from it in case only have in common. It is
/// no longer than the name, so that it is a name as well.
fn folded(name: &str) -> Box<str> {
    name.chars().map(fold).collect::<String>().into_boxed_str()
}

fn fold(letter: char) -> char {
    let only = |mut letters: ToLowercase| letters.next().filter(|_| letters.next().is_none());
    // The two small sigmas have one capital.
    let Some(small) = only(letter.to_lowercase()).map(|small| if small == 'ς' { 'σ' } else { small }) else {
        return letter;
    };
    // A few capitals are shorter than their small letters: U+023A has 2 bytes, U+2C65 3.
    let mut capitals = small.to_uppercase();
    match (capitals.next(), capitals.next()) {
        (Some(capital), None)
            if capital.len_utf8() < small.len_utf8() && only(capital.to_lowercase()) == Some(small) =>
        {
            capital
        }
        _ => small,
    }
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub target: BanTarget,
    /// Until when, in seconds of Unix time; `None` for ever.
    pub until_unix_s: Option<u64>,
}

impl Ban {
    /// Whether it holds at `unix_s`.
    pub fn holds(&self, unix_s: u64) -> bool {
        self.until_unix_s.is_none_or(|until| unix_s < until)
    }

    fn row(&self) -> BanRow<'_> {
        match &self.target {
            BanTarget::Network(network) => BanRow::Network(network.first, network.bits, self.until_unix_s),
            BanTarget::Name(name) => BanRow::Name(name, self.until_unix_s),
        }
    }
}

/// All bans; [`config::BANS_MAX`] at most.
///
/// A look-up of an address is one of a hash table for each length of network
/// that is banned: 33 for IPv4 and 129 for IPv6 at the very most.
pub(super) struct Bans {
    networks: HashMap<Network, Ban, SeededHash>,
    names: HashMap<Box<str>, Ban, SeededHash>,
    /// Banned networks by length, of IPv4 and of IPv6.
    lengths: [[u16; 129]; 2],
}

impl Bans {
    pub(super) fn new(hash: SeededHash) -> Self {
        Self { networks: HashMap::with_hasher(hash), names: HashMap::with_hasher(hash), lengths: [[0; 129]; 2] }
    }

    /// Sets a ban, instead of a former one of the same target. Returns whether there was room for it.
    pub(super) fn insert(&mut self, ban: Ban, now: Time) -> bool {
        self.remove(&ban.target);
        if self.len() >= config::BANS_MAX {
            self.forget_expired(now);
        }
        if self.len() >= config::BANS_MAX {
            return false;
        }
        match ban.target.clone() {
            BanTarget::Network(network) => {
                *self.length_mut(network) += 1;
                self.networks.insert(network, ban);
            }
            BanTarget::Name(name) => _ = self.names.insert(name, ban),
        }
        true
    }

    /// Lifts a ban. Returns whether there was one.
    pub(super) fn remove(&mut self, target: &BanTarget) -> bool {
        match target {
            BanTarget::Name(name) => self.names.remove(name).is_some(),
            BanTarget::Network(network) => {
                let was = self.networks.remove(network).is_some();
                *self.length_mut(*network) -= u16::from(was);
                was
            }
        }
    }

    /// Whether nobody may come from `ip`.
    pub(super) fn cover_address(&self, ip: IpAddr, now: Time) -> bool {
        if self.networks.is_empty() {
            return false;
        }
        let ip = ip.to_canonical();
        let lengths = &self.lengths[usize::from(ip.is_ipv6())];
        (0..=width(ip)).filter(|&bits| lengths[usize::from(bits)] > 0).any(|bits| {
            let ban = self.networks.get(&Network::masked(ip, bits));
            ban.is_some_and(|ban| ban.holds(now.unix_s()))
        })
    }

    /// Whether nobody may be called `name`.
    pub(super) fn cover_name(&self, name: &str, now: Time) -> bool {
        !self.names.is_empty() && self.names.get(&folded(name)).is_some_and(|ban| ban.holds(now.unix_s()))
    }

    /// All of them, in an order of their own.
    pub(super) fn rows(&self) -> Vec<BanRow<'_>> {
        let mut rows: Vec<_> = self.networks.values().chain(self.names.values()).map(Ban::row).collect();
        rows.sort_by(|one, other| one.partial_cmp(other).expect("invariant: no row holds a fraction"));
        rows
    }

    pub(super) fn refill(&mut self, rows: &[BanRow<'_>]) -> Result<(), Unfit> {
        fits("bans", rows.len(), config::BANS_MAX)?;
        for row in rows {
            let (target, until_unix_s) = match *row {
                BanRow::Network(first, bits, until) => (Network::new(first, bits).map(BanTarget::Network), until),
                BanRow::Name(name, until) => (Some(BanTarget::Name(folded(name))), until),
            };
            let target = target.ok_or(Unfit::Inconsistent("who is banned"))?;
            self.insert(Ban { target, until_unix_s }, Time::default());
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.networks.len() + self.names.len()
    }

    fn forget_expired(&mut self, now: Time) {
        let all = self.networks.values().chain(self.names.values());
        let expired: Vec<_> = all.filter(|ban| !ban.holds(now.unix_s())).map(|ban| ban.target.clone()).collect();
        expired.iter().for_each(|target| _ = self.remove(target));
    }

    fn length_mut(&mut self, network: Network) -> &mut u16 {
        &mut self.lengths[usize::from(network.first.is_ipv6())][usize::from(network.bits)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bans(targets: &[&str]) -> Bans {
        let mut bans = Bans::new(SeededHash::new([3; 16]));
        for target in targets {
            assert!(bans.insert(Ban { target: target.parse().unwrap(), until_unix_s: None }, Time::default()));
        }
        bans
    }

    fn covers(bans: &Bans, ip: &str) -> bool {
        bans.cover_address(ip.parse().unwrap(), Time::default())
    }

    #[test]
    fn networks_are_read_and_shown_by_their_first_address() {
        let rows = [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.7:5000", "192.0.2.7"),
            ("[2001:db8::1]:5000", "2001:db8::1"),
            ("2001:db8:1::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
        ];
        for (text, shown) in rows {
            assert_eq!(text.parse::<BanTarget>().map(|target| target.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for wrong in ["192.0.2.7/33", "2001:db8::/129", "::ffff:192.0.2.7/95", "192.0.2.7/x", "", "[relay] x"] {
            assert_eq!(wrong.parse::<BanTarget>(), Err(NotBannable), "{wrong}");
        }
    }

    proptest! {
        /// What is kept in a file is read again, whatever a member calls itself.
        #[test]
        fn a_banned_name_is_written_as_it_is_read(name in "\\PC{1,64}") {
            let targets = [name.parse::<BanTarget>(), format!("{NAME_PREFIX}{name}").parse()];
            for target in targets.into_iter().flatten() {
                prop_assert_eq!(target.to_string().parse(), Ok(target));
            }
        }
    }

    #[test]
    fn names_that_differ_in_case_are_one_even_where_case_changes_their_length() {
        for (banned, named) in [("Ⱥ", "ⱥ"), ("ⱥ", "Ⱥ"), ("ΟΔΟΣ", "οδος"), ("Straße", "STRAßE"), ("K", "k")]
        {
            assert!(bans(&[banned]).cover_name(named, Time::default()), "{banned} {named}");
        }
        let longest = "Ⱥ".repeat(32);
        let target = longest.parse::<BanTarget>().unwrap();
        assert_eq!(target.to_string().parse(), Ok(target.clone()), "64 bytes, and no more in lower case");
        assert!(target.covers([192, 0, 2, 1].into(), &longest));
    }

    #[test]
    fn names_are_banned_in_any_case_and_told_from_addresses() {
        let name = |text: &str| text.parse::<BanTarget>().unwrap();
        assert_eq!((name("Bob").to_string().as_str(), name("Bob")), ("bob", name("bOB")));
        assert_eq!(name("name:10.0.0.1").to_string(), "name:10.0.0.1");
        assert!(name("a/b").covers("192.0.2.1".parse().unwrap(), "A/B"));
        let bans = bans(&["Mallory"]);
        let covers = |name| bans.cover_name(name, Time::default());
        assert!(covers("mallory") && covers("MALLORY") && !covers("mallory#2"));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_one() {
        let bans = bans(&["192.0.2.0/24", "2001:db8::/48"]);
        assert!(covers(&bans, "192.0.2.255") && covers(&bans, "::ffff:192.0.2.1") && !covers(&bans, "192.0.3.0"));
        assert!(covers(&bans, "2001:db8:0:ffff::1") && !covers(&bans, "2001:db8:1::1"));
    }

    #[test]
    fn a_ban_ends_and_makes_room() {
        let mut bans = Bans::new(SeededHash::new([3; 16]));
        let [early, late] = [5, 20].map(|unix_s| Time::new(0, unix_s));
        let ban = |n: u32| Ban {
            target: BanTarget::Network(Network::host(Ipv4Addr::from(n).into())),
            until_unix_s: Some(10),
        };
        for n in 0..u32::try_from(config::BANS_MAX).unwrap() {
            assert!(bans.insert(ban(n), early));
        }
        let more = Ban { target: "192.0.2.1".parse().unwrap(), until_unix_s: None };
        assert!(covers(&bans, "0.0.0.7") && !bans.cover_address([0, 0, 0, 7].into(), late));
        assert!(!bans.insert(more.clone(), early), "full");
        assert!(bans.insert(ban(3), early), "the same one again is no new one");
        assert!(bans.insert(more.clone(), late) && bans.len() == 1);
        assert!(bans.remove(&more.target) && !bans.remove(&more.target) && !covers(&bans, "192.0.2.1"));
    }

    proptest! {
        /// The table finds what a walk over all bans finds.
        #[test]
        fn as_a_walk_over_all(
            networks in proptest::collection::vec((any::<u32>(), 0u8..=32, any::<bool>()), 0..20),
            ips in proptest::collection::vec(any::<u32>(), 20),
        ) {
            let wide = |n: u32| IpAddr::V6(Ipv6Addr::from(u128::from(n) << 96));
            let network = |&(n, bits, v6): &(u32, u8, bool)| {
                let ip = if v6 { wide(n) } else { IpAddr::V4(Ipv4Addr::from(n)) };
                Network::new(ip, bits).unwrap()
            };
            let networks: Vec<_> = networks.iter().map(network).collect();
            let mut bans = Bans::new(SeededHash::new([3; 16]));
            for network in &networks {
                bans.insert(Ban { target: BanTarget::Network(*network), until_unix_s: None }, Time::default());
            }
            let near = networks.iter().map(|network| network.first);
            for ip in ips.iter().flat_map(|&n| [IpAddr::V4(Ipv4Addr::from(n)), wide(n)]).chain(near) {
                let expected = networks.iter().any(|network| network.contains(ip));
                prop_assert_eq!(bans.cover_address(ip, Time::default()), expected);
            }
        }
    }
}
