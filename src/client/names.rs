//! Owns the names of a room's members, as far as the room and the relay told
//! them. Never asks for one.

use super::options::NAMES_MAX;
use crate::wire::id::{MemberId, Seq};
use std::collections::BTreeMap;

#[derive(Debug)]
struct Known {
    /// Empty: asked for, and not known.
    name: Box<str>,
    /// The entry up to which that is true.
    as_of: Seq,
    here: bool,
}

/// Who is called what, at most [`NAMES_MAX`] of them.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<MemberId, Known>,
}

impl Names {
    /// A member's name, if it is known.
    pub(super) fn name(&self, member: MemberId) -> Option<&str> {
        self.known.get(&member).map(|known| &*known.name).filter(|name| !name.is_empty())
    }

    /// A member is called `name`, as of entry `as_of`; `here`: it is in the
    /// room. Whether it was asked for.
    pub(super) fn learn(&mut self, member: MemberId, name: &str, as_of: Seq, here: bool) -> bool {
        let mut is_answer = false;
        if let Some(known) = self.known.get_mut(&member) {
            is_answer = known.name.is_empty();
            if as_of >= known.as_of {
                (known.as_of, known.here) = (as_of, here);
                if *known.name != *name {
                    known.name = name.into();
                }
            }
        } else if self.has_place() {
            self.known.insert(member, Known { name: name.into(), as_of, here });
        }
        is_answer
    }

    /// Whether to ask for a member's name: once.
    pub(super) fn wants(&mut self, member: MemberId) -> bool {
        let wants = !self.known.contains_key(&member) && self.has_place();
        if wants {
            self.known.insert(member, Known { name: "".into(), as_of: Seq(0), here: true });
        }
        wants
    }

    /// The relay's members are others.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Makes a place, if need be by forgetting those who are not here.
    fn has_place(&mut self) -> bool {
        if self.known.len() >= NAMES_MAX {
            self.known.retain(|_, known| known.here);
        }
        self.known.len() < NAMES_MAX
    }
}

/// A plain member's line as its native readers see it: without the author's
/// name before it. A plain client does not know that it was given a number, so
/// `bob : hi` of `bob#2` counts too.
pub(super) fn without_author<'a>(line: &'a [u8], author: &str) -> &'a [u8] {
    let numbered = author.rsplit_once('#').filter(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let names = [Some(author), numbered.map(|(name, _)| name)];
    let strip = |name: &str| line.strip_prefix(name.as_bytes())?.strip_prefix(b" : ");
    names.into_iter().flatten().find_map(strip).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_newer_counts() {
        let (mut names, bob) = (Names::default(), MemberId(7));
        names.learn(bob, "bob", Seq(5), true);
        names.learn(bob, "older", Seq(4), true);
        assert_eq!(names.name(bob), Some("bob"));
        names.learn(bob, "rob", Seq(6), true);
        assert_eq!(names.name(bob), Some("rob"));
        names.clear();
        assert_eq!(names.name(bob), None);
    }

    #[test]
    fn a_name_is_asked_for_once() {
        let (mut names, bob) = (Names::default(), MemberId(7));
        assert!(names.wants(bob) && !names.wants(bob));
        assert_eq!(names.name(bob), None);
        assert!(names.learn(bob, "bob", Seq(0), true) && !names.learn(bob, "bob", Seq(0), true));
        assert_eq!(names.name(bob), Some("bob"));
    }

    #[test]
    fn who_has_left_makes_place_and_who_is_here_stays() {
        let mut names = Names::default();
        for n in 0..NAMES_MAX as u32 {
            names.learn(MemberId(n), "x", Seq(1), n != 3);
        }
        assert!(names.wants(MemberId(100_000)));
        assert!(names.name(MemberId(3)).is_none() && names.name(MemberId(4)).is_some());
        assert!(!names.wants(MemberId(100_001)));
        names.learn(MemberId(100_002), "late", Seq(1), true);
        assert_eq!(names.name(MemberId(100_002)), None);
    }

    #[test]
    fn a_line_loses_its_authors_name_only() {
        let strip = |line: &str, author| String::from_utf8(without_author(line.as_bytes(), author).to_vec()).unwrap();
        assert_eq!(strip("bob : hi", "bob"), "hi");
        assert_eq!(strip("bob : hi", "bob#2"), "hi");
        assert_eq!(strip("bob#2 : hi", "bob#2"), "hi");
        for (line, author) in [("bob: hi", "bob"), ("alice : hi", "bob"), ("bob : hi", "bob#x"), ("hi", "bob")] {
            assert_eq!(strip(line, author), line);
        }
    }
}
