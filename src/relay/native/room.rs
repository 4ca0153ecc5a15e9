//! Owns the rooms: names, rosters, rings, and what each has yet to send.
//! Never decides who may come in.

use super::instance::RoomKey;
use crate::Time;
use crate::batch::{RoomIndex, Roster};
use crate::config::{self, Limits};
use crate::relay::admission::Prefix;
use crate::relay::bucket::Bucket;
use crate::relay::hash::SeededHash;
use crate::relay::history::{Pool, RING_PAGES_MIN, Ring};
use crate::relay::order::{Links, List};
use crate::relay::snapshot::{RenewalRow, RoomRow, SlabRows, Unfit, fits, holds, names_each};
use crate::wire::id::{KeyId, RoomHandle, RoomTag, Seq};
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::time::Duration;

/// The room where plain and native members meet.
pub(in crate::relay) const LOBBY: RoomIndex = RoomIndex(0);
/// Its name.
pub(in crate::relay) const LOBBY_NAME: &str = "lobby";

/// Where a room's members lie: all of them, and each on one of two rosters.
#[derive(Default)]
pub(super) struct RoomMembers {
    /// Memberships, all.
    pub(super) all: Vec<u32>,
    /// Those that are sent what is said as it is said, and the way to them.
    pub(super) live: Vec<u32>,
    pub(super) live_roster: Roster,
    /// Those fed from the ring, and the way to them.
    pub(super) fed: Vec<u32>,
    pub(super) fed_roster: Roster,
}

impl RoomMembers {
    /// One of the two rosters and who is on it.
    pub(super) fn side(&mut self, live: bool) -> (&mut Vec<u32>, &mut Roster) {
        match live {
            true => (&mut self.live, &mut self.live_roster),
            false => (&mut self.fed, &mut self.fed_roster),
        }
    }
}

/// A new tag that is on its way to a room's members, one by one: what comes
/// under a tag that nobody was told of would be lost to all.
pub(super) struct Renewal {
    /// What casts still bear, and until when.
    cast_tag: RoomTag,
    until: Time,
    /// The members before this place of the room's list are still to be told, at `due`.
    untold: usize,
    due: Time,
    /// Meanwhile somebody else was made to leave.
    is_wanted_again: bool,
}

impl Renewal {
    fn row(&self) -> RenewalRow {
        RenewalRow {
            cast_tag: self.cast_tag.0,
            until_ns: self.until.nanos(),
            untold: u32::try_from(self.untold).unwrap_or(u32::MAX),
            due_ns: self.due.nanos(),
            is_wanted_again: self.is_wanted_again,
        }
    }

    fn of(row: &RenewalRow) -> Self {
        Self {
            cast_tag: RoomTag(row.cast_tag),
            until: Time::new(row.until_ns, 0),
            untold: row.untold as usize,
            due: Time::new(row.due_ns, 0),
            is_wanted_again: row.is_wanted_again,
        }
    }
}

/// A room.
pub(in crate::relay) struct Room {
    pub(super) name: Box<str>,
    pub(super) key_id: KeyId,
    pub(super) key: RoomKey,
    pub(super) sealed: bool,
    pub(super) unlisted: bool,
    /// What its members are told that casts bear; they do once it is told.
    pub(super) tag: RoomTag,
    pub(super) renewal: Option<Renewal>,
    pub(super) ring: Ring,
    pub(super) members: RoomMembers,
    /// Live memberships, the one that has not reported for longest first.
    pub(super) reports: List,
    /// Everything up to here has been cast.
    pub(super) cast_to: Seq,
    /// What the entries behind it cost in the ring, in bytes.
    pub(super) uncast_cost: usize,
    /// Whether it is on the list of rooms to cast at the end of this turn.
    pub(super) is_due: bool,
    /// Bytes ever cast to a live member, when the last ones were, and the
    /// first ones after a pause.
    pub(super) cast_bytes: u64,
    pub(super) last_cast_ns: u64,
    pub(super) busy_since_ns: u64,
    /// When the last entry came, and how many HEADs were sent since.
    pub(super) last_entry_ns: u64,
    pub(super) heads_sent: u8,
    /// Since when nobody is here; [`Rooms::set_empty`] says so.
    pub(super) empty_since: Option<Time>,
    pub(super) presence: Bucket,
    /// Whose limit of created rooms it counts against.
    pub(super) creator: Option<Prefix>,
}

