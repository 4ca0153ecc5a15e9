//! Random lives of a relay with native members, honest and hostile, beside
//! plain ones. After every turn: nothing panics, the books and the views
//! agree, a number of a room is one entry for everyone, a message is entered
//! once and in its order, sizes hold, and nobody is sent anything unasked.

mod frames;
mod support;

use outcry::config::{self, Lang, Limits, PlainPolicy};
use outcry::relay::{Command, Event, Target};
use outcry::wire::downlink::{Downlink, Frame as Down};
use outcry::wire::handshake::{Cookie, Retry, Welcome};
use outcry::wire::header::{Code, EntryKind, RefusedCause};
use outcry::wire::id::*;
use outcry::wire::uplink::{Frame, RANGES_MAX, Ranges, SeqRange};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;
use support::native::{Entry, Native, entries_to};
use support::{Bench, OWN, Sent, addr};

const CLIENTS: usize = 5;
/// Where clients are, and plain members come from: the same few addresses.
const ADDRESSES: [&str; 8] = [
    "127.0.0.1:1",
    "127.0.0.1:2",
    "127.0.0.1:3",
    "127.0.0.1:4",
    "127.0.0.2:1",
    "127.0.0.2:2",
    "[2001:db8::1]:1",
    "127.0.0.1:0",
];
const ROOMS: [&str; 5] = ["lobby", "tea", "coffee", "a", "b"];
const NAMES: [&str; 5] = ["bob", "alice", "bob#2", "exit", "明明"];
const TEXTS: [&str; 8] = ["bob", "bob : hi", "exit", "alice", "", "hello there", "[relay] x", "a\u{1b}b"];

#[derive(Clone, Debug)]
enum Said {
    /// A HELLO with the cookie that it was told last, or without.
    Hello(bool),
    /// New ids, at another address, for the same run or another.
    Again(usize, bool),
    /// Frames, in one datagram.
    Frames(Vec<Act>),
    /// The same from another address.
    Elsewhere(usize, Vec<Act>),
    /// What it sent last, once more.
    Repeat,
    /// It is elsewhere from now on, with the same session.
    Move(usize),
    /// Its last datagram with a byte changed.
    Broken(usize, u8),
}

