//! Owns what the core wants sent: a turn's messages to the plain room, its
//! casts to the numbered rooms, and single datagrams. Never stores the product of messages and members: it is expanded
//! at the flush, receiver by receiver, into [`Item`]s.
//!
//! A member that spoke, came or went in this turn is a [`Speaker`]: it does
//! not get its own messages, nor those from before it came or after it went.
//! All others are alike, and are served by one straight loop.

use super::casts::{Audience, Casts};
use super::trains::{Seat, TRAIN_BYTES_MAX, Trains};
use super::{FRESH, MemberIndex, Path, RoomIndex, Rosters, SendTally};
use std::ops::Range;

/// Broadcasts that one datagram can cause at most: a merged notice that fell
/// due, the notice of a join, and the line that came with it.
const BROADCASTS_PER_DATAGRAM: usize = 3;
/// Single datagrams that one datagram can cause at most.
const UNICASTS_PER_DATAGRAM: usize = 2;
/// What a turn may hold beyond a full inbox: notices and timers.
const EXTRA: usize = 64;
/// Messages and single datagrams a turn may hold beyond that: one datagram can
/// hold many. Whoever records them asks [`Outbox::spare`] first.
const SPARE: usize = 1024;
/// Casts of a turn: one or two for each room that heard something.
const CASTS_MAX: usize = 4096;
/// Arena bytes for casts, for each datagram received.
const CAST_BYTES_PER_DATAGRAM: usize = 8 << 10;
/// Items one [`Outbox::fill`] needs room for: the runs of one whole train.
const RUNS_MAX: usize = 64;

/// One send: `segments` datagrams of `segment_len` bytes, contiguous in
/// [`Outbox::arena`], to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The destination.
    pub to: Path,
    /// First byte in the arena.
    pub start: u32,
    /// Bytes of each datagram.
    pub segment_len: u16,
    /// Datagrams; more than one is a train.
    pub segments: u16,
}

impl Item {
    /// The arena bytes of all its datagrams.
    pub fn range(&self) -> Range<usize> {
        let start = self.start as usize;
        start..start + usize::from(self.segments) * usize::from(self.segment_len)
    }

    /// The same datagrams, one item each.
    pub fn split(self) -> impl Iterator<Item = Item> {
        (0..u32::from(self.segments)).map(move |segment| Item {
            start: self.start + segment * u32::from(self.segment_len),
            segments: 1,
            ..self
        })
    }
}

/// A member that is not like the others in this turn, and what it said.
#[derive(Clone, Copy, Debug)]
pub struct Speaker {
    /// Its address.
    pub path: Path,
    /// Lines of chat it said in this turn.
    pub lines: u32,
    /// Their bytes.
    pub bytes: u32,
    /// Its place in the roster; `None` once it has left.
    index: Option<MemberIndex>,
    /// Messages it hears: those from `first` on, before `end`, that are not its own.
    first: u16,
    end: u16,
    own: u16,
    /// No message of its may go into an earlier train than this.
    train: u16,
}

#[derive(Clone, Copy)]
struct Message {
    seat: Seat,
    speaker: u16,
}

const NOBODY: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Unicast {
    to: Path,
    start: u32,
    len: u16,
}

/// How far a flush has come.
#[derive(Clone, Copy, Default)]
struct Cursor {
    unicast: usize,
    span: usize,
    member: u32,
    speaker: usize,
    train: usize,
}

/// A turn's messages and single datagrams, on their way out.
///
/// Memory: about 14 KiB for each of `datagrams_max`, plus 4 MiB of arena, taken
/// in [`Outbox::new`].
pub struct Outbox {
    arena: Box<[u8]>,
    message_len_max: usize,
    messages_max: usize,
    unicasts_max: usize,
    trains: Trains,
    casts: Casts,
    cast_bytes_max: usize,
    messages: Vec<Message>,
    speakers: Vec<Speaker>,
    /// Unicast bytes are laid from the arena's end downwards.
    back: usize,
    unicasts: Vec<Unicast>,
    /// Set from [`begin`](Self::begin) to [`clear`](Self::clear).
    flushing: bool,
    /// Message numbers by train and segment.
    order: Vec<u16>,
    order_start: Vec<u16>,
    skips: Vec<u32>,
    spans: Vec<Range<u32>>,
    cursor: Cursor,
    rotation: u32,
}

