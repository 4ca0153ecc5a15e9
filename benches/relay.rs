//! The pure core without a kernel: what a message, a join and a leave cost in
//! user space, from the datagram to the items that `sendmmsg` would be given.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use outcry::Time;
use outcry::batch::{Item, Outbox, Path, SendTally};
use outcry::client::{Client, DATAGRAM_BYTES, Event, Options, RoomId, RoomSpec};
use outcry::config::{self, Limits};
use outcry::relay::Relay;
use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn path(member: u32) -> Path {
    Path::to(SocketAddr::from((std::net::Ipv4Addr::from(0x7F01_0000 + member), 5000)))
}

struct Room {
    relay: Relay,
    out: Outbox,
    items: Vec<Item>,
    now: Time,
}

impl Room {
    fn of(members: u32) -> Self {
        let own = SocketAddr::from(([127, 0, 0, 1], 9999));
        let mut limits = Limits::for_bind(own);
        limits.peers_max = members + 16;
        limits.notice_copies_per_s = 1;
        let mut room = Self {
            relay: Relay::new(&limits, own, [7; 32]),
            out: Outbox::new(config::INBOX_DATAGRAMS, config::DATAGRAM_BYTES_MAX),
            items: Vec::with_capacity(1024),
            now: Time::new(1_000_000_000, 0),
        };
        (0..members).for_each(|member| room.join(member));
        room
    }

    fn hear(&mut self, member: u32, bytes: &[u8]) {
        self.relay.handle_datagram(self.now, path(member), bytes, &mut self.out);
    }

    fn join(&mut self, member: u32) {
        self.hear(member, format!("m{member}").as_bytes());
        self.flush();
        while self.relay.poll_event().is_some() {}
    }

    /// Expands the turn into items, as the flush does before each system call.
    fn flush(&mut self) {
        self.relay.end_turn(self.now, &mut self.out);
        self.out.begin(&self.relay, &mut SendTally::default());
        while {
            self.items.clear();
            let more = self.out.fill(&self.relay, &mut self.items);
            black_box(&self.items);
            more
        } {}
        self.out.clear();
    }
}

/// A native room: a client each, wired to the relay by hand.
struct NativeRoom {
    room: Room,
    clients: HashMap<SocketAddr, Client>,
    speaker: Option<RoomId>,
}

impl NativeRoom {
    fn of(members: u32) -> Self {
        let mut native = Self { room: Room::of(0), clients: HashMap::new(), speaker: None };
        for member in 0..members {
            native.join(member);
        }
        native
    }

    fn join(&mut self, member: u32) {
        let (from, now) = (path(member), self.room.now);
        let mut seed = [9; 32];
        seed[..4].copy_from_slice(&member.to_le_bytes());
        let mut client = Client::new(Options::new(format!("m{member}")), seed, now).expect("a good name");
        let room = client.join(now, RoomSpec::open("bench")).expect("a good room");
        self.speaker.get_or_insert(room);
        self.clients.insert(from.remote, client);
        while !self.exchange(from) {}
    }

    /// Passes on what one client wants sent, and all that the relay answers. True: it has joined.
    fn exchange(&mut self, from: Path) -> bool {
        for datagram in self.datagrams_of(from) {
            self.room.relay.handle_datagram(self.room.now, from, &datagram, &mut self.room.out);
        }
        self.deliver();
        let client = self.clients.get_mut(&from.remote).expect("a client");
        std::iter::from_fn(|| client.poll_event().map(Event::into_owned))
            .any(|event| matches!(event, Event::Joined { .. }))
    }

    fn datagrams_of(&mut self, from: Path) -> Vec<Vec<u8>> {
        let client = self.clients.get_mut(&from.remote).expect("a client");
        let mut buffer = [0; DATAGRAM_BYTES];
        let now = self.room.now;
        std::iter::from_fn(|| client.poll_transmit(now, &mut buffer).map(|len| buffer[..len].to_vec())).collect()
    }

