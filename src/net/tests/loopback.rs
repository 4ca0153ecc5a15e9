//! Both backends against the real kernel. What holds for one holds for both.

use super::peers::{Relay, assert_silent, has_v6, hear, peer};
use crate::batch::{Path, SLOT_BYTES};
use crate::net::{BindError, Io, Socket, SocketOptions};
use mio::{Events, Token};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const BOTH: [Io; 2] = [Io::Auto, Io::Portable];

/// A peer at `at` says hello to the relay at `relay_addr`, and is answered.
fn converse(relay: &mut Relay, at: &str, relay_addr: SocketAddr) -> Path {
    let member = peer(at);
    member.connect(relay_addr).unwrap();
    member.send(b"hello").unwrap();
    let seen = relay.receive(1);
    assert_eq!((&seen[0].bytes[..], seen[0].truncated), (&b"hello"[..], false));
    assert_eq!(seen[0].path.remote, member.local_addr().unwrap());
    relay.answer(seen[0].path, b"welcome");
    // A connected socket hears only the address it spoke to.
    assert_eq!(hear(&member, 1), [b"welcome"]);
    seen[0].path
}

#[test]
fn v4() {
    for io in BOTH {
        let mut relay = Relay::bind("127.0.0.1:0", io);
        let addr = relay.socket.local_addr();
        let path = converse(&mut relay, "127.0.0.1:0", addr);
        assert_eq!(path.local, None, "not bound to a wildcard");
    }
}

#[test]
fn v6() {
    if !has_v6("v6") {
        return;
    }
    for io in BOTH {
        let mut relay = Relay::bind("[::1]:0", io);
        let addr = relay.socket.local_addr();
        converse(&mut relay, "[::1]:0", addr);
    }
}

