//! Owns what is remembered of a running client beyond its session: who it is,
//! and which of its messages were accepted. Never grows over its limit: the
//! one that left first is forgotten first.

use super::session::SessionIndex;
use crate::Time;
use crate::config;
use crate::relay::bucket::Bucket;
use crate::relay::hash::SeededHash;
use crate::relay::order::{Links, List};
use crate::relay::snapshot::{InstanceRow, SlabRows, Unfit, fits, holds, name_of, names_each};
use crate::wire::id::{Instance, MemberId, Sseq};
use hashbrown::HashTable;
use std::sync::Arc;
use std::time::Duration;

/// An instance's place, the same for as long as it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) struct InstanceIndex(pub(super) u32);

/// What tells one room from another in an epoch, living or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoomKey(pub(super) u64);

/// What a client has used of its rates: a new session gives it nothing.
#[derive(Default)]
pub(super) struct Spent {
    pub(super) messages: Bucket,
    pub(super) bytes: Bucket,
    pub(super) repair: Bucket,
}

/// A client run.
pub(super) struct Remembered {
    id: Instance,
    pub(super) member: MemberId,
    pub(super) name: Arc<str>,
    /// Its messages are refused, in this session and the next.
    pub(super) muted: bool,
    pub(super) spent: Spent,
    /// Its last session ended by a kick.
    pub(super) kicked: bool,
    /// Its session, while it has one.
    pub(super) session: Option<SessionIndex>,
    ended_ns: u64,
    /// The next number of each of its latest rooms, latest last.
    next_sseqs: Vec<(RoomKey, Sseq)>,
}

impl Remembered {
    /// The next number in `room`.
    pub(super) fn next_sseq(&self, room: RoomKey) -> Sseq {
        let known = self.next_sseqs.iter().find(|(key, _)| *key == room);
        known.map_or(Sseq(1), |&(_, next)| next)
    }

    /// Keeps the next number in `room`, and of the latest 32 rooms.
    pub(super) fn keep(&mut self, room: RoomKey, next: Sseq) {
        self.next_sseqs.retain(|(key, _)| *key != room);
        if self.next_sseqs.len() == config::ROOMS_PER_SESSION_MAX {
            self.next_sseqs.remove(0);
        }
        self.next_sseqs.push((room, next));
    }
}

impl Remembered {
    fn row(&self) -> InstanceRow<'_> {
        InstanceRow {
            id: self.id.0,
            member: self.member.0,
            name: &self.name,
            muted: self.muted,
            messages: self.spent.messages.full_at_ns(),
            bytes: self.spent.bytes.full_at_ns(),
            repair: self.spent.repair.full_at_ns(),
            kicked: self.kicked,
            session: self.session.map(|session| session.0),
            ended_ns: self.ended_ns,
            next_sseqs: self.next_sseqs.iter().map(|&(room, next)| (room.0, next.0)).collect(),
        }
    }

    fn of(row: &InstanceRow<'_>) -> Result<Self, Unfit> {
        fits("rooms of a native client", row.next_sseqs.len(), config::ROOMS_PER_SESSION_MAX)?;
        Ok(Self {
            id: Instance(row.id),
            member: MemberId(row.member),
            name: name_of(row.name)?,
            muted: row.muted,
            spent: Spent {
                messages: Bucket::full_from(row.messages),
                bytes: Bucket::full_from(row.bytes),
                repair: Bucket::full_from(row.repair),
            },
            kicked: row.kicked,
            session: row.session.map(SessionIndex),
            ended_ns: row.ended_ns,
            next_sseqs: row.next_sseqs.iter().map(|&(room, next)| (RoomKey(room), Sseq(next))).collect(),
        })
    }
}

/// All instances, those with a session and those that ended lately.
///
/// Memory: about 110 bytes each, and 16 for each of its rooms.
pub(super) struct Instances {
    slots: Vec<Option<Remembered>>,
    free: Vec<u32>,
    by_id: HashTable<u32>,
    by_member: HashTable<u32>,
    hash: SeededHash,
    links: Links,
    /// Those without a session, first out first.
    ended: List,
    ended_count: usize,
}

impl Instances {
    pub(super) fn new(sessions_max: u32, hash: SeededHash) -> Self {
        let capacity = sessions_max as usize + config::INSTANCES_REMEMBERED_MAX;
        Self {
            slots: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            by_id: HashTable::with_capacity(capacity),
            by_member: HashTable::with_capacity(capacity),
            hash,
            links: Links::new(capacity),
            ended: List::EMPTY,
            ended_count: 0,
        }
    }

    pub(super) fn at(&self, index: InstanceIndex) -> &Remembered {
        self.slots[index.0 as usize].as_ref().expect("invariant: an index is of a remembered instance")
    }

    pub(super) fn at_mut(&mut self, index: InstanceIndex) -> &mut Remembered {
        self.slots[index.0 as usize].as_mut().expect("invariant: an index is of a remembered instance")
    }

    pub(super) fn find(&self, id: Instance) -> Option<InstanceIndex> {
        let is_it = |&at: &u32| self.at(InstanceIndex(at)).id == id;
        self.by_id.find(self.hash.of(&id), is_it).map(|&at| InstanceIndex(at))
    }

