//! Owns what happens in the run of a seed: who is there, how the network is,
//! what people do and what goes wrong; then all faults end, and everybody must
//! come to rest. Never checks anything but that.

use crate::chance::{Chance, MS, SECOND};
use crate::checker::{LOBBY, ROOMS, RoomNumber, VAULT, Who};
use crate::network::{Bottleneck, Conditions};
use crate::people::Way;
use crate::world::{World, limits};
use outcry::config::{self, Limits};

/// How long before the faults end the last words are said, at most.
const LAST_WORDS_NS: u64 = 90 * MS;
/// T15. To that comes what the protocol takes its time for: a member that was
/// cut off is fed from 16 KiB/s on, and who said too much waits for its rate.
const REST_WITHIN_NS: u64 = 5 * SECOND;
/// Steps in which rest is waited for.
const REST_STEP_NS: u64 = 50 * MS;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) trace: u64,
    /// From the end of the faults until everybody had everything.
    pub(crate) rest_after_ns: u64,
    pub(crate) told: u64,
    pub(crate) gaps: u64,
    pub(crate) people: usize,
}

/// How wild a run is.
#[derive(Clone, Copy, Debug)]
struct Mood {
    worst_loss_ppm: u32,
    people_max: u64,
    has_plain: bool,
    has_restarts: bool,
    /// What is said is long, so that rings overflow.
    is_loud: bool,
}

impl Mood {
    fn drawn(chance: &mut Chance) -> Self {
        Self {
            worst_loss_ppm: chance.pick(&[0, 50_000, 300_000, 300_000]),
            people_max: chance.pick(&[3, 6, 6, 10, 10, 16, 50]),
            has_plain: chance.happens(500_000),
            has_restarts: chance.happens(250_000),
            is_loud: chance.happens(120_000),
        }
    }
}

fn drawn_limits(chance: &mut Chance, mood: Mood) -> Limits {
    let mut limits = limits();
    limits.msgs_per_s = chance.pick(&[0, 0, 20, 200]);
    limits.bytes_per_s = chance.pick(&[0, 0, 16 << 10]);
    limits.presence_members_max = chance.pick(&[256, 256, 4]);
    limits.room_idle_ms = chance.pick(&[600_000, 2_000]);
    if mood.is_loud {
        (limits.msgs_per_s, limits.bytes_per_s) = (0, 0);
        limits.ring_bytes_max = 4 * config::RING_BYTES_SMALLEST;
    }
    limits
}

/// One run.
pub(crate) struct Scenario {
    pub(crate) world: World,
    chance: Chance,
    mood: Mood,
}