impl Room {
    /// The room's number on the wire.
    pub(super) fn handle(index: RoomIndex) -> RoomHandle {
        RoomHandle(index.0)
    }

    /// Has another tag from soon on: somebody was made to leave who knows this one.
    pub(super) fn renew(&mut self, now: Time, tag: RoomTag) {
        if let Some(renewal) = &mut self.renewal {
            // Members take one former tag: the next renewal begins when this one is over.
            renewal.is_wanted_again = true;
            return;
        }
        let until = now + Duration::from_millis(config::TAG_TOLD_MS);
        let cast_tag = std::mem::replace(&mut self.tag, tag);
        let untold = self.members.all.len();
        self.renewal = Some(Renewal { cast_tag, until, untold, due: now, is_wanted_again: false });
    }

    /// What casts bear now.
    pub(super) fn cast_tag(&self) -> RoomTag {
        self.renewal.as_ref().map_or(self.tag, |renewal| renewal.cast_tag)
    }

    /// When [`next_untold`](Self::next_untold) or [`end_renewal`](Self::end_renewal) is worth a call.
    pub(super) fn next_renewal(&self) -> Option<Time> {
        let renewal = self.renewal.as_ref()?;
        Some(if renewal.untold > 0 { renewal.due.min(renewal.until) } else { renewal.until })
    }

    /// The next membership that is to be told the new tag. Who came since was told, and
    /// who takes the place of one that goes is told, or told twice.
    pub(super) fn next_untold(&mut self) -> Option<u32> {
        let renewal = self.renewal.as_mut()?;
        let place = renewal.untold.min(self.members.all.len()).checked_sub(1);
        renewal.untold = place.unwrap_or(0);
        place.map(|place| self.members.all[place])
    }

    /// The others are told a little later.
    pub(super) fn pause_renewal(&mut self, now: Time) {
        self.renewal.iter_mut().for_each(|renewal| renewal.due = now + Duration::from_millis(1));
    }

    /// Casts bear the new tag if it is time. True: another one is wanted.
    pub(super) fn end_renewal(&mut self, now: Time) -> bool {
        let ended = self.renewal.take_if(|renewal| renewal.until <= now);
        ended.is_some_and(|renewal| renewal.is_wanted_again)
    }

    /// Takes note that it has cast something. After a pause its members have
    /// had nothing to report until now.
    pub(super) fn note_cast(&mut self, now: Time) {
        let pause = now.since(Time::new(self.last_cast_ns, 0));
        if pause >= Duration::from_millis(config::REPORT_AFTER_MS) {
            self.busy_since_ns = now.nanos();
        }
        self.last_cast_ns = now.nanos();
    }

    /// When the next HEAD is due.
    pub(super) fn next_head(&self) -> Option<Time> {
        let after_ms = config::HEAD_AFTER_MS.get(usize::from(self.heads_sent))?;
        let anyone = !self.members.all.is_empty();
        anyone.then(|| Time::new(self.last_entry_ns, 0) + Duration::from_millis(*after_ms))
    }
}

impl Room {
    fn row<'r>(&'r self, pool: &'r Pool) -> RoomRow<'r> {
        RoomRow {
            name: &self.name,
            key_id: self.key_id.0,
            sealed: self.sealed,
            unlisted: self.unlisted,
            tag: self.tag.0,
            renewal: self.renewal.as_ref().map(Renewal::row),
            ring: self.ring.row(pool),
            all: self.members.all.clone(),
            live: self.members.live.clone(),
            fed: self.members.fed.clone(),
            // Its owner has the links.
            reports: Vec::new(),
            cast_bytes: self.cast_bytes,
            last_cast_ns: self.last_cast_ns,
            busy_since_ns: self.busy_since_ns,
            last_entry_ns: self.last_entry_ns,
            heads_sent: self.heads_sent,
            empty_since_ns: self.empty_since.map(Time::nanos),
            presence: self.presence.full_at_ns(),
            creator: self.creator.map(Prefix::row),
        }
    }

