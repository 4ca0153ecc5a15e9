//! A relay and real clients around it in virtual time, without a network:
//! what is sent arrives at once, unless the input has it otherwise. Holds what
//! must be true of both after every turn; never decides what happens.

use super::promises::Promises;
use super::support::{Bench, OWN, Sent, addr};
use outcry::Time;
use outcry::batch::{Outbox, Path};
use outcry::client::{Client, DATAGRAM_BYTES, MemberId, Options, RoomId, RoomKey, RoomSpec};
use outcry::config::{self, Lang, Limits, PlainPolicy};
use outcry::relay::{Command, Event, Relay};
use outcry::wire::cursor::Reader;
use outcry::wire::downlink::{Downlink, Frame};
use outcry::wire::handshake::Hello;
use outcry::wire::header::{DATAGRAM_BYTES_MAX, Malformed};
use outcry::wire::id::{Ccid, Nonce, PacketNumber, RoomTag, Scid};
use outcry::wire::uplink::{Session, Uplink};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// Clients; each begins at the address of its number.
pub const MEMBERS: usize = 3;
/// Who sends: few addresses, one of them of no peer.
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
/// Rounds within one moment, from which on somebody spins.
const SPINNING: u32 = 5_000;
/// Answers to answers that still belong to one turn.
const ROUNDS: u32 = 16;
/// Virtual time of one input, beyond which waiting is none.
const LIFE_MS: u64 = 1_800_000;
/// When every life begins.
const UNIX_S: u64 = 1_700_000_000;
/// Datagrams for a client that are kept until the input lets them arrive.
const POST_MAX: usize = 64;

/// What the input still holds; an end of it ends everything.
pub type Input<'a> = Reader<'a>;
/// Whether the input went on.
pub type Going = Result<(), Malformed>;

/// A text with its length before it; what is no UTF-8 in it is replaced.
pub fn text(input: &mut Input<'_>) -> Result<String, Malformed> {
    let len = input.u8()?;
    Ok(String::from_utf8_lossy(input.slice(len.into())?).into_owned())
}

/// One of the few addresses.
pub fn place(number: u8) -> SocketAddr {
    addr(ADDRESSES[usize::from(number) % ADDRESSES.len()])
}

/// Limits that are soon reached, or not at all.
pub fn limits(input: &mut Input<'_>) -> Result<Limits, Malformed> {
    let [choices, caps, rates] = input.array()?;
    let rare = |bit: u8, limit: u32| if rates & (1 << bit) == 0 { 0 } else { limit };
    let plain = [PlainPolicy::Open, PlainPolicy::Challenge, PlainPolicy::Open, PlainPolicy::Off];
    let (few, rooms) = (u32::from(caps & 7), u32::from(caps >> 3 & 3));
    Ok(Limits {
        plain: plain[usize::from(choices & 3)],
        console: choices & 4 != 0,
        lang: if choices & 8 == 0 { Lang::En } else { Lang::Zh },
        mirror_guard: choices & 16 == 0,
        peers_max: 1 + few,
        sessions_max: 1 + few,
        rooms_max: 2 + rooms,
        room_members_max: u32::from(caps >> 5 & 3),
        presence_members_max: if caps >> 7 == 0 { 8 } else { 1 },
        msgs_per_s: rare(0, 3),
        bytes_per_s: rare(1, 500),
        joins_per_s_prefix: rare(2, 2),
        prefix_peers_max: rare(3, 2),
        notices_per_s: rare(4, 1),
        prefix_sessions_max: rare(5, 2),
        prefix_rooms_max: rare(6, 1),
        idle_ms: if rates >> 7 == 0 { config::IDLE_MS_DEFAULT } else { 61_000 },
        ring_bytes_max: config::RING_BYTES_SMALLEST,
        ring_messages_max: config::RING_MESSAGES_SMALLEST,
        rings_bytes_max: 3 * config::RING_BYTES_SMALLEST,
        ..Limits::for_bind(addr(OWN))
    })
}

