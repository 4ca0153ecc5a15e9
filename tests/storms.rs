//! T30: echoes and relays joined to one another fall silent, and people who
//! repeat themselves do not. Relays and echoes are wired to each other in
//! memory; every datagram takes some time on its way.

mod support;

use outcry::batch::Path;
use outcry::config::{Lang, Limits, PlainPolicy};
use outcry::metrics::LeaveReason;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use support::{Bench, Sent, addr, peer};

/// A datagram on its way.
struct Flight {
    arrives_ms: u64,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// What answers at an address.
enum Node {
    /// Sends back what it gets, after so many ms.
    Echo(u64),
    Relay(Box<Bench>),
}

/// Nodes that send to one another until nothing is under way.
struct Net {
    nodes: Vec<(SocketAddr, Node)>,
    flights: VecDeque<Flight>,
    now_ms: u64,
    datagrams: usize,
}

impl Net {
    fn new(nodes: Vec<(SocketAddr, Node)>) -> Self {
        Self { nodes, flights: VecDeque::new(), now_ms: 1000, datagrams: 0 }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], after_ms: u64) {
        self.flights.push_back(Flight { arrives_ms: self.now_ms + after_ms, from, to, bytes: bytes.to_vec() });
    }

    /// Delivers until it is quiet; returns the datagrams that it took.
    fn run(&mut self) -> usize {
        let before = self.datagrams;
        while let Some(next) = (0..self.flights.len()).min_by_key(|&at| self.flights[at].arrives_ms) {
            let flight = self.flights.remove(next).expect("it was just found");
            self.datagrams += 1;
            assert!(self.datagrams - before < 20_000, "the storm does not end");
            self.now_ms = self.now_ms.max(flight.arrives_ms);
            self.deliver(&flight);
        }
        self.datagrams - before
    }

    fn deliver(&mut self, flight: &Flight) {
        let now_ms = self.now_ms;
        let Some((_, node)) = self.nodes.iter_mut().find(|(at, _)| *at == flight.to) else { return };
        match node {
            Node::Echo(after_ms) => {
                let after_ms = *after_ms;
                self.send(flight.to, flight.from, &flight.bytes, after_ms);
            }
            Node::Relay(bench) => {
                bench.now = outcry::Time::new(now_ms * 1_000_000, 0);
                let sent = bench.hear(flight.from, &flight.bytes);
                sent.iter().for_each(|Sent { to, bytes }| self.send(flight.to, *to, bytes, 1));
            }
        }
    }

    fn relay(&self, number: usize) -> &Bench {
        let mut relays = self.nodes.iter().filter_map(|(_, node)| match node {
            Node::Relay(bench) => Some(&**bench),
            Node::Echo(_) => None,
        });
        relays.nth(number).expect("a relay")
    }
}

fn relay_at(plain: PlainPolicy, msgs_per_s: u32) -> Node {
    Node::Relay(Box::new(Bench::with(|limits| {
        limits.plain = plain;
        limits.msgs_per_s = msgs_per_s;
        limits.lang = Lang::En;
    })))
}

const RELAY: &str = "127.0.0.2:9000";

/// Two echoes `after_ms` late and an honest member; how many datagrams one line makes.
fn two_echoes(msgs_per_s: u32, after_ms: u64) -> (Net, usize) {
    let echoes = [peer(1), peer(2)];
    let mut net = Net::new(vec![
        (addr(RELAY), relay_at(PlainPolicy::Open, msgs_per_s)),
        (echoes[0], Node::Echo(after_ms)),
        (echoes[1], Node::Echo(after_ms)),
    ]);
    for (from, name) in [(echoes[0], "echo1"), (echoes[1], "echo2"), (peer(3), "alice")] {
        net.send(from, addr(RELAY), name.as_bytes(), 1);
    }
    let joining = net.run();
    net.send(peer(3), addr(RELAY), b"alice : hi", 1);
    let line = net.run();
    (net, joining + line)
}

#[test]
fn two_echoes_fall_silent() {
    for (msgs_per_s, after_ms) in [(0, 0), (0, 1), (20, 50), (20, 200)] {
        let (net, datagrams) = two_echoes(msgs_per_s, after_ms);
        assert!(datagrams <= 400, "{datagrams} with {msgs_per_s}/s and echoes {after_ms} ms late");
        let counters = net.relay(0).relay.counters();
        assert!(counters.left(LeaveReason::Mirror) >= 1, "at least one echo was found out");
        assert!(net.relay(0).relay.members() >= 1, "alice is still here");
    }
}

