//! What leaves for a room at the end of a turn: the same bytes for everyone,
//! packed, in order, nothing lost (T9); lines between plain and native; HEADs.

mod support;

use outcry::Time;
use outcry::batch::Item;
use outcry::config;
use outcry::metrics::{DropReason, LeaveReason};
use outcry::relay::Command;
use outcry::wire::downlink::{Downlink, Frame as Down};
use outcry::wire::header::EntryKind;
use outcry::wire::id::{KeyId, MemberId, Req, RoomHandle, RoomTag, Seq};
use outcry::wire::uplink::Frame;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;
use support::native::{Native, datagrams_to, entries_to, frames_to, msg, texts_to};
use support::{Bench, Sent, peer};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const LOBBY: RoomHandle = RoomHandle(0);

/// `count` members of one room, their presence told.
fn room(bench: &mut Bench, count: u16, name: &str) -> (Vec<Native>, RoomHandle) {
    let members: Vec<_> = (0..count).map(|n| Native::in_room(bench, n, &format!("n{n}"), name)).collect();
    bench.run(2 * SECOND);
    let handle = members[0].1.room;
    (members.into_iter().map(|(native, _)| native).collect(), handle)
}

/// Ends the turn as the server does, and keeps the trains whole.
fn flush_items(bench: &mut Bench) -> Vec<(Item, Vec<u8>)> {
    let (mut items, mut all) = (Vec::with_capacity(100), Vec::new());
    bench.relay.end_turn(bench.now, &mut bench.out);
    bench.out.begin(&bench.relay, &mut bench.tally);
    let mut more = true;
    while more {
        more = bench.out.fill(&bench.relay, &mut items);
        all.extend(items.drain(..).map(|item: Item| (item, bench.out.arena()[item.range()].to_vec())));
    }
    bench.tally.sent += all.iter().map(|(item, _)| u64::from(item.segments)).sum::<u64>();
    bench.out.clear();
    assert!(bench.tally.balances() && bench.relay.counters().balances());
    all
}

fn split(items: &[(Item, Vec<u8>)]) -> Vec<Sent> {
    let split = |(item, bytes): &(Item, Vec<u8>)| -> Vec<Sent> {
        let segments = bytes.chunks_exact(usize::from(item.segment_len));
        segments.map(|segment| Sent { to: item.to.remote, bytes: segment.to_vec() }).collect()
    };
    items.iter().flat_map(split).collect()
}

#[test]
fn everyone_gets_the_same_bytes() {
    let mut bench = Bench::with(|_| {});
    let (mut members, tea) = room(&mut bench, 20, "tea");
    for (number, member) in members.iter_mut().enumerate() {
        let text = vec![b'a' + number as u8; number * 60];
        member.put(&mut bench, &[msg(tea, 1, &text), msg(tea, 2, b"and more")]);
    }
    let sent = bench.flush();
    let first = datagrams_to(&sent, members[0].at);
    assert!(members.iter().all(|member| datagrams_to(&sent, member.at) == first));
    assert!(first.iter().all(|bytes| matches!(Downlink::parse(bytes), Ok(Downlink::ToRoom { .. }))));
    assert_eq!(entries_to(&sent, members[0].at).len(), 40);
    assert_eq!(sent.len(), 20 * first.len());
}

/// The page's own sum.
#[test]
fn sixteen_messages_of_64_bytes_fill_one_datagram() {
    let mut bench = Bench::with(|_| {});
    let (mut members, tea) = room(&mut bench, 16, "tea");
    for member in &mut members {
        member.put(&mut bench, &[msg(tea, 1, &[7; 64])]);
    }
    let sent = bench.flush();
    assert!(sent.len() == 16 && sent.iter().all(|sent| sent.bytes.len() == 1230), "{}", sent.len());
}

#[test]
fn the_first_one_served_is_another_in_each_turn() {
    let mut bench = Bench::with(|_| {});
    let (mut members, tea) = room(&mut bench, 10, "tea");
    let firsts: std::collections::BTreeSet<_> =
        (1..=30).map(|sseq| members[0].say(&mut bench, tea, sseq, "hi")[0].to).collect();
    assert!(firsts.len() > 5, "{firsts:?}");
}

