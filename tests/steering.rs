//! What the operator steers while the relay runs, in the pure core: mute, ban,
//! lockdown, drain, new limits, and members of before; plain and native.

mod support;

use outcry::config::{self, AccessKey, Lang, Limits};
use outcry::metrics::{DropReason, LeaveReason};
use outcry::relay::{Ban, BanTarget, Command, Event, Outcome, Target};
use outcry::wire::downlink::Frame;
use outcry::wire::header::{Code, RefusedCause};
use outcry::wire::id::RoomHandle;
use std::time::Duration;
use support::native::{Native, closes_to, elsewhere, frames_to};
use support::{Bench, Sent, addr, peer};

const SECOND: Duration = Duration::from_secs(1);
const LOBBY: RoomHandle = RoomHandle(0);

fn english() -> Bench {
    Bench::with(|limits| limits.lang = Lang::En)
}

fn room(names: &[&str]) -> Bench {
    let mut bench = english();
    for (number, name) in (1..).zip(names) {
        bench.hear(peer(number), name.as_bytes());
    }
    bench.run(10 * SECOND);
    bench
}

fn to(number: u16, text: &str) -> Sent {
    Sent { to: peer(number), bytes: text.as_bytes().to_vec() }
}

fn named(name: &str) -> Target {
    Target::Name(name.to_owned())
}

fn target(text: &str) -> BanTarget {
    text.parse().expect("an address, a network or a name")
}

fn ban(bench: &mut Bench, text: &str) -> Vec<Sent> {
    let (outcome, mut sent) = bench.command(Command::Ban(Ban { target: target(text), until_unix_s: None }));
    assert_eq!(outcome, Outcome::Banned);
    sent.extend(bench.run(SECOND));
    sent
}

#[track_caller]
fn dropped(bench: &mut Bench, from: std::net::SocketAddr, text: &str, reason: DropReason) -> Vec<Sent> {
    let before = bench.relay.counters().dropped(reason);
    let sent = bench.hear(from, text.as_bytes());
    assert_eq!(bench.relay.counters().dropped(reason), before + 1, "{text}");
    sent
}

// ---- mute -----------------------------------------------------------------------------

#[test]
fn a_muted_members_lines_are_dropped_and_explained_once_a_second() {
    let mut bench = room(&["alice", "bob"]);
    assert_eq!(bench.command(Command::Mute(named("bob"))).0, Outcome::Muted(peer(2)));
    let why = to(2, "[relay] not sent: you are muted");
    assert_eq!(dropped(&mut bench, peer(2), "bob : hi", DropReason::Muted), std::slice::from_ref(&why));
    assert_eq!(dropped(&mut bench, peer(2), "bob : hi", DropReason::Muted), []);
    bench.wait(SECOND);
    assert_eq!(dropped(&mut bench, peer(2), "bob : hi", DropReason::Muted), [why]);
    assert_eq!(bench.hear(peer(1), b"alice : hi"), [to(2, "alice : hi")], "it still hears");
    assert_eq!(bench.command(Command::Unmute(Target::Address(peer(2)))).0, Outcome::Unmuted(peer(2)));
    assert_eq!(bench.hear(peer(2), b"bob : hi"), [to(1, "bob : hi")]);
    assert_eq!(bench.command(Command::Mute(named("nobody"))).0, Outcome::NoSuch);
}

#[test]
fn to_leave_and_come_again_ends_no_mute() {
    let mut bench = room(&["alice", "bob"]);
    bench.command(Command::Mute(named("bob")));
    bench.hear(peer(2), b"EXIT");
    bench.hear(peer(2), b"robert");
    dropped(&mut bench, peer(2), "robert : hi", DropReason::Muted);
    bench.command(Command::Unmute(named("robert")));
    bench.hear(peer(2), b"EXIT");
    bench.hear(peer(2), b"bob");
    assert_eq!(bench.hear(peer(2), b"bob : hi"), [to(1, "bob : hi")]);
}

#[test]
fn a_mute_is_remembered_for_an_hour_from_leaving_on() {
    let mut bench = room(&["alice", "bob"]);
    bench.command(Command::Mute(named("bob")));
    let says = |bench: &mut Bench, text: &str| bench.hear(peer(2), text.as_bytes());
    // Long after the mute, and then nearly an hour after the exit.
    for _ in 0..4 {
        bench.wait(1000 * SECOND);
        says(&mut bench, "");
    }
    says(&mut bench, "EXIT");
    bench.wait(3590 * SECOND);
    says(&mut bench, "bob");
    dropped(&mut bench, peer(2), "bob : hi", DropReason::Muted);
    says(&mut bench, "EXIT");
    bench.wait(3610 * SECOND);
    says(&mut bench, "bob");
    assert_eq!(bench.hear(peer(2), b"bob : hi"), [to(1, "bob : hi")]);
}

