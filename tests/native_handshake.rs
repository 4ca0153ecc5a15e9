//! The page's handshake, row by row: who gets a session, who is told what, and
//! how sessions end.

mod support;

use outcry::config::{self, AccessKey};
use outcry::metrics::{DropReason, LeaveReason};
use outcry::relay::{Command, Event, Outcome, Target};
use outcry::wire::downlink::{Downlink, Frame};
use outcry::wire::handshake::{Cookie, NoSession, OtherVersion, Retry, Welcome};
use outcry::wire::header::{Code, HELLO_BYTES_MAX};
use outcry::wire::id::{Ccid, Nonce, RoomHandle, Scid};
use outcry::wire::uplink;
use std::time::Duration;
use support::native::{Native, closes_to, elsewhere, entries_to, frames_to, msg, texts_to};
use support::{Bench, Sent, peer};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const LOBBY: RoomHandle = RoomHandle(0);

/// Hears a datagram that is dropped for `reason` and nothing else.
#[track_caller]
fn dropped(bench: &mut Bench, from: std::net::SocketAddr, bytes: &[u8], reason: DropReason) -> Vec<Sent> {
    let (before, total) = (bench.relay.counters().dropped(reason), bench.relay.counters().dropped_total());
    let sent = bench.hear(from, bytes);
    let counters = bench.relay.counters();
    assert_eq!((counters.dropped(reason), counters.dropped_total()), (before + 1, total + 1), "{reason:?}");
    sent
}

fn bench() -> Bench {
    Bench::with(|_| {})
}

// ---- before a session -------------------------------------------------------------------

#[test]
fn a_hello_gets_a_cookie_and_with_it_a_session() {
    let (mut bench, mut alice) = (bench(), Native::new(1, "alice"));
    let sent = dropped(&mut bench, alice.at, &alice.hello(Cookie::default()), DropReason::HelloUnproven);
    let [retry] = &sent[..] else { panic!("{sent:?}") };
    assert!(retry.to == alice.at && retry.bytes.len() == 44 && bench.relay.sessions() == 0);
    let cookie = Retry::parse(&retry.bytes).unwrap().cookie;
    let sent = bench.hear(alice.at, &alice.hello(cookie));
    let [welcome] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((welcome.to, welcome.bytes.len(), bench.relay.sessions()), (alice.at, 64, 1));
    let welcome = Welcome::parse(&welcome.bytes).unwrap();
    alice.welcomed(&welcome);
    assert_eq!((welcome.max_dgram, welcome.idle_s, welcome.keepalive_s), (1232, 60, 20));
    assert_eq!((welcome.msgs_per_s, welcome.bytes_per_s, welcome.window_bytes), (0, 0, 256 << 10));
    assert!(welcome.scid.0 != 0 && welcome.epoch.0 != 0 && welcome.member.0 != 0);
    let event = Event::Joined { remote: alice.at, name: "alice".into(), unix_s: bench.now.unix_s(), native: true };
    assert_eq!(bench.events, [event]);
}

#[test]
fn the_welcome_is_the_same_for_the_same_attempt() {
    let (mut bench, alice) = (bench(), Native::new(1, "alice"));
    let hello = alice.proven_hello(&mut bench);
    let first = bench.hear(alice.at, &hello);
    for again in [hello.clone(), alice.hello(Cookie::default())] {
        assert_eq!(bench.hear(alice.at, &again), first);
    }
    bench.wait(11 * SECOND);
    assert_eq!(bench.hear(alice.at, &hello), first, "the cookie is old, the session is there");
    assert_eq!((bench.relay.sessions(), bench.relay.counters().native.sessions_begun), (1, 1));
    let mut other = alice.clone();
    other.nonce = Nonce(5);
    let hello = other.proven_hello(&mut bench);
    let sent = bench.hear(alice.at, &hello);
    let welcome = sent.iter().find_map(|sent| Welcome::parse(&sent.bytes).ok()).unwrap();
    assert!(welcome.scid != Welcome::parse(&first[0].bytes).unwrap().scid && bench.relay.sessions() == 1);
}

