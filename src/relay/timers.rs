//! Owns deadlines: at most one for each of a fixed number of keys, earliest
//! first. Never knows what is to be done at one.

use crate::Time;

/// The place of a key without a deadline.
const NONE: u32 = u32::MAX;

/// Deadlines for the keys `0..keys`: a binary heap that knows where each key is.
///
/// Memory: 20 bytes a key, taken at the start. Equal deadlines are due in the order of their keys.
pub(super) struct Timers {
    /// Deadline in ns and key; each entry is due no earlier than its parent.
    heap: Vec<(u64, u32)>,
    /// Where in `heap` a key is.
    places: Box<[u32]>,
}

impl Timers {
    pub(super) fn new(keys: u32) -> Self {
        Self { heap: Vec::with_capacity(keys as usize), places: vec![NONE; keys as usize].into_boxed_slice() }
    }

    /// Has at least so many keys.
    pub(super) fn grow(&mut self, keys: usize) {
        let mut places = std::mem::take(&mut self.places).into_vec();
        places.resize(keys.max(places.len()), NONE);
        self.places = places.into_boxed_slice();
    }

    /// Keys that have a deadline.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Every key with its deadline in ns, earliest first.
    pub(super) fn rows(&self) -> Vec<(u32, u64)> {
        let mut heap = self.heap.clone();
        heap.sort_unstable();
        heap.into_iter().map(|(nanos, key)| (key, nanos)).collect()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Time> {
        self.heap.first().map(|&(nanos, _)| Time::new(nanos, 0))
    }

    /// The deadline of `key`.
    #[cfg(test)]
    pub(super) fn deadline(&self, key: u32) -> Option<Time> {
        let place = self.places[key as usize];
        self.heap.get(place as usize).map(|&(nanos, _)| Time::new(nanos, 0))
    }

    /// Gives `key` this deadline, in place of the one that it had. O(log n).
    pub(super) fn set(&mut self, key: u32, deadline: Time) {
        let mut place = self.places[key as usize] as usize;
        if place == NONE as usize {
            place = self.heap.len();
            self.places[key as usize] = place as u32;
            self.heap.push((deadline.nanos(), key));
        }
        self.heap[place].0 = deadline.nanos();
        self.settle(place);
    }

    /// Takes the deadline of `key` away, if it has one. O(log n).
    pub(super) fn cancel(&mut self, key: u32) {
        let place = std::mem::replace(&mut self.places[key as usize], NONE) as usize;
        if place == NONE as usize {
            return;
        }
        self.heap.swap_remove(place);
        if let Some(&(_, moved)) = self.heap.get(place) {
            self.places[moved as usize] = place as u32;
            self.settle(place);
        }
    }

    /// A key whose deadline is `now` or earlier, the earliest first; it has none any more. O(log n).
    pub(super) fn pop_due(&mut self, now: Time) -> Option<u32> {
        let &(nanos, key) = self.heap.first()?;
        let is_due = nanos <= now.nanos();
        if is_due {
            self.cancel(key);
        }
        is_due.then_some(key)
    }

    /// Moves the entry at `place` up or down to where it belongs.
    fn settle(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        while let Some(child) = self.earlier_child(place).filter(|&child| self.heap[child] < self.heap[place]) {
            self.swap(place, child);
            place = child;
        }
    }

    fn earlier_child(&self, place: usize) -> Option<usize> {
        let children = 2 * place + 1..self.heap.len().min(2 * place + 3);
        children.min_by_key(|&child| self.heap[child])
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        for place in [a, b] {
            let (_, key) = self.heap[place];
            self.places[key as usize] = place as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const KEYS: u32 = 40;

    fn at(nanos: u64) -> Time {
        Time::new(nanos, 0)
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u64),
        Cancel(u32),
        PopDue(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..KEYS, 0u64..100).prop_map(|(key, nanos)| Step::Set(key, nanos)),
            1 => (0..KEYS).prop_map(Step::Cancel),
            1 => (0u64..100).prop_map(Step::PopDue),
        ]
    }

    #[test]
    fn a_key_has_one_deadline() {
        let mut timers = Timers::new(3);
        timers.set(2, at(5));
        timers.set(0, at(7));
        timers.set(2, at(9));
        assert_eq!((timers.next(), timers.deadline(2), timers.deadline(1)), (Some(at(7)), Some(at(9)), None));
        assert_eq!((timers.pop_due(at(6)), timers.pop_due(at(9)), timers.pop_due(at(9))), (None, Some(0), Some(2)));
        timers.cancel(2);
        assert_eq!((timers.len(), timers.next()), (0, None));
    }

    proptest! {
        /// Against an ordered set of (deadline, key).
        #[test]
        fn timers_agree_with_an_ordered_set(steps in proptest::collection::vec(step(), 1..300)) {
            let mut timers = Timers::new(KEYS);
            let (mut order, mut deadlines) = (BTreeSet::new(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Set(key, nanos) => {
                        timers.set(key, at(nanos));
                        if let Some(former) = deadlines.insert(key, nanos) {
                            order.remove(&(former, key));
                        }
                        order.insert((nanos, key));
                    }
                    Step::Cancel(key) => {
                        timers.cancel(key);
                        if let Some(former) = deadlines.remove(&key) {
                            order.remove(&(former, key));
                        }
                    }
                    Step::PopDue(now) => {
                        let due = order.first().filter(|(nanos, _)| *nanos <= now).copied();
                        prop_assert_eq!(timers.pop_due(at(now)), due.map(|(_, key)| key));
                        if let Some((nanos, key)) = due {
                            order.remove(&(nanos, key));
                            deadlines.remove(&key);
                        }
                    }
                }
                prop_assert_eq!(timers.len(), order.len());
                prop_assert_eq!(timers.next(), order.first().map(|&(nanos, _)| at(nanos)));
                for key in 0..KEYS {
                    prop_assert_eq!(timers.deadline(key), deadlines.get(&key).map(|&nanos| at(nanos)));
                }
            }
        }
    }
}