#[test]
fn a_muted_sessions_messages_are_refused_in_its_next_session_too() {
    let mut bench = english();
    let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    assert_eq!(bench.command(Command::Mute(named("alice"))).0, Outcome::Muted(alice.at));
    let is_refused = |sent: &[Sent], alice: &Native| {
        let muted = |frame: &Frame<'_>| matches!(frame, Frame::Refused { cause: RefusedCause::Muted, .. });
        frames_to(sent, alice.at).iter().any(muted)
    };
    let sent = alice.say(&mut bench, LOBBY, 1, "hi");
    assert!(is_refused(&sent, &alice));
    alice.again();
    alice.connect(&mut bench);
    alice.join(&mut bench, "lobby");
    let sent = alice.say(&mut bench, LOBBY, 1, "hi");
    assert!(is_refused(&sent, &alice));
    bench.command(Command::Unmute(Target::Address(alice.at)));
    alice.say(&mut bench, LOBBY, 1, "hi");
    assert_eq!(bench.relay.counters().native.messages_accepted, 1);
}

/// A run of a client at a port of one host, in the lobby.
fn run_of(bench: &mut Bench, number: u16, name: &str) -> Native {
    let mut native = Native::new(number, name);
    native.at = elsewhere(number);
    native.connect(bench);
    native.join(bench, "lobby");
    native
}

fn is_heard(bench: &mut Bench, native: &mut Native) -> bool {
    let before = bench.relay.counters().native.messages_accepted;
    native.say(bench, LOBBY, 1, "hi");
    bench.relay.counters().native.messages_accepted > before
}

#[test]
fn a_muted_client_is_mute_in_its_next_run_until_an_hour_after_it_has_left() {
    let mut bench = english();
    let mut first = run_of(&mut bench, 1, "alice");
    assert_eq!(bench.command(Command::Mute(named("alice"))).0, Outcome::Muted(first.at));
    for _ in 0..100 {
        bench.run(50 * SECOND);
        first.ping(&mut bench);
    }
    first.close(&mut bench);
    bench.run(3_500 * SECOND);
    let mut second = run_of(&mut bench, 2, "alicia");
    assert!(!is_heard(&mut bench, &mut second));
    bench.hear(elsewhere(3), b"carol");
    dropped(&mut bench, elsewhere(3), "carol : hi", DropReason::Muted);
    second.close(&mut bench);
    bench.run(3_601 * SECOND);
    let mut third = run_of(&mut bench, 4, "alice");
    assert!(is_heard(&mut bench, &mut third));
}

#[test]
fn an_unmute_reaches_who_comes_again_and_who_has_left() {
    let mut bench = english();
    let mut first = run_of(&mut bench, 1, "alice");
    bench.command(Command::Mute(named("alice")));
    first.close(&mut bench);
    let mut second = run_of(&mut bench, 2, "alice");
    assert!(!is_heard(&mut bench, &mut second));
    assert_eq!(bench.command(Command::Unmute(named("alice"))).0, Outcome::Unmuted(second.at));
    assert!(is_heard(&mut bench, &mut second));
    let mut third = run_of(&mut bench, 3, "bob");
    assert!(is_heard(&mut bench, &mut third));
    bench.command(Command::Mute(named("bob")));
    third.close(&mut bench);
    assert_eq!(bench.command(Command::Unmute(Target::Address(third.at))).0, Outcome::Unmuted(third.at));
    let mut fourth = run_of(&mut bench, 4, "bob");
    assert!(is_heard(&mut bench, &mut fourth));
}

#[test]
fn on_loopback_a_mute_is_of_one_port() {
    let mut bench = english();
    Native::in_room(&mut bench, 1, "alice", "lobby");
    bench.command(Command::Mute(named("alice")));
    let (mut bob, _) = Native::in_room(&mut bench, 2, "bob", "lobby");
    assert!(is_heard(&mut bench, &mut bob));
}

#[test]
fn a_kick_is_of_an_address_and_of_a_run() {
    let mut bench = english();
    let mut alice = run_of(&mut bench, 1, "alice");
    bench.command(Command::Kick(named("alice")));
    alice.again();
    for at in [elsewhere(1), elsewhere(2)] {
        alice.at = at;
        assert_eq!(alice.refused(&mut bench).code, Code::Kicked);
    }
    run_of(&mut bench, 3, "bob");
    bench.run(60 * SECOND);
    alice.connect(&mut bench);
}

