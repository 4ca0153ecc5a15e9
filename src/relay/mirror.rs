//! Owns the memory by which an echo is known: which texts were relayed lately,
//! and from whom. Never keeps the texts.

use super::hash::SeededHash;
use super::snapshot::{MirrorRow, Unfit, holds};
use crate::Time;
use crate::config;

const WAYS: usize = 4;

/// Who sent a text, and when. The origin is a hash of the address, never 0.
#[derive(Clone, Copy, Default)]
struct Relayed {
    origin: u64,
    at_ns: u64,
}

/// One text: its two newest origins. Two are enough to answer exactly whether
/// somebody other than a given peer sent it lately.
#[derive(Clone, Copy, Default)]
struct Entry {
    text: u64,
    newest: Relayed,
    other: Relayed,
}

/// The texts relayed lately, by hash: a fixed table in which the oldest text
/// of a set makes room.
pub(super) struct MirrorGuard {
    entries: Box<[Entry]>,
    hash: SeededHash,
}

impl MirrorGuard {
    pub(super) fn new(hash: SeededHash) -> Self {
        Self { entries: vec![Entry::default(); config::MIRROR_TABLE].into_boxed_slice(), hash }
    }

    /// The hash by which a text is known here.
    pub(super) fn text(&self, bytes: &[u8]) -> u64 {
        self.hash.of_bytes(bytes)
    }

    /// Takes note that `text` was relayed for `origin`.
    pub(super) fn relayed(&mut self, text: u64, origin: u64, now: Time) {
        let set = self.set(text);
        let rank = |entry: &Entry| if entry.text == text { 0 } else { entry.newest.at_ns.saturating_add(1) };
        let Some(entry) = set.iter_mut().min_by_key(|entry| rank(entry)) else { return };
        if entry.text != text {
            *entry = Entry { text, ..Entry::default() };
        } else if entry.newest.origin != origin {
            entry.other = entry.newest;
        }
        entry.newest = Relayed { origin, at_ns: now.nanos() };
    }

    /// Whether `text` was relayed within the window for somebody other than `peer`.
    pub(super) fn is_echo(&mut self, text: u64, peer: u64, now: Time) -> bool {
        let Some(entry) = self.set(text).iter().find(|entry| entry.text == text) else { return false };
        let by_other = if entry.newest.origin == peer { entry.other } else { entry.newest };
        by_other.origin != 0 && now.nanos().saturating_sub(by_other.at_ns) <= config::MIRROR_WINDOW_MS * 1_000_000
    }

    /// The texts that were relayed lately, or before: they decide where the next ones come.
    pub(super) fn rows(&self) -> Vec<MirrorRow> {
        let entries = (0..).zip(&self.entries).filter(|(_, entry)| entry.newest.origin != 0);
        let pair = |relayed: Relayed| (relayed.origin, relayed.at_ns);
        let row = |(place, entry): (u32, &Entry)| {
            let Entry { text, newest, other } = *entry;
            MirrorRow { place, text, newest: pair(newest), other: pair(other) }
        };
        entries.map(row).collect()
    }

    pub(super) fn refill(&mut self, rows: &[MirrorRow]) -> Result<(), Unfit> {
        for row in rows {
            let (start, at) = (self.set_start(row.text), row.place as usize);
            holds((start..start + WAYS).contains(&at) && self.entries[at].newest.origin == 0, "texts relayed lately")?;
            let relayed = |(origin, at_ns)| Relayed { origin, at_ns };
            self.entries[at] = Entry { text: row.text, newest: relayed(row.newest), other: relayed(row.other) };
        }
        Ok(())
    }

    fn set(&mut self, text: u64) -> &mut [Entry] {
        let start = self.set_start(text);
        &mut self.entries[start..start + WAYS]
    }

    fn set_start(&self, text: u64) -> usize {
        let sets = self.entries.len() / WAYS;
        (text as usize & (sets - 1)) * WAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_echo_is_what_another_said_within_two_seconds() {
        let mut guard = MirrorGuard::new(SeededHash::new([1; 16]));
        let (now, ok) = (Time::default(), guard.text(b"ok"));
        assert!(!guard.is_echo(ok, 1, now));
        guard.relayed(ok, 1, now);
        assert!(!guard.is_echo(ok, 1, now));
        assert!(guard.is_echo(ok, 2, now + Duration::from_secs(2)));
        assert!(!guard.is_echo(ok, 2, now + Duration::from_secs(3)));
        guard.relayed(ok, 2, now + Duration::from_secs(1));
        guard.relayed(ok, 2, now + Duration::from_secs(2));
        assert!(guard.is_echo(ok, 1, now + Duration::from_secs(2)));
        assert!(guard.is_echo(ok, 2, now + Duration::from_secs(2)));
        assert!(!guard.is_echo(ok, 2, now + Duration::from_secs(3)));
    }

    #[test]
    fn remembers_about_as_many_texts_as_it_has_room_for() {
        let mut guard = MirrorGuard::new(SeededHash::new([1; 16]));
        let texts: Vec<u64> = (0..config::MIRROR_TABLE as u64).map(|n| guard.text(&n.to_le_bytes())).collect();
        for (nanos, text) in texts.iter().enumerate() {
            guard.relayed(*text, 1, Time::new(nanos as u64, 0));
        }
        let known = texts.iter().filter(|text| guard.is_echo(**text, 2, Time::default())).count();
        assert!(known > config::MIRROR_TABLE * 3 / 4, "{known}");
    }
}
