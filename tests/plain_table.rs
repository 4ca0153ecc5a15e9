//! T29 and more: the table of the plain protocol, row by row, each row by the
//! datagrams that leave and by the counter that moves.

mod support;

use outcry::batch::Path;
use outcry::config::{Lang, Limits, PlainPolicy};
use outcry::metrics::{DropReason, LeaveReason};
use outcry::relay::{Ban, Command, Event, Outcome, Target};
use std::time::Duration;
use support::{Bench, OWN, Sent, addr, peer};

const SECOND: Duration = Duration::from_secs(1);

/// A bench with members 1.. of these names; their notices are spent.
fn room(names: &[&str]) -> Bench {
    room_with(names, |_| {})
}

fn room_with(names: &[&str], change: impl FnOnce(&mut Limits)) -> Bench {
    let mut bench = Bench::with(change);
    for (number, name) in (1..).zip(names) {
        bench.hear(peer(number), name.as_bytes());
    }
    bench.run(10 * SECOND);
    bench
}

fn to(number: u16, text: &str) -> Sent {
    Sent { to: peer(number), bytes: text.as_bytes().to_vec() }
}

#[track_caller]
fn dropped(bench: &mut Bench, from: u16, bytes: &[u8], reason: DropReason) -> Vec<Sent> {
    let before = bench.relay.counters().clone();
    let sent = bench.hear(peer(from), bytes);
    let mut after = before;
    after.datagrams_in += 1;
    after.drop(reason);
    after.answers = bench.relay.counters().answers;
    assert_eq!(*bench.relay.counters(), after, "{}", String::from_utf8_lossy(bytes));
    sent
}

#[test]
fn a_name_joins_and_the_others_are_told() {
    let mut bench = room(&["alice", "bob"]);
    let told = bench.hear(peer(3), "小明\n".as_bytes());
    assert_eq!(told, [to(1, "小明 进入聊天室..."), to(2, "小明 进入聊天室...")]);
    let mut english = room_with(&["alice"], |limits| limits.lang = Lang::En);
    assert_eq!(english.hear(peer(2), b"bob"), [to(1, "bob joined")]);
    assert_eq!(english.hear(peer(2), b"EXIT"), [to(1, "bob left")]);
}

#[test]
fn a_line_goes_unchanged_to_all_but_its_sender() {
    let mut bench = room(&["alice", "bob", "carol"]);
    for line in ["bob : 你好 \t!\r\n", "no separator", "bob : the exit is over there", " "] {
        let mut sent = bench.hear(peer(2), line.as_bytes());
        sent.sort_by_key(|sent| sent.to);
        assert_eq!(sent, [to(1, line), to(3, line)]);
    }
    assert_eq!(bench.relay.counters().relayed, 4);
    assert!(bench.hear(peer(2), &[b'x'; 1024]).len() == 2, "1024 bytes are still a line");
}

#[test]
fn exit_leaves_in_any_case_with_or_without_a_name() {
    for exit in ["EXIT", "exit", " eXiT\r\n", "bob : exit", "anything : ExIt \n"] {
        let mut bench = room(&["alice", "bob"]);
        assert_eq!(bench.hear(peer(2), exit.as_bytes()), [to(1, "bob 离开了聊天室...")], "{exit:?}");
        assert_eq!(bench.relay.counters().left(LeaveReason::Exit), 1);
        assert_eq!(bench.relay.members(), 1);
        dropped(&mut bench, 2, exit.as_bytes(), DropReason::StrangerExit);
    }
}

#[test]
fn an_exit_is_never_over_its_rate() {
    let mut bench = room_with(&["alice", "bob"], |limits| limits.msgs_per_s = 1);
    bench.hear(peer(2), b"bob : hi");
    dropped(&mut bench, 2, b"bob : hi", DropReason::MessageRate);
    assert_eq!(bench.hear(peer(2), b"bob : exit"), [to(1, "bob 离开了聊天室...")]);
}

#[test]
fn an_empty_datagram_is_nothing_or_a_keep_alive() {
    let mut bench = room_with(&["alice"], |limits| limits.idle_ms = 200_000);
    assert_eq!(dropped(&mut bench, 9, b"", DropReason::Empty), []);
    for _ in 0..5 {
        bench.run(100 * SECOND);
        assert_eq!(bench.hear(peer(1), b""), []);
    }
    assert_eq!(bench.relay.members(), 1);
    assert_eq!(bench.relay.counters().control, 1 + 5);
}