// ---- bans -----------------------------------------------------------------------------

#[test]
fn plain_joins_of_the_banned_are_dropped_before_anything_is_kept() {
    let mut bench = Bench::with(|limits| {
        limits.console = true;
        limits.joins_per_s_total = 1;
    });
    ban(&mut bench, "127.0.0.0/8");
    bench.events.clear();
    for text in ["mallory", "mallory : hi"] {
        assert_eq!(dropped(&mut bench, peer(1), text, DropReason::Banned), []);
    }
    assert!(bench.events.is_empty(), "not even the console hears: {:?}", bench.events);
    bench.hear(addr("[2001:db8::1]:7"), b"alice");
    assert_eq!(bench.relay.members(), 1, "they took no place of those that may join in this second");
    bench.command(Command::Unban(target("127.0.0.0/8")));
    bench.wait(SECOND);
    bench.hear(peer(1), b"mallory");
    assert_eq!(bench.relay.members(), 2);
    assert_eq!(bench.command(Command::Unban(target("127.0.0.0/8"))).0, Outcome::NoSuch);
}

#[test]
fn a_name_is_banned_at_joining_and_at_renaming() {
    let mut bench = room(&["alice"]);
    ban(&mut bench, "Mallory");
    dropped(&mut bench, peer(2), "mallory", DropReason::Banned);
    dropped(&mut bench, peer(2), "MALLORY : hi", DropReason::Banned);
    let mut bob = Native::connected(&mut bench, 1, "bob");
    let nick = outcry::wire::uplink::Frame::Nick { req: bob.next_req(), name: "mallory" };
    let sent = bob.send(&mut bench, &[nick]);
    let answer = |frame: &Frame<'_>| matches!(frame, Frame::Result { code: Code::Banned, .. });
    assert!(frames_to(&sent, bob.at).iter().any(answer), "{sent:?}");
}

#[test]
fn members_that_a_new_ban_covers_go() {
    let mut bench = room(&["alice", "bob", "carol"]);
    let (alice2, _) = Native::in_room(&mut bench, 1, "bob2", "lobby");
    let told = ban(&mut bench, "bob");
    assert!(told.contains(&to(2, "[relay] you were banned by the operator")), "{told:?}");
    assert!(told.contains(&to(1, "bob left")), "{told:?}");
    let counters = bench.relay.counters();
    assert_eq!((counters.left(LeaveReason::Banned), bench.relay.members()), (1, 3));
    let told = ban(&mut bench, "127.0.0.1");
    assert_eq!((bench.relay.members(), bench.relay.counters().left(LeaveReason::Banned)), (0, 4));
    assert!(closes_to(&told, alice2.at).contains(&Code::Banned), "{told:?}");
}

#[test]
fn a_ban_of_many_goes_in_steps_and_misses_nobody() {
    let mut bench = english();
    let natives: Vec<_> = (0..300).map(|number| Native::in_room(&mut bench, number, "n", "lobby").0).collect();
    for number in 0..1000 {
        let name = if number % 3 == 0 { "guest".to_owned() } else { format!("m{number}") };
        bench.hear(addr(&format!("192.0.2.{}:{}", number % 250 + 1, 10_000 + number)), name.as_bytes());
    }
    bench.run(10 * SECOND);
    let before = bench.relay.members();
    bench.command(Command::Ban(Ban { target: target("192.0.2.0/25"), until_unix_s: None }));
    let (mut members, mut left_at_once) = (bench.relay.members(), 0);
    while bench.relay.next_deadline().is_some_and(|due| due <= bench.now) {
        bench.relay.handle_deadline(bench.now, &mut bench.out);
        bench.flush();
        left_at_once = left_at_once.max(members - bench.relay.members());
        members = bench.relay.members();
        // Others come and go meanwhile.
        bench.hear(natives[0].at, b"");
        bench.hear(addr("198.51.100.1:7"), b"someone");
        bench.hear(addr("198.51.100.1:7"), b"EXIT");
    }
    let banned = (0..1000).filter(|number| number % 250 + 1 < 128).count();
    assert!(left_at_once <= 64, "{left_at_once} in one step");
    assert_eq!(
        (before - bench.relay.members(), bench.relay.counters().left(LeaveReason::Banned)),
        (banned, banned as u64)
    );
}

#[test]
fn a_banned_client_is_told_so_after_its_cookie_and_not_before() {
    let mut bench = english();
    ban(&mut bench, "127.0.0.1");
    let alice = Native::new(1, "alice");
    assert_eq!(alice.refused(&mut bench).code, Code::Banned);
    let counters = bench.relay.counters();
    assert_eq!((counters.dropped(DropReason::Banned), counters.dropped(DropReason::HelloUnproven)), (1, 1));
}

