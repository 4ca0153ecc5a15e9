//! The pure core without a kernel: what a message, a join and a leave cost in
//! user space, from the datagram to the items that `sendmmsg` would be given.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use outcry::Time;
use outcry::batch::{Item, Outbox, Path, SendTally};
use outcry::config::{self, Limits};
use outcry::relay::Relay;
use std::hint::black_box;
use std::net::SocketAddr;

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

criterion::criterion_group!(benches, publish, come_and_go, strangers);
criterion::criterion_main!(benches);