#[test]
fn control_characters_and_the_relays_own_voice_are_dropped() {
    let mut bench = room(&["alice", "bob"]);
    for from in [2, 9] {
        for text in ["a\u{1b}[2Jb", "bob : \u{7f}", "a\u{85}b", "\0"] {
            assert_eq!(dropped(&mut bench, from, text.as_bytes(), DropReason::ControlCharacter), []);
        }
        for text in ["[relay] hi", "bob : hi\n[relay] you are fired", "x\r[relay]", "[relay] exit"] {
            assert_eq!(dropped(&mut bench, from, text.as_bytes(), DropReason::RelayPrefix), []);
        }
    }
    for from in [2, 9] {
        let before = bench.relay.counters().dropped(DropReason::NativeSize);
        assert_eq!(bench.hear(peer(from), b"\xF7\x4F\x01\x01garbage"), []);
        assert_eq!(bench.relay.counters().dropped(DropReason::NativeSize), before + 1);
    }
    assert_eq!(bench.relay.members(), 2);
}

#[test]
fn a_strangers_first_line_joins_it_and_is_relayed() {
    let mut bench = room(&["alice"]);
    assert_eq!(bench.hear(peer(2), b"bob : hi"), [to(1, "bob 进入聊天室..."), to(1, "bob : hi")]);
    let guest = bench.hear(peer(3), b" : hi");
    assert!(guest.contains(&to(1, "guest 进入聊天室...")) && guest.contains(&to(2, " : hi")));
    let long_name = format!("{} : hi", "x".repeat(65));
    assert_eq!(dropped(&mut bench, 4, long_name.as_bytes(), DropReason::InvalidName), []);
    let long_line = format!("dave : {}", "x".repeat(1020));
    assert_eq!(dropped(&mut bench, 4, long_line.as_bytes(), DropReason::StrangerTooLong), []);
}

#[test]
fn a_line_still_under_way_after_an_exit_is_no_join() {
    let mut bench = room(&["alice", "bob"]);
    bench.hear(peer(2), b"bob : exit");
    assert_eq!(dropped(&mut bench, 2, b"bob : late", DropReason::JustLeft), []);
    bench.run(2 * SECOND);
    assert_eq!(bench.hear(peer(2), b"bob : back").len(), 2);
}

#[test]
fn text_longer_than_a_name_is_no_join() {
    let mut bench = room(&["alice"]);
    assert_eq!(dropped(&mut bench, 2, &[b'x'; 65], DropReason::StrangerTooLong), []);
    let mut longest = vec![b'x'; 64];
    longest.extend(b"\r\n");
    assert_eq!(bench.hear(peer(2), &longest).len(), 1);
}

#[test]
fn what_cannot_be_a_name_is_dropped() {
    let mut bench = room(&["alice"]);
    for name in ["  \n", "a\tb", "a\nb", "  [relay] bob"] {
        assert_eq!(dropped(&mut bench, 2, name.as_bytes(), DropReason::InvalidName), [], "{name:?}");
    }
    assert_eq!(dropped(&mut bench, 2, b"bob\xFF", DropReason::NotUtf8), []);
}

#[test]
fn a_members_bad_line_is_explained_once_a_second() {
    let mut bench = room_with(&["alice", "bob"], |limits| limits.lang = Lang::En);
    let long = [b'x'; 1025];
    assert_eq!(dropped(&mut bench, 2, &long, DropReason::TooLong), [to(2, "[relay] not sent: over 1024 bytes")]);
    assert_eq!(dropped(&mut bench, 2, b"\xFF", DropReason::NotUtf8), []);
    bench.run(SECOND);
    assert_eq!(dropped(&mut bench, 2, b"\xFF", DropReason::NotUtf8), [to(2, "[relay] not sent: not UTF-8 text")]);
}