#[test]
fn a_client_comes_under_another_name_when_its_old_one_is_banned() {
    let mut bench = english();
    let mut alice = Native::connected(&mut bench, 1, "mallory");
    ban(&mut bench, "mallory");
    assert_eq!(bench.relay.sessions(), 0);
    alice.again();
    assert_eq!(alice.refused(&mut bench).code, Code::Banned);
    alice.again();
    alice.name = "alice".into();
    alice.connect(&mut bench);
    bench.flush();
    let last = bench.events.iter().rev().find_map(|event| match event {
        Event::Joined { name, .. } => Some(name.to_string()),
        _ => None,
    });
    assert_eq!(last.as_deref(), Some("alice"), "not under the one that the relay remembers");
}

#[test]
fn a_session_that_moves_to_a_banned_address_ends() {
    let mut bench = english();
    let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    bench.command(Command::Ban(Ban { target: target("192.0.2.0/24"), until_unix_s: None }));
    bench.run(SECOND);
    let from = addr("192.0.2.7:999");
    alice.at = from;
    let sent = alice.ping(&mut bench);
    let token = frames_to(&sent, from).into_iter().find_map(|frame| match frame {
        Frame::PathChallenge { token } => Some(token),
        _ => None,
    });
    let answer = outcry::wire::uplink::Frame::PathResponse { token: token.expect("it is challenged") };
    alice.send(&mut bench, &[answer]);
    assert_eq!((bench.relay.sessions(), bench.relay.counters().left(LeaveReason::Banned)), (0, 1));
}

#[test]
fn a_ban_ends_by_itself() {
    let mut bench = english();
    let until_unix_s = Some(bench.now.unix_s() + 5);
    bench.command(Command::Ban(Ban { target: target("127.0.0.1"), until_unix_s }));
    dropped(&mut bench, peer(1), "alice", DropReason::Banned);
    bench.now = outcry::Time::new(bench.now.nanos(), bench.now.unix_s() + 5);
    bench.hear(peer(1), b"alice");
    assert_eq!(bench.relay.members(), 1);
}

// ---- lockdown ---------------------------------------------------------------------------

#[test]
fn a_lockdown_lets_nobody_new_in_and_members_stay() {
    let mut bench = room(&["alice", "bob"]);
    let mut carol = Native::connected(&mut bench, 1, "carol");
    assert_eq!(bench.command(Command::Lockdown(true)).0, Outcome::LockedDown(true));
    assert_eq!(dropped(&mut bench, peer(3), "mallory", DropReason::Lockdown), []);
    assert_eq!(dropped(&mut bench, peer(3), "mallory : hi", DropReason::Lockdown), []);
    let refuse = Native::new(2, "mallory").refused(&mut bench);
    assert_eq!((refuse.code, refuse.retry_ms), (Code::Full, config::LOCKDOWN_RETRY_MS));
    assert_eq!(bench.hear(peer(1), b"alice : hi"), [to(2, "alice : hi")]);
    carol.again();
    carol.connect(&mut bench);
    assert_eq!(bench.relay.members(), 3, "a member whose address has changed is nobody new");
    assert_eq!(bench.command(Command::Lockdown(false)).0, Outcome::LockedDown(false));
    bench.hear(peer(3), b"dave");
    assert_eq!(bench.relay.members(), 4);
}

// ---- drain ------------------------------------------------------------------------------

#[test]
fn a_drain_sends_native_members_away_and_tells_plain_ones_where() {
    let mut bench = room(&["alice"]);
    let natives: Vec<_> = (0..200).map(|number| Native::in_room(&mut bench, number, "n", "lobby").0).collect();
    let (outcome, mut sent) = bench.command(Command::Drain(Some("192.0.2.7:9999".into())));
    assert_eq!(outcome, Outcome::Draining);
    sent.extend(bench.run(SECOND));
    assert!(sent.contains(&to(1, "[relay] shutting down soon, go to 192.0.2.7:9999")));
    for native in &natives {
        let moved = |frame: &Frame<'_>| matches!(frame, Frame::Close { code: Code::Moved, reason: "192.0.2.7:9999" });
        assert_eq!(frames_to(&sent, native.at).iter().filter(|frame| moved(frame)).count(), 3, "{:?}", native.at);
    }
    assert_eq!((bench.relay.members(), bench.relay.counters().left(LeaveReason::Moved)), (1, 200));
    dropped(&mut bench, peer(2), "bob", DropReason::Draining);
    let refuse = Native::new(300, "bob").refused(&mut bench);
    assert_eq!((refuse.code, refuse.retry_ms), (Code::Full, config::DRAINING_RETRY_MS));
    assert_eq!(bench.command(Command::Lockdown(false)).0, Outcome::LockedDown(true), "it does not open again");
}

