//! Rooms: who comes in, who is told, what is listed, and how rooms end.

mod support;

use outcry::config::{self, Limits};
use outcry::wire::downlink::{Frame as Down, Presence};
use outcry::wire::header::{Code, EntryKind, RefusedCause};
use outcry::wire::id::{KeyId, MemberId, Req, RoomHandle, Seq, Sseq};
use outcry::wire::uplink::Frame;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::native::{Entry, Native, entries_to, frames_to, msg, texts_to};
use support::{Bench, Sent, peer};

const SECOND: Duration = Duration::from_secs(1);
const LOBBY: RoomHandle = RoomHandle(0);

fn bench() -> Bench {
    Bench::with(|_| {})
}

fn codes(sent: &[Sent], native: &Native) -> Vec<(Req, Code)> {
    let results = frames_to(sent, native.at).into_iter().filter_map(|frame| match frame {
        Down::Result { req, code } | Down::Joined { req, code, .. } => Some((req, code)),
        _ => None,
    });
    results.collect()
}

/// What entries tell of their members, by kind and name.
fn presence(entries: &[Entry]) -> Vec<(EntryKind, String)> {
    let tells = |entry: &Entry| {
        let name = match Presence::parse(entry.kind, &entry.payload).expect("presence or none")? {
            Presence::Joined { name } | Presence::Left { name, .. } | Presence::Renamed { name } => name,
        };
        Some((entry.kind, name.to_owned()))
    };
    entries.iter().filter_map(tells).collect()
}

// ---- coming in -----------------------------------------------------------------------------

#[test]
fn a_join_may_be_repeated() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let req = alice.next_req();
    let join = Frame::Join { req, sealed: false, unlisted: false, key_id: KeyId(0), room: "tea" };
    let first = alice.send(&mut bench, &[join]);
    let again = alice.send(&mut bench, &[join, join]);
    let joined = |sent: &[Sent]| -> Vec<_> {
        frames_to(sent, alice.at)
            .into_iter()
            .filter(|frame| matches!(frame, Down::Joined { .. }))
            .map(|frame| format!("{frame:?}"))
            .collect()
    };
    assert_eq!(joined(&again), [&joined(&first)[..], &joined(&first)].concat());
    assert_eq!((entries_to(&first, alice.at).len(), entries_to(&again, alice.at).len()), (1, 0));
    assert_eq!((bench.relay.rooms(), bench.relay.counters().native.rooms_opened), (2, 1));
}

#[test]
fn joined_tells_the_room() {
    let mut bench = bench();
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    assert_eq!((tea.code, tea.members, tea.head, tea.tail, tea.next_sseq), (Code::Ok, 1, 1, 1, 1));
    alice.say(&mut bench, tea.room, 1, "hello");
    let (mut bob, joined) = Native::in_room(&mut bench, 2, "alice", "tea");
    assert_eq!((joined.room, joined.tag, joined.members), (tea.room, tea.tag, 2));
    assert_eq!((joined.head, joined.tail, joined.name.as_str()), (3, 1, "alice#2"));
    assert_eq!(bob.leave(&mut bench, tea.room).len(), 2, "a RESULT, and the entry for alice");
    assert_eq!(codes(&bob.leave(&mut bench, tea.room), &bob).len(), 1, "once more: it heard no answer");
    assert_eq!(bob.join(&mut bench, "lobby").room, LOBBY);
}

#[test]
fn a_sealed_room_has_a_key_and_takes_ciphertext_only() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let open = alice.join(&mut bench, "tea");
    let sealed = alice.join_with(&mut bench, "tea", KeyId(9), true);
    let other = alice.join_with(&mut bench, "tea", KeyId(10), true);
    let handles: BTreeSet<_> = [open.room, sealed.room, other.room].into();
    assert_eq!((handles.len(), bench.relay.rooms()), (3, 4));
    assert_eq!(alice.join_with(&mut bench, "lobby", KeyId(9), false).code, Code::Protocol);
    let mut refused = |sealed, key_id| {
        let req = alice.next_req();
        let join = Frame::Join { req, sealed, unlisted: false, key_id, room: "tea" };
        codes(&alice.send(&mut bench, &[join]), &alice)
    };
    assert_eq!(refused(true, KeyId(0)), [(Req(5), Code::Protocol)]);
    assert_eq!(refused(false, KeyId(9)), [(Req(6), Code::Protocol)]);

    let kinds = [(0u8, false, true), (1, true, false), (2, true, true), (3, false, false), (16, false, false)];
    for (kind, in_sealed, in_open) in
        kinds.into_iter().chain([(31, false, false), (32, false, true), (255, false, true)])
    {
        for (room, taken) in [(sealed.room, in_sealed), (open.room, in_open)] {
            let mut native = alice.clone();
            native.pn.0 = 1000;
            let sseq = next_sseq(&mut bench, &mut native, room);
            let sent = native.send(&mut bench, &[Frame::Msg { room, kind: EntryKind(kind), sseq, payload: b"x" }]);
            let refused = Down::Refused { room, sseq, cause: RefusedCause::Kind };
            assert_eq!(frames_to(&sent, native.at).contains(&refused), !taken, "kind {kind}");
            assert_eq!(next_sseq(&mut bench, &mut native, room).0, sseq.0 + u32::from(taken), "kind {kind}");
        }
    }
}