impl Scenario {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x0007_C2B1);
        let mood = Mood::drawn(&mut chance);
        let world = World::new(seed, drawn_limits(&mut chance, mood));
        let mut scenario = Self { world, chance, mood };
        scenario.world.answers_unreachable = scenario.chance.happens(500_000);
        for _ in 0..scenario.chance.between(2, mood.people_max) {
            scenario.newcomer();
        }
        scenario
    }

    /// The whole run.
    pub(crate) fn run(mut self) -> Outcome {
        let end = self.chance.between(4, 16) * SECOND;
        let pause = self.chance.pick(&[10 * MS, 40 * MS, 150 * MS]);
        while self.world.now < end {
            let wait = self.chance.below(2 * pause);
            self.world.run_for(wait);
            self.act();
        }
        self.last_words();
        let wait = self.chance.below(LAST_WORDS_NS);
        self.world.run_for(wait);
        self.heal();
        self.come_to_rest()
    }

    fn way(&mut self) -> Way {
        let worst = self.mood.worst_loss_ppm;
        Way { up: Conditions::drawn(&mut self.chance, worst), down: Conditions::drawn(&mut self.chance, worst) }
    }

    fn newcomer(&mut self) {
        let way = self.way();
        if self.mood.has_plain && self.chance.happens(200_000) {
            self.world.add_plain(way);
            return;
        }
        let who = self.world.add_native(way);
        for room in 0..ROOMS.len() {
            if self.chance.happens(if room < 2 { 700_000 } else { 150_000 }) {
                let history = self.chance.pick(&[0, 0, 10, 5_000]);
                self.world.join(who, RoomNumber(room), history);
            }
        }
    }

    fn somebody(&mut self) -> Option<Who> {
        let living: Vec<Who> = self.world.living().collect();
        (!living.is_empty()).then(|| self.chance.pick(&living))
    }

    fn some_native(&mut self) -> Option<Who> {
        let natives: Vec<Who> = self.world.natives().collect();
        (!natives.is_empty()).then(|| self.chance.pick(&natives))
    }

    // ---- what happens ------------------------------------------------------------------

    fn act(&mut self) {
        match self.chance.below(1_000) {
            0..620 => self.somebody().map_or((), |who| self.talk(who)),
            620..700 => self.whisper(),
            700..780 => self.some_native().map_or((), |who| self.move_about(who)),
            780..840 => self.some_native().map_or((), |who| self.ask(who)),
            840..880 => self.come_or_go(),
            880..920 => self.somebody().map_or((), |who| self.rebind(who)),
            920..980 => self.somebody().map_or((), |who| self.spoil(who)),
            _ => self.trouble(),
        }
    }

    fn talk(&mut self, who: Who) {
        let lines = if self.mood.is_loud { 40 } else { self.chance.pick(&[1, 1, 1, 2, 5, 20]) };
        let rooms: Vec<RoomNumber> = self.world.people[who].rooms.iter().map(|(number, _)| *number).collect();
        let room = if rooms.is_empty() { LOBBY } else { self.chance.pick(&rooms) };
        for _ in 0..lines {
            let longest = if room == LOBBY || room == VAULT { 900 } else { 1_191 };
            let len = if self.mood.is_loud { longest } else { self.chance.pick(&[1, 30, 80, 300, longest]) };
            self.world.say(who, room, len as usize);
        }
        if room == LOBBY && self.world.people[who].client().is_some() && self.chance.happens(30_000) {
            self.say_the_impossible(who);
        }
    }

    /// What the relay never takes: its number is voided, and what follows goes on.
    fn say_the_impossible(&mut self, who: Who) {
        let mut text = self.world.checker.told.compose(who, 40);
        text.push(if self.chance.happens(500_000) { 7 } else { 0xFF });
        self.world.say_text(who, LOBBY, &text);
        self.world.say(who, LOBBY, 20);
    }

    fn whisper(&mut self) {
        let (Some(from), Some(to)) = (self.some_native(), self.some_native()) else { return };
        let len = self.chance.pick(&[1, 100, 1_143]);
        self.world.say_to(from, to, len);
    }

    fn move_about(&mut self, who: Who) {
        let room = RoomNumber(self.chance.below(ROOMS.len() as u64) as usize);
        match self.world.people[who].room(room) {
            Some(_) => self.world.leave(who, room),
            None => {
                let history = self.chance.pick(&[0, 5, 5_000]);
                self.world.join(who, room, history);
            }
        }
    }

    fn ask(&mut self, who: Who) {
        if self.chance.happens(300_000) {
            let name = format!("m{}", self.chance.below(6));
            return self.world.nick(who, &name);
        }
        let rooms: Vec<RoomNumber> = self.world.people[who].rooms.iter().map(|(number, _)| *number).collect();
        if !rooms.is_empty() {
            let room = self.chance.pick(&rooms);
            self.world.ask_who(who, room);
        }
    }

    fn come_or_go(&mut self) {
        let living = self.world.living().count() as u64;
        match self.chance.below(3) {
            0 if living < self.mood.people_max => self.newcomer(),
            1 if living > 2 => self.somebody().map_or((), |who| self.world.close(who)),
            2 if living > 2 => self.somebody().map_or((), |who| self.world.vanish(who)),
            _ => {}
        }
    }

    fn rebind(&mut self, who: Who) {
        let is_told = self.chance.happens(500_000);
        self.world.rebind(who, is_told);
    }

    /// Somebody's path changes.
    fn spoil(&mut self, who: Who) {
        match self.chance.below(3) {
            0 => {
                let way = self.way();
                self.world.people[who].set_way(way);
            }
            1 => {
                let span = self.chance.pick(&[300 * MS, SECOND, 4 * SECOND, 12 * SECOND]);
                let until = self.world.now + self.chance.below(span);
                self.world.people[who].cut_until(until);
            }
            _ => {
                let bytes_per_s = self.chance.pick(&[3_000, 10_000, 50_000]);
                let bottleneck = Some(Bottleneck { bytes_per_s, queue_bytes: bytes_per_s / 2 });
                self.world.people[who].down.conditions.bottleneck = bottleneck;
            }
        }
    }

    /// Something goes wrong at the relay.
    fn trouble(&mut self) {
        match self.chance.below(5) {
            0 => self.world.host.clogged_until = self.world.now + self.chance.below(400 * MS),
            1 => self.world.host.send_fault_ppm = self.chance.pick(&[0, 1_000, 50_000]),
            2 => self.world.host.clock_step_s = self.chance.below(20_000) as i64 - 10_000,
            3 if self.mood.has_restarts => self.world.restart(),
            _ => {
                let until = self.world.now + self.chance.below(2 * SECOND);
                self.world.people.iter_mut().for_each(|person| person.cut_until(until));
            }
        }
    }

    // ---- the end -----------------------------------------------------------------------

    /// Everybody says something, which is lost as everything is.
    fn last_words(&mut self) {
        let living: Vec<Who> = self.world.living().collect();
        for who in living {
            let rooms = self.world.people[who].rooms.clone();
            rooms.iter().for_each(|(room, _)| _ = self.world.say(who, *room, 20));
        }
    }

    fn heal(&mut self) {
        let way = Way::both(Conditions::clean(20 * MS));
        for person in &mut self.world.people {
            person.set_way(way);
            person.cut_until(0);
        }
        (self.world.host.clogged_until, self.world.host.send_fault_ppm) = (0, 0);
    }

    /// T15: how long it may take until everybody has everything.
    fn patience_ns(&self) -> u64 {
        let (backlog, limits) = (self.world.checker.backlog(), &self.world.host.limits);
        let within = |amount: u64, per_s: u32| (amount * SECOND).checked_div(per_s.into()).unwrap_or(0);
        let fed = within(backlog.bytes, config::FEED_BYTES_PER_S_START);
        let said = within(backlog.texts, limits.msgs_per_s).max(within(backlog.text_bytes, limits.bytes_per_s));
        REST_WITHIN_NS + fed + said
    }

    fn come_to_rest(mut self) -> Outcome {
        let (healed_at, patience) = (self.world.now, self.patience_ns());
        let mut behind = self.world.checker.behind();
        while !behind.is_empty() && self.world.now < healed_at + patience {
            self.world.run_for(REST_STEP_NS);
            behind = self.world.checker.behind();
        }
        assert!(behind.is_empty(), "T15: {} ms after all faults {behind:?}", patience / MS);
        assert!(self.world.ended.is_empty(), "clients that have ended by themselves: {:?}", self.world.ended);
        self.world.checker.at_rest();
        Outcome {
            trace: self.world.trace,
            rest_after_ns: self.world.now - healed_at,
            told: self.world.checker.told.told,
            gaps: self.world.checker.told.gaps,
            people: self.world.people.len(),
        }
    }
}
