//! Sending again: what is asked for, what is gone, and how those are fed who
//! cannot take everything as it is said.

mod support;

use outcry::config;
use outcry::wire::downlink::{Downlink, Frame as Down};
use outcry::wire::header::SlowCause;
use outcry::wire::id::{RoomHandle, Seq};
use outcry::wire::uplink::{Frame, Ranges, SeqRange};
use std::collections::BTreeSet;
use std::time::Duration;
use support::native::{Entry, Native, datagrams_to, entries_to, frames_to, msg, texts_to};
use support::{Bench, Sent};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A speaker, a listener, and their room with `said` messages of `bytes` bytes in it.
struct Room {
    bench: Bench,
    alice: Native,
    bob: Native,
    tea: RoomHandle,
    sseq: u32,
    bytes: usize,
}

impl Room {
    fn new(said: u32, bytes: usize) -> Self {
        Self::with(said, bytes, |_| {})
    }

    fn with(said: u32, bytes: usize, change: impl FnOnce(&mut config::Limits)) -> Self {
        let mut bench = Bench::with(change);
        let (alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
        let (bob, _) = Native::in_room(&mut bench, 2, "bob", "tea");
        let mut room = Self { bench, alice, bob, tea: tea.room, sseq: 0, bytes };
        room.say(said);
        room.report_all();
        room.bench.run(2 * SECOND);
        room
    }

    /// Both have everything, and say so.
    fn report_all(&mut self) {
        let (_, head) = self.head();
        for native in [&mut self.alice, &mut self.bob] {
            native.report(&mut self.bench, self.tea, head, 0, 0);
        }
    }

    /// Says more, a turn each.
    fn say(&mut self, count: u32) -> Vec<Sent> {
        let mut sent = Vec::new();
        for _ in 0..count {
            self.sseq += 1;
            let payload = vec![self.sseq as u8; self.bytes];
            sent.extend(self.alice.send(&mut self.bench, &[msg(self.tea, self.sseq, &payload)]));
        }
        sent
    }

    fn head(&mut self) -> (u64, u64) {
        let sent = self.alice.ping(&mut self.bench);
        let head = frames_to(&sent, self.alice.at).into_iter().find_map(|frame| match frame {
            Down::Head { head, tail, .. } => Some((tail.0, head.0)),
            _ => None,
        });
        head.expect("a HEAD")
    }

    fn nack(&mut self, ranges: &[(u64, u16)]) -> Vec<Sent> {
        self.bob.nack(&mut self.bench, self.tea, ranges)
    }

    fn report(&mut self, to: u64, lost: u32, kib: u16) -> Vec<Sent> {
        self.bob.report(&mut self.bench, self.tea, to, lost, kib)
    }

    /// Makes bob lossy: he is fed from `from` + 1 on.
    fn demote(&mut self, from: u64) {
        let demoted = self.counters().demoted;
        let (_, head) = self.head();
        let report = Frame::Report { room: self.tea, contiguous: Seq(from), highest: Seq(head), lost: 1000, kib: 0 };
        self.bob.send(&mut self.bench, &[report]);
        assert_eq!(self.counters().demoted, demoted + 1);
    }

    /// He has everything up to `to`, as far as he says.
    fn report_well(&mut self, to: u64, kib: u16) -> Vec<Sent> {
        let (_, head) = self.head();
        let report = Frame::Report { room: self.tea, contiguous: Seq(to), highest: Seq(head), lost: 1000, kib };
        self.bob.send(&mut self.bench, &[report])
    }

    fn counters(&self) -> &outcry::metrics::NativeCounters {
        &self.bench.relay.counters().native
    }
}

fn gaps(sent: &[Sent], native: &Native) -> Vec<(u64, u64)> {
    let gaps = frames_to(sent, native.at).into_iter().filter_map(|frame| match frame {
        Down::Gap { from, to, .. } => Some((from.0, to.0)),
        _ => None,
    });
    gaps.collect()
}

fn seqs(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq).collect()
}

// ---- NACK ---------------------------------------------------------------------------------------