/// The number that the relay waits for, by joining again.
fn next_sseq(bench: &mut Bench, native: &mut Native, room: RoomHandle) -> Sseq {
    native.send(bench, &[msg(room, u32::MAX, b"")]);
    let sent = native.send(bench, &[msg(room, 0, b"")]);
    let acks = frames_to(&sent, native.at).into_iter().find_map(|frame| match frame {
        Down::Ack { room: of, cumulative, .. } if of == room => Some(cumulative),
        _ => None,
    });
    Sseq(acks.expect("an ACK").0 + 1)
}

#[test]
fn the_lobby_takes_lines_of_plain_text() {
    let mut bench = bench();
    let (mut alice, _) = Native::in_room(&mut bench, 1, "alice", "lobby");
    let mut said = |kind: u8, payload: &[u8]| {
        let sseq = next_sseq(&mut bench, &mut alice, LOBBY);
        let sent = alice.send(&mut bench, &[Frame::Msg { room: LOBBY, kind: EntryKind(kind), sseq, payload }]);
        frames_to(&sent, alice.at).into_iter().find_map(|frame| match frame {
            Down::Refused { cause, .. } => Some(cause),
            _ => None,
        })
    };
    assert_eq!(said(0, "你好".as_bytes()), None);
    assert_eq!(said(0, b""), None);
    for text in ["a\tb", "a\nb", "\u{85}", "\u{7f}"] {
        assert_eq!(said(0, text.as_bytes()), Some(RefusedCause::Kind), "{text:?}");
    }
    assert_eq!(said(0, b"caf\xE9"), Some(RefusedCause::Kind));
    assert_eq!((said(1, b"x"), said(32, b"x")), (Some(RefusedCause::Kind), Some(RefusedCause::Kind)));
    let most = 1024 - "alice".len() - 3;
    assert_eq!((said(0, &vec![b'x'; most]), said(0, &vec![b'x'; most + 1])), (None, Some(RefusedCause::TooLong)));
    assert_eq!(said(2, b""), None);
}

#[test]
fn a_message_fits_alone_in_a_datagram_or_is_too_long() {
    let mut bench = bench();
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    let sent = alice.send(&mut bench, &[msg(tea.room, 1, &[7; 1191])]);
    assert!(sent.iter().any(|sent| sent.bytes.len() == 1232) && entries_to(&sent, alice.at)[0].payload.len() == 1191);
    let sent = alice.send(&mut bench, &[msg(tea.room, 2, &[7; 1192])]);
    let refused = Down::Refused { room: tea.room, sseq: Sseq(2), cause: RefusedCause::TooLong };
    assert_eq!(frames_to(&sent, alice.at), [refused]);
}

// ---- limits ----------------------------------------------------------------------------------

#[test]
fn a_session_is_in_32_rooms_at_most() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let rooms: Vec<_> = (0..32).map(|number| alice.join(&mut bench, &format!("r{number}")).room).collect();
    assert_eq!(alice.join(&mut bench, "r32").code, Code::Limit);
    assert_eq!(alice.join(&mut bench, "lobby").code, Code::Limit);
    assert_eq!((alice.join(&mut bench, "r7").code, bench.relay.rooms()), (Code::Ok, 33));
    let sent = alice.ping(&mut bench);
    let heads = frames_to(&sent, alice.at);
    assert_eq!((sent.len(), heads.len()), (1, 1 + 32), "PONG and all HEADs in one datagram");
    alice.leave(&mut bench, rooms[0]);
    assert_eq!(alice.join(&mut bench, "lobby").code, Code::Ok);
}

