//! PING, paths, and the question whether the relay is there.

use super::Peer;
use super::peer::{ROOM, TAG};
use crate::client::{Event, Lost, Seq};
use crate::wire::downlink::Frame;
use crate::wire::id::Token;
use crate::wire::uplink;

/// When PINGs went out since the last look, and what they said.
fn pings(peer: &mut Peer) -> Vec<(u64, u64)> {
    let ping = |(at, frame)| match frame {
        uplink::Frame::Ping { t } => Some((at, t)),
        _ => None,
    };
    peer.timed_frames().into_iter().filter_map(ping).collect()
}

fn head(head: u64) -> Frame<'static> {
    Frame::Head { room: ROOM, tag: TAG, members: 1, head: Seq(head), tail: Seq(1) }
}

#[test]
fn twenty_seconds_without_sending_and_the_client_gives_a_sign_of_life() {
    let (mut peer, _) = Peer::in_lobby();
    for round in 1..4 {
        peer.run_to(round * 20_000);
        let [(at, t)] = pings(&mut peer)[..] else { panic!("one") };
        assert_eq!(at, round * 20_000);
        peer.say(&[Frame::Pong { t }, head(0)]);
    }
    assert_eq!(peer.events(), []);
}

#[test]
fn a_head_after_the_last_batch_makes_a_ping_needless() {
    for (head_at, expected) in
        [(None, Some(1500)), (Some(100), Some(1500)), (Some(499), Some(1500)), (Some(1000), None)]
    {
        let (mut peer, _) = Peer::in_lobby();
        peer.bob_says(1..=1);
        if let Some(at) = head_at {
            peer.run_to(at);
            peer.say_to_room(TAG, &[head(1)]);
        }
        peer.run_to(1600);
        assert_eq!(pings(&mut peer).first().map(|ping| ping.0), expected, "{head_at:?}");
    }
}

#[test]
fn history_is_no_sign_that_a_head_must_follow() {
    let entered = super::peer::Entered { head: 3, ..Default::default() };
    let (mut peer, _) = Peer::in_room(crate::client::RoomSpec::lobby().with_history(3), entered);
    peer.repair(1, &[1, 2, 3].map(|n| super::peer::bobs(n, b"x")));
    peer.run_to(5000);
    assert_eq!(pings(&mut peer), []);
}

#[test]
fn a_ping_without_answer_is_repeated_three_times_then_a_new_session_begins_beside_the_old_one() {
    let (mut peer, room) = Peer::in_lobby();
    peer.run_to(20_000);
    peer.run_to(21_499);
    let times: Vec<_> = pings(&mut peer).iter().map(|ping| ping.0).collect();
    assert_eq!(times, [20_000, 20_100, 20_300, 20_700]);
    assert_eq!(peer.events(), []);
    peer.run_to(21_500);
    assert_eq!(peer.events(), [Event::Reconnecting { why: Lost::Silent }]);
    assert_eq!(peer.hellos().len(), 1);
    peer.bob_says(1..=1);
    assert_eq!(peer.heard().len(), 1, "the old session goes on");
    peer.client.send(peer.time(), room, b"x").unwrap();
    assert_eq!(peer.msgs().len(), 1);
    peer.run_to(22_000);
    assert_eq!(peer.hellos().len(), 1, "a quarter of a second later; no other PINGs");
}

#[test]
fn an_answer_to_any_of_the_repeats_counts() {
    let (mut peer, _) = Peer::in_lobby();
    peer.run_to(20_350);
    let sent = pings(&mut peer);
    peer.say(&[Frame::Pong { t: 5 }]);
    peer.say(&[Frame::Pong { t: sent[1].1 }, head(0)]);
    peer.run_to(25_000);
    assert_eq!((pings(&mut peer), peer.client.counts().unexpected), (vec![], 1));
    assert_eq!(peer.client.round_trip(), std::time::Duration::from_micros(31_250), "an eighth of 250 ms");
}

#[test]
fn a_closed_port_is_a_hint_and_only_silence_counts() {
    let (mut peer, _) = Peer::in_lobby();
    // A forger, who cannot make a relay that answers go away, nor make the client talk more than a bit.
    for at in (0..5000).step_by(10) {
        peer.run_to(at);
        peer.client.relay_unreachable(peer.time());
        for (_, t) in pings(&mut peer) {
            assert_eq!(at % 1000, 0);
            peer.say(&[Frame::Pong { t }, head(0)]);
        }
    }
    assert_eq!(peer.events(), []);
    peer.run_to(6000);
    peer.client.relay_unreachable(peer.time());
    peer.run_to(7499);
    assert_eq!(peer.events(), []);
    peer.run_to(7500);
    assert_eq!(peer.events(), [Event::Reconnecting { why: Lost::Silent }]);
    // What is known is not asked again.
    peer.forget();
    for at in (7500..20_000).step_by(250) {
        peer.run_to(at);
        peer.client.relay_unreachable(peer.time());
    }
    assert_eq!((pings(&mut peer), peer.events()), (vec![], vec![]));
}

#[test]
fn requests_for_entries_that_nothing_answers_are_a_reason_to_ask() {
    let (mut peer, _) = Peer::in_lobby();
    peer.bob_says(2..=2);
    let heard_head = |peer: &mut Peer, at| {
        peer.run_to(at);
        peer.say_to_room(TAG, &[head(2)]);
    };
    heard_head(&mut peer, 1000);
    peer.run_to(10_000);
    let first = pings(&mut peer)[0].0;
    assert!((2500..2700).contains(&first), "{first}");
}

#[test]
fn a_path_challenge_is_answered() {
    let mut peer = Peer::connected();
    peer.client.address_changed(peer.time());
    assert_eq!(pings(&mut peer).len(), 1);
    peer.say(&[Frame::PathChallenge { token: Token(77) }]);
    assert_eq!(peer.frames(), [uplink::Frame::PathResponse { token: Token(77) }]);
}

#[test]
fn datagrams_are_numbered_and_padded() {
    let (mut peer, room) = Peer::in_lobby();
    for text in [b"a", b"b", b"c"] {
        peer.client.send(peer.time(), room, text).unwrap();
        peer.pump();
    }
    let numbers: Vec<_> = peer
        .datagrams()
        .iter()
        .map(|(_, bytes)| {
            assert_eq!(bytes.len(), 32);
            uplink::Session::envelope(bytes).unwrap().1.0
        })
        .collect();
    assert_eq!(numbers, [1, 2, 3], "0 was the JOIN");
}