#[derive(Clone, Debug)]
enum Act {
    Join(usize, bool),
    Leave(u16),
    /// In which room, how far from the next number, how long, of which kind.
    Say(u16, i32, usize, u8),
    Nack(u16, Vec<(u64, u16)>),
    Report(u16, u64, u32, u16),
    Ping,
    Who(u16, u32, usize),
    List(u32),
    Nick(usize),
    Direct(usize, usize),
    DirectAck(usize),
    /// The answer to the challenge that it was sent last.
    Prove,
    Close,
    /// Whatever a frame may be.
    Any(Frame<'static>),
}

#[derive(Clone, Debug)]
enum Step {
    /// Datagrams of one turn, by native clients and plain addresses.
    Turn(Vec<Result<(usize, Said), (usize, usize)>>),
    Wait(u64),
    /// So many long messages of one client to one room, some in each turn.
    Storm(usize, u16, usize),
    Unreachable(usize),
    Kick(usize),
    Announce,
    /// What it says is refused from now on, or is not any more.
    Mute(usize, bool),
    /// Another relay takes over.
    TakeOver,
}

fn act() -> impl Strategy<Value = Act> {
    let room = || prop_oneof![6 => 0u16..5, 1 => any::<u16>()];
    let seq = || prop_oneof![8 => 0u64..200, 1 => any::<u64>()];
    let delta = prop_oneof![6 => Just(0i32), 2 => -2i32..4];
    let bytes = prop_oneof![4 => 0usize..100, 1 => 1000usize..1200];
    let kind = prop_oneof![6 => Just(0u8), 1 => Just(2u8), 1 => any::<u8>()];
    prop_oneof![
        6 => (0..ROOMS.len(), prop::bool::weighted(0.1)).prop_map(|(room, sealed)| Act::Join(room, sealed)),
        2 => room().prop_map(Act::Leave),
        12 => (room(), delta, bytes, kind).prop_map(|(room, delta, bytes, kind)| Act::Say(room, delta, bytes, kind)),
        2 => (room(), proptest::collection::vec((seq(), any::<u16>()), 0..4)).prop_map(|(room, of)| Act::Nack(room, of)),
        2 => (room(), seq(), 0u32..5, 0u16..9).prop_map(|(room, to, lost, kib)| Act::Report(room, to, lost, kib)),
        2 => Just(Act::Ping),
        1 => (room(), prop_oneof![Just(0u32), any::<u32>()], 0..=CLIENTS).prop_map(|(room, cursor, of)| Act::Who(room, cursor, of)),
        1 => prop_oneof![Just(0u32), any::<u32>()].prop_map(Act::List),
        1 => (0..NAMES.len()).prop_map(Act::Nick),
        1 => (0..CLIENTS, 0usize..1200).prop_map(|(to, bytes)| Act::Direct(to, bytes)),
        1 => (0..CLIENTS).prop_map(Act::DirectAck),
        3 => Just(Act::Prove),
        1 => Just(Act::Close),
        2 => frames::uplink_frame().prop_map(Act::Any),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let acts = || proptest::collection::vec(act(), 0..6);
    prop_oneof![
        5 => prop::bool::weighted(0.8).prop_map(Said::Hello),
        1 => (0..ADDRESSES.len(), any::<bool>()).prop_map(|(at, same)| Said::Again(at, same)),
        14 => acts().prop_map(Said::Frames),
        1 => (0..ADDRESSES.len(), acts()).prop_map(|(at, acts)| Said::Elsewhere(at, acts)),
        1 => Just(Said::Repeat),
        1 => (0..ADDRESSES.len()).prop_map(Said::Move),
        1 => (0usize..100, any::<u8>()).prop_map(|(at, byte)| Said::Broken(at, byte)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let native = || (0..CLIENTS, said()).prop_map(Ok);
    let plain = || (0..ADDRESSES.len(), 0..TEXTS.len()).prop_map(Err);
    let datagram = prop_oneof![5 => native(), 1 => plain()];
    prop_oneof![
        14 => proptest::collection::vec(datagram, 1..12).prop_map(Step::Turn),
        3 => prop_oneof![0u64..200, 0u64..3_000, 0u64..70_000, Just(700_000)].prop_map(Step::Wait),
        1 => (0..CLIENTS, 0u16..5, 1usize..150).prop_map(|(of, room, count)| Step::Storm(of, room, count)),
        1 => (0..ADDRESSES.len()).prop_map(Step::Unreachable),
        1 => (0..ADDRESSES.len()).prop_map(Step::Kick),
        1 => Just(Step::Announce),
        1 => (0..ADDRESSES.len(), any::<bool>()).prop_map(|(of, muted)| Step::Mute(of, muted)),
        1 => Just(Step::TakeOver),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let rare = |limit: u32| prop_oneof![6 => Just(0), 1 => Just(limit)];
    let plain =
        prop_oneof![2 => Just(PlainPolicy::Open), 1 => Just(PlainPolicy::Challenge), 1 => Just(PlainPolicy::Off)];
    let caps =
        (1u32..6, prop_oneof![1 => 1u32..5, 3 => Just(5u32)], 2u32..6, prop_oneof![3 => Just(0u32), 1 => 1u32..4]);
    let rates = (rare(3), rare(500), rare(2), rare(3), prop_oneof![Just(0u32), Just(1), Just(10)]);
    (plain, caps, rates, rare(2), rare(2), 2u32..6, any::<bool>()).prop_map(
        |(plain, caps, rates, prefix_sessions_max, prefix_rooms_max, pages, console)| Limits {
            plain,
            lang: Lang::En,
            console,
            peers_max: caps.0,
            sessions_max: caps.1,
            rooms_max: caps.2,
            room_members_max: caps.3,
            presence_members_max: caps.3 * 2,
            msgs_per_s: rates.0,
            bytes_per_s: rates.1,
            joins_per_s_prefix: rates.2,
            prefix_peers_max: rates.3,
            notices_per_s: rates.4,
            prefix_sessions_max,
            prefix_rooms_max,
            ring_bytes_max: config::RING_BYTES_SMALLEST,
            ring_messages_max: config::RING_MESSAGES_SMALLEST,
            rings_bytes_max: pages * config::RING_BYTES_SMALLEST,
            ..Limits::for_bind(addr(OWN))
        },
    )
}

struct World {
    bench: Bench,
    limits: Limits,
    clients: Vec<Native>,
    cookies: HashMap<Nonce, Cookie>,
    challenges: HashMap<Ccid, Token>,
    /// What each client sent last, and from where.
    last: Vec<(SocketAddr, Vec<u8>)>,
    /// The next number of each client in each room, as it believes.
    sseqs: HashMap<(usize, u16), u32>,
    /// Who is here, by the relay's events: address and name.
    here: HashMap<SocketAddr, String>,
    events_seen: usize,
    heard_from: HashSet<SocketAddr>,
    /// Every entry of every room that anybody was sent.
    entries: BTreeMap<(u16, u64), Entry>,
    /// Which entry each message became, by room and author; of rooms since one ended last,
    /// because another has its handle then.
    said: HashMap<(u16, MemberId), BTreeMap<u32, u64>>,
    rooms_ended: u64,
    runs: u64,
}

impl World {
    fn new(limits: &Limits) -> Self {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| Native { at: addr(ADDRESSES[number]), ..Native::new(number as u16, NAMES[number % 2]) })
            .collect();
        Self {
            bench: Bench::new(limits),
            limits: limits.clone(),
            last: clients.iter().map(|client| (client.at, Vec::new())).collect(),
            clients,
            cookies: HashMap::new(),
            challenges: HashMap::new(),
            sseqs: HashMap::new(),
            here: HashMap::new(),
            events_seen: 0,
            heard_from: HashSet::new(),
            entries: BTreeMap::new(),
            said: HashMap::new(),
            rooms_ended: 0,
            runs: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Turn(datagrams) => {
                for datagram in datagrams {
                    match datagram {
                        Ok((client, said)) => self.say(*client, said),
                        Err((from, text)) => self.hear(addr(ADDRESSES[*from]), TEXTS[*text].as_bytes()),
                    }
                }
                let sent = self.bench.flush();
                self.check(&sent);
            }
            Step::Wait(ms) => {
                let sent = self.bench.run(Duration::from_millis(*ms));
                self.check(&sent);
            }
            Step::Storm(of, room, count) => {
                let turns: Vec<_> =
                    (0..*count).map(|_| Ok((*of, Said::Frames(vec![Act::Say(*room, 0, 1000, 0)])))).collect();
                turns.chunks(10).for_each(|turn| self.step(&Step::Turn(turn.to_vec())));
            }
            Step::Unreachable(of) => {
                let sent = self.bench.unreachable(addr(ADDRESSES[*of]));
                self.check(&sent);
            }
            Step::Kick(of) => self.command(Command::Kick(Target::Address(addr(ADDRESSES[*of])))),
            Step::Announce => self.command(Command::Say("the operator speaks".into())),
            Step::Mute(of, muted) => {
                let target = Target::Address(addr(ADDRESSES[*of]));
                self.command(if *muted { Command::Mute(target) } else { Command::Unmute(target) });
            }
            Step::TakeOver => self.bench.split(&self.limits),
        }
    }

    fn command(&mut self, command: Command) {
        let (_, sent) = self.bench.command(command);
        self.check(&sent);
    }

    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.heard_from.insert(from);
        self.bench.take(from, bytes);
    }

    fn say(&mut self, of: usize, said: &Said) {
        let (from, bytes) = match said {
            Said::Hello(with_cookie) => {
                let known = self.cookies.get(&self.clients[of].nonce).filter(|_| *with_cookie);
                (self.clients[of].at, self.clients[of].hello(known.copied().unwrap_or_default()))
            }
            Said::Again(at, same) => return self.again(of, *at, *same),
            Said::Move(at) => {
                self.clients[of].at = addr(ADDRESSES[*at]);
                (self.clients[of].at, self.datagram(of, &[Act::Ping]))
            }
            Said::Frames(acts) => (self.clients[of].at, self.datagram(of, acts)),
            Said::Elsewhere(at, acts) => (addr(ADDRESSES[*at]), self.datagram(of, acts)),
            Said::Repeat => self.last[of].clone(),
            Said::Broken(at, byte) => {
                let (from, mut bytes) = self.last[of].clone();
                bytes.iter_mut().skip(4 + at).take(1).for_each(|broken| *broken = *byte);
                (from, bytes)
            }
        };
        self.hear(from, &bytes);
        self.last[of] = (from, bytes);
    }

    fn again(&mut self, of: usize, at: usize, same: bool) {
        self.runs += 1;
        let client = &mut self.clients[of];
        client.again();
        client.at = addr(ADDRESSES[at]);
        if !same {
            client.instance = Instance(0xABCD_0000 + self.runs);
            self.sseqs.retain(|&(known, _), _| known != of);
        }
    }

    /// As many of the frames as fit.
    fn datagram(&mut self, of: usize, acts: &[Act]) -> Vec<u8> {
        let payload = [b'x'; 1200];
        let mut buffers = vec![[[0; 10]; RANGES_MAX]; acts.len()];
        let mut frames = Vec::new();
        for (act, buffer) in acts.iter().zip(&mut buffers) {
            let frame = self.frame(of, act, &payload, buffer);
            frames.push(frame);
        }
        let client = &mut self.clients[of];
        let fit = (0..=frames.len()).rev().find(|&count| {
            let mut space = [0; 1232];
            let mut builder = outcry::wire::uplink::Builder::session(&mut space, Scid(1), PacketNumber(1));
            frames[..count].iter().all(|frame| builder.push(frame))
        });
        client.datagram(&frames[..fit.unwrap_or(0)])
    }

    /// One of the rooms that the client believes to be in, or another.
    fn room(&self, of: usize, pick: u16) -> RoomHandle {
        let mut known: Vec<_> = self.sseqs.keys().filter(|(client, _)| *client == of).map(|(_, room)| *room).collect();
        known.sort_unstable();
        let known = known.get(usize::from(pick) % known.len().max(1)).filter(|_| pick < 5);
        RoomHandle(known.copied().unwrap_or(pick))
    }

    fn frame<'a>(
        &mut self,
        of: usize,
        act: &Act,
        payload: &'a [u8],
        buffer: &'a mut [[u8; 10]; RANGES_MAX],
    ) -> Frame<'a> {
        let req = self.clients[of].next_req();
        let member_of = |clients: &[Native], at: usize| clients.get(at).map_or(MemberId(0), |client| client.member);
        match *act {
            Act::Join(room, sealed) => {
                Frame::Join { req, sealed, unlisted: sealed, key_id: KeyId(u64::from(sealed)), room: ROOMS[room] }
            }
            Act::Leave(room) => Frame::Leave { req, room: self.room(of, room) },
            Act::Say(room, delta, bytes, kind) => {
                let room = self.room(of, room);
                let next = self.sseqs.entry((of, room.0)).or_insert(1);
                let sseq = Sseq(next.saturating_add_signed(delta));
                *next += u32::from(delta == 0);
                Frame::Msg { room, kind: EntryKind(kind), sseq, payload: &payload[..bytes] }
            }
            Act::Nack(room, ref ranges) => {
                let ranges: Vec<_> =
                    ranges.iter().map(|&(start, count)| SeqRange { start: Seq(start), count }).collect();
                Frame::Nack { room: self.room(of, room), ranges: Ranges::encode(&ranges, buffer) }
            }
            Act::Report(room, to, lost, kib) => {
                Frame::Report { room: self.room(of, room), contiguous: Seq(to), highest: Seq(to), lost, kib }
            }
            Act::Ping => Frame::Ping { t: 1 },
            Act::Who(room, cursor, only) => {
                Frame::Who { req, room: self.room(of, room), cursor, member: member_of(&self.clients, only) }
            }
            Act::List(cursor) => Frame::List { req, cursor },
            Act::Nick(name) => Frame::Nick { req, name: NAMES[name] },
            Act::Direct(to, bytes) => Frame::Direct {
                to: member_of(&self.clients, to),
                dseq: Dseq(1),
                kind: EntryKind::TEXT,
                payload: &payload[..bytes],
            },
            Act::DirectAck(to) => Frame::DirectAck { to: member_of(&self.clients, to), dseq: Dseq(1) },
            Act::Prove => {
                let token = self.challenges.get(&self.clients[of].ccid).copied().unwrap_or_default();
                Frame::PathResponse { token }
            }
            Act::Close => Frame::Close { code: Code::Ok, reason: "" },
            Act::Any(frame) => frame,
        }
    }

    fn check(&mut self, sent: &[Sent]) {
        self.check_views();
        let ended = self.bench.relay.counters().native.rooms_ended;
        if std::mem::replace(&mut self.rooms_ended, ended) != ended {
            self.said.clear();
        }
        for one in sent {
            assert!(self.heard_from.contains(&one.to), "{} was never heard from", one.to);
            self.read(one);
        }
        let receivers: HashSet<_> = sent.iter().map(|sent| sent.to).collect();
        for receiver in receivers {
            for entry in entries_to(sent, receiver) {
                self.check_entry(entry);
            }
        }
    }

    /// What it is, and what its client learns from it.
    fn read(&mut self, sent: &Sent) {
        if sent.bytes[0] != 0xF7 {
            assert!(sent.bytes.len() <= 1024 && std::str::from_utf8(&sent.bytes).is_ok());
            return;
        }
        assert!(sent.bytes.len() <= 1232);
        match Downlink::parse(&sent.bytes).unwrap_or_else(|error| panic!("{error}: {:x?}", sent.bytes)) {
            Downlink::Retry(Retry { nonce, cookie, .. }) => _ = self.cookies.insert(nonce, cookie),
            Downlink::Welcome(welcome) => self.welcome(&welcome),
            Downlink::ToClient { ccid, frames } => {
                for frame in frames {
                    self.learn(ccid, &frame);
                }
            }
            Downlink::ToRoom { tag, .. } => assert_ne!(tag, RoomTag(0)),
            Downlink::Refuse(_) | Downlink::OtherVersion(_) | Downlink::NoSession(_) => {}
        }
    }

    fn welcome(&mut self, welcome: &Welcome) {
        let client = self.clients.iter_mut().find(|client| client.nonce == welcome.nonce);
        if let Some(client) = client.filter(|client| client.scid != welcome.scid) {
            client.welcomed(welcome);
        }
    }

    fn learn(&mut self, ccid: Ccid, frame: &Down<'_>) {
        let Some(of) = self.clients.iter().position(|client| client.ccid == ccid) else { return };
        match *frame {
            Down::PathChallenge { token } => _ = self.challenges.insert(ccid, token),
            Down::Joined { code: Code::Ok, room, next_sseq, head, tail, .. } => {
                assert!(tail.0 <= head.0 + 1);
                self.sseqs.insert((of, room.0), next_sseq.0);
            }
            Down::Ack { room, cumulative, missing, .. } if missing => {
                self.sseqs.insert((of, room.0), cumulative.0 + 1);
            }
            Down::Slow { room, first_dropped: sseq, .. } => _ = self.sseqs.insert((of, room.0), sseq.0),
            Down::Refused { room, sseq, cause: RefusedCause::Kind | RefusedCause::TooLong } => {
                self.sseqs.insert((of, room.0), sseq.0);
            }
            Down::Refused { room, .. } => _ = self.sseqs.remove(&(of, room.0)),
            _ => {}
        }
    }

    /// The same number is the same entry for everyone; a message stands once, in its author's order.
    fn check_entry(&mut self, entry: Entry) {
        let (room, seq) = (entry.room.0, entry.seq);
        if entry.sseq != 0 {
            let said = self.said.entry((room, entry.member)).or_default();
            let before = said.range(..entry.sseq).next_back().map(|(_, &seq)| seq);
            let behind = said.range(entry.sseq + 1..).next().map(|(_, &seq)| seq);
            let same = *said.entry(entry.sseq).or_insert(seq);
            assert!(
                before < Some(seq) && behind.is_none_or(|behind| seq < behind) && same == seq,
                "{before:?} {same} {seq}"
            );
        }
        let known = self.entries.entry((room, seq)).or_insert_with(|| entry.clone());
        assert!(*known == entry, "{seq} of room {room}");
    }

    fn check_views(&mut self) {
        for event in &self.bench.events[self.events_seen..] {
            match event {
                Event::Joined { remote, name, .. } => assert_eq!(self.here.insert(*remote, name.to_string()), None),
                Event::Left { remote, name, .. } => assert_eq!(self.here.remove(remote).as_deref(), Some(&**name)),
                Event::Moved { from, to } => {
                    let name = self.here.remove(from).expect("who moves is here");
                    assert_eq!(self.here.insert(*to, name), None);
                }
                Event::Renamed { remote, name } => {
                    let known = self.here.get_mut(remote).expect("who is renamed is here");
                    *known = name.to_string();
                }
                Event::Muted { remote, muted } => {
                    assert!(!muted || self.here.contains_key(remote), "who is muted is here")
                }
                Event::Restored { .. } | Event::Heard { .. } => {}
            }
        }
        self.events_seen = self.bench.events.len();
        let (relay, counters) = (&self.bench.relay, self.bench.relay.counters());
        assert_eq!((relay.members(), relay.roster().len() + relay.sessions()), (self.here.len(), self.here.len()));
        assert_eq!(counters.joined - counters.left_total(), self.here.len() as u64);
        assert_eq!(counters.native.sessions_begun - counters.native.sessions_ended, relay.sessions() as u64);
        assert_eq!(counters.native.rooms_opened - counters.native.rooms_ended + 1, relay.rooms() as u64);
        assert_eq!(self.here.values().collect::<HashSet<_>>().len(), self.here.len(), "names are unique");
        assert_eq!(counters.native.casts_dropped, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_members_do_the_rooms_stay_whole(
        limits in limits(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(&limits);
        // Who is there in most of its life is there early.
        for of in 0..CLIENTS {
            for said in [Said::Hello(false), Said::Hello(true), Said::Frames(vec![Act::Join(of % 3, false), Act::Join(1, false)])] {
                world.step(&Step::Turn(vec![Ok((of, said))]));
            }
        }
        steps.iter().for_each(|step| world.step(step));
        world.step(&Step::Wait(1_400_000));
        prop_assert_eq!((world.bench.relay.sessions(), world.bench.relay.rooms()), (0, 1));
    }
}
