//! Owns what goes to the numbered rooms in a turn: datagrams that are the same
//! for every member, so that nobody is an exception. Never knows what they say.

use super::trains::{SEGMENTS_MAX, TRAIN_BYTES_MAX};
use super::{Item, Path, RoomIndex, Rosters};

/// Who of a room is sent a cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Those on the live roster.
    Live,
    /// Those on the fed roster, too.
    Everyone,
}

/// A train of equal datagrams to one room.
#[derive(Clone, Copy)]
struct Cast {
    room: RoomIndex,
    audience: Audience,
    start: u32,
    segment_len: u16,
    segments: u16,
}

/// How far a flush has come.
#[derive(Clone, Copy, Default)]
struct Cursor {
    /// First cast of the room that is being served.
    cast: usize,
    /// Members served, counted from where the rotation begins, live ones first.
    member: usize,
    /// Casts that the member at `member` has had.
    done: usize,
}

/// A turn's casts.
///
/// Memory: 16 bytes a cast, taken in [`Casts::new`].
pub(super) struct Casts {
    casts: Vec<Cast>,
    bytes: usize,
    messages: usize,
    cursor: Cursor,
}

impl Casts {
    pub(super) fn new(casts_max: usize) -> Self {
        Self { casts: Vec::with_capacity(casts_max), bytes: 0, messages: 0, cursor: Cursor::default() }
    }

    pub(super) fn clear(&mut self) {
        self.casts.clear();
        self.bytes = 0;
        self.messages = 0;
        self.cursor = Cursor::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.casts.is_empty()
    }

    pub(super) fn spare(&self) -> usize {
        self.casts.capacity() - self.casts.len()
    }

    /// Arena bytes taken in this turn.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages in this turn's casts.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    pub(super) fn train_lengths(&self) -> impl Iterator<Item = u16> {
        self.casts.iter().map(|cast| cast.segments)
    }

    /// Records `segments` datagrams of `segment_len` bytes that lie at `start`.
    pub(super) fn push(
        &mut self,
        room: RoomIndex,
        audience: Audience,
        start: u32,
        (segment_len, segments): (u16, u16),
        messages: usize,
    ) {
        assert!(self.casts.len() < self.casts.capacity(), "flushed once a turn");
        let bytes = usize::from(segment_len) * usize::from(segments);
        assert!(segments <= SEGMENTS_MAX && bytes <= TRAIN_BYTES_MAX, "a train of {segments} x {segment_len} bytes");
        self.bytes += bytes;
        self.messages += messages;
        self.casts.push(Cast { room, audience, start, segment_len, segments });
    }

    /// Starts the flush: the casts of a room together, in the order recorded.
    /// Returns the datagrams that will be offered.
    pub(super) fn begin(&mut self, rosters: &dyn Rosters) -> u64 {
        self.casts.sort_unstable_by_key(|cast| (cast.room, std::cmp::Reverse(cast.start)));
        self.cursor = Cursor::default();
        let members = |cast: &Cast| {
            let fed = if cast.audience == Audience::Everyone { rosters.fed(cast.room).len() } else { 0 };
            rosters.live(cast.room).len() + fed
        };
        self.casts.iter().map(|cast| (members(cast) * usize::from(cast.segments)) as u64).sum()
    }

    /// Puts the next items into `items`, up to its capacity; `rotation` of
    /// 2^32 of each room's members come last. False when this was the last.
    pub(super) fn fill(&mut self, rosters: &dyn Rosters, rotation: u32, items: &mut Vec<Item>) -> bool {
        while let Some(first) = self.casts.get(self.cursor.cast) {
            let room = first.room;
            let of_room = self.casts[self.cursor.cast..].partition_point(|cast| cast.room == room);
            let casts = &self.casts[self.cursor.cast..self.cursor.cast + of_room];
            let (live, fed) = (rosters.live(room).paths(), rosters.fed(room).paths());
            if fill_room(casts, rotated(live, rotation), fed, &mut self.cursor, items) {
                return true;
            }
            self.cursor = Cursor { cast: self.cursor.cast + of_room, ..Cursor::default() };
        }
        false
    }
}

/// `paths` from another member on each turn, so that nobody is always last.
fn rotated(paths: &[Path], rotation: u32) -> [&[Path]; 2] {
    let start = ((u64::from(rotation) * paths.len() as u64) >> 32) as usize;
    let (behind, first) = paths.split_at(start);
    [first, behind]
}

/// True when `items` is full before the room is served.
fn fill_room(casts: &[Cast], live: [&[Path]; 2], fed: &[Path], cursor: &mut Cursor, items: &mut Vec<Item>) -> bool {
    let mut before = 0;
    for (paths, audience) in [(live[0], Audience::Live), (live[1], Audience::Live), (fed, Audience::Everyone)] {
        for path in paths.iter().skip(cursor.member.saturating_sub(before)) {
            for cast in &casts[cursor.done..] {
                if items.len() == items.capacity() {
                    return true;
                }
                cursor.done += 1;
                if audience == Audience::Live || cast.audience == Audience::Everyone {
                    items.push(Item {
                        to: *path,
                        start: cast.start,
                        segment_len: cast.segment_len,
                        segments: cast.segments,
                    });
                }
            }
            cursor.done = 0;
            cursor.member += 1;
        }
        before += paths.len();
    }
    false
}
