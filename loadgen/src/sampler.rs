//! Looks at server, kernel and own threads once a second while a measurement
//! runs, on the way to the one who watches. Decides nothing.

use crate::benchmark::Progress;
use crate::check::{self, SoFar};
use crate::looker::{Look, Looker};
use crate::machine::page::{Cause, sum};
use crate::machine::threads::{self, Usage};
use crate::measure::{Board, Second, Watch};
use crate::plan::Plan;
use crate::report::ServerSecond;
use crate::screen::{UNDER_WAY, Vitals};
use std::time::Duration;

pub(crate) struct Sampler<'a> {
    looker: &'a Looker,
    start: &'a Look,
    plan: &'a Plan,
    closed: bool,
    ceiling: Option<f64>,
    progress: &'a mut dyn Progress,
    last_cpu: u64,
    last_threads: Vec<Usage>,
    last_at: Duration,
    pub(crate) seconds: Vec<ServerSecond>,
}

impl Watch for Sampler<'_> {
    fn progress(&mut self, elapsed: Duration, board: &Board, second: Option<&Second>) {
        if let Some(second) = second {
            self.look_at_server(second);
            if self.progress.wants_vitals() {
                let vitals = self.vitals(elapsed, board, second);
                self.progress.vitals(&vitals);
            }
            self.last_at = elapsed;
        }
        self.progress.progress(elapsed, board, second);
    }
}

impl<'a> Sampler<'a> {
    pub(crate) fn new(
        looker: &'a Looker,
        start: &'a Look,
        plan: &'a Plan,
        closed: bool,
        ceiling: Option<f64>,
        progress: &'a mut dyn Progress,
    ) -> Self {
        let last_at = Duration::from_nanos(plan.warmup_ns);
        let (last_cpu, last_threads, seconds) = (start.cpu_ns(), Vec::new(), Vec::new());
        Self { looker, start, plan, closed, ceiling, progress, last_cpu, last_threads, last_at, seconds }
    }

    fn look_at_server(&mut self, second: &Second) {
        if let Some(sample) = self.looker.sample_now() {
            let cpu_ns = sample.cpu_ns.saturating_sub(self.last_cpu);
            self.last_cpu = sample.cpu_ns;
            self.seconds.push(ServerSecond { second: second.second, cpu_ns, rss_bytes: sample.rss_bytes });
        }
    }

    fn vitals(&mut self, elapsed: Duration, board: &Board, second: &Second) -> Vitals {
        let look = self.looker.look();
        let since = elapsed.saturating_sub(self.last_at).as_secs_f64().max(1e-3);
        let lag = board.take_lag();
        let missing = (board.sent() * u64::from(board.expected())).saturating_sub(board.distinct());
        let drops = look.own_drops_since(self.start);
        let drops = (drops as f64 * board.messages_per_datagram()).round() as u64;
        let planned = if self.closed { board.sent() } else { self.planned(elapsed) };
        let seen = SoFar {
            planned,
            sent: board.sent(),
            lag_ns: (!self.closed).then_some(lag),
            p50_ns: second.p50_ns,
            drops,
            missing,
            busiest: self.busiest(since),
            stolen: look.stolen_since(self.start),
            copies: second.copies,
            ceiling: self.ceiling,
        };
        let server = self.seconds.last().map(|last| (last.cpu_ns as f64 / 1e9 / since, last.rss_bytes));
        let missing = self.causes(&look, board, missing, drops);
        Vitals { planned, missing, server, lights: check::so_far(&seen) }
    }

    /// Messages that should be out; the one that is due now may be on its way.
    fn planned(&self, elapsed: Duration) -> u64 {
        const ON_ITS_WAY_NS: u64 = 1_000_000;
        let now = (elapsed.as_nanos() as u64).saturating_sub(ON_ITS_WAY_NS);
        self.plan.slots.partition_point(|slot| slot.at <= now) as u64
    }

    /// Share of the time since the last look that the busiest receiving thread
    /// used or waited for.
    fn busiest(&mut self, seconds: f64) -> f64 {
        let now = threads::named("loadgen-rx");
        let before = std::mem::replace(&mut self.last_threads, now.clone());
        let grown = |now: &Usage, before: &Usage| {
            (now.cpu_ns + now.waiting_ns).saturating_sub(before.cpu_ns + before.waiting_ns) as f64
        };
        now.iter().zip(&before).map(|(now, before)| grown(now, before) / 1e9 / seconds).fold(0.0, f64::max)
    }

    fn causes(&self, look: &Look, board: &Board, missing: u64, own_drops: u64) -> Vec<(&'static str, u64)> {
        let receivers = u64::from(board.expected());
        let counted = look.counted_since(self.start);
        let told = |cause| counted.as_ref().map_or(0, |growth| sum(growth, cause));
        let socket = look.server_drops_since(self.start).max(told(Cause::Socket));
        let mut left = missing;
        let mut part = |copies: u64| {
            let copies = copies.min(left);
            left -= copies;
            copies
        };
        let mut causes = vec![("generator socket", part(own_drops)), ("server socket", part(socket * receivers))];
        if counted.is_some() {
            causes.push(("server policy", part(told(Cause::Policy) * receivers)));
            causes.push(("server's sending", part(told(Cause::Sending))));
        }
        causes.push((UNDER_WAY, left));
        causes
    }
}
