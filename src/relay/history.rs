//! Owns the memory of all rooms' histories, and each room's [`Ring`]: what was
//! said lately, in the form in which it goes out, from which fan-out, repair
//! and feeding alike are packed. Never decides who gets what, and never
//! grows beyond the [`Pool`].
//!
//! A page holds whole entries. They grow up from its start, contiguous, so a
//! run of them is copied at once; their slots grow down from its end:
//!
//! ```text
//! | entry 0 | entry 1 | entry 2 | ...  free  ... | slot 2 | slot 1 | slot 0 |
//! ```

use super::snapshot::{PageRow, RingRow, Unfit, holds};
use std::ops::RangeInclusive;

/// Bytes of a page: what a ring grows by, and gives up at once.
pub(super) const PAGE_BYTES: usize = 32 << 10;
/// Pages of a ring at least: while the newest fills, the one before it stays.
pub(super) const RING_PAGES_MIN: usize = 2;
/// Pages of a ring at most: 1 MiB.
pub(super) const RING_PAGES_MAX: usize = 32;
/// Bytes of [`Ring::cost`] that may be appended before they are sent: none of
/// them is evicted by the others, however small the ring.
pub(super) const FRESH_COST_MAX: usize = 24 << 10;

/// What stands before an entry's payload: member u32, sseq u32, kind u8, len u16.
const ENTRY_HEADER_BYTES: usize = 11;
const PAYLOAD_BYTES_MAX: usize = 1191;
/// Where an entry begins in its page, u16, and when it was accepted, u32.
const SLOT_BYTES: usize = 6;
/// Entries of one run: a BATCH counts them in a byte.
const RUN_ENTRIES_MAX: u64 = u8::MAX as u64;

const _: () = {
    assert!(PAGE_BYTES <= u16::MAX as usize, "a page's offsets fit in u16");
    assert!(FRESH_COST_MAX + Ring::cost(PAYLOAD_BYTES_MAX) <= PAGE_BYTES, "what is fresh fits in a page begun late");
    assert!(
        FRESH_COST_MAX / Ring::cost(0) <= RingLimits::DEFAULT.messages_max as usize,
        "and in the number of messages"
    );
    assert!(size_of::<Ring>() <= 552, "the memory that the doc of Ring names");
};

// ---- the pool ----------------------------------------------------------------

/// A page's number in the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PageId(u32);

/// The memory of all rings, in pages.
///
/// Memory: the `bytes_max` of [`Pool::new`] in whole pages, zeroed by the
/// system, so a page costs nothing until it is first written; and 4 bytes each.
pub(super) struct Pool {
    memory: Box<[u8]>,
    /// Taken from the end: first what was used before.
    free: Vec<PageId>,
}

impl Pool {
    pub(super) fn new(bytes_max: usize) -> Self {
        let pages = u32::try_from(bytes_max / PAGE_BYTES).expect("invariant: the pool has less than 2^32 pages");
        Self {
            memory: vec![0; pages as usize * PAGE_BYTES].into_boxed_slice(),
            free: (0..pages).rev().map(PageId).collect(),
        }
    }

    /// Pages that no ring has.
    pub(super) fn free_pages(&self) -> usize {
        self.free.len()
    }

    fn take(&mut self) -> Option<PageId> {
        self.free.pop()
    }

    fn give_back(&mut self, id: PageId) {
        self.free.push(id);
    }

    fn page(&self, id: PageId) -> &[u8; PAGE_BYTES] {
        &self.memory.as_chunks().0[id.0 as usize]
    }

    fn page_mut(&mut self, id: PageId) -> &mut [u8; PAGE_BYTES] {
        &mut self.memory.as_chunks_mut().0[id.0 as usize]
    }
}

// ---- what goes in and comes out ------------------------------------------------

/// An entry of a room, before it has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) member: u32,
    pub(super) sseq: u32,
    pub(super) kind: u8,
    /// Up to 1191 bytes.
    pub(super) payload: &'a [u8],
}

