//! Owns who may come in: caps and rates by prefix and in total, addresses
//! refused for a while, answers to strangers. Never creates a member.

use super::bucket::{Bucket, Rate};
use super::challenge::{Challenge, Code};
use super::hash::SeededHash;
use super::recent::RecentTable;
use super::snapshot::{AddrRow, AdmissionRows, PrefixRow, Unfit, holds};
use crate::Time;
use crate::batch::Path;
use crate::config::{self, Limits};
use crate::metrics::DropReason;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The part of an address that one host cannot easily change: /32 of IPv4, /64 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Prefix(u64, bool);

impl Prefix {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Prefix(u64::from(u32::from(v4)), false),
            IpAddr::V6(v6) => Prefix((u128::from(v6) >> 64) as u64, true),
        }
    }
}

impl Prefix {
    pub(super) fn row(self) -> PrefixRow {
        (self.0, self.1)
    }

    pub(super) fn from_row((bits, is_v6): PrefixRow) -> Self {
        Self(bits, is_v6)
    }
}

/// Whether a peer can have `path.remote` as its address. `own` is the address
/// that the relay is bound to.
pub(super) fn is_possible_peer(path: &Path, own: SocketAddr) -> bool {
    let remote = path.remote;
    let impossible = match remote.ip() {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_multicast() || v4 == Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
    };
    remote.port() != 0 && !impossible && !is_own(path, own)
}

fn is_own(path: &Path, own: SocketAddr) -> bool {
    let ip = path.remote.ip();
    let ours = ip == own.ip() || Some(ip) == path.local || (own.ip().is_unspecified() && ip.is_loopback());
    path.remote.port() == own.port() && ours
}

/// Decides who may come in.
pub(super) struct Admission {
    refused: RecentTable<SocketAddr, ()>,
    exits: RecentTable<SocketAddr, ()>,
    muted: RecentTable<SocketAddr, ()>,
    prefix_joins: RecentTable<Prefix, Bucket>,
    total_joins: Bucket,
    members_by_prefix: HashMap<Prefix, u32, SeededHash>,
    sessions_by_prefix: HashMap<Prefix, u32, SeededHash>,
    challenge: Challenge,
    challenged: RecentTable<SocketAddr, u32>,
    challenges_total: Bucket,
}

impl Admission {
    pub(super) fn new(limits: &Limits, seed: &[u8; 32], hash: SeededHash) -> Self {
        let prefixes = if limits.prefix_peers_max == 0 { 0 } else { limits.peers_max as usize };
        Self {
            refused: RecentTable::new(config::REFUSED_ADDRESSES_MAX, hash),
            exits: RecentTable::new(config::RECENT_EXITS_MAX, hash),
            muted: RecentTable::new(config::MUTED_ADDRESSES_MAX, hash),
            prefix_joins: RecentTable::new(config::JOIN_PREFIXES_MAX, hash),
            total_joins: Bucket::default(),
            members_by_prefix: HashMap::with_capacity_and_hasher(prefixes, hash),
            sessions_by_prefix: HashMap::with_hasher(hash),
            challenge: Challenge::new(seed),
            challenged: RecentTable::new(config::CHALLENGE_ADDRESSES_MAX, hash),
            challenges_total: Bucket::default(),
        }
    }

    /// What follows from no list of members.
    pub(super) fn rows(&self) -> AdmissionRows {
        let addr = |remote: &SocketAddr| AddrRow::from(*remote);
        let nothing = |&(): &()| ();
        AdmissionRows {
            refused: self.refused.rows(addr, nothing),
            exits: self.exits.rows(addr, nothing),
            muted: self.muted.rows(addr, nothing),
            prefix_joins: self.prefix_joins.rows(|prefix| prefix.row(), |bucket| bucket.full_at_ns()),
            challenged: self.challenged.rows(addr, |&told| told),
            total_joins: self.total_joins.full_at_ns(),
            challenges_total: self.challenges_total.full_at_ns(),
        }
    }

    pub(super) fn refill(&mut self, rows: &AdmissionRows) -> Result<(), Unfit> {
        let addr = |remote: &AddrRow, &(): &()| (SocketAddr::from(*remote), ());
        self.refused.refill(&rows.refused, addr)?;
        self.exits.refill(&rows.exits, addr)?;
        self.muted.refill(&rows.muted, addr)?;
        let join = |&prefix: &PrefixRow, &full_at_ns: &u64| (Prefix::from_row(prefix), Bucket::full_from(full_at_ns));
        self.prefix_joins.refill(&rows.prefix_joins, join)?;
        holds(rows.challenged.iter().all(|&(_, _, told, _)| told < u32::MAX / 2), "who was told a code")?;
        self.challenged.refill(&rows.challenged, |remote, &told| (SocketAddr::from(*remote), told))?;
        self.total_joins = Bucket::full_from(rows.total_joins);
        self.challenges_total = Bucket::full_from(rows.challenges_total);
        Ok(())
    }