/// A client, and what was seen of it on its way to the relay.
pub struct Member {
    pub client: Client,
    pub promises: Promises,
    pub at: SocketAddr,
    /// What it sends is lost.
    pub mute: bool,
    /// What is sent to it is lost.
    pub deaf: bool,
    /// What is sent to it waits in `post`.
    pub waits: bool,
    /// What it tells is not fetched.
    pub unread: bool,
    pub post: VecDeque<Vec<u8>>,
    pub rooms: Vec<RoomId>,
    pub ccid: Ccid,
    pub nonce: Nonce,
    pub scid: Scid,
    pub pn: PacketNumber,
    /// The tag of the room that it was told of last.
    pub tag: RoomTag,
    pub last: Vec<u8>,
}

impl Member {
    fn new(number: usize, life: u8, now: Time) -> Self {
        let seed: [u8; 32] = std::array::from_fn(|at| [number as u8 + 1, life][at % 2]);
        let options = Options { names: number != 1, ..Options::new(["alice", "bob", "小明"][number]) };
        Self {
            client: Client::new(options, seed, now).expect("a name"),
            promises: Promises::default(),
            at: place(number as u8),
            mute: false,
            deaf: false,
            waits: false,
            unread: false,
            post: VecDeque::new(),
            rooms: Vec::new(),
            ccid: Ccid(0),
            nonce: Nonce(0),
            scid: Scid(0),
            pn: PacketNumber(0),
            tag: RoomTag(0),
            last: Vec::new(),
        }
    }

