//! Owns what one process hands to the next that takes its place: everything in
//! the relay that a member could notice, as bytes. Never contains what a turn
//! leaves behind for its own end, nor what follows from the limits.
//!
//! A snapshot says what was, not how it lay in memory: lists are lists, and the
//! tables that find things are made anew. So it can be checked as it is read,
//! and a relay that has taken one up holds every invariant of one that grew.

mod rows;

#[cfg_attr(not(unix), allow(unused_imports, reason = "the server's, where it hands over"))]
pub(crate) use rows::AddrRow;
pub(super) use rows::*;

use super::{Gate, Relay, Sweep};
use crate::batch::Path;
use crate::config::Limits;
use crate::wire::plain::Name;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Larger than any number of bytes or datagrams that a relay has counted.
const COUNTED_MAX: u64 = 1 << 62;

/// A relay's state between two turns. Its bytes are good for programs that
/// agree about them to the last field: whoever hands it over says its version.
#[derive(Deserialize, Serialize)]
pub struct Snapshot<'a> {
    seed: [u8; 32],
    counters: Vec<u64>,
    #[serde(borrow)]
    peers: PeersRows<'a>,
    admission: AdmissionRows,
    #[serde(borrow)]
    notices: NoticesRows<'a>,
    names: Vec<NameRow>,
    mirror: Vec<MirrorRow>,
    #[serde(borrow)]
    bans: Vec<BanRow<'a>>,
    sweep: Option<(u64, u32)>,
    gate: u8,
    strangers: RecentRows<AddrRow, PathRow>,
    #[serde(borrow)]
    native: NativeRows<'a>,
}

/// Why a snapshot is not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The bytes are no snapshot.
    Malformed,
    /// Parts of it contradict one another.
    Inconsistent(&'static str),
    /// There is more of something than this relay has room for.
    TooMany {
        /// Of what, and which setting gives it room.
        what: &'static str,
        /// How much there is.
        count: u64,
        /// How much fits.
        max: u64,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Malformed => out.write_str("it is no snapshot"),
            Unfit::Inconsistent(what) => write!(out, "it contradicts itself: {what}"),
            Unfit::TooMany { what, count, max } => write!(out, "there are {count} {what}, and room for {max}"),
        }
    }
}

impl std::error::Error for Unfit {}

/// What is true of every snapshot that a relay has made.
pub(super) fn holds(is_so: bool, what: &'static str) -> Result<(), Unfit> {
    if is_so { Ok(()) } else { Err(Unfit::Inconsistent(what)) }
}

/// Whether so many have room.
pub(super) fn fits(what: &'static str, count: usize, max: usize) -> Result<(), Unfit> {
    if count <= max { Ok(()) } else { Err(Unfit::TooMany { what, count: count as u64, max: max as u64 }) }
}

/// Whether `named` are those of the `places` that belong there, each of them once.
pub(super) fn names_each(
    named: impl IntoIterator<Item = u32>,
    places: usize,
    belongs: impl Fn(usize) -> bool,
    what: &'static str,
) -> Result<(), Unfit> {
    let mut missing: Vec<_> = (0..places).map(belongs).collect();
    let all_belong = named.into_iter().all(|at| missing.get_mut(at as usize).is_some_and(std::mem::take));
    holds(all_belong && !missing.contains(&true), what)
}

/// A member's name.
pub(super) fn name_of(name: &str) -> Result<Arc<str>, Unfit> {
    let is_one = Name::parse(name).is_ok_and(|parsed| parsed.as_str() == name);
    holds(is_one, "a name that is none").map(|()| Arc::from(name))
}

/// A count that can go on counting.
pub(super) fn is_countable(count: u64) -> bool {
    count < COUNTED_MAX
}

impl<'a> Snapshot<'a> {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("invariant: a snapshot is plain data, and memory grows")
    }

    /// What bytes say.
    ///
    /// # Errors
    /// They are no snapshot, or more than one.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Unfit> {
        match postcard::take_from_bytes(bytes) {
            Ok((snapshot, [])) => Ok(snapshot),
            _ => Err(Unfit::Malformed),
        }
    }
}

impl Relay {
    /// All that this relay knows, to go on in another process. Between turns,
    /// when its outbox is empty and its events are read.
    pub fn snapshot(&self) -> Snapshot<'_> {
        let row = |addr: &SocketAddr| AddrRow::from(*addr);
        let strangers = self.console.as_ref().map(|console| console.heard().rows(row, |path| PathRow::from(*path)));
        Snapshot {
            seed: self.seed,
            counters: self.counters.numbers(),
            peers: self.peers.rows(),
            admission: self.admission.rows(),
            notices: self.notices.rows(),
            names: self.names.rows(),
            mirror: self.mirror.rows(),
            bans: self.bans.rows(),
            sweep: self.sweep.as_ref().map(|sweep| (sweep.peers as u64, sweep.sessions)),
            gate: match self.gate {
                Gate::Open => 0,
                Gate::Lockdown => 1,
                Gate::Draining => 2,
            },
            strangers: strangers.unwrap_or_default(),
            native: self.native.rows(),
        }
    }

    /// A relay that goes on where `snapshot` was taken, within `limits` and at
    /// the address `own`. Its clock goes on, too: time is what it was there, or later.
    ///
    /// # Errors
    /// The snapshot contradicts itself, or there is more in it than fits within the limits.
    pub fn resume(limits: &Limits, own: SocketAddr, snapshot: &Snapshot<'_>) -> Result<Self, Unfit> {
        let mut relay = Self::empty(limits, own, snapshot.seed);
        relay.counters.set_numbers(&snapshot.counters).ok_or(Unfit::Inconsistent("what was counted"))?;
        holds(relay.counters.balances() && snapshot.counters.iter().all(|&count| is_countable(count)), "the books")?;
        relay.peers.refill(&snapshot.peers)?;
        relay.native.refill(limits, &snapshot.native)?;
        relay.admission.refill(&snapshot.admission)?;
        for path in relay.peers.roster().paths() {
            relay.admission.joined(limits, path.remote);
        }
        for remote in relay.native.sessions.all().map(|session| session.path.remote) {
            relay.admission.session_began(limits, remote);
        }
        relay.notices.refill(&snapshot.notices)?;
        relay.names.refill(&snapshot.names)?;
        relay.mirror.refill(&snapshot.mirror)?;
        relay.bans.refill(&snapshot.bans)?;
        relay.sweep = snapshot.sweep.map(|(peers, sessions)| Sweep { peers: peers as usize, sessions });
        relay.gate = match snapshot.gate {
            0 => Gate::Open,
            1 => Gate::Lockdown,
            2 => Gate::Draining,
            _ => return Err(Unfit::Inconsistent("who is let in")),
        };
        if let Some(console) = &mut relay.console {
            let entry = |addr: &AddrRow, path: &PathRow| (SocketAddr::from(*addr), Path::from(*path));
            console.heard_mut().refill(&snapshot.strangers, entry)?;
        }
        Ok(relay)
    }
}
