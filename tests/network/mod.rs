//! A relay and clients on a network without sockets: every datagram takes
//! [`LATENCY`], some are lost, and all happens in the order of virtual time.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use crate::support::{Bench, OWN, Sent, addr};
use outcry::Time;
use outcry::client::{Client, DATAGRAM_BYTES, Event, MemberId, Options, Presence, RoomId, RoomSpec, Seq};
use outcry::config::Limits;
use outcry::relay::{Command, Outcome, Relay};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a datagram is on its way.
pub const LATENCY: Duration = Duration::from_millis(20);
/// Addresses that members move to are so far from the first.
const MOVED: u16 = 100;

struct Member {
    client: Client,
    addr: SocketAddr,
    is_cut: bool,
    sent: usize,
    told: Vec<Event<'static>>,
    /// When each of them was told.
    told_at: Vec<Time>,
}

/// A datagram on its way, to the relay or from it.
struct Packet {
    from: SocketAddr,
    to: Option<SocketAddr>,
    bytes: Vec<u8>,
}

pub struct Network {
    bench: Bench,
    limits: Limits,
    members: Vec<Member>,
    plain: BTreeMap<SocketAddr, Vec<String>>,
    on_the_way: BTreeMap<(u64, u64), Packet>,
    packets: u64,
    loss_percent: u64,
    /// So many of a hundred come twice, and each up to so much later.
    duplicates_percent: u64,
    jitter: Duration,
    chance: u64,
    /// All that has come to the relay.
    seen: Vec<Vec<u8>>,
}