impl Entry<'_> {
    fn len(&self) -> usize {
        ENTRY_HEADER_BYTES + self.payload.len()
    }

    /// Writes the entry as it stands in a BATCH; `to` has its length.
    fn write(&self, to: &mut [u8]) {
        let len = u16::try_from(self.payload.len()).expect("invariant: a payload fits in a datagram");
        to[0..4].copy_from_slice(&self.member.to_le_bytes());
        to[4..8].copy_from_slice(&self.sseq.to_le_bytes());
        to[8] = self.kind;
        to[9..11].copy_from_slice(&len.to_le_bytes());
        to[ENTRY_HEADER_BYTES..].copy_from_slice(self.payload);
    }
}

/// Consecutive entries that one BATCH can hold: accepted within one second,
/// `base` the number of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run<'a> {
    pub(super) base: u64,
    /// 1 to 255.
    pub(super) count: u8,
    /// When they were accepted, in Unix seconds.
    pub(super) time_s: u32,
    /// The entries as they stand in a BATCH.
    pub(super) bytes: &'a [u8],
}

/// What becomes of the numbers that a NACK asks for. Those above the head are in neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Gone for good: to be answered with GAP.
    pub(super) gone: Option<RangeInclusive<u64>>,
    /// Still here: to be sent again.
    pub(super) kept: Option<RangeInclusive<u64>>,
}

// ---- the ring ------------------------------------------------------------------

/// How much a ring keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RingLimits {
    /// `RING_PAGES_MIN..=RING_PAGES_MAX`, of [`PAGE_BYTES`] each.
    pub(super) pages_max: usize,
    /// Entries at most. At least 1445, or what is fresh may be evicted.
    pub(super) messages_max: u32,
}

impl RingLimits {
    /// 1 MiB or 4096 messages.
    pub(super) const DEFAULT: Self = Self { pages_max: RING_PAGES_MAX, messages_max: 4096 };
}

/// A page in a ring: its entries are numbered from `first` up to the next
/// page's `first`, and end at `end`.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    first: u64,
    id: PageId,
    end: u16,
}

/// One room's history: entries with consecutive numbers, oldest out first.
///
/// Memory: 552 bytes, and pages of the pool: two from the start, more as they
/// fill, up to its limit. Where the pool has none, the ring overwrites its own oldest.
/// It is given back by [`Ring::release`], not by a drop.
pub(super) struct Ring {
    /// Oldest first, `held` of them.
    pages: [Page; RING_PAGES_MAX],
    held: usize,
    limits: RingLimits,
    head: u64,
    tail: u64,
}

impl Ring {
    /// An empty ring whose next entry is number `head` + 1; `None`: the pool is empty.
    pub(super) fn new(pool: &mut Pool, head: u64, limits: RingLimits) -> Option<Self> {
        assert!((RING_PAGES_MIN..=RING_PAGES_MAX).contains(&limits.pages_max) && limits.messages_max > 0);
        if pool.free_pages() < RING_PAGES_MIN {
            return None;
        }
        let mut pages = [Page::default(); RING_PAGES_MAX];
        for page in &mut pages[..RING_PAGES_MIN] {
            *page = Page { first: head + 1, id: pool.take()?, end: 0 };
        }
        Some(Self { pages, held: RING_PAGES_MIN, limits, head, tail: head + 1 })
    }

