//! Owns the native sessions: proven addresses with a ticket each, found by
//! ticket, address or name, ordered by when they were last heard.
//! Never decides who may come or must go.

use super::instance::InstanceIndex;
use crate::Time;
use crate::batch::Path;
use crate::relay::Target;
use crate::relay::bucket::Bucket;
use crate::relay::hash::SeededHash;
use crate::relay::order::{Links, List};
use crate::relay::snapshot::{SessionRow, SlabRows, Unfit, fits, holds, names_each};
use crate::wire::id::{Ccid, MemberId, Nonce, PacketNumber, Scid};
use hashbrown::HashTable;
use std::net::SocketAddr;
use std::sync::Arc;

/// A session's place. It stays the same for the session's life, and is used
/// again afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) struct SessionIndex(pub(super) u32);

/// No membership.
pub(super) const NONE: u32 = u32::MAX;

/// A native member.
pub(in crate::relay) struct Session {
    pub(super) scid: Scid,
    pub(super) ccid: Ccid,
    pub(super) nonce: Nonce,
    pub(super) instance: InstanceIndex,
    pub(in crate::relay) member: MemberId,
    pub(in crate::relay) name: Arc<str>,
    pub(in crate::relay) path: Path,
    /// How often a new address of its is challenged.
    pub(super) challenge: Bucket,
    pub(super) heard_ns: u64,
    /// When the first port-unreachable came that nothing heard has answered; 0: none.
    pub(super) unreachable_ns: u64,
    pub(super) pn: PacketNumber,
    /// The first of its memberships, a list threaded through them.
    pub(super) first_membership: u32,
    pub(super) memberships: u8,
    /// Its client knows of it: it has sent something in it.
    pub(super) is_used: bool,
    pub(super) muted: bool,
    /// Datagrams that answered its NACKs in this turn.
    pub(super) repairs: u8,
    /// It is on the list of those who spoke in this turn.
    pub(super) spoke: bool,
    /// Lines it said in this turn, and their bytes.
    pub(super) said: (u32, u32),
}

/// All sessions.
///
/// Memory: about 260 bytes a session, 16 in links, 5 in each of three tables;
/// room for `sessions_max` is reserved in [`Sessions::new`].
pub(in crate::relay) struct Sessions {
    slots: Vec<Option<Session>>,
    free: Vec<u32>,
    count: usize,
    by_scid: HashTable<u32>,
    by_address: HashTable<u32>,
    by_name: HashTable<u32>,
    hash: SeededHash,
    links: Links,
    /// Longest silent first.
    silence: List,
}

impl Sessions {
    pub(super) fn new(sessions_max: u32, hash: SeededHash) -> Self {
        let capacity = sessions_max as usize;
        let table = || HashTable::with_capacity(capacity);
        Self {
            slots: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            count: 0,
            by_scid: table(),
            by_address: table(),
            by_name: table(),
            hash,
            links: Links::new(capacity),
            silence: List::EMPTY,
        }
    }

    pub(in crate::relay) fn len(&self) -> usize {
        self.count
    }

    pub(in crate::relay) fn session(&self, index: SessionIndex) -> &Session {
        self.slots[index.0 as usize].as_ref().expect("invariant: an index is of a living session")
    }

    pub(in crate::relay) fn session_mut(&mut self, index: SessionIndex) -> &mut Session {
        self.slots[index.0 as usize].as_mut().expect("invariant: an index is of a living session")
    }

    fn at(&self, index: u32) -> &Session {
        self.session(SessionIndex(index))
    }

    pub(super) fn find_scid(&self, scid: Scid) -> Option<SessionIndex> {
        let found = self.by_scid.find(self.hash.of(&scid), |&at| self.at(at).scid == scid);
        found.map(|&at| SessionIndex(at))
    }

    pub(in crate::relay) fn find_address(&self, remote: SocketAddr) -> Option<SessionIndex> {
        if self.count == 0 {
            return None;
        }
        let found = self.by_address.find(self.hash.of(&remote), |&at| self.at(at).path.remote == remote);
        found.map(|&at| SessionIndex(at))
    }

    pub(in crate::relay) fn find_name(&self, name: &str) -> Option<SessionIndex> {
        if self.count == 0 {
            return None;
        }
        let found = self.by_name.find(self.hash.of(name), |&at| &*self.at(at).name == name);
        found.map(|&at| SessionIndex(at))
    }

    pub(in crate::relay) fn find_target(&self, target: &Target) -> Option<SessionIndex> {
        match target {
            Target::Address(remote) => self.find_address(*remote),
            Target::Name(name) => self.find_name(name),
        }
    }

    /// Places there are, of sessions that live and of others.
    pub(in crate::relay) fn places(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("invariant: sessions_max fits in u32")
    }

    /// The session at a place, if one lives there.
    pub(in crate::relay) fn at_place(&self, place: u32) -> Option<SessionIndex> {
        self.slots.get(place as usize)?.as_ref().map(|_| SessionIndex(place))
    }

    /// All of them.
    pub(in crate::relay) fn all(&self) -> impl Iterator<Item = &Session> {
        self.slots.iter().flatten()
    }