impl Network {
    pub fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::for_bind(addr(OWN));
        (limits.peers_max, limits.sessions_max) = (100, 100);
        change(&mut limits);
        let bench = Bench::new(&limits);
        let (members, plain, on_the_way) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            bench,
            limits,
            members,
            plain,
            on_the_way,
            packets: 0,
            loss_percent: 0,
            duplicates_percent: 0,
            jitter: Duration::ZERO,
            chance: 1,
            seen: Vec::new(),
        }
    }

    // ---- members -------------------------------------------------------------------------

    /// Another client, which begins with its HELLO.
    pub fn add(&mut self, options: Options) -> usize {
        let at = self.members.len();
        let client = Client::new(options, [at as u8 + 1; 32], self.bench.now).expect("a name");
        let addr = SocketAddr::from(([127, 0, 0, 1], 20_000 + at as u16));
        self.members.push(Member { client, addr, is_cut: false, sent: 0, told: Vec::new(), told_at: Vec::new() });
        self.pump(at);
        at
    }

    pub fn add_plain(&mut self, name: &str) -> usize {
        let plain = self.plain.len();
        self.plain.insert(plain_addr(plain), Vec::new());
        self.plain_says(plain, name);
        plain
    }

    pub fn client(&self, at: usize) -> &Client {
        &self.members[at].client
    }

    /// A client, to do something with it now; [`run`](Self::run) sends what comes of it.
    pub fn at(&mut self, at: usize) -> (Time, &mut Client) {
        (self.bench.now, &mut self.members[at].client)
    }

    pub fn join(&mut self, at: usize, spec: RoomSpec) -> RoomId {
        let (now, client) = self.at(at);
        let room = client.join(now, spec).expect("a room");
        self.pump(at);
        room
    }

    pub fn leave(&mut self, at: usize, room: RoomId) {
        let (now, client) = self.at(at);
        client.leave(now, room).expect("a room");
        self.pump(at);
    }

    pub fn send(&mut self, at: usize, room: RoomId, text: &str) {
        let (now, client) = self.at(at);
        client.send(now, room, text.as_bytes()).expect("there is place");
        self.members[at].sent += 1;
        self.pump(at);
    }

    pub fn direct(&mut self, at: usize, to: MemberId, text: &str) {
        let (now, client) = self.at(at);
        client.direct(now, to, text.as_bytes()).expect("there is place");
        self.pump(at);
    }

    pub fn plain_says(&mut self, plain: usize, text: &str) {
        self.post(plain_addr(plain), None, text.as_bytes().to_vec());
    }

    pub fn command(&mut self, command: Command) -> (Outcome, usize) {
        let (outcome, sent) = self.bench.command(command);
        let count = sent.len();
        self.post_all(sent);
        (outcome, count)
    }

    pub fn relay_sessions(&self) -> usize {
        self.bench.relay.members()
    }

    // ---- trouble ---------------------------------------------------------------------------

    /// So many of a hundred datagrams are lost from now on.
    pub fn lose(&mut self, percent: u64, seed: u64) {
        (self.loss_percent, self.chance) = (percent, seed);
    }

    /// So many of a hundred datagrams come twice from now on, and each one up to `jitter` later.
    pub fn disturb(&mut self, duplicates_percent: u64, jitter: Duration) {
        (self.duplicates_percent, self.jitter) = (duplicates_percent, jitter);
    }

    /// A number below `below` that nobody can guess, but for the seed.
    pub fn draw(&mut self, below: u64) -> u64 {
        // A linear congruential generator (Knuth): the same numbers for the same seed.
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % below
    }

    /// Nothing reaches a member or comes from it.
    pub fn cut(&mut self, at: usize, is_cut: bool) {
        self.members[at].is_cut = is_cut;
    }

    pub fn move_to_another_address(&mut self, at: usize) {
        let port = self.members[at].addr.port();
        self.members[at].addr.set_port(port + MOVED);
        let (now, client) = self.at(at);
        client.address_changed(now);
        self.pump(at);
    }

    /// The relay's process dies and another one takes its place.
    pub fn lose_state(&mut self, seed: u64) {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        self.bench.relay = Relay::new(&self.limits, addr(OWN), bytes);
    }

    // ---- what was told -----------------------------------------------------------------------

    /// What a member was told so far is not looked at any more.
    pub fn forget(&mut self) {
        for member in &mut self.members {
            member.told.clear();
            member.told_at.clear();
        }
    }

    /// How many events of a member are so.
    pub fn events(&self, at: usize, which: impl Fn(&Event<'_>) -> bool) -> usize {
        self.members[at].told.iter().filter(|event| which(event)).count()
    }

    /// Messages in their order: place, author's name, text.
    pub fn said(&self, at: usize) -> Vec<(Seq, String, String)> {
        messages(&self.members[at].told)
    }

    /// The same, of the relay's newest state only.
    pub fn said_in_last_epoch(&self, at: usize) -> Vec<(Seq, String, String)> {
        let is_new = |event: &Event<'_>| matches!(event, Event::Connected { resumed: false, .. });
        let told = &self.members[at].told;
        let from = told.iter().rposition(is_new).unwrap_or(0);
        messages(&told[from..])
    }

    /// How many messages a member has handed over.
    pub fn sent(&self, at: usize) -> usize {
        self.members[at].sent
    }

    /// When a member was told each message.
    pub fn told_at(&self, at: usize) -> Vec<(Time, String)> {
        let member = &self.members[at];
        let texts = member.told.iter().zip(&member.told_at).filter_map(|(event, at)| match event {
            Event::Message(message) => Some((*at, String::from_utf8_lossy(&message.payload).into_owned())),
            _ => None,
        });
        texts.collect()
    }

    pub fn now(&self) -> Time {
        self.bench.now
    }

    pub fn presence_of(&self, at: usize, name: &str) -> Option<MemberId> {
        self.members[at].told.iter().find_map(|event| match event {
            Event::Presence(Presence { member, name: told, .. }) if told == name => Some(*member),
            _ => None,
        })
    }

    pub fn plain_heard(&self, plain: usize) -> &[String] {
        &self.plain[&plain_addr(plain)]
    }

    /// Whether these bytes have come to the relay.
    pub fn was_seen(&self, bytes: &[u8]) -> bool {
        self.seen.iter().any(|datagram| datagram.windows(bytes.len()).any(|window| window == bytes))
    }

    // ---- time ----------------------------------------------------------------------------------

    pub fn run(&mut self, span: Duration) {
        let end = self.bench.now + span;
        (0..self.members.len()).for_each(|at| self.pump(at));
        while let Some(next) = self.next_time().filter(|next| *next <= end) {
            self.bench.now = self.bench.now.max(next);
            self.step();
        }
        self.bench.now = end;
    }

    fn next_time(&self) -> Option<Time> {
        let packet = self.on_the_way.keys().next().map(|(nanos, _)| *nanos);
        let clients = self.members.iter().filter_map(|member| member.client.next_deadline());
        let relay = self.bench.relay.next_deadline();
        let times = clients.chain(relay).map(Time::nanos).chain(packet);
        times.min().map(|nanos| Time::new(nanos, self.bench.now.unix_s()))
    }

    /// All that happens in this moment.
    fn step(&mut self) {
        let mut for_relay = Vec::new();
        while let Some(first) = self.on_the_way.first_entry().filter(|first| first.key().0 <= self.bench.now.nanos()) {
            let packet = first.remove();
            match packet.to {
                None => for_relay.push((packet.from, packet.bytes)),
                Some(to) => self.arrive(to, &packet.bytes),
            }
        }
        if !for_relay.is_empty() {
            let turn: Vec<(SocketAddr, &[u8])> = for_relay.iter().map(|(from, bytes)| (*from, &bytes[..])).collect();
            let sent = self.bench.hear_all(&turn);
            self.seen.extend(for_relay.into_iter().map(|(_, bytes)| bytes));
            self.post_all(sent);
        }
        if self.bench.relay.next_deadline().is_some_and(|due| due <= self.bench.now) {
            self.bench.relay.handle_deadline(self.bench.now, &mut self.bench.out);
            let sent = self.bench.flush();
            self.post_all(sent);
        }
        for at in 0..self.members.len() {
            let now = self.bench.now;
            let client = &mut self.members[at].client;
            if client.next_deadline().is_some_and(|due| due <= now) {
                client.handle_deadline(now);
                self.pump(at);
            }
        }
    }

    fn arrive(&mut self, to: SocketAddr, bytes: &[u8]) {
        if let Some(heard) = self.plain.get_mut(&to) {
            heard.push(String::from_utf8_lossy(bytes).into_owned());
        } else if let Some(at) = self.members.iter().position(|member| member.addr == to && !member.is_cut) {
            let (now, client) = self.at(at);
            client.handle_datagram(now, bytes);
            self.pump(at);
        }
    }

    /// Fetches all that a client has to send and to tell.
    fn pump(&mut self, at: usize) {
        let (now, mut buffer, mut sent) = (self.bench.now, [0; DATAGRAM_BYTES], Vec::new());
        let member = &mut self.members[at];
        while let Some(len) = member.client.poll_transmit(now, &mut buffer) {
            sent.push(buffer[..len].to_vec());
            assert!(sent.len() < 1000, "a client that never ends");
        }
        while let Some(event) = member.client.poll_event() {
            member.told.push(event.into_owned());
            member.told_at.push(now);
        }
        let (from, is_cut) = (member.addr, member.is_cut);
        if !is_cut {
            sent.into_iter().for_each(|bytes| self.post(from, None, bytes));
        }
    }

    fn post_all(&mut self, sent: Vec<Sent>) {
        sent.into_iter().for_each(|sent| self.post(addr(OWN), Some(sent.to), sent.bytes));
    }

    fn post(&mut self, from: SocketAddr, to: Option<SocketAddr>, bytes: Vec<u8>) {
        for _ in 0..=u8::from(self.draw(100) < self.duplicates_percent) {
            if self.draw(100) >= self.loss_percent {
                self.packets += 1;
                let late = self.draw(1 + self.jitter.as_millis() as u64);
                let due = self.bench.now + LATENCY + Duration::from_millis(late);
                self.on_the_way.insert((due.nanos(), self.packets), Packet { from, to, bytes: bytes.clone() });
            }
        }
    }
}

fn plain_addr(plain: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000 + plain as u16))
}

fn messages(told: &[Event<'_>]) -> Vec<(Seq, String, String)> {
    let message = |event: &Event<'_>| match event {
        Event::Message(message) => Some((
            message.seq,
            message.name.as_deref().unwrap_or("?").to_owned(),
            String::from_utf8_lossy(&message.payload).into_owned(),
        )),
        _ => None,
    };
    told.iter().filter_map(message).collect()
}
