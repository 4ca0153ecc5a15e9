//! Owns when the room is told who came and went: at once while that is cheap,
//! merged under a storm, not at all where N members to N members would be N²
//! datagrams. Never knows who is a member.

use super::bucket::{Bucket, Rate};
use super::mirror::MirrorGuard;
use super::snapshot::{AddrRow, NoticesRows, PendingRow, Unfit, holds};
use crate::Time;
use crate::batch::{MemberIndex, Outbox, Path};
use crate::config;
use crate::metrics::Counters;
use crate::wire::plain::{self, Change, Lang, Name, RelayLine};
use std::net::SocketAddr;
use std::time::Duration;

/// What the mirror guard knows the relay by: no hash of an address is even.
const NOTICE_ORIGIN: u64 = 2;

/// Changes of one kind that wait to be told together.
#[derive(Clone, Copy, Default)]
struct Pending {
    /// The first two of them.
    names: [Option<Name>; 2],
    /// Whom the first is about, if it was here.
    about: Option<SocketAddr>,
    count: u32,
}

impl Pending {
    fn row(&self) -> PendingRow<'_> {
        let names = self.names.each_ref().map(|name| name.as_ref().map(Name::as_str));
        PendingRow { names, about: self.about.map(AddrRow::from), count: self.count }
    }

    fn of(row: &PendingRow<'_>) -> Result<Self, Unfit> {
        let names = row.names.map(|name| name.and_then(|name| Name::parse(name).ok()));
        let known = names.iter().flatten().count();
        // The first two have their names; more are a number.
        let counts = known == row.names.iter().flatten().count() && known == row.count.min(2) as usize;
        holds(counts && row.count < u32::MAX / 2 && (known == 0 || names[0].is_some()), "who came and went")?;
        Ok(Self { names, about: row.about.map(SocketAddr::from), count: row.count })
    }
}

/// Tells the room of joins and leaves.
pub(super) struct Notices {
    lang: Lang,
    alone: Rate,
    copies: Rate,
    alone_bucket: Bucket,
    copies_bucket: Bucket,
    joined: Pending,
    left: Pending,
    due: Option<Time>,
}

/// What a notice needs besides itself.
pub(super) struct Room<'a> {
    /// Members, the one it is about included.
    pub(super) members: usize,
    /// A member that sends a notice back is an echo too.
    pub(super) mirror: &'a mut MirrorGuard,
    pub(super) counters: &'a mut Counters,
    pub(super) out: &'a mut Outbox,
}

impl Notices {
    pub(super) fn new(lang: Lang, notices_per_s: u32, notice_copies_per_s: u32) -> Self {
        Self {
            lang,
            alone: Rate { per_s: notices_per_s, burst: notices_per_s.max(config::NOTICE_BURST) },
            copies: Rate::per_second(notice_copies_per_s, 0),
            alone_bucket: Bucket::default(),
            copies_bucket: Bucket::default(),
            joined: Pending::default(),
            left: Pending::default(),
            due: None,
        }
    }

    /// From now on in `lang`, within these rates.
    pub(super) fn reconfigure(&mut self, lang: Lang, notices_per_s: u32, notice_copies_per_s: u32) {
        let Self { lang: _, alone, copies, .. } = Self::new(lang, notices_per_s, notice_copies_per_s);
        (self.lang, self.alone, self.copies) = (lang, alone, copies);
    }

    pub(super) fn rows(&self) -> NoticesRows<'_> {
        NoticesRows {
            alone: self.alone_bucket.full_at_ns(),
            copies: self.copies_bucket.full_at_ns(),
            pending: [self.joined.row(), self.left.row()],
            due_ns: self.due.map(Time::nanos),
        }
    }

    pub(super) fn refill(&mut self, rows: &NoticesRows<'_>) -> Result<(), Unfit> {
        self.alone_bucket = Bucket::full_from(rows.alone);
        self.copies_bucket = Bucket::full_from(rows.copies);
        let [joined, left] = &rows.pending;
        (self.joined, self.left) = (Pending::of(joined)?, Pending::of(left)?);
        self.due = rows.due_ns.map(|due_ns| Time::new(due_ns, 0));
        let waits = self.joined.count + self.left.count > 0;
        holds(waits == self.due.is_some(), "notices that wait")
    }

    /// When what waits must be told.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due
    }

    /// Tells the room of one change, now or later. `about` is the member it
    /// is about, if still here: it is not told.
    pub(super) fn change(
        &mut self,
        now: Time,
        change: Change,
        name: &Name,
        about: Option<(MemberIndex, Path)>,
        room: &mut Room<'_>,
    ) {
        if self.due.is_none() && self.alone_bucket.take(self.alone, 1, now) {
            let line = plain::notice(self.lang, change, name);
            return self.tell(now, &line, 1, about, room);
        }
        let pending = match change {
            Change::Joined => &mut self.joined,
            Change::Left => &mut self.left,
        };
        if pending.count == 0 {
            pending.about = about.map(|(_, path)| path.remote);
        }
        if let Some(place) = pending.names.get_mut(pending.count as usize) {
            *place = Some(*name);
        }
        pending.count = pending.count.saturating_add(1);
        self.due.get_or_insert(now + Duration::from_millis(config::NOTICE_MERGE_MS));
    }

    /// Tells the room what waits, if it is due. `member_at` finds the member
    /// that a notice of one is about: it is not told.
    pub(super) fn handle_deadline(
        &mut self,
        now: Time,
        member_at: impl Fn(SocketAddr) -> Option<(MemberIndex, Path)>,
        room: &mut Room<'_>,
    ) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        for (change, pending) in
            [(Change::Joined, std::mem::take(&mut self.joined)), (Change::Left, std::mem::take(&mut self.left))]
        {
            let (line, about) = match pending.names {
                [Some(first), Some(second)] => {
                    (plain::merged_notice(self.lang, change, &first, &second, pending.count - 2), None)
                }
                [Some(only), None] => (plain::notice(self.lang, change, &only), pending.about.and_then(&member_at)),
                _ => continue,
            };
            self.tell(now, &line, pending.count, about, room);
        }
    }

    /// Sends a notice of `changes` changes, unless that makes too many copies.
    fn tell(
        &mut self,
        now: Time,
        line: &RelayLine,
        changes: u32,
        about: Option<(MemberIndex, Path)>,
        room: &mut Room<'_>,
    ) {
        let copies = u32::try_from(room.members - usize::from(about.is_some())).unwrap_or(u32::MAX);
        if self.copies_bucket.take(self.copies, copies, now) {
            room.out.announce(about, line.as_bytes());
            room.mirror.relayed(room.mirror.text(line.as_bytes()), NOTICE_ORIGIN, now);
            room.counters.notices_told += u64::from(changes);
            room.counters.notices_merged += if changes > 1 { u64::from(changes) } else { 0 };
        } else {
            room.counters.notices_suppressed += u64::from(changes);
        }
    }
}
