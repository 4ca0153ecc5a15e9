//! JOIN, LEAVE, NICK, WHO, LIST, private messages, sealed rooms.

use super::Peer;
use super::peer::{BOB, Entered, ME, ROOM, TAG, bobs, mine};
use crate::client::{
    Code, Direct, DirectOutcome, DirectStatus, EntryKind, Event, MemberId, NotSent, RoomKey, RoomSpec, Seq, Unfit,
};
use crate::wire::downlink::{self, Entry, Frame};
use crate::wire::header::DATAGRAM_BYTES_MAX;
use crate::wire::id::{Dseq, KeyId, Req, RoomHandle, RoomTag, Sseq};
use crate::wire::uplink;

fn failed(req: Req, code: Code) -> Frame<'static> {
    let (room, tag, members) = (RoomHandle(0), RoomTag(0), 0);
    Frame::Joined { req, room, code, tag, members, head: Seq(0), tail: Seq(0), next_sseq: Sseq(0), name: "" }
}

fn head(room: RoomHandle) -> Frame<'static> {
    Frame::Head { room, tag: TAG, members: 2, head: Seq(0), tail: Seq(1) }
}

#[test]
fn a_join_is_repeated_with_its_number_and_what_is_sent_meanwhile_waits() {
    let mut peer = Peer::connected();
    let room = peer.client.join(peer.time(), RoomSpec::open("den").with_listing(false)).unwrap();
    peer.client.send(peer.time(), room, b"x").unwrap();
    peer.run_to(5000);
    let frames = peer.timed_frames();
    let (req, key_id) = (Req(1), KeyId(0));
    let join = uplink::Frame::Join { req, sealed: false, unlisted: true, key_id, room: "den" };
    // WELCOME came at once: the timeout is the least one.
    assert_eq!(frames, [0, 100, 300, 700, 1500, 3100].map(|at| (at, join)));
    peer.joined(req, Entered::default());
    assert_eq!(peer.msgs().len(), 1);
    peer.joined(req, Entered { room: RoomHandle(9), ..Entered::default() });
    peer.forget();
    peer.client.send(peer.time(), room, b"x").unwrap();
    assert!(matches!(peer.frames()[..], [uplink::Frame::Msg { room: ROOM, .. }]), "the first answer counts");
}

#[test]
fn a_failed_join_gives_up_what_waits_but_a_rate_is_waited_for() {
    let mut peer = Peer::connected();
    let room = peer.client.join(peer.time(), RoomSpec::open("den")).unwrap();
    let ticket = peer.client.send(peer.time(), room, b"x").unwrap();
    let req = peer.join_asked();
    peer.say(&[failed(req, Code::Rate)]);
    peer.run(999);
    assert!(peer.frames().is_empty());
    peer.run(1);
    let req = peer.join_asked();
    peer.say(&[failed(req, Code::Limit)]);
    let not_sent = Event::NotSent { ticket, room, why: NotSent::Ended };
    assert_eq!(peer.events(), [not_sent, Event::JoinFailed { room, code: Code::Limit }]);
    assert_eq!(peer.client.send(peer.time(), room, b"x"), Err(Unfit::NoRoom));
}

#[test]
fn a_room_is_left_and_can_be_joined_anew() {
    let (mut peer, room) = Peer::in_lobby();
    assert_eq!(peer.client.join(peer.time(), RoomSpec::lobby()), Err(Unfit::Already));
    peer.client.leave(peer.time(), room).unwrap();
    let [uplink::Frame::Leave { req, room: ROOM }] = peer.frames()[..] else { panic!() };
    peer.bob_says(1..=1);
    assert_eq!(peer.events(), [], "nothing is told of it any more");
    let again = peer.client.join(peer.time(), RoomSpec::lobby()).unwrap();
    peer.say(&[Frame::Result { req, code: Code::Ok }]);
    assert_eq!(peer.events(), [Event::Left { room }]);
    assert!(room != again && peer.client.unacknowledged(again) == 0);
}

