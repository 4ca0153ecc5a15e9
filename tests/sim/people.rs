//! Owns those around the relay: native members, each a real [`Client`] with an
//! address and two links, and plain ones. Never decides what they do.

use crate::chance::{Chance, SECOND};
use crate::checker::RoomNumber;
use crate::host::UNIX_S;
use crate::network::{Conditions, Link};
use outcry::Time;
use outcry::client::{Client, Options, RoomId};
use std::net::SocketAddr;

/// How both directions of somebody's path behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) up: Conditions,
    pub(crate) down: Conditions,
}

impl Way {
    pub(crate) fn both(conditions: Conditions) -> Self {
        Self { up: conditions, down: conditions }
    }
}

/// What somebody speaks.
pub(crate) enum Tongue {
    Native(Box<Client>),
    Plain,
}

/// Somebody.
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) tongue: Tongue,
    pub(crate) address: SocketAddr,
    pub(crate) up: Link,
    pub(crate) down: Link,
    /// Rooms that it was told to join and not to leave.
    pub(crate) rooms: Vec<(RoomNumber, RoomId)>,
    /// It has ended, or was ended.
    pub(crate) is_gone: bool,
    /// When its timer is set.
    pub(crate) timer: Option<u64>,
    /// Its clock began so long before the simulation's.
    clock_ahead: u64,
}

impl Person {
    pub(crate) fn native(name: String, address: SocketAddr, way: Way, now: u64, chance: &mut Chance) -> Self {
        let mut person = Self::plain(name, address, way, chance);
        let options = Options::new(person.name.clone());
        let client = Client::new(options, chance.seed(), person.time(now)).expect("a good name");
        person.tongue = Tongue::Native(Box::new(client));
        person
    }

    pub(crate) fn plain(name: String, address: SocketAddr, way: Way, chance: &mut Chance) -> Self {
        Self {
            name,
            tongue: Tongue::Plain,
            address,
            up: Link::new(way.up, chance.fork()),
            down: Link::new(way.down, chance.fork()),
            rooms: Vec::new(),
            is_gone: false,
            timer: None,
            clock_ahead: chance.below(1_000 * SECOND),
        }
    }

    /// Its time.
    pub(crate) fn time(&self, now: u64) -> Time {
        Time::new(now + self.clock_ahead, UNIX_S + now / SECOND)
    }

    /// When the simulation's clock shows what its own does at `time`.
    pub(crate) fn moment(&self, time: Time) -> u64 {
        time.nanos().saturating_sub(self.clock_ahead)
    }

    pub(crate) fn set_way(&mut self, way: Way) {
        (self.up.conditions, self.down.conditions) = (way.up, way.down);
    }

    /// Nothing passes until then.
    pub(crate) fn cut_until(&mut self, at: u64) {
        (self.up.cut_until, self.down.cut_until) = (at, at);
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        match &self.tongue {
            Tongue::Native(client) => Some(client),
            Tongue::Plain => None,
        }
    }

    pub(crate) fn client_mut(&mut self) -> Option<&mut Client> {
        match &mut self.tongue {
            Tongue::Native(client) => Some(client),
            Tongue::Plain => None,
        }
    }

    pub(crate) fn room(&self, room: RoomNumber) -> Option<RoomId> {
        self.rooms.iter().find(|(number, _)| *number == room).map(|(_, id)| *id)
    }
}
