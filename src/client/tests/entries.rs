//! What comes in: order, gaps, history, what is believed.

use super::Peer;
use super::peer::{BOB, EPOCH, Entered, ME, ROOM, TAG, bobs, mine};
use crate::client::{Change, Code, EntryKind, Event, MemberId, Message, Options, RoomSpec, Seq};
use crate::wire::downlink::{Entry, Frame};
use crate::wire::id::{RoomTag, Sseq};
use crate::wire::uplink::{self, SeqRange};

/// Ranges of the NACKs since the last look, with their times.
fn asked(peer: &mut Peer) -> Vec<(u64, u64, u16)> {
    let frames = peer.timed_frames().into_iter();
    frames
        .filter_map(|(at, frame)| match frame {
            uplink::Frame::Nack { ranges, .. } => Some((at, ranges)),
            _ => None,
        })
        .flat_map(|(at, ranges)| ranges.iter().map(move |SeqRange { start, count }| (at, start.0, count)))
        .collect()
}

fn head(members: u32, head: u64) -> Frame<'static> {
    Frame::Head { room: ROOM, tag: TAG, members, head: Seq(head), tail: Seq(1) }
}

fn texts(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, String)> {
    numbers.into_iter().map(|n| (n, n.to_string())).collect()
}

#[test]
fn entries_in_order_are_told_at_once() {
    let (mut peer, room) = Peer::in_lobby();
    peer.entries(1, &[bobs(1, b"hi"), mine(1, b"ho")]);
    let told = |seq, member, payload: &'static [u8]| Message {
        room,
        seq: Seq(seq),
        member,
        sseq: Sseq(1),
        name: (member == ME).then_some("alice".into()),
        time_s: 1_700_000_000,
        kind: EntryKind::TEXT,
        mine: member == ME,
        history: false,
        payload: payload.into(),
    };
    assert_eq!(peer.events(), [Event::Message(told(1, BOB, b"hi")), Event::Message(told(2, ME, b"ho"))]);
}

#[test]
fn what_is_overtaken_waits_and_comes_once() {
    let (mut peer, _) = Peer::in_lobby();
    for n in [3, 2, 3, 5, 1, 1, 4, 2] {
        peer.bob_says(n..=n);
    }
    assert_eq!(peer.heard(), texts(1..=5));
    assert_eq!((peer.client.counts().entries, peer.client.counts().known_entries), (5, 3));
    peer.run(1000);
    assert_eq!(asked(&mut peer), []);
}

#[test]
fn a_gap_is_asked_for_after_five_to_ten_milliseconds_and_again_and_again() {
    let (mut peer, _) = Peer::in_lobby();
    peer.bob_says(1..=1);
    peer.run_to(1000);
    peer.bob_says(4..=4);
    peer.run_to(4000);
    let asks = asked(&mut peer);
    assert!(asks.iter().all(|(_, start, count)| (*start, *count) == (2, 2)), "{asks:?}");
    assert!((1005..=1010).contains(&asks[0].0), "{asks:?}");
    let apart: Vec<_> = asks.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    // JOIN was answered at once: the pace is the quickest one. Time goes in whole milliseconds here.
    let expected = [20, 20, 20, 20, 20, 20, 20, 20, 30, 45, 68, 102, 152, 228, 342, 513, 769];
    assert_eq!(apart, expected);
    peer.repair(2, &[bobs(2, b"2"), bobs(3, b"3"), bobs(4, b"4")]);
    assert_eq!(peer.heard(), texts(1..=4));
    let counts = *peer.client.counts();
    assert_eq!((counts.nacks, counts.entries, counts.entries_alone), (asks.len() as u64, 4, 2));
    peer.forget();
    peer.run(1000);
    assert_eq!(asked(&mut peer), []);
}

#[test]
fn a_lost_tail_is_found_by_head() {
    let (mut peer, _) = Peer::in_lobby();
    peer.say_to_room(TAG, &[head(2, 2)]);
    peer.run(20);
    assert_eq!(asked(&mut peer).iter().map(|ask| (ask.1, ask.2)).collect::<Vec<_>>(), [(1, 2)]);
}