#[test]
fn rooms_and_names_have_limits() {
    let mut peer = Peer::connected();
    for name in ["", "a\nb", &"x".repeat(65)] {
        assert_eq!(peer.client.join(peer.time(), RoomSpec::open(name)), Err(Unfit::Name));
    }
    (0..32).for_each(|n| _ = peer.client.join(peer.time(), RoomSpec::open(format!("r{n}"))).unwrap());
    assert_eq!(peer.client.join(peer.time(), RoomSpec::lobby()), Err(Unfit::TooManyRooms));
}

#[test]
fn a_room_that_the_relay_does_not_tell_of_is_joined_again() {
    let (mut peer, room) = Peer::in_lobby();
    peer.run_to(20_000);
    let [uplink::Frame::Ping { t }] = peer.frames()[..] else { panic!() };
    peer.client.send(peer.time(), room, b"x").unwrap();
    peer.forget();
    peer.say(&[Frame::Pong { t }]);
    let req = peer.join_asked();
    peer.joined(req, Entered { next_sseq: 1, ..Entered::default() });
    assert_eq!(peer.msgs().iter().map(|msg| msg.0).collect::<Vec<_>>(), [1], "with the number that it had");
}

#[test]
fn within_a_session_a_number_stands_for_one_message_only() {
    let (mut peer, room) = Peer::in_lobby();
    for text in ["a", "b", "c"] {
        peer.client.send(peer.time(), room, text.as_bytes()).unwrap();
    }
    peer.pump();
    let muted = crate::client::RefusedCause::Muted;
    peer.say(&[Frame::Refused { room: ROOM, sseq: Sseq(2), cause: muted }]);
    peer.run_to(29_000);
    peer.say(&[Frame::Refused { room: ROOM, sseq: Sseq(1), cause: crate::client::RefusedCause::NotAMember }]);
    peer.run_to(31_000);
    let req = peer.join_asked();
    peer.joined(req, Entered { next_sseq: 1, ..Entered::default() });
    let (text, void) = (EntryKind::TEXT, EntryKind::VOID);
    let expected = [(1, text, "a".to_owned()), (2, void, String::new()), (3, text, "c".to_owned())];
    assert_eq!(peer.msgs(), expected, "old and void ones too");
}

#[test]
fn a_room_that_was_joined_after_the_ping_is_not_missed() {
    let mut peer = Peer::connected();
    peer.run_to(20_000);
    let [uplink::Frame::Ping { t }] = peer.frames()[..] else { panic!() };
    peer.run_to(20_010);
    peer.join(RoomSpec::lobby(), Entered::default());
    peer.forget();
    peer.say(&[Frame::Pong { t }]);
    assert_eq!(peer.frames(), []);
}

#[test]
fn a_room_that_the_client_is_not_in_is_left_but_not_while_a_join_is_open() {
    let (mut peer, _) = Peer::in_lobby();
    peer.say(&[head(RoomHandle(5))]);
    let [uplink::Frame::Leave { req, room: RoomHandle(5) }] = peer.frames()[..] else { panic!() };
    peer.say(&[head(RoomHandle(5))]);
    assert_eq!(peer.frames(), [], "that is under way");
    peer.say(&[Frame::Result { req, code: Code::Ok }]);
    assert_eq!(peer.events(), []);
    peer.client.join(peer.time(), RoomSpec::open("den")).unwrap();
    peer.forget();
    peer.say(&[head(RoomHandle(6))]);
    assert_eq!(peer.frames(), []);
}

#[test]
fn a_refusal_because_of_a_lost_place_makes_the_client_join_again() {
    let (mut peer, room) = Peer::in_lobby();
    peer.client.send(peer.time(), room, b"x").unwrap();
    peer.forget();
    peer.say(&[Frame::Refused { room: ROOM, sseq: Sseq(1), cause: crate::client::RefusedCause::NotAMember }]);
    let req = peer.join_asked();
    peer.joined(req, Entered::default());
    assert_eq!(peer.msgs().len(), 1);
    assert!(!peer.events().iter().any(|event| matches!(event, Event::NotSent { .. })));
}

/// Says a part of a list of members, and where it goes on.
fn members(peer: &mut Peer, req: Req, members: &[(u32, &str)], next: u32) {
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    let mut builder = downlink::Builder::to_client(&mut buffer, peer.ccid);
    let mut list = builder.members(req, ROOM, Seq(3)).unwrap();
    assert!(members.iter().all(|(member, name)| list.add(*member, name)));
    list.finish(next);
    let len = builder.len();
    peer.hear(&buffer[..len]);
}

