//! Many measurements over one membership: a curve, or the highest rate that
//! meets the objectives.

use crate::benchmark::{Benchmark, Progress};
use crate::check::{self, State};
use crate::report::{Curve, Point, Report, RunFigures, SCHEMA, Slo};
use crate::stage::Stage;
use crate::units::{show_ns, show_scaled};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// No trial is longer because of what its objectives need.
const TRIAL_MAX: Duration = Duration::from_mins(10);

/// Measures benchmarks that differ in rate or depth only.
pub fn sweep(benchmarks: &[Benchmark], interrupt: &AtomicBool, progress: &mut dyn Progress) -> Result<Curve, String> {
    let first = benchmarks.first().ok_or("no rate to measure")?;
    let ceiling = first.ceiling(progress)?;
    let mut stage = Stage::open(first, ceiling, interrupt, progress)?;
    let mut reports: Vec<Report> = Vec::new();
    for benchmark in benchmarks {
        if interrupt.load(Relaxed) {
            break;
        }
        let depth = benchmark.in_flight.map(|depth| format!("{depth} in flight"));
        let rate = depth.unwrap_or_else(|| format!("{} messages/s", show_scaled(benchmark.workload.rate)));
        progress.say(&format!("measuring {rate}"));
        let report = trial(&mut stage, benchmark, interrupt, progress)?;
        let is_over = check::members_are_gone(&report.gates) && !stage.is_everybody_back()?;
        reports.push(report);
        if is_over {
            progress.say("members are gone: the server dropped them, or ended");
            break;
        }
    }
    stage.session.leave(first.join_rate);
    let points: Vec<Point> = reports.iter().map(Point::of).collect();
    let valid = |report: &Report| report.verdict.state != State::Invalid && report.loss.ratio < 0.001;
    let best = (0..reports.len()).rev().find(|at| valid(&reports[*at])).unwrap_or(0);
    let best = if reports.is_empty() { return Err("nothing was measured".into()) } else { reports.swap_remove(best) };
    Ok(Curve { schema: SCHEMA, points, best })
}

fn trial(
    stage: &mut Stage<'_>,
    benchmark: &Benchmark,
    interrupt: &AtomicBool,
    progress: &mut dyn Progress,
) -> Result<Report, String> {
    let plan = benchmark.plan(benchmark.workload.seed)?;
    let trial = stage.measure(&plan, benchmark.in_flight, interrupt, progress)?;
    let figures = RunFigures::of(benchmark.workload.seed, &trial.measurement, stage.server(&trial).as_ref());
    stage.report(benchmark, trial, vec![figures])
}

/// What a search found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// The highest rate that passed, in messages per second.
    pub rate: Option<f64>,
    /// The first rate tried.
    pub lowest: f64,
    /// The next rate failed the self-check, not the objectives: `rate` is "at least".
    pub limited_by_generator: bool,
    /// Why it ended before its time, if it did.
    #[serde(default)]
    pub cut: Option<Cut>,
    /// What the last failing trial found.
    pub reasons: Vec<String>,
    /// Every trial in order.
    pub trials: Vec<Point>,
    /// Latency at 10, 50 and 90 % of the result.
    pub below: Vec<Point>,
}

/// What ends a search before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Somebody did.
    Interrupted,
    /// The server dropped members, or ended: there is nobody to measure with.
    MembersGone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Missed,
    Invalid,
    Cut(Cut),
}

