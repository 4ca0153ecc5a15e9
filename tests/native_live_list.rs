//! Who is sent everything as it is said: a path that loses one datagram in
//! twenty may lose one in ten of a few, and that is chance.

mod support;

use outcry::wire::id::RoomHandle;
use support::Bench;
use support::native::{Native, entries_to};

struct Room {
    bench: Bench,
    alice: Native,
    bob: Native,
    room: RoomHandle,
    said: u32,
    /// The newest entry.
    head: u64,
    lost: u32,
}

impl Room {
    fn new() -> Self {
        let mut bench = Bench::with(|_| {});
        let (alice, tea) = Native::in_room(&mut bench, 1, "alice", "tea");
        let (bob, joined) = Native::in_room(&mut bench, 2, "bob", "tea");
        Self { bench, alice, bob, room: tea.room, said: 0, head: joined.head, lost: 0 }
    }

    /// Alice says `count` messages, and bob has them all, `lost` of them late.
    fn goes_on(&mut self, count: u32, lost: u32) -> u64 {
        for _ in 0..count {
            self.said += 1;
            let sent = self.alice.say(&mut self.bench, self.room, self.said, "hi");
            self.head = entries_to(&sent, self.alice.at).last().map_or(self.head, |entry| entry.seq);
        }
        self.lost += lost;
        self.alice.report(&mut self.bench, self.room, self.head, 0, 0);
        self.bob.report(&mut self.bench, self.room, self.head, self.lost, 100);
        self.bench.relay.counters().native.demoted
    }
}

#[test]
fn a_few_datagrams_say_nothing_about_a_path() {
    let mut room = Room::new();
    for (count, lost) in [(1, 1), (20, 5), (100, 20), (400, 50), (500, 50)] {
        assert_eq!(room.goes_on(count, lost), 0, "{lost} of {count}");
    }
}

#[test]
fn many_do_however_few_come_between_two_reports() {
    let mut room = Room::new();
    let off = (1..=40).find(|_| room.goes_on(50, 10) == 1);
    assert_eq!(off, Some(21), "210 of the first 2048");
}

#[test]
fn what_was_judged_is_not_judged_again() {
    let mut room = Room::new();
    assert_eq!(room.goes_on(2100, 200), 0);
    assert_eq!(room.goes_on(2100, 200), 0);
    assert_eq!(room.goes_on(100, 190), 0);
    assert_eq!(room.goes_on(100, 20), 1);
}