#[test]
fn a_bad_or_stale_cookie_gets_another() {
    let (mut bench, alice) = (bench(), Native::new(1, "alice"));
    let good = alice.proven_hello(&mut bench);
    let mut bad = good.clone();
    bad[30] ^= 1;
    let answers = |sent: Vec<Sent>| sent.iter().filter(|sent| Retry::parse(&sent.bytes).is_ok()).count();
    assert_eq!(answers(dropped(&mut bench, alice.at, &bad, DropReason::HelloUnproven)), 1);
    assert_eq!(answers(dropped(&mut bench, elsewhere(7), &good, DropReason::HelloUnproven)), 1);
    bench.wait(11 * SECOND);
    assert_eq!(answers(dropped(&mut bench, alice.at, &good, DropReason::HelloUnproven)), 1);
    assert_eq!(bench.relay.sessions(), 0);
}

#[test]
fn a_quarter_of_a_batch_is_answered_with_cookies() {
    let mut bench = bench();
    let hellos: Vec<_> = (0..256).map(|number| Native::new(number, "x")).collect();
    let hellos: Vec<_> = hellos.iter().map(|native| (native.at, native.hello(Cookie::default()))).collect();
    let turn: Vec<_> = hellos.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    assert_eq!(bench.hear_all(&turn).len(), 64);
    assert_eq!(bench.relay.counters().dropped(DropReason::HelloFlood), 192);
    assert_eq!(bench.hear_all(&turn[..64]).len(), 64, "the next batch has its own quarter");
    let proven = Native::new(300, "alice");
    let hello = proven.proven_hello(&mut bench);
    let mut flood = turn.clone();
    flood.push((proven.at, &hello));
    assert_eq!((bench.hear_all(&flood).len(), bench.relay.sessions()), (64 + 1, 1), "a good cookie needs none of it");
}

/// A large relay takes in few datagrams at once.
#[test]
fn a_quarter_of_a_short_batch_is_answered_with_cookies() {
    let mut bench = Bench::with(|limits| limits.peers_max = 20_000);
    for number in 0..5_000u32 {
        let remote = std::net::SocketAddr::from(((0x0A00_0000 + number).to_be_bytes(), 7));
        assert!(bench.relay.restore(bench.now, remote, &format!("p{number}")));
    }
    let hellos: Vec<_> = (0..config::batch_datagrams(5_000) as u16).map(|number| Native::new(number, "x")).collect();
    let hellos: Vec<_> = hellos.iter().map(|native| (native.at, native.hello(Cookie::default()))).collect();
    let turn: Vec<_> = hellos.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
    assert_eq!((turn.len(), bench.hear_all(&turn).len()), (40, 10));
}

#[test]
fn what_is_no_native_datagram_is_counted_by_its_cause() {
    let mut bench = bench();
    let alice = Native::connected(&mut bench, 1, "alice");
    let hello = alice.hello(Cookie::default());
    let mut too_long = hello.clone();
    too_long.resize(HELLO_BYTES_MAX + 1, 0);
    let prefix = |version: u8, kind: u8, len: usize| {
        let mut bytes = vec![0; len];
        bytes[..4].copy_from_slice(&[0xF7, 0x4F, version, kind]);
        bytes
    };
    let mut no_name = hello.clone();
    no_name[72] = 0;
    let rows = [
        (prefix(1, 1, 1231), DropReason::NativeSize),
        (prefix(1, 0x10, 31), DropReason::NativeSize),
        (prefix(1, 0x10, 1233), DropReason::NativeSize),
        (too_long, DropReason::NativeSize),
        (vec![0xF7], DropReason::NativeSize),
        (b"\xF7Ohello".to_vec(), DropReason::NativeVersion),
        (prefix(2, 0x10, 40), DropReason::NativeVersion),
        (prefix(2, 1, 1231), DropReason::NativeVersion),
        (prefix(1, 0x02, 40), DropReason::NativeType),
        (prefix(1, 0x99, 40), DropReason::NativeType),
        (no_name, DropReason::NativeFrame),
    ];
    for from in [elsewhere(7), alice.at] {
        for (bytes, reason) in &rows {
            assert_eq!(dropped(&mut bench, from, bytes, *reason), [], "{reason:?} {:x?}", &bytes[..bytes.len().min(8)]);
        }
        for kind in [0x81, 0x82, 0x83, 0x84, 0x85, 0x90, 0x91] {
            assert_eq!(dropped(&mut bench, from, &prefix(1, kind, 44), DropReason::NativeFromRelay), []);
        }
    }
    assert_eq!(bench.relay.members(), 1);
}