#[test]
fn rooms_and_their_members_have_limits() {
    let mut bench = Bench::with(|limits| {
        limits.prefix_rooms_max = 2;
        limits.room_members_max = 2;
    });
    let mut alice = Native::connected(&mut bench, 1, "alice");
    assert_eq!(["a", "b", "c"].map(|room| alice.join(&mut bench, room).code), [Code::Ok, Code::Ok, Code::Limit]);
    let mut other = Native::new(2, "bob");
    other.at = support::native::elsewhere(7);
    other.connect(&mut bench);
    assert_eq!(["a", "c"].map(|room| other.join(&mut bench, room).code), [Code::Ok, Code::Ok]);
    assert_eq!(Native::in_room(&mut bench, 3, "carol", "a").1.code, Code::Full);
    let b = alice.join(&mut bench, "b").room;
    alice.leave(&mut bench, b);
    assert_eq!(alice.join(&mut bench, "d").code, Code::Limit, "it lives for ten minutes more");
    for _ in 0..20 {
        bench.run(31 * SECOND);
        alice.ping(&mut bench);
    }
    assert_eq!(alice.join(&mut bench, "d").code, Code::Ok);
}

/// A room needs two pages of 32 KiB; the lobby has its own.
#[test]
fn a_room_that_nobody_is_in_makes_place_for_another() {
    for by_pages in [false, true] {
        let mut bench = Bench::with(|limits: &mut Limits| {
            limits.ring_bytes_max = config::RING_BYTES_SMALLEST;
            if by_pages {
                limits.rings_bytes_max = 4 * config::RING_BYTES_SMALLEST;
            } else {
                limits.rooms_max = 4;
            }
        });
        let mut alice = Native::connected(&mut bench, 1, "alice");
        let lobby = alice.join(&mut bench, "lobby");
        alice.leave(&mut bench, lobby.room);
        let rooms = ["a", "b", "c"].map(|room| alice.join(&mut bench, room).room);
        assert_eq!(alice.join(&mut bench, "d").code, Code::Limit, "all are in use, and the lobby stays");
        assert_eq!(alice.join(&mut bench, "a").code, Code::Ok, "only a new one is refused");
        alice.leave(&mut bench, rooms[1]);
        bench.wait(SECOND);
        alice.leave(&mut bench, rooms[0]);
        assert_eq!(alice.join(&mut bench, "d").code, Code::Ok);
        assert_eq!((bench.relay.rooms(), bench.relay.counters().native.rooms_ended), (4, 1));
        bench.wait(SECOND);
        assert_eq!(alice.join(&mut bench, "b").code, Code::Ok, "`a` was empty, `b` had ended");
        assert_eq!(alice.join(&mut bench, "lobby").code, Code::Ok);
        assert_eq!(bench.relay.counters().native.rooms_ended, 2);
    }
}

#[test]
fn the_lobby_keeps_what_it_may_however_many_rooms_there_are() {
    let mut bench = Bench::with(|limits| {
        limits.ring_bytes_max = 4 * config::RING_BYTES_SMALLEST;
        limits.rings_bytes_max = 8 * config::RING_BYTES_SMALLEST;
    });
    let mut alice = Native::connected(&mut bench, 1, "alice");
    for number in 0..4 {
        let room = alice.join(&mut bench, &format!("r{number}")).room;
        (1..=300).for_each(|sseq| _ = alice.send(&mut bench, &[msg(room, sseq, &[7; 1000])]));
    }
    alice.join(&mut bench, "lobby");
    (1..=300).for_each(|sseq| _ = alice.say(&mut bench, LOBBY, sseq, &"x".repeat(1000)));
    let kept = whole_ring(&mut bench, &mut alice, LOBBY).len();
    assert!(kept > 200, "{kept} of 1017 bytes: nearly 256 KiB");
}

#[test]
fn a_room_outlives_its_last_member_by_ten_minutes() {
    let mut bench = bench();
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    alice.say(&mut bench, tea.room, 1, "hello");
    alice.close(&mut bench);
    bench.run(599 * SECOND);
    assert_eq!(bench.relay.rooms(), 2);
    bench.run(SECOND);
    assert_eq!((bench.relay.rooms(), bench.relay.counters().native.rooms_ended), (1, 1));
    let (_, again) = Native::in_room(&mut bench, 2, "bob", "tea");
    assert!(again.room != tea.room && again.tag != tea.tag, "a handle rests as long as it can");
    assert_eq!((again.head, again.tail), (4, 4), "above any that ended: 1 and 2, and 3 as alice left");
}

