//! Addresses: a session moves to where its client proves to be, and nothing
//! that an address sends unproven makes the relay a weapon or a loop (T10, T11).

mod support;

use outcry::metrics::{DropReason, LeaveReason};
use outcry::relay::{Command, Event, Target};
use outcry::wire::downlink::{self, Downlink};
use outcry::wire::handshake::Cookie;
use outcry::wire::header::Code;
use outcry::wire::id::{KeyId, MemberId, PacketNumber, Req, RoomHandle, Scid, Seq, Token};
use outcry::wire::uplink::Frame;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use support::native::{Native, closes_to, datagrams_to, elsewhere, entries_to, frames_to, msg, texts_to};
use support::{Bench, OWN, Sent, addr, peer};

const SECOND: Duration = Duration::from_secs(1);
const LOBBY: RoomHandle = RoomHandle(0);

fn bench() -> Bench {
    Bench::with(|_| {})
}

fn challenge(sent: &[Sent], at: SocketAddr) -> Option<Token> {
    frames_to(sent, at).into_iter().find_map(|frame| match frame {
        downlink::Frame::PathChallenge { token } => Some(token),
        _ => None,
    })
}

#[test]
fn a_session_moves_when_its_client_proves_the_new_address() {
    let mut bench = bench();
    let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    let (bob, _) = Native::in_room(&mut bench, 2, "bob", "lobby");
    let (old, new) = (alice.at, elsewhere(7));
    alice.at = new;
    let sent = alice.say(&mut bench, LOBBY, 1, "from elsewhere");
    assert_eq!(texts_to(&sent, bob.at), ["from elsewhere"], "it is processed");
    let asked = datagrams_to(&sent, new);
    assert!(asked.len() == 1 && asked[0].len() == 23, "nothing but the challenge: {asked:?}");
    assert_eq!(texts_to(&sent, old), ["from elsewhere"], "the old address is served");
    let token = challenge(&sent, new).unwrap();
    let sent = alice.send(&mut bench, &[Frame::PathResponse { token }, Frame::Ping { t: 3 }]);
    assert!(frames_to(&sent, new).contains(&downlink::Frame::Pong { t: 3 }));
    assert_eq!(datagrams_to(&sent, old).len(), 0);
    let sent = alice.say(&mut bench, LOBBY, 2, "moved");
    assert_eq!((texts_to(&sent, new), texts_to(&sent, old)), (vec!["moved".to_owned()], vec![]));
    assert_eq!(bench.relay.counters().native.sessions_moved, 1);
    assert_eq!(bench.events.last(), Some(&Event::Moved { from: old, to: new }));
    assert_eq!(bench.hear(new, b"text"), []);
    assert_eq!(bench.relay.counters().dropped(DropReason::TextFromNative), 1);
}

#[test]
fn a_new_address_is_challenged_once_a_second() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    alice.at = elsewhere(7);
    let asked = |sent: Vec<Sent>| sent.iter().filter(|sent| sent.to == elsewhere(7)).count();
    let times: Vec<_> = (0..5).map(|_| asked(alice.send(&mut bench, &[]))).collect();
    assert_eq!(times, [1, 0, 0, 0, 0]);
    bench.wait(SECOND);
    assert_eq!(asked(alice.send(&mut bench, &[])), 1);
}

#[test]
fn what_is_not_newer_than_what_was_heard_moves_nothing() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let old = alice.datagram(&[Frame::Ping { t: 1 }]);
    let newer = alice.datagram(&[Frame::Ping { t: 2 }]);
    bench.hear(alice.at, &newer);
    for copy in [&old, &newer] {
        assert_eq!(bench.hear(elsewhere(7), copy), []);
    }
    assert_eq!(bench.relay.counters().dropped(DropReason::StaleAddress), 2);
    assert_eq!(datagrams_to(&bench.hear(alice.at, &old), alice.at).len(), 1, "from its own address it may come late");
    alice.pn = PacketNumber(u32::MAX - 1);
    let ahead = alice.datagram(&[]);
    bench.hear(elsewhere(7), &ahead);
    assert_eq!(bench.relay.counters().dropped(DropReason::StaleAddress), 3, "half a circle ahead is not newer");
}

