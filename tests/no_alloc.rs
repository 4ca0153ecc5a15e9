//! T32 and T12, plain and native: after its start the relay takes no memory
//! for a datagram, whoever sends it and whatever it holds. Counted on the
//! thread that does the work, and only while it does.

mod support;

use allocation_counter::measure;
use outcry::Time;
use outcry::batch::{Item, Outbox, Path, SendTally};
use outcry::config::{self, Config, Limits, PlainPolicy};
use outcry::metrics::DropReason;
use outcry::relay::Relay;
use outcry::server::Server;
use outcry::wire::handshake::Cookie;
use outcry::wire::id::{RoomHandle, Scid, Seq};
use outcry::wire::uplink::{Frame, Ranges, SeqRange};
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use support::native::{Native, msg};
use support::{Bench, OWN, addr, peer};

const LINES: u64 = 100_000;
const STRANGERS: u32 = 1_000_000;

/// The core with its memory, all of it taken at the start.
struct Core {
    relay: Relay,
    out: Outbox,
    items: Vec<Item>,
    tally: SendTally,
    now: Time,
}

impl Core {
    fn new(limits: &Limits) -> Self {
        Self {
            relay: Relay::new(limits, addr(OWN), [42; 32]),
            out: Outbox::new(config::INBOX_DATAGRAMS, config::DATAGRAM_BYTES_MAX),
            items: Vec::with_capacity(1024),
            tally: SendTally::default(),
            now: Time::new(1_000_000_000, 1_700_000_000),
        }
    }

    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.relay.handle_datagram(self.now, Path::to(from), bytes, &mut self.out);
    }

    /// Ends the turn: what is due, the flush, the events; `span` passes.
    fn end_turn(&mut self, span: Duration) {
        self.relay.handle_deadline(self.now, &mut self.out);
        self.relay.end_turn(self.now, &mut self.out);
        self.out.begin(&self.relay, &mut self.tally);
        let mut more = true;
        while more {
            more = self.out.fill(&self.relay, &mut self.items);
            self.tally.sent += self.items.drain(..).map(|item| u64::from(item.segments)).sum::<u64>();
        }
        self.out.clear();
        while self.relay.poll_event().is_some() {}
        self.now = self.now + span;
    }

    /// Says lines `from..to`, 16 a turn, by `members` in turn and of several lengths.
    fn chat(&mut self, from: u64, to: u64, members: u16) {
        let mut line = [b'.'; 200];
        for number in from..to {
            let end = 32 + (number % 5) as usize * 32;
            write!(&mut line[..end], "m : {number:>10} ").expect("a line has room for its number");
            self.hear(peer((number % u64::from(members)) as u16), &line[..end]);
            if number % 16 == 15 {
                self.end_turn(Duration::from_millis(1));
            }
        }
        self.end_turn(Duration::from_millis(1));
    }

    fn assert_balanced(&self) {
        assert!(self.tally.balances() && self.relay.counters().balances(), "{:?}", self.relay.counters());
    }
}

fn joined(limits: &Limits, members: u16) -> Core {
    let mut core = Core::new(limits);
    for number in 0..members {
        core.hear(peer(number), format!("m{number}").as_bytes());
        core.end_turn(Duration::from_millis(10));
    }
    core
}

fn on_loopback() -> Limits {
    Limits { peers_max: 2000, ..Limits::for_bind(addr(OWN)) }
}

/// Address `number` of many, none of which is a member's.
fn stranger(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0A00_0000 + number / 4), 1000 + (number % 4) as u16))
}

#[test]
fn a_hundred_thousand_lines_through_the_core() {
    let mut core = joined(&on_loopback(), 200);
    core.chat(0, 2000, 200);
    let relayed = core.relay.counters().relayed;
    let taken = measure(|| core.chat(2000, 2000 + LINES, 200));
    assert_eq!((taken.count_total, core.relay.counters().relayed - relayed), (0, LINES));
    assert_eq!(core.tally.dropped_total(), 0);
    core.assert_balanced();
}

