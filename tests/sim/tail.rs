//! T15 where it is hardest: the last thing said is lost, nothing follows it,
//! and whoever lost it cannot know.

use crate::chance::{MS, SECOND};
use crate::checker::RoomNumber;
use crate::loss::crowd;
use crate::network::Conditions;
use crate::people::Way;
use crate::world::{World, limits};

const DEN: RoomNumber = RoomNumber(1);

/// Now and then somebody says something that some lose; `change` is done to the world first.
pub(crate) fn quiet_room(seed: u64, change: impl FnOnce(&mut World)) {
    let mut world = World::new(seed, limits());
    change(&mut world);
    let crowd = crowd(&mut world, 6, Way::both(Conditions::clean(20 * MS)), DEN);
    let mut chance = world.chance.fork();
    for _ in 0..10 {
        let speaker = chance.pick(&crowd);
        let lost_until = world.now + 60 * MS;
        for &who in crowd.iter().filter(|who| **who != speaker) {
            world.people[who].down.cut_until = if chance.happens(500_000) { lost_until } else { 0 };
        }
        world.say(speaker, DEN, 50);
        world.run_for(5 * SECOND);
        let behind = world.checker.behind();
        assert!(behind.is_empty(), "T15: 5 s after the last word {behind:?}");
    }
    world.checker.at_rest();
}

#[test]
fn a_last_word_that_is_lost_is_repaired() {
    (1..=5).for_each(|seed| quiet_room(seed, |_| {}));
}
