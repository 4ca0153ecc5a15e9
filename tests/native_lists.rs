//! Lists: no answer costs more than a bounded look, however many are here.

mod support;

use outcry::wire::downlink::Frame as Down;
use outcry::wire::id::{KeyId, MemberId, Req, RoomHandle};
use outcry::wire::uplink::Frame;
use std::net::SocketAddr;
use std::time::Instant;
use support::Bench;
use support::native::{Native, frames_to};

const LOBBY: RoomHandle = RoomHandle(0);

/// How many an answer names that asks for one member.
fn named(bench: &mut Bench, native: &mut Native, member: MemberId) -> usize {
    let sent = native.send(bench, &[Frame::Who { req: Req(1), room: LOBBY, cursor: 0, member }]);
    let Down::Members(members) = frames_to(&sent, native.at)[0] else { panic!("MEMBERS") };
    members.iter().count()
}

/// Rooms that nobody is told of cost a look each: an answer has a bounded number of them.
#[test]
fn a_list_of_rooms_that_nobody_is_told_of_comes_in_parts() {
    let mut bench = Bench::with(|_| {});
    let mut natives: Vec<_> = (0..20).map(|n| Native::connected(&mut bench, n, &format!("n{n}"))).collect();
    for number in 0..600usize {
        natives[number % 20].join_with(&mut bench, &format!("room {number}"), KeyId(0), number < 599);
    }
    let alice = &mut natives[0];
    let (mut names, mut cursor, mut parts) = (Vec::new(), 0, 0);
    loop {
        let sent = alice.send(&mut bench, &[Frame::List { req: Req(1), cursor }]);
        let Down::Rooms(part) = frames_to(&sent, alice.at)[0] else { panic!("ROOMS") };
        names.extend(part.iter().map(|(_, name)| name.to_owned()));
        (cursor, parts) = (part.next, parts + 1);
        if cursor == 0 {
            break;
        }
    }
    assert_eq!((names, parts), (vec!["lobby".to_owned(), "room 599".to_owned()], 3));
}

/// Whoever asks for a member that is not there makes the relay look at no other.
#[test]
fn a_question_for_one_member_costs_the_same_however_many_are_here() {
    let cost = |plain: u32| {
        let mut bench = Bench::with(|limits| limits.peers_max = 30_000);
        let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
        for number in 0..plain {
            let remote = SocketAddr::from(((0x0A00_0000 + number).to_be_bytes(), 7));
            assert!(bench.relay.restore(bench.now, remote, &format!("p{number}")));
        }
        #[expect(clippy::disallowed_methods, reason = "the test measures what a question costs")]
        let round = |_| {
            let began = Instant::now();
            (0..50).for_each(|_| assert_eq!(named(&mut bench, &mut alice, MemberId(0xFFFF_FFFE)), 0));
            began.elapsed()
        };
        (0..9).map(round).min().expect("some")
    };
    let (few, many) = (cost(10), cost(30_000));
    assert!(many < few * 6, "{few:?} among ten, {many:?} among 30,000");
}