#[test]
fn rates_are_per_peer_and_refill() {
    let mut bench = room_with(&["alice", "bob"], |limits| {
        limits.msgs_per_s = 3;
        limits.bytes_per_s = 1000;
        limits.lang = Lang::En;
    });
    for _ in 0..3 {
        assert_eq!(bench.hear(peer(2), b"bob : x").len(), 1);
    }
    assert_eq!(dropped(&mut bench, 2, b"bob : x", DropReason::MessageRate), [to(2, "[relay] not sent: too fast")]);
    assert_eq!(bench.hear(peer(1), b"alice : x").len(), 1, "another's rate is its own");
    bench.run(2 * SECOND);
    assert_eq!(bench.hear(peer(2), &[b'x'; 1000]).len(), 1);
    assert_eq!(dropped(&mut bench, 2, &[b'x'; 1000], DropReason::ByteRate).len(), 1);
}

#[test]
fn a_cut_datagram_is_dropped_and_a_member_told() {
    let mut bench = room(&["alice", "bob"]);
    for (from, answers) in [(2, 1), (9, 0)] {
        let before = bench.relay.counters().dropped(DropReason::Truncated);
        bench.relay.handle_truncated(bench.now, Path::to(peer(from)), &mut bench.out);
        assert_eq!(bench.command(Command::Say(String::new())).1.len(), answers);
        assert_eq!(bench.relay.counters().dropped(DropReason::Truncated), before + 1);
    }
}

#[test]
fn names_in_use_get_a_number_and_the_line_is_not_touched() {
    let mut bench = room(&["bob", "alice"]);
    assert!(bench.hear(peer(3), b"bob").contains(&to(2, "bob#2 进入聊天室...")));
    assert!(bench.hear(peer(3), b"bob : hi").contains(&to(1, "bob : hi")));
    assert!(bench.hear(peer(3), b"bob : exit").contains(&to(1, "bob#2 离开了聊天室...")));
}

#[test]
fn impossible_sources_are_counted() {
    let mut bench = room(&["alice"]);
    for source in [OWN, "127.0.0.1:0", "224.0.0.1:5", "255.255.255.255:9", "0.0.0.0:7"] {
        assert_eq!(bench.hear(addr(source), b"bob"), [], "{source}");
    }
    assert_eq!(bench.relay.counters().dropped(DropReason::BadSource), 5);
}

#[test]
fn under_off_nobody_joins() {
    let mut bench = Bench::with(|limits| limits.plain = PlainPolicy::Off);
    assert_eq!(dropped(&mut bench, 1, b"bob", DropReason::PlainOff), []);
    assert_eq!(dropped(&mut bench, 1, b"bob : hi", DropReason::PlainOff), []);
}

/// The code in the relay's answer to a stranger.
fn code(answers: &[Sent]) -> String {
    let [answer] = answers else { panic!("one answer: {answers:?}") };
    assert!(answer.bytes.len() <= 40);
    let text = answer.text().strip_prefix("[relay] send ").and_then(|rest| rest.strip_suffix(" to join"));
    text.expect("a challenge").to_owned()
}

fn challenged() -> Bench {
    Bench::with(|limits| {
        limits.plain = PlainPolicy::Challenge;
        limits.lang = Lang::En;
    })
}

#[test]
fn under_challenge_only_the_code_joins() {
    let mut bench = challenged();
    let code = code(&dropped(&mut bench, 1, b"bob", DropReason::Challenged));
    let line = format!("bob : {}", code.to_lowercase());
    assert_eq!(bench.hear(peer(1), line.as_bytes()), [to(1, "[relay] welcome, 1 here")]);
    let answers = dropped(&mut bench, 2, b"carol : hello", DropReason::Challenged);
    let carols = self::code(&answers);
    let sent = bench.hear(peer(2), format!("{carols}\n").as_bytes());
    assert_eq!(sent, [to(2, "[relay] welcome, 2 here"), to(1, "guest joined")]);
    assert_eq!(bench.hear(peer(1), b"bob : hi"), [to(2, "bob : hi")]);
}

#[test]
fn a_code_behind_a_banned_name_is_told_why_it_does_not_join() {
    let mut bench = challenged();
    let code = code(&dropped(&mut bench, 1, b"bob", DropReason::Challenged));
    bench.command(Command::Ban(Ban { target: "bob".parse().unwrap(), until_unix_s: None }));
    let told = dropped(&mut bench, 1, format!("bob : {code}").as_bytes(), DropReason::Banned);
    assert_eq!(told, [to(1, "[relay] you were banned by the operator")]);
    assert_eq!(dropped(&mut bench, 1, b"bob : no code", DropReason::Challenged).len(), 1, "and so does not say more");
}