#[test]
fn the_numbers_of_the_latest_32_rooms_are_kept() {
    let mut bench = bench();
    let mut alice = Native::connected(&mut bench, 1, "alice");
    for number in 0..33 {
        let room = alice.join(&mut bench, &format!("r{number}")).room;
        alice.say(&mut bench, room, 1, "x");
        alice.leave(&mut bench, room);
    }
    alice.close(&mut bench);
    alice.again();
    alice.connect(&mut bench);
    let next = [0, 1, 32].map(|number| alice.join(&mut bench, &format!("r{number}")).next_sseq);
    assert_eq!(next, [1, 2, 2]);
}

#[test]
fn a_handle_is_used_again_last() {
    let mut bench = Bench::with(|limits| limits.rooms_max = 5);
    let mut alice = Native::connected(&mut bench, 1, "alice");
    let mut used = Vec::new();
    for number in 0..9 {
        let room = alice.join(&mut bench, &format!("r{number}")).room;
        used.push(room.0);
        alice.leave(&mut bench, room);
        bench.wait(SECOND);
    }
    assert_eq!(used, [1, 2, 3, 4, 1, 2, 3, 4, 1]);
}

// ---- presence ----------------------------------------------------------------------------------

#[test]
fn joins_renames_and_leaves_are_entries() {
    let mut bench = bench();
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    let mut bob = Native::connected(&mut bench, 2, "bob");
    let req = bob.next_req();
    let join = Frame::Join { req, sealed: false, unlisted: false, key_id: KeyId(0), room: "tea" };
    let sent = bob.send(&mut bench, &[join]);
    let entries = entries_to(&sent, alice.at);
    assert_eq!(presence(&entries), [(EntryKind::JOINED, "bob".to_owned())]);
    assert_eq!((entries[0].seq, entries[0].sseq, entries[0].member), (2, 0, bob.member));
    assert_eq!(entries_to(&sent, bob.at), entries, "the same for all");
    let req = bob.next_req();
    let sent = bob.send(&mut bench, &[Frame::Nick { req, name: "bobby" }]);
    assert_eq!(presence(&entries_to(&sent, alice.at)), [(EntryKind::RENAMED, "bobby".to_owned())]);
    assert_eq!(codes(&sent, &bob), [(req, Code::Ok)]);
    let sent = bob.leave(&mut bench, tea.room);
    let left = entries_to(&sent, alice.at);
    assert_eq!(
        Presence::parse(left[0].kind, &left[0].payload),
        Ok(Some(Presence::Left { code: Code::Ok, name: "bobby" }))
    );
    alice.leave(&mut bench, tea.room);
}

#[test]
fn a_name_is_changed_unless_another_has_it() {
    let mut bench = bench();
    bench.hear(peer(1), b"carol");
    let mut alice = Native::connected(&mut bench, 1, "alice");
    Native::connected(&mut bench, 2, "bob");
    let mut nick = |name: &str| {
        let req = alice.next_req();
        codes(&alice.send(&mut bench, &[Frame::Nick { req, name }]), &alice)[0].1
    };
    let answers = ["bob", "carol", "[relay] x", "exit", "alice", "dave", "dave"].map(&mut nick);
    let (ok, taken, bad) = (Code::Ok, Code::Taken, Code::Protocol);
    assert_eq!(answers, [taken, taken, bad, bad, ok, ok, ok]);
    let renamed = outcry::relay::Event::Renamed { remote: alice.at, name: "dave".into() };
    assert_eq!(bench.events.last(), Some(&renamed));
    assert_eq!(Native::in_room(&mut bench, 3, "alice", "lobby").1.name, "alice", "that name is free again");
}