#[test]
fn a_forged_or_foreign_token_moves_nothing() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let mut bob = Native::connected(&mut bench, 2, "bob");
    let old = alice.at;
    alice.at = elsewhere(7);
    let alices = challenge(&alice.send(&mut bench, &[]), alice.at).unwrap();
    let try_from = |bench: &mut Bench, native: &mut Native, at, token| {
        native.at = at;
        native.send(bench, &[Frame::PathResponse { token }]);
        bench.relay.counters().native.sessions_moved
    };
    assert_eq!(try_from(&mut bench, &mut alice, elsewhere(7), Token(alices.0 ^ 1)), 0);
    assert_eq!(try_from(&mut bench, &mut alice, elsewhere(8), alices), 0, "for another address");
    assert_eq!(try_from(&mut bench, &mut bob, elsewhere(7), alices), 0, "for another session");
    bench.wait(8 * SECOND);
    assert_eq!(try_from(&mut bench, &mut alice, elsewhere(7), alices), 0, "too late");
    assert_eq!(alice.ping(&mut bench), [], "not from there");
    alice.at = old;
    assert_eq!(datagrams_to(&alice.ping(&mut bench), old).len(), 1);
}

#[test]
fn who_moves_to_an_address_ends_what_was_there() {
    let mut bench = bench();
    let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    let (bob, _) = Native::in_room(&mut bench, 2, "bob", "lobby");
    bench.hear(peer(1), b"carol");
    for (target, members) in [(bob.at, 2), (peer(1), 1)] {
        alice.at = target;
        let token = challenge(&alice.send(&mut bench, &[]), target).unwrap();
        let sent = alice.send(&mut bench, &[Frame::PathResponse { token }]);
        let closed = closes_to(&sent, target);
        assert_eq!(closed, if target == bob.at { vec![Code::Unreachable] } else { vec![] });
        assert_eq!(bench.relay.members(), members);
        assert_eq!(texts_to(&alice.say(&mut bench, LOBBY, 3 - members as u32, "here"), target), ["here"]);
        assert_eq!(closes_to(&bench.run(SECOND), target), [], "the address has a session again");
    }
}

/// What keeps a new session out keeps out one that moves.
#[test]
fn a_session_moves_to_no_address_that_is_refused() {
    let mut bench = Bench::with(|limits| limits.prefix_sessions_max = 2);
    let moved = |bench: &mut Bench, native: &mut Native, to: SocketAddr| {
        let before = bench.relay.counters().native.sessions_moved;
        bench.wait(SECOND);
        native.at = to;
        let token = challenge(&native.send(bench, &[]), to).unwrap();
        native.send(bench, &[Frame::PathResponse { token }]);
        bench.relay.counters().native.sessions_moved > before
    };
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let mut bob = Native::new(2, "bob");
    bob.at = elsewhere(7);
    bob.connect(&mut bench);
    bench.command(Command::Kick(Target::Name("bob".to_owned())));
    assert!(!moved(&mut bench, &mut alice, elsewhere(7)), "where somebody was kicked");
    for number in 3..5 {
        let mut other = Native::new(number, "other");
        other.at = elsewhere(number);
        other.connect(&mut bench);
    }
    assert!(!moved(&mut bench, &mut alice, elsewhere(8)), "its prefix has all it may have");
    assert!(moved(&mut bench, &mut alice, peer(9)), "within its own it may");
    assert_eq!(bench.relay.sessions(), 3);
}

// ---- an address that was proven once --------------------------------------------------------

