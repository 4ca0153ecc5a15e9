//! The whole relay on real sockets: bursts, dead peers, a relay that stands
//! still, three address families in one room, nonsense (T21, T22, T24, T29,
//! T31), and both backends against each other. Counts are exact; the only time
//! asserted is CPU time while there is nothing to do.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod process;
mod room;

use outcry::batch::{SendDrop, SendTally};
use outcry::config::{Config, INBOX_DATAGRAMS, Io, Lang, Limits, RECEIVE_BATCHES_PER_TURN};
use outcry::metrics::{Counters, DropReason, LeaveReason};
use outcry::server::Server;
use process::books::Books;
use process::{Deadline, HANG, Serve, host, skip, until};
use room::{BACKENDS, Member, Relay, config, turn_until_idle};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Datagrams that one turn of the loop reads at most.
const BUDGET: usize = INBOX_DATAGRAMS * RECEIVE_BATCHES_PER_TURN as usize;
/// More than two turns read.
const BURST: usize = 2 * BUDGET + 100;

fn on(io: Io) -> Config {
    config(|config| {
        config.io = io;
        config.limits.lang = Lang::En;
    })
}

fn line(name: &str, number: usize) -> String {
    format!("{name} : {number:05}")
}

#[track_caller]
fn hears_lines(member: &Member, name: &str, count: usize) {
    (0..count).for_each(|number| member.hears(line(name, number)));
}

// ---- T31: a burst that one turn cannot read ------------------------------------

/// Says a burst and leaves it waiting; false where the kernel keeps no burst.
fn leaves_a_burst(amy: &Member, bob: &Member, server: &Server) -> bool {
    (0..BURST).for_each(|number| amy.says(line("amy", number)));
    let kept = server.report().kernel_drops == 0 && bob.has_room_for(BURST);
    if !kept {
        skip(format!("a burst of {BURST}: the kernel allows no receive buffer for it"));
    }
    kept
}

#[test]
fn a_burst_beyond_a_turns_budget_needs_no_further_datagram() {
    for io in BACKENDS {
        let mut server = Server::bind(&on(io)).unwrap();
        let [amy, bob] = ["amy", "bob"].map(|name| Member::joins(server.local_addr(), name));
        turn_until_idle(&mut server);
        amy.hears("bob joined");
        if !leaves_a_burst(&amy, &bob, &server) {
            return;
        }
        server.turn(Some(Duration::ZERO)).unwrap();
        let read = server.report().counters.relayed;
        // Of batches, or of time on a slow machine: less than the burst in any case.
        assert!((1..=BUDGET as u64).contains(&read) && !server.is_idle(), "{io}: one turn has its budget, not {read}");
        turn_until_idle(&mut server);
        hears_lines(&bob, "amy", BURST);
        let report = server.report();
        assert_eq!((report.counters.relayed, report.copies.sent), (BURST as u64, BURST as u64 + 1), "{io}");
        assert!(report.balances());
    }
}

#[test]
fn a_burst_that_waited_for_the_first_turn_is_delivered() {
    for io in BACKENDS {
        let server = Server::bind(&on(io)).unwrap();
        let [amy, bob] = ["amy", "bob"].map(|name| Member::joins(server.local_addr(), name));
        if !leaves_a_burst(&amy, &bob, &server) {
            return;
        }
        // Nothing else happens at the loop: it is not even asked how it is.
        let relay = Relay::run(server);
        hears_lines(&bob, "amy", BURST);
        assert_eq!(relay.end().counters.relayed, BURST as u64, "{io}");
    }
}

// ---- T22: a relay that stands still under load ----------------------------------