#[test]
fn a_hello_of_another_version_is_told_ours_at_a_rate() {
    let mut bench = bench();
    let mut hello = Native::new(1, "alice").hello(Cookie::default());
    hello[2] = 2;
    let sent = dropped(&mut bench, elsewhere(7), &hello, DropReason::NativeVersion);
    let [answer] = &sent[..] else { panic!("{sent:?}") };
    let answer = OtherVersion::parse(&answer.bytes).unwrap();
    assert_eq!((answer.ccid, answer.versions), (Native::new(1, "").ccid, [1, 0, 0, 0, 0, 0, 0, 0]));
    let more: usize = (0..300).map(|port| bench.hear(elsewhere(1000 + port), &hello).len()).sum();
    assert_eq!(more, 99);
    bench.wait(SECOND);
    assert_eq!(bench.hear(elsewhere(7), &hello).len(), 1);
}

#[test]
fn a_ticket_that_nobody_has_is_told_so_at_a_rate() {
    let mut bench = bench();
    let mut stray = Native::new(1, "alice");
    stray.scid = Scid(99);
    let ping = stray.datagram(&[uplink::Frame::Ping { t: 1 }]);
    let sent = dropped(&mut bench, stray.at, &ping, DropReason::NoSession);
    let [answer] = &sent[..] else { panic!("{sent:?}") };
    assert!(answer.bytes.len() == 20 && ping.len() == 32);
    assert_eq!(NoSession::parse(&answer.bytes).unwrap().scid, Scid(99));
    let more: usize = (0..2000).map(|_| bench.hear(stray.at, &ping).len()).sum();
    assert_eq!(more, 999);
}

/// Size, prefix, type, then whose it is, and only then what it says.
#[test]
fn whose_a_datagram_is_comes_before_what_it_says() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let mut broken = alice.datagram(&[]);
    broken[16] = 3;
    broken[17] = 0xFF;
    assert_eq!(dropped(&mut bench, alice.at, &broken, DropReason::NativeFrame), []);
    broken[4] ^= 1;
    assert_eq!(dropped(&mut bench, alice.at, &broken, DropReason::NoSession).len(), 1);
}

// ---- who is refused ------------------------------------------------------------------------

#[test]
fn a_name_that_cannot_be_one_is_refused() {
    let mut bench = bench();
    for name in ["exit", "[relay] x", "a : b", "  "] {
        let refuse = Native::new(1, name).refused(&mut bench);
        assert_eq!(refuse.code, Code::Protocol, "{name}");
    }
    assert_eq!(bench.relay.counters().dropped(DropReason::InvalidName), 4);
}