    /// Does something that a program may do. What does not fit is refused, and that is all.
    pub fn act(&mut self, now: Time, input: &mut Input<'_>) -> Going {
        let [what, which] = input.array()?;
        let room = self.rooms.get(usize::from(which) % self.rooms.len().max(1)).copied();
        let client = &mut self.client;
        match (what % 12, room) {
            (0, _) => {
                let key = RoomKey::from_secret("den", &[1; 32]);
                let specs = [RoomSpec::lobby(), RoomSpec::open("tea"), RoomSpec::sealed("den", key)];
                let spec = specs[usize::from(which) % 3].clone();
                self.rooms.extend(client.join(now, spec.with_history(u32::from(which) >> 4)));
            }
            (1, Some(room)) => _ = client.leave(now, room),
            (2, _) => {
                let sent = client.direct(now, MemberId(which.into()), text(input)?.as_bytes());
                sent.into_iter().for_each(|ticket| self.promises.sent(ticket));
            }
            (3, _) => {
                client.nick(now, &text(input)?).into_iter().for_each(|request| self.promises.asked(request));
            }
            (4, Some(room)) => client.who(now, room).into_iter().for_each(|request| self.promises.asked(request)),
            (5, _) => client.list(now).into_iter().for_each(|request| self.promises.asked(request)),
            (6, _) => {
                self.at = place(which);
                client.address_changed(now);
            }
            (7, _) if which < 64 => client.close(now),
            (8, Some(room)) => {
                let payload = [b'x'; 5 * 255];
                // More than fits is tried, too.
                for _ in 0..=input.u8()? % 32 {
                    let sent = client.send(now, room, &payload[..5 * usize::from(which)]);
                    sent.into_iter().for_each(|ticket| self.promises.sent(ticket));
                }
            }
            (_, Some(room)) => {
                let sent = client.send(now, room, text(input)?.as_bytes());
                sent.into_iter().for_each(|ticket| self.promises.sent(ticket));
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes in one datagram, whoever made it.
    pub fn hear(&mut self, now: Time, bytes: &[u8]) {
        self.client.handle_datagram(now, bytes);
        self.fetch();
    }

    fn fetch(&mut self) {
        while let Some(event) = (!self.unread).then(|| self.client.poll_event()).flatten() {
            self.promises.check(&event);
        }
    }

    /// Everything that it has to send now.
    fn datagrams(&mut self, now: Time) -> Vec<Vec<u8>> {
        let (mut buffer, mut sent) = ([0; DATAGRAM_BYTES], Vec::new());
        while let Some(len) = self.client.poll_transmit(now, &mut buffer) {
            assert!(sent.len() < SPINNING as usize, "a client that never ends");
            let bytes = buffer[..len].to_vec();
            match Uplink::parse(&bytes).expect("a client's datagrams are good") {
                Uplink::Hello(Hello { ccid, nonce, .. }) => (self.ccid, self.nonce) = (ccid, nonce),
                Uplink::Session(Session { scid, pn, .. }) => (self.scid, self.pn) = (scid, pn),
            }
            self.last.clone_from(&bytes);
            sent.push(bytes);
        }
        self.fetch();
        sent
    }

    /// Ends it as a program does, and holds it to its promises.
    fn end(&mut self, mut now: Time) {
        self.unread = false;
        self.client.close(now);
        self.datagrams(now);
        for _ in 0..10 {
            now = now + Duration::from_millis(100);
            self.client.handle_deadline(now);
            self.datagrams(now);
        }
        assert!(self.promises.are_all_kept() && self.client.next_deadline().is_none());
    }
}

/// An entry as it was sent.
type Entry = (u32, u32, u32, u8, Vec<u8>);

pub struct World {
    pub bench: Bench,
    pub limits: Limits,
    members: [Option<Member>; MEMBERS],
    lives: u8,
    /// Datagrams of the turn that is under way.
    turn: usize,
    /// Who was heard from, and native bytes from there.
    heard: BTreeMap<SocketAddr, usize>,
    /// Bytes of answers to those who have proven nothing.
    answered: BTreeMap<SocketAddr, usize>,
    /// Who is here, by the relay's events.
    here: BTreeMap<SocketAddr, String>,
    events_seen: usize,
    /// Every entry of every room that anybody was sent, since the relay began.
    entries: BTreeMap<(u16, u64), Entry>,
    waited_ms: u64,
}

thread_local! {
    /// Kept from input to input: to make one takes longer than most of them.
    static OUTBOX: Cell<Option<Outbox>> = const { Cell::new(None) };
}

fn bench(limits: &Limits) -> Bench {
    let outbox = || Outbox::new(config::INBOX_DATAGRAMS, config::DATAGRAM_BYTES_MAX);
    let relay = Relay::new(limits, addr(OWN), [42; 32]);
    Bench::of(relay, OUTBOX.take().unwrap_or_else(outbox), Time::new(1_000_000_000, UNIX_S))
}

impl World {
    pub fn new(limits: Limits) -> Self {
        Self {
            bench: bench(&limits),
            limits,
            members: [None, None, None],
            lives: 0,
            turn: 0,
            heard: BTreeMap::new(),
            answered: BTreeMap::new(),
            here: BTreeMap::new(),
            events_seen: 0,
            entries: BTreeMap::new(),
            waited_ms: 0,
        }
    }

    /// A client, which begins when it is first asked for.
    pub fn member(&mut self, number: u8) -> &mut Member {
        let at = usize::from(number) % MEMBERS;
        let (life, now) = (self.lives, self.bench.now);
        self.members[at].get_or_insert_with(|| Member::new(at, life, now))
    }

    /// A client's program ends, and another one takes its place.
    pub fn renew(&mut self, number: u8) {
        let now = self.bench.now;
        if let Some(mut member) = self.members[usize::from(number) % MEMBERS].take() {
            member.end(now);
        }
        self.lives = self.lives.wrapping_add(1);
    }

    /// A client does what the input says.
    pub fn act(&mut self, number: u8, input: &mut Input<'_>) -> Going {
        let now = self.bench.now;
        let going = self.member(number).act(now, input);
        self.settle();
        going
    }

    /// The relay's process ends, and another one takes its place.
    pub fn lose_state(&mut self, seed: u8) {
        self.flush();
        self.bench.relay = Relay::new(&self.limits, addr(OWN), [seed; 32]);
        self.here.clear();
        self.entries.clear();
    }

    /// The relay hears one datagram; the turn goes on.
    pub fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        if self.turn == config::INBOX_DATAGRAMS {
            self.flush();
        }
        self.turn += 1;
        *self.heard.entry(from).or_default() += if bytes.first() == Some(&0xF7) { bytes.len() } else { 0 };
        self.bench.relay.handle_datagram(self.bench.now, Path::to(from), bytes, &mut self.bench.out);
    }

    /// Somebody becomes known without having spoken.
    pub fn restore(&mut self, at: SocketAddr, name: &str) {
        self.flush();
        self.heard.entry(at).or_default();
        self.bench.relay.restore(self.bench.now, at, name);
        self.flush();
    }

    /// Ends the turn, and those that follow from it at once.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS {
            self.pump();
            if self.turn == 0 {
                return;
            }
            self.flush();
        }
    }