#[test]
fn one_socket_for_v4_and_v6_names_hosts_canonically() {
    if !has_v6("one_socket_for_v4_and_v6_names_hosts_canonically") {
        return;
    }
    for io in BOTH {
        let mut relay = Relay::bind("[::]:0", io);
        let port = relay.port();
        let four = converse(&mut relay, "127.0.0.1:0", SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(four.remote.is_ipv4(), "{four:?}");
        let six = converse(&mut relay, "[::1]:0", format!("[::1]:{port}").parse().unwrap());
        assert!(six.remote.is_ipv6(), "{six:?}");
    }
}

#[test]
fn a_turn_reaches_members_of_both_families() {
    if !has_v6("a_turn_reaches_members_of_both_families") {
        return;
    }
    for io in BOTH {
        let mut relay = Relay::bind("[::]:0", io);
        let (four, six) = (peer("127.0.0.1:0"), peer("[::1]:0"));
        relay.join(&[&four, &six]);
        relay.announce(&[b"same", b"size", b"other size"]);
        relay.flush();
        for member in [&four, &six] {
            assert_eq!(hear(member, 3), [&b"same"[..], b"size", b"other size"]);
            assert_silent(member);
        }
        assert_eq!((relay.tally.sent, relay.tally.trains_refused), (6, 0));
    }
}

#[test]
fn a_cut_datagram_is_marked_and_an_empty_one_is_not() {
    for io in BOTH {
        let mut relay = Relay::bind("127.0.0.1:0", io);
        let member = peer("127.0.0.1:0");
        let addr = relay.socket.local_addr();
        for len in [SLOT_BYTES + 1, 0, SLOT_BYTES, 60_000, 5] {
            member.send_to(&vec![7; len], addr).unwrap();
        }
        let seen = relay.receive(5);
        let lens: Vec<_> = seen.iter().map(|seen| (seen.bytes.len(), seen.truncated)).collect();
        assert_eq!(lens, [(SLOT_BYTES, true), (0, false), (SLOT_BYTES, false), (SLOT_BYTES, true), (5, false)]);
        assert!(seen.iter().all(|seen| seen.path.remote == member.local_addr().unwrap()));
    }
}

#[test]
fn more_than_an_inbox_comes_in_order_over_several_receives() {
    for io in BOTH {
        let mut relay = Relay::bind("127.0.0.1:0", io);
        let members = [peer("127.0.0.1:0"), peer("127.0.0.1:0")];
        let addr = relay.socket.local_addr();
        // Twice, so that the slots are used again with other lengths.
        for round in 0..2u8 {
            for number in 0..50u8 {
                let bytes = vec![number; 1 + usize::from(number ^ (round * 63))];
                members[usize::from(number % 2)].send_to(&bytes, addr).unwrap();
            }
            let seen = relay.receive(50);
            for (number, seen) in (0..50u8).zip(&seen) {
                assert_eq!(seen.bytes, vec![number; 1 + usize::from(number ^ (round * 63))]);
                assert_eq!(seen.path.remote, members[usize::from(number % 2)].local_addr().unwrap());
            }
        }
    }
}

#[test]
fn both_backends_deliver_the_same() {
    let heard = BOTH.map(|io| {
        let mut relay = Relay::bind("127.0.0.1:0", io);
        let members: Vec<UdpSocket> = (0..20).map(|_| peer("127.0.0.1:0")).collect();
        relay.join(&members.iter().collect::<Vec<_>>());
        let mut offered = 0;
        for turn in 0..5usize {
            for number in 0..12usize {
                let bytes = format!("{turn}/{number}{}", ".".repeat(number % 3 * 7)).into_bytes();
                let speaker = (turn * 5 + number) % 30;
                match relay.roster.paths().get(speaker).copied() {
                    Some(path) => relay.outbox.say(crate::batch::MemberIndex(speaker as u32), path, &bytes),
                    None => relay.outbox.announce(None, &bytes),
                }
                offered += if speaker < 20 { 19 } else { 20 };
            }
            relay.outbox.unicast(relay.roster.paths()[turn], b"only you");
            offered += 1;
            relay.flush();
        }
        assert_eq!((relay.tally.sent, relay.tally.offered), (offered, offered));
        let mut copies = BTreeSet::new();
        let mut total = 0;
        for (index, member) in members.iter().enumerate() {
            member.set_nonblocking(true).unwrap();
            let mut bytes = [0; 2048];
            while let Ok(len) = member.recv(&mut bytes) {
                total += 1;
                copies.insert((index, bytes[..len].to_vec()));
            }
        }
        assert_eq!(total, offered);
        copies
    });
    assert_eq!(heard[0], heard[1]);
}

#[test]
fn an_address_in_use_is_told() {
    let relay = Relay::bind("127.0.0.1:0", Io::Auto);
    let error = Socket::bind(relay.socket.local_addr(), &SocketOptions::default()).err().unwrap();
    assert!(matches!(error, BindError::InUse { addr } if addr == relay.socket.local_addr()), "{error}");
}

#[test]
fn an_address_of_another_host_is_told() {
    // TEST-NET-1, RFC 5737.
    let error = Socket::bind("192.0.2.1:0".parse().unwrap(), &SocketOptions::default()).err().unwrap();
    assert!(matches!(error, BindError::NotOurs { .. }), "{error}");
}

#[test]
fn buffers_are_asked_for_and_read_back() {
    for io in BOTH {
        let options = SocketOptions { io, rcvbuf_bytes: 100_000, sndbuf_bytes: 0 };
        let buffers = Relay::with_options("127.0.0.1:0", &options).socket.buffers();
        assert_eq!((buffers.rcv.asked_bytes, buffers.snd.asked_bytes), (100_000, 0));
        assert!(buffers.rcv.obtained_bytes >= 100_000 && buffers.snd.obtained_bytes > 0, "{buffers:?}");
        assert!(buffers.warnings().is_empty());
    }
}

#[test]
fn writable_is_an_event_only_while_it_is_watched() {
    let mut relay = Relay::bind("127.0.0.1:0", Io::Auto);
    let mut events = Events::with_capacity(4);
    let registry = relay.poll.registry().try_clone().unwrap();
    relay.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.is_empty(), "{events:?}");
    relay.socket.watch_writable(&registry, Token(0), true).unwrap();
    relay.poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
    assert!(events.iter().any(mio::event::Event::is_writable));
    relay.socket.watch_writable(&registry, Token(0), false).unwrap();
    relay.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.is_empty(), "{events:?}");
}