#[test]
fn a_code_is_for_one_address() {
    let mut bench = challenged();
    let code = code(&bench.hear(peer(1), b"bob"));
    assert_eq!(self::code(&dropped(&mut bench, 2, code.as_bytes(), DropReason::Challenged)).len(), 8);
    assert_eq!(bench.relay.members(), 0);
}

#[test]
fn strangers_are_answered_three_times_and_all_together_at_a_rate() {
    let mut bench = challenged();
    for _ in 0..3 {
        code(&dropped(&mut bench, 1, b"bob", DropReason::Challenged));
    }
    assert_eq!(dropped(&mut bench, 1, b"bob", DropReason::ChallengeLimit), []);
    let others: Vec<_> = (2..2000).map(|number| (peer(number), &b"x"[..])).collect();
    let mut answered = 0;
    for turn in others.chunks(100) {
        answered += bench.hear_all(turn).len();
    }
    assert_eq!(answered, 1000 - 3);
}

#[test]
fn never_more_than_three_answers_in_any_ten_minutes() {
    let mut bench = challenged();
    let ask = |bench: &mut Bench| bench.hear(peer(1), b"bob").len();
    assert_eq!(ask(&mut bench), 1);
    bench.wait(599 * SECOND);
    assert_eq!((ask(&mut bench), ask(&mut bench), ask(&mut bench)), (1, 1, 0));
    bench.wait(SECOND);
    assert_eq!(ask(&mut bench), 0, "two answers are a second old, not ten minutes");
    bench.wait(599 * SECOND);
    assert_eq!(ask(&mut bench), 1);
}

#[test]
fn caps_hold_in_total_and_per_prefix() {
    let mut bench = room_with(&["a", "b"], |limits| {
        limits.peers_max = 3;
        limits.prefix_peers_max = 2;
    });
    assert_eq!(dropped(&mut bench, 3, b"c", DropReason::PrefixFull), []);
    assert_eq!(bench.hear(addr("127.0.0.2:5"), b"c").len(), 2);
    bench.hear(addr("127.0.0.3:5"), b"d");
    assert_eq!(bench.relay.counters().dropped(DropReason::PeersFull), 1);
    bench.hear(peer(1), b"exit");
    assert_eq!(bench.hear(peer(3), b"c").len(), 2, "a place that is free again is given again");
}

#[test]
fn joins_are_limited_per_prefix_and_in_total() {
    let mut bench = room_with(&[], |limits| {
        limits.joins_per_s_prefix = 2;
        limits.joins_per_s_total = 3;
    });
    bench.hear(peer(1), b"a");
    bench.hear(peer(2), b"b");
    assert_eq!(dropped(&mut bench, 3, b"c", DropReason::PrefixJoinRate), []);
    bench.hear(addr("127.0.0.2:5"), b"d");
    bench.hear(addr("127.0.0.3:5"), b"e");
    assert_eq!(bench.relay.counters().dropped(DropReason::TotalJoinRate), 1);
    bench.run(SECOND);
    bench.hear(peer(3), b"c");
    assert_eq!(bench.relay.members(), 4);
}

#[test]
fn silent_members_are_warned_then_leave() {
    let mut bench = room_with(&["alice", "bob"], |limits| {
        limits.idle_ms = 300_000;
        limits.lang = Lang::En;
    });
    assert_eq!(bench.run(229 * SECOND), []);
    let warned = bench.run(2 * SECOND);
    assert_eq!(warned.len(), 2);
    assert!(warned.iter().all(|sent| sent.text() == "[relay] you were silent for long, leaving in 60 s"));
    bench.hear(peer(1), b"alice : still here");
    let sent = bench.run(60 * SECOND);
    assert_eq!(sent, [to(2, "[relay] you were silent for too long and have left"), to(1, "bob left")]);
    assert_eq!(bench.relay.counters().left(LeaveReason::Idle), 1);
}

#[test]
fn zero_is_never_idle() {
    let mut bench = room_with(&["alice"], |limits| limits.idle_ms = 0);
    bench.run(Duration::from_secs(86_400 * 400));
    assert_eq!((bench.relay.members(), bench.relay.next_deadline()), (1, None));
}

