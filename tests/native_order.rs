//! What becomes of a message: which number is taken, who is told what, and
//! that each is taken once only, over reconnects too (T4).

mod support;

use outcry::metrics::LeaveReason;
use outcry::relay::Event;
use outcry::wire::downlink::Frame as Down;
use outcry::wire::header::{Code, EntryKind, RefusedCause, SlowCause};
use outcry::wire::id::{RoomHandle, Seq, Sseq};
use outcry::wire::uplink::Frame;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use support::Bench;
use support::native::{Native, elsewhere, entries_to, frames_to, msg, texts_to};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn pair() -> (Bench, Native, Native, RoomHandle) {
    pair_with(|_| {})
}

fn pair_with(change: impl FnOnce(&mut outcry::config::Limits)) -> (Bench, Native, Native, RoomHandle) {
    let mut bench = Bench::with(change);
    let (alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    let (bob, _) = Native::in_room(&mut bench, 2, "bob", "tea");
    bench.run(2 * SECOND);
    (bench, alice, bob, tea.room)
}

fn acks(sent: &[support::Sent], native: &Native) -> Vec<(u32, u64, bool)> {
    let acks = frames_to(sent, native.at).into_iter().filter_map(|frame| match frame {
        Down::Ack { cumulative, seq, missing, .. } => Some((cumulative.0, seq.0, missing)),
        _ => None,
    });
    acks.collect()
}

fn void(room: RoomHandle, sseq: u32) -> Frame<'static> {
    Frame::Msg { room, kind: EntryKind::VOID, sseq: Sseq(sseq), payload: b"" }
}

#[test]
fn an_entry_is_the_acknowledgement_of_a_live_sender() {
    let (mut bench, mut alice, bob, tea) = pair();
    let sent = alice.say(&mut bench, tea, 1, "hi");
    assert_eq!(acks(&sent, &alice), []);
    let entries = entries_to(&sent, alice.at);
    assert_eq!(entries, entries_to(&sent, bob.at));
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.member, entry.sseq, entry.text(), entry.seq), (alice.member, 1, "hi", 3));
    assert_eq!(u64::from(entry.time_s), bench.now.unix_s());
}

#[test]
fn a_duplicate_or_a_gap_is_acknowledged_once_a_turn() {
    let (mut bench, mut alice, bob, tea) = pair();
    let seq = entries_to(&alice.say(&mut bench, tea, 1, "a"), bob.at)[0].seq;
    let all = |numbers: &[u32]| numbers.iter().map(|&sseq| msg(tea, sseq, b"x")).collect::<Vec<_>>();
    let mut heard = |numbers: &[u32]| {
        let sent = alice.send(&mut bench, &all(numbers));
        (acks(&sent, &alice), entries_to(&sent, bob.at).len())
    };
    assert_eq!(heard(&[1]), (vec![(1, seq, false)], 0));
    assert_eq!(heard(&[1, 1, 1]), (vec![(1, seq, false)], 0), "one ACK a turn");
    assert_eq!(heard(&[3]), (vec![(1, seq, true)], 0));
    assert_eq!(heard(&[1, 4, 3]), (vec![(1, seq, true)], 0));
    assert_eq!(heard(&[3, 2]), (vec![(2, seq + 1, true)], 1), "3 came too early, and is not kept");
    assert_eq!(heard(&[4, 3, 4]), (vec![(4, seq + 3, false)], 2), "4 came again: nothing is missing");
    assert_eq!(heard(&[0, u32::MAX]), (vec![(4, seq + 3, true)], 0));
    assert_eq!(heard(&[5, 6, 7]), (vec![], 3));
    let native = &bench.relay.counters().native;
    assert_eq!((native.messages_in, native.messages_accepted), (1 + 1 + 3 + 1 + 3 + 2 + 3 + 2 + 3, 7));
    assert_eq!((native.messages_duplicate, native.messages_early, native.acks), (6, 6, 7));
}

#[test]
fn each_room_has_its_own_numbers_and_ack() {
    let (mut bench, mut alice, _, tea) = pair();
    let lobby = alice.join(&mut bench, "lobby").room;
    let frames = [msg(tea, 1, b"a"), msg(lobby, 1, b"b"), msg(tea, 1, b"a"), msg(lobby, 3, b"b")];
    let sent = alice.send(&mut bench, &frames);
    let acks: Vec<_> =
        frames_to(&sent, alice.at).into_iter().filter(|frame| matches!(frame, Down::Ack { .. })).collect();
    let ack = |room, seq, missing| Down::Ack { room, cumulative: Sseq(1), seq: Seq(seq), missing };
    assert_eq!(acks, [ack(tea, 3, false), ack(lobby, 2, true)]);
}

