//! What goes out: packing, the window, acknowledgement, what is sent again and
//! what is given up.

use super::Peer;
use super::peer::{Entered, ROOM, mine};
use crate::client::{EntryKind, Event, Lost, NotSent, RefusedCause, RoomId, RoomSpec, Seq, SlowCause, Unfit};
use crate::wire::downlink::Frame;
use crate::wire::id::{Epoch, Sseq};
use std::time::Duration;

fn send(peer: &mut Peer, room: RoomId, texts: &[&str]) -> Vec<crate::client::Ticket> {
    let now = peer.time();
    let tickets = texts.iter().map(|text| peer.client.send(now, room, text.as_bytes()).unwrap()).collect();
    peer.pump();
    tickets
}

fn ack(cumulative: u32, seq: u64, missing: bool) -> Frame<'static> {
    Frame::Ack { room: ROOM, cumulative: Sseq(cumulative), seq: Seq(seq), missing }
}

fn numbers(peer: &mut Peer) -> Vec<u32> {
    peer.msgs().iter().map(|msg| msg.0).collect()
}

/// Outcomes of messages since the last look, by their place among all tickets.
fn outcomes(peer: &mut Peer) -> Vec<Event<'static>> {
    let is_one = |event: &Event<'_>| matches!(event, Event::Delivered { .. } | Event::NotSent { .. });
    peer.events().into_iter().filter(is_one).collect()
}

#[test]
fn all_that_waits_goes_out_in_as_few_datagrams_as_fit() {
    let (mut peer, room) = Peer::in_lobby();
    for _ in 0..40 {
        peer.client.send(peer.time(), room, &[b'x'; 64]).unwrap();
    }
    let datagrams = peer.datagrams();
    assert_eq!(datagrams.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [1216, 1216, 616]);
}

#[test]
fn the_window_holds_back_what_is_above_it() {
    let (mut peer, room) = Peer::in_lobby();
    for _ in 0..15 {
        peer.client.send(peer.time(), room, &[b'x'; 1000]).unwrap();
    }
    assert_eq!(numbers(&mut peer), (1..=10).collect::<Vec<_>>());
    peer.say(&[ack(3, 3, false)]);
    assert_eq!(numbers(&mut peer), [11, 12, 13]);
    assert_eq!(peer.client.unacknowledged(room), 12);
}

#[test]
fn the_echo_is_the_acknowledgement() {
    let (mut peer, room) = Peer::in_lobby();
    let tickets = send(&mut peer, room, &["a", "b", "c"]);
    peer.run_to(30);
    peer.entries(1, &[mine(1, b"a"), mine(2, b"b")]);
    let delivered = |at: usize, seq| Event::Delivered { ticket: tickets[at], room, seq };
    assert_eq!(outcomes(&mut peer), [delivered(0, Some(Seq(1))), delivered(1, Some(Seq(2)))]);
    assert_eq!(peer.client.round_trip(), Duration::from_nanos(7_031_250), "0 ms of JOIN, then 30 ms twice");
    peer.say(&[ack(3, 9, false)]);
    assert_eq!(outcomes(&mut peer), [delivered(2, Some(Seq(9)))]);
    peer.forget();
    peer.run(5000);
    assert_eq!(numbers(&mut peer), [0; 0]);
}

#[test]
fn an_echo_ahead_of_a_gap_acknowledges_too() {
    let (mut peer, room) = Peer::in_lobby();
    let tickets = send(&mut peer, room, &["a", "b"]);
    peer.entries(6, &[mine(2, b"b")]);
    let delivered = |at: usize, seq| Event::Delivered { ticket: tickets[at], room, seq };
    assert_eq!(outcomes(&mut peer), [delivered(0, None), delivered(1, Some(Seq(6)))]);
}

#[test]
fn without_an_answer_everything_is_sent_again_with_doubling_timeouts() {
    let (mut peer, room) = Peer::in_lobby();
    send(&mut peer, room, &["a", "b"]);
    peer.run_to(9000);
    let sent: Vec<_> = peer
        .timed_frames()
        .into_iter()
        .filter_map(|(at, frame)| match frame {
            crate::wire::uplink::Frame::Msg { sseq, .. } => Some((at, sseq.0)),
            _ => None,
        })
        .collect();
    // JOIN was answered at once: the timeout is the least one.
    let expected = [0, 100, 300, 700, 1500, 3100, 6300].map(|at| [(at, 1), (at, 2)]);
    assert_eq!(sent, expected.as_flattened());
    assert_eq!(peer.client.counts().resends, 12);
}