/// Somebody who was at an address once goes on from elsewhere, and proves nothing there.
/// Returns the bytes that went to the first address, each second.
fn goes_on_from_elsewhere(bench: &mut Bench, mallory: &mut Native, seconds: u32) -> Vec<usize> {
    let victim = std::mem::replace(&mut mallory.at, elsewhere(7));
    let mut buffer = [[0; 10]; 16];
    let range = outcry::wire::uplink::SeqRange { start: Seq(1), count: u16::MAX };
    let ranges = outcry::wire::uplink::Ranges::encode(&[range], &mut buffer);
    let frames = [
        Frame::Ping { t: 1 },
        Frame::Nack { room: LOBBY, ranges },
        Frame::Report { room: LOBBY, contiguous: Seq(90), highest: Seq(90), lost: 0, kib: 90 },
        Frame::Who { req: Req(1), room: LOBBY, cursor: 0, member: MemberId(0) },
        Frame::List { req: Req(2), cursor: 0 },
        Frame::Join { req: Req(3), sealed: false, unlisted: false, key_id: KeyId(0), room: "tea" },
    ];
    let second = |_| {
        let mut sent = Vec::new();
        for _ in 0..10 {
            sent.extend(mallory.send(bench, &frames));
            sent.extend(bench.run(SECOND / 10));
        }
        datagrams_to(&sent, victim).iter().map(|datagram| datagram.len()).sum()
    };
    (0..seconds).map(second).collect()
}

/// A lobby with a hundred lines in it, and who has proven to be at an address.
fn lobby_with(bench: &mut Bench, name: &str) -> Native {
    let (mut alice, _) = Native::in_room(bench, 1, "alice", "lobby");
    for sseq in 1..=100 {
        alice.say(bench, LOBBY, sseq, &"x".repeat(900));
    }
    alice.close(bench);
    bench.run(10 * SECOND);
    Native::in_room(bench, 2, name, "lobby").0
}

#[test]
fn who_was_at_an_address_once_keeps_nothing_going_there() {
    let mut bench = bench();
    let mut mallory = lobby_with(&mut bench, "mallory");
    let bytes = goes_on_from_elsewhere(&mut bench, &mut mallory, 300);
    assert!(bytes[..61].iter().sum::<usize>() < 1000, "the HEADs after its join and the CLOSE: {bytes:?}");
    assert_eq!(bytes[61..].iter().sum::<usize>(), 0);
    assert_eq!(bench.relay.sessions(), 0);
    assert_eq!(bench.relay.counters().left(LeaveReason::Idle), 1);
    assert!(bench.relay.counters().native.frames_unproven > 0);
}

#[test]
fn a_sign_of_life_from_elsewhere_does_not_answer_for_a_closed_port() {
    let mut bench = bench();
    let mut mallory = lobby_with(&mut bench, "mallory");
    let victim = mallory.at;
    assert!(challenge(&bench.unreachable(victim), victim).is_some());
    goes_on_from_elsewhere(&mut bench, &mut mallory, 4);
    assert_eq!(bench.relay.counters().left(LeaveReason::Unreachable), 1);
}

/// What a client said from its new address is not lost, and a new address ends nothing.
#[test]
fn who_proves_a_new_address_goes_on_there() {
    let mut bench = bench();
    let mut alice = lobby_with(&mut bench, "alice");
    bench.run(50 * SECOND);
    alice.at = elsewhere(7);
    let sent = alice.send(&mut bench, &[Frame::Ping { t: 1 }, msg(LOBBY, 1, b"hi")]);
    let token = challenge(&sent, alice.at).unwrap();
    assert_eq!(bench.relay.counters().native.messages_accepted, 101);
    alice.send(&mut bench, &[Frame::PathResponse { token }]);
    bench.run(50 * SECOND);
    assert_eq!(bench.relay.sessions(), 1, "it was heard from where it is served");
    assert_eq!(alice.nack(&mut bench, LOBBY, &[(10, 1)]).len(), 1);
}

// ---- loop safety -----------------------------------------------------------------------