#[test]
fn a_void_is_consumed_and_entered_nowhere() {
    let (mut bench, mut alice, bob, tea) = pair();
    let sent = alice.send(&mut bench, &[msg(tea, 1, b"a"), void(tea, 2), msg(tea, 3, b"c")]);
    assert_eq!(texts_to(&sent, bob.at), ["a", "c"]);
    assert_eq!(acks(&sent, &alice), [(3, 4, false)]);
    assert_eq!(acks(&alice.send(&mut bench, &[void(tea, 2), void(tea, 4)]), &alice), [(4, 4, false)]);
    assert_eq!(bench.relay.counters().native.messages_void, 2);
}

#[test]
fn a_refused_message_consumes_nothing() {
    let (mut bench, mut alice, bob, tea) = pair();
    let bad = Frame::Msg { room: tea, kind: EntryKind(16), sseq: Sseq(1), payload: b"I am the relay" };
    let refused = Down::Refused { room: tea, sseq: Sseq(1), cause: RefusedCause::Kind };
    for _ in 0..2 {
        assert_eq!(frames_to(&alice.send(&mut bench, &[bad]), alice.at), [refused]);
    }
    let sent = alice.send(&mut bench, &[bad, bad, msg(tea, 2, b"b")]);
    assert_eq!((acks(&sent, &alice), frames_to(&sent, alice.at).len()), (vec![(0, 0, true)], 3));
    let sent = alice.send(&mut bench, &[void(tea, 1), msg(tea, 2, b"b")]);
    assert_eq!((texts_to(&sent, bob.at), acks(&sent, &alice).len()), (vec!["b".to_owned()], 1));
    assert_eq!(bench.relay.counters().native.messages_refused, 4);
}

// ---- rates ------------------------------------------------------------------------------------

fn slows(sent: &[support::Sent], native: &Native) -> Vec<(SlowCause, u16, u32)> {
    let slows = frames_to(sent, native.at).into_iter().filter_map(|frame| match frame {
        Down::Slow { cause, retry_ms, first_dropped, .. } => Some((cause, retry_ms, first_dropped.0)),
        _ => None,
    });
    slows.collect()
}

#[test]
fn too_fast_is_told_once_a_turn_and_passes_when_it_says() {
    let (mut bench, mut alice, bob, tea) = pair_with(|limits| limits.msgs_per_s = 4);
    bench.run(10 * SECOND);
    let frames: Vec<_> = (1..=6).map(|sseq| msg(tea, sseq, b"x")).collect();
    let sent = alice.send(&mut bench, &frames);
    assert_eq!((texts_to(&sent, bob.at).len(), slows(&sent, &alice)), (4, vec![(SlowCause::Messages, 250, 5)]));
    assert_eq!(acks(&sent, &alice), [(4, 6, true)], "6 came before 5 was taken");
    bench.wait(249 * MS);
    assert_eq!(slows(&alice.say(&mut bench, tea, 5, "x"), &alice), [(SlowCause::Messages, 1, 5)]);
    let sent = alice.send(&mut bench, &[msg(tea, 5, b"x"), msg(tea, 5, b"x")]);
    assert_eq!(slows(&sent, &alice).len(), 1, "once a turn");
    bench.wait(MS);
    let sent = alice.say(&mut bench, tea, 5, "x");
    assert_eq!((texts_to(&sent, bob.at).len(), slows(&sent, &alice)), (1, vec![]));
    let native = &bench.relay.counters().native;
    assert_eq!((native.messages_slowed, native.messages_accepted, native.messages_early), (4, 5, 1));
}

#[test]
fn the_longest_message_passes_every_rate_of_bytes() {
    for per_s in [100, 1000, 2000] {
        let (mut bench, mut alice, bob, tea) = pair_with(|limits| limits.bytes_per_s = per_s);
        let long = [7; 1191];
        assert_eq!(entries_to(&alice.send(&mut bench, &[msg(tea, 1, &long)]), bob.at).len(), 1);
        let sent = alice.send(&mut bench, &[msg(tea, 2, &long)]);
        let [(SlowCause::Bytes, retry_ms, 2)] = slows(&sent, &alice)[..] else { panic!("SLOW") };
        bench.wait((u32::from(retry_ms) - 1) * MS);
        assert_eq!(slows(&alice.send(&mut bench, &[msg(tea, 2, &long)]), &alice).len(), 1);
        bench.wait(MS);
        assert_eq!(entries_to(&alice.send(&mut bench, &[msg(tea, 2, &long)]), bob.at).len(), 1, "{per_s}");
    }
}

