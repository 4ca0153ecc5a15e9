//! T17: what loss costs, in virtual time: a table that is compared with the
//! committed one, and the page's bounds.

use crate::chance::{MS, SECOND};
use crate::checker::{Counting, RoomNumber, Who};
use crate::network::Conditions;
use crate::people::Way;
use crate::world::{World, limits};
use std::fmt::Write;

/// The table as it is to be.
const TABLE: &str = include_str!("loss.txt");
const DEN: RoomNumber = RoomNumber(1);
/// Texts of a run: 100 a second.
const TEXTS: u64 = 600;
const TEXT_BYTES: usize = 64;
/// Loss in percent, and the p99 in ms from send and from acceptance that it may cost.
const BOUNDS_MS: [(u32, [u64; 2]); 5] =
    [(0, [60, 40]), (1, [150, 125]), (5, [250, 200]), (10, [340, 280]), (20, [610, 480])];
/// Half a round trip.
const ONE_WAY_NS: u64 = 20 * MS;

/// One run's results.
pub(crate) struct Row {
    pub(crate) delivered: usize,
    pub(crate) repairs: u64,
    /// From send and from acceptance, in ns.
    pub(crate) p99: [u64; 2],
}

/// The value that so many of a thousand do not exceed.
pub(crate) fn quantile(values: &mut [u64], per_mille: usize) -> u64 {
    values.sort_unstable();
    values[(values.len() * per_mille / 1000).min(values.len() - 1)]
}

/// People in a room, all on paths of that kind.
pub(crate) fn crowd(world: &mut World, members: usize, way: Way, room: RoomNumber) -> Vec<Who> {
    let crowd: Vec<Who> = (0..members).map(|_| world.add_native(Way::both(Conditions::clean(ONE_WAY_NS)))).collect();
    for &who in &crowd {
        world.join(who, room, 0);
    }
    world.run_for(3 * SECOND);
    for &who in &crowd {
        world.people[who].set_way(way);
    }
    crowd
}

fn run(loss_percent: u32, members: usize) -> Row {
    let mut world = World::new(u64::from(loss_percent) * 1000 + members as u64, limits());
    let way = Way::both(Conditions::lossy(ONE_WAY_NS, loss_percent * 10_000));
    let crowd = crowd(&mut world, members, way, DEN);
    world.checker.told.counting = Some(Counting { since: world.now, ..Counting::default() });
    let mut chance = world.chance.fork();
    for _ in 0..TEXTS {
        world.run_for(10 * MS);
        let who = chance.pick(&crowd);
        world.say(who, DEN, TEXT_BYTES);
    }
    world.run_for(10 * SECOND);
    world.checker.at_rest();
    let counting = world.checker.told.counting.take().expect("it was set");
    let all = |which: fn(&crate::checker::Latencies) -> &Vec<u64>| -> Vec<u64> {
        counting.latencies.values().flat_map(which).copied().collect()
    };
    let (mut sent, mut accepted) = (all(|latencies| &latencies.from_send), all(|latencies| &latencies.from_acceptance));
    Row {
        delivered: sent.len(),
        repairs: world.host.relay.counters().native.repairs,
        p99: [quantile(&mut sent, 990), quantile(&mut accepted, 990)],
    }
}

#[test]
fn loss_costs_what_the_table_says() {
    let mut table = String::from("loss members delivered of repairs p99-from-send-ms p99-from-acceptance-ms\n");
    for (loss, bounds) in BOUNDS_MS {
        for members in [2, 10, 50] {
            let row = run(loss, members);
            let of = TEXTS as usize * members;
            let p99 = row.p99.map(|p99| p99 / MS);
            writeln!(table, "{loss}% {members} {} {of} {} {} {}", row.delivered, row.repairs, p99[0], p99[1])
                .expect("a string takes it");
            assert_eq!(row.delivered, of, "{loss} % of loss, {members} members");
            assert!(p99[1] <= bounds[1], "{loss} % of loss, {members} members: {p99:?} ms, at most {bounds:?}");
            // Of fifty each says something every half second: who then loses it waits for its
            // timeout, because nothing follows that would show the hole.
            assert!(p99[0] <= bounds[0] || members == 50, "{loss} % of loss, {members} members: {p99:?}");
        }
    }
    assert_eq!(table, TABLE, "what loss costs has changed: the new table, for tests/sim/loss.txt, is\n{table}");
}

/// Where gaps close fast, reports are rare: to lose a few must not take
/// anybody off the live list, and the ring holds but two seconds of such a room.
#[test]
fn who_loses_a_twentieth_of_a_fast_room_stays_live_and_misses_nothing() {
    const MEMBERS: usize = 20;
    const TEXTS: usize = 12_000;
    let mut world = World::new(99, limits());
    let way = Way { up: Conditions::lossy(MS, 200_000), down: Conditions::lossy(MS, 50_000) };
    let crowd = crowd(&mut world, MEMBERS, way, DEN);
    world.checker.told.counting = Some(Counting { since: world.now, ..Counting::default() });
    for text in 0..TEXTS {
        world.run_for(MS);
        world.say(crowd[text % MEMBERS], DEN, TEXT_BYTES);
    }
    world.run_for(10 * SECOND);
    world.checker.at_rest();
    let counting = world.checker.told.counting.take().expect("it was set");
    let delivered: usize = counting.latencies.values().map(|latencies| latencies.from_send.len()).sum();
    let native = &world.host.relay.counters().native;
    assert_eq!((delivered, native.demoted, native.gaps), (TEXTS * MEMBERS, 0, 0), "{native:?}");
}