#[test]
fn presence_has_a_burst_and_a_rate() {
    let mut bench = bench();
    let (alice, _) = Native::in_room(&mut bench, 1, "alice", "tea");
    let told = |sent: &[Sent]| presence(&entries_to(sent, alice.at)).len();
    let mut seen = 1;
    for number in 0..60 {
        let mut native = Native::connected(&mut bench, 100 + number, &format!("n{number}"));
        let req = native.next_req();
        let join = Frame::Join { req, sealed: false, unlisted: false, key_id: KeyId(0), room: "tea" };
        seen += told(&native.send(&mut bench, &[join]));
    }
    assert_eq!((seen, bench.relay.counters().native.presence_suppressed), (50, 11));
    bench.wait(SECOND);
    let mut late = Native::connected(&mut bench, 99, "late");
    let sent = late.send(
        &mut bench,
        &[Frame::Join { req: Req(9), sealed: false, unlisted: false, key_id: KeyId(0), room: "tea" }],
    );
    assert_eq!(told(&sent), 1);
}

/// Whoever has said something is named, and its leave is entered, however busy the room.
#[test]
fn who_has_spoken_is_named_and_leaves_by_an_entry() {
    let mut bench = Bench::with(|limits| limits.presence_members_max = 0);
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    let (mut bob, _) = Native::in_room(&mut bench, 2, "bob", "tea");
    let (mut carol, _) = Native::in_room(&mut bench, 3, "carol", "tea");
    let sent = bob.say(&mut bench, tea.room, 1, "hi");
    assert_eq!(presence(&entries_to(&sent, alice.at)), [(EntryKind::RENAMED, "bob".to_owned())]);
    assert_eq!(presence(&entries_to(&bob.say(&mut bench, tea.room, 2, "hi"), alice.at)), []);
    bob.send(&mut bench, &[Frame::Nick { req: Req(9), name: "bobby" }]);
    let sent = bob.say(&mut bench, tea.room, 3, "hi");
    assert_eq!(presence(&entries_to(&sent, alice.at)), [(EntryKind::RENAMED, "bobby".to_owned())]);
    assert_eq!(
        presence(&entries_to(&bob.leave(&mut bench, tea.room), alice.at)),
        [(EntryKind::LEFT, "bobby".to_owned())]
    );
    assert_eq!(presence(&entries_to(&carol.leave(&mut bench, tea.room), alice.at)), [], "nobody has heard of it");
    alice.leave(&mut bench, tea.room);
}

#[test]
fn every_author_in_a_ring_can_be_named() {
    let mut bench = Bench::with(|limits| {
        limits.ring_bytes_max = config::RING_BYTES_SMALLEST;
        limits.presence_members_max = 0;
    });
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    let mut others: Vec<_> = (0..4).map(|n| Native::in_room(&mut bench, 10 + n, &format!("n{n}"), "tea").0).collect();
    let text = [7; 900];
    let mut sseqs = [1u32; 4];
    for step in 0..400usize {
        let of = (step * 7 + step / 50) % 4;
        // From half on the last two are gone, and their messages fade.
        if step == 200 {
            others[2].leave(&mut bench, tea.room);
            others[3].close(&mut bench);
        }
        if step < 200 || of < 2 {
            others[of].send(&mut bench, &[msg(tea.room, sseqs[of], &text)]);
            sseqs[of] += 1;
        }
        if step % 25 == 0 {
            let (ring, here) = (whole_ring(&mut bench, &mut alice, tea.room), who(&mut bench, &mut alice, tea.room));
            let named: BTreeSet<_> = ring.iter().filter(|entry| entry.sseq == 0).map(|entry| entry.member).collect();
            let authors: BTreeSet<_> = ring.iter().filter(|entry| entry.sseq != 0).map(|entry| entry.member).collect();
            assert!(authors.iter().all(|author| named.contains(author) || here.contains_key(author)), "step {step}");
        }
        bench.wait(Duration::from_millis(500));
        alice.ping(&mut bench);
    }
}

/// All that a room's ring still has.
fn whole_ring(bench: &mut Bench, native: &mut Native, room: RoomHandle) -> Vec<Entry> {
    let sent = native.ping(bench);
    let head = frames_to(&sent, native.at).into_iter().find_map(|frame| match frame {
        Down::Head { room: of, head, tail, .. } if of == room => Some((tail, head)),
        _ => None,
    });
    let (tail, head) = head.expect("a HEAD");
    let mut entries: BTreeMap<u64, Entry> = BTreeMap::new();
    let mut next = tail.0;
    while next <= head.0 {
        let sent = native.nack(bench, room, &[(next, 500)]);
        entries.extend(entries_to(&sent, native.at).into_iter().map(|entry| (entry.seq, entry)));
        next = entries.last_key_value().map_or(next, |(&last, _)| last + 1);
        bench.wait(Duration::from_millis(100));
    }
    assert!(entries.keys().copied().eq(tail.0..=head.0));
    entries.into_values().collect()
}

