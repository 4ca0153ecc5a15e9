//! Private messages: passed on to where their target is now, answered by the
//! target's client, and kept nowhere.

mod support;

use outcry::wire::downlink::{Downlink, Frame as Down};
use outcry::wire::header::{DIRECT_PAYLOAD_BYTES_MAX, DirectStatus, EntryKind};
use outcry::wire::id::{Dseq, MemberId};
use outcry::wire::uplink::Frame;
use std::time::Duration;
use support::native::{Native, datagrams_to, elsewhere, entries_to, frames_to};
use support::{Bench, Sent, peer};

fn pair() -> (Bench, Native, Native) {
    let mut bench = Bench::with(|_| {});
    let alice = Native::connected(&mut bench, 1, "alice");
    let bob = Native::connected(&mut bench, 2, "bob");
    (bench, alice, bob)
}

fn direct(to: MemberId, dseq: u32, payload: &[u8]) -> Frame<'_> {
    Frame::Direct { to, dseq: Dseq(dseq), kind: EntryKind::TEXT, payload }
}

fn done(sent: &[Sent], native: &Native) -> Vec<(MemberId, u32, DirectStatus)> {
    let done = frames_to(sent, native.at).into_iter().filter_map(|frame| match frame {
        Down::DirectDone { peer, dseq, status } => Some((peer, dseq.0, status)),
        _ => None,
    });
    done.collect()
}

#[test]
fn a_private_message_goes_to_one_and_its_acknowledgement_back() {
    let (mut bench, mut alice, mut bob) = pair();
    let carol = Native::connected(&mut bench, 3, "carol");
    let sent = alice.send(&mut bench, &[direct(bob.member, 7, b"psst")]);
    let told =
        Down::Direct { from: alice.member, dseq: Dseq(7), kind: EntryKind::TEXT, name: "alice", payload: b"psst" };
    assert_eq!((frames_to(&sent, bob.at), sent.len()), (vec![told], 1), "nobody else, and no answer yet");
    assert!(matches!(Downlink::parse(&sent[0].bytes), Ok(Downlink::ToClient { ccid, .. }) if ccid == bob.ccid));
    let sent = bob.send(&mut bench, &[Frame::DirectAck { to: alice.member, dseq: Dseq(7) }]);
    assert_eq!((done(&sent, &alice), sent.len()), (vec![(bob.member, 7, DirectStatus::Delivered)], 1));
    assert_eq!(datagrams_to(&sent, carol.at).len(), 0);
    let again = alice.send(&mut bench, &[direct(bob.member, 7, b"psst")]);
    assert_eq!(frames_to(&again, bob.at), [told], "the relay keeps nothing: the target's client knows duplicates");
    assert_eq!(bench.relay.counters().native.directs, 2);
}

#[test]
fn the_peer_of_an_acknowledgement_is_who_sent_it() {
    let (mut bench, alice, _) = pair();
    let mut mallory = Native::connected(&mut bench, 3, "mallory");
    let sent = mallory.send(&mut bench, &[Frame::DirectAck { to: alice.member, dseq: Dseq(7) }]);
    assert_eq!(done(&sent, &alice), [(mallory.member, 7, DirectStatus::Delivered)]);
}

#[test]
fn who_cannot_be_reached_is_told_at_once() {
    let (mut bench, mut alice, bob) = pair();
    bench.hear(peer(1), b"plain");
    let (native, _) = Native::in_room(&mut bench, 4, "dave", "lobby");
    let sent = bench.hear(peer(1), b"plain : hi");
    let plain = entries_to(&sent, native.at).last().expect("a line").member;
    let longest = [7; DIRECT_PAYLOAD_BYTES_MAX + 1];
    let rows = [
        (direct(MemberId(alice.member.0.wrapping_add(1000)), 1, b"x"), DirectStatus::NoSuch),
        (direct(plain, 2, b"x"), DirectStatus::Plain),
        (direct(bob.member, 3, &longest), DirectStatus::TooLong),
    ];
    for (frame, status) in rows {
        let Frame::Direct { to, dseq, .. } = frame else { continue };
        let sent = alice.send(&mut bench, &[frame]);
        assert_eq!((done(&sent, &alice), sent.len()), (vec![(to, dseq.0, status)], 1));
    }
}

#[test]
fn the_longest_fits_with_the_longest_name() {
    let mut bench = Bench::with(|_| {});
    let mut alice = Native::connected(&mut bench, 1, &"x".repeat(64));
    let bob = Native::connected(&mut bench, 2, "bob");
    let sent = alice.send(&mut bench, &[direct(bob.member, 1, &[7; DIRECT_PAYLOAD_BYTES_MAX])]);
    assert!(sent.len() == 1 && sent[0].bytes.len() == 1232, "{}", sent[0].bytes.len());
}

#[test]
fn over_the_rate_is_a_limit() {
    let mut bench = Bench::with(|limits| limits.msgs_per_s = 2);
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let mut bob = Native::connected(&mut bench, 2, "bob");
    let frames = [direct(bob.member, 1, b"x"), direct(bob.member, 2, b"x"), direct(bob.member, 3, b"x")];
    let sent = alice.send(&mut bench, &frames);
    assert_eq!((frames_to(&sent, bob.at).len(), done(&sent, &alice)), (2, vec![(bob.member, 3, DirectStatus::Limit)]));
    let acks = [1, 2, 3].map(|dseq| Frame::DirectAck { to: alice.member, dseq: Dseq(dseq) });
    assert_eq!(done(&bob.send(&mut bench, &acks), &alice).len(), 2, "those count, too");
    assert_eq!(bench.relay.counters().native.frames_over_rate, 2);
}

#[test]
fn it_follows_its_target() {
    let (mut bench, mut alice, mut bob) = pair();
    bob.close(&mut bench);
    assert_eq!(alice.send(&mut bench, &[direct(bob.member, 1, b"x")]), [], "it may be back: the sender tries again");
    assert_eq!(alice.send(&mut bench, &[Frame::DirectAck { to: bob.member, dseq: Dseq(1) }]), []);
    bob.again();
    bob.at = elsewhere(7);
    bob.connect(&mut bench);
    let sent = alice.send(&mut bench, &[direct(bob.member, 1, b"x")]);
    assert_eq!(frames_to(&sent, elsewhere(7)).len(), 1);
    bob.close(&mut bench);
    for _ in 0..21 {
        bench.run(Duration::from_secs(29));
        alice.ping(&mut bench);
    }
    let sent = alice.send(&mut bench, &[direct(bob.member, 1, b"x")]);
    assert_eq!(done(&sent, &alice), [(bob.member, 1, DirectStatus::NoSuch)], "forgotten after ten minutes");
}
