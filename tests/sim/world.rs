//! Owns a simulation: one relay, its people, what is under way between them,
//! and the time. One seed is one run, byte for byte: everything happens in the
//! order of a queue, and all chance comes from [`Chance`].

use crate::chance::Chance;
use crate::checker::{Checker, LOBBY, ROOMS, RoomNumber, VAULT, Who};
use crate::host::{Host, RELAY_PORT, Sent};
use crate::people::{Person, Tongue, Way};
use outcry::client::{DATAGRAM_BYTES, End, Event, RoomKey, RoomSpec};
use outcry::config::Limits;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::rc::Rc;

/// Things that may happen without the time going on: more is a loop.
const STEPS_AT_ONCE_MAX: u32 = 20_000;
/// Until a port-unreachable is back at the relay.
const UNREACHABLE_AFTER_NS: u64 = 1_000_000;

/// What happens next.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    AtRelay { from: SocketAddr, bytes: Rc<[u8]> },
    AtPerson { to: SocketAddr, bytes: Rc<[u8]> },
    Unreachable(SocketAddr),
    Turn,
    Timer(Who),
}

/// The simulation.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) host: Host,
    pub(crate) people: Vec<Person>,
    pub(crate) checker: Checker,
    /// Whether ports that nobody holds answer so.
    pub(crate) answers_unreachable: bool,
    /// What has happened so far, as a hash.
    pub(crate) trace: u64,
    pub(crate) chance: Chance,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    scheduled: u64,
    turn_at: Option<u64>,
    holders: BTreeMap<SocketAddr, Who>,
    next_port: u16,
    steps: (u64, u32),
    sent: Vec<Sent>,
    /// The end of each client that did not ask for it.
    pub(crate) ended: Vec<String>,
    /// Datagrams of repair that one turn sent at most.
    pub(crate) repairs_max: u64,
}

/// The defaults on loopback, with tables of a simulation's size.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::for_bind(SocketAddr::from(([127, 0, 0, 1], RELAY_PORT)));
    (limits.peers_max, limits.sessions_max, limits.rooms_max) = (64, 128, 16);
    limits.rings_bytes_max = 32 << 20;
    limits
}

impl World {
    pub(crate) fn new(seed: u64, limits: Limits) -> Self {
        let mut chance = Chance::new(seed);
        let mut checker = Checker::default();
        checker.ring = Some((limits.ring_messages_max.into(), limits.ring_bytes_max.into()));
        let mut world = Self {
            now: 0,
            host: Host::new(limits, chance.fork()),
            people: Vec::new(),
            checker,
            answers_unreachable: false,
            trace: seed,
            chance,
            queue: BinaryHeap::new(),
            scheduled: 0,
            turn_at: None,
            holders: BTreeMap::new(),
            next_port: 20_000,
            steps: (0, 0),
            sent: Vec::new(),
            ended: Vec::new(),
            repairs_max: 0,
        };
        world.plan_turn();
        world
    }

    // ---- time --------------------------------------------------------------------------

    /// Lets everything happen up to `end`.
    pub(crate) fn run_until(&mut self, end: u64) {
        while let Some(Reverse((at, _, _))) = self.queue.peek() {
            if *at > end {
                break;
            }
            let Some(Reverse((at, _, happening))) = self.queue.pop() else { break };
            self.now = at;
            self.note_step();
            self.happen(happening);
        }
        self.now = end;
    }

    pub(crate) fn run_for(&mut self, span: u64) {
        self.run_until(self.now + span);
    }

    fn note_step(&mut self) {
        let (at, steps) = self.steps;
        self.steps = if at == self.now { (at, steps + 1) } else { (self.now, 0) };
        assert!(self.steps.1 < STEPS_AT_ONCE_MAX, "the time stands still at {} ms", self.now / 1_000_000);
    }

