//! How sessions end and follow one another.

use super::Peer;
use super::peer::{BOB, EPOCH, Entered, ME, bobs};
use crate::client::{Code, DirectOutcome, End, Event, Lost, NotSent, RoomSpec, Seq};
use crate::wire::downlink::Frame;
use crate::wire::handshake::NoSession;
use crate::wire::id::{Dseq, Epoch, Instance, Scid};
use crate::wire::uplink;

fn close(code: Code) -> Frame<'static> {
    Frame::Close { code, reason: "because" }
}

/// What follows a CLOSE: the events, and when a HELLO goes out.
fn after_close(code: Code) -> (Vec<Event<'static>>, Option<u64>) {
    let (mut peer, _) = Peer::in_lobby();
    peer.say(&[close(code)]);
    let events = peer.events();
    peer.run_to(40_000);
    (events, peer.hellos().first().map(|hello| hello.0))
}

#[test]
fn each_code_has_its_consequence() {
    let mut waits = Vec::new();
    for code in [Code::Idle, Code::Shutdown, Code::Unreachable] {
        let (events, hello) = after_close(code);
        assert_eq!(events, [Event::Reconnecting { why: Lost::Closed(code) }]);
        waits.extend(hello);
    }
    assert!(waits.len() == 3 && waits.iter().all(|wait| *wait <= 5000), "{waits:?}");
    for code in [Code::Full, Code::Rate, Code::Limit] {
        assert_eq!(after_close(code), (vec![Event::Reconnecting { why: Lost::Closed(code) }], Some(30_000)));
    }
    for code in [Code::Kicked, Code::Protocol, Code::Replaced, Code::Version, Code::Access, Code::Banned, Code::Ok] {
        let closed = Event::Closed { why: End::Code(code), reason: "because".into() };
        assert_eq!(after_close(code), (vec![closed], None), "{code:?}");
    }
}

#[test]
fn a_hello_once_sent_is_seen_through_whatever_the_old_session_says() {
    let (mut peer, _) = Peer::in_lobby();
    peer.hear(&NoSession { scid: Scid(peer.scid), epoch: EPOCH }.encode());
    peer.run_to(1000);
    peer.forget();
    peer.say(&[close(Code::Replaced)]);
    assert!(!peer.client.is_over() && !peer.client.is_connected() && peer.events().is_empty());
    peer.run_to(2000);
    peer.welcome(EPOCH);
    assert!(peer.client.is_connected());
}

#[test]
fn a_move_is_followed_once() {
    let (mut peer, _) = Peer::in_lobby();
    let moved = Frame::Close { code: Code::Moved, reason: "relay2.example:9999" };
    peer.say(&[moved]);
    assert_eq!(
        peer.events(),
        [Event::Moved { to: "relay2.example:9999".into() }, Event::Reconnecting { why: Lost::Closed(Code::Moved) }]
    );
    peer.run_to(5000);
    peer.welcome(Epoch(2));
    peer.forget();
    peer.say(&[moved]);
    assert!(matches!(peer.events()[..], [Event::Closed { why: End::Code(Code::Moved), .. }]));
}

#[test]
fn goodbye_is_said_three_times_and_what_is_open_is_given_up() {
    let (mut peer, room) = Peer::in_lobby();
    let den = peer.client.join(peer.time(), RoomSpec::open("den")).unwrap();
    let sent = peer.client.send(peer.time(), room, b"a").unwrap();
    let held = peer.client.send(peer.time(), den, b"b").unwrap();
    let direct = peer.client.direct(peer.time(), BOB, b"c").unwrap();
    peer.forget();
    peer.client.close(peer.time());
    let not_sent = |ticket, room, why| Event::NotSent { ticket, room, why };
    assert_eq!(
        peer.events(),
        [
            not_sent(sent, room, NotSent::Unknown),
            not_sent(held, den, NotSent::Ended),
            Event::DirectDone { ticket: direct, to: BOB, outcome: DirectOutcome::Ended },
            Event::Closed { why: End::Done, reason: "".into() },
        ]
    );
    peer.run_to(10_000);
    let closes: Vec<_> = peer
        .timed_frames()
        .into_iter()
        .map(|(at, frame)| {
            assert_eq!(frame, uplink::Frame::Close { code: Code::Ok, reason: "" });
            at
        })
        .collect();
    assert_eq!(closes, [0, 50, 200]);
    peer.bob_says(1..=1);
    assert_eq!((peer.events(), peer.client.next_deadline()), (vec![], None));
}

