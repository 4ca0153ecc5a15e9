//! Owns the layout of a snapshot: a row for each thing that is handed over.
//! Never has behaviour. A change here is another version of what is handed
//! over: see `server::handover`.
//!
//! Times are nanoseconds since the relay's start, buckets the moment at which
//! they are full, members and rooms their places.

use crate::batch::Path;
use serde::{Deserialize, Serialize, Serializer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address, with what serde's own form leaves out: flow and scope.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum AddrRow {
    V4(Ipv4Addr, u16),
    V6(Ipv6Addr, u16, u32, u32),
}

impl From<SocketAddr> for AddrRow {
    fn from(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(v4) => Self::V4(*v4.ip(), v4.port()),
            SocketAddr::V6(v6) => Self::V6(*v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id()),
        }
    }
}

impl From<AddrRow> for SocketAddr {
    fn from(row: AddrRow) -> Self {
        match row {
            AddrRow::V4(ip, port) => SocketAddrV4::new(ip, port).into(),
            AddrRow::V6(ip, port, flow, scope) => SocketAddrV6::new(ip, port, flow, scope).into(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct PathRow {
    pub(in crate::relay) remote: AddrRow,
    pub(in crate::relay) local: Option<IpAddr>,
}

impl From<Path> for PathRow {
    fn from(path: Path) -> Self {
        Self { remote: path.remote.into(), local: path.local }
    }
}

impl From<PathRow> for Path {
    fn from(row: PathRow) -> Self {
        Self { remote: row.remote.into(), local: row.local }
    }
}

/// The entries of a table that forgets: place, key, value, end.
pub(in crate::relay) type RecentRows<K, V> = Vec<(u32, K, V, u64)>;
/// A hash and its next number, at a place.
pub(in crate::relay) type NameRow = (u16, u64, u32);
/// Prefix of an address, and whether it is one of IPv6.
pub(in crate::relay) type PrefixRow = (u64, bool);

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct PeersRows<'a> {
    #[serde(borrow)]
    pub(in crate::relay) peers: Vec<PeerRow<'a>>,
    /// Longest silent first: those not warned, and those warned.
    pub(in crate::relay) silent: [Vec<u32>; 2],
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct PeerRow<'a> {
    pub(in crate::relay) path: PathRow,
    pub(in crate::relay) name: &'a str,
    pub(in crate::relay) member: u32,
    pub(in crate::relay) named_at: u32,
    pub(in crate::relay) entered_at: u32,
    pub(in crate::relay) messages: u64,
    pub(in crate::relay) bytes: u64,
    pub(in crate::relay) told: u64,
    pub(in crate::relay) unreachable_since_ns: u64,
    pub(in crate::relay) heard_ns: u64,
    pub(in crate::relay) unreachables: u8,
    pub(in crate::relay) echoes: u8,
    pub(in crate::relay) muted: bool,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct AdmissionRows {
    pub(in crate::relay) refused: RecentRows<AddrRow, ()>,
    pub(in crate::relay) exits: RecentRows<AddrRow, ()>,
    pub(in crate::relay) muted: RecentRows<AddrRow, ()>,
    pub(in crate::relay) prefix_joins: RecentRows<PrefixRow, u64>,
    pub(in crate::relay) challenged: RecentRows<AddrRow, u32>,
    pub(in crate::relay) total_joins: u64,
    pub(in crate::relay) challenges_total: u64,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct NoticesRows<'a> {
    pub(in crate::relay) alone: u64,
    pub(in crate::relay) copies: u64,
    /// Who joined and who left without the room being told yet.
    #[serde(borrow)]
    pub(in crate::relay) pending: [PendingRow<'a>; 2],
    pub(in crate::relay) due_ns: Option<u64>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct PendingRow<'a> {
    #[serde(borrow)]
    pub(in crate::relay) names: [Option<&'a str>; 2],
    pub(in crate::relay) about: Option<AddrRow>,
    pub(in crate::relay) count: u32,
}

/// A text that was relayed: place, hash, and its two newest origins with their times.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct MirrorRow {
    pub(in crate::relay) place: u32,
    pub(in crate::relay) text: u64,
    pub(in crate::relay) newest: (u64, u64),
    pub(in crate::relay) other: (u64, u64),
}

#[derive(Debug, Deserialize, PartialEq, PartialOrd, Serialize)]
pub(in crate::relay) enum BanRow<'a> {
    Network(IpAddr, u8, Option<u64>),
    Name(&'a str, Option<u64>),
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct NativeRows<'a> {
    pub(in crate::relay) epoch: u64,
    /// Secrets that were drawn from the seed.
    pub(in crate::relay) drawn: u64,
    pub(in crate::relay) moved_to: Option<&'a str>,
    pub(in crate::relay) next_member: u32,
    pub(in crate::relay) next_plain: u32,
    pub(in crate::relay) version_answers: u64,
    pub(in crate::relay) no_session_answers: u64,
    #[serde(borrow)]
    pub(in crate::relay) instances: SlabRows<InstanceRow<'a>>,
    /// Those without a session, first out first.
    pub(in crate::relay) ended_instances: Vec<u32>,
    #[serde(borrow)]
    pub(in crate::relay) sessions: SlabRows<SessionRow<'a>>,
    /// Longest silent first.
    pub(in crate::relay) silent: Vec<u32>,
    pub(in crate::relay) memberships: SlabRows<MembershipRow>,
    /// Memberships that are not live, in the order in which they are fed.
    pub(in crate::relay) feeding: Vec<u32>,
    pub(in crate::relay) feed_due_ns: Option<u64>,
    #[serde(borrow)]
    pub(in crate::relay) rooms: SlabRows<RoomRow<'a>>,
    /// Those but the lobby that nobody is in, the one that has been so for longest first.
    pub(in crate::relay) empty_rooms: Vec<u32>,
    pub(in crate::relay) highest_ended: u64,
    /// Rooms and when they are to be looked at, earliest first.
    pub(in crate::relay) room_timers: Vec<(u32, u64)>,
    pub(in crate::relay) closed: RecentRows<(u64, u64), ()>,
    pub(in crate::relay) ended: RecentRows<u64, ()>,
    pub(in crate::relay) closing: Vec<ClosingRow>,
    pub(in crate::relay) probed: Vec<(u64, u64)>,
}

/// Things at places, and the free places in the order in which they are used again.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct SlabRows<T> {
    pub(in crate::relay) slots: Vec<Option<T>>,
    pub(in crate::relay) free: Vec<u32>,
}

impl<T> SlabRows<T> {
    /// Places: as many as were ever taken at one time.
    pub(in crate::relay) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Places where something is.
    pub(in crate::relay) fn taken(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// What is at a place.
    pub(in crate::relay) fn at(&self, place: u32) -> Option<&T> {
        self.slots.get(place as usize)?.as_ref()
    }

    /// Whether something is at a place.
    pub(in crate::relay) fn has(&self, place: usize) -> bool {
        self.slots.get(place).is_some_and(Option::is_some)
    }

    /// All that is there, with its place.
    pub(in crate::relay) fn all(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.slots).filter_map(|(at, slot)| Some((at, slot.as_ref()?)))
    }
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct InstanceRow<'a> {
    pub(in crate::relay) id: u64,
    pub(in crate::relay) member: u32,
    pub(in crate::relay) name: &'a str,
    pub(in crate::relay) muted: bool,
    pub(in crate::relay) messages: u64,
    pub(in crate::relay) bytes: u64,
    pub(in crate::relay) repair: u64,
    pub(in crate::relay) kicked: bool,
    pub(in crate::relay) session: Option<u32>,
    pub(in crate::relay) ended_ns: u64,
    /// Its next numbers, by a hash of the room.
    pub(in crate::relay) next_sseqs: Vec<(u64, u32)>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct SessionRow<'a> {
    pub(in crate::relay) scid: u64,
    pub(in crate::relay) ccid: u64,
    pub(in crate::relay) nonce: u64,
    pub(in crate::relay) instance: u32,
    pub(in crate::relay) name: &'a str,
    pub(in crate::relay) path: PathRow,
    pub(in crate::relay) challenge: u64,
    pub(in crate::relay) heard_ns: u64,
    pub(in crate::relay) unreachable_ns: u64,
    pub(in crate::relay) pn: u32,
    pub(in crate::relay) is_used: bool,
    pub(in crate::relay) muted: bool,
    /// The latest first.
    pub(in crate::relay) memberships: Vec<u32>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct MembershipRow {
    pub(in crate::relay) session: u32,
    pub(in crate::relay) room: u16,
    pub(in crate::relay) is_live: bool,
    pub(in crate::relay) next_sseq: u32,
    pub(in crate::relay) acked_seq: u64,
    pub(in crate::relay) named_at: u64,
    pub(in crate::relay) entered_at: u64,
    pub(in crate::relay) report: ReportRow,
    pub(in crate::relay) feed: FeedRow,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct ReportRow {
    pub(in crate::relay) at_ns: u64,
    pub(in crate::relay) contiguous: u64,
    pub(in crate::relay) highest: u64,
    pub(in crate::relay) lost: u32,
    pub(in crate::relay) any: bool,
    pub(in crate::relay) is_lossy: bool,
    pub(in crate::relay) cast_bytes: u64,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct FeedRow {
    pub(in crate::relay) next: u64,
    pub(in crate::relay) bytes_per_s: u32,
    pub(in crate::relay) bucket: u64,
    pub(in crate::relay) measured_ms: u32,
    pub(in crate::relay) measured_kib: u16,
    pub(in crate::relay) unsettled: u16,
    pub(in crate::relay) fresh: u16,
    pub(in crate::relay) fresh_ms: u16,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct RoomRow<'a> {
    pub(in crate::relay) name: &'a str,
    pub(in crate::relay) key_id: u64,
    pub(in crate::relay) sealed: bool,
    pub(in crate::relay) unlisted: bool,
    pub(in crate::relay) tag: u64,
    pub(in crate::relay) renewal: Option<RenewalRow>,
    #[serde(borrow)]
    pub(in crate::relay) ring: RingRow<'a>,
    /// Its memberships: all, the live ones, those that are fed; each as its list lies.
    pub(in crate::relay) all: Vec<u32>,
    pub(in crate::relay) live: Vec<u32>,
    pub(in crate::relay) fed: Vec<u32>,
    /// The live ones, the one that has not reported for longest first.
    pub(in crate::relay) reports: Vec<u32>,
    pub(in crate::relay) cast_bytes: u64,
    pub(in crate::relay) last_cast_ns: u64,
    pub(in crate::relay) busy_since_ns: u64,
    pub(in crate::relay) last_entry_ns: u64,
    pub(in crate::relay) heads_sent: u8,
    pub(in crate::relay) empty_since_ns: Option<u64>,
    pub(in crate::relay) presence: u64,
    pub(in crate::relay) creator: Option<PrefixRow>,
}

/// A room's new tag on its way to its members.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct RenewalRow {
    pub(in crate::relay) cast_tag: u64,
    pub(in crate::relay) until_ns: u64,
    pub(in crate::relay) untold: u32,
    pub(in crate::relay) due_ns: u64,
    pub(in crate::relay) is_wanted_again: bool,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct RingRow<'a> {
    pub(in crate::relay) pages_max: u32,
    pub(in crate::relay) messages_max: u32,
    pub(in crate::relay) head: u64,
    pub(in crate::relay) tail: u64,
    /// Oldest first.
    #[serde(borrow)]
    pub(in crate::relay) pages: Vec<PageRow<'a>>,
}

/// A page's number of its first entry, its entries and its slots, as they lie.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct PageRow<'a> {
    pub(in crate::relay) first: u64,
    #[serde(serialize_with = "whole")]
    pub(in crate::relay) entries: &'a [u8],
    #[serde(serialize_with = "whole")]
    pub(in crate::relay) slots: &'a [u8],
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::relay) struct ClosingRow {
    pub(in crate::relay) due_ns: u64,
    pub(in crate::relay) began_ns: u64,
    pub(in crate::relay) path: PathRow,
    pub(in crate::relay) ccid: u64,
    pub(in crate::relay) code: u16,
    pub(in crate::relay) sent: u8,
}

/// Bytes at once, where serde takes a slice for a list of numbers.
fn whole<S: Serializer>(bytes: &&[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}