#[test]
fn what_is_asked_for_comes_from_the_ring_to_who_asked() {
    let mut room = Room::new(50, 100);
    let first = entries_to(&room.say(1), room.bob.at);
    let sent = room.nack(&[(first[0].seq, 1)]);
    assert_eq!(entries_to(&sent, room.bob.at), first, "the same entry");
    assert!(sent.len() == 1 && matches!(Downlink::parse(&sent[0].bytes), Ok(Downlink::ToClient { .. })));
    assert_eq!(datagrams_to(&sent, room.alice.at).len(), 0);
    let sent = room.nack(&[(10, 3), (20, 1), (30, 5)]);
    assert_eq!(seqs(&entries_to(&sent, room.bob.at)), [10, 11, 12, 20, 30, 31, 32, 33, 34]);
    assert_eq!(room.counters().entries_repaired, 10);
    assert_eq!(room.nack(&[(40, 0)]), [], "none");
    assert_eq!(room.nack(&[]), []);
}

#[test]
fn what_is_above_the_head_is_not_answered() {
    let mut room = Room::new(10, 100);
    let (_, head) = room.head();
    assert_eq!(seqs(&entries_to(&room.nack(&[(head, 100)]), room.bob.at)), [head]);
    assert_eq!(room.nack(&[(head + 1, 100), (u64::MAX, u16::MAX), (u64::MAX - 1, 1)]), []);
}

#[test]
fn what_is_gone_is_told_exactly() {
    let mut room = Room::with(0, 1000, |limits| limits.ring_bytes_max = config::RING_BYTES_SMALLEST);
    room.say(200);
    let (tail, head) = room.head();
    assert!(tail > 100 && head - tail > 20);
    let mut asked = |ranges: &[(u64, u16)]| {
        room.bench.wait(SECOND);
        let sent = room.bob.nack(&mut room.bench, room.tea, ranges);
        (gaps(&sent, &room.bob), seqs(&entries_to(&sent, room.bob.at)))
    };
    assert_eq!(asked(&[(5, 3)]), (vec![(5, 7)], vec![]));
    assert_eq!(asked(&[(tail - 2, 4)]), (vec![(tail - 2, tail - 1)], vec![tail, tail + 1]));
    assert_eq!(asked(&[(tail, 1)]), (vec![], vec![tail]));
    assert_eq!(asked(&[(0, 3)]), (vec![(1, 2)], vec![]), "there is no number 0");
    assert_eq!(asked(&[(0, 1)]), (vec![], vec![]));
    let (all_gone, kept) = asked(&[(1, u16::MAX)]);
    assert_eq!((all_gone, kept), (vec![(1, tail - 1)], (tail..=head).collect()));
    assert_eq!(room.counters().gaps, 4);
}

#[test]
fn a_nack_is_answered_with_64_datagrams_at_most() {
    let mut room = Room::new(150, 1191);
    let sent = room.nack(&[(3, 1000)]);
    assert_eq!((sent.len(), sent[0].bytes.len()), (64, 1232));
    room.bench.wait(SECOND);
    let ranges: Vec<_> = (0..16).map(|number| (3 + number * 8, 8)).collect();
    let sent = room.nack(&ranges);
    assert_eq!(seqs(&entries_to(&sent, room.bob.at)), (3..67).collect::<Vec<_>>());
}

/// Who comes first does not get everything: neither by asking for much nor by asking often,
/// and not by asking for what is gone.
#[test]
fn whoever_asks_in_a_turn_gets_something() {
    for hostile in [(3u64, 64u16), (1, 1)] {
        let mut room = Room::with(150, 1191, |limits| limits.ring_bytes_max = config::RING_BYTES_SMALLEST * 2);
        let mut others: Vec<_> =
            (10..19).map(|n| Native::in_room(&mut room.bench, n, &format!("n{n}"), "tea").0).collect();
        room.bench.run(2 * SECOND);
        let (tail, head) = room.head();
        assert!(tail > 1 && head - tail > 64);
        let mut buffers = [[[0; 10]; 16]; 2];
        let [greedy, honest] = &mut buffers;
        let start = Seq(if hostile.0 == 1 { 1 } else { tail });
        let greedy = Ranges::encode(&[SeqRange { start, count: hostile.1 }; 16], greedy);
        let honest = Ranges::encode(&[SeqRange { start: Seq(tail), count: 64 }], honest);
        for _ in 0..20 {
            room.bob.put(&mut room.bench, &[Frame::Nack { room: room.tea, ranges: greedy }; 7]);
        }
        for native in &mut others {
            native.put(&mut room.bench, &[Frame::Nack { room: room.tea, ranges: honest }]);
        }
        let sent = room.bench.flush();
        let repaired =
            sent.iter().filter(|sent| !gaps(&[(*sent).clone()], &room.bob).is_empty() || sent.bytes.len() == 1232);
        assert!(repaired.count() <= config::NACKED_PER_TURN as usize);
        let counts: Vec<_> = others.iter().map(|native| entries_to(&sent, native.at).len()).collect();
        assert!(counts.iter().all(|&count| count > 0) && counts.iter().sum::<usize>() > 100, "{counts:?}");
        assert!(datagrams_to(&sent, room.bob.at).len() <= 65);
    }
}