#[test]
fn a_missing_number_is_sent_again_once_a_round_trip_with_all_that_follows() {
    let (mut peer, room) = Peer::in_lobby();
    send(&mut peer, room, &["a"]);
    peer.run_to(40);
    peer.entries(1, &[mine(1, b"a")]);
    assert_eq!(peer.client.round_trip(), Duration::from_millis(5), "an eighth of 40 ms");
    send(&mut peer, room, &["b", "c", "d"]);
    peer.forget();
    peer.run_to(50);
    peer.say(&[ack(2, 2, true)]);
    assert_eq!(numbers(&mut peer), [3, 4]);
    peer.run_to(55);
    peer.say(&[ack(2, 2, true)]);
    assert_eq!(numbers(&mut peer), [0; 0], "within a round trip");
    peer.run_to(56);
    peer.say(&[ack(2, 2, false)]);
    assert_eq!(numbers(&mut peer), [0; 0], "nothing is missing");
    peer.say(&[ack(1, 1, true)]);
    assert_eq!(numbers(&mut peer), [0; 0], "of an earlier time");
    peer.say(&[ack(2, 2, true)]);
    assert_eq!(numbers(&mut peer), [3, 4]);
}

#[test]
fn a_refused_message_is_voided_and_told() {
    let (mut peer, room) = Peer::in_lobby();
    let tickets = send(&mut peer, room, &["a", "b", "c"]);
    peer.forget();
    peer.say(&[Frame::Refused { room: ROOM, sseq: Sseq(2), cause: RefusedCause::Muted }]);
    let why = NotSent::Refused(RefusedCause::Muted);
    assert_eq!(outcomes(&mut peer), [Event::NotSent { ticket: tickets[1], room, why }]);
    let (text, void) = (EntryKind::TEXT, EntryKind::VOID);
    assert_eq!(peer.msgs(), [(2, void, String::new()), (3, text, "c".into())]);
    peer.say(&[Frame::Refused { room: ROOM, sseq: Sseq(2), cause: RefusedCause::Muted }]);
    assert_eq!((outcomes(&mut peer).len(), peer.msgs().len()), (0, 0), "told once");
    peer.say(&[ack(3, 2, false)]);
    assert_eq!(outcomes(&mut peer).len(), 2, "the void is not told of");
}

#[test]
fn slow_stops_the_room_and_then_sets_its_pace() {
    let (mut peer, room) = Peer::in_lobby();
    send(&mut peer, room, &["a", "b", "c", "d"]);
    peer.forget();
    let slow = |first_dropped| Frame::Slow {
        room: ROOM,
        cause: SlowCause::Messages,
        msgs_s: 10,
        bytes_s: 0,
        retry_ms: 500,
        first_dropped: Sseq(first_dropped),
    };
    peer.say(&[slow(2), ack(1, 1, false)]);
    peer.run_to(499);
    assert_eq!(numbers(&mut peer), [0; 0]);
    peer.run_to(510);
    assert_eq!(numbers(&mut peer), [2]);
    peer.say(&[ack(2, 2, false)]);
    peer.run_to(610);
    assert_eq!(numbers(&mut peer), [3]);
    assert!(peer.events().contains(&Event::Slow {
        room,
        cause: SlowCause::Messages,
        retry: Duration::from_millis(500)
    }));
    peer.say(&[slow(1)]);
    assert!(peer.events().is_empty(), "that one is acknowledged");
}

#[test]
fn a_new_session_has_a_pace_of_its_own() {
    let (mut peer, room) = Peer::in_lobby();
    send(&mut peer, room, &["a", "b"]);
    let (msgs_s, bytes_s, retry_ms, first_dropped) = (1, 0, 60_000, Sseq(1));
    let cause = SlowCause::Messages;
    peer.say(&[Frame::Slow { room: ROOM, cause, msgs_s, bytes_s, retry_ms, first_dropped }]);
    peer.say(&[Frame::Close { code: crate::client::Code::Idle, reason: "" }]);
    peer.run_to(5000);
    peer.welcome(Epoch(1));
    let req = peer.join_asked();
    peer.joined(req, Entered::default());
    assert_eq!(numbers(&mut peer), [1, 2]);
}

#[test]
fn without_progress_for_thirty_seconds_the_session_is_given_up() {
    let (mut peer, room) = Peer::in_lobby();
    send(&mut peer, room, &["a"]);
    peer.forget();
    peer.run_to(29_999);
    assert!(!peer.events().iter().any(|event| matches!(event, Event::Reconnecting { why: Lost::Stuck })));
    let (mut peer, room) = Peer::in_lobby();
    send(&mut peer, room, &["a"]);
    // The relay answers, but does not accept.
    for at in (0..30_000).step_by(1000) {
        peer.run_to(at);
        for (_, frame) in peer.timed_frames() {
            if let crate::wire::uplink::Frame::Ping { t } = frame {
                peer.say(&[
                    Frame::Pong { t },
                    Frame::Head { room: ROOM, tag: super::peer::TAG, members: 2, head: Seq(0), tail: Seq(1) },
                ]);
            }
        }
    }
    peer.forget();
    peer.run_to(30_001);
    assert_eq!(peer.events(), [Event::Reconnecting { why: Lost::Stuck }]);
    assert_eq!(peer.hellos().len(), 1);
}

