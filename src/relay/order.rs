//! Owns doubly linked lists over the places of a slab: who comes after whom,
//! in links that lie apart from the elements. Never knows what an element is.

const NONE: u32 = u32::MAX;
/// Stands for the previous one of an element that is in no list.
const APART: u32 = u32::MAX - 1;

/// The two ends of a list. Many lists can share one [`Links`]; an element is
/// in one of them at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    first: u32,
    last: u32,
}

impl List {
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE };

    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    pub(super) fn last(&self) -> Option<u32> {
        (self.last != NONE).then_some(self.last)
    }
}

/// The links between the places `0..capacity`.
///
/// Memory: 8 bytes a place, taken at the start, used as places are.
pub(super) struct Links {
    /// What comes before and behind.
    links: Vec<[u32; 2]>,
    capacity: usize,
}

impl Links {
    pub(super) fn new(capacity: usize) -> Self {
        assert!(capacity <= APART as usize, "every place has a number");
        Self { links: Vec::with_capacity(capacity), capacity }
    }

    /// Places that can be in a list.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Has at least so many places.
    pub(super) fn grow(&mut self, places: usize) {
        assert!(places <= APART as usize, "every place has a number");
        self.capacity = self.capacity.max(places);
    }

    /// What is in `list`, first to last.
    pub(super) fn places(&self, list: &List) -> Vec<u32> {
        std::iter::successors(list.first(), |&at| self.next(at)).collect()
    }

    /// Whether `at` is in a list.
    pub(super) fn is_linked(&self, at: u32) -> bool {
        self.links.get(at as usize).is_some_and(|&[before, _]| before != APART)
    }

    /// What comes behind `at`, which is in a list.
    pub(super) fn next(&self, at: u32) -> Option<u32> {
        let [_, behind] = self.links[at as usize];
        (behind != NONE).then_some(behind)
    }

    /// Puts `at`, which is in no list, behind all others of `list`.
    pub(super) fn push_back(&mut self, list: &mut List, at: u32) {
        assert!((at as usize) < self.capacity && !self.is_linked(at), "{at} is free to be linked");
        if self.links.len() <= at as usize {
            self.links.resize(at as usize + 1, [APART, NONE]);
        }
        let links = [list.last, NONE];
        self.links[at as usize] = links;
        self.join(list, links, at, at);
    }

    /// Takes `at` out of `list`, in which it is.
    pub(super) fn remove(&mut self, list: &mut List, at: u32) {
        assert!(self.is_linked(at), "{at} is in a list");
        let [before, behind] = std::mem::replace(&mut self.links[at as usize], [APART, NONE]);
        self.join(list, [before, behind], before, behind);
    }

    /// The element at `from` now lies at `to`, which is in no list: it keeps its place in `list`.
    pub(super) fn relocate(&mut self, list: &mut List, from: u32, to: u32) {
        assert!(self.is_linked(from) && !self.is_linked(to), "{from} is in a list, {to} is in none");
        let links = std::mem::replace(&mut self.links[from as usize], [APART, NONE]);
        self.links[to as usize] = links;
        self.join(list, links, to, to);
    }

    /// What comes `before` is followed by `next`, what comes `behind` preceded by `previous`.
    fn join(&mut self, list: &mut List, [before, behind]: [u32; 2], previous: u32, next: u32) {
        match self.links.get_mut(before as usize) {
            Some([_, behind]) => *behind = next,
            None => list.first = next,
        }
        match self.links.get_mut(behind as usize) {
            Some([before, _]) => *before = previous,
            None => list.last = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const PLACES: u32 = 24;

    #[derive(Clone, Debug)]
    enum Step {
        PushBack(usize, u32),
        Remove(u32),
        Relocate(u32, u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..3, 0..PLACES).prop_map(|(list, at)| Step::PushBack(list, at)),
            (0..PLACES).prop_map(Step::Remove),
            (0..PLACES, 0..PLACES).prop_map(|(from, to)| Step::Relocate(from, to)),
        ]
    }

    fn walk(links: &Links, list: &List) -> VecDeque<u32> {
        std::iter::successors(list.first(), |&at| links.next(at)).take(1 + PLACES as usize).collect()
    }

    proptest! {
        /// Three lists over the same places, against three queues.
        #[test]
        fn lists_agree_with_queues(steps in proptest::collection::vec(step(), 1..200)) {
            let mut links = Links::new(PLACES as usize);
            let (mut lists, mut model) = ([List::EMPTY; 3], vec![VecDeque::new(); 3]);
            for step in steps {
                let list_of = |at: u32| model.iter().position(|queue: &VecDeque<u32>| queue.contains(&at));
                match step {
                    Step::PushBack(list, at) if list_of(at).is_none() => {
                        links.push_back(&mut lists[list], at);
                        model[list].push_back(at);
                    }
                    Step::Remove(at) => if let Some(list) = list_of(at) {
                        links.remove(&mut lists[list], at);
                        model[list].retain(|&other| other != at);
                    },
                    Step::Relocate(from, to) if list_of(to).is_none() && to < links.links.len() as u32 => {
                        if let Some(list) = list_of(from) {
                            links.relocate(&mut lists[list], from, to);
                            model[list].iter_mut().filter(|at| **at == from).for_each(|at| *at = to);
                        }
                    }
                    _ => {}
                }
                for (list, queue) in lists.iter().zip(&model) {
                    prop_assert_eq!(&walk(&links, list), queue);
                    prop_assert_eq!((list.first(), list.last()), (queue.front().copied(), queue.back().copied()));
                }
                for at in 0..PLACES {
                    prop_assert_eq!(links.is_linked(at), model.iter().any(|queue| queue.contains(&at)));
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "free to be linked")]
    fn an_element_is_in_one_list_at_most() {
        let (mut links, mut one, mut other) = (Links::new(2), List::EMPTY, List::EMPTY);
        links.push_back(&mut one, 1);
        links.push_back(&mut other, 1);
    }

    #[test]
    #[should_panic(expected = "free to be linked")]
    fn there_are_no_places_beyond_the_capacity() {
        Links::new(2).push_back(&mut List::EMPTY.clone(), 2);
    }
}
