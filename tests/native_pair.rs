//! The client and the relay, both the real ones, in virtual time over a
//! network that delays and loses as the test says.

mod network;
mod support;

use network::{LATENCY, Network};
use outcry::client::{
    AccessKey, Code, DirectOutcome, DirectStatus, End, Event, Lost, Options, RoomId, RoomKey, RoomSpec, Seq,
};
use outcry::config;
use outcry::relay::{Command, Outcome, Target};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Two native members in the lobby.
fn two_in_the_lobby() -> (Network, [RoomId; 2]) {
    let mut network = Network::new(|_| {});
    let rooms = ["alice", "bob"].map(|name| {
        let at = network.add(Options::new(name));
        network.join(at, RoomSpec::lobby())
    });
    network.run(SECOND);
    network.forget();
    (network, rooms)
}

fn texts(network: &Network, at: usize) -> Vec<String> {
    network.said(at).into_iter().map(|(_, name, text)| format!("{name}: {text}")).collect()
}

#[test]
fn native_members_hear_each_other_and_themselves_in_one_order() {
    let (mut network, rooms) = two_in_the_lobby();
    for n in 0..20 {
        network.send(n % 2, rooms[n % 2], &format!("line {n}"));
        network.run(Duration::from_millis(7));
    }
    network.run(SECOND);
    assert_eq!(network.said(0).len(), 20);
    assert_eq!(network.said(0), network.said(1));
    let delivered = |at: usize| network.events(at, |event| matches!(event, Event::Delivered { seq: Some(_), .. }));
    assert_eq!((delivered(0), delivered(1)), (10, 10));
}

#[test]
fn plain_and_native_members_meet_in_the_lobby() {
    let (mut network, rooms) = two_in_the_lobby();
    let carol = network.add_plain("carol");
    network.plain_says(carol, "carol : hello all");
    network.send(0, rooms[0], "hello carol");
    network.run(SECOND);
    let mut heard = texts(&network, 1);
    heard.sort();
    assert_eq!(heard, ["alice: hello carol", "carol: hello all"]);
    assert!(network.plain_heard(carol).contains(&"alice : hello carol".to_owned()), "{:?}", network.plain_heard(carol));
    network.plain_says(carol, "exit");
    network.run(SECOND);
    assert_eq!(network.events(0, |event| matches!(event, Event::Presence(_))), 2, "carol came and went");
}

