//! Owns the plain members: who they are, found by address or name, ordered by
//! when they were last heard. Never decides who may come or must go.
//!
//! Members lie dense, in the same order as the roster's paths, so an index is
//! all it takes; when one leaves, the last takes its place.

use super::bucket::Bucket;
use super::hash::SeededHash;
use super::order::{Links, List};
use super::snapshot::{PeerRow, PeersRows, Unfit, fits, holds, name_of, names_each};
use crate::Time;
use crate::batch::{MemberIndex, Path, Roster};
use crate::wire::id::MemberId;
use crate::wire::plain::Name;
use hashbrown::HashTable;
use std::net::SocketAddr;
use std::sync::Arc;

/// A plain member.
pub(super) struct Peer {
    pub(super) name: Arc<str>,
    /// By which native members know it.
    pub(super) member: MemberId,
    /// The lobby's newest entry that says its name, and the newest that it
    /// caused: the low 32 bits of their numbers; 0: none.
    pub(super) named_at: u32,
    pub(super) entered_at: u32,
    pub(super) messages: Bucket,
    pub(super) bytes: Bucket,
    /// How often it is told why a line was dropped.
    pub(super) told: Bucket,
    /// When the first port-unreachable came since it was last heard.
    pub(super) unreachable_since_ns: u64,
    heard_ns: u64,
    pub(super) unreachables: u8,
    /// Datagrams in a row that were echoes.
    pub(super) echoes: u8,
    /// What it says is dropped.
    pub(super) muted: bool,
    warned: bool,
}

const _: () = assert!(size_of::<Peer>() <= 72, "the memory that the doc of Peers names");

impl Peer {
    fn row(&self, path: Path) -> PeerRow<'_> {
        PeerRow {
            path: path.into(),
            name: &self.name,
            member: self.member.0,
            named_at: self.named_at,
            entered_at: self.entered_at,
            messages: self.messages.full_at_ns(),
            bytes: self.bytes.full_at_ns(),
            told: self.told.full_at_ns(),
            unreachable_since_ns: self.unreachable_since_ns,
            heard_ns: self.heard_ns,
            unreachables: self.unreachables,
            echoes: self.echoes,
            muted: self.muted,
        }
    }

    fn of(row: &PeerRow<'_>) -> Result<Self, Unfit> {
        Ok(Self {
            name: name_of(row.name)?,
            member: MemberId(row.member),
            named_at: row.named_at,
            entered_at: row.entered_at,
            messages: Bucket::full_from(row.messages),
            bytes: Bucket::full_from(row.bytes),
            told: Bucket::full_from(row.told),
            unreachable_since_ns: row.unreachable_since_ns,
            heard_ns: row.heard_ns,
            unreachables: row.unreachables,
            echoes: row.echoes,
            muted: row.muted,
            warned: false,
        })
    }
}

/// All plain members.
///
/// Memory: at most 72 bytes a peer, 8 in the links, 56 in the roster, 10 in each of three
/// tables, and the name; room for `peers_max` is taken in [`Peers::new`].
pub(super) struct Peers {
    roster: Roster,
    peers: Vec<Peer>,
    by_address: HashTable<u32>,
    by_name: HashTable<u32>,
    by_member: HashTable<u32>,
    hash: SeededHash,
    /// Those not warned of their silence yet, and those warned: in the order
    /// in which they were heard, longest silent first.
    silence: [List; 2],
    links: Links,
}