    /// Refuses an address for a minute: it was kicked or quarantined.
    pub(super) fn refuse(&mut self, remote: SocketAddr, now: Time) {
        self.refused.insert(remote, (), now, Duration::from_millis(config::REFUSE_MS));
    }

    pub(super) fn is_refused(&mut self, remote: SocketAddr, now: Time) -> bool {
        self.refused.find(&remote, now).is_some()
    }

    /// Takes note of an exit: a line that was still under way is no new join.
    pub(super) fn exited(&mut self, remote: SocketAddr, now: Time) {
        self.exits.insert(remote, (), now, Duration::from_millis(config::EXIT_GRACE_MS));
    }

    pub(super) fn just_left(&mut self, remote: SocketAddr, now: Time) -> bool {
        self.exits.find(&remote, now).is_some()
    }

    /// Takes note that whoever has this address is mute, or not any more: to
    /// leave and come again changes nothing.
    pub(super) fn mute(&mut self, remote: SocketAddr, muted: bool, now: Time) {
        if muted {
            self.muted.insert(remote, (), now, Duration::from_millis(config::MUTE_REMEMBERED_MS));
        } else {
            self.muted.remove(&remote);
            self.muted.remove(&any_port(remote));
        }
    }

    /// The same of a native client: its next run has another port, and says nothing
    /// that tells it from others.
    pub(super) fn mute_client(&mut self, remote: SocketAddr, muted: bool, now: Time) {
        self.mute(if muted { any_port(remote) } else { remote }, muted, now);
    }

    pub(super) fn is_muted(&mut self, remote: SocketAddr, now: Time) -> bool {
        self.muted.find(&remote, now).is_some() || self.muted.find(&any_port(remote), now).is_some()
    }

    /// Whether `said` is the code that was told to `remote`.
    pub(super) fn accepts_code(&self, remote: SocketAddr, now: Time, said: &str) -> bool {
        self.challenge.accepts(remote, now, said)
    }

    /// The code to tell `remote`, unless it was told often enough.
    pub(super) fn challenge(&mut self, remote: SocketAddr, now: Time) -> Option<Code> {
        let told = self.challenged.find(&remote, now).copied().unwrap_or(0);
        let total = Rate::per_second(config::CHALLENGE_ANSWERS_PER_S, 0);
        if told >= config::CHALLENGE_ANSWERS_PER_ADDRESS || !self.challenges_total.take(total, 1, now) {
            return None;
        }
        // Forgotten only when the last answer is that old: then no ten minutes hold more.
        self.challenged.insert(remote, told + 1, now, Duration::from_secs(config::CHALLENGE_SLOT_S));
        Some(self.challenge.code(remote, now))
    }

    /// Whether one more may join from `remote` beside `members`; if so it is
    /// counted against the rates.
    pub(super) fn admit(
        &mut self,
        limits: &Limits,
        remote: SocketAddr,
        members: usize,
        now: Time,
    ) -> Result<(), DropReason> {
        let prefix = Prefix::of(remote.ip());
        let of_prefix = self.members_by_prefix.get(&prefix).copied().unwrap_or(0);
        if members >= limits.peers_max as usize {
            return Err(DropReason::PeersFull);
        }
        if limits.prefix_peers_max != 0 && of_prefix >= limits.prefix_peers_max {
            return Err(DropReason::PrefixFull);
        }
        self.take_join(limits, prefix, now)
    }

    /// The same for one more native session beside `sessions`, of which it ends those at `ending`.
    pub(super) fn admit_session(
        &mut self,
        limits: &Limits,
        remote: SocketAddr,
        (sessions, ending): (usize, [Option<SocketAddr>; 2]),
        now: Time,
    ) -> Result<(), DropReason> {
        let prefix = Prefix::of(remote.ip());
        let ending = || ending.iter().flatten();
        let ending_of_prefix = ending().filter(|ended| Prefix::of(ended.ip()) == prefix).count() as u32;
        let of_prefix = self.sessions_by_prefix.get(&prefix).map_or(0, |&count| count.saturating_sub(ending_of_prefix));
        if sessions - ending().count() >= limits.sessions_max as usize {
            return Err(DropReason::PeersFull);
        }
        if limits.prefix_sessions_max != 0 && of_prefix >= limits.prefix_sessions_max {
            return Err(DropReason::PrefixFull);
        }
        self.take_join(limits, prefix, now)
    }

    /// Whether a session may go on at another address: one where a new one might begin, but for rates.
    pub(super) fn may_move(&mut self, limits: &Limits, from: SocketAddr, to: SocketAddr, now: Time) -> bool {
        let (former, prefix) = (Prefix::of(from.ip()), Prefix::of(to.ip()));
        let of_prefix = self.sessions_by_prefix.get(&prefix).copied().unwrap_or(0);
        let fits = limits.prefix_sessions_max == 0 || former == prefix || of_prefix < limits.prefix_sessions_max;
        fits && !self.is_refused(to, now)
    }