#[test]
fn lines_over_their_rate_and_what_is_said_about_them() {
    let mut core = joined(&Limits { msgs_per_s: 20, bytes_per_s: 2000, ..on_loopback() }, 20);
    core.chat(0, 2000, 20);
    let answers = core.relay.counters().answers;
    let taken = measure(|| core.chat(2000, 2000 + LINES, 20));
    assert_eq!(taken.count_total, 0);
    let counters = core.relay.counters();
    let (messages, bytes) = (counters.dropped(DropReason::MessageRate), counters.dropped(DropReason::ByteRate));
    assert!(counters.answers > answers && messages > LINES / 10 && bytes > LINES / 10, "{counters:?}");
    core.assert_balanced();
}

#[test]
fn a_million_datagrams_of_garbage_from_as_many_addresses() {
    let long = [b'x'; 1500];
    let garbage: [&[u8]; 7] =
        [b"", b"\xF7\x4F\x01\x01", b"\x00\x01\x02", b"[relay] hi", b"caf\xE9", b"exit", long.as_slice()];
    let mut core = joined(&on_loopback(), 3);
    core.chat(0, 100, 3);
    let taken = measure(|| {
        for number in 0..STRANGERS {
            core.hear(stranger(number), garbage[number as usize % garbage.len()]);
            if number % 256 == 255 {
                core.end_turn(Duration::from_micros(100));
            }
        }
        core.end_turn(Duration::ZERO);
    });
    assert_eq!((taken.count_total, core.relay.members()), (0, 3));
    assert_eq!(core.relay.counters().dropped_total(), u64::from(STRANGERS));
    core.assert_balanced();
}

#[test]
fn a_million_strangers_under_challenge() {
    let mut core = Core::new(&Limits { plain: PlainPolicy::Challenge, ..on_loopback() });
    let taken = measure(|| {
        for number in 0..STRANGERS {
            core.hear(stranger(number), if number % 2 == 0 { b"bob" } else { b"bob : WRONGCODE" });
            if number % 64 == 63 {
                core.end_turn(Duration::from_millis(16));
            }
        }
        core.end_turn(Duration::ZERO);
    });
    let counters = core.relay.counters();
    assert_eq!((taken.count_total, core.relay.members()), (0, 0));
    let (told, not_told) = (counters.dropped(DropReason::Challenged), counters.dropped(DropReason::ChallengeLimit));
    assert_eq!(told + not_told, u64::from(STRANGERS));
    assert!(told > u64::from(STRANGERS) / 8 && not_told > u64::from(STRANGERS) / 2, "{told} {not_told}");
    core.assert_balanced();
}

#[test]
fn a_million_joins_that_are_refused() {
    let limits = Limits { peers_max: 10, prefix_peers_max: 100, joins_per_s_prefix: 1, ..on_loopback() };
    let mut core = joined(&limits, 1);
    for number in 0..9 {
        core.hear(stranger(STRANGERS + number * 4), b"guest");
    }
    core.end_turn(Duration::from_secs(10));
    let mut early = joined(&Limits { peers_max: 2000, joins_per_s_total: 1, ..limits }, 1);
    for (core, reason) in [(&mut core, DropReason::PeersFull), (&mut early, DropReason::TotalJoinRate)] {
        let dropped = core.relay.counters().dropped(reason);
        core.hear(stranger(STRANGERS), b"guest");
        let taken = measure(|| {
            for number in 0..STRANGERS {
                core.hear(stranger(number), b"guest");
            }
        });
        core.end_turn(Duration::ZERO);
        assert_eq!(taken.count_total, 0, "{reason:?}");
        assert!(core.relay.counters().dropped(reason) - dropped >= u64::from(STRANGERS) - 1, "{reason:?}");
        core.assert_balanced();
    }
}

// ---- native --------------------------------------------------------------------------

impl From<Bench> for Core {
    fn from(bench: Bench) -> Self {
        let items = Vec::with_capacity(1024);
        Self { relay: bench.relay, out: bench.out, items, tally: bench.tally, now: bench.now }
    }
}