impl Peers {
    pub(super) fn new(peers_max: u32, hash: SeededHash) -> Self {
        let capacity = peers_max as usize;
        Self {
            roster: Roster::new(capacity),
            peers: Vec::with_capacity(capacity),
            by_address: HashTable::with_capacity(capacity),
            by_name: HashTable::with_capacity(capacity),
            by_member: HashTable::with_capacity(capacity),
            hash,
            silence: [List::EMPTY; 2],
            links: Links::new(capacity),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }

    pub(super) fn peer(&self, index: MemberIndex) -> &Peer {
        &self.peers[index.0 as usize]
    }

    pub(super) fn peer_mut(&mut self, index: MemberIndex) -> &mut Peer {
        &mut self.peers[index.0 as usize]
    }

    pub(super) fn path(&self, index: MemberIndex) -> Path {
        self.roster.paths()[index.0 as usize]
    }

    /// Everyone, with the way there. O(n).
    pub(super) fn all(&self) -> impl Iterator<Item = (&Peer, &Path)> {
        self.peers.iter().zip(self.roster.paths())
    }

    /// The member at `remote`.
    pub(super) fn find(&self, remote: SocketAddr) -> Option<MemberIndex> {
        let paths = self.roster.paths();
        let found = self.by_address.find(self.hash.of(&remote), |&at| paths[at as usize].remote == remote);
        found.map(|&at| MemberIndex(at))
    }

    /// The member called `name`.
    pub(super) fn find_name(&self, name: &str) -> Option<MemberIndex> {
        let found = self.by_name.find(self.hash.of(name), |&at| &*self.peers[at as usize].name == name);
        found.map(|&at| MemberIndex(at))
    }

    /// The member that native ones know by that id.
    pub(super) fn find_member(&self, member: MemberId) -> Option<MemberIndex> {
        let found = self.by_member.find(self.hash.of(&member), |&at| self.peers[at as usize].member == member);
        found.map(|&at| MemberIndex(at))
    }

    /// Adds a member that is neither here nor has a name that is taken.
    pub(super) fn insert(&mut self, path: Path, name: Name, member: MemberId, now: Time) -> MemberIndex {
        let peer = Peer {
            name: Arc::from(name.as_str()),
            member,
            named_at: 0,
            entered_at: 0,
            messages: Bucket::default(),
            bytes: Bucket::default(),
            told: Bucket::default(),
            unreachable_since_ns: 0,
            heard_ns: now.nanos(),
            unreachables: 0,
            echoes: 0,
            muted: false,
            warned: false,
        };
        let index = self.add(path, peer);
        self.links.push_back(&mut self.silence[0], index.0);
        index
    }

    /// Adds a member to the tables and to no list.
    fn add(&mut self, path: Path, peer: Peer) -> MemberIndex {
        let index = self.roster.push(path);
        self.peers.push(peer);
        let (hash, paths, peers) = (self.hash, self.roster.paths(), &self.peers);
        let address = |at: &u32| hash.of(&paths[*at as usize].remote);
        self.by_address.insert_unique(address(&index.0), index.0, address);
        let name = |at: &u32| hash.of(&*peers[*at as usize].name);
        self.by_name.insert_unique(name(&index.0), index.0, name);
        let member = |at: &u32| hash.of(&peers[*at as usize].member);
        self.by_member.insert_unique(member(&index.0), index.0, member);
        index
    }

    /// Removes a member. The last one takes its place: its former index is
    /// returned, if it was another.
    pub(super) fn remove(&mut self, index: MemberIndex) -> (Peer, Option<MemberIndex>) {
        self.links.remove(&mut self.silence[self.list_of(index.0)], index.0);
        self.forget_keys(index.0);
        let last = u32::try_from(self.peers.len() - 1).expect("invariant: peers_max fits in u32");
        if last != index.0 {
            self.rename_keys(last, index.0);
            self.links.relocate(&mut self.silence[self.list_of(last)], last, index.0);
        }
        let gone = self.peers.swap_remove(index.0 as usize);
        (gone, self.roster.swap_remove(index))
    }

    /// Takes note that a member was heard, on this path.
    pub(super) fn touch(&mut self, index: MemberIndex, path: Path, now: Time) {
        self.line_up(index.0, false);
        let peer = self.peer_mut(index);
        peer.heard_ns = now.nanos();
        peer.unreachables = 0;
        if self.path(index) != path {
            self.roster.set_path(index, path);
        }
    }

    /// Takes note that a member was told of its silence.
    pub(super) fn mark_warned(&mut self, index: MemberIndex) {
        self.line_up(index.0, true);
    }

    /// The longest silent member of those warned, or not warned, and when it was heard, in ns.
    pub(super) fn longest_silent(&self, warned: bool) -> Option<(MemberIndex, u64)> {
        let first = self.silence[usize::from(warned)].first()?;
        Some((MemberIndex(first), self.peers[first as usize].heard_ns))
    }

    pub(super) fn rows(&self) -> PeersRows<'_> {
        let peers = self.all().map(|(peer, path)| peer.row(*path)).collect();
        PeersRows { peers, silent: self.silence.each_ref().map(|list| self.links.places(list)) }
    }