#[test]
fn what_one_nack_asks_for_is_packed() {
    let mut room = Room::with(200, 100, |limits| limits.ring_bytes_max = config::RING_BYTES_SMALLEST);
    room.say(800);
    let (tail, head) = room.head();
    assert!(tail > 32 && head - tail > 32);
    let gone: Vec<_> = (0..16).map(|at| (1 + 2 * at, 1)).collect();
    let sent = room.nack(&gone);
    assert_eq!((sent.len(), gaps(&sent, &room.bob).len()), (1, 16));
    let kept: Vec<_> = (0..16).map(|at| (tail + 2 * at, 1)).collect();
    let sent = room.nack(&kept);
    assert_eq!((sent.len(), entries_to(&sent, room.bob.at).len()), (2, 16));
    let sent = room.nack(&[(1, 2), (tail, 20), (5, 1), (tail + 30, 1)]);
    assert_eq!((sent.len(), gaps(&sent, &room.bob)), (2, vec![(1, 2), (5, 5)]));
    assert_eq!(entries_to(&sent, room.bob.at).len(), 21);
}

#[test]
fn repair_has_a_rate_a_member() {
    let mut room = Room::new(100, 1191);
    // One member alone: a quarter of a MiB at once, then a MiB a second.
    let mut bytes = 0;
    for _ in 0..1000 {
        let sent = room.nack(&[(3, 64)]);
        bytes += sent.iter().map(|sent| sent.bytes.len()).filter(|&len| len == 1232).sum::<usize>();
        room.bench.wait(4 * MS);
    }
    assert!((4_000_000..4 * (1 << 20) + (1 << 18)).contains(&bytes), "{bytes}");
    // What is gone costs as much as what is sent.
    let mut gone = Room::with(200, 1000, |limits| limits.ring_bytes_max = config::RING_BYTES_SMALLEST);
    let told = (0..1000).map(|_| gaps(&gone.nack(&[(1, 1)]), &gone.bob).len()).sum::<usize>();
    assert_eq!(told, (config::REPAIR_BYTES_PER_S / 4 / 1232) as usize);
}

#[test]
fn over_its_rate_of_repair_a_member_is_told_when_to_ask_again() {
    let mut room = Room::new(100, 1191);
    let slows = |room: &mut Room| -> Vec<u16> {
        let sent = room.nack(&[(3, 64)]);
        let slows = frames_to(&sent, room.bob.at).into_iter().filter_map(|frame| match frame {
            Down::Slow { cause: SlowCause::Repair, retry_ms, .. } => Some(retry_ms),
            _ => None,
        });
        slows.collect()
    };
    let told: Vec<_> = (0..5).map(|_| slows(&mut room)).collect();
    assert_eq!(told[..3], [const { Vec::<u16>::new() }; 3], "a quarter of a MiB at once");
    let [retry_ms] = told[4][..] else { panic!("{told:?}") };
    assert!((60..=76).contains(&retry_ms), "{retry_ms}");
    room.bench.wait(u32::from(retry_ms) * MS);
    assert_eq!(room.nack(&[(3, 64)]).iter().filter(|sent| sent.bytes.len() == 1232).count(), 64);
}

#[test]
fn who_got_all_that_it_asked_for_is_told_nothing() {
    let mut room = Room::new(100, 1191);
    for count in [64, 64, 64, 20] {
        let sent = room.nack(&[(3, count)]);
        assert_eq!(sent.iter().filter(|sent| sent.bytes.len() == 1232).count(), sent.len(), "entries and no more");
    }
    assert_eq!(room.nack(&[(3, 1)]).len(), 1, "SLOW");
}

