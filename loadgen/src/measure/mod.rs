//! One measurement: a plan is sent, what arrives is recorded, and the result
//! is merged. Sending and receiving threads share nothing but a [`Board`].

mod board;
mod calibrate;
mod closed;
mod collect;
mod disturb;
mod floor;
mod histograms;
mod outcome;
mod outlet;
mod podium;
mod position;
mod recorder;
mod rx;
#[cfg(test)]
mod tests;
mod tx;

pub use board::Board;
pub use calibrate::{Ceiling, calibrate};
pub use collect::{Collector, Second};
pub use disturb::Disturbance;
pub use floor::{Floor, Round, floor};
pub use histograms::{Latency, SAMPLES_PER_TAIL, needed, supported};
pub use outcome::{ClientTail, Measurement, RoomCounts, ThreadLoad};
pub use position::{Fit, PositionPoint, Positions};
pub use recorder::Integrity;

use crate::clock::Clock;
use crate::members::Transport;
use crate::plan::Plan;
use crate::rooms::Rooms;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What one measurement is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Marks this run's messages.
    pub run: u32,
    /// How many members send.
    pub senders: u32,
    /// The members whose copies count and who send: those below this number.
    pub counted: u32,
    /// Which member is in which room: what is said in one is for that one.
    pub rooms: Rooms,
    /// The members that read: those below this number.
    pub reading: u32,
    /// What is done to the target or to members meanwhile.
    pub disturbance: Option<Disturbance>,
    /// Sending threads.
    pub tx_threads: u32,
    /// Receiving threads.
    pub rx_threads: u32,
    /// First core to pin the generator's threads to, one after the other.
    pub pin: Option<usize>,
    /// A copy later than this after its planned time counts as late too.
    pub late: Duration,
    /// Messages come from outside, not from a member: calibrating.
    pub reflected: bool,
    /// Closed loop: so many messages outstanding, instead of the plan's times.
    pub in_flight: Option<u32>,
    /// How long after the last message copies are waited for, at most.
    pub drain_max: Duration,
}

impl Settings {
    /// How many receive one message: all others of its room.
    fn receivers(&self) -> u32 {
        self.counted.min(self.rooms.size()).saturating_sub(1)
    }
}

/// The member that sender `sender` of `senders` is: spread over all members,
/// because a server may serve members in the order they came.
pub fn sender_member(sender: u32, senders: u32, members: u32) -> u32 {
    (u64::from(sender) * u64::from(members) / u64::from(senders.max(1))) as u32
}

/// Told about a run while it goes on, on the main thread, ten times a second.
pub trait Watch {
    /// `elapsed` since the plan's start; the newest whole second, if one ended.
    fn progress(&mut self, elapsed: Duration, board: &Board, second: Option<&Second>);
}

/// Sends `plan` and records what comes back. `interrupt` ends sending early.
pub fn measure(
    transport: &Arc<dyn Transport>,
    plan: &Plan,
    settings: &Settings,
    clock: Clock,
    interrupt: &AtomicBool,
    watch: &mut dyn Watch,
) -> Result<Measurement, String> {
    let board = Board::new(plan.slots.len(), settings.receivers());
    let start = clock.now() + 50_000_000;
    let mut collector = Collector::new(settings.rx_threads, start + plan.warmup_ns, start + plan.end_ns);
    std::thread::scope(|scope| {
        let mut receivers = Vec::new();
        for thread in 0..settings.rx_threads {
            let port = collector.port();
            let job = rx::Job { transport: &**transport, plan, settings, board: &board, clock, start, thread };
            receivers.push(scope.spawn(move || rx::run(&job, port)));
        }
        collector.close_own_port();
        let senders: Vec<_> = (0..settings.tx_threads)
            .map(|thread| tx::Job { transport: &**transport, plan, settings, board: &board, clock, start, thread })
            .map(|job| {
                scope.spawn(move || if settings.in_flight.is_some() { closed::run(&job) } else { tx::run(&job) })
            })
            .collect();
        if let Some(disturbance) = &settings.disturbance {
            let (board, members) = (&board, settings.counted..transport.members());
            scope.spawn(move || disturbance.run(&**transport, members, board, clock, start + plan.warmup_ns));
        }
        while !senders.iter().all(|sender| sender.is_finished()) {
            std::thread::sleep(Duration::from_millis(100));
            if interrupt.load(Ordering::Relaxed) {
                board.stop_sending();
            }
            let elapsed = Duration::from_nanos(clock.now().saturating_sub(start));
            watch.progress(elapsed, &board, collector.collect());
        }
        board.end_sending();
        let sent = senders.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
        drain(&board, settings, transport.quiet(), &mut collector);
        board.stop_receiving();
        let received = receivers.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
        collector.collect();
        let followed = outcome::followed(plan, settings, &sent);
        Ok(outcome::merge(&followed, settings, &board, start, sent, received, collector))
    })
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, String> {
    thread.join().unwrap_or_else(|_| Err("a thread of the generator panicked".into()))
}

/// Waits until every copy is here, or nothing has come for a while.
fn drain(board: &Board, settings: &Settings, quiet_at: Duration, collector: &mut Collector) {
    const STEP: Duration = Duration::from_millis(10);
    let steps_in = |span: Duration| (span.as_millis() / STEP.as_millis()) as u32;
    let (steps, quiet_steps) = (steps_in(settings.drain_max), steps_in(quiet_at));
    let (mut quiet, mut seen) = (0, board.received());
    for _ in 0..steps {
        if board.complete() || quiet >= quiet_steps {
            return;
        }
        std::thread::sleep(STEP);
        collector.collect();
        let now = board.received();
        quiet = if now == seen { quiet + 1 } else { 0 };
        seen = now;
    }
}