impl Outbox {
    /// An outbox for turns of up to `datagrams_max` received datagrams, each
    /// causing messages of up to `message_len_max` bytes.
    pub fn new(datagrams_max: usize, message_len_max: usize) -> Self {
        let messages_max = datagrams_max * BROADCASTS_PER_DATAGRAM + EXTRA + SPARE;
        let unicasts_max = datagrams_max * UNICASTS_PER_DATAGRAM + EXTRA + SPARE;
        let cast_bytes_max = datagrams_max * CAST_BYTES_PER_DATAGRAM;
        assert!(messages_max < usize::from(NOBODY), "messages of a turn are numbered in 16 bits");
        assert!(message_len_max <= TRAIN_BYTES_MAX, "a message fits in a datagram");
        let arena_len = (messages_max + unicasts_max) * message_len_max + cast_bytes_max + (2 << 20);
        Self {
            arena: vec![FRESH; arena_len].into_boxed_slice(),
            message_len_max,
            messages_max,
            unicasts_max,
            trains: Trains::new(messages_max),
            casts: Casts::new(CASTS_MAX),
            cast_bytes_max,
            messages: Vec::with_capacity(messages_max),
            speakers: Vec::with_capacity(messages_max + unicasts_max),
            back: arena_len,
            unicasts: Vec::with_capacity(unicasts_max),
            flushing: false,
            order: Vec::with_capacity(messages_max),
            order_start: Vec::with_capacity(messages_max),
            skips: Vec::with_capacity(messages_max + unicasts_max),
            spans: Vec::with_capacity(messages_max + unicasts_max + 2),
            cursor: Cursor::default(),
            rotation: 0,
        }
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.unicasts.is_empty() && self.casts.is_empty()
    }

    /// Whether one more datagram, command or timer may not find room: flush first.
    pub fn is_full(&self) -> bool {
        self.messages.len() + EXTRA / 2 > self.messages_max || self.unicasts.len() + EXTRA / 2 > self.unicasts_max
    }

    /// How many messages and single datagrams may be recorded beyond those
    /// that every datagram of a full inbox has room for.
    pub fn spare(&self) -> (usize, usize) {
        let spare = |used: usize| SPARE.saturating_sub(used);
        (spare(self.messages.len()), spare(self.unicasts.len()))
    }

    /// How many casts, and bytes of them, may still be recorded.
    pub fn spare_casts(&self) -> (usize, usize) {
        (self.casts.spare(), self.cast_bytes_max - self.casts.bytes())
    }

    /// Messages to the rooms in this turn.
    pub fn messages(&self) -> usize {
        self.messages.len() + self.casts.messages()
    }

    /// The members that spoke, came or went in this turn.
    pub fn speakers(&self) -> &[Speaker] {
        &self.speakers
    }

    /// The length of each train of this turn, in datagrams.
    pub fn train_lengths(&self) -> impl Iterator<Item = u16> {
        self.trains.as_slice().iter().map(|train| train.segments).chain(self.casts.train_lengths())
    }

    /// The bytes that items point into.
    pub fn arena(&self) -> &[u8] {
        &self.arena
    }

    /// Records a line of chat: to everyone but its speaker, who is at `index`
    /// and reached by `path`.
    pub fn say(&mut self, index: MemberIndex, path: Path, bytes: &[u8]) {
        let speaker = self.speaker(index, path);
        let line_bytes = u32::try_from(bytes.len()).expect("invariant: a message is shorter than 64 KiB");
        let said = &mut self.speakers[usize::from(speaker)];
        said.lines += 1;
        said.bytes += line_bytes;
        let first = said.train;
        self.record(speaker, first, bytes);
    }