// ---- lists -------------------------------------------------------------------------------------

/// One part of a room's members, and where to go on.
fn who_part(
    bench: &mut Bench,
    native: &mut Native,
    room: RoomHandle,
    cursor: u32,
    of: u32,
) -> (u32, Vec<(MemberId, String)>) {
    let req = native.next_req();
    let sent = native.send(bench, &[Frame::Who { req, room, cursor, member: MemberId(of) }]);
    assert_eq!(sent.iter().filter(|sent| sent.to == native.at).count(), 1, "one datagram an answer");
    let answers: Vec<_> = frames_to(&sent, native.at)
        .into_iter()
        .filter_map(|frame| match frame {
            Down::Members(members) => Some(members),
            _ => None,
        })
        .collect();
    let [members] = &answers[..] else { panic!("one answer") };
    assert_eq!((members.req, members.room), (req, room));
    (members.next, members.iter().map(|(member, name)| (member, name.to_owned())).collect())
}

fn who(bench: &mut Bench, native: &mut Native, room: RoomHandle) -> BTreeMap<MemberId, String> {
    let (mut members, mut cursor) = (BTreeMap::new(), 0);
    loop {
        let (next, part) = who_part(bench, native, room, cursor, 0);
        members.extend(part);
        cursor = next;
        if cursor == 0 {
            return members;
        }
    }
}

#[test]
fn who_lists_thousands_plain_and_native() {
    let mut bench = Bench::with(|limits| {
        limits.sessions_max = 3000;
        limits.peers_max = 3000;
    });
    let (mut alice, _) = Native::in_room(&mut bench, 0, "alice", "lobby");
    let natives: Vec<_> = (1..1500).map(|n| Native::in_room(&mut bench, n, &format!("native{n}"), "lobby").0).collect();
    for number in 0..1500 {
        bench.hear(peer(number), format!("plain{number}").as_bytes());
    }
    let members = who(&mut bench, &mut alice, LOBBY);
    assert_eq!(members.len(), 3000);
    assert!(natives.iter().all(|native| members.get(&native.member) == Some(&native.name)));
    assert_eq!(members.values().filter(|name| name.starts_with("plain")).count(), 1500);
    let (plain, name) = members.iter().find(|(_, name)| *name == "plain77").unwrap();
    for (member, named) in [(alice.member, "alice"), (natives[5].member, "native6"), (*plain, name)] {
        assert_eq!(who_part(&mut bench, &mut alice, LOBBY, 0, member.0), (0, vec![(member, named.to_owned())]));
    }
    for nobody in [1u32, 2, 0xFFFF_FFFE] {
        assert_eq!(who_part(&mut bench, &mut alice, LOBBY, 0, nobody).1, []);
    }
    // Cursors of nobody's making.
    for cursor in [1, 5000, u32::MAX, 1 << 31, (1 << 31) | 3] {
        assert!(who_part(&mut bench, &mut alice, LOBBY, cursor, 0).1.len() <= 255);
    }
    let mut stranger = Native::connected(&mut bench, 2000, "zoe");
    assert_eq!(who_part(&mut bench, &mut stranger, LOBBY, 0, 0), (0, vec![]));
    assert_eq!(who_part(&mut bench, &mut stranger, RoomHandle(999), 0, 0), (0, vec![]));
}