    /// With the key by which it is found. Nobody is in it yet.
    pub(super) fn of(row: &RoomRow<'_>, key: RoomKey, ring: Ring) -> Self {
        Self {
            name: row.name.into(),
            key_id: KeyId(row.key_id),
            key,
            sealed: row.sealed,
            unlisted: row.unlisted,
            tag: RoomTag(row.tag),
            renewal: row.renewal.as_ref().map(Renewal::of),
            members: RoomMembers::default(),
            reports: List::EMPTY,
            cast_to: Seq(ring.head()),
            ring,
            uncast_cost: 0,
            is_due: false,
            cast_bytes: row.cast_bytes,
            last_cast_ns: row.last_cast_ns,
            busy_since_ns: row.busy_since_ns,
            last_entry_ns: row.last_entry_ns,
            heads_sent: row.heads_sent,
            empty_since: row.empty_since_ns.map(|since_ns| Time::new(since_ns, 0)),
            presence: Bucket::full_from(row.presence),
            creator: row.creator.map(Prefix::from_row),
        }
    }
}

/// The memory of all rings. The lobby has its own, so that it keeps what it
/// may, however many rooms there are.
pub(super) struct Pools {
    lobby: Pool,
    others: Pool,
}

impl Pools {
    pub(super) fn new(limits: &Limits) -> Self {
        let lobby = limits.ring_bytes_max.min(limits.rings_bytes_max);
        let others = limits.rings_bytes_max - lobby;
        Self { lobby: Pool::new(lobby as usize), others: Pool::new(others as usize) }
    }

    /// Where the ring of a room lies.
    pub(super) fn of(&self, room: RoomIndex) -> &Pool {
        if room == LOBBY { &self.lobby } else { &self.others }
    }

    pub(super) fn of_mut(&mut self, room: RoomIndex) -> &mut Pool {
        if room == LOBBY { &mut self.lobby } else { &mut self.others }
    }

    /// Where the ring of a new room will lie.
    pub(super) fn for_new(&mut self) -> &mut Pool {
        &mut self.others
    }

    /// Whether a new room would get a ring.
    pub(super) fn has_ring(&self) -> bool {
        self.others.free_pages() >= RING_PAGES_MIN
    }
}

/// All rooms.
///
/// Memory: about 500 bytes a room and two pages of its ring.
pub(in crate::relay) struct Rooms {
    slots: Vec<Option<Room>>,
    /// First freed, first used again: a handle rests as long as it can.
    free: VecDeque<u16>,
    by_key: HashTable<u16>,
    hash: SeededHash,
    count: usize,
    rooms_max: usize,
    /// Rooms but the lobby that nobody is in, the one that has been so for longest first.
    empty: List,
    empty_links: Links,
    /// The highest number of any room that ended in this epoch.
    pub(super) highest_ended: Seq,
}

impl Rooms {
    pub(super) fn new(rooms_max: u32, hash: SeededHash) -> Self {
        let capacity = rooms_max as usize;
        assert!(capacity < usize::from(u16::MAX), "rooms are numbered in 16 bits");
        Self {
            slots: Vec::with_capacity(capacity),
            free: VecDeque::with_capacity(capacity),
            by_key: HashTable::with_capacity(capacity),
            hash,
            count: 0,
            rooms_max: capacity,
            empty: List::EMPTY,
            empty_links: Links::new(capacity),
            highest_ended: Seq(0),
        }
    }

