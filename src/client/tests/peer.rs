//! A relay that says what its test tells it to say. Owns the virtual time and
//! keeps everything that the client sent and told.

use super::super::{Client, Event, Options, RoomId, RoomSpec};
use crate::Time;
use crate::wire::downlink::{self, Entries, Entry, Frame};
use crate::wire::handshake::{Cookie, Hello, Retry, Welcome};
use crate::wire::header::{Code, DATAGRAM_BYTES_MAX, EntryKind};
use crate::wire::id::{Ccid, Epoch, MemberId, Nonce, Req, RoomHandle, RoomTag, Scid, Seq, Sseq};
use crate::wire::uplink::{self, Uplink};

/// Who the client is, in the first epoch.
pub(super) const ME: MemberId = MemberId(100);
pub(super) const BOB: MemberId = MemberId(200);
/// The relay's state at first.
pub(super) const EPOCH: Epoch = Epoch(1);
/// The first room that is joined, and its tag.
pub(super) const ROOM: RoomHandle = RoomHandle(1);
pub(super) const TAG: RoomTag = RoomTag(0x1111);
/// Datagrams and deadlines in one moment, from which on the client spins.
const SPINNING: u32 = 2000;

pub(super) const fn ms(ms: u64) -> Time {
    Time::new(ms * 1_000_000, 1_700_000_000 + ms / 1000)
}

/// What a JOINED says beside its request's number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    pub(super) room: RoomHandle,
    pub(super) tag: RoomTag,
    pub(super) head: u64,
    pub(super) tail: u64,
    pub(super) next_sseq: u32,
    pub(super) members: u32,
}

impl Default for Entered {
    fn default() -> Self {
        Self { room: ROOM, tag: TAG, head: 0, tail: 1, next_sseq: 1, members: 1 }
    }
}

pub(super) struct Peer {
    pub(super) client: Client,
    /// Milliseconds since the start.
    pub(super) now: u64,
    pub(super) ccid: Ccid,
    /// The last ticket that was given.
    pub(super) scid: u64,
    out: Vec<(u64, &'static [u8])>,
    told: Vec<(u64, Event<'static>)>,
}

impl Peer {
    /// Nothing has been answered yet.
    pub(super) fn new() -> Self {
        Self::with(Options::new("alice"))
    }

    pub(super) fn with(options: Options) -> Self {
        let client = Client::new(options, [42; 32], ms(0)).unwrap();
        let mut peer = Self { client, now: 0, ccid: Ccid(0), scid: 0, out: Vec::new(), told: Vec::new() };
        peer.pump();
        peer
    }

    /// A session is there.
    pub(super) fn connected() -> Self {
        let mut peer = Self::new();
        peer.welcome(EPOCH);
        peer.forget();
        peer
    }

    /// A session is there, and the client is in the lobby, which is empty.
    pub(super) fn in_lobby() -> (Self, RoomId) {
        Self::in_room(RoomSpec::lobby(), Entered::default())
    }

    pub(super) fn in_room(spec: RoomSpec, entered: Entered) -> (Self, RoomId) {
        let mut peer = Self::connected();
        let room = peer.join(spec, entered);
        peer.forget();
        (peer, room)
    }

    // ---- time --------------------------------------------------------------------------

    /// Lets time pass up to a moment, the client doing what falls due.
    pub(super) fn run_to(&mut self, until: u64) {
        self.pump();
        let mut rounds = 0;
        while let Some(due) = self.client.next_deadline().filter(|due| *due <= ms(until)) {
            rounds = if due.nanos().div_ceil(1_000_000) > self.now { 0 } else { rounds + 1 };
            assert!(rounds < SPINNING, "the client spins at {} ms", self.now);
            // Whole milliseconds, rounded up: what is due is due.
            self.now = due.nanos().div_ceil(1_000_000).max(self.now);
            self.client.handle_deadline(ms(self.now));
            self.pump();
        }
        self.now = until.max(self.now);
    }

    pub(super) fn run(&mut self, span: u64) {
        self.run_to(self.now + span);
    }

    pub(super) fn time(&self) -> Time {
        ms(self.now)
    }

    /// Fetches all that the client has to send and to tell.
    pub(super) fn pump(&mut self) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        for round in 0.. {
            assert!(round < SPINNING, "the client never ends at {} ms", self.now);
            let Some(len) = self.client.poll_transmit(ms(self.now), &mut buffer) else { break };
            self.out.push((self.now, buffer[..len].to_vec().leak()));
        }
        while let Some(event) = self.client.poll_event() {
            self.told.push((self.now, event.into_owned()));
        }
    }

    // ---- what came of it ---------------------------------------------------------------

    /// Datagrams since the last look, with their times.
    pub(super) fn datagrams(&mut self) -> Vec<(u64, &'static [u8])> {
        self.pump();
        std::mem::take(&mut self.out)
    }

    pub(super) fn hellos(&mut self) -> Vec<(u64, Hello<'static>)> {
        let datagrams = self.datagrams().into_iter();
        datagrams.filter_map(|(at, bytes)| Some((at, Hello::parse(bytes).ok()?))).collect()
    }

    /// Frames of session datagrams since the last look, with their times.
    pub(super) fn timed_frames(&mut self) -> Vec<(u64, uplink::Frame<'static>)> {
        let mut frames = Vec::new();
        for (at, bytes) in self.datagrams() {
            if let Uplink::Session(session) = Uplink::parse(bytes).expect("the client's datagrams are good") {
                assert_eq!(session.scid, Scid(self.scid), "of the newest session");
                frames.extend(session.frames.map(|frame| (at, frame)));
            }
        }
        frames
    }

    pub(super) fn frames(&mut self) -> Vec<uplink::Frame<'static>> {
        self.timed_frames().into_iter().map(|(_, frame)| frame).collect()
    }