    /// What it holds, page by page.
    pub(super) fn row<'p>(&self, pool: &'p Pool) -> RingRow<'p> {
        RingRow {
            pages_max: self.limits.pages_max as u32,
            messages_max: self.limits.messages_max,
            head: self.head,
            tail: self.tail,
            pages: (0..self.held).map(|at| self.view(pool, at).row()).collect(),
        }
    }

    /// The ring of a snapshot. It keeps what it may by `limits`, and no less than it did.
    pub(super) fn of(row: &RingRow<'_>, pool: &mut Pool, limits: RingLimits) -> Result<Self, Unfit> {
        let limits = RingLimits {
            pages_max: limits.pages_max.max(row.pages_max as usize).min(RING_PAGES_MAX),
            messages_max: limits.messages_max.max(row.messages_max),
        };
        let firsts = row.pages.iter().skip(1).map(|page| page.first).chain(row.head.checked_add(1));
        let are_whole = row.pages.iter().zip(firsts).all(|(page, next)| page.is_whole(next));
        let kept = row.pages.first().map_or(0, |page| page.first)..=row.head.saturating_add(1);
        holds(are_whole && row.head < u64::MAX && row.tail > 0 && kept.contains(&row.tail), "entries of a room")?;
        let fits_itself = (RING_PAGES_MIN..=limits.pages_max).contains(&row.pages.len())
            && row.head + 1 - row.tail <= u64::from(limits.messages_max);
        holds(fits_itself, "how much a room keeps")?;
        let mut pages = [Page::default(); RING_PAGES_MAX];
        for (page, row) in pages.iter_mut().zip(&row.pages) {
            let id = pool.take().ok_or(Unfit::Inconsistent("pages were counted before"))?;
            *page = Page { first: row.first, id, end: row.entries.len() as u16 };
            let bytes = pool.page_mut(id);
            bytes[..row.entries.len()].copy_from_slice(row.entries);
            bytes[PAGE_BYTES - row.slots.len()..].copy_from_slice(row.slots);
        }
        Ok(Self { pages, held: row.pages.len(), limits, head: row.head, tail: row.tail })
    }

    /// Ends the ring: all its pages are free again.
    pub(super) fn release(self, pool: &mut Pool) {
        self.held().iter().for_each(|page| pool.give_back(page.id));
    }

    /// What an entry with a payload of so many bytes takes of a page.
    pub(super) const fn cost(payload_bytes: usize) -> usize {
        ENTRY_HEADER_BYTES + payload_bytes + SLOT_BYTES
    }

    /// The newest number, kept or not.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// The oldest number kept; `head` + 1 when the ring is empty.
    pub(super) fn tail(&self) -> u64 {
        self.tail
    }

    /// Entries kept.
    pub(super) fn len(&self) -> u64 {
        self.head + 1 - self.tail
    }

    /// Bytes of all entries kept.
    #[cfg(test)]
    pub(super) fn bytes(&self, pool: &Pool) -> usize {
        self.bytes_from(pool, self.tail)
    }

    /// Bytes of the kept entries from `from` on; 0 if it is not kept.
    pub(super) fn bytes_from(&self, pool: &Pool, from: u64) -> usize {
        let Some(at) = self.page_of(from) else { return 0 };
        let ends: usize = self.held()[at..].iter().map(|page| usize::from(page.end)).sum();
        ends - self.view(pool, at).slot(from).start
    }

    /// Adds an entry as the new head, whose number is returned. What is oldest
    /// makes room where the limits or the pool leave none.
    pub(super) fn append(&mut self, pool: &mut Pool, time_s: u32, entry: Entry<'_>) -> u64 {
        assert!(entry.payload.len() <= PAYLOAD_BYTES_MAX, "a payload fits in a datagram");
        if self.len() == u64::from(self.limits.messages_max) {
            self.tail += 1;
        }
        if self.newest_free() < Self::cost(entry.payload.len()) {
            self.turn_page(pool);
        }
        self.head += 1;
        self.write(pool, time_s, entry);
        self.head
    }

    /// When the entry was accepted, in Unix seconds, and its bytes as they stand in a BATCH.
    #[cfg(test)]
    pub(super) fn entry<'p>(&self, pool: &'p Pool, seq: u64) -> Option<(u32, &'p [u8])> {
        let run = self.run(pool, seq, seq, usize::MAX)?;
        Some((run.time_s, run.bytes))
    }

    /// The longest run that begins with `from`, ends with `to` at the latest
    /// and has `bytes_max` bytes at most. It ends where the second or the page
    /// changes, so a datagram may hold several. `None`: `from` is not kept, or
    /// does not fit.
    pub(super) fn run<'p>(&self, pool: &'p Pool, from: u64, to: u64, bytes_max: usize) -> Option<Run<'p>> {
        let page = self.view(pool, self.page_of(from)?);
        let Slot { start, time_s } = page.slot(from);
        let last = to.min(page.last).min(from.saturating_add(RUN_ENTRIES_MAX - 1));
        let (mut count, mut end) = (0, start);
        for seq in from..=last {
            let next_end = page.end_of(seq);
            if page.slot(seq).time_s != time_s || next_end - start > bytes_max {
                break;
            }
            (count, end) = (count + 1, next_end);
        }
        (count > 0).then(|| Run { base: from, count, time_s, bytes: &page.bytes[start..end] })
    }

    /// What of the `count` numbers from `start` on is gone, and what is kept.
    pub(super) fn asked(&self, start: u64, count: u16) -> Asked {
        let part = |first: u64, last: u64| {
            let end = start.saturating_add(u64::from(count.checked_sub(1)?));
            let (from, to) = (first.max(start), last.min(end));
            (from <= to).then_some(from..=to)
        };
        Asked { gone: part(0, self.tail - 1), kept: part(self.tail, self.head) }
    }

    fn held(&self) -> &[Page] {
        &self.pages[..self.held]
    }

    fn newest(&self) -> &Page {
        &self.pages[self.held - 1]
    }

    fn newest_free(&self) -> usize {
        let entries = (self.head + 1 - self.newest().first) as usize;
        PAGE_BYTES - usize::from(self.newest().end) - entries * SLOT_BYTES
    }

    /// Begins a page: one more if the limit and the pool allow it, else the
    /// oldest, whose entries are evicted.
    fn turn_page(&mut self, pool: &mut Pool) {
        while self.held > RING_PAGES_MIN && self.oldest_is_empty() {
            let id = self.give_up_oldest();
            pool.give_back(id);
        }
        let grows = !self.oldest_is_empty() && self.held < self.limits.pages_max;
        let added = if grows { pool.take() } else { None };
        let id = added.unwrap_or_else(|| self.give_up_oldest());
        self.pages[self.held] = Page { first: self.head + 1, id, end: 0 };
        self.held += 1;
    }

    /// Whether the limit of messages has left nothing of the oldest page.
    fn oldest_is_empty(&self) -> bool {
        self.pages[1].first <= self.tail
    }

    fn give_up_oldest(&mut self) -> PageId {
        let id = self.pages[0].id;
        self.tail = self.tail.max(self.pages[1].first);
        self.pages.copy_within(1..self.held, 0);
        self.held -= 1;
        id
    }

    /// Writes the head's entry and its slot into the newest page, which has room.
    fn write(&mut self, pool: &mut Pool, time_s: u32, entry: Entry<'_>) {
        let page = &mut self.pages[self.held - 1];
        let (bytes, start) = (pool.page_mut(page.id), page.end);
        let slot = slot_at(self.head - page.first);
        bytes[slot..slot + 2].copy_from_slice(&start.to_le_bytes());
        bytes[slot + 2..slot + SLOT_BYTES].copy_from_slice(&time_s.to_le_bytes());
        let end = usize::from(start) + entry.len();
        entry.write(&mut bytes[usize::from(start)..end]);
        page.end = end as u16;
    }

    /// Where in `pages` a kept number stands: near the end, if it is asked for at all.
    fn page_of(&self, seq: u64) -> Option<usize> {
        let kept = (self.tail..=self.head).contains(&seq);
        if kept { self.held().iter().rposition(|page| page.first <= seq) } else { None }
    }

    fn view<'p>(&self, pool: &'p Pool, at: usize) -> View<'p> {
        let page = self.pages[at];
        let last = self.held().get(at + 1).map_or(self.head, |next| next.first - 1);
        View { bytes: pool.page(page.id), first: page.first, last, end: usize::from(page.end) }
    }
}