    pub(in crate::relay) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= self.rooms_max
    }

    /// What tells a room from all others.
    pub(super) fn key(&self, name: &str, key_id: KeyId) -> RoomKey {
        RoomKey(self.hash.of(&(name, key_id)))
    }

    pub(super) fn find(&self, name: &str, key_id: KeyId) -> Option<RoomIndex> {
        let key = self.key(name, key_id);
        let is_it = |&at: &u16| {
            let room = self.at(RoomIndex(at));
            *room.name == *name && room.key_id == key_id
        };
        self.by_key.find(key.0, is_it).map(|&at| RoomIndex(at))
    }

    /// The room of that handle, if there is one.
    pub(super) fn get(&self, index: RoomIndex) -> Option<&Room> {
        self.slots.get(usize::from(index.0))?.as_ref()
    }

    pub(in crate::relay) fn at(&self, index: RoomIndex) -> &Room {
        self.get(index).expect("invariant: an index is of a living room")
    }

    pub(super) fn at_mut(&mut self, index: RoomIndex) -> &mut Room {
        let slot = self.slots.get_mut(usize::from(index.0)).and_then(Option::as_mut);
        slot.expect("invariant: an index is of a living room")
    }

    /// The number of places, taken or not.
    pub(in crate::relay) fn places(&self) -> usize {
        self.slots.len()
    }

    /// Every place in the snapshot's form.
    pub(super) fn rows<'r>(&'r self, pools: &'r Pools) -> SlabRows<RoomRow<'r>> {
        let at = |(at, slot): (u16, &'r Option<Room>)| slot.as_ref().map(|room| room.row(pools.of(RoomIndex(at))));
        let free = self.free.iter().map(|&at| u32::from(at)).collect();
        SlabRows { slots: (0..).zip(&self.slots).map(at).collect(), free }
    }

    /// The places of those that nobody is in.
    pub(super) fn empty_places(&self) -> Vec<u32> {
        self.empty_links.places(&self.empty)
    }

    /// Takes the rooms of a snapshot, each at its place; there are none.
    pub(super) fn refill(
        &mut self,
        rows: &SlabRows<RoomRow<'_>>,
        empty: &[u32],
        mut room: impl FnMut(RoomIndex, &RoomRow<'_>, RoomKey) -> Result<Room, Unfit>,
    ) -> Result<(), Unfit> {
        fits("rooms (--max-rooms)", rows.taken(), self.rooms_max)?;
        holds(rows.len() < usize::from(u16::MAX), "numbers of rooms")?;
        self.empty_links.grow(rows.len());
        names_each(rows.free.iter().copied(), rows.len(), |at| !rows.has(at), "free places of rooms")?;
        let is_empty = |at: usize| at > 0 && rows.at(at as u32).is_some_and(|row| row.empty_since_ns.is_some());
        names_each(empty.iter().copied(), rows.len(), is_empty, "rooms that nobody is in")?;
        self.slots.resize_with(rows.len(), || None);
        self.free.extend(rows.free.iter().map(|&at| at as u16));
        for (at, row) in rows.all() {
            let index = RoomIndex(at as u16);
            let room = room(index, row, self.key(row.name, KeyId(row.key_id)))?;
            holds(self.find(&room.name, room.key_id).is_none(), "two rooms are one")?;
            self.settle(index, room);
        }
        empty.iter().for_each(|&at| self.empty_links.push_back(&mut self.empty, at));
        Ok(())
    }

    /// Adds a room that is not there.
    pub(super) fn insert(&mut self, room: Room) -> RoomIndex {
        // A handle is used again only when no fresh one is left.
        let at = if self.slots.len() < self.rooms_max {
            self.slots.push(None);
            u16::try_from(self.slots.len() - 1).expect("invariant: rooms_max fits in u16")
        } else {
            self.free.pop_front().expect("invariant: a full table was asked first")
        };
        self.settle(RoomIndex(at), room);
        RoomIndex(at)
    }

    fn settle(&mut self, index: RoomIndex, room: Room) {
        let (at, key) = (index.0, room.key);
        self.slots[usize::from(at)] = Some(room);
        self.count += 1;
        let slots = &self.slots;
        let rehash = |&at: &u16| slots[usize::from(at)].as_ref().map_or(0, |room| room.key.0);
        self.by_key.insert_unique(key.0, at, rehash);
    }

    /// Ends a room: its pages go back to the pool, its number rests. Returns who created it.
    pub(super) fn remove(&mut self, index: RoomIndex, pool: &mut Pool) -> Option<Prefix> {
        let room = self.slots[usize::from(index.0)].take().expect("invariant: an index is of a living room");
        let entry = self.by_key.find_entry(room.key.0, |&at| at == index.0);
        entry.expect("invariant: every room is in the table").remove();
        self.highest_ended = self.highest_ended.max(Seq(room.ring.head()));
        self.unlist_empty(index);
        self.free.push_back(index.0);
        self.count -= 1;
        room.ring.release(pool);
        room.creator
    }

    /// Takes note that nobody is in a room, since when, or that somebody is.
    pub(super) fn set_empty(&mut self, index: RoomIndex, since: Option<Time>) {
        self.at_mut(index).empty_since = since;
        self.unlist_empty(index);
        if since.is_some() && index != LOBBY {
            self.empty_links.push_back(&mut self.empty, u32::from(index.0));
        }
    }

    /// The room that nobody has been in for longest, of those that may end.
    pub(super) fn longest_empty(&self) -> Option<RoomIndex> {
        self.empty.first().map(|at| RoomIndex(at as u16))
    }

    fn unlist_empty(&mut self, index: RoomIndex) {
        if self.empty_links.is_linked(u32::from(index.0)) {
            self.empty_links.remove(&mut self.empty, u32::from(index.0));
        }
    }
}