#[test]
fn only_the_relay_declares_loss() {
    let (mut peer, room) = Peer::in_lobby();
    peer.bob_says(4..=4);
    peer.say(&[Frame::Gap { room: ROOM, from: Seq(1), to: Seq(2) }]);
    assert_eq!(peer.events(), [Event::Gap { room, from: Seq(1), to: Seq(2) }]);
    peer.bob_says(3..=3);
    assert_eq!(peer.heard(), texts(3..=4));
    peer.say(&[Frame::Gap { room: ROOM, from: Seq(1), to: Seq(9) }]);
    assert_eq!(peer.heard(), [(5, "gap to 9".to_owned())]);
    peer.bob_says(10..=10);
    assert_eq!(peer.heard(), texts(10..=10));
}

#[test]
fn a_late_joiner_gets_as_much_history_as_it_wants_and_there_is() {
    for (history, tail, first) in [(0, 1, 101), (10, 1, 91), (50, 71, 71), (1000, 1, 1), (7, 101, 101)] {
        let entered = Entered { head: 100, tail, ..Entered::default() };
        let mut peer = Peer::connected();
        peer.join(RoomSpec::lobby().with_history(history), entered);
        let [Event::Joined { first: told, head: Seq(100), .. }] = peer.events()[..] else { panic!() };
        assert_eq!(told, Seq(first));
        let expected = (first <= 100).then(|| (0, first, (101 - first) as u16));
        assert_eq!(asked(&mut peer), expected.into_iter().collect::<Vec<_>>());
        peer.repair(first, &[bobs(first, b"x")]);
        let Event::Message(message) = &peer.events()[0] else { panic!() };
        assert_eq!((message.seq, message.history), (Seq(first), first <= 100));
    }
}

#[test]
fn what_is_far_above_in_a_room_datagram_is_not_believed_but_the_relays_own_word_is() {
    let (mut peer, _) = Peer::in_lobby();
    peer.bob_says(4097..=4097);
    assert_eq!(peer.client.counts().unbelievable, 1);
    peer.say_to_room(TAG, &[head(2, 5000)]);
    assert_eq!(peer.client.counts().unbelievable, 2);
    let pings = |frames: Vec<uplink::Frame<'_>>| {
        frames.iter().filter(|frame| matches!(frame, uplink::Frame::Ping { .. })).count()
    };
    assert_eq!(pings(peer.frames()), 1);
    peer.run(20);
    assert_eq!(asked(&mut peer), []);
    peer.say(&[head(2, 5000)]);
    peer.run(20);
    assert_eq!(asked(&mut peer)[0].1, 1);
    peer.bob_says(4096..=4096);
    assert_eq!(peer.client.counts().entries, 1);
}

#[test]
fn an_unknown_tag_makes_the_client_ask_once_a_second() {
    let (mut peer, _) = Peer::in_lobby();
    let mut pings = Vec::new();
    for at in (0..3000).step_by(10) {
        peer.run_to(at);
        peer.say_to_room(RoomTag(0x9999), &[head(2, 0)]);
        for (at, frame) in peer.timed_frames() {
            if let uplink::Frame::Ping { t } = frame {
                pings.push(at);
                peer.say(&[Frame::Pong { t }, head(2, 0)]);
            }
        }
    }
    assert_eq!(pings, [0, 1000, 2000]);
}