#[test]
fn rooms_do_not_mix() {
    let mut bench = Bench::with(|_| {});
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    let (mut bob, coffee) = Native::in_room(&mut bench, 2, "bob", "coffee");
    let (mut both, _) = Native::in_room(&mut bench, 3, "both", "tea");
    both.join(&mut bench, "coffee");
    for sseq in 1..40 {
        alice.put(&mut bench, &[msg(tea.room, sseq, b"to tea")]);
        bob.put(&mut bench, &[msg(coffee.room, sseq, b"to coffee")]);
        both.put(&mut bench, &[msg(tea.room, sseq, b"to tea"), msg(coffee.room, sseq, b"to coffee")]);
    }
    let sent = bench.flush();
    assert_eq!(texts_to(&sent, alice.at), vec!["to tea"; 78]);
    assert_eq!(texts_to(&sent, bob.at), vec!["to coffee"; 78]);
    let entries = entries_to(&sent, both.at);
    assert_eq!(entries.iter().filter(|entry| entry.kind == EntryKind::TEXT).count(), 156);
    for datagram in datagrams_to(&sent, both.at) {
        let Ok(Downlink::ToRoom { tag, frames }) = Downlink::parse(datagram) else { continue };
        let room = if tag == tea.tag { tea.room } else { coffee.room };
        assert!(frames.into_iter().all(|frame| matches!(frame, Down::Batch(batch) if batch.room == room)));
    }
}

// ---- T9 ------------------------------------------------------------------------------------