    /// Records a notice, to everyone but the member it is about. It stays
    /// behind all that was said before it.
    pub fn announce(&mut self, about: Option<(MemberIndex, Path)>, bytes: &[u8]) {
        let speaker = about.map_or(NOBODY, |(index, path)| self.speaker(index, path));
        self.record(speaker, self.trains.last(), bytes);
    }

    /// Records one datagram to one address, member or not.
    pub fn unicast(&mut self, to: Path, bytes: &[u8]) {
        assert!(!self.flushing && self.unicasts.len() < self.unicasts_max, "flushed once a turn");
        assert!(!bytes.is_empty() && bytes.len() <= self.message_len_max, "a unicast of {} bytes", bytes.len());
        self.back -= bytes.len();
        self.arena[self.back..self.back + bytes.len()].copy_from_slice(bytes);
        self.unicasts.push(Unicast {
            to,
            start: u32::try_from(self.back).expect("invariant: an arena is smaller than 4 GiB"),
            len: u16::try_from(bytes.len()).expect("invariant: a message is shorter than 64 KiB"),
        });
    }

    /// Records datagrams to the members of a room, which hold `messages`
    /// messages together. They lie one every `stride` bytes in `datagrams`,
    /// `lens` says how long each is; they are sent as one train, the shorter
    /// ones filled up with zeros.
    pub fn cast(
        &mut self,
        room: RoomIndex,
        audience: Audience,
        (datagrams, stride): (&[u8], usize),
        lens: &[u16],
        messages: usize,
    ) {
        let longest = lens.iter().copied().max().expect("invariant: a cast holds a datagram");
        let segment_len = usize::from(longest);
        let bytes = segment_len * lens.len();
        assert!(!self.flushing && longest > 0, "flushed once a turn");
        assert!(self.casts.bytes() + bytes <= self.cast_bytes_max, "whoever casts asks for room first");
        self.back -= bytes;
        let places = self.arena[self.back..self.back + bytes].chunks_exact_mut(segment_len);
        for ((place, datagram), len) in places.zip(datagrams.chunks(stride)).zip(lens) {
            let (used, rest) = place.split_at_mut(usize::from(*len));
            used.copy_from_slice(&datagram[..used.len()]);
            rest.fill(0);
        }
        let start = u32::try_from(self.back).expect("invariant: an arena is smaller than 4 GiB");
        let segments = u16::try_from(lens.len()).expect("invariant: a train has at most 64 segments");
        self.casts.push(room, audience, start, (longest, segments), messages);
    }

    /// A member has come: it hears what follows, not what was said before.
    /// What it says stays behind all that, in which its address may have had a
    /// part: it can have left in this very turn.
    pub fn arrived(&mut self, index: MemberIndex, path: Path) {
        if !self.messages.is_empty() {
            self.speaker(index, path);
            let (first, train) = (self.message_count(), self.trains.last());
            if let Some(newcomer) = self.speakers.last_mut() {
                newcomer.first = first;
                newcomer.train = train;
            }
        }
    }

    /// A member has gone: it still hears what was said before. `moved` is the
    /// former index of the member that took its place in the roster.
    pub fn departed(&mut self, index: MemberIndex, path: Path, moved: Option<MemberIndex>) {
        if !self.messages.is_empty() {
            let end = self.message_count();
            let gone = self.speaker(index, path);
            let gone = &mut self.speakers[usize::from(gone)];
            gone.index = None;
            gone.end = end;
        }
        let mover = moved.and_then(|from| self.speakers.iter_mut().find(|speaker| speaker.index == Some(from)));
        if let Some(mover) = mover {
            mover.index = Some(index);
        }
    }

    fn message_count(&self) -> u16 {
        u16::try_from(self.messages.len()).expect("invariant: messages_max fits in u16")
    }