    fn schedule(&mut self, at: u64, happening: Happening) {
        self.scheduled += 1;
        self.queue.push(Reverse((at.max(self.now), self.scheduled, happening)));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::AtRelay { from, bytes } => {
                self.mark(1, from.port(), &bytes);
                self.host.arrive(from, bytes);
                self.plan_turn();
            }
            Happening::AtPerson { to, bytes } => self.arrive(to, &bytes),
            Happening::Unreachable(remote) => {
                self.host.refused(remote);
                self.plan_turn();
            }
            Happening::Turn => {
                if self.turn_at == Some(self.now) {
                    self.turn();
                }
            }
            Happening::Timer(who) => {
                if self.people[who].timer == Some(self.now) {
                    self.people[who].timer = None;
                    let now = self.people[who].time(self.now);
                    if let Some(client) = self.people[who].client_mut() {
                        client.handle_deadline(now);
                    }
                    self.settle(who);
                }
            }
        }
    }

    /// Takes note of something for the trace.
    fn mark(&mut self, what: u64, port: u16, bytes: &[u8]) {
        let mut hash = self.trace ^ self.now.rotate_left(17) ^ (what << 32) ^ u64::from(port);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01B3).rotate_left(23);
        }
        self.trace = hash;
    }

    // ---- the relay ---------------------------------------------------------------------

    fn plan_turn(&mut self) {
        let next = self.host.next_turn(self.now);
        if next != self.turn_at {
            self.turn_at = next;
            next.into_iter().for_each(|at| self.schedule(at, Happening::Turn));
        }
    }

    fn turn(&mut self) {
        let mut sent = std::mem::take(&mut self.sent);
        let checker = &mut self.checker;
        let repairs = self.host.relay.counters().native.repairs;
        self.host.turn(self.now, |from, bytes| checker.relay_hears(from, bytes), &mut sent);
        self.repairs_max = self.repairs_max.max(self.host.relay.counters().native.repairs - repairs);
        for datagram in sent.drain(..) {
            self.checker.relay_sends(self.now, datagram.to, &datagram.bytes);
            if !datagram.is_lost {
                self.carry_down(datagram);
            }
        }
        self.sent = sent;
        self.check_sizes();
        self.turn_at = None;
        self.plan_turn();
    }

    /// I7.
    fn check_sizes(&self) {
        let (relay, limits) = (&self.host.relay, &self.host.limits);
        let sessions = relay.sessions();
        assert!(sessions <= limits.sessions_max as usize, "I7: {sessions} sessions");
        assert!(relay.members() - sessions <= limits.peers_max as usize, "I7: {} members", relay.members());
        assert!(relay.rooms() <= limits.rooms_max as usize, "I7: {} rooms", relay.rooms());
    }

    fn carry_down(&mut self, datagram: Sent) {
        let Sent { to, bytes, .. } = datagram;
        let Some(&who) = self.holders.get(&to) else {
            if self.answers_unreachable {
                self.schedule(self.now + UNREACHABLE_AFTER_NS, Happening::Unreachable(to));
            }
            return;
        };
        for at in self.people[who].down.pass(self.now, bytes.len()).into_iter().flatten() {
            self.schedule(at, Happening::AtPerson { to, bytes: Rc::clone(&bytes) });
        }
    }

    /// The relay's process dies and another begins.
    pub(crate) fn restart(&mut self) {
        self.host.restart(self.now);
        self.checker.restarted();
        self.turn_at = None;
        self.plan_turn();
    }

    // ---- people ------------------------------------------------------------------------

    fn fresh_address(&mut self) -> SocketAddr {
        self.next_port += 1;
        SocketAddr::from(([127, 0, 0, 1], self.next_port))
    }

    fn enter(&mut self, person: Person) -> Who {
        let who = self.people.len();
        self.holders.insert(person.address, who);
        self.people.push(person);
        self.settle(who);
        who
    }

    /// Somebody with a client comes.
    pub(crate) fn add_native(&mut self, way: Way) -> Who {
        let (name, address) = (format!("n{}", self.people.len()), self.fresh_address());
        let mut chance = self.chance.fork();
        self.enter(Person::native(name, address, way, self.now, &mut chance))
    }

    /// Somebody with `nc` comes, and joins.
    pub(crate) fn add_plain(&mut self, way: Way) -> Who {
        let (name, address) = (format!("p{}", self.people.len()), self.fresh_address());
        let mut chance = self.chance.fork();
        let who = self.enter(Person::plain(name.clone(), address, way, &mut chance));
        self.checker.plain_joins(name.as_bytes());
        self.carry_up(who, name.as_bytes());
        who
    }

    /// Everybody whose datagrams the relay could hear.
    pub(crate) fn living(&self) -> impl Iterator<Item = Who> + '_ {
        (0..self.people.len()).filter(|who| !self.people[*who].is_gone)
    }

    pub(crate) fn natives(&self) -> impl Iterator<Item = Who> + '_ {
        self.living().filter(|who| self.people[*who].client().is_some())
    }

    fn arrive(&mut self, to: SocketAddr, bytes: &[u8]) {
        let Some(&who) = self.holders.get(&to) else { return };
        self.mark(2, to.port(), bytes);
        let person = &mut self.people[who];
        let now = person.time(self.now);
        match &mut person.tongue {
            Tongue::Native(client) => client.handle_datagram(now, bytes),
            Tongue::Plain => return,
        }
        self.settle(who);
    }

    fn carry_up(&mut self, who: Who, bytes: &[u8]) {
        let from = self.people[who].address;
        let bytes: Rc<[u8]> = Rc::from(bytes);
        for at in self.people[who].up.pass(self.now, bytes.len()).into_iter().flatten() {
            self.schedule(at, Happening::AtRelay { from, bytes: Rc::clone(&bytes) });
        }
    }

    /// Sends what a client has to send, takes what it tells, and sets its timer.
    fn settle(&mut self, who: Who) {
        let now = self.people[who].time(self.now);
        let mut datagram = [0; DATAGRAM_BYTES];
        while let Some(client) = self.people[who].client_mut()
            && let Some(len) = client.poll_transmit(now, &mut datagram)
        {
            self.checker.client_sends(&datagram[..len]);
            self.carry_up(who, &datagram[..len]);
        }
        self.take_events(who);
        let person = &self.people[who];
        let due = person.client().and_then(outcry::client::Client::next_deadline);
        let due = due.map(|due| person.moment(due).max(self.now));
        if due != person.timer {
            self.people[who].timer = due;
            due.into_iter().for_each(|at| self.schedule(at, Happening::Timer(who)));
        }
    }

    fn take_events(&mut self, who: Who) {
        let Person { tongue: Tongue::Native(client), rooms, is_gone, .. } = &mut self.people[who] else { return };
        self.checker.told.drops_repeats(who, client.counts().sealed_repeats);
        while let Some(event) = client.poll_event() {
            self.checker.client_tells(self.now, who, &event);
            match &event {
                Event::Left { room } | Event::JoinFailed { room, .. } => rooms.retain(|(_, id)| id != room),
                Event::Closed { why, .. } if !*is_gone => {
                    *is_gone = true;
                    // Who never got through may give up.
                    if *why != End::NoAnswer || self.checker.told.was_connected(who) {
                        self.ended.push(format!("{who}: {why:?}"));
                    }
                    self.checker.told.vanishes(who);
                }
                _ => {}
            }
        }
        let counts = *client.counts();
        let broken = counts.malformed + counts.malformed_entries + counts.undecryptable;
        assert!(broken == 0, "{who} is sent what it cannot read: {counts:?}");
    }

    /// Does something with a client, and what follows from it.
    fn with_client<T>(&mut self, who: Who, what: impl FnOnce(&mut outcry::client::Client, outcry::Time) -> T) -> T {
        let now = self.people[who].time(self.now);
        let client = self.people[who].client_mut().expect("a native member");
        what(client, now)
    }

    // ---- what people do ------------------------------------------------------------------

    pub(crate) fn join(&mut self, who: Who, room: RoomNumber, history: u32) {
        let name = ROOMS[room.0];
        let spec = match room {
            VAULT => RoomSpec::sealed(name, RoomKey::from_secret(name, &[7; 32])),
            _ => RoomSpec::open(name),
        };
        let joined = self.with_client(who, |client, now| client.join(now, spec.with_history(history)));
        let Ok(id) = joined else { return };
        self.people[who].rooms.push((room, id));
        self.checker.told.joins(self.now, who, id, room, history.into());
        self.settle(who);
    }

    pub(crate) fn leave(&mut self, who: Who, room: RoomNumber) {
        let Some(id) = self.people[who].room(room) else { return };
        self.people[who].rooms.retain(|(_, other)| *other != id);
        // What it tells until it has left is still checked.
        _ = self.with_client(who, |client, now| client.leave(now, id));
        self.settle(who);
    }

    /// Says a text of about `len` bytes. False: too much waits.
    pub(crate) fn say(&mut self, who: Who, room: RoomNumber, len: usize) -> bool {
        let text = self.checker.told.compose(who, len);
        self.say_text(who, room, &text)
    }

    pub(crate) fn say_text(&mut self, who: Who, room: RoomNumber, text: &[u8]) -> bool {
        if self.people[who].client().is_none() {
            self.checker.told.says(self.now, who, LOBBY, None, text);
            let line = [self.people[who].name.as_bytes(), b" : ", text].concat();
            self.checker.plain_sends(&line);
            self.carry_up(who, &line);
            return true;
        }
        let Some(id) = self.people[who].room(room) else { return false };
        let Ok(ticket) = self.with_client(who, |client, now| client.send(now, id, text)) else { return false };
        self.checker.told.says(self.now, who, room, Some(ticket), text);
        self.settle(who);
        true
    }

    /// Says something to one member, by the id that it has now.
    pub(crate) fn say_to(&mut self, who: Who, to: Who, len: usize) {
        let Some(member) = self.people[to].client().and_then(outcry::client::Client::member) else { return };
        let text = self.checker.told.compose(who, len);
        let Ok(ticket) = self.with_client(who, |client, now| client.direct(now, member, &text)) else { return };
        self.checker.told.says_to(self.now, who, to, ticket, &text);
        self.settle(who);
    }

    /// The operator removes somebody.
    pub(crate) fn kick(&mut self, who: Who) {
        let target = outcry::relay::Target::Address(self.people[who].address);
        let now = self.host.time(self.now);
        self.host.relay.handle_command(now, outcry::relay::Command::Kick(target), &mut self.host.out);
        self.turn();
    }

    pub(crate) fn nick(&mut self, who: Who, name: &str) {
        _ = self.with_client(who, |client, now| client.nick(now, name));
        self.settle(who);
    }

    pub(crate) fn ask_who(&mut self, who: Who, room: RoomNumber) {
        let Some(id) = self.people[who].room(room) else { return };
        _ = self.with_client(who, |client, now| client.who(now, id));
        _ = self.with_client(who, |client, now| client.list(now));
        self.settle(who);
    }

    /// Ends in good order; what it is told afterwards is of no interest.
    pub(crate) fn close(&mut self, who: Who) {
        self.people[who].is_gone = true;
        if self.people[who].client().is_some() {
            self.with_client(who, |client, now| client.close(now));
        } else {
            self.carry_up(who, b"EXIT");
        }
        self.settle(who);
        self.checker.told.vanishes(who);
    }

    /// Is gone without a word.
    pub(crate) fn vanish(&mut self, who: Who) {
        let person = &mut self.people[who];
        (person.is_gone, person.timer) = (true, None);
        person.tongue = Tongue::Plain;
        self.holders.remove(&person.address);
        self.checker.told.vanishes(who);
    }

    /// Has another address from now on, and knows it or not.
    pub(crate) fn rebind(&mut self, who: Who, is_told: bool) {
        let address = self.fresh_address();
        let former = std::mem::replace(&mut self.people[who].address, address);
        self.holders.remove(&former);
        self.holders.insert(address, who);
        if is_told && self.people[who].client().is_some() {
            self.with_client(who, |client, now| client.address_changed(now));
            self.settle(who);
        }
    }
}