#[test]
fn no_repair_makes_a_turn_larger_than_it_may_be() {
    let mut room = Room::new(100, 1191);
    let mut buffer = [[0; 10]; 16];
    let range = SeqRange { start: Seq(3), count: 64 };
    let ranges = Ranges::encode(&[range; 7], &mut buffer);
    let frames = [Frame::Nack { room: room.tea, ranges }; 15];
    for _ in 0..256 {
        room.bob.put(&mut room.bench, &frames);
    }
    let sent = room.bench.flush();
    assert!(sent.len() <= config::REPAIRS_PER_TURN as usize);
}

// ---- from live to fed and back -------------------------------------------------------------------

#[test]
fn a_lossy_report_takes_a_member_off_the_live_list() {
    let mut room = Room::new(0, 100);
    let (_, head) = room.head();
    room.say(20);
    room.report(head + 20, 10, 2);
    assert_eq!(room.counters().demoted, 0, "10 of 20 are half");
    room.say(20);
    room.bench.run(1100 * MS);
    room.report(head + 40, 21, 4);
    assert_eq!(room.counters().demoted, 1, "11 of 20 are more");
    assert_eq!(texts_len(&room.say(1), &room.bob), 0, "not as it is said");
    assert_eq!(texts_len(&room.bench.run(30 * MS), &room.bob), 1, "but soon after, from the ring");
}

fn texts_len(sent: &[Sent], native: &Native) -> usize {
    entries_to(sent, native.at).iter().filter(|entry| entry.sseq != 0).count()
}

/// A room's past is nothing that a newcomer has lost or received.
#[test]
fn the_first_report_counts_from_the_join_on() {
    let mut room = Room::new(1000, 10);
    let (mut carol, joined) = Native::in_room(&mut room.bench, 3, "carol", "tea");
    room.say(20);
    carol.report(&mut room.bench, room.tea, joined.head + 20, 0, 0);
    room.say(20);
    room.bench.run(1100 * MS);
    carol.report(&mut room.bench, room.tea, joined.head + 40, 11, 0);
    assert_eq!(room.counters().demoted, 1, "11 of 20 are lost, not 11 of 1042");
    let fed = room.bench.run(SECOND);
    assert!(entries_to(&fed, carol.at).iter().all(|entry| entry.seq >= joined.head), "it is not fed what was before");
}

#[test]
fn a_report_that_was_overtaken_is_no_loss() {
    let mut room = Room::new(0, 100);
    room.say(50);
    let (_, head) = room.head();
    let reports = room.counters().reports;
    room.report(head, 3, 5);
    room.report(head - 20, 1, 3);
    room.report(head, 3, 5);
    assert_eq!((room.counters().demoted, room.counters().reports), (0, reports + 3));
}

#[test]
fn a_member_that_does_not_report_is_fed() {
    let mut room = Room::new(0, 1000);
    room.bench.run(50 * SECOND);
    let (_, before) = room.head();
    room.bob.ping(&mut room.bench);
    room.say(70);
    assert_eq!(room.counters().demoted, 0, "until now there was nothing to report");
    room.bench.run(2900 * MS);
    assert_eq!(room.counters().demoted, 0);
    let (_, head) = room.head();
    room.alice.report(&mut room.bench, room.tea, head, 0, 70);
    let sent = room.bench.run(200 * MS);
    assert_eq!(room.counters().demoted, 1, "bob, not alice");
    let fed = entries_to(&sent, room.bob.at);
    assert_eq!(fed.first().map(|entry| entry.seq), Some(before + 1), "from what he has");
    assert_eq!(texts_len(&room.say(1), &room.alice), 1);
}

/// A NACK shows how its sender receives, unless it asks for nothing.
#[test]
fn an_empty_nack_is_no_sign_of_life() {
    for (ranges, demoted) in [(&[(5, 1)][..], 0), (&[], 1), (&[(5, 0)], 1)] {
        let mut room = Room::new(10, 1000);
        for _ in 0..50 {
            room.say(3);
            let (_, head) = room.head();
            room.alice.report(&mut room.bench, room.tea, head, 0, 0);
            room.nack(ranges);
            room.bench.run(100 * MS);
        }
        assert_eq!(room.counters().demoted, demoted, "{ranges:?}");
    }
}

