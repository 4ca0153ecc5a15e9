//! The sending thread, open loop: each message goes out at its planned time,
//! whatever has come back, and its lateness is written down.

use super::{Board, Latency, Settings, sender_member};
use crate::clock::Clock;
use crate::machine::threads;
use crate::members::Transport;
use crate::payload::{self, Phase, Stamp};
use crate::plan::{Plan, Slot};
use std::time::Duration;

/// The last stretch before a due time is spun, not slept.
const SPIN_NS: u64 = 50_000;
/// The longest sleep, so that an interrupt is heeded.
const NAP_NS: u64 = 100_000_000;

/// What a sending thread is given.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub transport: &'a dyn Transport,
    pub plan: &'a Plan,
    pub settings: &'a Settings,
    pub board: &'a Board,
    pub clock: Clock,
    pub start: u64,
    pub thread: u32,
}

/// What a sending thread leaves.
#[derive(Default)]
pub(super) struct Sent {
    /// Actual minus planned time of measured messages.
    pub lag: Latency,
    /// Messages of the plan that the kernel did not take.
    pub failed: Vec<u32>,
    /// The first error, for the report.
    pub error: Option<String>,
    /// The plan was followed up to this time (ns from its start).
    pub until_ns: u64,
    /// Closed loop: when each message went out (ns from the start).
    pub times: Vec<u64>,
    /// Closed loop: the first message that counts.
    pub measured_from: usize,
}

/// Sends this thread's share of the plan.
pub(super) fn run(job: &Job<'_>) -> Result<Sent, String> {
    threads::settle(&format!("loadgen-tx{}", job.thread), job.settings.pin, job.thread);
    threads::precise_sleep();
    let mut sending = Sending::new(*job);
    sending.follow_plan();
    Ok(sending.sent)
}

/// A sending thread's state: its memory is taken before the first message.
pub(super) struct Sending<'a> {
    job: Job<'a>,
    names: Vec<String>,
    message: Vec<u8>,
    pub(super) sent: Sent,
}

impl<'a> Sending<'a> {
    pub(super) fn new(job: Job<'a>) -> Self {
        let settings = job.settings;
        let member = |sender| sender_member(sender, settings.senders, settings.counted);
        Self {
            names: (0..settings.senders).map(|sender| job.transport.name(member(sender))).collect(),
            message: Vec::with_capacity(payload::MESSAGE_BYTES_MAX),
            sent: Sent { until_ns: job.plan.end_ns, ..Sent::default() },
            job,
        }
    }

    /// Allocates nothing, unless the kernel refuses a message.
    pub(super) fn follow_plan(&mut self) {
        let job = self.job;
        let own = |slot: &Slot| slot.sender % job.settings.tx_threads == job.thread;
        for (index, slot) in job.plan.slots.iter().enumerate().filter(|(_, slot)| own(slot)) {
            let planned = job.start + slot.at;
            self.compose(index, slot, planned);
            if !wait(&job, planned) {
                self.sent.until_ns = job.clock.now().saturating_sub(job.start).min(slot.at);
                return;
            }
            self.send(index, slot.sender, planned);
        }
    }

    fn compose(&mut self, index: usize, slot: &Slot, planned: u64) {
        let (phase, run) = (self.job.plan.phase(index), self.job.settings.run);
        let stamp = Stamp { phase, run, sender: slot.sender, seq: slot.seq, index: index as u32, planned };
        payload::encode(&stamp, &self.names[slot.sender as usize], usize::from(slot.size), &mut self.message);
    }

    fn send(&mut self, index: usize, sender: u32, planned: u64) {
        let Job { board, settings, .. } = self.job;
        let lag = self.job.clock.now() - planned;
        board.note_lag(lag);
        if self.job.plan.phase(index) == Phase::Measure {
            self.sent.lag.record(lag);
        }
        let member = sender_member(sender, settings.senders, settings.counted);
        match self.job.transport.send(member, &self.message) {
            Ok(()) => board.count_sent(),
            Err(error) => {
                self.sent.failed.push(index as u32);
                self.sent.error.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Waits until `planned`; false when sending was ended meanwhile.
fn wait(job: &Job<'_>, planned: u64) -> bool {
    loop {
        if job.board.sending_stopped() {
            return false;
        }
        let now = job.clock.now();
        if planned <= now + NAP_NS {
            job.clock.wait_until(planned, SPIN_NS);
            return true;
        }
        std::thread::sleep(Duration::from_nanos(NAP_NS / 2));
    }
}
