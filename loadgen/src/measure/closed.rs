//! The sending thread, closed loop: a number of messages outstanding, the next
//! one when one is complete at every receiver or given up. For saturation:
//! the server sets the pace, so latency is that of the chosen depth.

use super::sender_member;
use super::tx::{Job, Sent};
use crate::machine::threads;
use crate::payload::{self, Phase, Stamp};
use std::time::Duration;

/// A message that is not complete by then is given up; its copies count as lost
/// unless they still come.
const GIVE_UP_NS: u64 = 1_000_000_000;
/// The longest wait: deadlines are looked at so often.
const NAP: Duration = Duration::from_millis(2);

/// Sends with `in_flight` messages outstanding until the plan's end.
pub(super) fn run(job: &Job<'_>) -> Result<Sent, String> {
    let settings = job.settings;
    threads::settle("loadgen-tx0", settings.pin, job.thread);
    job.board.wake_me();
    let depth = settings.in_flight.unwrap_or(1) as usize;
    let names: Vec<String> = (0..settings.senders)
        .map(|sender| job.transport.name(sender_member(sender, settings.senders, settings.counted)))
        .collect();
    let mut sent = Sent { times: Vec::with_capacity(job.plan.slots.len()), until_ns: 0, ..Sent::default() };
    let mut message = Vec::with_capacity(payload::MESSAGE_BYTES_MAX);
    let mut outstanding: Vec<(usize, u64)> = Vec::with_capacity(depth);
    while job.clock.now() < job.start {
        std::thread::sleep(NAP);
    }
    loop {
        let now = job.clock.now();
        outstanding.retain(|(index, at)| !job.board.is_complete(*index) && now - at < GIVE_UP_NS);
        let index = sent.times.len();
        if job.board.sending_stopped() || now >= job.start + job.plan.end_ns || index == job.plan.slots.len() {
            break;
        }
        if outstanding.len() >= depth {
            std::thread::park_timeout(NAP);
            continue;
        }
        let phase = if now - job.start < job.plan.warmup_ns { Phase::Warmup } else { Phase::Measure };
        if phase == Phase::Warmup {
            sent.measured_from = index + 1;
        }
        let slot = &job.plan.slots[index];
        let sender = slot.sender;
        let stamp = Stamp { phase, run: settings.run, sender, seq: slot.seq, index: index as u32, planned: now };
        payload::encode(&stamp, &names[sender as usize], usize::from(slot.size), &mut message);
        sent.times.push(now - job.start);
        outstanding.push((index, now));
        match job.transport.send(sender_member(sender, settings.senders, settings.counted), &message) {
            Ok(()) => job.board.count_sent(),
            Err(error) => {
                outstanding.pop();
                sent.failed.push(index as u32);
                sent.error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    sent.until_ns = (job.clock.now() - job.start).min(job.plan.end_ns);
    Ok(sent)
}
