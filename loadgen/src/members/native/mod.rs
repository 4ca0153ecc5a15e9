//! Members that speak the native protocol: each one is an
//! [`outcry::client::Client`], with a socket or an address of its own. There
//! is no second implementation of the protocol here, only what drives it:
//! datagrams go through the transports of plain members.
//!
//! A client is behind a lock. Its receiving thread takes it once a datagram,
//! its sender once a message, nobody once a copy; both at the same time only
//! where a sender is sent to.

mod deadlines;
mod figures;
mod member;
mod receiver;

pub use figures::NativeFigures;

use super::{Receiver, Transport, Venue, plain};
use crate::clock::{self, Clock};
use crate::plan::Dice;
use crate::rooms::Rooms;
use member::Member;
use outcry::Time;
use outcry::client::{DATAGRAM_BYTES, Options, RoomSpec};
use receiver::Driver;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A lost message is sent again after 0.1, 0.3, 0.7, 1.5 s, and a lost tail is
/// told of after a second: silence is over only then.
const QUIET: Duration = Duration::from_secs(3);
/// Receiving threads at most.
const THREADS_MAX: usize = 64;

/// Clients of the native protocol.
pub struct Native(Arc<Crowd>);

/// What sending and receiving threads share.
struct Crowd {
    /// Carries datagrams, and does not look into them.
    wire: Arc<dyn Transport>,
    members: Box<[Mutex<Member>]>,
    rooms: Rooms,
    venue: Venue,
    /// The clients' clock, whatever clock a run has.
    clock: Clock,
    seeds: AtomicU64,
    threads: AtomicU32,
    notes: [Notes; THREADS_MAX],
    complaint: Mutex<Option<String>>,
}

/// Members whose deadline is earlier than their receiving thread knows. That
/// reads it every 20 ms at least; what a sender's or a joining client's
/// deadline is for happens after 50 ms at the earliest, so nothing is late.
#[derive(Default)]
struct Notes {
    any: AtomicBool,
    members: Mutex<Vec<u32>>,
}

impl Native {
    /// `wire` carries their datagrams.
    pub fn new(wire: Arc<dyn Transport>, venue: &Venue) -> Self {
        let members = wire.members();
        Self(Arc::new(Crowd {
            members: (0..members).map(|_| Mutex::default()).collect(),
            rooms: Rooms::new(venue.rooms, members),
            wire,
            venue: venue.clone(),
            clock: Clock::start(),
            seeds: AtomicU64::new(clock::entropy()),
            threads: AtomicU32::new(1),
            notes: std::array::from_fn(|_| Notes::default()),
            complaint: Mutex::default(),
        }))
    }
}

impl Crowd {
    fn now(&self) -> Time {
        Time::new(self.clock.now(), 0)
    }

    fn member(&self, number: u32) -> MutexGuard<'_, Member> {
        lock(&self.members[number as usize])
    }

    /// Nobody guesses at it, so randomness need not be good.
    fn seed(&self) -> [u8; 32] {
        let mut dice = Dice::new(self.seeds.fetch_add(1, Relaxed));
        let mut seed = [0; 32];
        seed.as_chunks_mut::<8>().0.iter_mut().for_each(|bytes| *bytes = dice.bits().to_le_bytes());
        seed
    }

    /// Does something with a member from a thread that is not its receiving
    /// one, and sends what follows from it.
    fn with<T>(&self, number: u32, what: impl FnOnce(&mut Member, Time) -> T) -> T {
        let now = self.now();
        let mut member = self.member(number);
        let result = what(&mut member, now);
        self.flush(number, &mut member, now, &mut [0; DATAGRAM_BYTES]);
        if member.due() < member.scheduled && !std::mem::replace(&mut member.noted, true) {
            let notes = &self.notes[(number % self.threads.load(Relaxed)) as usize];
            lock(&notes.members).push(number);
            notes.any.store(true, Relaxed);
        }
        result
    }

    /// Sends all that a member has to send. `false`: nobody listens there. What
    /// the kernel does not take is lost on the way: the client sends it again.
    fn flush(&self, number: u32, member: &mut Member, now: Time, datagram: &mut [u8; DATAGRAM_BYTES]) -> bool {
        let mut heard = true;
        while let Some(len) = member.transmit(now, datagram) {
            let sent = self.wire.send(number, &datagram[..len]);
            heard &= !sent.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        }
        heard
    }

    fn complain(&self, complaint: String) {
        lock(&self.complaint).get_or_insert(complaint);
    }

    fn room_name(&self, member: u32) -> String {
        let room = self.rooms.of(member);
        if self.rooms.count() == 1 { self.venue.room.clone() } else { format!("{}-{room}", self.venue.room) }
    }
}

impl Transport for Native {
    fn members(&self) -> u32 {
        self.0.wire.members()
    }

    fn rooms(&self) -> Rooms {
        self.0.rooms
    }

    /// A client repeats its HELLO by itself: only one that has ended is made anew.
    fn join(&self, member: u32) -> io::Result<()> {
        let who =
            Options { access_key: self.0.venue.access_key.clone(), names: false, ..Options::new(plain::name(member)) };
        let room = RoomSpec::open(self.0.room_name(member));
        let joined =
            self.0.with(
                member,
                |client, now| {
                    if client.is_in() { Ok(()) } else { client.join(now, who, room, self.0.seed()) }
                },
            );
        joined.map_err(io::Error::other)
    }

    fn leave(&self, member: u32) -> io::Result<()> {
        self.0.with(member, Member::leave);
        Ok(())
    }

    fn send(&self, member: u32, message: &[u8]) -> io::Result<()> {
        self.0.with(member, |client, now| client.send(now, message)).map_err(io::Error::other)
    }

    /// A text in the room asks for nothing: joining is the protocol's own.
    fn answer(&self, _member: u32, _text: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn receiver(&self, thread: u32, threads: u32, reading: u32, clock: Clock) -> io::Result<Box<dyn Receiver>> {
        let wire = self.0.wire.receiver(thread, threads, reading, clock)?;
        self.0.threads.store(threads, Relaxed);
        Ok(Box::new(Driver::new(wire, self.0.clone(), clock, (thread, threads), reading.min(self.members()))))
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.0.wire.addresses()
    }

    fn label(&self) -> String {
        let rooms = match self.0.rooms.count() {
            1 => format!("room {}", self.0.venue.room),
            rooms => format!("{rooms} rooms {}-0 and on", self.0.venue.room),
        };
        format!("{}; native clients, {rooms}", self.0.wire.label())
    }

    fn quiet(&self) -> Duration {
        QUIET
    }

    fn complaint(&self) -> Option<String> {
        lock(&self.0.complaint).clone()
    }

    fn native(&self) -> Option<NativeFigures> {
        let mut sum = NativeFigures::default();
        self.0.members.iter().for_each(|member| sum.add(&lock(member).figures()));
        Some(sum)
    }
}

/// A client is whole between two calls, so a panic elsewhere is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