#[test]
#[cfg(target_os = "linux")]
fn what_the_kernel_drops_while_nobody_reads_is_counted_exactly() {
    let mut server = Server::bind(&config(|config| config.rcvbuf_bytes = 32 << 10)).unwrap();
    let [amy, bob] = ["amy", "bob"].map(|name| Member::joins(server.local_addr(), name));
    turn_until_idle(&mut server);
    let mut said = 2;
    for burst in [3000, 1, 5000] {
        (0..burst).for_each(|number| amy.says(line("amy", number)));
        said += burst as u64;
        turn_until_idle(&mut server);
        let report = server.report();
        assert_eq!(said, report.counters.datagrams_in + report.kernel_drops);
    }
    let report = server.report();
    assert!(report.kernel_drops > 0 && report.balances());
    assert_eq!(bob.has_heard().len() as u64, report.counters.relayed, "what was read was delivered");
}

/// Stops the relay, says `lines` lines to it, and lets it go on: what a member
/// heard of them, and the books.
#[cfg(target_os = "linux")]
fn stands_still_under(lines: usize, rcvbuf: &str) -> (Vec<String>, Books) {
    let relay = Serve::start(&["--rcvbuf", rcvbuf, "--stats", "100ms", "--lang", "en"]);
    let amy = Member::joins(relay.addr, "amy");
    amy.says([b'x'; 1025]);
    amy.hears("[relay] not sent: over 1024 bytes");
    let bob = Member::joins(relay.addr, "bob");
    amy.hears("bob joined");
    relay.process.stands_still();
    (0..lines).for_each(|number| amy.says(line("amy", number)));
    relay.process.goes_on();
    let said = lines as u64 + 3;
    until("all to be counted", || {
        let books = Books::in_line(&relay.process.out.next()?)?;
        (books.datagrams_in() + books.kernel_drops() == said).then_some(())
    });
    let books = relay.end();
    assert_eq!(books.datagrams_in() + books.kernel_drops(), said);
    let heard = bob.has_heard().into_iter().map(|line| String::from_utf8(line).unwrap());
    (heard.filter(|line| line != "[relay] shutting down").collect(), books)
}

#[test]
#[cfg(target_os = "linux")]
fn a_stopped_relay_with_a_small_buffer_counts_what_it_lost() {
    let (heard, books) = stands_still_under(5000, "32K");
    assert!(books.kernel_drops() > 0);
    assert_eq!(heard.len() as u64, books.relayed());
    assert_eq!(heard, (0..heard.len()).map(|number| line("amy", number)).collect::<Vec<_>>());
}

#[test]
#[cfg(target_os = "linux")]
fn a_stopped_relay_with_a_large_buffer_loses_nothing() {
    let (heard, books) = stands_still_under(BURST, "8M");
    if books.kernel_drops() > 0 {
        return skip("a burst for a stopped relay: the kernel allows no receive buffer for it");
    }
    assert_eq!(heard, (0..BURST).map(|number| line("amy", number)).collect::<Vec<_>>());
}

// ---- T21: a dead peer among the living ------------------------------------------

/// What the living have heard that was no line of theirs.
#[derive(Default)]
struct Others(Vec<String>);

impl Others {
    /// `member` hears `line`, and notices before it.
    #[track_caller]
    fn until_line(&mut self, member: &Member, line: &str) {
        loop {
            let heard = String::from_utf8(member.hears_something()).unwrap();
            if heard == line {
                return;
            }
            assert!(heard.ends_with(" left"), "{heard:?} instead of {line:?}");
            self.0.push(heard);
        }
    }
}

/// One of the living says a line, the others hear it.
fn talk(living: &[Member], round: usize, others: &mut Others) {
    let (speaker, line) = (round % living.len(), line("line", round));
    living[speaker].says(&line);
    for (_, hearer) in living.iter().enumerate().filter(|(at, _)| *at != speaker) {
        others.until_line(hearer, &line);
    }
}

/// Where the dead were: no port of it comes to life again.
fn graveyard() -> IpAddr {
    host(1)
}

