//! The client and a relay that says anything at all: it never panics, never
//! spins, tells each entry once and in order, and each outcome once.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

use outcry::Time;
use outcry::client::{Client, Code, DATAGRAM_BYTES, EntryKind, Event, MemberId, Options, RoomId, RoomKey, RoomSpec};
use outcry::wire::downlink::{Batch, Builder, Entries, Entry, Frame};
use outcry::wire::handshake::{Cookie, Hello, NoSession, OtherVersion, Refuse, Retry, Welcome};
use outcry::wire::header::{DirectStatus, RefusedCause, SlowCause};
use outcry::wire::id::{Ccid, Dseq, Epoch, Nonce, Req, RoomHandle, RoomTag, Scid, Seq, Sseq, Token};
use outcry::wire::uplink::{self, Uplink};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Deadlines in one moment, from which on the client spins.
const SPINNING: u32 = 5000;

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    /// A frame of some kind with some numbers, for the client alone or a room.
    Say {
        kind: u8,
        room: u16,
        a: u64,
        b: u64,
        small: u32,
        to_room: bool,
    },
    /// An answer to the HELLO that is under way, good or not.
    Answer {
        kind: u8,
        good: bool,
        epoch: u64,
        code: u16,
    },
    Verb {
        kind: u8,
        room: usize,
        len: usize,
    },
    /// Bytes of no meaning behind a good prefix.
    Noise {
        kind: u8,
        bytes: Vec<u8>,
    },
    Fetch,
}

/// Small numbers mostly, and the ends of the range.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0u64..9, 4 => 0u64..40, 1 => 0u64..10_000, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 2), 1 => any::<u64>()]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![8 => 0u64..50, 4 => 0u64..3000, 1 => Just(31_000u64)].prop_map(Step::Wait),
        30 => (0u8..40, 0u16..3, number(), number(), 0u32..6, any::<bool>())
            .prop_map(|(kind, room, a, b, small, to_room)| Step::Say { kind, room, a, b, small, to_room }),
        2 => (0u8..8, prop::bool::weighted(0.9), prop_oneof![9 => Just(1u64), 1 => 0u64..3], 0u16..18)
            .prop_map(|(kind, good, epoch, code)| Step::Answer { kind, good, epoch, code }),
        8 => (0u8..12, 0usize..4, 0usize..1300).prop_map(|(kind, room, len)| Step::Verb { kind, room, len }),
        1 => (0u8..3, prop::collection::vec(any::<u8>(), 0..80)).prop_map(|(kind, bytes)| Step::Noise { kind, bytes }),
        2 => Just(Step::Fetch),
    ]
}

struct Run {
    client: Client,
    now_ms: u64,
    ccid: Ccid,
    nonce: Nonce,
    scid: u64,
    req: Req,
    t: u64,
    rooms: Vec<RoomId>,
    /// What was told last in each room, in this epoch.
    told: BTreeMap<RoomId, u64>,
    settled: BTreeSet<String>,
}

impl Run {
    fn new(names: bool) -> Self {
        let client = Client::new(Options { names, ..Options::new("alice") }, [1; 32], Time::default()).unwrap();
        Self {
            client,
            now_ms: 0,
            ccid: Ccid(0),
            nonce: Nonce(0),
            scid: 0,
            req: Req(0),
            t: 0,
            rooms: Vec::new(),
            told: BTreeMap::new(),
            settled: BTreeSet::new(),
        }
    }

    fn now(&self) -> Time {
        Time::new(self.now_ms * 1_000_000, 0)
    }

    fn step(&mut self, step: &Step) {
        self.send();
        match *step {
            Step::Wait(ms) => self.wait(ms),
            Step::Say { kind, room, a, b, small, to_room } => self.say(kind, room, a, b, small, to_room),
            Step::Answer { kind, good, epoch, code } => self.answer(kind, good, epoch, Code::from_wire(code)),
            Step::Verb { kind, room, len } => self.verb(kind, room, len),
            Step::Noise { kind, ref bytes } => {
                let mut datagram = vec![0xF7, 0x4F, 1, [0x90, 0x91, 0x83][usize::from(kind)]];
                datagram.extend(if kind == 0 { self.ccid.0 } else { 7 }.to_le_bytes());
                datagram.extend(bytes);
                self.client.handle_datagram(self.now(), &datagram);
            }
            Step::Fetch => self.fetch(),
        }
        self.send();
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        let mut rounds = 0;
        while let Some(due) = self.client.next_deadline().filter(|due| due.nanos() <= end * 1_000_000) {
            let due_ms = due.nanos().div_ceil(1_000_000);
            rounds = if due_ms > self.now_ms { 0 } else { rounds + 1 };
            assert!(rounds < SPINNING, "spins");
            self.now_ms = self.now_ms.max(due_ms);
            self.client.handle_deadline(self.now());
            self.send();
            self.fetch();
        }
        self.now_ms = end;
    }