/// Where the slot of a page's entry stands; entries are counted from 0.
fn slot_at(entry: u64) -> usize {
    PAGE_BYTES - (entry as usize + 1) * SLOT_BYTES
}

impl PageRow<'_> {
    /// Whether slots and entries agree, and `next` is the number of the first entry behind them.
    fn is_whole(&self, next: u64) -> bool {
        let entries = self.slots.len() / SLOT_BYTES;
        let fits = self.slots.len().is_multiple_of(SLOT_BYTES) && self.entries.len() + self.slots.len() <= PAGE_BYTES;
        let starts =
            self.slots.rchunks_exact(SLOT_BYTES).map(|slot| usize::from(u16::from_le_bytes([slot[0], slot[1]])));
        let end = starts.clone().zip(starts.skip(1).chain([self.entries.len()])).try_fold(0, |at, (start, end)| {
            let entry = self.entries.get(start..end).filter(|_| start == at)?;
            let len = usize::from(u16::from_le_bytes([*entry.get(9)?, *entry.get(10)?]));
            (len <= PAYLOAD_BYTES_MAX && entry.len() == ENTRY_HEADER_BYTES + len).then_some(end)
        });
        fits && self.first > 0
            && self.first.checked_add(entries as u64) == Some(next)
            && end == Some(self.entries.len())
    }
}

