//! T28: the relay's process dies under load and another begins.

use crate::chance::{MS, SECOND};
use crate::checker::{RoomNumber, Who};
use crate::loss::crowd;
use crate::network::Conditions;
use crate::people::Way;
use crate::world::{World, limits};
use outcry::config;

const DEN: RoomNumber = RoomNumber(1);
/// Who was active within the last second is back after this.
const BACK_WITHIN_NS: u64 = 3 * SECOND;

/// When each is in the room again after a restart, in ns.
fn back_after(world: &mut World, crowd: &[Who], patience: u64) -> Vec<(Who, u64)> {
    let restarted_at = world.now;
    let mut back: Vec<(Who, u64)> = Vec::new();
    while back.len() < crowd.len() && world.now < restarted_at + patience {
        world.run_for(10 * MS);
        for &who in crowd {
            let is_back = world.checker.told.connections(who) == 2 && world.checker.told.is_in(who);
            if is_back && !back.iter().any(|(other, _)| *other == who) {
                back.push((who, world.now - restarted_at));
            }
        }
    }
    back
}

#[test]
fn who_was_active_is_back_within_three_seconds_and_nothing_unacknowledged_is_lost() {
    for seed in 1..=10 {
        let mut world = World::new(seed, limits());
        let crowd = crowd(&mut world, 10, Way::both(Conditions::lossy(20 * MS, 20_000)), DEN);
        for text in 0..200 {
            world.run_for(10 * MS);
            world.say(crowd[text % crowd.len()], DEN, 100);
        }
        world.restart();
        let back = back_after(&mut world, &crowd, BACK_WITHIN_NS);
        assert_eq!(back.len(), crowd.len(), "seed {seed}: back are {back:?}");
        world.run_for(5 * SECOND);
        world.checker.at_rest();
        let (delivered, not_sent, open) = world.checker.told.outcomes();
        assert_eq!((delivered, not_sent, open), (200, 0, 0), "seed {seed}");
    }
}

#[test]
fn who_was_silent_is_back_after_its_keep_alive() {
    for seed in 1..=10 {
        let mut world = World::new(seed, limits());
        let crowd = crowd(&mut world, 5, Way::both(Conditions::clean(20 * MS)), DEN);
        world.run_for(seed * 2_345 * MS);
        world.restart();
        let patience = u64::from(config::SESSION_KEEPALIVE_S) * SECOND + BACK_WITHIN_NS;
        let back = back_after(&mut world, &crowd, patience);
        assert_eq!(back.len(), crowd.len(), "seed {seed}: back are {back:?}");
    }
}
