//! What this generator can receive on this machine: a thread that does nothing
//! but hand prepared datagrams (over TCP: frames) to the kernel feeds the real
//! receiving threads.

use super::collect::Collector;
use super::outlet::{Open, Outlet};
use super::{Board, Settings, ThreadLoad, rx};
use crate::clock::Clock;
use crate::members::Protocol;
use crate::payload::{self, Phase, Stamp};
use crate::plan::Plan;
use crate::rooms::Rooms;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Messages in one train where the reflector sends trains.
const TRAIN: usize = 16;
/// More copies a second than any machine receives: bounds the memory.
const COPIES_PER_SECOND_MAX: f64 = 20e6;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// How members were made.
    pub members_made: String,
    /// Copies per second received.
    pub copies_per_second: f64,
    /// Messages in one datagram train; 1: a datagram each.
    pub train: usize,
    /// Copies sent and not received.
    pub lost: u64,
    /// The receiving threads.
    pub threads: Vec<ThreadLoad>,
}

/// Receives for `duration` with `members` sockets and returns the best of
/// single datagrams and trains.
///
/// `open` makes members of the kind that is to be measured.
pub fn calibrate(
    protocol: Protocol,
    open: Open<'_>,
    size: u16,
    settings: &Settings,
    duration: Duration,
) -> Result<Vec<Ceiling>, String> {
    [1, TRAIN].into_iter().map(|train| reflect(protocol, open, size, settings, duration, train)).collect()
}

fn reflect(
    protocol: Protocol,
    open: Open<'_>,
    size: u16,
    settings: &Settings,
    duration: Duration,
    train: usize,
) -> Result<Ceiling, String> {
    let clock = Clock::start();
    let (outlet, transport) = Outlet::open(protocol, open)?;
    let (members, copies) = (transport.members(), outlet.receivers());
    let messages = (COPIES_PER_SECOND_MAX * duration.as_secs_f64() / f64::from(copies.max(1))) as usize + 4 * TRAIN;
    let plan = Plan::untimed(messages / train * train, size, duration.as_nanos() as u64);
    let settings = Settings {
        senders: 1,
        counted: members,
        rooms: Rooms::new(1, members),
        reading: members,
        reflected: true,
        in_flight: None,
        ..settings.clone()
    };
    let board = Board::new(plan.slots.len(), copies);
    let start = clock.now();
    let mut collector = Collector::new(settings.rx_threads, start, start + plan.end_ns);
    std::thread::scope(|scope| {
        let mut receivers = Vec::new();
        for thread in 0..settings.rx_threads {
            let port = collector.port();
            let job = rx::Job {
                transport: &*transport,
                plan: &plan,
                settings: &settings,
                board: &board,
                clock,
                start,
                thread,
            };
            receivers.push(scope.spawn(move || rx::run(&job, port)));
        }
        let (room, next) = (outlet.room(), train as u64 * u64::from(copies));
        let mut reflector = Reflector { outlet, board: &board, clock, run: settings.run, room, next, train };
        let sent = reflector.run(&plan);
        let elapsed = (clock.now() - start) as f64 / 1e9;
        let received = board.received();
        wait_for_rest(&board, sent.as_ref().copied().unwrap_or(0));
        board.stop_receiving();
        let joined: Vec<_> = receivers.into_iter().map(super::join).collect::<Result<_, _>>()?;
        Ok(Ceiling {
            members_made: transport.label(),
            copies_per_second: received as f64 / elapsed,
            train,
            lost: sent?.saturating_sub(joined.iter().map(|thread| thread.integrity.delivered).sum()),
            threads: joined.into_iter().map(|thread| thread.load).collect(),
        })
    })
}

/// No member's: where a server sends its own to each sender too, that member would not count it.
/// As long as the shortest of theirs.
const NAME: &str = "r0";

/// What is still under way when sending ends is not lost.
fn wait_for_rest(board: &Board, sent: u64) {
    const STEP: Duration = Duration::from_millis(10);
    const STEPS: u32 = 300;
    for _ in 0..STEPS {
        std::thread::sleep(STEP);
        if board.received() >= sent {
            return;
        }
    }
}

struct Reflector<'a> {
    outlet: Outlet,
    board: &'a Board,
    clock: Clock,
    run: u32,
    /// Copies that may be under way.
    room: u64,
    /// Copies of one send.
    next: u64,
    train: usize,
}

impl Reflector<'_> {
    /// Sends until the plan's end; returns the copies sent.
    fn run(&mut self, plan: &Plan) -> Result<u64, String> {
        let end = self.clock.now() + plan.end_ns;
        let (mut sent, mut index) = (0, 0);
        while self.clock.now() < end && index + self.train <= plan.slots.len() {
            if !self.wait_for_room(sent, end) {
                break;
            }
            let (bytes, len) = self.payload(index, usize::from(plan.slots[index].size));
            let copies = self.outlet.send(&bytes, len);
            sent += copies.map_err(|error| format!("the reflector cannot send: {error}"))?;
            index += self.train;
        }
        Ok(sent)
    }

    /// What is under way must fit the sockets: more would measure the drops.
    fn wait_for_room(&self, sent: u64, end: u64) -> bool {
        while sent.saturating_sub(self.board.received()) + self.next > self.room.max(self.next) {
            if self.clock.now() >= end {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    fn payload(&self, index: usize, size: usize) -> (Vec<u8>, u16) {
        let (mut bytes, mut message, mut len) = (Vec::new(), Vec::new(), 0);
        for index in (index..index + self.train).map(|index| index as u32) {
            let planned = self.clock.now();
            let stamp = Stamp { phase: Phase::Measure, run: self.run, sender: 0, seq: index, index, planned };
            payload::encode(&stamp, NAME, size, &mut message);
            len = message.len();
            bytes.extend_from_slice(&message);
        }
        (bytes, u16::try_from(len).unwrap_or(u16::MAX))
    }
}