#[test]
fn a_list_comes_in_parts_each_asked_for_with_its_cursor() {
    let (mut peer, room) = Peer::in_lobby();
    let request = peer.client.who(peer.time(), room).unwrap();
    let [uplink::Frame::Who { req, cursor: 0, member: MemberId(0), .. }] = peer.frames()[..] else { panic!() };
    members(&mut peer, req, &[(7, "seven")], 55);
    members(&mut peer, req, &[(7, "seven")], 55);
    let [uplink::Frame::Who { req, cursor: 55, .. }] = peer.frames()[..] else { panic!("asked once") };
    members(&mut peer, req, &[(8, "eight")], 0);
    let one = |member, name: &'static str| Event::Member {
        request,
        room,
        member: MemberId(member),
        name: name.into(),
        at: Seq(3),
    };
    assert_eq!(peer.events(), [one(7, "seven"), one(8, "eight"), Event::ListEnd { request, complete: true }]);
    assert_eq!(peer.client.name_of(room, MemberId(8)), Some("eight"));
}

#[test]
fn an_answer_to_another_question_is_none() {
    let mut peer = Peer::connected();
    let room = peer.client.join(peer.time(), RoomSpec::lobby()).unwrap();
    let req = peer.join_asked();
    let unexpected = peer.client.counts().unexpected;
    members(&mut peer, req, &[(7, "seven")], 0);
    peer.say(&[Frame::Result { req, code: Code::Ok }]);
    assert_eq!((peer.events(), peer.client.counts().unexpected - unexpected), (vec![], 2));
    peer.joined(req, Entered::default());
    assert!(matches!(peer.events()[..], [Event::Joined { room: joined, .. }] if joined == room));
}

#[test]
fn a_question_without_answer_ends_after_thirty_seconds() {
    let mut peer = Peer::connected();
    let list = peer.client.list(peer.time()).unwrap();
    let nick = peer.client.nick(peer.time(), "bob").unwrap();
    peer.run_to(29_000);
    assert!(!peer.events().iter().any(|event| matches!(event, Event::ListEnd { .. })));
    peer.run_to(30_000);
    let events = peer.events();
    assert!(events.contains(&Event::ListEnd { request: list, complete: false }), "{events:?}");
    assert!(events.contains(&Event::Nick { request: nick, code: None }));
}

#[test]
fn a_new_name_is_used_in_the_next_hello() {
    let mut peer = Peer::connected();
    for (name, code) in [("bob", Code::Ok), ("carl", Code::Taken)] {
        let request = peer.client.nick(peer.time(), name).unwrap();
        let [uplink::Frame::Nick { req, .. }] = peer.frames()[..] else { panic!() };
        peer.say(&[Frame::Result { req, code }]);
        assert_eq!(peer.events(), [Event::Nick { request, code: Some(code) }]);
    }
    peer.say(&[Frame::Close { code: Code::Idle, reason: "" }]);
    peer.run(5000);
    assert_eq!(peer.hellos()[0].1.name, "bob");
}

#[test]
fn who_is_there_is_asked_once_on_entering_a_room_that_is_not_large() {
    for (members, asked) in [(1, 0), (2, 1), (256, 1), (257, 0)] {
        let mut peer = Peer::connected();
        peer.join(RoomSpec::lobby(), Entered { members, ..Entered::default() });
        let is_who = |frame: &uplink::Frame<'_>| matches!(frame, uplink::Frame::Who { member: MemberId(0), .. });
        assert_eq!(peer.frames().iter().filter(|frame| is_who(frame)).count(), asked, "{members}");
    }
    let mut peer = Peer::connected();
    let room = peer.join(RoomSpec::lobby(), Entered { members: 2, ..Entered::default() });
    let [.., uplink::Frame::Who { req, .. }] = peer.frames()[..] else { panic!() };
    peer.entries(1, &[bobs(1, b"hi")]);
    peer.forget();
    members(&mut peer, req, &[(BOB.0, "bob"), (ME.0, "alice")], 0);
    assert_eq!(peer.events(), [Event::Named { room, member: BOB, name: "bob".into() }], "he was told of without");
}