    /// Every place in the snapshot's form, and the places of those silent longest first.
    pub(super) fn rows<'s>(
        &'s self,
        row: impl Fn(&'s Session) -> SessionRow<'s>,
    ) -> (SlabRows<SessionRow<'s>>, Vec<u32>) {
        let slots = self.slots.iter().map(|slot| slot.as_ref().map(&row)).collect();
        (SlabRows { slots, free: self.free.clone() }, self.links.places(&self.silence))
    }

    /// Takes the sessions of a snapshot, each at its place; nobody is here.
    pub(super) fn refill(
        &mut self,
        rows: &SlabRows<SessionRow<'_>>,
        silent: &[u32],
        session: impl Fn(&SessionRow<'_>) -> Result<Session, Unfit>,
    ) -> Result<(), Unfit> {
        fits("native members (--max-sessions)", rows.taken(), self.links.capacity())?;
        self.links.grow(rows.len());
        names_each(rows.free.iter().copied(), rows.len(), |at| !rows.has(at), "free places of sessions")?;
        names_each(silent.iter().copied(), rows.len(), |at| rows.has(at), "for how long sessions were silent")?;
        self.slots.resize_with(rows.len(), || None);
        self.free.extend(&rows.free);
        for (at, row) in rows.all() {
            let session = session(row)?;
            let is_new = self.find_scid(session.scid).is_none()
                && self.find_address(session.path.remote).is_none()
                && self.find_name(&session.name).is_none();
            holds(is_new, "two sessions are one")?;
            self.settle(at, session);
        }
        silent.iter().for_each(|&at| self.links.push_back(&mut self.silence, at));
        Ok(())
    }

    /// Adds a session whose keys are all new.
    pub(super) fn insert(&mut self, session: Session) -> SessionIndex {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("invariant: sessions_max fits in u32")
        });
        self.settle(at, session);
        self.links.push_back(&mut self.silence, at);
        SessionIndex(at)
    }

    /// Adds a session to the tables and to no list.
    fn settle(&mut self, at: u32, session: Session) {
        self.slots[at as usize] = Some(session);
        self.count += 1;
        for key in Key::ALL {
            self.remember(key, at);
        }
    }

    pub(super) fn remove(&mut self, index: SessionIndex) -> Session {
        self.links.remove(&mut self.silence, index.0);
        for key in Key::ALL {
            self.forget(key, index.0);
        }
        self.count -= 1;
        self.free.push(index.0);
        self.slots[index.0 as usize].take().expect("invariant: an index is of a living session")
    }

    pub(super) fn set_path(&mut self, index: SessionIndex, path: Path) {
        self.forget(Key::Address, index.0);
        self.session_mut(index).path = path;
        self.remember(Key::Address, index.0);
    }

    pub(super) fn rename(&mut self, index: SessionIndex, name: Arc<str>) {
        self.forget(Key::Name, index.0);
        self.session_mut(index).name = name;
        self.remember(Key::Name, index.0);
    }

    /// Takes note that a session was heard.
    pub(super) fn touch(&mut self, index: SessionIndex, now: Time) {
        self.links.remove(&mut self.silence, index.0);
        self.links.push_back(&mut self.silence, index.0);
        let session = self.session_mut(index);
        session.heard_ns = now.nanos();
        session.unreachable_ns = 0;
    }

    pub(in crate::relay) fn longest_silent(&self) -> Option<SessionIndex> {
        self.silence.first().map(SessionIndex)
    }

    fn remember(&mut self, key: Key, at: u32) {
        let hash = self.key_hash(key, at);
        let (table, slots, seed) = self.table(key);
        table.insert_unique(hash, at, |&at| key.hash(slots[at as usize].as_ref(), seed));
    }

    fn forget(&mut self, key: Key, at: u32) {
        let hash = self.key_hash(key, at);
        let entry = self.table(key).0.find_entry(hash, |&entry| entry == at);
        entry.expect("invariant: every session is in all tables").remove();
    }

    fn key_hash(&self, key: Key, at: u32) -> u64 {
        key.hash(self.slots[at as usize].as_ref(), self.hash)
    }

    fn table(&mut self, key: Key) -> (&mut HashTable<u32>, &[Option<Session>], SeededHash) {
        let table = match key {
            Key::Scid => &mut self.by_scid,
            Key::Address => &mut self.by_address,
            Key::Name => &mut self.by_name,
        };
        (table, &self.slots, self.hash)
    }
}

/// What a session is found by.
#[derive(Clone, Copy)]
enum Key {
    Scid,
    Address,
    Name,
}

impl Key {
    const ALL: [Key; 3] = [Key::Scid, Key::Address, Key::Name];

    fn hash(self, session: Option<&Session>, seed: SeededHash) -> u64 {
        let session = session.expect("invariant: tables hold living sessions");
        match self {
            Key::Scid => seed.of(&session.scid),
            Key::Address => seed.of(&session.path.remote),
            Key::Name => seed.of(&*session.name),
        }
    }
}
