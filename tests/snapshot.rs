//! A relay's snapshot: whatever bytes come, what is made of them keeps its
//! invariants or is refused with a reason. That a relay goes on from one as if
//! nothing had happened is held by `relay_random` and `native_random`.

mod support;

use outcry::Time;
use outcry::batch::{Outbox, Path};
use outcry::config::{self, Limits};
use outcry::relay::{Ban, Command, Relay, Snapshot, Target, Unfit};
use outcry::server::IMAGE_VERSION;
use outcry::wire::header::EntryKind;
use outcry::wire::id::Sseq;
use outcry::wire::uplink::Frame;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;
use support::native::Native;
use support::{Bench, OWN, addr, peer};

fn limits() -> Limits {
    let mut limits = Limits::for_bind(addr(OWN));
    (limits.peers_max, limits.sessions_max, limits.rooms_max) = (50, 50, 10);
    (limits.ring_bytes_max, limits.rings_bytes_max) = (config::RING_BYTES_SMALLEST, 8 * config::RING_BYTES_SMALLEST);
    limits
}

/// A relay of which no table is empty, and each native member has said so much.
fn lively(messages: u32) -> Bench {
    let mut bench = Bench::new(&limits());
    for (number, name) in (1..).zip(["alice", "bob", "carol", "bob", "dave"]) {
        bench.hear(peer(number), name.as_bytes());
    }
    bench.hear(peer(1), b"alice : hello");
    bench.hear(peer(3), b"EXIT");
    for (number, name) in (1..).zip(["nora", "nils", "nora", "zoe"]) {
        let (mut native, joined) = Native::in_room(&mut bench, number, name, "tea");
        native.join(&mut bench, "lobby");
        for sseq in joined.next_sseq..joined.next_sseq + messages {
            let payload = [b'x'; 500];
            let said = Frame::Msg { room: joined.room, kind: EntryKind::TEXT, sseq: Sseq(sseq), payload: &payload };
            let datagram = native.datagram(&[said]);
            bench.hear(native.at, &datagram);
        }
    }
    let (mut closed, _) = Native::in_room(&mut bench, 9, "gone", "den");
    let datagram = closed.datagram(&[Frame::Close { code: outcry::wire::header::Code::Ok, reason: "" }]);
    bench.hear(closed.at, &datagram);
    // Nobody reports: some are taken for slow.
    bench.run(Duration::from_secs(4));
    let by_name = |name: &str| Target::Name(name.to_owned());
    for command in [
        Command::Mute(by_name("alice")),
        Command::Mute(by_name("nils")),
        Command::Kick(by_name("zoe")),
        Command::Kick(by_name("dave")),
        Command::Ban(Ban { target: "192.0.2.0/24".parse().expect("a network"), until_unix_s: None }),
        Command::Ban(Ban { target: "mallory".parse().expect("a name"), until_unix_s: Some(1_800_000_000) }),
        Command::Lockdown(true),
    ] {
        bench.command(command);
    }
    bench.unreachable(peer(10_001));
    bench
}

#[test]
fn what_the_operator_has_set_is_in_it() {
    let mut bench = lively(20);
    bench.split(&limits());
    // Who is to be looked at for the ban, and who may not come, say or be called.
    bench.run(Duration::from_secs(1));
    bench.hear(peer(1), b"alice : muted");
    bench.hear(peer(20), b"late");
    bench.command(Command::Lockdown(false));
    bench.hear(peer(21), b"mallory");
    bench.hear(addr("192.0.2.7:1"), b"eve");
    bench.hear(peer(5), b"dave");
    bench.command(Command::Drain(Some("192.0.2.1:9".into())));
    bench.split(&limits());
    bench.run(Duration::from_secs(120));
    assert_eq!(bench.relay.sessions(), 0);
    bench.split(&limits());
}

/// Programs that differ here must not hand over to one another: what was written
/// by this version is read and would be written just so.
#[test]
fn another_layout_is_another_version() {
    let now = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("snapshot-{IMAGE_VERSION}.bin"));
    std::fs::write(&now, lively(1).relay.snapshot().to_bytes()).expect("a file");
    assert_eq!(IMAGE_VERSION, 1, "tests/vectors/snapshot-1.bin is of another version");
    let bytes = include_bytes!("vectors/snapshot-1.bin");
    let relay = Snapshot::from_bytes(bytes).and_then(|snapshot| Relay::resume(&limits(), addr(OWN), &snapshot));
    assert!(
        relay.is_ok_and(|relay| relay.snapshot().to_bytes() == bytes),
        "the layout has changed: raise server::IMAGE_VERSION, and store {}",
        now.display()
    );
}