#[test]
fn an_unknown_authors_name_follows() {
    let (mut peer, room) = Peer::in_lobby();
    peer.entries(1, &[bobs(1, b"hi")]);
    let [uplink::Frame::Who { req, member: BOB, .. }] = peer.frames()[..] else { panic!() };
    peer.forget();
    members(&mut peer, req, &[(BOB.0, "bob")], 0);
    assert_eq!(peer.events(), [Event::Named { room, member: BOB, name: "bob".into() }]);
    peer.entries(2, &[bobs(2, b"ho")]);
    let [Event::Message(message)] = &peer.events()[..] else { panic!() };
    assert_eq!(message.name.as_deref(), Some("bob"));
}

#[test]
fn private_messages_go_both_ways() {
    let mut peer = Peer::connected();
    let ticket = peer.client.direct(peer.time(), BOB, b"psst").unwrap();
    let (kind, dseq) = (EntryKind::TEXT, Dseq(1));
    assert_eq!(peer.frames(), [uplink::Frame::Direct { to: BOB, dseq, kind, payload: b"psst" }]);
    peer.say(&[Frame::DirectDone { peer: BOB, dseq, status: DirectStatus::Delivered }]);
    let outcome = DirectOutcome::Answered(DirectStatus::Delivered);
    assert_eq!(peer.events(), [Event::DirectDone { ticket, to: BOB, outcome }]);

    let said = Frame::Direct { from: BOB, dseq: Dseq(9), kind, name: "bob", payload: b"what?" };
    peer.say(&[said]);
    let heard = Direct { from: BOB, name: "bob".into(), dseq: Dseq(9), kind, payload: b"what?".as_slice().into() };
    assert_eq!(peer.events(), [Event::Direct(heard)]);
    let ack = uplink::Frame::DirectAck { to: BOB, dseq: Dseq(9) };
    assert_eq!(peer.frames(), [ack]);
    peer.say(&[said]);
    assert_eq!((peer.events(), peer.frames()), (vec![], vec![ack]), "told once, confirmed again");
    assert_eq!(peer.client.direct(peer.time(), BOB, &[0; 1144]), Err(Unfit::TooLong { max: 1143 }));
}

#[test]
fn a_sealed_room_is_open_to_its_members_only() {
    let key = RoomKey::from_secret("den", &[9; 32]);
    let (mut peer, room) = Peer::in_room(RoomSpec::sealed("den", key), Entered::default());
    peer.client.send(peer.time(), room, b"secret").unwrap();
    peer.client.send(peer.time(), room, b"more").unwrap();
    let sent: Vec<_> = peer
        .frames()
        .into_iter()
        .map(|frame| match frame {
            uplink::Frame::Msg { kind: EntryKind::SEALED, payload, .. } => payload,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(!sent[0].windows(6).any(|window| window == b"secret"));
    let sealed = |member, sseq, payload| Entry { member, sseq: Sseq(sseq), kind: EntryKind::SEALED, payload };
    let mut changed = sent[1].to_vec();
    changed[40] ^= 1;
    peer.entries(
        1,
        &[
            sealed(ME, 1, sent[0]),
            sealed(BOB, 1, sent[0]),
            sealed(BOB, 2, &changed),
            bobs(3, b"clear"),
            mine(2, b"clear"),
        ],
    );
    let events = peer.events();
    let Event::Message(message) = &events[2] else { panic!("{events:?}") };
    assert_eq!((message.name.as_deref(), &*message.payload, message.mine), (Some("alice"), &b"secret"[..], true));
    let undecryptable = |seq, member| Event::Undecryptable { room, seq: Seq(seq), member };
    assert_eq!(events[3..], [undecryptable(3, BOB), undecryptable(4, BOB), undecryptable(5, ME)]);
    assert_eq!((peer.client.counts().sealed_repeats, peer.client.counts().undecryptable), (1, 3));
    assert_eq!(peer.client.send_kind(peer.time(), room, EntryKind::APPLICATION, b""), Err(Unfit::Kind));
    assert!(peer.client.send(peer.time(), room, &[0; 1121]).is_ok());
    assert_eq!(peer.client.send(peer.time(), room, &[0; 1122]), Err(Unfit::TooLong { max: 1121 }));
}