/// Three messages are on their way, the first is acknowledged, the session is
/// lost and another one begins `after` ms later. What is told and sent then?
fn after_reconnect(after: u64, epoch: u64, next_sseq: u32) -> (Vec<Event<'static>>, Vec<(u32, String)>) {
    let (mut peer, room) = Peer::in_lobby();
    send(&mut peer, room, &["a", "b", "c"]);
    peer.say(&[ack(1, 1, false), Frame::Close { code: crate::client::Code::Idle, reason: "" }]);
    peer.run_to(6000);
    send(&mut peer, room, &["d"]);
    peer.run_to(after);
    peer.welcome(Epoch(epoch));
    let req = peer.join_asked();
    peer.forget();
    peer.joined(req, Entered { head: 5, next_sseq, ..Entered::default() });
    let sent = peer.msgs().into_iter().map(|(sseq, _, text)| (sseq, text)).collect();
    (outcomes(&mut peer), sent)
}

fn labels(events: &[Event<'_>]) -> Vec<&'static str> {
    let label = |event: &Event<'_>| match event {
        Event::Delivered { .. } => "delivered",
        Event::NotSent { why: NotSent::Unknown, .. } => "unknown",
        Event::NotSent { why: NotSent::Expired, .. } => "not sent",
        other => panic!("{other:?}"),
    };
    events.iter().map(label).collect()
}

fn sent(texts: &[(u32, &str)]) -> Vec<(u32, String)> {
    texts.iter().map(|(sseq, text)| (*sseq, (*text).to_owned())).collect()
}

#[test]
fn after_a_reconnect_what_was_accepted_is_delivered_and_the_rest_renumbered() {
    let (events, msgs) = after_reconnect(10_000, 1, 3);
    assert_eq!((labels(&events), msgs), (vec!["delivered"], sent(&[(3, "c"), (4, "d")])));
    let (events, msgs) = after_reconnect(10_000, 1, 2);
    assert_eq!((labels(&events), msgs), (vec![], sent(&[(2, "b"), (3, "c"), (4, "d")])));
}

#[test]
fn in_a_new_epoch_everything_unacknowledged_is_sent_again() {
    let (events, msgs) = after_reconnect(10_000, 2, 1);
    assert_eq!((labels(&events), msgs), (vec![], sent(&[(1, "b"), (2, "c"), (3, "d")])));
}

#[test]
fn what_is_thirty_seconds_old_by_then_is_not_sent() {
    let (events, msgs) = after_reconnect(31_000, 1, 2);
    assert_eq!((labels(&events), msgs), (vec!["not sent", "not sent"], sent(&[(2, "d")])));
    let (events, msgs) = after_reconnect(31_000, 2, 1);
    assert_eq!((labels(&events), msgs), (vec!["unknown", "unknown"], sent(&[(1, "d")])), "others may have it");
}

#[test]
fn a_relay_that_has_forgotten_leaves_what_was_open_unknown() {
    let (events, msgs) = after_reconnect(10_000, 1, 1);
    assert_eq!((labels(&events), msgs), (vec!["unknown", "unknown"], sent(&[(1, "d")])));
}

#[test]
fn echoes_of_an_earlier_session_acknowledge_nothing() {
    let (mut peer, room) = Peer::in_room(RoomSpec::lobby().with_history(5), Entered { head: 5, ..Entered::default() });
    send(&mut peer, room, &["new"]);
    peer.repair(1, &[mine(1, b"old"), mine(2, b"old")]);
    assert_eq!(outcomes(&mut peer), []);
    peer.entries(6, &[mine(1, b"new")]);
    assert_eq!(outcomes(&mut peer).len(), 1);
}

#[test]
fn what_cannot_be_sent_is_refused_here() {
    let (mut peer, room) = Peer::in_lobby();
    let now = peer.time();
    assert_eq!(peer.client.send(now, room, &[0; 1192]), Err(Unfit::TooLong { max: 1191 }));
    assert_eq!(peer.client.send_kind(now, room, EntryKind::VOID, b""), Err(Unfit::Kind));
    assert_eq!(peer.client.send_kind(now, room, EntryKind::JOINED, b"x"), Err(Unfit::Kind));
    assert!(peer.client.send_kind(now, room, EntryKind::APPLICATION, b"x").is_ok());
    let other = peer.client.join(now, RoomSpec::open("den")).unwrap();
    let taken = (0..).take_while(|_| peer.client.send(now, other, &[0; 1000]).is_ok()).count();
    assert!((1000..=1048).contains(&taken), "a MiB: {taken}");
    assert_eq!(peer.client.send(now, other, b"x"), Err(Unfit::Full));
}