/// Three living members, with nothing left to hear, and so many dead ones.
fn living_and_dead(relay: &Relay, dead: usize) -> Vec<Member> {
    let living: Vec<_> = ["amy", "bob", "eve"].map(|name| Member::joins(relay.addr, name)).into();
    let gone: Vec<_> =
        (0..dead).map(|number| Member::joins_from(graveyard(), relay.addr, &format!("dead{number}"))).collect();
    relay.holds(3 + dead);
    drop(gone);
    for member in &living {
        member.has_heard();
    }
    living
}

#[test]
#[cfg(target_os = "linux")]
fn the_dead_leave_and_the_living_lose_nothing() {
    for dead in [1, 4] {
        let relay = Relay::start(&on(Io::Auto));
        let living = living_and_dead(&relay, dead);
        let mut others = Others::default();
        (0..1000).for_each(|round| talk(&living, round, &mut others));
        let (mut round, deadline) = (1000, Deadline::after(HANG));
        while relay.report().counters.left(LeaveReason::Unreachable) < dead as u64 {
            assert!(!deadline.left().is_zero(), "the dead are still here");
            std::thread::sleep(Duration::from_millis(5));
            talk(&living, round, &mut others);
            round += 1;
        }
        talk(&living, round, &mut others);
        talk(&living, round + 1, &mut others);
        assert_eq!(others.0.len(), dead * living.len(), "each is told once of each: {:?}", others.0);
        let report = relay.end();
        assert_eq!((report.counters.joined, report.counters.left_total()), (3 + dead as u64, 3 + dead as u64));
        assert_eq!(report.copies.dropped_total(), report.copies.dropped[SendDrop::Unreachable as usize]);
    }
}

#[test]
fn the_portable_backend_sends_past_the_dead_too() {
    let relay = Relay::start(&on(Io::Portable));
    let living = living_and_dead(&relay, 2);
    (0..1000).for_each(|round| talk(&living, round, &mut Others::default()));
    let report = relay.end();
    assert_eq!((report.counters.relayed, report.copies.dropped_total()), (1000, 0));
}

/// After a dead peer, too: its error must not keep the socket ready for ever.
#[test]
#[cfg(target_os = "linux")]
fn a_relay_with_nothing_to_do_uses_no_cpu() {
    let relay = Serve::start(&["--log", "debug"]);
    let _amy = Member::joins(relay.addr, "amy");
    let bob = Member::joins(relay.addr, "bob");
    let gone = Member::joins_from(graveyard(), relay.addr, "gone");
    relay.logs("joined", "gone");
    drop(gone);
    let deadline = Deadline::after(HANG);
    loop {
        bob.says("bob : anyone?");
        let logged = relay.process.err.next_within(Duration::from_millis(50));
        if logged.is_some_and(|line| String::from_utf8_lossy(&line).contains("left")) {
            break;
        }
        assert!(!deadline.left().is_zero(), "the dead is still here");
    }
    let before = relay.process.cpu_ticks();
    std::thread::sleep(Duration::from_secs(1));
    let used = relay.process.cpu_ticks() - before;
    assert!(used < 5, "{used} hundredths of a second");
    assert_eq!(relay.end().left("unreachable"), 1);
}

// ---- T24: every family in one room ------------------------------------------------

/// A host's address, and the relay's at the same host. Only the fast backend
/// answers from whichever address it was asked at.
fn families(io: Io, port: u16) -> [(IpAddr, SocketAddr); 3] {
    let v4 = match host(0) {
        IpAddr::V4(own) if io == Io::Auto => own,
        _ => Ipv4Addr::LOCALHOST,
    };
    let hosts = [v4.into(), v4.to_ipv6_mapped().into(), Ipv6Addr::LOCALHOST.into()];
    hosts.map(|host| (host, SocketAddr::new(host, port)))
}

/// Asks to join, and sends back the code that it is told.
fn comes_in((host, relay): (IpAddr, SocketAddr), name: &str) -> Member {
    let member = Member::joins_from(host, relay, name);
    let told = String::from_utf8(member.hears_something()).unwrap();
    let code = told.strip_prefix("[relay] send ").and_then(|told| told.strip_suffix(" to join"));
    member.says(format!("{name} : {}", code.unwrap_or_else(|| panic!("{told:?}"))));
    member
}