#[test]
fn more_than_there_is_room_for_is_refused_and_named() {
    let mut bench = lively(20);
    bench.command(Command::Lockdown(false));
    let bytes = bench.relay.snapshot().to_bytes();
    let snapshot = Snapshot::from_bytes(&bytes).expect("what a relay wrote can be read");
    let refused = |change: fn(&mut Limits)| {
        let mut limits = limits();
        change(&mut limits);
        match Relay::resume(&limits, addr(OWN), &snapshot) {
            Err(why @ Unfit::TooMany { .. }) => why.to_string(),
            Err(why) => panic!("{why}"),
            Ok(_) => panic!("it has room"),
        }
    };
    assert_eq!(refused(|limits| limits.peers_max = 2), "there are 3 plain members (--max-peers), and room for 2");
    assert!(refused(|limits| limits.sessions_max = 2).contains("--max-sessions"));
    assert!(refused(|limits| limits.rooms_max = 2).contains("--max-rooms"));
    assert!(refused(|limits| limits.rings_bytes_max = config::RING_BYTES_SMALLEST).contains("--history-bytes-total"));
    // More room is none too much, and whoever comes next has it.
    let mut more = limits();
    (more.peers_max, more.sessions_max, more.rooms_max) = (500, 500, 100);
    (more.ring_bytes_max, more.rings_bytes_max) = (1 << 20, 16 << 20);
    let relay = Relay::resume(&more, addr(OWN), &snapshot).expect("it fits");
    assert_eq!(relay.members(), bench.relay.members());
}

/// Limits are of what is there, and not of what was there once.
#[test]
fn who_has_left_takes_no_room() {
    let mut bench = Bench::new(&limits());
    let room = |number| format!("r{}", number % 5);
    let natives = (1..=20).map(|number| Native::in_room(&mut bench, number, "one", &room(number)).0);
    let mut natives: Vec<_> = natives.collect();
    let mut last = natives.pop().expect("there are some");
    for mut native in natives {
        let datagram = native.datagram(&[Frame::Close { code: outcry::wire::header::Code::Ok, reason: "" }]);
        bench.hear(native.at, &datagram);
    }
    // The other rooms end, too; it is at the last places of all.
    for _ in 0..30 {
        bench.run(Duration::from_secs(40));
        last.join(&mut bench, "r0");
    }
    assert_eq!((bench.relay.sessions(), bench.relay.rooms()), (1, 2));
    let snapshot = bench.relay.snapshot();
    let mut fewer = limits();
    (fewer.sessions_max, fewer.rooms_max) = (3, 3);
    let relay = Relay::resume(&fewer, addr(OWN), &snapshot).expect("one is here");
    live(relay);
}

fn bytes() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| lively(20).relay.snapshot().to_bytes())
}

/// Some minutes of a relay's life, whoever is there.
fn live(mut relay: Relay) {
    let mut out = Outbox::new(config::INBOX_DATAGRAMS, config::DATAGRAM_BYTES_MAX);
    let mut now = Time::new(100_000_000_000, 1_700_000_100);
    let mut end_turn = |relay: &mut Relay, out: &mut Outbox| {
        relay.end_turn(now, out);
        out.clear();
        while relay.poll_event().is_some() {}
        now = now + Duration::from_millis(700);
        now
    };
    let mut now = end_turn(&mut relay, &mut out);
    let members: Vec<SocketAddr> = relay.roster().paths().iter().map(|path| path.remote).collect();
    for round in 0..20 {
        for (at, remote) in members.iter().copied().chain([peer(40 + round)]).enumerate() {
            let said: &[u8] = if (at + usize::from(round)).is_multiple_of(7) { b"EXIT" } else { b"bob : hi" };
            relay.handle_datagram(now, Path::to(remote), said, &mut out);
            now = end_turn(&mut relay, &mut out);
        }
        relay.handle_deadline(now, &mut out);
        now = end_turn(&mut relay, &mut out);
    }
    _ = (relay.slow_members(), relay.room_views(0, 1000));
    _ = relay.snapshot().to_bytes();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_relay_that_breaks(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        near in any::<prop::sample::Index>(),
        end in proptest::option::weighted(0.1, any::<prop::sample::Index>()),
        is_local in any::<bool>(),
    ) {
        let mut bytes = bytes().to_vec();
        // Most of it is what was said, which may be anything: the rest is at the beginning.
        let span = if is_local { 1 + near.index(bytes.len() / 8) } else { bytes.len() };
        for (at, byte) in changes {
            bytes[at.index(span)] = byte;
        }
        bytes.truncate(end.map_or(bytes.len(), |end| end.index(bytes.len())));
        if let Ok(snapshot) = Snapshot::from_bytes(&bytes)
            && let Ok(relay) = Relay::resume(&limits(), addr(OWN), &snapshot)
        {
            live(relay);
        }
    }
}
