//! When each of a thread's members is to be looked at next: a heap that knows
//! where everybody stands in it, so that one deadline is moved without a
//! search and the next one found without a scan. Takes its memory at start.

/// Nothing is due.
pub(super) const NEVER: u64 = u64::MAX;

/// One deadline per key, earliest first.
pub(super) struct Deadlines {
    /// Keys, the earliest at the root.
    heap: Vec<u32>,
    /// By key.
    due: Vec<u64>,
    /// By key: where it stands in the heap.
    place: Vec<u32>,
}

impl Deadlines {
    /// For the keys below `keys`, none due.
    pub(super) fn new(keys: u32) -> Self {
        Self { heap: (0..keys).collect(), due: vec![NEVER; keys as usize], place: (0..keys).collect() }
    }

    /// The earliest, [`NEVER`] if nothing is due.
    pub(super) fn next(&self) -> u64 {
        self.heap.first().map_or(NEVER, |key| self.due[*key as usize])
    }

    /// A key that is due by `now`.
    pub(super) fn due_by(&self, now: u64) -> Option<u32> {
        self.heap.first().copied().filter(|key| self.due[*key as usize] <= now)
    }

    /// Sets a key's deadline.
    pub(super) fn set(&mut self, key: u32, due: u64) {
        let before = std::mem::replace(&mut self.due[key as usize], due);
        let at = self.place[key as usize] as usize;
        if due < before { self.rise(at) } else { self.sink(at) }
    }

    fn at(&self, place: usize) -> u64 {
        self.due[self.heap[place] as usize]
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.at(at) < self.at((at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let children = (2 * at + 1..self.heap.len()).take(2);
            let Some(least) = children.min_by_key(|child| self.at(*child)) else { return };
            if self.at(least) >= self.at(at) {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.place[self.heap[one] as usize] = one as u32;
        self.place[self.heap[other] as usize] = other as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Dice;

    #[test]
    fn the_earliest_comes_first_however_they_are_moved() {
        const KEYS: u32 = 100;
        let (mut deadlines, mut wanted, mut dice) = (Deadlines::new(KEYS), vec![NEVER; KEYS as usize], Dice::new(1));
        for _ in 0..20_000 {
            let (key, due) = (dice.below(KEYS), 1 + u64::from(dice.below(1000)));
            let due = if due > 900 { NEVER } else { due };
            deadlines.set(key, due);
            wanted[key as usize] = due;
            let least = wanted.iter().copied().min().unwrap();
            assert_eq!(deadlines.next(), least);
            assert_eq!(deadlines.due_by(least - 1), None);
            assert!(deadlines.due_by(least).is_some_and(|key| wanted[key as usize] == least));
        }
        assert_eq!((Deadlines::new(0).next(), Deadlines::new(0).due_by(NEVER)), (NEVER, None));
    }
}