/// Under `challenge`: whoever else finds this port stays outside.
#[test]
fn v4_v6_and_v4_mapped_members_share_a_room_and_a_host_its_cap() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return skip("members of all families: this host has no IPv6");
    }
    for io in BACKENDS {
        let bind = "[::]:0".parse().unwrap();
        let limits = Limits { lang: Lang::En, prefix_peers_max: 2, ..Limits::for_bind(bind) };
        let relay = Relay::start(&Config { io, ..Config::for_limits(bind, limits) });
        let families = families(io, relay.addr.port());
        let members = ["v4", "mapped", "v6"].into_iter().zip(families).map(|(name, family)| comes_in(family, name));
        let members: Vec<_> = members.collect();
        relay.holds(3);
        let refused = families[..2].iter().map(|family| comes_in(*family, "one too many")).collect::<Vec<_>>();
        relay.until("both refused", |report| report.counters.dropped(DropReason::PrefixFull) == 2);
        for member in &members {
            member.has_heard();
        }
        for (at, speaker) in members.iter().enumerate() {
            speaker.says(line("hello from", at));
            let hearers = members.iter().enumerate().filter(|(hearer, _)| *hearer != at);
            hearers.for_each(|(_, hearer)| hearer.hears(line("hello from", at)));
        }
        members[1].says("exit");
        relay.holds(2);
        refused[0].says("is there room now?");
        let told = String::from_utf8(refused[0].hears_something()).unwrap();
        refused[0].says(told.split(' ').nth(2).unwrap());
        relay.holds(3);
        assert_eq!(relay.end().counters.dropped(DropReason::PrefixFull), 2, "{io}");
    }
}

// ---- T29: nonsense ------------------------------------------------------------------