#[test]
fn a_drain_without_another_relay_leaves_its_members_in() {
    let mut bench = room(&["alice"]);
    let (carol, _) = Native::in_room(&mut bench, 1, "carol", "lobby");
    let (_, sent) = bench.command(Command::Drain(None));
    assert!(sent.contains(&to(1, "[relay] shutting down soon")));
    assert!(!frames_to(&sent, carol.at).is_empty(), "native members read it in the lobby");
    bench.run(SECOND);
    assert_eq!(bench.relay.members(), 2);
}

// ---- new limits ---------------------------------------------------------------------------

fn reconfigure(bench: &mut Bench, change: impl FnOnce(&mut Limits)) {
    let mut limits = Limits::for_bind(addr(support::OWN));
    limits.lang = Lang::En;
    change(&mut limits);
    assert_eq!(bench.command(Command::Reconfigure(Box::new(limits))).0, Outcome::Reconfigured);
}

#[test]
fn new_limits_hold_at_once() {
    let mut bench = room(&["alice", "bob"]);
    reconfigure(&mut bench, |limits| limits.msgs_per_s = 1);
    bench.hear(peer(1), b"alice : hi");
    dropped(&mut bench, peer(1), "alice : hi", DropReason::MessageRate);
    reconfigure(&mut bench, |limits| limits.lang = Lang::Zh);
    assert_eq!(bench.hear(peer(2), b"EXIT"), [to(1, "bob 离开了聊天室...")]);
    reconfigure(&mut bench, |limits| limits.idle_ms = 1_000);
    bench.run(2 * SECOND);
    assert_eq!(bench.relay.members(), 0);
    let key = AccessKey::from_file(b"0123456789abcdef");
    reconfigure(&mut bench, |limits| limits.access_key = key);
    assert_eq!(Native::new(1, "carol").refused(&mut bench).code, Code::Access);
    reconfigure(&mut bench, |limits| limits.plain = config::PlainPolicy::Off);
    dropped(&mut bench, peer(3), "dave", DropReason::PlainOff);
}

#[test]
fn what_tables_were_taken_for_does_not_change() {
    let limits = Limits::for_bind(addr(support::OWN));
    let wanted = Limits { peers_max: 7, prefix_peers_max: 5, prefix_rooms_max: 3, ..limits.clone() };
    let changed = limits.changed_to(&wanted);
    assert_eq!((changed.peers_max, changed.prefix_peers_max, changed.prefix_rooms_max), (limits.peers_max, 0, 3));
    let counted = Limits { prefix_peers_max: 64, ..limits };
    assert_eq!(counted.changed_to(&wanted).prefix_peers_max, 5, "what is counted can have another limit");
}

// ---- members of before ----------------------------------------------------------------------

#[test]
fn a_member_of_before_is_here_without_a_word() {
    let mut bench = room(&["alice"]);
    assert!(bench.relay.restore(bench.now, peer(2), "bob") && bench.relay.restore(bench.now, peer(3), "alice"));
    assert_eq!(bench.flush(), []);
    let restored = bench.events.iter().filter(|event| matches!(event, Event::Restored { .. })).count();
    assert_eq!((bench.relay.members(), restored), (3, 2));
    let mut heard = bench.hear(peer(2), b"bob : hi");
    heard.sort_by_key(|sent| sent.to);
    assert_eq!(heard, [to(1, "bob : hi"), to(3, "bob : hi")]);
    assert_eq!(bench.hear(peer(3), b"EXIT").first().map(Sent::text), Some("alice#2 left"));
    ban(&mut bench, "192.0.2.0/24");
    for (remote, name) in [(peer(2), "bob"), (addr("192.0.2.1:5"), "x"), (addr("0.0.0.0:5"), "x"), (elsewhere(5), "")] {
        assert!(!bench.relay.restore(bench.now, remote, name), "{remote} {name}");
    }
}

#[test]
fn a_member_of_before_does_not_come_back_to_a_sessions_address() {
    let mut bench = english();
    let alice = Native::connected(&mut bench, 1, "alice");
    assert!(!bench.relay.restore(bench.now, alice.at, "bob"));
    bench.flush();
    assert_eq!((bench.relay.members(), bench.relay.sessions()), (1, 1));
}