/// Relays that are members of one another.
fn joined_relays(relays: usize, plain: PlainPolicy, msgs_per_s: u32) -> (Net, Vec<SocketAddr>) {
    let addresses: Vec<_> = (0..relays).map(|n| addr(&format!("127.0.0.{}:9000", n + 2))).collect();
    let nodes = addresses.iter().map(|&at| (at, relay_at(plain, msgs_per_s))).collect();
    let mut net = Net::new(nodes);
    for &from in &addresses {
        for &to in addresses.iter().filter(|&&to| to != from) {
            net.send(from, to, b"relay", 1);
        }
    }
    (net, addresses)
}

#[test]
fn three_relays_joined_to_one_another_fall_silent() {
    for msgs_per_s in [0, 20] {
        let (mut net, addresses) = joined_relays(3, PlainPolicy::Open, msgs_per_s);
        let joining = net.run();
        net.send(peer(1), addresses[0], b"alice", 1);
        net.send(peer(1), addresses[0], b"alice : hi", 5);
        let line = net.run();
        assert!(joining + line <= 400, "{joining} + {line} datagrams with {msgs_per_s}/s");
    }
}

#[test]
fn relays_under_challenge_do_not_even_start() {
    let (mut net, _) = joined_relays(2, PlainPolicy::Challenge, 20);
    let datagrams = net.run();
    assert!(datagrams <= 6, "{datagrams}");
    let mut net = Net::new(vec![(addr(RELAY), relay_at(PlainPolicy::Challenge, 20)), (peer(1), Node::Echo(1))]);
    net.send(peer(1), addr(RELAY), b"echo", 1);
    let datagrams = net.run();
    assert!(datagrams <= 6, "{datagrams}");
    assert_eq!(net.relay(0).relay.members(), 0);
}

fn alice_and_bob(change: impl FnOnce(&mut Limits)) -> Bench {
    let mut bench = Bench::with(change);
    for (number, name) in [(1, "alice"), (2, "bob")] {
        bench.hear(peer(number), name.as_bytes());
    }
    bench
}

#[test]
fn people_who_say_the_same_are_no_mirrors() {
    let mut bench = alice_and_bob(|_| {});
    for _ in 0..20 {
        bench.wait(Duration::from_millis(300));
        assert_eq!(bench.hear(peer(1), b"ok").len(), 1);
        assert_eq!(bench.hear(peer(2), b"ok").len(), 1);
    }
    assert_eq!(bench.relay.members(), 2);
}

#[test]
fn one_word_of_its_own_clears_a_member() {
    let mut bench = alice_and_bob(|_| {});
    for round in 0..200 {
        bench.hear(peer(1), format!("alice : {round}").as_bytes());
        bench.hear(peer(2), format!("alice : {round}").as_bytes());
        if round % 31 == 30 {
            bench.hear(peer(2), format!("bob : {round}").as_bytes());
        }
    }
    assert_eq!(bench.relay.members(), 2);
    for round in 0..32 {
        bench.hear(peer(1), format!("alice : again {round}").as_bytes());
        bench.hear(peer(2), format!("alice : again {round}").as_bytes());
    }
    assert_eq!(bench.relay.members(), 1, "32 echoes in a row are a mirror");
    assert_eq!(bench.hear(peer(2), b"bob"), [], "refused for a minute");
}

#[test]
fn whatever_does_not_match_clears_a_member() {
    let kinds: [(&[u8], usize); 6] =
        [(b"", 2), (b"\x07", 2), (b"\xF7", 2), (b"\xFF", 2), (&[b'x'; 1025], 2), (b"[relay] hi", 1)];
    for (bytes, members) in kinds {
        let mut bench = Bench::with(|_| {});
        for (number, name) in [(1, "alice"), (2, "bob")] {
            bench.hear(peer(number), name.as_bytes());
        }
        for round in 0..40 {
            bench.hear(peer(1), format!("alice : {round}").as_bytes());
            bench.hear(peer(2), format!("alice : {round}").as_bytes());
            if round == 20 {
                bench.hear(peer(2), bytes);
            }
        }
        assert_eq!(bench.relay.members(), members, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_cut_datagram_clears_a_member() {
    let mut bench = alice_and_bob(|_| {});
    for round in 0..40 {
        bench.hear(peer(1), format!("alice : {round}").as_bytes());
        bench.hear(peer(2), format!("alice : {round}").as_bytes());
        if round == 20 {
            bench.relay.handle_truncated(bench.now, Path::to(peer(2)), &mut bench.out);
        }
    }
    assert_eq!(bench.relay.members(), 2);
}

#[test]
fn the_guard_can_be_turned_off() {
    let mut bench = alice_and_bob(|limits| limits.mirror_guard = false);
    for round in 0..100 {
        bench.hear(peer(1), format!("alice : {round}").as_bytes());
        bench.hear(peer(2), format!("alice : {round}").as_bytes());
    }
    assert_eq!(bench.relay.members(), 2);
}