#[test]
fn who_does_not_prove_the_access_key_is_refused() {
    let key = b"a secret of many bytes";
    let mut bench = Bench::with(|limits| limits.access_key = AccessKey::from_file(b"a secret of many bytes\n"));
    let mut alice = Native::new(1, "alice");
    assert_eq!(alice.refused(&mut bench).code, Code::Access);
    alice.key = Some(b"another secret of bytes".to_vec());
    assert_eq!(alice.refused(&mut bench).code, Code::Access);
    alice.key = Some(key.to_vec());
    let mut renamed = alice.proven_hello(&mut bench);
    renamed[73] ^= 1;
    assert!(Welcome::parse(&bench.hear(alice.at, &renamed)[0].bytes).is_err(), "the name is proven, too");
    assert_eq!(bench.relay.counters().dropped(DropReason::AccessDenied), 3);
    alice.connect(&mut bench);
    assert_eq!(bench.relay.sessions(), 1);
}

#[test]
fn a_full_relay_refuses_but_not_who_has_a_place() {
    let mut bench = Bench::with(|limits| limits.sessions_max = 2);
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let bob = Native::connected(&mut bench, 2, "bob");
    let refuse = Native::new(3, "carol").refused(&mut bench);
    assert_eq!((refuse.code, refuse.retry_ms), (Code::Full, 30_000));
    assert_eq!(bench.relay.counters().dropped(DropReason::PeersFull), 1);
    alice.again();
    alice.at = elsewhere(7);
    alice.connect(&mut bench);
    let mut carol = Native::new(3, "carol");
    carol.at = bob.at;
    carol.connect(&mut bench);
    assert_eq!(bench.relay.sessions(), 2);
}

#[test]
fn a_prefix_has_its_limit_and_its_rate() {
    let mut bench = Bench::with(|limits| limits.prefix_sessions_max = 2);
    let mut alice = Native::connected(&mut bench, 1, "alice");
    Native::connected(&mut bench, 2, "bob");
    let mut carol = Native::new(3, "carol");
    let refuse = carol.refused(&mut bench);
    assert_eq!((refuse.code, refuse.retry_ms), (Code::Limit, 30_000));
    assert_eq!(bench.relay.counters().dropped(DropReason::PrefixFull), 1);
    alice.again();
    alice.connect(&mut bench);
    carol.at = elsewhere(7);
    carol.connect(&mut bench);
    alice.close(&mut bench);
    Native::connected(&mut bench, 4, "dave");

    let mut bench = Bench::with(|limits| limits.joins_per_s_prefix = 1);
    Native::connected(&mut bench, 1, "alice");
    assert_eq!(Native::new(2, "bob").refused(&mut bench).code, Code::Rate);
    assert_eq!(bench.relay.counters().dropped(DropReason::PrefixJoinRate), 1);
    let mut bench = Bench::with(|limits| limits.joins_per_s_total = 1);
    Native::connected(&mut bench, 1, "alice");
    let refuse = Native::new(2, "bob").refused(&mut bench);
    assert_eq!((refuse.code, refuse.retry_ms), (Code::Rate, 1_000));
    assert_eq!(bench.relay.counters().dropped(DropReason::TotalJoinRate), 1);
}

#[test]
fn a_kicked_address_is_refused_for_a_minute() {
    let mut bench = bench();
    let (mut alice, room) = Native::in_room(&mut bench, 1, "alice", "lobby");
    let (mut bob, _) = Native::in_room(&mut bench, 2, "bob", "lobby");
    let (outcome, sent) = bench.command(Command::Kick(Target::Name("alice".into())));
    assert_eq!(outcome, Outcome::Kicked(alice.at));
    assert_eq!(closes_to(&sent, alice.at), [Code::Kicked]);
    assert_eq!(bench.relay.counters().left(LeaveReason::Kicked), 1);
    bench.run(SECOND);
    let pong = bob.ping(&mut bench);
    let tag = frames_to(&pong, bob.at).iter().find_map(|frame| match frame {
        Frame::Head { tag, .. } => Some(*tag),
        _ => None,
    });
    assert!(tag.is_some_and(|tag| tag != room.tag), "what the kicked one knew is worth nothing");
    let sent = bob.say(&mut bench, LOBBY, 1, "hi");
    let tags = sent.iter().filter_map(|sent| match Downlink::parse(&sent.bytes) {
        Ok(Downlink::ToRoom { tag, .. }) => Some(tag),
        _ => None,
    });
    assert!(tags.eq(tag), "{sent:?}");
    alice.again();
    assert_eq!(alice.refused(&mut bench).code, Code::Kicked);
    assert_eq!(bench.relay.counters().dropped(DropReason::RefusedAddress), 1);
    bench.run(60 * SECOND);
    alice.connect(&mut bench);
    assert_eq!(bench.command(Command::Kick(Target::Address(alice.at))).0, Outcome::Kicked(alice.at));
    assert_eq!(bench.command(Command::Kick(Target::Name("nobody".into()))).0, Outcome::NoSuch);
}