    /// Something happens in a turn of its own.
    pub fn alone(&mut self, happens: impl FnOnce(&mut Bench)) {
        self.flush();
        happens(&mut self.bench);
        self.flush();
        self.settle();
    }

    /// Time passes.
    pub fn wait(&mut self, ms: u64) {
        let ms = ms.min(LIFE_MS - self.waited_ms);
        self.waited_ms += ms;
        self.settle();
        self.pass(Duration::from_millis(ms));
    }

    fn pass(&mut self, span: Duration) {
        let end = self.bench.now + span;
        let mut rounds = 0;
        while let Some(due) = self.next_deadline().filter(|due| *due <= end) {
            rounds = if due > self.bench.now { 0 } else { rounds + 1 };
            assert!(rounds < SPINNING, "somebody spins");
            let unix_s = UNIX_S + due.nanos() / 1_000_000_000;
            self.bench.now = self.bench.now.max(Time::new(due.nanos(), unix_s));
            let now = self.bench.now;
            self.bench.relay.handle_deadline(now, &mut self.bench.out);
            self.flush();
            for member in self.members.iter_mut().flatten() {
                if member.client.next_deadline().is_some_and(|due| due <= now) {
                    member.client.handle_deadline(now);
                }
            }
            self.settle();
        }
        self.bench.now = end;
    }

    fn next_deadline(&self) -> Option<Time> {
        let clients = self.members.iter().flatten().filter_map(|member| member.client.next_deadline());
        clients.chain(self.bench.relay.next_deadline()).min()
    }

    /// Fetches what the clients have to send.
    fn pump(&mut self) {
        for number in 0..MEMBERS {
            let now = self.bench.now;
            let Some(member) = &mut self.members[number] else { continue };
            let (from, datagrams) = (member.at, member.datagrams(now));
            if !member.mute {
                datagrams.iter().for_each(|bytes| self.hear(from, bytes));
            }
        }
    }

    /// Ends the turn: what the relay sends is checked, and arrives.
    pub fn flush(&mut self) {
        self.turn = 0;
        let sent = self.bench.flush();
        self.check_views();
        for one in &sent {
            self.check(one);
            self.deliver(one);
        }
    }

    fn deliver(&mut self, sent: &Sent) {
        let now = self.bench.now;
        for member in self.members.iter_mut().flatten().filter(|member| member.at == sent.to && !member.deaf) {
            if member.waits && member.post.len() < POST_MAX {
                member.post.push_back(sent.bytes.clone());
            } else if !member.waits {
                let malformed = member.client.counts().malformed;
                member.hear(now, &sent.bytes);
                let is_good = member.client.counts().malformed == malformed;
                assert!(is_good || sent.bytes[0] != 0xF7, "a client cannot read {:x?}", sent.bytes);
            }
        }
    }

    fn check(&mut self, sent: &Sent) {
        let heard = self.heard.get(&sent.to).unwrap_or_else(|| panic!("{} was never heard from", sent.to));
        if sent.bytes[0] != 0xF7 {
            assert!(sent.bytes.len() <= config::LINE_BYTES_MAX && std::str::from_utf8(&sent.bytes).is_ok());
            return;
        }
        assert!(sent.bytes.len() <= DATAGRAM_BYTES_MAX);
        match Downlink::parse(&sent.bytes).unwrap_or_else(|error| panic!("{error}: {:x?}", sent.bytes)) {
            Downlink::ToClient { ccid, frames } => frames.for_each(|frame| self.learn(Some(ccid), &frame)),
            Downlink::ToRoom { tag, frames } => {
                assert_ne!(tag, RoomTag(0));
                frames.for_each(|frame| self.learn(None, &frame));
            }
            Downlink::Welcome(_) => {}
            // Whoever gets these may not have asked: there is never more of them than was sent.
            Downlink::Retry(_) | Downlink::Refuse(_) | Downlink::OtherVersion(_) | Downlink::NoSession(_) => {
                let answered = self.answered.entry(sent.to).or_default();
                *answered += sent.bytes.len();
                assert!(*answered <= *heard, "{} is sent {answered} bytes for {heard}", sent.to);
            }
        }
    }