#[test]
fn who_never_reports_is_fed_from_its_join_on() {
    let mut room = Room::new(30, 1000);
    let (carol, joined) = Native::in_room(&mut room.bench, 3, "carol", "tea");
    let fed: Vec<_> = (0..40)
        .flat_map(|_| {
            room.say(3);
            room.report_all();
            let demoted = room.counters().demoted;
            let sent = room.bench.run(100 * MS);
            if demoted == 0 { vec![] } else { entries_to(&sent, carol.at) }
        })
        .collect();
    assert_eq!(room.counters().demoted, 1);
    assert_eq!(fed.first().map(|entry| entry.seq), Some(joined.head));
}

#[test]
fn a_quiet_room_needs_no_reports() {
    let mut room = Room::new(0, 1000);
    room.say(60);
    for _ in 0..10 {
        room.bench.run(20 * SECOND);
        room.alice.ping(&mut room.bench);
        room.bob.ping(&mut room.bench);
    }
    assert_eq!((room.counters().demoted, room.bench.relay.sessions()), (0, 2), "less than 64 KiB");
}

#[test]
fn who_is_fed_comes_back_when_it_has_caught_up() {
    let mut room = Room::new(40, 1000);
    room.demote(2);
    let mut have = BTreeSet::new();
    let mut reports = 0;
    for step in 0..200 {
        if step % 5 == 0 && step < 100 {
            have.extend(seqs(&entries_to(&room.say(1), room.bob.at)));
            let (_, head) = room.head();
            room.alice.report(&mut room.bench, room.tea, head, 0, 0);
        }
        have.extend(seqs(&entries_to(&room.bench.run(100 * MS), room.bob.at)));
        if step % 10 == 0 && !have.is_empty() {
            let contiguous = (3..).take_while(|seq| have.contains(seq)).last().unwrap_or(2);
            reports += 1;
            room.report_well(contiguous, have.len() as u16);
        }
    }
    let (_, head) = room.head();
    assert!((3..=head).all(|seq| have.contains(&seq)), "nothing is left out");
    assert_eq!((room.counters().promoted, room.counters().demoted), (1, 1), "after {reports} reports");
    assert_eq!(texts_len(&room.say(1), &room.bob), 1, "live again");
}

#[test]
fn a_lossy_member_is_not_live_again_before_it_reports_well() {
    let mut room = Room::new(3, 100);
    let (_, head) = room.head();
    room.demote(head - 2);
    assert_eq!(texts_len(&room.bench.run(20 * SECOND), &room.bob), 2, "all there is");
    assert_eq!(room.counters().promoted, 0);
    room.report_well(head, 1);
    room.bench.run(50 * MS);
    assert_eq!(room.counters().promoted, 1);
}

#[test]
fn feeding_has_the_rate_that_the_reports_show() {
    let mut room = Room::new(900, 1000);
    let rate = |room: &mut Room, span: Duration| -> u64 {
        let sent = room.bench.run(span);
        let bytes: usize = datagrams_to(&sent, room.bob.at).iter().map(|bytes| bytes.len()).sum();
        bytes as u64 * 1000 / span.as_millis() as u64
    };
    room.demote(2);
    let none = rate(&mut room, 2 * SECOND);
    assert!((6_000..9_500).contains(&none), "{none}: 8 KiB/s, for nothing came");
    // 40 KiB in 1 s, then nothing: 8 KiB/s at least.
    room.report_well(4, 0);
    room.bench.run(SECOND);
    room.report_well(4, 40);
    let faster = rate(&mut room, 2 * SECOND);
    assert!((70_000..90_000).contains(&faster), "{faster}: twice what it took, where nothing was lost");
    room.report_well(4, 40);
    let least = rate(&mut room, 4 * SECOND);
    assert!((6_000..9_500).contains(&least), "{least}");
    room.report_well(4, 60_000);
    let silence = rate(&mut room, 2 * SECOND);
    assert!((13_000..18_000).contains(&silence), "{silence}: after a silence as to start");
    room.bench.run(500 * MS);
    room.report_well(4, 65_000);
    let most = rate(&mut room, SECOND / 4);
    assert!(most < 3 * (1 << 20), "{most}: 1 MiB/s, with its burst");
}