#[test]
fn in_the_same_epoch_a_room_goes_on_where_it_was() {
    let (mut peer, room) = Peer::in_lobby();
    peer.bob_says(1..=3);
    peer.bob_says(5..=5);
    peer.say(&[close(Code::Idle)]);
    peer.forget();
    peer.run_to(5000);
    peer.welcome(EPOCH);
    assert!(peer.events().contains(&Event::Connected { member: ME, epoch: EPOCH, resumed: true }));
    let req = peer.join_asked();
    peer.joined(req, Entered { head: 9, ..Entered::default() });
    assert!(matches!(peer.events()[..], [Event::Joined { first: Seq(4), head: Seq(9), .. }]));
    peer.forget();
    peer.repair(4, &[bobs(4, b"4"), bobs(5, b"5")]);
    peer.bob_says(6..=9);
    assert_eq!(peer.heard().iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (4..=9).collect::<Vec<_>>());
    peer.forget();
    peer.run(1000);
    let lost = peer.frames().into_iter().find_map(|frame| match frame {
        uplink::Frame::Report { lost, .. } => Some(lost),
        _ => None,
    });
    assert_eq!(lost, Some(0), "counted since this JOIN, and what was said meanwhile is no loss");
    assert!(peer.client.name_of(room, BOB).is_none());
}

#[test]
fn a_new_epoch_begins_with_all_that_the_relay_keeps() {
    let (mut peer, _) = Peer::in_lobby();
    peer.bob_says(1..=3);
    peer.client.direct(peer.time(), BOB, b"c").unwrap();
    peer.say(&[close(Code::Shutdown)]);
    peer.forget();
    peer.run_to(5000);
    peer.welcome(Epoch(2));
    let told = peer.events();
    assert!(told.contains(&Event::Connected { member: ME, epoch: Epoch(2), resumed: false }), "{told:?}");
    assert!(told.iter().any(|event| matches!(event, Event::DirectDone { outcome: DirectOutcome::NewEpoch, .. })));
    let req = peer.join_asked();
    peer.joined(req, Entered { head: 2, ..Entered::default() });
    let nack = peer.frames();
    assert!(nack.iter().any(|frame| matches!(frame, uplink::Frame::Nack { .. })), "{nack:?}");
    peer.repair(1, &[bobs(1, b"again"), bobs(2, b"new")]);
    assert_eq!(peer.heard(), [(1, "again".to_owned()), (2, "new".to_owned())]);
}

#[test]
fn private_messages_heard_in_an_earlier_epoch_are_forgotten() {
    let mut peer = Peer::connected();
    let direct =
        Frame::Direct { from: BOB, dseq: Dseq(3), kind: crate::client::EntryKind::TEXT, name: "bob", payload: b"x" };
    peer.say(&[direct, direct]);
    assert_eq!(peer.events().len(), 1);
    peer.say(&[close(Code::Shutdown)]);
    peer.run_to(5000);
    peer.welcome(Epoch(2));
    peer.forget();
    peer.say(&[direct]);
    assert_eq!(peer.events().len(), 1);
}

#[test]
fn the_instance_is_kept_and_the_session_ids_are_new() {
    let mut peer = Peer::new();
    let first = peer.retry(1);
    peer.welcome_to(first.ccid, first.nonce, EPOCH);
    peer.forget();
    peer.say(&[close(Code::Idle)]);
    peer.run_to(5000);
    let (_, second) = peer.hellos()[0];
    assert_eq!(first.instance, second.instance);
    assert!(first.instance != Instance(0) && first.ccid != second.ccid && first.nonce != second.nonce);
}

#[test]
fn what_was_asked_of_the_old_session_ends_with_it() {
    let (mut peer, room) = Peer::in_lobby();
    let den = peer.client.join(peer.time(), RoomSpec::open("den")).unwrap();
    let req = peer.join_asked();
    peer.joined(req, Entered { room: crate::wire::id::RoomHandle(2), ..Entered::default() });
    let who = peer.client.who(peer.time(), room).unwrap();
    let list = peer.client.list(peer.time()).unwrap();
    peer.client.leave(peer.time(), den).unwrap();
    peer.say(&[close(Code::Idle)]);
    peer.forget();
    peer.run_to(5000);
    peer.welcome(EPOCH);
    let events = peer.events();
    for ended in [who, list] {
        assert!(events.contains(&Event::ListEnd { request: ended, complete: false }), "{events:?}");
    }
    assert!(events.contains(&Event::Left { room: den }));
    let joins = peer.frames().iter().filter(|frame| matches!(frame, uplink::Frame::Join { .. })).count();
    assert_eq!((joins, peer.frames().len()), (1, 0), "the lobby only, and nothing is left or asked again");
}

#[test]
fn a_private_message_that_never_went_out_gets_too_old() {
    let mut peer = Peer::connected();
    peer.say(&[close(Code::Idle)]);
    let direct = peer.client.direct(peer.time(), BOB, b"old").unwrap();
    peer.run_to(29_000);
    let young = peer.client.direct(peer.time(), BOB, b"young").unwrap();
    peer.run_to(31_000);
    peer.welcome(EPOCH);
    let done = Event::DirectDone { ticket: direct, to: BOB, outcome: DirectOutcome::NotConfirmed };
    assert!(peer.events().contains(&done) && young != direct);
    let [uplink::Frame::Direct { payload: b"young", .. }] = peer.frames()[..] else { panic!() };
}