#[test]
fn duplicates_and_early_numbers_cost_no_rate_and_requests_do() {
    let (mut bench, mut alice, bob, tea) = pair_with(|limits| limits.msgs_per_s = 3);
    bench.run(10 * SECOND);
    alice.say(&mut bench, tea, 1, "x");
    for _ in 0..20 {
        alice.send(&mut bench, &[msg(tea, 1, b"x"), msg(tea, 9, b"x"), Frame::Ping { t: 1 }]);
    }
    assert_eq!(texts_to(&alice.say(&mut bench, tea, 2, "x"), bob.at).len(), 1);
    let list = Frame::List { req: outcry::wire::id::Req(1), cursor: 0 };
    assert_eq!(alice.send(&mut bench, &[list]).len(), 1);
    assert_eq!(alice.send(&mut bench, &[list]), []);
    assert_eq!(bench.relay.counters().native.frames_over_rate, 1);
    assert_eq!(slows(&alice.say(&mut bench, tea, 3, "x"), &alice).len(), 1);
}

#[test]
fn a_turn_that_is_full_says_so() {
    let (mut bench, _, _, _) = pair();
    let mut natives: Vec<_> = (0..64).map(|n| Native::in_room(&mut bench, 100 + n, &format!("n{n}"), "tea")).collect();
    let long = [7; 1191];
    let mut sseq = 0;
    let mut slowed = 0;
    // 768 messages of the longest kind in one turn: about 900 KB.
    for _ in 0..12 {
        sseq += 1;
        for (native, tea) in &mut natives {
            native.put(&mut bench, &[msg(tea.room, sseq, &long)]);
        }
    }
    let sent = bench.flush();
    for (native, _) in &natives {
        slowed += slows(&sent, native).iter().filter(|(cause, ..)| *cause == SlowCause::Busy).count();
    }
    let (native, tea) = &mut natives[0];
    let accepted = bench.relay.counters().native.messages_accepted;
    assert!(slowed > 0 && slowed <= 64 && (400..768).contains(&accepted), "{slowed} {accepted}");
    assert_eq!(bench.relay.counters().native.casts_dropped, 0);
    let heard = entries_to(&sent, native.at);
    assert_eq!(heard.iter().filter(|entry| entry.kind == EntryKind::TEXT).count() as u64, accepted);
    assert!(heard.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    let next = accepted as u32 / 64 + 1;
    let sent = native.send(&mut bench, &[msg(tea.room, next, &long)]);
    assert_eq!(slows(&sent, native), [], "the next turn has its own room");
}

// ---- T4 ---------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Step {
    /// Of whom, in which room, how far from the next number, and whether void.
    Say(Vec<(usize, usize, i32, bool)>),
    /// A new session of the same run, with or without closing the old one, at another address or not.
    Reconnect(usize, bool, bool),
    Leave(usize, usize),
    Wait(u64),
}

const ROOMS: [&str; 3] = ["tea", "lobby", "coffee"];

fn step() -> impl Strategy<Value = Step> {
    let said = (0usize..3, 0usize..3, -3i32..4, prop::bool::weighted(0.1));
    prop_oneof![
        8 => proptest::collection::vec(said, 1..12).prop_map(Step::Say),
        2 => (0usize..3, any::<bool>(), any::<bool>()).prop_map(|(of, close, moved)| Step::Reconnect(of, close, moved)),
        1 => (0usize..3, 0usize..3).prop_map(|(of, room)| Step::Leave(of, room)),
        1 => prop_oneof![0u64..2_000, Just(300_000), Just(700_000)].prop_map(Step::Wait),
    ]
}

/// The relay, an observer who stays, and what must be.
struct World {
    bench: Bench,
    observer: Native,
    clients: Vec<Native>,
    /// The next number of each client in each room, as the oracle has it.
    next: BTreeMap<(usize, usize), u32>,
    /// When each client was last known to have a session.
    ended: Vec<Option<u64>>,
    /// What the observer has heard: member and number, once each.
    heard: BTreeMap<(usize, u32, u32), u64>,
}