    /// Fetches all datagrams, and takes from them what answers need.
    fn send(&mut self) {
        let mut buffer = [0; DATAGRAM_BYTES];
        for round in 0.. {
            assert!(round < SPINNING, "never ends");
            let Some(len) = self.client.poll_transmit(self.now(), &mut buffer) else { break };
            match Uplink::parse(&buffer[..len]).expect("the client's datagrams are good") {
                Uplink::Hello(Hello { ccid, nonce, .. }) => (self.ccid, self.nonce) = (ccid, nonce),
                Uplink::Session(session) => {
                    for frame in session.frames {
                        match frame {
                            uplink::Frame::Join { req, .. } | uplink::Frame::Who { req, .. } => self.req = req,
                            uplink::Frame::Leave { req, .. } | uplink::Frame::Nick { req, .. } => self.req = req,
                            uplink::Frame::List { req, .. } => self.req = req,
                            uplink::Frame::Ping { t } => self.t = t,
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    fn fetch(&mut self) {
        while let Some(event) = self.client.poll_event() {
            let told = match &event {
                Event::Connected { resumed: false, .. } => {
                    self.told.clear();
                    None
                }
                Event::Message(message) => Some((message.room, message.seq.0, message.seq.0)),
                Event::Presence(presence) => Some((presence.room, presence.seq.0, presence.seq.0)),
                Event::Undecryptable { room, seq, .. } => Some((*room, seq.0, seq.0)),
                Event::Gap { room, from, to } => Some((*room, from.0, to.0)),
                Event::Delivered { ticket, .. } | Event::NotSent { ticket, .. } | Event::DirectDone { ticket, .. } => {
                    assert!(self.settled.insert(format!("{ticket:?}")), "told twice: {event:?}");
                    None
                }
                _ => None,
            };
            if let Some((room, from, to)) = told {
                let last = self.told.insert(room, to).unwrap_or(0);
                assert!(last < from && from <= to, "out of order: {event:?} after {last}");
            }
        }
    }

    fn say(&mut self, kind: u8, room: u16, a: u64, b: u64, small: u32, to_room: bool) {
        let (handle, tag) = (RoomHandle(room), RoomTag(u64::from(room) + 100));
        let mut bytes = [0; 1000];
        let mut len = 0;
        for n in 0..small {
            let kind = EntryKind([0, 1, 2, 16, 17, 18][(a as usize).wrapping_add(n as usize) % 6]);
            let payload: &[u8] = if n % 2 == 0 { b"bob : hi" } else { b"" };
            let member = MemberId(5 + n % 2);
            len += Entry { member, sseq: Sseq(b as u32 % 4), kind, payload }.write(&mut bytes[len..]);
        }
        let entries = Entries::parse(small as u8, &bytes[..len]).unwrap();
        let (low, first_dropped) = (small, Sseq(b as u32));
        let batch = Frame::Batch(Batch { room: handle, time_s: 0, base: Seq(a.min(u64::MAX - 10)), entries });
        let head = Frame::Head { room: handle, tag, members: low, head: Seq(a), tail: Seq(b) };
        let code = Code::from_wire(b as u16 % 3 * 16);
        let cause = RefusedCause::from_wire(low as u8);
        let frame = match kind {
            _ if to_room => [batch, head][usize::from(kind) % 2],
            0 | 1 | 16.. => batch,
            2 => head,
            3 | 4 => Frame::Joined {
                req: self.req,
                room: handle,
                code: if low == 0 { code } else { Code::Ok },
                tag,
                members: low,
                head: Seq(a),
                tail: Seq(b),
                next_sseq: Sseq(low),
                name: "alice",
            },
            5 => Frame::Ack { room: handle, cumulative: Sseq(a as u32), seq: Seq(b), missing: low.is_multiple_of(2) },
            6 => Frame::Gap { room: handle, from: Seq(a), to: Seq(b) },
            7 => Frame::Pong { t: if low == 0 { a } else { self.t } },
            8 => Frame::PathChallenge { token: Token(a) },
            9 => {
                let (msgs_s, bytes_s, retry_ms) = (low, a as u32, b as u16);
                Frame::Slow {
                    room: handle,
                    cause: SlowCause::from_wire(low as u8),
                    msgs_s,
                    bytes_s,
                    retry_ms,
                    first_dropped,
                }
            }
            10 => Frame::Result { req: self.req, code },
            11 => Frame::Direct {
                from: MemberId(low),
                dseq: Dseq(a as u32),
                kind: EntryKind::TEXT,
                name: "bob",
                payload: b"x",
            },
            12 => Frame::Refused { room: handle, sseq: Sseq(a as u32), cause },
            13 => Frame::DirectDone {
                peer: MemberId(low),
                dseq: Dseq(a as u32),
                status: DirectStatus::from_wire(low as u8),
            },
            14 if low > 3 => Frame::Close {
                code: Code::from_wire([1, 4, 10, 5, 6, 11][low as usize % 6]),
                reason: "relay.example:1",
            },
            _ => return self.say_list(handle, a, low),
        };
        let mut buffer = [0; DATAGRAM_BYTES];
        let mut builder =
            if to_room { Builder::to_room(&mut buffer, tag) } else { Builder::to_client(&mut buffer, self.ccid) };
        builder.push(&frame);
        let len = builder.len();
        self.client.handle_datagram(self.now(), &buffer[..len]);
    }

    fn say_list(&mut self, room: RoomHandle, a: u64, small: u32) {
        let mut buffer = [0; DATAGRAM_BYTES];
        let mut builder = Builder::to_client(&mut buffer, self.ccid);
        let list = if a.is_multiple_of(2) { builder.members(self.req, room, Seq(a)) } else { builder.rooms(self.req) };
        let mut list = list.unwrap();
        (0..small).for_each(|n| _ = list.add(n, "somebody"));
        list.finish(small);
        let len = builder.len();
        self.client.handle_datagram(self.now(), &buffer[..len]);
    }

    fn answer(&mut self, kind: u8, good: bool, epoch: u64, code: Code) {
        let (ccid, nonce) = (self.ccid, if good { self.nonce } else { Nonce(1) });
        let datagram = match kind {
            0 => Retry { ccid, nonce, cookie: Cookie([epoch as u8; 24]) }.encode().to_vec(),
            1 if good => NoSession { scid: Scid(self.scid), epoch: Epoch(epoch) }.encode().to_vec(),
            2 if epoch == 0 => Refuse { ccid, nonce, code, retry_ms: 100 }.encode().to_vec(),
            3 if !good => OtherVersion { ccid: Ccid(1), versions: [2; 8] }.encode().to_vec(),
            _ => {
                self.scid += 1;
                let (scid, epoch, member) = (Scid(self.scid), Epoch(epoch), MemberId(5));
                let (max_dgram, idle_s, keepalive_s, flags) = (1232, 60, epoch.0 as u16 * 20, 0);
                let (msgs_per_s, bytes_per_s, window_bytes) = (0, 0, u32::from(kind) * 500);
                Welcome {
                    ccid,
                    nonce,
                    scid,
                    epoch,
                    member,
                    max_dgram,
                    idle_s,
                    keepalive_s,
                    flags,
                    msgs_per_s,
                    bytes_per_s,
                    window_bytes,
                }
                .encode()
                .to_vec()
            }
        };
        self.client.handle_datagram(self.now(), &datagram);
    }

    fn verb(&mut self, kind: u8, room: usize, len: usize) {
        let now = self.now();
        let id = self.rooms.get(room).copied();
        // What does not fit is refused; that is all that is wanted here.
        match (kind, id) {
            (0, _) => {
                let key = RoomKey::from_secret("den", &[1; 32]);
                let spec = [RoomSpec::lobby(), RoomSpec::open("a"), RoomSpec::sealed("den", key)][room % 3].clone();
                self.rooms.extend(self.client.join(now, spec.with_history(len as u32)));
            }
            (1, Some(id)) if len < 200 => _ = self.client.leave(now, id),
            (2, _) => _ = self.client.direct(now, MemberId(len as u32 % 6), &[0; 100]),
            (3, _) => _ = self.client.nick(now, "bob"),
            (4, Some(id)) => _ = self.client.who(now, id),
            (5, _) => _ = self.client.list(now),
            (6, _) => self.client.address_changed(now),
            (7, _) if len < 20 => self.client.close(now),
            (8, _) => self.client.relay_unreachable(now),
            (_, Some(id)) => _ = self.client.send(now, id, &vec![b'x'; len]),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn whatever_the_relay_says(names: bool, steps in prop::collection::vec(step(), 1..200)) {
        let mut run = Run::new(names);
        // Half of the runs begin well.
        if steps.len() % 2 == 0 {
            run.step(&Step::Answer { kind: 0, good: true, epoch: 1, code: 0 });
            run.step(&Step::Answer { kind: 7, good: true, epoch: 1, code: 0 });
            for room in 0..3 {
                run.step(&Step::Verb { kind: 0, room, len: 5 });
                run.step(&Step::Say { kind: 3, room: room as u16, a: 3, b: 1, small: 1, to_room: false });
            }
        }
        for step in &steps {
            run.step(step);
        }
        run.client.close(run.now());
        run.wait(1000);
        run.fetch();
        prop_assert_eq!(run.client.next_deadline(), None);
        prop_assert!(run.now() < Time::default() + Duration::from_secs(10_000_000));
    }
}