    fn learn(&mut self, ccid: Option<Ccid>, frame: &Frame<'_>) {
        match frame {
            Frame::Joined { tag, head, tail, .. } => {
                assert!(tail.0 <= head.0 + 1);
                let mut members = self.members.iter_mut().flatten();
                members.find(|member| Some(member.ccid) == ccid).into_iter().for_each(|member| member.tag = *tag);
            }
            Frame::Batch(batch) => {
                for (seq, entry) in batch.numbered() {
                    let found = (batch.time_s, entry.member.0, entry.sseq.0, entry.kind.0, entry.payload.to_vec());
                    let known = self.entries.entry((batch.room.0, seq.0)).or_insert_with(|| found.clone());
                    assert_eq!(*known, found, "{} of room {}", seq.0, batch.room.0);
                }
            }
            _ => {}
        }
    }

    fn check_views(&mut self) {
        for event in &self.bench.events[self.events_seen..] {
            match event {
                Event::Joined { remote, name, .. } | Event::Restored { remote, name, .. } => {
                    assert_eq!(self.here.insert(*remote, name.to_string()), None);
                }
                Event::Left { remote, name, .. } => assert_eq!(self.here.remove(remote).as_deref(), Some(&**name)),
                Event::Moved { from, to } => {
                    let name = self.here.remove(from).expect("who moves is here");
                    assert_eq!(self.here.insert(*to, name), None);
                }
                Event::Renamed { remote, name } => {
                    *self.here.get_mut(remote).expect("who is renamed is here") = name.to_string();
                }
                Event::Muted { remote, muted } => {
                    assert!(!muted || self.here.contains_key(remote), "who is muted is here")
                }
                Event::Heard { .. } => {}
            }
        }
        self.events_seen = self.bench.events.len();
        let (relay, counters) = (&self.bench.relay, self.bench.relay.counters());
        assert_eq!((relay.members(), relay.roster().len() + relay.sessions()), (self.here.len(), self.here.len()));
        assert_eq!(counters.joined - counters.left_total(), self.here.len() as u64);
        assert_eq!(counters.native.sessions_begun - counters.native.sessions_ended, relay.sessions() as u64);
        assert_eq!(counters.native.rooms_opened - counters.native.rooms_ended + 1, relay.rooms() as u64);
        assert_eq!(self.here.values().collect::<BTreeSet<_>>().len(), self.here.len(), "names are unique");
        let limits = &self.limits;
        assert!(relay.roster().len() <= limits.peers_max as usize && relay.sessions() <= limits.sessions_max as usize);
        assert!(relay.rooms() <= limits.rooms_max as usize);
        assert_eq!(counters.native.casts_dropped, 0);
    }

    /// The members are told that the relay stops: it is asked for nothing else.
    pub fn shut_down(mut self) {
        self.settle();
        self.bench.command(Command::Shutdown);
        self.end_members();
        OUTBOX.set(Some(self.bench.out));
    }

    /// Everyone goes without a word: nothing of them is left in the end.
    pub fn end(mut self) {
        self.settle();
        self.end_members();
        self.pass(Duration::from_millis(1_400_000));
        assert_eq!((self.bench.relay.sessions(), self.bench.relay.rooms()), (0, 1));
        OUTBOX.set(Some(self.bench.out));
    }

    fn end_members(&mut self) {
        let now = self.bench.now;
        self.members.iter_mut().filter_map(Option::take).for_each(|mut member| member.end(now));
    }
}