/// Random bytes from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> usize {
        usize::try_from(self.next() % end).unwrap()
    }

    fn bytes_below(&mut self, end: u64) -> Vec<u8> {
        (0..self.below(end)).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Datagrams that mean nothing, each salvo of one kind.
fn nonsense(random: &mut Random) -> [Vec<Vec<u8>>; 5] {
    let magic = (0..500).map(|_| [b"\xF7\x4F", &random.bytes_below(1400)[..]].concat()).collect();
    let noise = (0..2000).map(|_| random.bytes_below(1500)).collect();
    let murmur = (0..2000).map(|_| random.bytes_below(12)).collect();
    [vec![vec![b'x'; 65_507]; 20], vec![Vec::new(); 10_000], magic, noise, murmur]
}

#[test]
fn nonsense_costs_nobody_a_line() {
    for io in BACKENDS {
        let server = Server::bind(&on(io)).unwrap();
        if !server.warnings().is_empty() {
            return skip("nonsense in bulk: the kernel allows no receive buffer for it");
        }
        let relay = Relay::run(server);
        let [amy, bob, mallory] = ["amy", "bob", "mallory"].map(|name| Member::joins(relay.addr, name));
        relay.holds(3);
        let stranger = Member::at(host(0), relay.addr);
        let (mut random, mut said, mut sent) = (Random(29), 0, 3);
        for salvo in nonsense(&mut random) {
            for part in salvo.chunks(100) {
                part.iter().for_each(|datagram| stranger.says(datagram));
                part.iter().for_each(|datagram| mallory.says(datagram));
                amy.says(line("amy", said));
                bob.says(line("bob", said));
                (said, sent) = (said + 1, sent + 2 * part.len() as u64 + 2);
            }
            relay.until("all of it", |report| report.counters.datagrams_in == sent);
        }
        hears_all(&amy, "bob", said);
        hears_all(&bob, "amy", said);
        let report = relay.end();
        assert_eq!((report.counters.datagrams_in, report.kernel_drops), (sent, 0), "{io}");
        let dropped = [DropReason::Truncated, DropReason::Empty, DropReason::NativeVersion, DropReason::NativeSize];
        let [cut, empty, version, size] = dropped.map(|reason| report.counters.dropped(reason));
        assert!(cut == 40 && empty >= 10_000 && version + size >= 1000, "{io}: {cut} {empty} {version} {size}");
        assert!(report.counters.control >= 10_000, "a member's empty datagram is a keep-alive");
    }
}

/// All lines of `name` are heard, in order, whatever else is.
#[track_caller]
fn hears_all(member: &Member, name: &str, lines: usize) {
    let mut next = 0;
    while next < lines {
        let heard = member.hears_something();
        if heard.starts_with(format!("{name} : ").as_bytes()) {
            assert_eq!(heard, line(name, next).as_bytes());
            next += 1;
        }
    }
}

// ---- the portable backend as the oracle ---------------------------------------------

/// What eight people send, by who sends it. Nothing in it depends on time:
/// nobody is explained anything twice, nobody comes back with a line.
fn script() -> Vec<(usize, Vec<u8>)> {
    let mut random = Random(7);
    let mut script: Vec<_> = (0..8).map(|who| (who, format!("m{}", who / 2).into_bytes())).collect();
    for step in 0..4000 {
        let who = random.below(8);
        let said = match random.below(40) {
            0 => Vec::new(),
            1 => b"\xF7\x4Fnative".to_vec(),
            2 => b"[relay] me".to_vec(),
            3 => b"\x1b[2J".to_vec(),
            4 => b"m : exit".to_vec(),
            5..10 => format!("line {step} ").repeat(1 + random.below(60)).into_bytes(),
            _ => line(&format!("m{who}"), step).into_bytes(),
        };
        script.push((who, said));
        // Who has left comes back by name; who has not says a short line.
        script.push((who, format!("name {who}").into_bytes()));
    }
    script.extend((0..8).map(|who| (who, vec![b'x'; 1025 + who * 200])));
    script.extend((0..4).map(|who| (who, b"exit".to_vec())));
    script
}

/// What each of eight people heard, and the relay's books.
fn played(io: Io, script: &[(usize, Vec<u8>)]) -> (Vec<Vec<Vec<u8>>>, Counters, SendTally) {
    let mut config = on(io);
    config.limits.notices_per_s = 0;
    config.limits.notice_copies_per_s = 0;
    let mut server = Server::bind(&config).unwrap();
    let relay = server.local_addr();
    let people: Vec<_> = (0..8).map(|_| Member::at(host(0), relay)).collect();
    let (mut random, mut rest, mut heard) = (Random(11), script, vec![Vec::new(); 8]);
    while !rest.is_empty() {
        let (turns, later) = rest.split_at(rest.len().min(1 + random.below(100)));
        turns.iter().for_each(|(who, said)| people[*who].says(said));
        turn_until_idle(&mut server);
        people.iter().zip(&mut heard).for_each(|(person, heard)| heard.extend(person.has_heard()));
        rest = later;
    }
    let report = server.report();
    assert!(report.balances() && report.kernel_drops == 0, "{io}: {report:#}");
    (heard, report.counters, SendTally { trains_refused: 0, ..report.copies })
}

#[test]
fn both_backends_deliver_the_same() {
    let script = script();
    let (fast, portable) = (played(Io::Auto, &script), played(Io::Portable, &script));
    assert_eq!(fast.1.datagrams_in, script.len() as u64);
    assert!(fast.1.relayed > 4000 && fast.1.left(LeaveReason::Exit) > 50, "{:?}", fast.1);
    assert_eq!((&fast.1, &fast.2), (&portable.1, &portable.2));
    for (who, (fast, portable)) in fast.0.iter().zip(&portable.0).enumerate() {
        assert_eq!(fast, portable, "member {who}");
    }
}