/// What is said in a turn: sizes of messages, by whom, and whether the second changes before.
fn said() -> impl Strategy<Value = Vec<(usize, usize, bool)>> {
    let size = prop_oneof![3 => 0usize..100, 2 => 0usize..1192, 1 => Just(1191usize), 1 => 600usize..620, 1 => Just(0)];
    proptest::collection::vec((size, 0usize..3, prop::bool::weighted(0.02)), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_messages_are_packed_without_loss_in_order(turns in proptest::collection::vec(said(), 1..5)) {
        let mut bench = Bench::with(|limits| {
            limits.ring_bytes_max = config::RING_BYTES_SMALLEST;
            limits.ring_messages_max = config::RING_MESSAGES_SMALLEST;
            limits.rings_bytes_max = 2 * config::RING_BYTES_SMALLEST;
        });
        let (mut members, tea) = room(&mut bench, 3, "tea");
        let (mut sseqs, mut seq) = ([0u32; 3], 3);
        for said in &turns {
            let mut wanted = Vec::new();
            for &(size, of, tick) in said {
                if tick {
                    bench.now = Time::new(bench.now.nanos() + 1, bench.now.unix_s() + 1);
                }
                sseqs[of] += 1;
                let payload = vec![sseqs[of] as u8; size];
                members[of].put(&mut bench, &[msg(tea, sseqs[of], &payload)]);
                wanted.push((members[of].member, sseqs[of], payload, bench.now.unix_s() as u32));
            }
            let items = flush_items(&mut bench);
            for (item, bytes) in &items {
                prop_assert!((1..=64).contains(&item.segments) && bytes.len() <= 65_507);
                prop_assert!(item.segment_len <= 1232);
            }
            let sent = split(&items);
            for member in &members {
                let heard = entries_to(&sent, member.at);
                let heard: Vec<_> = heard.into_iter().filter(|entry| entry.kind == EntryKind::TEXT).collect();
                prop_assert!(heard.windows(2).all(|pair| pair[0].seq < pair[1].seq));
                seq = heard.first().map_or(seq, |first| first.seq);
                let heard: Vec<_> = heard.into_iter().map(|entry| (entry.member, entry.sseq, entry.payload, entry.time_s)).collect();
                prop_assert_eq!(&heard, &wanted);
            }
            prop_assert_eq!(bench.relay.counters().native.casts_dropped, 0);
        }
        prop_assert!(seq >= 3);
    }
}

/// More than 24 KiB in a turn are cast while they are taken in: nothing is
/// evicted before it was sent, however small the ring.
#[test]
fn what_is_fresh_is_sent_before_the_ring_overwrites_it() {
    let mut bench = Bench::with(|limits| limits.ring_bytes_max = config::RING_BYTES_SMALLEST);
    let (mut members, tea) = room(&mut bench, 2, "tea");
    for sseq in 1..=400 {
        members[0].put(&mut bench, &[msg(tea, sseq, &[7; 1191])]);
    }
    let heard = entries_to(&bench.flush(), members[1].at);
    assert!(heard.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    assert!(heard.iter().map(|entry| entry.sseq).filter(|&sseq| sseq != 0).eq(1..=400));
}

// ---- turns that hold too much ------------------------------------------------------------------

#[test]
fn every_room_may_speak_in_one_turn_or_is_told_to_wait() {
    const SESSIONS: u16 = 132;
    let mut bench = Bench::with(|limits| {
        limits.presence_members_max = 0;
        limits.rings_bytes_max += limits.ring_bytes_max;
    });
    let mut natives: Vec<_> = (0..SESSIONS).map(|n| Native::connected(&mut bench, n, &format!("n{n}"))).collect();
    let mut rooms = Vec::new();
    for (number, native) in natives.iter_mut().enumerate() {
        let mut own = vec![native.join(&mut bench, "together").room];
        own.extend((0..31).map(|room| native.join(&mut bench, &format!("r{number}/{room}")).room));
        rooms.push(own);
    }
    assert_eq!(bench.relay.rooms(), 31 * usize::from(SESSIONS) + 2);
    for _ in 0..2 {
        for (native, rooms) in natives.iter_mut().zip(&rooms) {
            native.put(&mut bench, &[msg(rooms[0], 1, &[7; 900])]);
            native.put(&mut bench, &rooms.iter().map(|room| msg(*room, 1, b"x")).collect::<Vec<_>>());
        }
        bench.flush();
    }
    let native = &bench.relay.counters().native;
    assert!(native.messages_slowed > 0 && native.casts_dropped == 0, "{native:?}");
    assert_eq!(native.messages_accepted, 32 * u64::from(SESSIONS), "in the next turn the rest was taken");
}

#[test]
fn coming_and_going_without_end_in_one_turn_breaks_nothing() {
    let mut bench = Bench::with(|limits| {
        limits.notices_per_s = 0;
        limits.notice_copies_per_s = 0;
    });
    bench.hear(peer(1), b"plain");
    let mut natives: Vec<_> = (0..64).map(|n| Native::connected(&mut bench, n, &format!("n{n}"))).collect();
    for _ in 0..4 {
        for native in &mut natives {
            let join = Frame::Join { req: Req(1), sealed: false, unlisted: false, key_id: KeyId(0), room: "lobby" };
            let leave = Frame::Leave { req: Req(2), room: LOBBY };
            let frames: Vec<_> = std::iter::repeat_n([join, leave], 40).flatten().collect();
            native.put(&mut bench, &frames);
        }
    }
    bench.flush();
    let counters = bench.relay.counters();
    assert!(counters.notices_suppressed > 0 && counters.notices_told > 0);
    assert_eq!(counters.notices_told + counters.notices_suppressed, 1 + 2 * 4 * 64 * 40);
    assert_eq!(bench.hear(peer(1), b"exit"), []);
}

// ---- plain and native in the lobby ----------------------------------------------------------

#[test]
fn a_native_line_reaches_plain_members_under_its_name() {
    let mut bench = Bench::with(|_| {});
    bench.hear(peer(1), b"carol");
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let join = Frame::Join { req: Req(1), sealed: false, unlisted: false, key_id: KeyId(0), room: "lobby" };
    let to_carol = |sent: &[Sent]| -> Vec<String> {
        datagrams_to(sent, peer(1)).iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    };
    assert_eq!(to_carol(&alice.send(&mut bench, &[join])), ["alice 进入聊天室..."]);
    assert_eq!(to_carol(&alice.say(&mut bench, LOBBY, 1, "你好")), ["alice : 你好"]);
    let long = "x".repeat(1024 - 8);
    assert_eq!(to_carol(&alice.say(&mut bench, LOBBY, 2, &long)), [format!("alice : {long}")]);
    assert_eq!(to_carol(&alice.leave(&mut bench, LOBBY)), ["alice 离开了聊天室..."]);
    alice.join(&mut bench, "lobby");
    assert_eq!(to_carol(&alice.close(&mut bench)), ["alice 离开了聊天室..."]);
}

#[test]
fn a_plain_line_enters_as_it_was_sent() {
    let mut bench = Bench::with(|_| {});
    let (alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    let sent = bench.hear(peer(1), b"carol");
    let [joined] = &entries_to(&sent, alice.at)[..] else { panic!("{sent:?}") };
    assert_eq!((joined.kind, joined.text(), joined.sseq), (EntryKind::JOINED, "carol", 0));
    assert!(joined.member != MemberId(0) && joined.member != alice.member);
    let sent = bench.hear(peer(1), "carol : hi\r\n".as_bytes());
    let [line] = &entries_to(&sent, alice.at)[..] else { panic!("{sent:?}") };
    assert_eq!((line.kind, line.text(), line.sseq, line.member), (EntryKind::TEXT, "carol : hi\r\n", 0, joined.member));
    let sent = bench.hear(peer(1), b"exit");
    let [left] = &entries_to(&sent, alice.at)[..] else { panic!("{sent:?}") };
    assert_eq!((left.kind, &left.payload[..], left.member), (EntryKind::LEFT, &b"\0carol"[..], joined.member));
    let (_, said) = bench.command(Command::Say("soon closing".into()));
    assert_eq!(
        entries_to(&said, alice.at).iter().map(|entry| (entry.member, entry.text())).collect::<Vec<_>>(),
        [(MemberId(0), "[relay] soon closing")]
    );
}

#[test]
fn who_echoes_native_lines_is_a_mirror_too() {
    let mut bench = Bench::with(|_| {});
    let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    bench.hear(peer(1), b"mirror");
    for sseq in 1..=u32::from(config::MIRROR_RUN) {
        let sent = alice.say(&mut bench, LOBBY, sseq, &format!("line {sseq}"));
        let [line] = datagrams_to(&sent, peer(1))[..] else { panic!("{sent:?}") };
        let line = line.to_vec();
        bench.hear(peer(1), &line);
    }
    let counters = bench.relay.counters();
    assert_eq!((counters.dropped(DropReason::Mirror), counters.left(LeaveReason::Mirror)), (1, 1));
}

// ---- HEAD -------------------------------------------------------------------------------------

fn heads(sent: &[Sent], at: SocketAddr) -> Vec<(RoomTag, u32, Seq, Seq)> {
    let heads = frames_to(sent, at).into_iter().filter_map(|frame| match frame {
        Down::Head { tag, members, head, tail, .. } => Some((tag, members, head, tail)),
        _ => None,
    });
    heads.collect()
}

#[test]
fn a_head_follows_a_burst_after_100_ms_and_1_s() {
    let mut bench = Bench::with(|_| {});
    let (mut members, tea) = room(&mut bench, 2, "tea");
    let (alice, bob) = members.split_at_mut(1);
    let (alice, bob) = (&mut alice[0], &bob[0]);
    for sseq in 1..=5 {
        alice.say(&mut bench, tea, sseq, "x");
        assert_eq!(bench.run(99 * MS), [], "not within the burst");
    }
    let head = vec![(RoomTag(0), 2, Seq(7), Seq(1))];
    let sent = bench.run(MS);
    assert_eq!((heads(&sent, alice.at), heads(&sent, bob.at)), (head.clone(), head.clone()));
    assert!(matches!(Downlink::parse(&sent[0].bytes), Ok(Downlink::ToRoom { .. })));
    assert_eq!(bench.run(899 * MS), []);
    assert_eq!(heads(&bench.run(MS), bob.at), head);
    assert_eq!(bench.run(20 * SECOND), [], "then all is still");
    assert_eq!(bench.relay.counters().native.heads, 2 + 2);
}

#[test]
fn a_room_that_everyone_left_sends_nothing() {
    let mut bench = Bench::with(|_| {});
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    alice.say(&mut bench, tea.room, 1, "x");
    alice.leave(&mut bench, tea.room);
    assert_eq!(bench.run(10 * SECOND), []);
    let (bob, joined) = Native::in_room(&mut bench, 2, "bob", "tea");
    assert_eq!((joined.head, joined.tail), (4, 1), "its history stays for a while");
    assert_eq!(heads(&bench.run(SECOND), bob.at).len(), 2);
}