    fn take_join(&mut self, limits: &Limits, prefix: Prefix, now: Time) -> Result<(), DropReason> {
        if !self.total_joins.has(Rate::per_second(limits.joins_per_s_total, 0), 1, now) {
            return Err(DropReason::TotalJoinRate);
        }
        if !self.take_prefix_join(limits, prefix, now) {
            return Err(DropReason::PrefixJoinRate);
        }
        self.total_joins.take(Rate::per_second(limits.joins_per_s_total, 0), 1, now);
        Ok(())
    }

    fn take_prefix_join(&mut self, limits: &Limits, prefix: Prefix, now: Time) -> bool {
        let rate = Rate::per_second(limits.joins_per_s_prefix, 0);
        if rate.per_s == 0 {
            return true;
        }
        if self.prefix_joins.find(&prefix, now).is_none() {
            let life = Duration::from_millis(config::JOIN_PREFIX_REMEMBERED_MS);
            self.prefix_joins.insert(prefix, Bucket::default(), now, life);
        }
        self.prefix_joins.find(&prefix, now).is_some_and(|bucket| bucket.take(rate, 1, now))
    }

    /// A member has come.
    pub(super) fn joined(&mut self, limits: &Limits, remote: SocketAddr) {
        if limits.prefix_peers_max != 0 {
            *self.members_by_prefix.entry(Prefix::of(remote.ip())).or_insert(0) += 1;
        }
    }

    /// A member has gone.
    pub(super) fn left(&mut self, remote: SocketAddr) {
        forget_one(&mut self.members_by_prefix, remote);
    }

    /// A session has begun.
    pub(super) fn session_began(&mut self, limits: &Limits, remote: SocketAddr) {
        if limits.prefix_sessions_max != 0 {
            *self.sessions_by_prefix.entry(Prefix::of(remote.ip())).or_insert(0) += 1;
        }
    }

    /// A session has ended.
    pub(super) fn session_ended(&mut self, remote: SocketAddr) {
        forget_one(&mut self.sessions_by_prefix, remote);
    }
}

/// Stands for all addresses of a host or of a customer's network: no peer has port 0.
/// On loopback that would be everybody: there an address stands for itself.
fn any_port(remote: SocketAddr) -> SocketAddr {
    match remote.ip() {
        ip if ip.is_loopback() => remote,
        IpAddr::V4(v4) => SocketAddr::from((v4, 0)),
        IpAddr::V6(v6) => SocketAddr::from((Ipv6Addr::from(u128::from(v6) >> 64 << 64), 0)),
    }
}

fn forget_one(by_prefix: &mut HashMap<Prefix, u32, SeededHash>, remote: SocketAddr) {
    let prefix = Prefix::of(remote.ip());
    if let Some(count) = by_prefix.get_mut(&prefix) {
        *count -= 1;
        if *count == 0 {
            by_prefix.remove(&prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_addresses_are_no_peers() {
        let own: SocketAddr = "192.0.2.1:9999".parse().unwrap();
        let possible = |remote: &str| is_possible_peer(&Path::to(remote.parse().unwrap()), own);
        for refused in
            ["192.0.2.1:9999", "192.0.2.9:0", "0.0.0.0:5", "224.0.0.1:5", "255.255.255.255:5", "[::]:5", "[ff02::1]:5"]
        {
            assert!(!possible(refused), "{refused}");
        }
        assert!(possible("192.0.2.1:9998") && possible("[2001:db8::1]:9999") && possible("192.0.2.2:9999"));
    }

    #[test]
    fn a_wildcard_socket_knows_itself_by_the_address_that_was_hit() {
        let own: SocketAddr = "[::]:9999".parse().unwrap();
        let from =
            |remote: &str, local: &str| Path { remote: remote.parse().unwrap(), local: Some(local.parse().unwrap()) };
        assert!(!is_possible_peer(&from("192.0.2.1:9999", "192.0.2.1"), own));
        assert!(!is_possible_peer(&from("127.0.0.9:9999", "127.0.0.1"), own));
        assert!(is_possible_peer(&from("192.0.2.2:9999", "192.0.2.1"), own));
    }

    #[test]
    fn a_prefix_is_a_host_or_a_network_of_one_customer() {
        let prefix = |ip: &str| Prefix::of(ip.parse().unwrap());
        assert_eq!(prefix("2001:db8::1"), prefix("2001:db8::ffff:2"));
        assert_ne!(prefix("2001:db8::1"), prefix("2001:db8:0:1::1"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.2.2"));
        assert_ne!(prefix("0.0.0.1"), prefix("::"));
    }
}