/// T12: HELLOs without a cookie, each from another address with other ids.
#[test]
fn a_million_hellos_from_as_many_addresses() {
    let mut hello = Native::new(1, "x").hello(Cookie([7; 24]));
    let mut core = Core::new(&on_loopback());
    let taken = measure(|| {
        for number in 0..STRANGERS {
            hello[4..8].copy_from_slice(&number.to_le_bytes());
            hello[2] = if number % 8 == 7 { 2 } else { 1 };
            core.hear(stranger(number), &hello);
            if number % 256 == 255 {
                core.end_turn(Duration::from_millis(1));
            }
        }
        core.end_turn(Duration::ZERO);
    });
    let counters = core.relay.counters();
    let told = counters.dropped(DropReason::HelloUnproven);
    assert_eq!((taken.count_total, core.relay.members()), (0, 0));
    assert_eq!(told, u64::from(STRANGERS / 256) * 64 + 56, "a quarter of each batch; the last is shorter");
    assert_eq!(counters.dropped(DropReason::NativeVersion), u64::from(STRANGERS / 8));
    core.assert_balanced();
}

/// T12: native garbage, tickets that nobody has, and types of every kind.
#[test]
fn a_million_datagrams_of_native_garbage_from_as_many_addresses() {
    let mut bench = Bench::with(|_| {});
    let mut alice = Native::connected(&mut bench, 1, "alice");
    alice.join(&mut bench, "lobby");
    let mut stray = alice.clone();
    stray.scid = Scid(1);
    let ping = stray.datagram(&[Frame::Ping { t: 1 }]);
    let kinds = (0..=255u8).map(|kind| [&[0xF7, 0x4F, 1, kind][..], &[kind; 60]].concat());
    let short = [b"\xF7".to_vec(), b"\xF7\x4F".to_vec(), vec![0xF7; 40], vec![0xF7; 1500]];
    let garbage: Vec<_> = kinds.chain(short).chain(vec![ping; 100]).collect();
    let mut core = Core::from(bench);
    core.end_turn(Duration::from_millis(1));
    let dropped = core.relay.counters().dropped_total();
    let taken = measure(|| {
        for number in 0..STRANGERS {
            core.hear(stranger(number), &garbage[number as usize % garbage.len()]);
            if number % 256 == 255 {
                core.end_turn(Duration::from_micros(100));
            }
        }
        core.end_turn(Duration::ZERO);
    });
    assert_eq!((taken.count_total, core.relay.members()), (0, 1));
    assert_eq!(core.relay.counters().dropped_total() - dropped, u64::from(STRANGERS));
    core.assert_balanced();
}

const SPEAKERS: u16 = 100;

/// Datagrams `0..count` of native members in two rooms, one of them the lobby:
/// messages, every tenth one twice, and now and then what else a client says.
fn native_chat(natives: &mut [Native], tea: RoomHandle, count: u64) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut buffer = [[0; 10]; 16];
    let ranges = Ranges::encode(&[SeqRange { start: Seq(100), count: 3 }], &mut buffer);
    let members = natives.len() as u64;
    let text = [b'.'; 400];
    let said = |number: u64| {
        let native = &mut natives[(number % members) as usize];
        let (round, room) = (number / members, if (number / members).is_multiple_of(2) { tea } else { RoomHandle(0) });
        let said = msg(room, round as u32 / 2 + 1, &text[..32 + (number % 7) as usize * 50]);
        let end = Seq(u64::MAX);
        let report = Frame::Report { room, contiguous: end, highest: end, lost: 0, kib: round as u16 };
        let datagram = match (number + round) % 10 {
            0 => native.datagram(&[said, said]),
            1 => native.datagram(&[said, report]),
            2 => native.datagram(&[report, Frame::Ping { t: number }, said]),
            3 => native.datagram(&[said, Frame::Nack { room, ranges }]),
            _ => native.datagram(&[said]),
        };
        (native.at, datagram)
    };
    (0..count).map(said).collect()
}

