//! T18, T19, T20: a late joiner under traffic, one slow receiver among many,
//! and a thousand members that lose the same datagram.

use crate::chance::{MS, SECOND};
use crate::checker::{Counting, RoomNumber, Who};
use crate::loss::{crowd, quantile};
use crate::network::{Bottleneck, Conditions};
use crate::people::Way;
use crate::world::{World, limits};
use outcry::config;

const DEN: RoomNumber = RoomNumber(1);
const LOFT: RoomNumber = RoomNumber(2);

fn count_from_now(world: &mut World) {
    world.checker.told.counting = Some(Counting { since: world.now, ..Counting::default() });
}

/// The p99 from send to delivery, of these members together.
fn p99(world: &World, members: &[Who]) -> u64 {
    let counting = world.checker.told.counting.as_ref().expect("it was set");
    let of = |who: &Who| counting.latencies.get(who).into_iter().flat_map(|latencies| &latencies.from_send);
    quantile(&mut members.iter().flat_map(of).copied().collect::<Vec<u64>>(), 990)
}

#[test]
fn a_late_joiner_is_told_exactly_what_it_asks_for() {
    for (seed, history, loss_ppm) in [(1, 100, 0), (2, 100, 100_000), (3, 1, 100_000), (4, 5_000, 200_000)] {
        let mut world = World::new(seed, limits());
        let way = Way::both(Conditions::lossy(20 * MS, loss_ppm));
        let speakers = crowd(&mut world, 5, way, DEN);
        let mut late = None;
        for text in 0..300 {
            world.run_for(10 * MS);
            world.say(speakers[text % speakers.len()], DEN, 80);
            if text == 200 {
                let who = world.add_native(way);
                world.join(who, DEN, history);
                late = Some(who);
            }
        }
        world.run_for(10 * SECOND);
        world.checker.at_rest();
        let late = late.expect("it came");
        let id = world.people[late].room(DEN).expect("it is there");
        let (first, head) = world.checker.told.beginning(late, id).expect("it is in");
        assert_eq!(
            first,
            (head + 1).saturating_sub(history.into()).max(1),
            "seed {seed}: the last {history} of {head}"
        );
        assert_eq!(world.checker.told.gaps, 0);
    }
}

/// 1 MB/s to 100 members for 2.4 s. Returns the p99 of 99, and what was sent to the other in the last half.
fn busy_room(bottleneck: Option<Bottleneck>) -> (u64, u64, u64) {
    let mut world = World::new(19, limits());
    let crowd = crowd(&mut world, 100, Way::both(Conditions::clean(5 * MS)), DEN);
    let (slow, others) = crowd.split_last().expect("there are many");
    world.people[*slow].down.conditions.bottleneck = bottleneck;
    count_from_now(&mut world);
    let mut half = 0;
    for text in 0..2_400 {
        world.run_for(MS);
        world.say(others[text % 10], DEN, 1_000);
        if text == 1_900 {
            half = world.people[*slow].down.carried;
        }
    }
    let sent_to_slow = world.people[*slow].down.carried - half;
    world.run_for(2 * SECOND);
    (p99(&world, others), sent_to_slow, world.host.relay.counters().native.demoted)
}

#[test]
fn one_slow_receiver_slows_nobody() {
    let (without, all, _) = busy_room(None);
    let (with, fed, demoted) = busy_room(Some(Bottleneck { bytes_per_s: 10_000, queue_bytes: 5_000 }));
    assert!(with * 10 <= without * 11, "p99 {with} ns beside a slow receiver, {without} ns without");
    assert!(demoted >= 1 && all > 480_000, "{demoted} demoted, {all} bytes");
    // It is fed from the ring at its own pace: no more than a queue it would need else.
    assert!(fed < 40_000, "{fed} bytes in half a second to one that takes 10 kB/s");
}

#[test]
fn a_thousand_members_lose_the_same_datagram() {
    let mut limits = limits();
    (limits.sessions_max, limits.presence_members_max) = (1_100, 0);
    let mut world = World::new(20, limits);
    let way = Way::both(Conditions::clean(20 * MS));
    let many = crowd(&mut world, 1_000, way, DEN);
    let others = crowd(&mut world, 20, way, LOFT);
    let talk = |world: &mut World| {
        count_from_now(world);
        for text in 0..100 {
            world.run_for(5 * MS);
            world.say(others[text % others.len()], LOFT, 64);
        }
        p99(world, &others)
    };
    let before = talk(&mut world);
    world.run_for(3 * SECOND);
    world.say(many[0], DEN, 64);
    world.run_for(15 * MS);
    let lost_until = world.now + 20 * MS;
    many.iter().for_each(|who| world.people[*who].down.cut_until = lost_until);
    world.run_for(30 * MS);
    world.say(many[1], DEN, 64);
    world.repairs_max = 0;
    let during = talk(&mut world);
    world.run_for(3 * SECOND);
    world.checker.at_rest();
    let repairs = world.host.relay.counters().native.repairs;
    assert!(repairs >= 999, "all have lost it: {repairs} repairs");
    assert!(world.repairs_max <= config::REPAIRS_PER_TURN.into(), "{} repairs in one turn", world.repairs_max);
    assert!(world.repairs_max < 100, "requests are spread: {} repairs in one turn", world.repairs_max);
    assert!(during * 10 <= before * 11, "p99 of another room: {during} ns, {before} ns before");
}

/// What is said after a kick comes under a tag that all have been told.
#[test]
fn a_kick_costs_those_who_stay_nothing() {
    for after_ms in [0, 1, 30, 400, 499, 500, 600, 2_500] {
        let mut world = World::new(21, limits());
        let way = Way::both(Conditions::clean(20 * MS));
        let crowd = crowd(&mut world, 50, way, DEN);
        world.run_for(5 * SECOND);
        world.kick(crowd[0]);
        world.run_for(5 * MS);
        world.kick(crowd[1]);
        world.run_for(after_ms * MS);
        let late = world.add_native(way);
        world.join(late, DEN, 0);
        world.say(crowd[2], DEN, 64);
        world.run_for(3 * SECOND);
        world.say(crowd[3], DEN, 64);
        world.run_for(3 * SECOND);
        let counters = &world.host.relay.counters().native;
        assert_eq!((counters.nacks, counters.messages_accepted), (0, 2), "{after_ms} ms after the kick");
        let foreign: u64 =
            world.natives().map(|who| world.people[who].client().expect("native").counts().foreign).sum();
        assert_eq!(foreign, 0, "{after_ms} ms after the kick");
        assert_eq!(world.living().count(), 49);
    }
}