    fn speaker(&mut self, index: MemberIndex, path: Path) -> u16 {
        let known = self.speakers.iter().position(|speaker| speaker.index == Some(index));
        let at = known.unwrap_or_else(|| {
            assert!(self.speakers.len() < self.speakers.capacity(), "flushed once a turn");
            let index = Some(index);
            self.speakers.push(Speaker { path, lines: 0, bytes: 0, index, first: 0, end: NOBODY, own: 0, train: 0 });
            self.speakers.len() - 1
        });
        u16::try_from(at).expect("invariant: speakers of a turn are numbered in 16 bits")
    }

    /// Copies a message to its place: in train `first` or a later one.
    fn record(&mut self, speaker: u16, first: u16, bytes: &[u8]) {
        assert!(!self.flushing && self.messages.len() < self.messages_max, "flushed once a turn");
        assert!(!bytes.is_empty() && bytes.len() <= self.message_len_max, "a message of {} bytes", bytes.len());
        let owed = (self.messages_max - self.messages.len() + self.unicasts_max - self.unicasts.len())
            * self.message_len_max
            + (self.cast_bytes_max - self.casts.bytes());
        let spare = (self.back - self.trains.used()).saturating_sub(owed);
        let seat = self.trains.seat(bytes.len(), first, spare);
        if let Some(author) = self.speakers.get_mut(usize::from(speaker)) {
            author.train = seat.train;
            author.own += 1;
        }
        let start = self.trains.as_slice()[usize::from(seat.train)].segment_start(seat.segment) as usize;
        self.arena[start..start + bytes.len()].copy_from_slice(bytes);
        self.messages.push(Message { seat, speaker });
    }

    /// Starts the flush to `rosters`, unless it is under way: the copies are
    /// counted as offered, and nothing may be recorded until [`clear`](Self::clear).
    pub fn begin(&mut self, rosters: &dyn Rosters, tally: &mut SendTally) {
        if self.flushing {
            return;
        }
        self.flushing = true;
        self.cursor = Cursor::default();
        self.plan_order();
        let members = rosters.plain().len();
        self.plan_spans(members);
        let (cast, single) = (self.casts.begin(rosters), self.unicasts.len() as u64);
        tally.offered += self.offered(members) + cast + single;
        tally.offered_cast += cast;
        tally.offered_single += single;
    }

    /// Copies of this turn to the plain room, from members and messages alone.
    fn offered(&self, members: usize) -> u64 {
        let alike = (members - self.skips.len()) * self.messages.len();
        let messages = self.message_count();
        let heard = |speaker: &Speaker| usize::from(speaker.end.min(messages) - speaker.first - speaker.own);
        let others: usize = self.speakers.iter().map(heard).sum();
        (alike + others) as u64
    }

    fn plan_order(&mut self) {
        self.order_start.clear();
        let mut start = 0;
        for train in self.trains.as_slice() {
            self.order_start.push(start);
            start += train.segments;
        }
        self.order.clear();
        self.order.resize(self.messages.len(), 0);
        for (number, message) in (0u16..).zip(&self.messages) {
            let place = self.order_start[usize::from(message.seat.train)] + message.seat.segment;
            self.order[usize::from(place)] = number;
        }
    }

    /// The members that are alike, as index ranges: all but the speakers,
    /// beginning at another member each turn so that nobody is always last.
    fn plan_spans(&mut self, members: usize) {
        let members = u32::try_from(members).expect("invariant: members_max fits in u32");
        self.skips.clear();
        self.skips.extend(self.speakers.iter().filter_map(|speaker| speaker.index.map(|index| index.0)));
        self.skips.sort_unstable();
        self.spans.clear();
        if self.messages.is_empty() {
            return;
        }
        let start = ((u64::from(self.rotation) * u64::from(members)) >> 32) as u32;
        let split = self.skips.partition_point(|&skip| skip < start);
        push_spans(&mut self.spans, start..members, &self.skips[split..]);
        push_spans(&mut self.spans, 0..start, &self.skips[..split]);
    }