    /// Ends the turn, and brings everyone what it has for them.
    fn deliver(&mut self) {
        let Room { relay, out, now, .. } = &mut self.room;
        let mut items = Vec::with_capacity(1024);
        relay.end_turn(*now, out);
        out.begin(&*relay, &mut SendTally::default());
        while out.fill(&*relay, &mut items) || !items.is_empty() {
            for item in items.drain(..).flat_map(Item::split) {
                let client = self.clients.get_mut(&item.to.remote).expect("a client");
                client.handle_datagram(*now, &out.arena()[item.range()]);
            }
        }
        out.clear();
    }

    /// One turn of `messages`, of which the relay's part is timed.
    fn turn(&mut self, messages: usize) -> Duration {
        let now = self.room.now;
        let client = self.clients.get_mut(&path(0).remote).expect("the speaker");
        for _ in 0..messages {
            client.send(now, self.speaker.expect("a room"), &[b'x'; 64]).expect("there is room for it");
        }
        let datagrams = self.datagrams_of(path(0));
        let start = Instant::now();
        for datagram in &datagrams {
            self.room.hear(0, datagram);
        }
        self.room.relay.end_turn(now, &mut self.room.out);
        self.room.out.begin(&self.room.relay, &mut SendTally::default());
        let (mut echo, mut took) = (Vec::new(), start.elapsed());
        loop {
            let start = Instant::now();
            self.room.items.clear();
            let more = self.room.out.fill(&self.room.relay, &mut self.room.items);
            black_box(&self.room.items);
            took += start.elapsed();
            // What the speaker hears is looked for by the bench alone.
            echo.extend(self.room.items.iter().filter(|item| item.to == path(0)));
            if !more {
                break;
            }
        }
        for item in echo.into_iter().flat_map(Item::split) {
            let client = self.clients.get_mut(&path(0).remote).expect("the speaker");
            client.handle_datagram(now, &self.room.out.arena()[item.range()]);
            while client.poll_event().is_some() {}
        }
        self.room.out.clear();
        while self.room.relay.poll_event().is_some() {}
        took
    }
}

fn publish_native(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish, native");
    for (members, messages) in [(10, 1), (1000, 1), (1000, 16), (1000, 64)] {
        let mut room = NativeRoom::of(members);
        group.throughput(Throughput::Elements(u64::from(members) * messages as u64));
        group.bench_function(
            BenchmarkId::from_parameter(format!("{members} members x {messages} messages")),
            |bencher| bencher.iter_custom(|turns| (0..turns).map(|_| room.turn(messages)).sum()),
        );
    }
    group.finish();
}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    for (members, messages) in [(1, 1), (10, 1), (100, 1), (1000, 1), (10_000, 1), (1000, 16), (10_000, 16)] {
        let mut room = Room::of(members);
        let lines: Vec<_> = (0..messages).map(|number| format!("m0 : {number:059}")).collect();
        group.throughput(Throughput::Elements(u64::from(members) * messages));
        group.bench_function(
            BenchmarkId::from_parameter(format!("{members} members x {messages} messages")),
            |bencher| {
                bencher.iter(|| {
                    for line in &lines {
                        room.hear(0, line.as_bytes());
                    }
                    room.flush();
                });
            },
        );
    }
    group.finish();
}

fn come_and_go(criterion: &mut Criterion) {
    for members in [10, 1000, 100_000] {
        let mut room = Room::of(members);
        criterion.bench_function(&format!("join and leave beside {members}"), |bencher| {
            bencher.iter(|| {
                room.join(members);
                room.hear(members, b"exit");
                room.flush();
                while room.relay.poll_event().is_some() {}
            });
        });
    }
}

/// A flood of strangers that are told nothing must cost little.
fn strangers(criterion: &mut Criterion) {
    criterion.bench_function("a stranger's garbage", |bencher| {
        let mut room = Room::of(1000);
        let mut member = 2000;
        bencher.iter_batched(
            || {
                member += 1;
                path(member)
            },
            |from| room.relay.handle_datagram(room.now, from, b"\xF7\x4F\x01\x01", &mut room.out),
            BatchSize::SmallInput,
        );
    });
}

criterion::criterion_group!(benches, publish, publish_native, come_and_go, strangers);
criterion::criterion_main!(benches);