struct Slot {
    start: usize,
    time_s: u32,
}

/// A page to be read: the entries `first..=last` end at `end`.
struct View<'p> {
    bytes: &'p [u8; PAGE_BYTES],
    first: u64,
    last: u64,
    end: usize,
}

impl<'p> View<'p> {
    fn row(&self) -> PageRow<'p> {
        let slots = PAGE_BYTES - (self.last + 1 - self.first) as usize * SLOT_BYTES;
        PageRow { first: self.first, entries: &self.bytes[..self.end], slots: &self.bytes[slots..] }
    }

    fn slot(&self, seq: u64) -> Slot {
        let at = slot_at(seq - self.first);
        let [s0, s1, t0, t1, t2, t3] = self.bytes[at..].first_chunk().expect("invariant: slots end with the page");
        Slot { start: usize::from(u16::from_le_bytes([*s0, *s1])), time_s: u32::from_le_bytes([*t0, *t1, *t2, *t3]) }
    }

    fn end_of(&self, seq: u64) -> usize {
        if seq == self.last { self.end } else { self.slot(seq + 1).start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// The payloads of the tests are pieces of it.
    const TEXT: [u8; PAYLOAD_BYTES_MAX] = {
        let mut text = [0; PAYLOAD_BYTES_MAX];
        let mut at = 0;
        while at < text.len() {
            text[at] = (at * 7 + at / 256) as u8;
            at += 1;
        }
        text
    };

    fn entry(seq: u64, payload_bytes: usize) -> Entry<'static> {
        let payload = &TEXT[PAYLOAD_BYTES_MAX - payload_bytes..];
        Entry { member: seq as u32 ^ 0xA5A5_0000, sseq: seq as u32, kind: seq as u8, payload }
    }

    fn raw(entry: &Entry) -> Vec<u8> {
        let mut raw = [&entry.member.to_le_bytes()[..], &entry.sseq.to_le_bytes(), &[entry.kind]].concat();
        raw.extend((entry.payload.len() as u16).to_le_bytes());
        raw.extend(entry.payload);
        raw
    }

    fn limits(pages_max: usize, messages_max: u32) -> RingLimits {
        RingLimits { pages_max, messages_max }
    }

    /// A pool of so many pages.
    fn pool(pages: usize) -> Pool {
        Pool::new(pages * PAGE_BYTES + PAGE_BYTES / 2)
    }

    /// An entry of the oracle: its number, when, and its bytes.
    type Kept = (u64, u32, Vec<u8>);

    /// The oracle: pages are queues of entries.
    struct Oracle {
        pages: VecDeque<VecDeque<Kept>>,
        /// What was ever appended to the newest page.
        newest_cost: usize,
        limits: RingLimits,
        free_pages: usize,
        head: u64,
    }

    impl Oracle {
        fn new(free_pages: usize, head: u64, limits: RingLimits) -> Self {
            let pages = VecDeque::from([VecDeque::new(), VecDeque::new()]);
            Self { pages, newest_cost: 0, limits, free_pages: free_pages - 2, head }
        }

        fn kept(&self) -> impl Iterator<Item = &Kept> {
            self.pages.iter().flatten()
        }

        fn append(&mut self, time_s: u32, entry: &Entry) {
            if self.kept().count() == self.limits.messages_max as usize {
                let oldest = self.pages.iter_mut().find(|page| !page.is_empty());
                oldest.unwrap().pop_front();
            }
            let cost = Ring::cost(entry.payload.len());
            if self.newest_cost + cost > PAGE_BYTES {
                while self.pages.len() > 2 && self.pages[0].is_empty() {
                    self.pages.pop_front();
                    self.free_pages += 1;
                }
                let grows =
                    !self.pages[0].is_empty() && self.pages.len() < self.limits.pages_max && self.free_pages > 0;
                if grows {
                    self.free_pages -= 1;
                } else {
                    self.pages.pop_front();
                }
                self.pages.push_back(VecDeque::new());
                self.newest_cost = 0;
            }
            self.head += 1;
            self.newest_cost += cost;
            self.pages.back_mut().unwrap().push_back((self.head, time_s, raw(entry)));
        }

        fn entry(&self, seq: u64) -> Option<(u32, &[u8])> {
            let found = self.kept().find(|kept| kept.0 == seq);
            found.map(|(_, time_s, raw)| (*time_s, &raw[..]))
        }

        fn run(&self, from: u64, to: u64, bytes_max: usize) -> Option<(u8, u32, Vec<u8>)> {
            let page = self.pages.iter().find(|page| page.iter().any(|kept| kept.0 == from))?;
            let (mut count, mut bytes, time) = (0, Vec::new(), self.entry(from)?.0);
            for (_, time_s, raw) in page.iter().filter(|kept| (from..=to).contains(&kept.0)) {
                if count == 255 || *time_s != time || bytes.len() + raw.len() > bytes_max {
                    break;
                }
                count += 1;
                bytes.extend(raw);
            }
            (count > 0).then_some((count, time, bytes))
        }

        fn tail(&self) -> u64 {
            self.kept().next().map_or(self.head + 1, |kept| kept.0)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// So many seconds later, so many entries with a payload of so many bytes.
        Append(u32, usize, usize),
        /// From where, counted from the tail; up to where, counted from there; bytes at most.
        Run(i64, i64, usize),
        /// Start, counted from the tail, and count.
        Nack(i64, u16),
        /// Others take so many pages of the pool.
        Hog(usize),
        Unhog,
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = prop_oneof![Just(0usize), 0usize..80, 0..=PAYLOAD_BYTES_MAX, Just(PAYLOAD_BYTES_MAX)];
        let room = prop_oneof![Just(0usize), 0usize..2000, Just(1205), Just(usize::MAX)];
        prop_oneof![
            4 => (prop_oneof![3 => Just(0u32), 1 => 1u32..3], 1usize..40, bytes)
                .prop_map(|(later, entries, bytes)| Step::Append(later, entries, bytes)),
            3 => (-3i64..600, -2i64..400, room).prop_map(|(from, to, room)| Step::Run(from, to, room)),
            2 => (-50i64..600, 0u16..700).prop_map(|(start, count)| Step::Nack(start, count)),
            1 => (0usize..4).prop_map(Step::Hog),
            1 => Just(Step::Unhog),
        ]
    }

    fn asked_one_by_one(ring: &Ring, start: u64, count: u16) -> Asked {
        let numbers = || (0..u64::from(count)).map_while(|n| start.checked_add(n));
        let ends = |of: &dyn Fn(u64) -> bool| {
            let mut within = numbers().filter(|&seq| of(seq));
            let first = within.next()?;
            Some(first..=within.last().unwrap_or(first))
        };
        Asked { gone: ends(&|seq| seq < ring.tail()), kept: ends(&|seq| (ring.tail()..=ring.head()).contains(&seq)) }
    }

    proptest! {
        /// T5: content, tail, runs, what is gone for good and the pool's pages, against queues.
        #[test]
        fn a_ring_agrees_with_queues(
            pages in 2usize..9,
            pages_max in 2usize..7,
            messages_max in prop_oneof![Just(1u32), 2u32..300, Just(100_000)],
            head in prop_oneof![Just(0u64), 0u64..1000, Just(u64::MAX - 100_000)],
            steps in proptest::collection::vec(step(), 1..80),
        ) {
            let (mut pool, limits, mut time_s) = (pool(pages), limits(pages_max, messages_max), 1_700_000_000);
            let (mut ring, mut oracle) = (Ring::new(&mut pool, head, limits).unwrap(), Oracle::new(pages, head, limits));
            let mut hogged = Vec::new();
            for step in steps {
                match step {
                    Step::Append(later, entries, payload_bytes) => for _ in 0..entries {
                        time_s += later;
                        let entry = entry(ring.head() + 1, payload_bytes);
                        oracle.append(time_s, &entry);
                        prop_assert_eq!(ring.append(&mut pool, time_s, entry), oracle.head);
                        prop_assert_eq!(ring.tail(), oracle.tail());
                    },
                    Step::Run(from, to, bytes_max) => {
                        let from = ring.tail().saturating_add_signed(from);
                        let to = from.saturating_add_signed(to);
                        let run = ring.run(&pool, from, to, bytes_max);
                        prop_assert!(run.is_none_or(|run| run.base == from));
                        let run = run.map(|run| (run.count, run.time_s, run.bytes.to_vec()));
                        prop_assert_eq!(run, oracle.run(from, to, bytes_max));
                    }
                    Step::Nack(start, count) => {
                        let start = ring.tail().saturating_add_signed(start);
                        prop_assert_eq!(ring.asked(start, count), asked_one_by_one(&ring, start, count));
                    }
                    Step::Hog(pages) => for _ in 0..pages {
                        hogged.extend(pool.take().inspect(|_| oracle.free_pages -= 1));
                    },
                    Step::Unhog => for id in hogged.drain(..) {
                        pool.give_back(id);
                        oracle.free_pages += 1;
                    },
                }
                prop_assert_eq!((ring.head(), ring.len()), (oracle.head, oracle.kept().count() as u64));
                prop_assert_eq!(pool.free_pages(), oracle.free_pages);
                prop_assert_eq!(ring.bytes(&pool), oracle.kept().map(|(_, _, raw)| raw.len()).sum::<usize>());
            }
            for seq in oracle.tail() - 1..=oracle.head + 1 {
                prop_assert_eq!(ring.entry(&pool, seq), oracle.entry(seq));
            }
            ring.release(&mut pool);
            prop_assert_eq!(pool.free_pages() + hogged.len(), pages);
        }

        /// Whatever the ring held, and even where the pool has nothing more.
        #[test]
        fn what_is_fresh_is_not_evicted(
            before in proptest::collection::vec(0..=PAYLOAD_BYTES_MAX, 0..200),
            fresh in prop_oneof![
                proptest::collection::vec(0..=PAYLOAD_BYTES_MAX, 100),
                proptest::collection::vec(0usize..2, FRESH_COST_MAX / Ring::cost(0)),
                proptest::collection::vec(PAYLOAD_BYTES_MAX - 1..=PAYLOAD_BYTES_MAX, 30),
            ],
            messages_max in (FRESH_COST_MAX / Ring::cost(0)) as u32..4096,
        ) {
            let mut pool = pool(2);
            let mut ring = Ring::new(&mut pool, 0, limits(32, messages_max)).unwrap();
            before.iter().for_each(|&bytes| { ring.append(&mut pool, 0, entry(0, bytes)); });
            let (first, mut cost) = (ring.head() + 1, 0);
            for bytes in fresh {
                cost += Ring::cost(bytes);
                if cost > FRESH_COST_MAX {
                    break;
                }
                ring.append(&mut pool, 1, entry(1, bytes));
                prop_assert!(ring.tail() <= first);
            }
        }
    }

    #[test]
    fn entries_stand_as_in_a_batch() {
        let mut pool = pool(2);
        let mut ring = Ring::new(&mut pool, 41, RingLimits::DEFAULT).unwrap();
        let entry = Entry { member: 0x0403_0201, sseq: 0x0807_0605, kind: 9, payload: b"hi" };
        assert_eq!((ring.tail(), ring.len(), ring.bytes(&pool)), (42, 0, 0));
        assert_eq!(ring.append(&mut pool, 77, entry), 42);
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 0, b'h', b'i'];
        assert_eq!(ring.entry(&pool, 42), Some((77, &bytes[..])));
        ring.append(&mut pool, 77, entry);
        ring.append(&mut pool, 78, entry);
        let run = Run { base: 42, count: 2, time_s: 77, bytes: &[bytes, bytes].concat() };
        assert_eq!(ring.run(&pool, 42, u64::MAX, usize::MAX), Some(run));
        let counts = [13, 25, 26].map(|bytes_max| ring.run(&pool, 42, 44, bytes_max).map(|run| run.count));
        assert_eq!(counts, [Some(1), Some(1), Some(2)]);
        assert_eq!(
            (ring.run(&pool, 42, 44, 12), ring.run(&pool, 42, 41, 99), ring.run(&pool, 45, 45, 99)),
            (None, None, None)
        );
        assert_eq!((ring.bytes(&pool), ring.bytes_from(&pool, 44), ring.bytes_from(&pool, 45)), (39, 13, 0));
    }

    #[test]
    fn a_run_has_at_most_255_entries() {
        let mut pool = pool(2);
        let mut ring = Ring::new(&mut pool, 0, RingLimits::DEFAULT).unwrap();
        (1..=600).for_each(|seq| assert_eq!(ring.append(&mut pool, 5, entry(seq, 0)), seq));
        let counts = [1, 256, 511].map(|from| ring.run(&pool, from, ring.head(), usize::MAX).unwrap().count);
        assert_eq!(counts, [255, 255, 90]);
    }

    #[test]
    fn a_nack_is_answered_for_every_number_once() {
        let mut pool = pool(2);
        let mut ring = Ring::new(&mut pool, 9, limits(2, 5)).unwrap();
        assert_eq!(ring.asked(1, 99), Asked { gone: Some(1..=9), kept: None });
        (0..10).for_each(|seq| {
            ring.append(&mut pool, 0, entry(seq, 10));
        });
        assert_eq!((ring.tail(), ring.head()), (15, 19));
        for (start, count, gone, kept) in [
            (10, 10, Some(10..=14), Some(15..=19)),
            (0, u16::MAX, Some(0..=14), Some(15..=19)),
            (14, 1, Some(14..=14), None),
            (15, 1, None, Some(15..=15)),
            (17, 9, None, Some(17..=19)),
            (20, 9, None, None),
            (12, 0, None, None),
            (0, 0, None, None),
            (u64::MAX, u16::MAX, None, None),
        ] {
            assert_eq!(ring.asked(start, count), Asked { gone, kept }, "{start} {count}");
        }
    }

    #[test]
    fn a_ring_grows_to_its_limit_and_gives_all_back() {
        let mut pool = pool(40);
        let mut ring = Ring::new(&mut pool, 0, limits(32, u32::MAX)).unwrap();
        assert_eq!(pool.free_pages(), 38);
        (0..2000).for_each(|seq| {
            ring.append(&mut pool, 0, entry(seq, PAYLOAD_BYTES_MAX));
        });
        let of_a_page = (PAGE_BYTES / Ring::cost(PAYLOAD_BYTES_MAX)) as u64;
        assert_eq!(pool.free_pages(), 8);
        assert!(ring.len() > 31 * of_a_page && ring.len() <= 32 * of_a_page);
        let other = Ring::new(&mut pool, 0, RingLimits::DEFAULT).unwrap();
        assert_eq!(pool.free_pages(), 6);
        ring.release(&mut pool);
        other.release(&mut pool);
        assert_eq!(pool.free_pages(), 40);
    }

    #[test]
    fn an_empty_pool_makes_no_ring() {
        let mut pool = pool(3);
        let ring = Ring::new(&mut pool, 0, RingLimits::DEFAULT).unwrap();
        assert!(Ring::new(&mut pool, 0, RingLimits::DEFAULT).is_none());
        assert_eq!(pool.free_pages(), 1);
        ring.release(&mut pool);
        assert!(Ring::new(&mut pool, 0, RingLimits::DEFAULT).is_some());
    }

    #[test]
    fn rings_of_one_pool_do_not_touch_each_other() {
        let mut pool = pool(7);
        let mut rings = [0, 1000, 2000].map(|head| Ring::new(&mut pool, head, RingLimits::DEFAULT).unwrap());
        for turn in 0..300 {
            rings.iter_mut().for_each(|ring| {
                ring.append(&mut pool, turn, entry(ring.head() + 1, 400));
            });
        }
        for ring in &rings {
            for seq in ring.tail()..=ring.head() {
                assert_eq!(ring.entry(&pool, seq).map(|(_, bytes)| bytes), Some(&raw(&entry(seq, 400))[..]));
            }
        }
    }

    #[test]
    fn nothing_is_allocated_but_by_the_pool() {
        let mut pool = pool(40);
        let counted = allocation_counter::measure(|| {
            for _ in 0..3 {
                let mut ring = Ring::new(&mut pool, 0, RingLimits::DEFAULT).unwrap();
                for seq in 1..5000 {
                    ring.append(&mut pool, 0, entry(seq, 500));
                    assert!(ring.run(&pool, ring.tail(), seq, 1200).is_some());
                }
                ring.release(&mut pool);
            }
        });
        assert_eq!(counted.count_total, 0);
    }
}