/// Doubles from the benchmark's rate until a trial fails, then halves the
/// interval until it is within `precision`; at the border two of three decide.
pub fn search(
    benchmark: &Benchmark,
    highest: f64,
    precision: f64,
    interrupt: &AtomicBool,
    progress: &mut dyn Progress,
) -> Result<Found, String> {
    let ceiling = benchmark.ceiling(progress)?;
    let stage = Stage::open(benchmark, ceiling, interrupt, progress)?;
    let mut hunt = Hunt { benchmark, stage, interrupt, progress, trials: Vec::new() };
    let (mut good, mut bad, mut cut) = (None, None, None);
    let mut rate = benchmark.workload.rate;
    while bad.is_none() && cut.is_none() && rate <= highest {
        match hunt.decide(rate, false)? {
            Outcome::Passed => good = Some(rate),
            Outcome::Cut(why) => cut = Some(why),
            failed => bad = Some((rate, failed)),
        }
        rate *= 2.0;
    }
    while let (Some(low), Some((high, _)), None) = (good, bad, cut)
        && high / low > 1.0 + precision
    {
        let middle = (low * high).sqrt();
        let border = high / low < (1.0 + precision).powi(4);
        match hunt.decide(middle, border)? {
            Outcome::Passed => good = Some(middle),
            Outcome::Cut(why) => cut = Some(why),
            failed => bad = Some((middle, failed)),
        }
    }
    let below = match (good, cut) {
        (Some(rate), None) => hunt.below(rate)?,
        _ => Vec::new(),
    };
    hunt.stage.session.leave(benchmark.join_rate);
    let limited_by_generator = matches!(bad, Some((_, Outcome::Invalid)));
    let failed = |point: &&Point| point.missed || point.state == State::Invalid;
    let reasons = hunt.trials.iter().rev().find(failed).map(|point| point.reasons.clone()).unwrap_or_default();
    let (lowest, trials) = (benchmark.workload.rate, hunt.trials);
    Ok(Found { reasons, rate: good, lowest, limited_by_generator, cut, trials, below })
}

struct Hunt<'a> {
    benchmark: &'a Benchmark,
    stage: Stage<'a>,
    interrupt: &'a AtomicBool,
    progress: &'a mut dyn Progress,
    trials: Vec<Point>,
}

impl Hunt<'_> {
    fn measure(&mut self, rate: f64) -> Result<Report, String> {
        let mut benchmark = self.benchmark.clone();
        benchmark.workload.rate = rate;
        benchmark.workload.duration = benchmark.workload.duration.max(self.least(rate));
        let seconds = show_ns(benchmark.workload.duration.as_nanos() as f64);
        self.progress.say(&format!("trying {} messages/s for {seconds}", show_scaled(rate)));
        benchmark.workload.seed += self.trials.len() as u64;
        trial(&mut self.stage, &benchmark, self.interrupt, self.progress)
    }

    /// A trial is as long as the objectives' percentiles need messages, and some more, since
    /// arrivals are random.
    fn least(&self, rate: f64) -> Duration {
        let needed = self.benchmark.slos.iter().map(Slo::needs).max().unwrap_or(1) as f64;
        Duration::try_from_secs_f64((needed + 4.0 * needed.sqrt()) / rate).unwrap_or(TRIAL_MAX).min(TRIAL_MAX)
    }

    /// An objective that was missed while the generator was at its limit says
    /// nothing about the server: the self-check is asked first.
    fn try_rate(&mut self, rate: f64) -> Result<Outcome, String> {
        let report = self.measure(rate)?;
        self.trials.push(Point::of(&report));
        if self.interrupt.load(Relaxed) {
            return Ok(Outcome::Cut(Cut::Interrupted));
        }
        if check::members_are_gone(&report.gates) && !self.stage.is_everybody_back()? {
            return Ok(Outcome::Cut(Cut::MembersGone));
        }
        Ok(match (report.verdict.state, report.verdict.slo_met) {
            (State::Invalid, _) => Outcome::Invalid,
            (_, Some(false)) => Outcome::Missed,
            _ => Outcome::Passed,
        })
    }

    /// A trial that fails is repeated: one hiccup of the machine is no limit.
    /// At the border one that passes is, too.
    fn decide(&mut self, rate: f64, at_border: bool) -> Result<Outcome, String> {
        let first = self.try_rate(rate)?;
        match first {
            Outcome::Cut(_) => Ok(first),
            Outcome::Passed if !at_border => Ok(first),
            _ => self.majority(rate, first),
        }
    }

    /// Two of three decide.
    fn majority(&mut self, rate: f64, first: Outcome) -> Result<Outcome, String> {
        let second = self.try_rate(rate)?;
        if first == second || matches!(second, Outcome::Cut(_)) { Ok(second) } else { self.try_rate(rate) }
    }

    fn below(&mut self, rate: f64) -> Result<Vec<Point>, String> {
        [0.1, 0.5, 0.9].into_iter().map(|share| Ok(Point::of(&self.measure(rate * share)?))).collect()
    }
}
