//! The sending thread, open loop: each message goes out at its planned time,
//! whatever has come back, and its lateness is written down.

use super::{Board, Latency, Settings, sender_member};
use crate::clock::Clock;
use crate::machine::threads;
use crate::members::Transport;
use crate::payload::{self, Phase, Stamp};
use crate::plan::Plan;
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
    let settings = job.settings;
    threads::settle(&format!("loadgen-tx{}", job.thread), settings.pin, job.thread);
    threads::precise_sleep();
    let member_of = |sender| sender_member(sender, settings.senders, settings.counted);
    let names: Vec<String> = (0..settings.senders).map(|sender| job.transport.name(member_of(sender))).collect();
    let mut sent = Sent { until_ns: job.plan.end_ns, ..Sent::default() };
    let mut message = Vec::with_capacity(payload::MESSAGE_BYTES_MAX);
    for (index, slot) in job.plan.slots.iter().enumerate() {
        if slot.sender % settings.tx_threads != job.thread {
            continue;
        }
        let planned = job.start + slot.at;
        let phase = job.plan.phase(index);
        let stamp =
            Stamp { phase, run: settings.run, sender: slot.sender, seq: slot.seq, index: index as u32, planned };
        payload::encode(&stamp, &names[slot.sender as usize], usize::from(slot.size), &mut message);
        if !wait(job, planned) {
            sent.until_ns = job.clock.now().saturating_sub(job.start).min(slot.at);
            break;
        }
        if phase == Phase::Measure {
            sent.lag.record(job.clock.now() - planned);
        }
        match job.transport.send(member_of(slot.sender), &message) {
            Ok(()) => job.board.count_sent(),
            Err(error) => {
                sent.failed.push(index as u32);
                sent.error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    Ok(sent)
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