    /// Messages since the last look: number and payload.
    pub(super) fn msgs(&mut self) -> Vec<(u32, EntryKind, String)> {
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        let said = |frame| match frame {
            uplink::Frame::Msg { kind, sseq, payload, .. } => Some((sseq.0, kind, text(payload))),
            _ => None,
        };
        self.frames().into_iter().filter_map(said).collect()
    }

    pub(super) fn timed_events(&mut self) -> Vec<(u64, Event<'static>)> {
        self.pump();
        std::mem::take(&mut self.told)
    }

    pub(super) fn events(&mut self) -> Vec<Event<'static>> {
        self.timed_events().into_iter().map(|(_, event)| event).collect()
    }

    /// What was said in rooms since the last look: place and text.
    pub(super) fn heard(&mut self) -> Vec<(u64, String)> {
        let said = |event| match event {
            Event::Message(message) => Some((message.seq.0, String::from_utf8_lossy(&message.payload).into_owned())),
            Event::Gap { from, to, .. } => Some((from.0, format!("gap to {}", to.0))),
            _ => None,
        };
        self.events().into_iter().filter_map(said).collect()
    }

    /// Nothing that happened so far is looked at any more.
    pub(super) fn forget(&mut self) {
        self.datagrams();
        self.events();
    }

    // ---- what the relay says ------------------------------------------------------------

    pub(super) fn hear(&mut self, datagram: &[u8]) {
        self.client.handle_datagram(ms(self.now), datagram);
        self.pump();
    }

    /// Says frames to this client alone.
    pub(super) fn say(&mut self, frames: &[Frame<'_>]) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let mut builder = downlink::Builder::to_client(&mut buffer, self.ccid);
        assert!(frames.iter().all(|frame| builder.push(frame)));
        let len = builder.len();
        self.hear(&buffer[..len]);
    }

    /// Says frames to a whole room.
    pub(super) fn say_to_room(&mut self, tag: RoomTag, frames: &[Frame<'_>]) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let mut builder = downlink::Builder::to_room(&mut buffer, tag);
        assert!(frames.iter().all(|frame| builder.push(frame)));
        let len = builder.len();
        self.hear(&buffer[..len]);
    }

    /// Answers the HELLO that is under way.
    pub(super) fn retry(&mut self, cookie: u8) -> Hello<'static> {
        let (_, hello) = *self.hellos().last().expect("a HELLO");
        self.hear(&Retry { ccid: hello.ccid, nonce: hello.nonce, cookie: Cookie([cookie; 24]) }.encode());
        hello
    }

    pub(super) fn welcome_to(&mut self, ccid: Ccid, nonce: Nonce, epoch: Epoch) {
        (self.ccid, self.scid) = (ccid, self.scid + 1);
        let welcome = Welcome {
            ccid,
            nonce,
            scid: Scid(self.scid),
            epoch,
            member: ME,
            max_dgram: 1232,
            idle_s: 60,
            keepalive_s: 20,
            flags: 0,
            msgs_per_s: 0,
            bytes_per_s: 0,
            window_bytes: 10_000,
        };
        self.hear(&welcome.encode());
    }

    /// The whole handshake, for the HELLO that is under way.
    pub(super) fn welcome(&mut self, epoch: Epoch) {
        let hello = self.retry(1);
        self.welcome_to(hello.ccid, hello.nonce, epoch);
    }

    /// The number of the JOIN that waits for its answer.
    pub(super) fn join_asked(&mut self) -> Req {
        let frames = self.frames();
        let join = frames.iter().rev().find_map(|frame| match frame {
            uplink::Frame::Join { req, .. } => Some(*req),
            _ => None,
        });
        join.unwrap_or_else(|| panic!("a JOIN: {frames:?}"))
    }

    pub(super) fn joined(&mut self, req: Req, entered: Entered) {
        let Entered { room, tag, head, tail, next_sseq, members } = entered;
        let (head, tail, next_sseq) = (Seq(head), Seq(tail), Sseq(next_sseq));
        self.say(&[Frame::Joined { req, room, code: Code::Ok, tag, members, head, tail, next_sseq, name: "alice" }]);
    }

    pub(super) fn join(&mut self, spec: RoomSpec, entered: Entered) -> RoomId {
        let room = self.client.join(ms(self.now), spec).unwrap();
        let req = self.join_asked();
        self.joined(req, entered);
        room
    }

    /// Entries of the room from `base` on, to everyone.
    pub(super) fn entries(&mut self, base: u64, entries: &[Entry<'_>]) {
        let bytes = wire(entries);
        self.say_to_room(TAG, &[batch(base, entries.len(), &bytes)]);
    }

    /// The same, as an answer to NACK.
    pub(super) fn repair(&mut self, base: u64, entries: &[Entry<'_>]) {
        let bytes = wire(entries);
        self.say(&[batch(base, entries.len(), &bytes)]);
    }

    /// Bob says `n`, which is entry `n`, for each of them.
    pub(super) fn bob_says(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        for n in numbers {
            let text = n.to_string();
            self.entries(n, &[bobs(n, text.as_bytes())]);
        }
    }
}

/// What Bob said as entry `n`.
pub(super) fn bobs(n: u64, payload: &[u8]) -> Entry<'_> {
    Entry { member: BOB, sseq: Sseq(n as u32), kind: EntryKind::TEXT, payload }
}

/// What the client said under a number.
pub(super) fn mine(sseq: u32, payload: &[u8]) -> Entry<'_> {
    Entry { member: ME, sseq: Sseq(sseq), kind: EntryKind::TEXT, payload }
}

fn wire(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; 2000];
    let len = entries.iter().fold(0, |at, entry| at + entry.write(&mut bytes[at..]));
    bytes.truncate(len);
    bytes
}

fn batch(base: u64, len: usize, bytes: &[u8]) -> Frame<'_> {
    let entries = Entries::parse(len as u8, bytes).unwrap();
    Frame::Batch(downlink::Batch { room: ROOM, time_s: 1_700_000_000, base: Seq(base), entries })
}