    /// Puts the next items into `items`, up to its capacity. False when this
    /// was the last of them.
    pub fn fill(&mut self, rosters: &dyn Rosters, items: &mut Vec<Item>) -> bool {
        assert!(self.flushing && items.capacity() > RUNS_MAX, "begun, with room for a train's runs");
        self.fill_unicasts(items)
            || self.casts.fill(rosters, self.rotation, items)
            || self.fill_alike(rosters.plain().paths(), items)
            || self.fill_speakers(items)
    }

    fn fill_unicasts(&mut self, items: &mut Vec<Item>) -> bool {
        let waiting = &self.unicasts[self.cursor.unicast..];
        let taken = waiting.len().min(items.capacity() - items.len());
        let item =
            |unicast: &Unicast| Item { to: unicast.to, start: unicast.start, segment_len: unicast.len, segments: 1 };
        items.extend(waiting[..taken].iter().map(item));
        self.cursor.unicast += taken;
        self.cursor.unicast < self.unicasts.len()
    }

    fn fill_alike(&mut self, paths: &[Path], items: &mut Vec<Item>) -> bool {
        let trains = self.trains.as_slice();
        while let Some(span) = self.spans.get(self.cursor.span) {
            for path in &paths[(span.start + self.cursor.member) as usize..span.end as usize] {
                for train in &trains[self.cursor.train..] {
                    if items.len() == items.capacity() {
                        return true;
                    }
                    items.push(Item {
                        to: *path,
                        start: train.start,
                        segment_len: train.segment_len,
                        segments: train.segments,
                    });
                    self.cursor.train += 1;
                }
                self.cursor.train = 0;
                self.cursor.member += 1;
            }
            self.cursor.member = 0;
            self.cursor.span += 1;
        }
        false
    }

    fn fill_speakers(&mut self, items: &mut Vec<Item>) -> bool {
        while let Some(&speaker) = self.speakers.get(self.cursor.speaker) {
            while self.cursor.train < self.trains.as_slice().len() {
                if items.capacity() - items.len() < RUNS_MAX {
                    return true;
                }
                self.push_runs(&speaker, items);
                self.cursor.train += 1;
            }
            self.cursor.train = 0;
            self.cursor.speaker += 1;
        }
        false
    }

    /// The parts of the cursor's train that `speaker` hears, each a train of its own.
    fn push_runs(&self, speaker: &Speaker, items: &mut Vec<Item>) {
        let train = self.trains.as_slice()[self.cursor.train];
        let numbers = &self.order[usize::from(self.order_start[self.cursor.train])..];
        let me = u16::try_from(self.cursor.speaker).expect("invariant: speakers are numbered in 16 bits");
        let mut open = false;
        for segment in 0..train.segments {
            let number = numbers[usize::from(segment)];
            let own = self.messages[usize::from(number)].speaker == me;
            let heard = !own && (speaker.first..speaker.end).contains(&number);
            match items.last_mut() {
                Some(run) if heard && open => run.segments += 1,
                _ if heard => items.push(Item {
                    to: speaker.path,
                    start: train.segment_start(segment),
                    segment_len: train.segment_len,
                    segments: 1,
                }),
                _ => {}
            }
            open = heard;
        }
    }

    /// Ends the turn: forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.trains.clear();
        self.casts.clear();
        self.messages.clear();
        self.speakers.clear();
        self.unicasts.clear();
        self.back = self.arena.len();
        self.flushing = false;
        self.rotation = self.rotation.wrapping_add(0x9E37_79B9);
    }

    /// Whether a flush is under way.
    pub fn is_flushing(&self) -> bool {
        self.flushing
    }
}

/// Adds the parts of `range` between the sorted `skips`, which lie in it.
fn push_spans(spans: &mut Vec<Range<u32>>, range: Range<u32>, skips: &[u32]) {
    let mut start = range.start;
    for &skip in skips {
        if start < skip {
            spans.push(start..skip);
        }
        start = skip + 1;
    }
    if start < range.end {
        spans.push(start..range.end);
    }
}
