//! The receiving thread.

use super::collect::Port;
use super::recorder::Recorder;
use super::{Board, Integrity, Positions, Settings, ThreadLoad};
use crate::clock::Clock;
use crate::machine::threads;
use crate::members::Transport;
use crate::plan::Plan;
use hdrhistogram::Histogram;
use std::time::Duration;

/// What a receiving thread is given.
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

/// What a receiving thread leaves.
pub(super) struct Received {
    pub thread: u32,
    pub integrity: Integrity,
    pub first: Vec<u64>,
    pub last: Vec<u64>,
    pub clients: Vec<Histogram<u32>>,
    pub positions: Positions,
    pub load: ThreadLoad,
}

/// Receives until the board says stop.
pub(super) fn run(job: &Job<'_>, port: Port) -> Result<Received, String> {
    const WAIT: Duration = Duration::from_millis(20);
    let settings = job.settings;
    threads::settle(&format!("loadgen-rx{}", job.thread), settings.pin, settings.tx_threads + job.thread);
    let receiver = job.transport.receiver(job.thread, settings.rx_threads, settings.reading, job.clock);
    let mut receiver = receiver.map_err(|error| format!("cannot receive: {error}"))?;
    let mut recorder = Recorder::new(job.board, job.plan, settings, job.thread, port);
    let mut meter = Meter::new(job.start + job.plan.warmup_ns, job.start + job.plan.end_ns);
    while !job.board.receiving_stopped() {
        let before = recorder.distinct;
        let taken = receiver.receive(WAIT, &mut recorder).map_err(|error| format!("cannot receive: {error}"))?;
        job.board.count_received(taken, recorder.distinct - before);
        let now = job.clock.now();
        recorder.tick(now);
        meter.look(now);
    }
    recorder.finish(job.clock.now());
    Ok(Received {
        thread: job.thread,
        integrity: recorder.integrity,
        first: recorder.first,
        last: recorder.last,
        clients: recorder.clients,
        positions: recorder.positions,
        load: meter.load(job.thread, job.clock.now()),
    })
}

/// The thread's processor time between the beginning and the end of measuring.
struct Meter {
    begin: u64,
    end: u64,
    at_begin: Option<(u64, threads::Usage)>,
    at_end: Option<(u64, threads::Usage)>,
}

impl Meter {
    fn new(begin: u64, end: u64) -> Self {
        Self { begin, end, at_begin: None, at_end: None }
    }

    fn look(&mut self, now: u64) {
        if self.at_begin.is_none() && now >= self.begin {
            self.at_begin = Some((now, threads::usage()));
        }
        if self.at_end.is_none() && now >= self.end {
            self.at_end = Some((now, threads::usage()));
        }
    }

    /// A run that ended early is measured up to now.
    fn load(&self, thread: u32, now: u64) -> ThreadLoad {
        let (begin, from) = self.at_begin.unwrap_or((now, threads::usage()));
        let (end, to) = self.at_end.unwrap_or((now, threads::usage()));
        ThreadLoad {
            name: format!("rx{thread}"),
            wall_ns: end.saturating_sub(begin),
            cpu_ns: to.cpu_ns.saturating_sub(from.cpu_ns),
            waiting_ns: to.waiting_ns.saturating_sub(from.waiting_ns),
        }
    }
}
