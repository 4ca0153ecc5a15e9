//! Who is sent everything as it is said: what a path loses by chance is
//! repaired, and only one that is full is fed.

mod support;

use outcry::config;
use outcry::wire::id::RoomHandle;
use std::time::Duration;
use support::Bench;
use support::native::{Native, entries_to};

/// A second, and a little.
const JUDGED: Duration = Duration::from_millis(config::FEED_MEASURED_MS + 10);
/// Bytes of each message.
const BYTES: usize = 1000;

struct Room {
    bench: Bench,
    alice: Native,
    bob: Native,
    room: RoomHandle,
    said: u32,
    /// The newest entry.
    head: u64,
}

impl Room {
    fn new() -> Self {
        let mut bench = Bench::with(|_| {});
        let (alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
        let (bob, joined) = Native::in_room(&mut bench, 2, "bob", "tea");
        let mut room = Self { bench, alice, bob, room: tea.room, said: 0, head: joined.head };
        room.say(1);
        room.report(0);
        room
    }

    fn say(&mut self, count: u32) {
        let text = "x".repeat(BYTES);
        for _ in 0..count {
            self.said += 1;
            let sent = self.alice.say(&mut self.bench, self.room, self.said, &text);
            self.head = entries_to(&sent, self.alice.at).last().map_or(self.head, |entry| entry.seq);
        }
    }

    /// Bob has everything, and `lost` entries came late in all.
    fn report(&mut self, lost: u32) {
        self.alice.report(&mut self.bench, self.room, self.head, 0, 0);
        self.bob.report(&mut self.bench, self.room, self.head, lost, 100);
    }

    fn demoted(&self) -> u64 {
        self.bench.relay.counters().native.demoted
    }
}

#[test]
fn a_few_datagrams_say_nothing_about_a_path() {
    let mut room = Room::new();
    room.say(15);
    room.report(12);
    assert_eq!(room.demoted(), 0, "12 of 15 at once");
    room.bench.run(JUDGED);
    room.report(12);
    assert_eq!(room.demoted(), 0, "12 of 15 within a second, but no more than 15");
    room.say(60);
    room.bench.run(JUDGED);
    room.report(30);
    assert_eq!(room.demoted(), 0, "30 of 75");
}

#[test]
fn many_do() {
    let mut room = Room::new();
    room.say(100);
    room.report(60);
    assert_eq!(room.demoted(), 0, "not within a second");
    room.bench.run(JUDGED);
    room.report(60);
    assert_eq!(room.demoted(), 1, "60 of 100");
}

#[test]
fn what_was_judged_is_not_judged_again() {
    let mut room = Room::new();
    let mut lost = 0;
    for _ in 0..5 {
        room.say(100);
        room.bench.run(JUDGED);
        lost += 45;
        room.report(lost);
        assert_eq!(room.demoted(), 0);
    }
    room.say(100);
    room.bench.run(JUDGED);
    room.report(lost + 60);
    assert_eq!(room.demoted(), 1, "60 of the last 100");
}

/// Where repair is quick a REPORT comes once a second: two of them are soon
/// lost in a row, while NACKs tell that the path is there.
#[test]
fn who_asks_again_is_not_silent() {
    let mut room = Room::new();
    for _ in 0..12 {
        room.say(70);
        room.bench.run(JUDGED / 2);
        let (head, at) = (room.head, room.room);
        room.alice.report(&mut room.bench, at, head, 0, 0);
        room.bob.nack(&mut room.bench, at, &[(head, 1)]);
        assert_eq!(room.demoted(), 0);
    }
    for _ in 0..8 {
        room.say(70);
        room.bench.run(JUDGED / 2);
        room.alice.report(&mut room.bench, room.room, room.head, 0, 0);
    }
    assert_eq!(room.demoted(), 1, "bob says nothing any more");
}

/// On a lossy path JOINED may be lost, and what is said meanwhile is nothing to
/// a client that does not know that it is in.
#[test]
fn who_joins_again_has_had_nothing_to_report() {
    let mut room = Room::new();
    let (mut carol, _) = Native::in_room(&mut room.bench, 3, "carol", "tea");
    for _ in 0..2 {
        room.say(70);
        room.report(0);
        room.bench.run(2 * JUDGED);
        room.report(0);
        assert_eq!(room.demoted(), 0, "three seconds since it asked last are not over");
        carol.join(&mut room.bench, "tea");
    }
    room.say(70);
    room.report(0);
    room.bench.run(4 * JUDGED);
    assert_eq!(room.demoted(), 1, "carol never reports");
}