// ---- the same client again ---------------------------------------------------------------

#[test]
fn an_instance_keeps_its_member_id_and_name() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let member = alice.member;
    alice.close(&mut bench);
    alice.again();
    alice.name = "alicia".into();
    alice.connect(&mut bench);
    assert_eq!((alice.member, alice.join(&mut bench, "lobby").name.as_str()), (member, "alice"));
    alice.close(&mut bench);
    let mut other = Native::new(2, "alice");
    other.connect(&mut bench);
    assert_ne!(other.member, member);
    alice.again();
    alice.connect(&mut bench);
    assert_eq!((alice.member, alice.join(&mut bench, "lobby").name.as_str()), (member, "alicia"));
    alice.close(&mut bench);
    bench.run(601 * SECOND);
    alice.again();
    alice.connect(&mut bench);
    assert_ne!(alice.member, member, "it was forgotten, and an id is not used twice");
}

#[test]
fn a_name_in_use_gets_a_number_whoever_has_it() {
    let mut bench = bench();
    bench.hear(peer(1), b"bob");
    let (mut bob, joined) = Native::in_room(&mut bench, 1, "bob", "lobby");
    assert_eq!(joined.name, "bob#2");
    let sent = bench.hear(peer(2), b"bob");
    assert!(sent.contains(&Sent { to: peer(1), bytes: "bob#3 进入聊天室...".into() }), "{sent:?}");
    assert!(bob.close(&mut bench).iter().any(|sent| sent.bytes == "bob#2 离开了聊天室...".as_bytes()));
}

#[test]
fn the_same_instance_replaces_its_session() {
    let mut bench = bench();
    let (old, room) = Native::in_room(&mut bench, 1, "alice", "lobby");
    let mut alice = old.clone();
    alice.again();
    alice.at = elsewhere(7);
    let sent = alice.connect(&mut bench);
    assert_eq!((closes_to(&sent, old.at), bench.relay.sessions()), (vec![Code::Replaced], 1));
    let ccids = |sent: &[Sent]| -> Vec<Ccid> {
        let to_client = |sent: &Sent| match Downlink::parse(&sent.bytes) {
            Ok(Downlink::ToClient { ccid, .. }) => Some(ccid),
            _ => None,
        };
        sent.iter().filter_map(to_client).collect()
    };
    assert_eq!(ccids(&sent), [old.ccid], "it says which session has ended");
    assert_eq!((alice.member, bench.relay.counters().left(LeaveReason::Replaced)), (old.member, 1));
    let joined = alice.join(&mut bench, "lobby");
    assert_eq!((joined.tag, joined.members, joined.name.as_str()), (room.tag, 1, "alice"));
}

