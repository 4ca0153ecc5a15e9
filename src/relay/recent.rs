//! Owns fixed tables of what was seen lately. They never grow: where a set is
//! full, what would expire first makes room.

use super::hash::SeededHash;
use super::snapshot::{RecentRows, Unfit, holds};
use crate::Time;
use std::hash::Hash;
use std::time::Duration;

/// Entries that share a place; a key is looked for in one set only.
const WAYS: usize = 4;

#[derive(Clone, Copy)]
struct Entry<K, V> {
    key: K,
    value: V,
    expires_ns: u64,
}

/// A set-associative table of `capacity` entries that expire.
pub(super) struct RecentTable<K, V> {
    entries: Box<[Option<Entry<K, V>>]>,
    hash: SeededHash,
}

impl<K: Copy + Eq + Hash, V: Copy> RecentTable<K, V> {
    /// `capacity` is rounded up to a power of two.
    pub(super) fn new(capacity: usize, hash: SeededHash) -> Self {
        let capacity = capacity.max(WAYS).next_power_of_two();
        Self { entries: vec![None; capacity].into_boxed_slice(), hash }
    }

    /// The live entry of `key`.
    pub(super) fn find(&mut self, key: &K, now: Time) -> Option<&mut V> {
        let entries = self.set(key).iter_mut().flatten();
        let mut live = entries.filter(|entry| entry.key == *key && entry.expires_ns > now.nanos());
        live.next().map(|entry| &mut entry.value)
    }

    /// Sets the entry of `key`, to expire after `life`.
    pub(super) fn insert(&mut self, key: K, value: V, now: Time, life: Duration) {
        let expires_ns = (now + life).nanos();
        let set = self.set(&key);
        let rank = |place: &Option<Entry<K, V>>| match place {
            Some(entry) if entry.key == key => 0,
            None => 1,
            Some(entry) => 2u64.saturating_add(entry.expires_ns),
        };
        if let Some(place) = set.iter_mut().min_by_key(|place| rank(place)) {
            *place = Some(Entry { key, value, expires_ns });
        }
    }

    /// Forgets `key`.
    pub(super) fn remove(&mut self, key: &K) {
        let places = self.set(key).iter_mut();
        for place in places.filter(|place| place.as_ref().is_some_and(|entry| entry.key == *key)) {
            *place = None;
        }
    }

    /// All live entries. O(capacity): for people, not for datagrams.
    pub(super) fn live(&self, now: Time) -> impl Iterator<Item = (&K, &V)> {
        let entries = self.entries.iter().flatten();
        let live = entries.filter(move |entry| entry.expires_ns > now.nanos());
        live.map(|entry| (&entry.key, &entry.value))
    }

    /// The entries, each with its place. Those that have expired decide where the next ones come.
    pub(super) fn rows<A, B>(&self, key: impl Fn(&K) -> A, value: impl Fn(&V) -> B) -> RecentRows<A, B> {
        let entries = (0..).zip(&self.entries).filter_map(|(at, entry)| Some((at, entry.as_ref()?)));
        entries.map(|(at, entry)| (at, key(&entry.key), value(&entry.value), entry.expires_ns)).collect()
    }

    /// Takes the entries of a snapshot; the table is empty.
    pub(super) fn refill<A, B>(
        &mut self,
        rows: &RecentRows<A, B>,
        entry: impl Fn(&A, &B) -> (K, V),
    ) -> Result<(), Unfit> {
        for (at, key, value, expires_ns) in rows {
            let ((key, value), at) = (entry(key, value), *at as usize);
            let start = self.set_start(&key);
            let is_new = !self.set(&key).iter().flatten().any(|other| other.key == key);
            holds(is_new && (start..start + WAYS).contains(&at) && self.entries[at].is_none(), "what was seen lately")?;
            self.entries[at] = Some(Entry { key, value, expires_ns: *expires_ns });
        }
        Ok(())
    }

    fn set(&mut self, key: &K) -> &mut [Option<Entry<K, V>>] {
        let start = self.set_start(key);
        &mut self.entries[start..start + WAYS]
    }

    fn set_start(&self, key: &K) -> usize {
        let sets = self.entries.len() / WAYS;
        (self.hash.of(key) as usize & (sets - 1)) * WAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(capacity: usize) -> RecentTable<u32, u8> {
        RecentTable::new(capacity, SeededHash::new([7; 16]))
    }

    #[test]
    fn entries_expire() {
        let (mut table, now) = (table(64), Time::default());
        table.insert(1, 9, now, Duration::from_secs(2));
        assert_eq!(table.find(&1, now).copied(), Some(9));
        assert_eq!(table.find(&1, now + Duration::from_secs(2)), None);
        assert_eq!(table.live(now).count(), 1);
        table.remove(&1);
        assert_eq!(table.live(now).count(), 0);
    }

    #[test]
    fn a_full_set_loses_what_expires_first() {
        let (mut table, now) = (table(WAYS), Time::default());
        for key in 0..5 {
            table.insert(key, 0, now, Duration::from_secs(10 + u64::from(key)));
        }
        table.insert(4, 1, now, Duration::from_secs(1));
        let mut kept: Vec<_> = table.live(now).map(|(key, value)| (*key, *value)).collect();
        kept.sort_unstable();
        assert_eq!(kept, [(1, 0), (2, 0), (3, 0), (4, 1)]);
    }
}