#[test]
fn a_hundred_thousand_native_messages_through_the_core() {
    let mut bench = Bench::with(|_| {});
    (0..20).for_each(|number| _ = bench.hear(peer(number), format!("plain{number}").as_bytes()));
    let mut natives: Vec<_> = (0..SPEAKERS).map(|n| Native::connected(&mut bench, n, &format!("n{n}"))).collect();
    natives.iter_mut().for_each(|native| _ = native.join(&mut bench, "lobby"));
    let rooms: Vec<_> = natives.iter_mut().map(|native| native.join(&mut bench, "tea").room).collect();
    let datagrams = native_chat(&mut natives, rooms[0], 5000 + LINES);
    let mut core = Core::from(bench);
    let hear = |core: &mut Core, datagrams: &[(SocketAddr, Vec<u8>)]| {
        for turn in datagrams.chunks(16) {
            turn.iter().for_each(|(from, bytes)| core.hear(*from, bytes));
            core.end_turn(Duration::from_micros(500));
        }
    };
    hear(&mut core, &datagrams[..5000]);
    let before = core.relay.counters().native.clone();
    let taken = measure(|| hear(&mut core, &datagrams[5000..]));
    let after = core.relay.counters().native.clone();
    assert_eq!((taken.count_total, after.messages_accepted - before.messages_accepted), (0, LINES));
    assert_eq!(after.messages_duplicate - before.messages_duplicate, LINES / 10);
    assert_eq!((after.demoted, after.casts_dropped, after.answers_dropped), (0, 0, 0));
    assert!(after.acks > before.acks && after.repairs + after.gaps > before.repairs + before.gaps);
    core.assert_balanced();
}

// ---- with a socket ----------------------------------------------------------------

const MEMBERS: usize = 8;
/// Datagrams that wait at the relay's socket at most.
const BURST: u64 = 100;

/// The relay's real loop, and its members on loopback.
struct Room {
    server: Server,
    members: Vec<UdpSocket>,
    heard: u64,
}

impl Room {
    fn new() -> Self {
        let mut config = Config::for_bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        config.limits.peers_max = 100;
        let server = Server::bind(&config).expect("a free port on loopback");
        let member = |_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
            socket.set_nonblocking(true).expect("a socket can be non-blocking");
            socket.connect(server.local_addr()).expect("loopback");
            socket.send(b"member").expect("loopback");
            socket
        };
        let members = (0..MEMBERS).map(member).collect();
        Self { server, members, heard: 0 }
    }

    /// Turns until the socket is read empty: the only part that is measured.
    fn turns(&mut self) {
        loop {
            self.server.turn(Some(Duration::from_millis(1))).expect("the loop runs");
            if self.server.is_idle() {
                return;
            }
        }
    }

    /// Says lines `from..to` in bursts; the allocations of the loop.
    fn chat(&mut self, from: u64, to: u64) -> u64 {
        let mut allocations = 0;
        for first in (from..to).step_by(BURST as usize) {
            for number in first..(first + BURST).min(to) {
                let pad = (number % 3) as usize * 20;
                let line = format!("member : line {number} {:pad$}", "");
                self.members[number as usize % MEMBERS].send(line.as_bytes()).expect("loopback");
            }
            allocations += measure(|| self.turns()).count_total;
            self.empty();
        }
        allocations
    }

    fn empty(&mut self) {
        let mut buffer = [0; 2048];
        for member in &self.members {
            loop {
                match member.recv(&mut buffer) {
                    Ok(_) => self.heard += 1,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("a member failed: {error}"),
                }
            }
        }
    }
}

#[test]
fn a_hundred_thousand_lines_through_the_loop() {
    let mut room = Room::new();
    room.turns();
    room.chat(0, 2000);
    let before = room.server.report();
    assert_eq!(before.members, MEMBERS);
    let allocations = room.chat(2000, 2000 + LINES);
    let after = room.server.report();
    assert_eq!((allocations, after.counters.relayed - before.counters.relayed), (0, LINES));
    assert_eq!(after.copies.sent - before.copies.sent, LINES * (MEMBERS as u64 - 1));
    assert!(after.balances() && room.heard >= LINES, "{after:#}");
}

/// What the tests above rely on: that the counter counts.
#[test]
fn an_allocation_would_be_noticed() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
    let mut core = Core::new(&on_loopback());
    assert!(measure(|| core.hear(peer(1), b"bob")).count_total > 0, "a join has a name to keep");
}