#[test]
fn an_address_is_one_member() {
    let mut bench = bench();
    bench.hear(peer(1), b"bob");
    bench.hear(peer(2), b"carol");
    let mut alice = Native::new(1, "alice");
    alice.at = peer(2);
    let sent = alice.connect(&mut bench);
    assert_eq!(sent, [Sent { to: peer(1), bytes: "carol 离开了聊天室...".into() }]);
    assert_eq!((bench.relay.members(), bench.relay.roster().len()), (2, 1));
    let mut dave = Native::new(2, "dave");
    dave.at = peer(2);
    let sent = dave.connect(&mut bench);
    assert_eq!((closes_to(&sent, peer(2)), bench.relay.members()), (vec![Code::Unreachable], 2));
    assert_eq!(bench.run(SECOND).len(), 0, "a new session there is not told twice that the old one ended");
    assert_eq!(dropped(&mut bench, peer(2), b"dave : hi", DropReason::TextFromNative), []);
    assert_eq!(dropped(&mut bench, peer(2), b"", DropReason::TextFromNative), []);
    assert_eq!(dropped(&mut bench, peer(2), b"exit", DropReason::TextFromNative), []);
    dave.close(&mut bench);
    assert!(bench.hear(peer(2), b"dave").len() == 1 && bench.relay.roster().len() == 2, "free again");
}

// ---- the end ---------------------------------------------------------------------------------

#[test]
fn a_session_that_its_client_closed_is_answered_by_nothing() {
    let mut bench = bench();
    let mut alice = Native::new(1, "alice");
    let hello = alice.proven_hello(&mut bench);
    alice.connect(&mut bench);
    alice.join(&mut bench, "lobby");
    assert_eq!(alice.close(&mut bench), []);
    assert_eq!(bench.relay.counters().left(LeaveReason::Exit), 1);
    let ping = alice.datagram(&[uplink::Frame::Ping { t: 1 }]);
    for bytes in [&hello, &ping] {
        assert_eq!(dropped(&mut bench, alice.at, bytes, DropReason::SessionClosed), []);
    }
    bench.run(15 * SECOND);
    assert_eq!(dropped(&mut bench, alice.at, &ping, DropReason::NoSession).len(), 1);
    assert_eq!(dropped(&mut bench, alice.at, &hello, DropReason::HelloUnproven).len(), 1);
}

#[test]
fn what_stood_before_the_close_counts() {
    let mut bench = bench();
    let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    let (bob, _) = Native::in_room(&mut bench, 2, "bob", "lobby");
    let relayed = bench.relay.counters().relayed;
    let close = uplink::Frame::Close { code: Code::Ok, reason: "bye" };
    let sent = alice.send(&mut bench, &[msg(LOBBY, 1, b"last words"), close, msg(LOBBY, 2, b"never")]);
    assert_eq!(texts_to(&sent, bob.at), ["last words"]);
    assert_eq!((entries_to(&sent, alice.at), bench.relay.counters().relayed - relayed), (vec![], 1));
}

#[test]
fn a_silent_session_ends_and_is_told_three_times() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let mut bob = Native::connected(&mut bench, 2, "bob");
    bench.run(40 * SECOND);
    bob.ping(&mut bench);
    assert_eq!(bench.run(20 * SECOND - MS), []);
    let times: Vec<_> = [MS, 49 * MS, MS, 149 * MS, MS, 10 * SECOND]
        .map(|span| closes_to(&bench.run(span), alice.at))
        .into_iter()
        .collect();
    assert_eq!(times, [vec![Code::Idle], vec![], vec![Code::Idle], vec![], vec![Code::Idle], vec![]]);
    assert_eq!((bench.relay.sessions(), bench.relay.counters().left(LeaveReason::Idle)), (1, 1));
    let ping = alice.datagram(&[uplink::Frame::Ping { t: 1 }]);
    assert_eq!(dropped(&mut bench, alice.at, &ping, DropReason::NoSession).len(), 1);
}