    /// The instance that has, or lately had, this member id.
    pub(super) fn find_member(&self, member: MemberId) -> Option<&Remembered> {
        let is_it = |&at: &u32| self.at(InstanceIndex(at)).member == member;
        self.by_member.find(self.hash.of(&member), is_it).map(|&at| self.at(InstanceIndex(at)))
    }

    /// Takes note of an instance that is not known.
    pub(super) fn insert(&mut self, id: Instance, member: MemberId, name: Arc<str>) -> InstanceIndex {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("invariant: instances are few")
        });
        let fresh = Remembered {
            id,
            member,
            name,
            muted: false,
            spent: Spent::default(),
            kicked: false,
            session: None,
            ended_ns: 0,
            next_sseqs: Vec::new(),
        };
        self.settle(at, fresh);
        InstanceIndex(at)
    }

    /// Adds an instance to the tables and to no list.
    fn settle(&mut self, at: u32, known: Remembered) {
        let (id, member) = (known.id, known.member);
        self.slots[at as usize] = Some(known);
        let (slots, hash) = (&self.slots, self.hash);
        let known = |at: u32| slots[at as usize].as_ref().expect("invariant: tables hold what is remembered");
        self.by_id.insert_unique(hash.of(&id), at, |&at| hash.of(&known(at).id));
        self.by_member.insert_unique(hash.of(&member), at, |&at| hash.of(&known(at).member));
    }

    /// Every place in the snapshot's form, and the places of those that ended, first out first.
    pub(super) fn rows(&self) -> (SlabRows<InstanceRow<'_>>, Vec<u32>) {
        let slots = self.slots.iter().map(|slot| slot.as_ref().map(Remembered::row)).collect();
        (SlabRows { slots, free: self.free.clone() }, self.links.places(&self.ended))
    }

    /// Takes the instances of a snapshot, each at its place; none is known.
    pub(super) fn refill(&mut self, rows: &SlabRows<InstanceRow<'_>>, ended: &[u32]) -> Result<(), Unfit> {
        fits("native clients (--max-sessions)", rows.taken(), self.links.capacity())?;
        self.links.grow(rows.len());
        let has_ended = |at: usize| rows.at(at as u32).is_some_and(|row| row.session.is_none());
        names_each(rows.free.iter().copied(), rows.len(), |at| !rows.has(at), "free places of instances")?;
        names_each(ended.iter().copied(), rows.len(), has_ended, "instances that ended")?;
        self.slots.resize_with(rows.len(), || None);
        self.free.extend(&rows.free);
        for (at, row) in rows.all() {
            holds((row.ended_ns != 0) == row.session.is_none(), "when an instance ended")?;
            holds(self.find(Instance(row.id)).is_none(), "two instances are one")?;
            self.settle(at, Remembered::of(row)?);
        }
        ended.iter().for_each(|&at| self.links.push_back(&mut self.ended, at));
        self.ended_count = ended.len();
        Ok(())
    }

    /// It has a session: it is not forgotten.
    pub(super) fn begin(&mut self, index: InstanceIndex, session: SessionIndex) {
        if self.at(index).ended_ns != 0 {
            self.links.remove(&mut self.ended, index.0);
            self.ended_count -= 1;
        }
        let known = self.at_mut(index);
        known.ended_ns = 0;
        known.kicked = false;
        known.session = Some(session);
    }

    /// Its session has ended: it is remembered for a while.
    pub(super) fn end(&mut self, index: InstanceIndex, now: Time) {
        let known = self.at_mut(index);
        known.session = None;
        known.ended_ns = now.nanos().max(1);
        self.links.push_back(&mut self.ended, index.0);
        self.ended_count += 1;
        self.forget_old(now);
    }

    /// Whether it was kicked in the last minute.
    pub(super) fn was_kicked(&self, index: InstanceIndex, now: Time) -> bool {
        let known = self.at(index);
        let since = now.since(Time::new(known.ended_ns, 0));
        known.kicked && known.session.is_none() && since < Duration::from_millis(config::REFUSE_MS)
    }

    /// When the next one is to be forgotten.
    pub(super) fn next_end(&self) -> Option<Time> {
        let ended = Time::new(self.at(InstanceIndex(self.ended.first()?)).ended_ns, 0);
        Some(ended + Duration::from_millis(config::INSTANCE_REMEMBERED_MS))
    }

    /// Forgets those whose time is over, and those that are too many.
    pub(super) fn forget_old(&mut self, now: Time) {
        let life = Duration::from_millis(config::INSTANCE_REMEMBERED_MS);
        while let Some(first) = self.ended.first() {
            let ended = Time::new(self.at(InstanceIndex(first)).ended_ns, 0);
            if self.ended_count <= config::INSTANCES_REMEMBERED_MAX && now.since(ended) < life {
                return;
            }
            self.forget(first);
        }
    }

    fn forget(&mut self, at: u32) {
        self.links.remove(&mut self.ended, at);
        self.ended_count -= 1;
        let Remembered { id, member, .. } = *self.at(InstanceIndex(at));
        for (table, key) in [(&mut self.by_id, self.hash.of(&id)), (&mut self.by_member, self.hash.of(&member))] {
            let entry = table.find_entry(key, |&entry| entry == at);
            entry.expect("invariant: every instance is in both tables").remove();
        }
        self.slots[at as usize] = None;
        self.free.push(at);
    }
}