#[test]
fn a_late_joiner_gets_the_last_messages_and_then_what_is_said() {
    let (mut network, rooms) = two_in_the_lobby();
    for n in 1..=50 {
        network.send(0, rooms[0], &format!("{n}"));
        network.run(Duration::from_millis(20));
    }
    let late = network.add(Options::new("late"));
    network.join(late, RoomSpec::lobby().with_history(10));
    network.run(SECOND);
    network.send(1, rooms[1], "live");
    network.run(SECOND);
    let said = network.said(late);
    let expected: Vec<_> = (41..=50).map(|n| n.to_string()).chain(["live".to_owned()]).collect();
    let texts: Vec<_> = said.iter().map(|(_, _, text)| text.clone()).collect();
    // The last ten entries: its own joining may be one of them.
    assert!(texts.len() >= 10 && expected.ends_with(&texts), "{texts:?}");
    assert!(said.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn a_relay_that_starts_anew_gets_all_that_it_had_not_acknowledged() {
    let (mut network, rooms) = two_in_the_lobby();
    network.send(0, rooms[0], "before");
    network.run(SECOND);
    network.lose_state(9);
    network.send(0, rooms[0], "lost with the old one");
    network.send(1, rooms[1], "this too");
    network.run(10 * SECOND);
    for at in [0, 1] {
        let again = |event: &Event<'_>| matches!(event, Event::Connected { resumed: false, .. });
        let unknown = |event: &Event<'_>| matches!(event, Event::Reconnecting { why: Lost::Unknown });
        assert_eq!((network.events(at, again), network.events(at, unknown)), (1, 1));
        let mut heard = texts(&network, at);
        heard.sort();
        assert_eq!(heard, ["alice: before", "alice: lost with the old one", "bob: this too"], "{at}");
    }
}

#[test]
fn an_interruption_costs_no_message() {
    let (mut network, rooms) = two_in_the_lobby();
    network.cut(0, true);
    for n in 0..30 {
        network.send(1, rooms[1], &format!("{n}"));
        network.run(Duration::from_millis(100));
    }
    network.send(0, rooms[0], "from the dark");
    network.run(5 * SECOND);
    network.cut(0, false);
    network.run(10 * SECOND);
    assert_eq!((network.said(0).len(), network.said(0)), (31, network.said(1)));
}

#[test]
fn a_new_address_costs_no_message() {
    let (mut network, rooms) = two_in_the_lobby();
    for n in 0..30 {
        network.send(n % 2, rooms[n % 2], &format!("{n}"));
        if n == 10 {
            network.move_to_another_address(0);
        }
        network.run(Duration::from_millis(30));
    }
    network.run(3 * SECOND);
    assert_eq!((network.said(0).len(), network.said(0)), (30, network.said(1)));
    assert_eq!(network.events(0, |event| matches!(event, Event::Reconnecting { .. })), 0);
}

#[test]
fn with_loss_everything_arrives_once_and_in_order() {
    for (seed, percent) in [(1, 5), (2, 20), (3, 30), (4, 30)] {
        let mut network = Network::new(|_| {});
        let rooms: Vec<_> = (0..4)
            .map(|n| {
                let at = network.add(Options::new(format!("m{n}")));
                network.join(at, RoomSpec::open("den"))
            })
            .collect();
        network.run(2 * SECOND);
        network.forget();
        network.lose(percent, seed);
        for n in 0..400 {
            network.send(n % 4, rooms[n % 4], &format!("{n}"));
            network.run(Duration::from_millis(10));
        }
        network.lose(0, 0);
        network.run(6 * SECOND);
        let said = network.said(0);
        assert_eq!(said.len(), 400, "{percent} % lost");
        for at in 0..4 {
            assert_eq!(network.said(at), said, "{percent} % lost, member {at}");
            assert_eq!(network.events(at, |event| matches!(event, Event::Delivered { .. })), 100);
            assert_eq!(network.events(at, |event| matches!(event, Event::Gap { .. } | Event::NotSent { .. })), 0);
        }
        for sender in 0..4 {
            let own = said.iter().filter_map(|(_, _, text)| text.parse::<usize>().ok()).filter(|n| n % 4 == sender);
            assert!(own.is_sorted(), "first in, first out");
        }
    }
}

#[test]
fn sealed_rooms_are_closed_to_other_keys() {
    let mut network = Network::new(|_| {});
    let rooms = [1, 1, 2].map(|secret| {
        let at = network.add(Options::new(format!("m{secret}")));
        network.join(at, RoomSpec::sealed("den", RoomKey::from_secret("den", &[secret; 32])))
    });
    network.run(SECOND);
    network.forget();
    network.send(0, rooms[0], "a secret");
    network.send(2, rooms[2], "another one");
    network.run(SECOND);
    assert_eq!(texts(&network, 0), ["m1: a secret"]);
    assert_eq!(texts(&network, 1), ["m1: a secret"]);
    assert_eq!(texts(&network, 2), ["m2: another one"]);
    assert!(!network.was_seen(b"a secret"), "the relay sees ciphertext only");
}

#[test]
fn private_messages_reach_one_member_and_are_confirmed() {
    let (mut network, _) = two_in_the_lobby();
    let third = network.add(Options::new("carl"));
    network.join(third, RoomSpec::lobby());
    let plain = network.add_plain("carol");
    network.run(SECOND);
    let bob = network.client(1).member().expect("a session");
    network.lose(30, 7);
    network.direct(0, bob, "psst");
    network.run(10 * SECOND);
    network.lose(0, 0);
    let is_direct = |event: &Event<'_>| matches!(event, Event::Direct(direct) if direct.name == "alice");
    assert_eq!([0, 1, 2].map(|at| network.events(at, is_direct)), [0, 1, 0]);
    let done = |status| move |event: &Event<'_>| matches!(event, Event::DirectDone { outcome: DirectOutcome::Answered(answer), .. } if *answer == status);
    assert_eq!(network.events(0, done(DirectStatus::Delivered)), 1);
    let carol = network.presence_of(0, "carol").expect("she came");
    network.direct(0, carol, "psst");
    network.direct(0, outcry::client::MemberId(1), "psst");
    network.run(SECOND);
    assert_eq!(network.events(0, done(DirectStatus::Plain)), 1, "{plain}");
    assert_eq!(network.events(0, done(DirectStatus::NoSuch)), 1);
}

#[test]
fn names_rooms_and_members_are_told() {
    let (mut network, rooms) = two_in_the_lobby();
    let double = network.add(Options::new("alice"));
    let lobby = network.join(double, RoomSpec::lobby());
    network.run(SECOND);
    let as_second = |event: &Event<'_>| matches!(event, Event::Joined { name, .. } if name == "alice#2");
    assert_eq!(network.events(double, as_second), 1);
    let (now, client) = network.at(double);
    client.nick(now, "carl").expect("a name");
    client.who(now, lobby).expect("a room");
    client.list(now).expect("a session");
    client.join(now, RoomSpec::open("den")).expect("a room");
    network.run(SECOND);
    let (now, client) = network.at(double);
    client.list(now).expect("a session");
    network.run(SECOND);
    let is_ok = |event: &Event<'_>| matches!(event, Event::Nick { code: Some(Code::Ok), .. });
    let is_member = |event: &Event<'_>| matches!(event, Event::Member { .. });
    assert_eq!((network.events(double, is_ok), network.events(double, is_member)), (1, 3));
    let is_den = |event: &Event<'_>| matches!(event, Event::Room { name, .. } if name == "den");
    assert!(network.events(double, is_den) >= 1);
    let carl = network.client(double).member().expect("a session");
    assert_eq!(network.client(0).name_of(rooms[0], carl), Some("carl"));
    network.leave(double, lobby);
    network.run(SECOND);
    assert_eq!(network.events(double, |event| matches!(event, Event::Left { .. })), 1);
}

#[test]
fn over_its_rate_a_client_is_slowed_and_loses_nothing() {
    let mut network = Network::new(|limits| limits.msgs_per_s = 20);
    let rooms = ["alice", "bob"].map(|name| {
        let at = network.add(Options::new(name));
        network.join(at, RoomSpec::open("den"))
    });
    network.run(SECOND);
    network.forget();
    for n in 0..100 {
        network.send(0, rooms[0], &format!("{n}"));
    }
    network.run(10 * SECOND);
    assert_eq!((network.said(1).len(), network.said(0)), (100, network.said(1)));
    assert!(network.events(0, |event| matches!(event, Event::Slow { .. })) > 0);
    let sent = network.client(0).counts().datagrams_out;
    assert!(sent < 400, "a slowed client does not flood: {sent} datagrams");
}

#[test]
fn the_access_key_opens_the_relay() {
    let key = b"0123456789abcdef\n";
    let mut network = Network::new(|limits| limits.access_key = config::AccessKey::from_file(key));
    let with = |name: &str, key: &[u8]| Options { access_key: Some(AccessKey::from_file(key)), ..Options::new(name) };
    let [right, wrong, none] =
        [with("a", key), with("b", b"another key 4567"), Options::new("c")].map(|options| network.add(options));
    network.run(SECOND);
    let connected = |event: &Event<'_>| matches!(event, Event::Connected { .. });
    let refused = |event: &Event<'_>| matches!(event, Event::Closed { why: End::Code(Code::Access), .. });
    assert_eq!([right, wrong, none].map(|at| network.events(at, connected)), [1, 0, 0]);
    assert_eq!([right, wrong, none].map(|at| network.events(at, refused)), [0, 1, 1]);
}

#[test]
fn a_kick_ends_it_and_a_goodbye_is_told() {
    let (mut network, _) = two_in_the_lobby();
    let (outcome, _) = network.command(Command::Kick(Target::Name("alice".to_owned())));
    assert!(matches!(outcome, Outcome::Kicked(_)), "{outcome:?}");
    network.run(SECOND);
    assert_eq!(network.events(0, |event| matches!(event, Event::Closed { why: End::Code(Code::Kicked), .. })), 1);
    let (now, client) = network.at(1);
    client.close(now);
    network.run(SECOND);
    assert_eq!(network.relay_sessions(), 0);
}

#[test]
fn a_quiet_room_is_quiet() {
    let (mut network, rooms) = two_in_the_lobby();
    network.send(0, rooms[0], "x");
    network.run(5 * SECOND);
    let before = network.client(1).counts().datagrams_out;
    network.run(60 * SECOND);
    let sent = network.client(1).counts().datagrams_out - before;
    assert!((2..=4).contains(&sent), "a sign of life every 20 s: {sent}");
    assert!(network.client(1).round_trip() >= 2 * LATENCY);
    assert!(network.said(0).iter().all(|(seq, ..)| *seq > Seq(0)));
}

/// Loss, duplicates, reordering, interruptions, new addresses, and a relay that
/// dies, all from one seed; then peace. Who is in the same epoch has heard the
/// same, and what was called delivered in it is among that.
fn chaos(seed: u64) {
    let mut network = Network::new(|_| {});
    let rooms: Vec<_> = (0..4)
        .map(|n| {
            let at = network.add(Options::new(format!("m{n}")));
            network.join(at, RoomSpec::open("den"))
        })
        .collect();
    network.run(2 * SECOND);
    network.lose(0, seed);
    let (loss, duplicates, jitter) = (network.draw(31), network.draw(5), Duration::from_millis(network.draw(60)));
    network.lose(loss, seed);
    network.disturb(duplicates, jitter);
    let restarts = network.draw(3) == 0;
    for n in 0..600 {
        let at = network.draw(4) as usize;
        match network.draw(60) {
            0 => network.cut(at, true),
            1 => network.move_to_another_address(at),
            2 if restarts && n % 7 == 0 => network.lose_state(n),
            3..6 => (0..4).for_each(|at| network.cut(at, false)),
            _ => {}
        }
        network.send(at, rooms[at], &format!("{n}"));
        let pause = network.draw(40);
        network.run(Duration::from_millis(pause));
    }
    network.lose(0, seed);
    network.disturb(0, Duration::ZERO);
    (0..4).for_each(|at| network.cut(at, false));
    network.run(60 * SECOND);
    let said = network.said_in_last_epoch(0);
    for (at, room) in rooms.into_iter().enumerate() {
        let context = format!("seed {seed}, member {at}, {loss} % lost, restarts: {restarts}");
        assert_eq!(network.client(at).unacknowledged(room), 0, "{context}");
        assert_eq!(network.said_in_last_epoch(at), said, "{context}");
        assert!(said.windows(2).all(|pair| pair[0].0 < pair[1].0), "{context}");
        let outcomes = |event: &Event<'_>| matches!(event, Event::Delivered { .. } | Event::NotSent { .. });
        let sent = network.sent(at);
        assert_eq!(network.events(at, outcomes), sent, "{context}");
        if !restarts {
            let delivered = network.events(at, |event| matches!(event, Event::Delivered { .. }));
            let name = format!("m{at}");
            let entered = said.iter().filter(|(_, author, _)| *author == name).count();
            assert_eq!(delivered, entered, "{context}");
            assert_eq!(network.events(at, |event| matches!(event, Event::Gap { .. })), 0, "{context}");
        }
    }
    for sender in 0..4 {
        let name = format!("m{sender}");
        let own = said.iter().filter(|(_, author, _)| *author == name);
        let numbers: Vec<u32> = own.map(|(_, _, text)| text.parse().expect("a number")).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: each once, in order: {numbers:?}");
    }
}

#[test]
fn after_any_trouble_all_have_heard_the_same() {
    (1..=12).for_each(chaos);
}