#[test]
fn closes_are_repeated_in_time_whoever_ended_before() {
    let mut bench = bench();
    let natives: Vec<_> = (0..3).map(|number| Native::connected(&mut bench, number, &format!("n{number}"))).collect();
    for native in &natives {
        assert_eq!(bench.command(Command::Kick(Target::Address(native.at))).0, Outcome::Kicked(native.at));
        bench.run(20 * MS);
    }
    let told: Vec<_> = natives.iter().map(|native| closes_to(&bench.run(Duration::ZERO), native.at).len()).collect();
    assert_eq!(told, [0; 3]);
    // At 60 ms the first has had its second one, at 50. The others follow 20 ms later each.
    assert_eq!(closes_to(&bench.run(10 * MS), natives[1].at).len(), 1);
    assert_eq!(closes_to(&bench.run(20 * MS), natives[2].at).len(), 1);
    let sent = bench.run(SECOND);
    assert!(natives.iter().all(|native| closes_to(&sent, native.at) == [Code::Kicked]));
}

#[test]
fn a_close_is_not_repeated_to_a_newcomer() {
    for plain in [false, true] {
        let mut bench = bench();
        let mut alice = Native::connected(&mut bench, 1, "alice");
        bench.run(60 * SECOND);
        if plain {
            bench.hear(alice.at, b"alice");
        } else {
            alice.again();
            alice.connect(&mut bench);
        }
        let closes = bench.run(SECOND);
        assert_eq!(closes, [], "plain: {plain}");
    }
}

#[test]
fn a_closed_port_is_probed_before_its_session_ends() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let probes = |sent: &[Sent], at| {
        frames_to(sent, at).iter().filter(|frame| matches!(frame, Frame::PathChallenge { .. })).count()
    };
    assert_eq!(probes(&bench.unreachable(alice.at), alice.at), 1);
    assert_eq!(bench.unreachable(alice.at), [], "one probe at a time");
    bench.run(2 * SECOND);
    alice.ping(&mut bench);
    assert_eq!(probes(&bench.unreachable(alice.at), alice.at), 1);
    bench.run(2 * SECOND);
    assert_eq!(bench.relay.sessions(), 1, "the new probe has its own three seconds");
    let sent = bench.run(SECOND);
    assert_eq!((bench.relay.sessions(), closes_to(&sent, alice.at)), (0, vec![Code::Unreachable]));
    assert_eq!(bench.relay.counters().left(LeaveReason::Unreachable), 1);
    assert_eq!(bench.unreachable(elsewhere(7)), []);
}

#[test]
fn a_shutdown_tells_more_sessions_than_one_turn_holds() {
    const SESSIONS: u16 = 2500;
    let mut bench = Bench::with(|limits| limits.sessions_max = 3000);
    bench.hear(peer(1), b"plain");
    let natives: Vec<_> = (0..SESSIONS).map(|n| Native::in_room(&mut bench, n, &format!("n{n}"), "lobby").0).collect();
    let (outcome, mut sent) = bench.command(Command::Shutdown);
    assert_eq!(outcome, Outcome::ShutDown);
    let mut turns = 1;
    loop {
        let more = bench.relay.shut_some_sessions(&mut bench.out);
        sent.extend(bench.flush());
        turns += 1;
        if !more {
            break;
        }
    }
    assert!(turns > 2);
    let mut told: Vec<_> = sent
        .iter()
        .filter(|sent| closes_to(std::slice::from_ref(sent), sent.to) == [Code::Shutdown])
        .map(|sent| sent.to)
        .collect();
    told.sort_unstable();
    let mut all: Vec<_> = natives.iter().map(|native| native.at).collect();
    all.sort_unstable();
    assert_eq!(told, all);
    let counters = bench.relay.counters();
    assert_eq!(counters.left(LeaveReason::Shutdown), u64::from(SESSIONS) + 1);
    assert_eq!(counters.joined, counters.left_total());
}

/// A HELLO without a good cookie is answered with less than a twentieth of it.
#[test]
fn answers_to_the_unproven_are_small() {
    let mut bench = bench();
    let alice = Native::new(1, "alice");
    let hello = alice.hello(Cookie::default());
    assert!(bench.hear(alice.at, &hello).iter().all(|sent| sent.bytes.len() * 20 < hello.len()));
}