#[test]
fn thousands_that_fall_silent_at_once_go_in_bounded_turns() {
    let mut bench = Bench::with(|limits| limits.idle_ms = 300_000);
    for number in 0..1500 {
        bench.hear(peer(number), format!("m{number}").as_bytes());
    }
    bench.run(400 * SECOND);
    assert_eq!(bench.relay.counters().left(LeaveReason::Idle), 1500);
    assert_eq!(bench.relay.members(), 0);
}

#[test]
fn port_unreachable_must_be_repeated_over_time_in_silence() {
    let mut bench = room(&["alice", "bob"]);
    for _ in 0..10 {
        assert_eq!(bench.unreachable(peer(2)), [], "ten at once can be forged");
    }
    bench.wait(2 * SECOND);
    bench.hear(peer(2), b"bob : I am here");
    assert_eq!(bench.unreachable(peer(2)), [], "heard since");
    bench.wait(2 * SECOND);
    assert_eq!(bench.unreachable(peer(2)), [], "two are not three");
    assert_eq!(bench.unreachable(peer(2)), [to(1, "bob 离开了聊天室...")]);
    assert_eq!(bench.relay.counters().left(LeaveReason::Unreachable), 1);
    assert_eq!(bench.unreachable(peer(9)), []);
}

#[test]
fn a_kick_tells_both_sides_and_holds_for_a_minute() {
    let mut bench = room_with(&["alice", "bob"], |limits| limits.lang = Lang::En);
    let (outcome, sent) = bench.command(Command::Kick(Target::Name("bob".into())));
    assert_eq!(outcome, Outcome::Kicked(peer(2)));
    assert_eq!(sent, [to(2, "[relay] you were removed by the operator"), to(1, "bob left")]);
    assert_eq!(dropped(&mut bench, 2, b"bob : no!", DropReason::RefusedAddress), []);
    bench.run(60 * SECOND);
    assert_eq!(bench.hear(peer(2), b"bob").len(), 1);
    assert_eq!(bench.command(Command::Kick(Target::Name("carol".into()))).0, Outcome::NoSuch);
    let left = bench.events.iter().filter(|event| matches!(event, Event::Left { .. })).count();
    assert_eq!(left, 1);
}

#[test]
fn shutdown_tells_everyone() {
    let mut bench = room(&["alice", "bob"]);
    let (outcome, mut sent) = bench.command(Command::Shutdown);
    sent.sort_by_key(|sent| sent.to);
    assert_eq!(outcome, Outcome::ShutDown);
    assert_eq!(sent, [to(1, "[relay] 服务器关闭"), to(2, "[relay] 服务器关闭")]);
    assert_eq!(bench.relay.counters().left(LeaveReason::Shutdown), 2);
    let shutdown = |event: &&Event| matches!(event, Event::Left { reason: LeaveReason::Shutdown, .. });
    assert_eq!(bench.events.iter().filter(shutdown).count(), 2, "each leave has its reason in the log");
}

#[test]
fn the_operator_speaks_raw_to_one_and_as_the_relay_to_many() {
    let mut bench = Bench::with(|limits| limits.console = true);
    let say = |bench: &mut Bench, line: &str| bench.command(Command::Say(line.to_owned()));
    assert_eq!(say(&mut bench, "hi").0, Outcome::NobodyHere);
    bench.hear(peer(1), &[b'x'; 200]);
    assert!(bench.events.contains(&Event::Heard { remote: peer(1), text: vec![b'x'; 200].into() }));
    assert_eq!(say(&mut bench, "你好"), (Outcome::SentTo(peer(1)), vec![to(1, "你好")]), "the one-to-one example");
    bench.hear(peer(1), b"alice");
    assert_eq!(say(&mut bench, "hi").1, [to(1, "hi")]);
    bench.hear(peer(2), b"bob");
    bench.run(10 * SECOND);
    let (outcome, sent) = say(&mut bench, "hi");
    assert_eq!((outcome, sent.len()), (Outcome::SentToAll(2), 2));
    assert!(sent.iter().all(|sent| sent.text() == "[relay] hi"));
    let raw = |target| Command::To(target, "psst".into());
    assert_eq!(bench.command(raw(Target::Name("bob".into()))).1, [to(2, "psst")]);
    assert_eq!(bench.command(raw(Target::Address(peer(1)))).1, [to(1, "psst")]);
    assert_eq!(bench.command(raw(Target::Address(peer(3)))).0, Outcome::NoSuch, "never heard from");
    assert_eq!(say(&mut bench, "").0, Outcome::BadLength);
    assert_eq!(say(&mut bench, &"x".repeat(1025)).0, Outcome::BadLength);
    let (_, sent) = say(&mut bench, &"x".repeat(1016));
    assert_eq!(sent[0].bytes.len(), 1024);
    assert_eq!(say(&mut bench, &"x".repeat(1017)).0, Outcome::BadLength, "none is cut in silence");
}

