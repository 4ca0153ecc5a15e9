//! What only the Linux backend does: trains, source addresses, the error
//! queue, drop counts, and the floor.

use super::peers::{Relay, assert_silent, dead_addr, has_v6, hear, peer};
use crate::batch::{Inbox, Path};
use crate::net::{Io, Prebuilt, Received, SocketOptions};
use std::net::{IpAddr, SocketAddr, UdpSocket};

#[test]
fn the_backend_is_named() {
    assert_eq!(Relay::bind("127.0.0.1:0", Io::Auto).socket.backend(), "linux");
    assert_eq!(Relay::bind("127.0.0.1:0", Io::Portable).socket.backend(), "portable");
}

#[test]
fn a_wildcard_answers_from_the_address_that_was_hit() {
    let mut binds = vec![("0.0.0.0:0", "127.0.0.2"), ("0.0.0.0:0", "127.0.0.1")];
    if has_v6("a_wildcard_answers_from_the_address_that_was_hit over IPv6") {
        binds.extend([("[::]:0", "127.0.0.2"), ("[::]:0", "::1")]);
    }
    for (bind, hit) in binds {
        let mut relay = Relay::bind(bind, Io::Auto);
        let hit: IpAddr = hit.parse().unwrap();
        let member = peer(if hit.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        // It will hear nothing but what comes from there.
        member.connect((hit, relay.port())).unwrap();
        member.send(b"hello").unwrap();
        let path = relay.receive(1)[0].path;
        assert_eq!(path, Path { remote: member.local_addr().unwrap(), local: Some(hit) }, "{bind}");
        relay.roster.push(path);
        // Single and in a train: both control messages at once.
        relay.answer(path, b"welcome");
        relay.announce(&[b"1", b"2", b"3"]);
        relay.flush();
        assert_eq!(hear(&member, 4), [&b"welcome"[..], b"1", b"2", b"3"], "{bind} at {hit}");
    }
}

#[test]
fn members_at_several_of_our_addresses_in_one_call() {
    let mut relay = Relay::bind("0.0.0.0:0", Io::Auto);
    let members: Vec<UdpSocket> = (0..12).map(|_| peer("127.0.0.1:0")).collect();
    for (number, member) in (0u8..).zip(&members) {
        member.connect((IpAddr::from([127, 0, 0, 1 + number % 3]), relay.port())).unwrap();
        member.send(b"hello").unwrap();
    }
    for seen in relay.receive(12) {
        relay.roster.push(seen.path);
    }
    relay.announce(&[b"1", b"2", b"longer"]);
    relay.flush();
    for member in &members {
        assert_eq!(hear(member, 3), [&b"1"[..], b"2", b"longer"]);
        assert_silent(member);
    }
}

#[test]
fn a_train_arrives_as_separate_datagrams() {
    let mut relay = Relay::bind("127.0.0.1:0", Io::Auto);
    let members = [peer("127.0.0.1:0"), peer("127.0.0.1:0")];
    relay.join(&[&members[0], &members[1]]);
    let lines: Vec<Vec<u8>> = (0..60u8).map(|number| vec![number; 700]).collect();
    relay.announce(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert!(relay.outbox.train_lengths().any(|length| length > 1));
    relay.flush();
    for member in &members {
        assert_eq!(hear(member, 60), lines);
        assert_silent(member);
    }
    assert_eq!((relay.tally.sent, relay.tally.trains_refused), (120, 0));
}

#[test]
fn a_train_that_the_kernel_refuses_arrives_plain() {
    let mut relay = Relay::bind("127.0.0.1:0", Io::Auto);
    relay.socket.forbid_checksums();
    let member = peer("127.0.0.1:0");
    relay.join(&[&member]);
    for turn in 0..2 {
        relay.announce(&[b"1", b"2", b"3"]);
        relay.flush();
        assert_eq!(hear(&member, 3), [b"1", b"2", b"3"], "turn {turn}");
        assert_eq!((relay.tally.trains_refused, relay.tally.dropped_total()), (1, 0));
    }
}

#[test]
fn a_dead_peer_is_named_and_the_living_lose_nothing() {
    let mut relay = Relay::bind("127.0.0.1:0", Io::Auto);
    let members: Vec<UdpSocket> = (0..4).map(|_| peer("127.0.0.1:0")).collect();
    let dead = dead_addr();
    relay.join(&[&members[0]]);
    relay.roster.push(Path::to(dead));
    relay.join(&[&members[1], &members[2]]);
    relay.roster.push(Path::to(dead));
    relay.join(&[&members[3]]);
    for round in 0..100u8 {
        relay.announce(&[&[round; 9], &[round; 9], &[round; 20]]);
        relay.flush();
        for member in &members {
            assert_eq!(hear(member, 3), [vec![round; 9], vec![round; 9], vec![round; 20]]);
        }
        relay.socket.drain_errors();
        assert_eq!(relay.socket.next_unreachable(), Some(dead), "round {round}");
        assert_eq!(relay.socket.next_unreachable(), None, "repeats are one");
    }
    assert_eq!((relay.tally.sent, relay.tally.dropped_total()), (100 * 6 * 3, 0));
}

#[test]
fn dead_peers_are_named_canonically_on_a_dual_socket() {
    if !has_v6("dead_peers_are_named_canonically_on_a_dual_socket") {
        return;
    }
    let mut relay = Relay::bind("[::]:0", Io::Auto);
    let four = dead_addr();
    let six = "[::1]:1".parse().unwrap();
    for dead in [four, six] {
        relay.outbox.unicast(Path::to(dead), b"anybody?");
        relay.flush();
        relay.socket.drain_errors();
        assert_eq!(relay.socket.next_unreachable(), Some(dead));
    }
}

#[test]
fn a_reported_error_is_not_drained() {
    let mut relay = Relay::bind("127.0.0.1:0", Io::Auto);
    let member = peer("127.0.0.1:0");
    relay.outbox.unicast(Path::to(dead_addr()), b"anybody?");
    relay.flush();
    member.send_to(b"hello", relay.socket.local_addr()).unwrap();
    assert!(matches!(relay.socket.receive(&mut relay.inbox), Received::Pending));
    assert!(relay.inbox.is_empty());
    relay.socket.drain_errors();
    assert!(matches!(relay.socket.receive(&mut relay.inbox), Received::Filled));
    assert_eq!(relay.inbox.datagram(0).bytes, b"hello");
    assert!(matches!(relay.socket.receive(&mut relay.inbox), Received::Drained));
}

#[test]
fn what_the_kernel_drops_is_counted_exactly() {
    let options = SocketOptions { rcvbuf_bytes: 8192, ..Default::default() };
    let mut relay = Relay::with_options("127.0.0.1:0", &options);
    assert_eq!(relay.socket.kernel_drops(), 0);
    let member = peer("127.0.0.1:0");
    for _ in 0..500 {
        member.send_to(&[1; 200], relay.socket.local_addr()).unwrap();
    }
    let mut received = 0;
    while let Received::Filled = relay.socket.receive(&mut relay.inbox) {
        received += relay.inbox.len() as u64;
    }
    assert!(received > 0 && received < 500, "{received}");
    assert_eq!(received + relay.socket.kernel_drops(), 500);
}

#[test]
fn another_inbox_is_filled_where_it_lies() {
    let mut relay = Relay::bind("127.0.0.1:0", Io::Auto);
    let member = peer("127.0.0.1:0");
    let mut inboxes = [Inbox::new(2), Inbox::new(40), Inbox::new(3)];
    for round in 0..9u8 {
        let inbox = &mut inboxes[usize::from(round % 3)];
        for number in 0..2 {
            member.send_to(&[round, number], relay.socket.local_addr()).unwrap();
        }
        assert!(matches!(relay.socket.receive(inbox), Received::Filled));
        let bytes: Vec<_> = inbox.datagrams().map(|datagram| datagram.bytes.to_vec()).collect();
        assert_eq!(bytes, [[round, 0], [round, 1]]);
    }
}

#[test]
fn a_destination_of_the_wrong_family_is_refused_not_fatal() {
    let mut relay = Relay::bind("127.0.0.1:0", Io::Auto);
    let member = peer("127.0.0.1:0");
    relay.roster.push(Path::to("[::1]:9".parse().unwrap()));
    relay.roster.push(Path::to("127.0.0.1:0".parse().unwrap()));
    relay.join(&[&member]);
    relay.announce(&[b"hello"]);
    relay.flush();
    assert_eq!(hear(&member, 1), [b"hello"]);
    assert_eq!((relay.tally.sent, relay.tally.dropped[crate::batch::SendDrop::Refused as usize]), (1, 2));
}

#[test]
fn the_floor_sends_what_it_says() {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let members: Vec<UdpSocket> = (0..20).map(|_| peer("127.0.0.1:0")).collect();
    let addrs: Vec<SocketAddr> = members.iter().map(|member| member.local_addr().unwrap()).collect();
    let mut plain = Prebuilt::new(&sender, &addrs, b"hello", None).unwrap();
    assert_eq!((plain.send_all().unwrap(), plain.send_all().unwrap()), (20, 20));
    let mut train = Prebuilt::new(&sender, &addrs, b"onetwotree", Some(3)).unwrap();
    assert_eq!(train.send_all().unwrap(), 80);
    for member in &members {
        assert_eq!(hear(member, 6), [&b"hello"[..], b"hello", b"one", b"two", b"tre", b"e"]);
        assert_silent(member);
    }
    let mut many = Prebuilt::new(&sender, &vec![addrs[0]; 2500], b"x", None).unwrap();
    assert_eq!(many.send_all().unwrap(), 2500);
    assert_eq!(Prebuilt::new(&sender, &[], b"", None).unwrap().send_all().unwrap(), 0);
}