/// A datagram that anybody could send who has no session and no cookie.
fn unproven() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |len| proptest::collection::vec(any::<u8>(), len);
    let native = (prop_oneof![4 => Just(1u8), 1 => any::<u8>()], any::<u8>(), 4usize..1500, bytes(0..64));
    prop_oneof![
        1 => bytes(0..100),
        3 => native.prop_map(|(version, kind, len, tail)| {
            let mut datagram = vec![0; len];
            datagram[..4].copy_from_slice(&[0xF7, 0x4F, version, kind]);
            datagram.iter_mut().skip(4).zip(tail).for_each(|(byte, random)| *byte = random);
            datagram
        }),
        2 => (any::<u64>(), any::<u32>(), 32usize..1232).prop_map(|(scid, pn, len)| {
            let mut datagram = vec![0; len];
            datagram[..4].copy_from_slice(&[0xF7, 0x4F, 1, 0x10]);
            datagram[4..12].copy_from_slice(&scid.to_le_bytes());
            datagram[12..16].copy_from_slice(&pn.to_le_bytes());
            datagram
        }),
        2 => (any::<u16>(), 0u8..3, any::<[u8; 24]>()).prop_map(|(number, version, cookie)| {
            let mut hello = Native::new(number % 1000, "x").hello(Cookie(cookie));
            hello[2] = version;
            hello
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// T10: each is answered by one smaller datagram at most, to where it came
    /// from, and leaves nothing behind. Under `challenge`, where no plain join is unproven.
    #[test]
    fn the_unproven_are_answered_by_less_than_they_sent(
        datagrams in proptest::collection::vec((0u16..20, unproven()), 1..60),
    ) {
        let mut bench = Bench::with(|limits| limits.plain = outcry::config::PlainPolicy::Challenge);
        let alice = Native::connected(&mut bench, 1, "alice");
        for (port, bytes) in &datagrams {
            let from = elsewhere(1000 + port);
            let sent = bench.hear(from, bytes);
            prop_assert!(sent.len() <= 1, "{sent:?}");
            for answer in &sent {
                let limit = if bytes.starts_with(&[0xF7, 0x4F]) { bytes.len() - 1 } else { 40 };
                prop_assert!(answer.to == from && answer.bytes.len() <= limit, "{answer:?} to {bytes:x?}");
                prop_assert!(!bytes.starts_with(&[0xF7]) || bytes[3] & 0x80 == 0, "no answer to a relay");
            }
        }
        prop_assert_eq!(bench.relay.members(), 1);
        let sent = bench.run(59 * SECOND);
        prop_assert!(sent.is_empty(), "{sent:?}");
        prop_assert_eq!(bench.relay.sessions(), 1);
        prop_assert_eq!(alice.at.port(), peer(10_001).port());
    }

    /// A ticket that was overheard buys one small challenge a second.
    #[test]
    fn who_knows_a_ticket_gets_challenges_only(
        datagrams in proptest::collection::vec((0u16..20, support_frame()), 1..40),
    ) {
        let mut bench = bench();
        let mut alice = Native::connected(&mut bench, 1, "alice");
        alice.join(&mut bench, "lobby");
        let own = alice.at;
        for (port, bytes) in &datagrams {
            let from = elsewhere(1000 + port);
            alice.pn = alice.pn.next();
            let mut datagram = bytes.clone();
            datagram[4..12].copy_from_slice(&alice.scid.0.to_le_bytes());
            datagram[12..16].copy_from_slice(&alice.pn.0.to_le_bytes());
            let sent = bench.hear(from, &datagram);
            let to_it: Vec<_> = sent.iter().filter(|sent| sent.to != own).collect();
            prop_assert!(to_it.len() <= 1);
            prop_assert!(to_it.iter().all(|sent| sent.to == from && sent.bytes.len() == 23 && datagram.len() >= 32));
        }
    }
}

/// A session datagram with a frame or two, whose ticket and number are put in later.
fn support_frame() -> impl Strategy<Value = Vec<u8>> {
    (0u8..0x10, proptest::collection::vec(any::<u8>(), 0..40), 0usize..3).prop_map(|(kind, body, pings)| {
        let mut native = Native::new(1, "x");
        native.scid = Scid(1);
        let mut datagram = native.datagram(&vec![Frame::Ping { t: 1 }; pings]);
        let end = 16 + pings * 11;
        datagram.truncate(end);
        datagram.push(kind);
        datagram.extend((body.len() as u16).to_le_bytes());
        datagram.extend(body);
        datagram.resize(datagram.len().max(32), 0);
        datagram
    })
}

/// T11: relays and echoes wired to one another, by one forged datagram each time.
/// The forger writes `from` into it; what is sent to a node is heard there.
fn datagrams_until_silence(nodes: &mut [Node], to: usize, from: SocketAddr, bytes: &[u8]) -> usize {
    let mut wire = VecDeque::from([(from, nodes[to].at, bytes.to_vec())]);
    let mut sent = 0;
    while let Some((from, to, bytes)) = wire.pop_front() {
        let Some(node) = nodes.iter_mut().find(|node| node.at == to) else { continue };
        let answers = match &mut node.relay {
            Some(bench) => bench.hear(from, &bytes),
            None => vec![Sent { to: from, bytes }],
        };
        sent += answers.len();
        assert!(sent < 10, "they talk to each other");
        let at = node.at;
        wire.extend(answers.into_iter().map(|answer| (at, answer.to, answer.bytes)));
    }
    sent
}

struct Node {
    at: SocketAddr,
    /// `None`: an echo service.
    relay: Option<Bench>,
}

#[test]
fn relays_and_echoes_fall_silent_after_two_datagrams() {
    let node = |port: u16, echo: bool| Node { at: elsewhere(port), relay: (!echo).then(bench) };
    let hello = Native::new(1, "x").hello(Cookie::default());
    let mut stray = Native::new(1, "x");
    stray.scid = Scid(7);
    let session = stray.datagram(&[Frame::Ping { t: 1 }]);
    let mut other = hello.clone();
    other[2] = 9;
    for echo in [false, true] {
        for bytes in [&hello, &session, &other] {
            let mut nodes = [node(1, false), node(2, echo), node(3, false)];
            let from = nodes[1].at;
            let sent = datagrams_until_silence(&mut nodes, 0, from, bytes);
            assert!(sent == 1 || (echo && sent == 2), "{sent}");
        }
    }
}

/// The same with a session behind the forged address: a client's answers, sent back by an echo.
#[test]
fn an_echo_behind_a_ticket_is_challenged_and_no_more() {
    let mut bench = bench();
    let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    alice.at = elsewhere(7);
    let mut wire = VecDeque::from(alice.send(&mut bench, &[Frame::Ping { t: 1 }, msg(LOBBY, 1, b"hi")]));
    let mut rounds = 0;
    while let Some(sent) = wire.pop_front() {
        rounds += 1;
        wire.extend(bench.hear(sent.to, &sent.bytes).into_iter().filter(|sent| sent.to == elsewhere(7)));
    }
    assert!(rounds <= 4, "{rounds}");
    assert_eq!(bench.relay.counters().dropped(DropReason::NativeFromRelay), rounds);
}

#[test]
fn addresses_that_nobody_has_are_dropped() {
    let mut bench = bench();
    let hello = Native::new(1, "x").hello(Cookie::default());
    for from in [OWN, "127.0.0.1:0", "224.0.0.1:5", "255.255.255.255:9", "0.0.0.0:7", "[ff02::1]:7"] {
        assert_eq!(bench.hear(addr(from), &hello), []);
    }
    assert_eq!(bench.relay.counters().dropped(DropReason::BadSource), 6);
}

/// A relay answers no CLOSE, PONG, GAP or other frame of a relay, even from its own client.
#[test]
fn what_relays_say_is_never_answered() {
    let mut bench = bench();
    let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    let pong = alice.ping(&mut bench).remove(0);
    let closing = {
        let mut other = Native::connected(&mut bench, 2, "bob");
        other.again();
        other.connect(&mut bench).remove(0)
    };
    for said in [pong, closing] {
        assert!(matches!(Downlink::parse(&said.bytes), Ok(Downlink::ToClient { .. })));
        for from in [alice.at, elsewhere(7)] {
            assert_eq!(bench.hear(from, &said.bytes), []);
        }
    }
    let goodbye = Frame::Close { code: Code::Ok, reason: "" };
    for frames in [&[goodbye][..], &[Frame::Ping { t: 1 }, goodbye]] {
        let mut stray = Native::new(7, "x");
        stray.scid = Scid(7);
        assert_eq!(stray.send(&mut bench, frames), [], "a CLOSE of a session that nobody knows");
    }
    let unknown = {
        let mut datagram = alice.datagram(&[]);
        datagram[16..19].copy_from_slice(&[0x44, 5, 0]);
        datagram
    };
    assert_eq!(bench.hear(alice.at, &unknown), [], "a type of frame that clients do not send is skipped");
    assert_eq!(entries_to(&[], alice.at), []);
}