#[test]
fn a_join_storm_is_merged_then_suppressed() {
    let mut bench = Bench::with(|limits| limits.lang = Lang::En);
    let mut sent = Vec::new();
    for number in 0..30 {
        sent.extend(bench.hear(peer(number), format!("m{number}").as_bytes()));
    }
    sent.extend(bench.run(SECOND));
    let to_first: Vec<_> = sent.iter().filter(|sent| sent.to == peer(0)).map(Sent::text).collect();
    assert_eq!(to_first.len(), 20);
    assert_eq!(*to_first.last().unwrap(), "m20, m21 and 8 more joined");
    let counters = bench.relay.counters().clone();
    assert_eq!((counters.notices_told, counters.notices_merged, counters.notices_suppressed), (30, 10, 0));

    let mut costly = Bench::with(|limits| limits.notice_copies_per_s = 100);
    for number in 0..30 {
        costly.hear(peer(number), format!("m{number}").as_bytes());
    }
    costly.run(SECOND);
    let counters = costly.relay.counters();
    assert!(counters.notices_suppressed > 0);
    assert_eq!(counters.notices_told + counters.notices_suppressed, 30);
    assert!(costly.tally.sent <= 200, "{}", costly.tally.sent);
}

#[test]
fn a_late_notice_of_one_member_is_not_for_it_either() {
    let mut bench = Bench::with(|limits| limits.lang = Lang::En);
    for number in 0..20 {
        bench.hear(peer(number), format!("m{number}").as_bytes());
    }
    assert_eq!(bench.hear(peer(20), b"late"), []);
    let told = bench.run(SECOND);
    assert_eq!(told.len(), 20);
    assert!(told.iter().all(|sent| sent.text() == "late joined" && sent.to != peer(20)));
    bench.wait(SECOND * 10);
    for number in 0..20 {
        bench.hear(peer(100 + number), format!("n{number}").as_bytes());
    }
    bench.hear(peer(99), b"gone");
    bench.hear(peer(99), b"exit");
    let told = bench.run(SECOND);
    assert_eq!(told.len(), 2 * 41, "both are told to all who are here now");
}

#[test]
fn ten_thousand_empties_stall_nobody() {
    let mut bench = room(&["alice", "bob"]);
    for _ in 0..10_000 {
        bench.relay.handle_datagram(bench.now, Path::to(peer(2)), b"", &mut bench.out);
    }
    assert_eq!(bench.hear(peer(2), b"bob : hi"), [to(1, "bob : hi")]);
}

#[test]
fn within_one_turn_everyone_hears_what_was_said_while_it_was_here() {
    let mut bench = room(&["alice", "bob", "carol"]);
    let sent = bench.hear_all(&[
        (peer(2), b"bob : before"),
        (peer(4), b"dave"),
        (peer(1), b"alice : hi"),
        (peer(2), b"exit"),
        (peer(3), b"carol : after"),
    ]);
    let heard = |number| {
        let mut heard: Vec<_> = sent.iter().filter(|sent| sent.to == peer(number)).map(Sent::text).collect();
        heard.sort_unstable();
        heard
    };
    assert_eq!(heard(1), ["bob : before", "bob 离开了聊天室...", "carol : after", "dave 进入聊天室..."]);
    assert_eq!(heard(2), ["alice : hi", "dave 进入聊天室..."]);
    assert_eq!(heard(3), ["alice : hi", "bob : before", "bob 离开了聊天室...", "dave 进入聊天室..."]);
    assert_eq!(heard(4), ["alice : hi", "bob 离开了聊天室...", "carol : after"]);
}
