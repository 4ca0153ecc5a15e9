//! Owns who is in a room as far as this member was told: a list that was
//! asked for, and what came and went since. Never asks.

use outcry::client::{MemberId, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// Members of whom this program keeps the names; in larger rooms only their number is known.
pub(super) const LISTED_MAX: u32 = 256;

/// Somebody in a room, as of an entry.
#[derive(Debug)]
struct Known {
    name: String,
    at: Seq,
}

/// Who is in a room.
#[derive(Debug, Default)]
pub(super) struct Members {
    known: BTreeMap<MemberId, Known>,
    /// Entries up to this one are in the list that was asked for.
    listed_at: Seq,
}

impl Members {
    /// One of a list that holds entries up to `at`; what was told later wins.
    pub(super) fn learn(&mut self, member: MemberId, name: &str, at: Seq) {
        if self.known.get(&member).is_none_or(|known| known.at <= at) {
            self.known.insert(member, Known { name: name.to_owned(), at });
        }
    }

    /// The end of a list: who is not in it has gone, unless they came later.
    pub(super) fn end_list(&mut self, listed: &BTreeMap<MemberId, Seq>) {
        let Some(&at) = listed.values().min() else { return };
        self.known.retain(|member, known| listed.contains_key(member) || known.at > at);
        self.listed_at = at;
    }

    /// Somebody came, or has this name. What they were called before, if it was something else.
    pub(super) fn named(&mut self, member: MemberId, name: &str, at: Seq) -> Option<String> {
        let known = self.known.get(&member);
        if at <= known.map_or(self.listed_at, |known| known.at) {
            return None;
        }
        let former = self.known.insert(member, Known { name: name.to_owned(), at });
        former.map(|known| known.name).filter(|former| former != name)
    }

    /// Somebody went.
    pub(super) fn left(&mut self, member: MemberId, at: Seq) {
        if self.known.get(&member).is_some_and(|known| known.at < at) {
            self.known.remove(&member);
        }
    }

    /// Nothing is known any more: the relay's state is new.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn find(&self, name: &str) -> Option<MemberId> {
        self.known.iter().find(|(_, known)| known.name == name).map(|(member, _)| *member)
    }

    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// All names, in the order of people.
    pub(super) fn names(&self) -> Vec<&str> {
        let by_name = self.known.values().map(|known| (known.name.to_lowercase(), known.name.as_str()));
        by_name.collect::<BTreeSet<_>>().into_iter().map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMY: MemberId = MemberId(1);
    const BOB: MemberId = MemberId(2);
    const CYD: MemberId = MemberId(3);

    fn listed(members: &mut Members, list: &[(MemberId, &str)], at: u64) {
        list.iter().for_each(|(member, name)| members.learn(*member, name, Seq(at)));
        members.end_list(&list.iter().map(|(member, _)| (*member, Seq(at))).collect());
    }

    #[test]
    fn a_list_is_kept_up_to_date() {
        let mut members = Members::default();
        listed(&mut members, &[(BOB, "bob"), (AMY, "Amy")], 10);
        assert_eq!(members.names(), ["Amy", "bob"]);
        assert_eq!(members.named(CYD, "cyd", Seq(11)), None);
        assert_eq!(members.named(BOB, "Rob", Seq(12)), Some("bob".to_owned()));
        members.left(AMY, Seq(13));
        assert_eq!((members.names(), members.count()), (vec!["cyd", "Rob"], 2));
        assert_eq!((members.find("Rob"), members.find("bob")), (Some(BOB), None));
    }

    #[test]
    fn what_a_list_holds_already_does_not_happen_again() {
        let mut members = Members::default();
        listed(&mut members, &[(BOB, "bob")], 10);
        assert_eq!(members.named(AMY, "amy", Seq(8)), None);
        members.left(BOB, Seq(9));
        assert_eq!(members.names(), ["bob"]);
    }

    #[test]
    fn what_came_before_its_list_stays() {
        let mut members = Members::default();
        members.named(AMY, "amy", Seq(12));
        members.named(CYD, "cyd", Seq(9));
        listed(&mut members, &[(BOB, "bob")], 10);
        assert_eq!(members.names(), ["amy", "bob"]);
        members.learn(AMY, "old", Seq(11));
        assert_eq!(members.find("amy"), Some(AMY));
    }

    #[test]
    fn a_name_told_again_is_no_change() {
        let mut members = Members::default();
        listed(&mut members, &[(BOB, "bob")], 10);
        assert_eq!(members.named(BOB, "bob", Seq(11)), None);
        members.forget();
        assert_eq!(members.count(), 0);
    }
}
