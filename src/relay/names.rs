//! Owns which number a name gets that another bears. Never knows who bears it.

use super::hash::SeededHash;
use super::snapshot::{NameRow, Unfit, holds};
use crate::wire::plain::Name;

/// Numbers that are tried one by one before the remembered one: what has
/// become free is taken again.
const NUMBERS_TRIED: u32 = 8;
const HINTS: usize = 1024;
/// 16, 32, 64, ... 2^31: where to look for a free number when the hint was lost.
const FAR_FIRST: u32 = 16;
const FAR_STEPS: u32 = FAR_FIRST.leading_zeros() + 1;

/// Finds free names.
///
/// Memory: 16 KiB.
pub(super) struct Names {
    hash: SeededHash,
    /// The next number worth trying for a name that many want, by its hash.
    hints: Box<[(u64, u32)]>,
}

impl Names {
    pub(super) fn new(hash: SeededHash) -> Self {
        Self { hash, hints: vec![(0, 0); HINTS].into_boxed_slice() }
    }

    pub(super) fn rows(&self) -> Vec<NameRow> {
        let hints = (0..).zip(&self.hints).filter(|(_, hint)| **hint != (0, 0));
        hints.map(|(at, &(key, number))| (at, key, number)).collect()
    }

    pub(super) fn refill(&mut self, rows: &[NameRow]) -> Result<(), Unfit> {
        for &(at, key, number) in rows {
            holds(usize::from(at) == key as usize % HINTS && number >= 2, "numbers of names")?;
            self.hints[usize::from(at)] = (key, number);
        }
        Ok(())
    }

    /// `name`, or with a number behind it if it `is_taken`.
    pub(super) fn free(&mut self, name: Name, is_taken: impl Fn(&str) -> bool) -> Name {
        if !is_taken(name.as_str()) {
            return name;
        }
        let key = self.hash.of(name.as_str());
        let hint = self.hints[key as usize % HINTS];
        let hinted = if hint.0 == key { hint.1 } else { 2 };
        let number = free_number(name, hinted, is_taken);
        self.hints[key as usize % HINTS] = (key, number.max(hinted).saturating_add(1));
        name.numbered(number)
    }
}

/// The lowest free number from 2 on, near its beginning; else one not far from `hinted`.
fn free_number(name: Name, hinted: u32, is_taken: impl Fn(&str) -> bool) -> u32 {
    let is_free = |number: &u32| !is_taken(name.numbered(*number).as_str());
    let near = (2..2 + NUMBERS_TRIED).find(is_free);
    let hinted = || (hinted..hinted.saturating_add(NUMBERS_TRIED)).find(is_free);
    let far = || (0..FAR_STEPS).map(|doubling| FAR_FIRST << doubling).find(is_free);
    near.or_else(hinted).or_else(far).unwrap_or_else(|| (2..).find(is_free).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    struct Bearers {
        names: Names,
        taken: HashSet<String>,
    }

    impl Bearers {
        fn new() -> Self {
            Self { names: Names::new(SeededHash::new([5; 16])), taken: HashSet::new() }
        }

        fn join(&mut self, name: &str) -> String {
            let free = self.names.free(Name::parse(name).unwrap(), |name| self.taken.contains(name));
            assert!(self.taken.insert(free.as_str().to_owned()), "{} is taken", free.as_str());
            free.as_str().to_owned()
        }
    }

    #[test]
    fn a_name_in_use_gets_a_number() {
        let mut bearers = Bearers::new();
        for expected in ["bob", "bob#2", "bob#3"] {
            assert_eq!(bearers.join("bob"), expected);
        }
        bearers.taken.remove("bob#2");
        assert_eq!(bearers.join("bob"), "bob#2");
    }

    #[test]
    fn a_name_that_hundreds_want_stays_unique() {
        let mut bearers = Bearers::new();
        (1..=900).for_each(|_| _ = bearers.join("guest"));
        assert!(bearers.taken.contains("guest#900"));
        bearers.names.hints.fill((0, 0));
        bearers.join("guest");
    }

    #[test]
    fn numbers_begin_at_two() {
        let mut bearers = Bearers::new();
        let near = 2..2 + NUMBERS_TRIED;
        let far = (0..FAR_STEPS).map(|doubling| FAR_FIRST << doubling);
        bearers.taken.insert("bob".to_owned());
        bearers.taken.extend(near.chain(far).map(|number| format!("bob#{number}")));
        assert_eq!(bearers.join("bob"), "bob#10");
    }
}