    /// Takes the members of a snapshot; nobody is here.
    pub(super) fn refill(&mut self, rows: &PeersRows<'_>) -> Result<(), Unfit> {
        fits("plain members (--max-peers)", rows.peers.len(), self.links.capacity())?;
        for row in &rows.peers {
            let (path, peer) = (Path::from(row.path), Peer::of(row)?);
            let is_new = self.find(path.remote).is_none() && self.find_name(&peer.name).is_none();
            holds(is_new, "two plain members are one")?;
            self.add(path, peer);
        }
        let named = rows.silent.iter().flatten().copied();
        names_each(named, self.len(), |_| true, "for how long plain members were silent")?;
        for (warned, list) in [false, true].into_iter().zip(&rows.silent) {
            for &at in list {
                self.peers[at as usize].warned = warned;
                self.links.push_back(&mut self.silence[usize::from(warned)], at);
            }
        }
        Ok(())
    }

    fn forget_keys(&mut self, at: u32) {
        for (table, key) in self.keys(at) {
            let entry = table.find_entry(key, |&entry| entry == at);
            entry.expect("invariant: every member is in all tables").remove();
        }
    }

    fn rename_keys(&mut self, from: u32, to: u32) {
        for (table, key) in self.keys(from) {
            let entry = table.find_mut(key, |&entry| entry == from);
            *entry.expect("invariant: every member is in all tables") = to;
        }
    }

    /// The tables, and what a member is found by in each.
    fn keys(&mut self, at: u32) -> [(&mut HashTable<u32>, u64); 3] {
        let peer = &self.peers[at as usize];
        let address = self.hash.of(&self.roster.paths()[at as usize].remote);
        let (name, member) = (self.hash.of(&*peer.name), self.hash.of(&peer.member));
        [(&mut self.by_address, address), (&mut self.by_name, name), (&mut self.by_member, member)]
    }

    /// Which list of `silence` a member is in.
    fn list_of(&self, at: u32) -> usize {
        usize::from(self.peers[at as usize].warned)
    }

    /// Puts a member behind all that are warned, or not warned.
    fn line_up(&mut self, at: u32, warned: bool) {
        self.links.remove(&mut self.silence[self.list_of(at)], at);
        self.peers[at as usize].warned = warned;
        self.links.push_back(&mut self.silence[usize::from(warned)], at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn path(port: u16) -> Path {
        Path::to(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn peers() -> Peers {
        Peers::new(1000, SeededHash::new([5; 16]))
    }

    #[derive(Clone, Debug)]
    enum Step {
        Join(u16),
        Leave(u16),
        Hear(u16),
        Warn,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1u16..40).prop_map(Step::Join),
            (1u16..40).prop_map(Step::Leave),
            (1u16..40).prop_map(Step::Hear),
            Just(Step::Warn),
        ]
    }

    proptest! {
        /// Against a plain queue of ports in the order heard.
        #[test]
        fn tables_and_lists_agree_with_a_simple_model(steps in proptest::collection::vec(step(), 1..300)) {
            let (mut peers, mut model) = (peers(), [VecDeque::new(), VecDeque::new()]);
            for (nanos, step) in (0u64..).zip(steps) {
                let now = Time::new(nanos, 0);
                let at = |port| peers.find(path(port).remote);
                match step {
                    Step::Join(port) if at(port).is_none() => {
                        let free = name(&format!("x{port}"));
                        peers.insert(path(port), free, MemberId(u32::from(port) * 2), now);
                        model[0].push_back(port);
                    }
                    Step::Leave(port) => if let Some(index) = at(port) {
                        peers.remove(index);
                        model.iter_mut().for_each(|list| list.retain(|&other| other != port));
                    },
                    Step::Hear(port) => if let Some(index) = at(port) {
                        peers.touch(index, path(port), now);
                        model.iter_mut().for_each(|list| list.retain(|&other| other != port));
                        model[0].push_back(port);
                    },
                    Step::Warn => if let Some((index, _)) = peers.longest_silent(false) {
                        peers.mark_warned(index);
                        let port = model[0].pop_front().unwrap();
                        model[1].push_back(port);
                    },
                    Step::Join(_) => {}
                }
                prop_assert_eq!(peers.len(), model[0].len() + model[1].len());
                for warned in [false, true] {
                    let silent = peers.longest_silent(warned).map(|(index, _)| peers.path(index).remote.port());
                    prop_assert_eq!(silent, model[usize::from(warned)].front().copied());
                }
                for &port in model.iter().flatten() {
                    let index = peers.find(path(port).remote).unwrap();
                    let by_name = peers.find_name(&peers.peer(index).name);
                    prop_assert_eq!(by_name, Some(index));
                    prop_assert_eq!(peers.find_member(peers.peer(index).member), Some(index));
                }
            }
        }
    }
}