#[test]
fn a_new_tag_replaces_the_former_one_within_two_seconds() {
    let (mut peer, _) = Peer::in_lobby();
    let new = RoomTag(0x2222);
    peer.say(&[Frame::Head { room: ROOM, tag: new, members: 1, head: Seq(0), tail: Seq(1) }]);
    peer.say_to_room(new, &[head(3, 0)]);
    peer.run_to(2000);
    peer.say_to_room(TAG, &[head(4, 0)]);
    peer.run_to(2001);
    peer.say_to_room(TAG, &[head(5, 0)]);
    let members = |event| match event {
        Event::Population { members, .. } => members,
        other => panic!("{other:?}"),
    };
    assert_eq!(peer.events().into_iter().map(members).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(peer.client.counts().foreign, 1);
}

#[test]
fn reports_follow_entries_and_gaps() {
    let (mut peer, _) = Peer::in_lobby();
    let reports = |peer: &mut Peer| -> Vec<(u64, u64, u64, u32)> {
        let report = |(at, frame)| match frame {
            uplink::Frame::Report { contiguous, highest, lost, .. } => Some((at, contiguous.0, highest.0, lost)),
            _ => None,
        };
        peer.timed_frames().into_iter().filter_map(report).collect()
    };
    peer.run_to(500);
    peer.bob_says(1..=2);
    peer.run_to(900);
    peer.bob_says(3..=3);
    peer.run_to(3000);
    assert_eq!(reports(&mut peer), [(1500, 3, 3, 0)]);
    peer.bob_says(6..=6);
    peer.run_to(3350);
    assert_eq!(reports(&mut peer), [(3100, 3, 6, 2), (3200, 3, 6, 2), (3300, 3, 6, 2)]);
    peer.repair(4, &[bobs(4, b"4"), bobs(5, &[b'x'; 1000])]);
    peer.run_to(6000);
    assert_eq!(reports(&mut peer), [(4350, 6, 6, 2)]);
}

#[test]
fn presence_names_the_authors_of_what_follows() {
    let (mut peer, room) = Peer::in_lobby();
    let presence = |kind, payload| Entry { member: BOB, sseq: Sseq(0), kind, payload };
    peer.entries(
        1,
        &[
            presence(EntryKind::JOINED, b"bob"),
            bobs(1, b"hi"),
            presence(EntryKind::RENAMED, b"rob"),
            bobs(2, b"ho"),
            presence(EntryKind::LEFT, b"\x01rob"),
            presence(EntryKind::LEFT, b""),
        ],
    );
    let told: Vec<_> = peer
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Message(message) => (format!("{:?}", EntryKind::TEXT), message.name.unwrap().into_owned()),
            Event::Presence(presence) => (format!("{:?}", presence.change), presence.name.into_owned()),
            other => panic!("{other:?}"),
        })
        .collect();
    let text = format!("{:?}", EntryKind::TEXT);
    let left = format!("{:?}", Change::Left { code: Code::Idle });
    let expected = [("Joined", "bob"), (&text, "bob"), ("Renamed", "rob"), (&text, "rob"), (&left, "rob")];
    assert_eq!(told, expected.map(|(what, name)| (what.to_owned(), name.to_owned())));
    assert_eq!((peer.client.name_of(room, BOB), peer.client.counts().malformed_entries), (Some("rob"), 1));
}

#[test]
fn an_author_without_a_name_is_asked_for_once() {
    let (mut peer, _) = Peer::in_lobby();
    peer.bob_says(1..=3);
    let who = |frame: &uplink::Frame<'_>| matches!(frame, uplink::Frame::Who { member, .. } if *member == BOB);
    assert_eq!(peer.frames().iter().filter(|frame| who(frame)).count(), 1);

    let mut peer = Peer::with(Options { names: false, ..Options::new("alice") });
    peer.welcome(EPOCH);
    peer.join(RoomSpec::lobby(), Entered::default());
    peer.forget();
    peer.bob_says(1..=3);
    assert!(peer.frames().is_empty());
}

#[test]
fn a_plain_members_line_loses_its_name_in_the_lobby_only() {
    let plain = |seq: &mut Peer| {
        let line = |sseq, payload| Entry { member: MemberId(9), sseq: Sseq(sseq), kind: EntryKind::TEXT, payload };
        let joined =
            Entry { member: MemberId(9), sseq: Sseq(0), kind: EntryKind::JOINED, payload: "小明#2".as_bytes() };
        let said = "小明 : hi".as_bytes();
        seq.entries(1, &[joined, line(0, said), line(0, b"hi"), line(1, said)]);
        seq.heard().into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };
    assert_eq!(plain(&mut Peer::in_lobby().0), ["hi", "hi", "小明 : hi"]);
    let (mut other, _) = Peer::in_room(RoomSpec::open("den"), Entered::default());
    assert_eq!(plain(&mut other), ["小明 : hi", "hi", "小明 : hi"]);
}

#[test]
fn while_nobody_fetches_events_what_arrives_is_dropped_and_asked_for_again() {
    let (mut peer, _) = Peer::in_lobby();
    let payload = vec![0; 1100];
    let mut n = 0;
    while peer.client.counts().undrained == 0 {
        n += 1;
        let mut buffer = [0; 1232];
        let mut builder = crate::wire::downlink::Builder::to_room(&mut buffer, TAG);
        let mut bytes = vec![0; 1200];
        let len = bobs(n, &payload).write(&mut bytes);
        assert!(builder.batch(ROOM, 0, Seq(n), 1, &bytes[..len]));
        let len = builder.len();
        peer.client.handle_datagram(peer.time(), &buffer[..len]);
    }
    assert_eq!(n, 7628, "8 MiB of 1100 bytes each");
    peer.forget();
    peer.bob_says(n + 1..=n + 1);
    peer.run(20);
    assert_eq!(asked(&mut peer).iter().map(|ask| (ask.1, ask.2)).collect::<Vec<_>>(), [(n, 1)]);
}
