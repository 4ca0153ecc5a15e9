//! HELLO and what answers it.

use super::peer::{EPOCH, ME};
use super::{Peer, ms};
use crate::client::{AccessKey, Code, End, Event, Lost, Options, RoomSpec};
use crate::wire::handshake::{Cookie, Hello, NoSession, OtherVersion, Refuse, Retry};
use crate::wire::id::{Ccid, Epoch, Nonce, Scid};
use std::time::Duration;

fn times(hellos: &[(u64, Hello<'_>)]) -> Vec<u64> {
    hellos.iter().map(|(at, _)| *at).collect()
}

#[test]
fn hello_is_repeated_after_a_quarter_second_doubling_to_one_and_given_up_after_fifteen() {
    let mut peer = Peer::new();
    peer.run_to(60_000);
    let hellos = peer.hellos();
    assert_eq!(times(&hellos)[..6], [0, 250, 750, 1750, 2750, 3750]);
    assert_eq!(times(&hellos).last(), Some(&14_750));
    let (_, first) = hellos[0];
    assert!(hellos.iter().all(|(_, hello)| *hello == first), "the same over its repeats");
    assert_eq!((first.name, first.cookie, first.proof), ("alice", Cookie::default(), None));
    let [(15_000, Event::Closed { why: End::NoAnswer, .. })] = peer.timed_events()[..] else { panic!() };
    assert_eq!(peer.client.next_deadline(), None);
}

#[test]
fn a_cookie_is_brought_back_at_once_and_the_session_begins() {
    let mut peer = Peer::new();
    peer.run_to(40);
    let asked = peer.retry(7);
    let [(40, again)] = peer.hellos()[..] else { panic!("at once") };
    assert_eq!(again, Hello { cookie: Cookie([7; 24]), ..asked });
    peer.run_to(80);
    peer.welcome_to(asked.ccid, asked.nonce, EPOCH);
    assert_eq!(peer.events(), [Event::Connected { member: ME, epoch: EPOCH, resumed: false }]);
    assert_eq!(peer.client.round_trip(), Duration::from_millis(40));
    peer.run_to(5000);
    assert!(peer.hellos().is_empty());
}

#[test]
fn a_second_cookie_does_not_make_two_programs_chase_each_other() {
    let mut peer = Peer::new();
    let hello = peer.retry(1);
    peer.forget();
    for n in 2..50 {
        peer.run_to(u64::from(n));
        peer.hear(&Retry { ccid: hello.ccid, nonce: hello.nonce, cookie: Cookie([n; 24]) }.encode());
    }
    peer.run_to(400);
    let hellos = peer.hellos();
    assert_eq!(times(&hellos), [250]);
    assert_eq!(hellos[0].1.cookie, Cookie([49; 24]));
}

#[test]
fn answers_to_other_attempts_are_dropped() {
    let mut peer = Peer::new();
    let (_, hello) = peer.hellos()[0];
    let others = [(Ccid(hello.ccid.0 ^ 1), hello.nonce), (hello.ccid, Nonce(hello.nonce.0 ^ 1))];
    for (ccid, nonce) in others {
        peer.welcome_to(ccid, nonce, EPOCH);
        peer.hear(&Retry { ccid, nonce, cookie: Cookie([1; 24]) }.encode());
        peer.hear(&Refuse { ccid, nonce, code: Code::Kicked, retry_ms: 0 }.encode());
    }
    peer.hear(&OtherVersion { ccid: others[0].0, versions: [2; 8] }.encode());
    peer.hear(&NoSession { scid: Scid(1), epoch: EPOCH }.encode());
    assert_eq!((peer.events().len(), peer.hellos().len(), peer.client.counts().foreign), (0, 0, 8));
    peer.hear(b"[relay] send K7M2Q9XD to join");
    assert_eq!(peer.client.counts().malformed, 1);
}

#[test]
fn a_refusal_is_taken_as_its_code_says() {
    let refused = |code, retry_ms| {
        let mut peer = Peer::new();
        let hello = peer.retry(1);
        peer.hear(&Refuse { ccid: hello.ccid, nonce: hello.nonce, code, retry_ms }.encode());
        let events = peer.events();
        peer.forget();
        peer.run_to(40_000);
        (events, peer.hellos().first().map(|(at, again)| (*at, again.ccid != hello.ccid)))
    };
    for code in [Code::Full, Code::Rate, Code::Limit] {
        let told = |retry| vec![Event::Refused { code, retry }];
        assert_eq!(refused(code, 700), (told(Duration::from_millis(700)), Some((700, true))));
        assert_eq!(refused(code, 0), (told(Duration::from_secs(30)), Some((30_000, true))));
    }
    for code in [Code::Idle, Code::Shutdown, Code::Unreachable] {
        let (events, again) = refused(code, 9000);
        assert!(matches!(events[..], [Event::Refused { .. }]) && again.is_some_and(|(at, new)| at <= 5000 && new));
    }
    let final_codes = [Code::Kicked, Code::Protocol, Code::Replaced, Code::Version, Code::Access, Code::Banned];
    for code in final_codes.into_iter().chain([Code::Moved, Code::Unknown(99)]) {
        let closed = Event::Closed { why: End::Code(code), reason: "".into() };
        assert_eq!(refused(code, 700), (vec![closed], None), "{code:?}");
    }
}

#[test]
fn another_version_ends_it() {
    let mut peer = Peer::new();
    let (_, hello) = peer.hellos()[0];
    let mut answer = OtherVersion { ccid: hello.ccid, versions: [2, 3, 0, 0, 0, 0, 0, 0] }.encode();
    answer[2] = 9; // of whatever version
    peer.hear(&answer);
    assert!(matches!(peer.events()[..], [Event::Closed { why: End::OtherVersion([2, 3, ..]), .. }]));
    assert!(peer.client.is_over() && peer.client.join(ms(0), RoomSpec::lobby()).is_err());
}

#[test]
fn the_access_key_is_proven_over_the_cookie_and_the_name() {
    let key = || Some(AccessKey::from_file(b"0123456789abcdef\n"));
    let mut peer = Peer::with(Options { access_key: key(), ..Options::new("alice") });
    let proofs: Vec<_> = [peer.datagrams(), {
        peer = Peer::with(Options { access_key: key(), ..Options::new("alice") });
        peer.retry(1);
        peer.datagrams()
    }]
    .iter()
    .map(|datagrams| {
        let (_, bytes) = datagrams[0];
        let expected = key().unwrap().prove(Hello::proven_bytes(bytes).unwrap());
        assert_eq!(Hello::parse(bytes).unwrap().proof, Some(expected));
        expected
    })
    .collect();
    assert_ne!(proofs[0], proofs[1]);
}

#[test]
fn a_lost_ticket_is_a_hint_a_new_session_begins_beside_the_old_one() {
    let mut waits = Vec::new();
    for start in [100, 1000, 3000, 7000, 11_000] {
        let mut peer = Peer::connected();
        peer.run_to(start);
        peer.hear(&NoSession { scid: Scid(peer.scid), epoch: Epoch(2) }.encode());
        assert_eq!(peer.events(), [Event::Reconnecting { why: Lost::Unknown }]);
        peer.hear(&NoSession { scid: Scid(peer.scid), epoch: Epoch(2) }.encode());
        let lobby = peer.client.join(peer.time(), RoomSpec::lobby()).unwrap();
        assert!(!peer.frames().is_empty(), "the old one is used on");
        peer.run_to(start + 1000);
        waits.push(peer.hellos()[0].0 - start);
        assert!(peer.events().is_empty() && peer.client.unacknowledged(lobby) == 0);
    }
    assert!(waits.iter().all(|wait| *wait <= 1000), "{waits:?}");
}

#[test]
fn a_reconnecting_client_takes_a_new_nonce_every_fifteen_seconds_and_never_gives_up() {
    let mut peer = Peer::connected();
    peer.hear(&NoSession { scid: Scid(peer.scid), epoch: Epoch(2) }.encode());
    peer.run_to(120_000);
    let hellos = peer.hellos();
    let first = hellos[0].1;
    let mut nonces: Vec<_> = hellos.iter().map(|(_, hello)| hello.nonce).collect();
    nonces.dedup();
    assert_eq!(nonces.len(), 8, "{:?}", times(&hellos));
    assert!(hellos.iter().all(|(_, hello)| hello.ccid == first.ccid && hello.instance == first.instance));
    assert!(!peer.client.is_over());
}
