//! Owns the view of who is here, for other threads. Decides nothing: the
//! server writes it from the core's events, outside the fan-out.

use dashmap::DashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Members of a part when the directory is full. Parts are locked apart, so
/// writers and readers rarely meet; and a part that grows moves no more than
/// these, some 25 us, so that a join never stalls the loop.
const PART_MEMBERS_MAX: usize = 512;
/// Parts of a small directory.
const PARTS_MIN: usize = 64;

/// A member as other threads see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its address.
    pub remote: SocketAddr,
    /// Its name, unique among the members.
    pub name: Arc<str>,
    /// Whether it speaks the native protocol.
    pub native: bool,
    /// Whether the operator has muted it.
    pub muted: bool,
    /// When it joined, in seconds of Unix time.
    pub since_unix_s: u64,
    /// Lines it has said.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
}

struct Entry {
    name: Arc<str>,
    native: bool,
    muted: bool,
    /// Until 2106: the entry is shorter by eight bytes.
    since_unix_s: u32,
    lines: AtomicU64,
    bytes: AtomicU64,
}

/// Who is here, by address. Share it in an `Arc`.
///
/// Memory: about 80 bytes a member; the name is shared with the core.
pub struct Directory {
    entries: DashMap<SocketAddr, Entry>,
    changes: AtomicU64,
}

impl Directory {
    /// A directory that stays quick up to `members_max`. It takes its memory
    /// as they come: a table of that size would touch a page for each of the
    /// first thousands.
    pub fn new(members_max: usize) -> Self {
        let parts = members_max.div_ceil(PART_MEMBERS_MAX).next_power_of_two().max(PARTS_MIN);
        Self { entries: DashMap::with_shard_amount(parts), changes: AtomicU64::new(0) }
    }

    /// A member has come.
    pub fn insert(&self, remote: SocketAddr, name: Arc<str>, native: bool, since_unix_s: u64) {
        let since_unix_s = u32::try_from(since_unix_s).unwrap_or(u32::MAX);
        let (lines, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let entry = Entry { name, native, muted: false, since_unix_s, lines, bytes };
        self.entries.insert(remote, entry);
        self.changed();
    }

    /// A member has gone.
    pub fn remove(&self, remote: SocketAddr) {
        self.entries.remove(&remote);
        self.changed();
    }

    /// A member is reached at another address.
    pub fn rekey(&self, from: SocketAddr, to: SocketAddr) {
        if let Some((_, entry)) = self.entries.remove(&from) {
            self.entries.insert(to, entry);
            self.changed();
        }
    }

    /// A member has another name.
    pub fn rename(&self, remote: SocketAddr, name: Arc<str>) {
        if let Some(mut entry) = self.entries.get_mut(&remote) {
            entry.name = name;
            self.changed();
        }
    }

    /// A member is mute, or not any more.
    pub fn mute(&self, remote: SocketAddr, muted: bool) {
        if let Some(mut entry) = self.entries.get_mut(&remote) {
            entry.muted = muted;
            self.changed();
        }
    }

    /// How often somebody came, went, moved, was renamed or muted.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// One thread writes: the server's.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// A member has said `lines` lines of `bytes` bytes in all.
    pub fn count(&self, remote: SocketAddr, lines: u64, bytes: u64) {
        if let Some(entry) = self.entries.get(&remote) {
            entry.lines.fetch_add(lines, Ordering::Relaxed);
            entry.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// How many are here.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The member at `remote`.
    pub fn member(&self, remote: SocketAddr) -> Option<Member> {
        self.entries.get(&remote).map(|entry| view(remote, &entry))
    }

    /// Everyone, longest here first. O(n log n), locks one part at a time.
    pub fn members(&self) -> Vec<Member> {
        let mut members: Vec<_> = self.entries.iter().map(|entry| view(*entry.key(), &entry)).collect();
        members.sort_by(|a, b| (a.since_unix_s, &a.name).cmp(&(b.since_unix_s, &b.name)));
        members
    }
}

fn view(remote: SocketAddr, entry: &Entry) -> Member {
    Member {
        remote,
        name: Arc::clone(&entry.name),
        native: entry.native,
        muted: entry.muted,
        since_unix_s: entry.since_unix_s.into(),
        lines: entry.lines.load(Ordering::Relaxed),
        bytes: entry.bytes.load(Ordering::Relaxed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_who_is_here_and_what_they_said() {
        let directory = Directory::new(10);
        let [a, b] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        directory.insert(b, "bob".into(), false, 20);
        directory.insert(a, "alice".into(), true, 10);
        directory.count(a, 2, 30);
        directory.count(SocketAddr::from(([127, 0, 0, 1], 3)), 1, 1);
        let names: Vec<_> = directory.members().iter().map(|member| member.name.to_string()).collect();
        assert_eq!(names, ["alice", "bob"]);
        assert_eq!(directory.member(a).map(|member| (member.lines, member.bytes)), Some((2, 30)));
        directory.remove(a);
        assert_eq!((directory.len(), directory.member(a)), (1, None));
    }
}