#[test]
fn a_nack_of_a_fed_member_only_moves_its_feed_back() {
    let mut room = Room::new(200, 1000);
    room.demote(100);
    let fed: Vec<_> = seqs(&entries_to(&room.bench.run(2 * SECOND), room.bob.at));
    let last = *fed.last().expect("fed");
    assert!(fed.iter().copied().eq(101..=last));
    assert_eq!(room.nack(&[(90, 2), (50, 1)]), [], "no answer at once");
    let again = seqs(&entries_to(&room.bench.run(SECOND), room.bob.at));
    assert!(again.iter().copied().eq(50..50 + again.len() as u64), "{again:?}");
    let next = again.last().expect("fed") + 1;
    room.nack(&[(u64::MAX, 1)]);
    room.nack(&[(190, 2)]);
    let on = seqs(&entries_to(&room.bench.run(SECOND), room.bob.at));
    assert_eq!(on[0], next, "not forward: what lies between would be skipped");
}

#[test]
fn who_is_fed_is_told_what_is_gone() {
    let mut room = Room::with(300, 1000, |limits| limits.ring_bytes_max = config::RING_BYTES_SMALLEST);
    let (tail, _) = room.head();
    room.demote(5);
    let sent = room.bench.run(200 * MS);
    assert_eq!(gaps(&sent, &room.bob), [(6, tail - 1)]);
    assert_eq!(seqs(&entries_to(&sent, room.bob.at))[0], tail);
}

#[test]
fn heads_go_to_fed_members_and_acks_to_fed_senders() {
    let mut room = Room::new(5, 100);
    let (_, head) = room.head();
    room.demote(head - 2);
    room.bench.run(2 * SECOND);
    room.say(1);
    let sent = room.bench.run(SECOND);
    let heads = frames_to(&sent, room.bob.at).into_iter().filter(|frame| matches!(frame, Down::Head { .. })).count();
    assert_eq!(heads, 2);
    let sent = room.bob.say(&mut room.bench, room.tea, 1, "me too");
    let acks: Vec<_> = frames_to(&sent, room.bob.at);
    assert!(matches!(acks[..], [Down::Ack { cumulative, missing: false, .. }] if cumulative.0 == 1), "{acks:?}");
    assert_eq!(texts_to(&sent, room.alice.at), ["me too"]);
}

/// Hundreds of slow members: all are fed, a turn never takes more than it may,
/// and those who are live get everything at once.
#[test]
fn many_slow_members_share_what_a_turn_has() {
    let mut room = Room::new(60, 900);
    let mut slow: Vec<_> =
        (0..1500).map(|n| Native::in_room(&mut room.bench, 10 + n, &format!("n{n}"), "tea")).collect();
    for lost in [0, 999] {
        room.bench.run(1100 * MS);
        for (native, joined) in &mut slow {
            let highest = Seq(joined.head + 1);
            let report = Frame::Report { room: room.tea, contiguous: Seq(50), highest, lost, kib: 0 };
            native.send(&mut room.bench, &[report]);
        }
    }
    assert_eq!(room.counters().demoted, 1500);
    let mut fed = std::collections::BTreeMap::new();
    for _ in 0..200 {
        let Some(due) = room.bench.relay.next_deadline() else { break };
        room.bench.now = room.bench.now.max(due);
        room.bench.relay.handle_deadline(room.bench.now, &mut room.bench.out);
        let sent = room.bench.flush();
        assert!(sent.len() <= config::REPAIRS_PER_TURN as usize + 1502);
        sent.iter().for_each(|sent| *fed.entry(sent.to).or_insert(0) += 1);
    }
    let counts: Vec<_> = slow.iter().map(|(native, _)| fed.get(&native.at).copied().unwrap_or(0)).collect();
    let (least, most) = (counts.iter().min().expect("some"), counts.iter().max().expect("some"));
    assert!(*least > 3 && most - least <= 3, "{least} to {most}");
    assert_eq!(texts_len(&room.say(1), &room.alice), 1);
}

/// A member that cannot take anything costs no memory: there is nothing that waits for it.
#[test]
fn nothing_waits_for_a_slow_member() {
    let mut room = Room::with(10, 1000, |limits| limits.ring_bytes_max = config::RING_BYTES_SMALLEST);
    room.demote(2);
    for _ in 0..50 {
        room.say(100);
        room.report_well(4, 0);
        room.bench.run(SECOND);
        room.alice.ping(&mut room.bench);
    }
    let (tail, head) = room.head();
    assert!(head > 5000 && head - tail < 70);
    let fed = seqs(&entries_to(&room.bench.run(SECOND), room.bob.at));
    assert!(fed.iter().all(|seq| *seq >= tail) && fed.len() < 20);
}