#[test]
fn nobody_who_stays_is_missed_while_others_come_and_go() {
    let mut bench = Bench::with(|limits| limits.sessions_max = 3000);
    let (mut alice, _) = Native::in_room(&mut bench, 0, "alice", "lobby");
    let mut natives: Vec<_> = (1..1000).map(|n| Native::in_room(&mut bench, n, &format!("n{n}"), "lobby").0).collect();
    (0..400).for_each(|number| _ = bench.hear(peer(number), format!("p{number}").as_bytes()));
    let (mut seen, mut cursor, mut step) = (BTreeMap::new(), 0, 0u16);
    loop {
        let (next, part) = who_part(&mut bench, &mut alice, LOBBY, cursor, 0);
        seen.extend(part);
        cursor = next;
        if cursor == 0 {
            break;
        }
        for _ in 0..20 {
            step += 1;
            // Those with an even number go, from all over the list; others come.
            let at = usize::from(step) * 37 % natives.len();
            if natives[at].name.ends_with(['0', '2', '4', '6', '8']) {
                natives.swap_remove(at).close(&mut bench);
            }
            bench.hear(peer(step * 2 % 400), b"exit");
            Native::in_room(&mut bench, 2000 + step, &format!("late{step}"), "lobby");
        }
    }
    let names: BTreeSet<_> = seen.into_values().collect();
    let stayed =
        natives.iter().map(|native| native.name.clone()).chain((1..400).step_by(2).map(|number| format!("p{number}")));
    let missed: Vec<_> = stayed.filter(|name| !names.contains(name)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn list_tells_rooms_that_want_to_be_found() {
    let mut bench = bench();
    let mut natives: Vec<_> = (0..20).map(|n| Native::connected(&mut bench, n, &format!("n{n}"))).collect();
    for number in 0..500usize {
        natives[number % 20].join_with(&mut bench, &format!("room {number} {:a>50}", ""), KeyId(0), number % 5 == 0);
    }
    let alice = &mut natives[0];
    let (mut rooms, mut cursor, mut parts) = (BTreeMap::new(), 0, 0);
    loop {
        let req = alice.next_req();
        let sent = alice.send(&mut bench, &[Frame::List { req, cursor }, Frame::List { req, cursor }]);
        assert_eq!(sent.len(), 1, "one list a datagram");
        let Down::Rooms(part) = frames_to(&sent, alice.at)[0] else { panic!("ROOMS") };
        rooms.extend(part.iter().map(|(members, name)| (name.to_owned(), members)));
        (cursor, parts) = (part.next, parts + 1);
        if cursor == 0 {
            break;
        }
    }
    assert_eq!((rooms.len(), rooms["lobby"]), (401, 0));
    assert!(parts > 15 && rooms.iter().all(|(name, &members)| name == "lobby" || members == 1));
    let far = alice.send(&mut bench, &[Frame::List { req: Req(1), cursor: u32::MAX }]);
    assert!(matches!(frames_to(&far, alice.at)[0], Down::Rooms(part) if part.listing.is_empty() && part.next == 0));
}

// ---- rooms that one is not in ----------------------------------------------------------------

#[test]
fn frames_about_other_rooms_are_refused_or_dropped() {
    let mut bench = bench();
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    let mut bob = Native::connected(&mut bench, 2, "bob");
    for room in [tea.room, LOBBY, RoomHandle(77), RoomHandle(u16::MAX)] {
        let before = bench.relay.counters().native.clone();
        let refused = Down::Refused { room, sseq: Sseq(1), cause: RefusedCause::NotAMember };
        for _ in 0..2 {
            assert_eq!(frames_to(&bob.say(&mut bench, room, 1, "hi"), bob.at), [refused]);
        }
        assert_eq!(bob.nack(&mut bench, room, &[(1, 1)]), []);
        assert_eq!(bob.report(&mut bench, room, 1, 0, 0), []);
        let leave = bob.send(&mut bench, &[Frame::Leave { req: Req(5), room }]);
        assert_eq!(codes(&leave, &bob), [(Req(5), Code::Ok)], "it is not there, as asked");
        let after = &bench.relay.counters().native;
        assert_eq!(after.frames_no_room - before.frames_no_room, 2);
        assert_eq!(after.messages_refused - before.messages_refused, 2);
    }
    assert_eq!(texts_to(&alice.say(&mut bench, tea.room, 1, "hi"), alice.at), ["hi"]);
}

#[test]
fn a_pong_brings_the_heads_of_the_rooms_one_is_in() {
    let mut bench = bench();
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    alice.say(&mut bench, tea.room, 1, "hi");
    let lobby = alice.join(&mut bench, "lobby");
    bench.hear(peer(1), b"plain");
    let sent = alice.send(&mut bench, &[Frame::Ping { t: 5 }, Frame::Ping { t: 6 }]);
    let frames = frames_to(&sent, alice.at);
    assert_eq!((sent.len(), frames[0], frames.len()), (1, Down::Pong { t: 5 }, 3), "one PONG a datagram");
    let tea_head = Down::Head { room: tea.room, tag: tea.tag, members: 1, head: Seq(2), tail: Seq(1) };
    let lobby_head = Down::Head { room: LOBBY, tag: lobby.tag, members: 2, head: Seq(2), tail: Seq(1) };
    assert!(frames.contains(&tea_head) && frames.contains(&lobby_head), "{frames:?}");
}