impl World {
    fn new() -> Self {
        let mut bench = Bench::with(|limits| limits.room_idle_ms = 60_000);
        let mut observer = Native::connected(&mut bench, 0, "observer");
        ROOMS.iter().for_each(|room| _ = observer.join(&mut bench, room));
        let clients = (1..4).map(|number| Native::connected(&mut bench, number, &format!("n{number}"))).collect();
        Self { bench, observer, clients, next: BTreeMap::new(), ended: vec![None; 3], heard: BTreeMap::new() }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Say(said) => self.say(said),
            Step::Reconnect(of, close, moved) => self.reconnect(*of, *close, *moved),
            Step::Leave(of, room) => {
                if let Some(handle) = self.enter(*of, *room) {
                    self.clients[*of].leave(&mut self.bench, handle);
                }
            }
            Step::Wait(ms) => self.wait(*ms),
        }
    }

    /// The client's room, joined if it has a session; the relay's next number must be the oracle's.
    fn enter(&mut self, of: usize, room: usize) -> Option<RoomHandle> {
        if self.ended[of].is_some() {
            return None;
        }
        let joined = self.clients[of].join(&mut self.bench, ROOMS[room]);
        assert_eq!(joined.next_sseq, *self.next.entry((of, room)).or_insert(1), "client {of} in {}", ROOMS[room]);
        Some(joined.room)
    }

    fn say(&mut self, said: &[(usize, usize, i32, bool)]) {
        let rooms: BTreeMap<_, _> =
            said.iter().filter_map(|&(of, room, ..)| Some(((of, room), self.enter(of, room)?))).collect();
        let mut wanted: Vec<(usize, u32, u32)> = Vec::new();
        let mut early: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        let mut touched: BTreeMap<(usize, usize), bool> = BTreeMap::new();
        for &(of, room, delta, is_void) in said {
            let (Some(&handle), Some(next)) = (rooms.get(&(of, room)), self.next.get_mut(&(of, room))) else {
                continue;
            };
            let sseq = next.saturating_add_signed(delta);
            let frame = if is_void { void(handle, sseq) } else { msg(handle, sseq, b"x") };
            self.clients[of].put(&mut self.bench, &[frame]);
            let owed = touched.entry((of, room)).or_insert(false);
            if sseq == *next {
                *next += 1;
                *owed |= is_void;
                if !is_void {
                    wanted.push((room, self.clients[of].member.0, sseq));
                }
            } else {
                *owed = true;
                if sseq > *next {
                    let highest = early.entry((of, room)).or_insert(0);
                    *highest = sseq.max(*highest);
                }
            }
        }
        let sent = self.bench.flush();
        self.observe(&sent, &wanted);
        for ((of, room), owed) in touched {
            let acks: Vec<_> = frames_to(&sent, self.clients[of].at)
                .into_iter()
                .filter_map(|frame| match frame {
                    Down::Ack { room, cumulative, missing, .. } => Some((room, cumulative.0, missing)),
                    _ => None,
                })
                .filter(|(of_room, ..)| *of_room == rooms[&(of, room)])
                .collect();
            let cumulative = self.next[&(of, room)] - 1;
            let missing = early.get(&(of, room)).is_some_and(|&highest| highest > cumulative);
            let expected: Vec<_> = owed.then_some((rooms[&(of, room)], cumulative, missing)).into_iter().collect();
            assert_eq!(acks, expected, "client {of} in {}", ROOMS[room]);
        }
    }

    fn observe(&mut self, sent: &[support::Sent], wanted: &[(usize, u32, u32)]) {
        let entries = entries_to(sent, self.observer.at);
        let heard: Vec<_> = entries.iter().filter(|entry| entry.kind == EntryKind::TEXT).collect();
        assert_eq!(heard.len(), wanted.len());
        for &(room, member, sseq) in wanted {
            let entry = heard.iter().find(|entry| {
                (entry.member.0, entry.sseq, usize::from(entry.room.0)) == (member, sseq, self.handle(room))
            });
            let seq = entry.unwrap_or_else(|| panic!("{member} {sseq} in {room}")).seq;
            assert_eq!(self.heard.insert((room, member, sseq), seq), None, "once only");
            let before = sseq.checked_sub(1).and_then(|before| self.heard.get(&(room, member, before)));
            assert!(before.is_none_or(|&before| before < seq), "in its order");
        }
    }

    fn handle(&mut self, room: usize) -> usize {
        usize::from(self.observer.clone().join(&mut self.bench, ROOMS[room]).room.0)
    }

    fn reconnect(&mut self, of: usize, close: bool, moved: bool) {
        if close && self.ended[of].is_none() {
            self.clients[of].close(&mut self.bench);
        }
        let away_s = self.ended[of].map_or(0, |ended| (self.bench.now.nanos() - ended) / 1_000_000_000);
        let client = &mut self.clients[of];
        let member = client.member;
        client.again();
        if moved {
            client.at = elsewhere(client.at.port() % 10_000 + 100);
        }
        client.connect(&mut self.bench);
        let forgotten = self.clients[of].member != member;
        // When it ended is known to half a minute.
        assert!(if forgotten { away_s >= 570 } else { away_s <= 600 }, "away for {away_s} s");
        if forgotten {
            self.next.retain(|&(known, _), _| known != of);
        }
        self.ended[of] = None;
    }

    /// Time passes, in which the observer is heard of and the clients fall silent.
    fn wait(&mut self, ms: u64) {
        let end = self.bench.now + Duration::from_millis(ms);
        while self.bench.now < end {
            let span = end.since(self.bench.now).min(30 * SECOND);
            self.bench.run(span);
            self.observer.ping(&mut self.bench);
            self.note_ends();
        }
    }

    fn note_ends(&mut self) {
        for event in self.bench.events.drain(..) {
            let Event::Left { remote, reason: LeaveReason::Idle, .. } = event else { continue };
            let of = self.clients.iter().position(|client| client.at == remote);
            self.ended[of.expect("the observer stays")] = Some(self.bench.now.nanos());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_number_is_taken_once_and_in_its_order(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
    }
}

/// Each room's messages are told to be too fast, and what is asked for apart from them.
#[test]
fn each_room_is_told_what_came_too_fast_in_it() {
    let mut bench = Bench::with(|limits| limits.msgs_per_s = 10);
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    let milk = alice.join(&mut bench, "milk");
    let texts = |room: RoomHandle| (1..=20).map(move |sseq| msg(room, sseq, b"x"));
    let sent = alice.send(&mut bench, &texts(tea.room).chain(texts(milk.room)).collect::<Vec<_>>());
    let told = frames_to(&sent, alice.at).into_iter().filter_map(|frame| match frame {
        Down::Slow { room, first_dropped, .. } => Some((room, first_dropped.0)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(tea.room, 9), (milk.room, 1)]);
    let sent = alice.send(&mut bench, &texts(milk.room).collect::<Vec<_>>());
    assert_eq!(slows(&sent, &alice).len(), 1, "the next turn has its own");
}

#[test]
fn a_new_session_brings_no_new_rates() {
    let mut bench = Bench::with(|limits| limits.msgs_per_s = 20);
    let (mut alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
    let accepted = |bench: &Bench| bench.relay.counters().native.messages_accepted as u32;
    for _ in 0..10 {
        let next = accepted(&bench) + 1;
        let texts: Vec<_> = (next..next + 30).map(|sseq| msg(tea.room, sseq, b"x")).collect();
        alice.send(&mut bench, &texts);
        bench.wait(200 * MS);
        alice.again();
        alice.connect(&mut bench);
        let join = Frame::Join {
            req: alice.next_req(),
            sealed: false,
            unlisted: false,
            key_id: outcry::wire::id::KeyId(0),
            room: "tea",
        };
        alice.send(&mut bench, &[join]);
    }
    let accepted = accepted(&bench);
    assert!((30..=20 + 2 * 20).contains(&accepted), "{accepted} in 2 s, at 20 a second");
}

/// Over the rate a JOIN is told so, once a datagram; what else is asked is repeated.
#[test]
fn a_join_over_the_rate_is_told_so() {
    let (mut bench, mut alice, _, tea) = pair_with(|limits| limits.msgs_per_s = 3);
    bench.run(SECOND);
    let join = |req, room| Frame::Join {
        req: outcry::wire::id::Req(req),
        sealed: false,
        unlisted: false,
        key_id: outcry::wire::id::KeyId(0),
        room,
    };
    let codes = |sent: &[support::Sent], alice: &Native| -> Vec<_> {
        let codes = frames_to(sent, alice.at).into_iter().filter_map(|frame| match frame {
            Down::Joined { req, code, .. } => Some((req.0, code)),
            _ => None,
        });
        codes.collect()
    };
    let sent = alice.send(&mut bench, &["a", "b", "c", "d", "e"].map(|room| join(room.as_bytes()[0].into(), room)));
    let expected = [(97, Code::Ok), (98, Code::Ok), (99, Code::Ok), (100, Code::Rate)];
    assert_eq!(codes(&sent, &alice), expected);
    assert_eq!(alice.send(&mut bench, &[Frame::Leave { req: outcry::wire::id::Req(1), room: tea }]), []);
    bench.wait(SECOND);
    assert_eq!(codes(&alice.send(&mut bench, &[join(100, "d")]), &alice), [(100, Code::Ok)]);
}
