//! Many measurements over one membership: a curve, or the highest rate that
//! meets the objectives.

use crate::benchmark::{Benchmark, Progress};
use crate::check::State;
use crate::report::{Curve, Point, Report, RunFigures, SCHEMA};
use crate::stage::Stage;
use crate::units::show_scaled;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
        reports.push(trial(&mut stage, benchmark, interrupt, progress)?);
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
    /// What the last failing trial found.
    pub reasons: Vec<String>,
    /// Every trial in order.
    pub trials: Vec<Point>,
    /// Latency at 10, 50 and 90 % of the result.
    pub below: Vec<Point>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Missed,
    Invalid,
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
    let (mut good, mut bad) = (None, None);
    let mut rate = benchmark.workload.rate;
    while bad.is_none() && rate <= highest && !interrupt.load(Relaxed) {
        match hunt.confirm(rate)? {
            Outcome::Passed => good = Some(rate),
            failed => bad = Some((rate, failed)),
        }
        rate *= 2.0;
    }
    while let (Some(low), Some((high, _))) = (good, bad)
        && high / low > 1.0 + precision
        && !interrupt.load(Relaxed)
    {
        let middle = (low * high).sqrt();
        let border = high / low < (1.0 + precision).powi(4);
        match if border { hunt.majority(middle)? } else { hunt.confirm(middle)? } {
            Outcome::Passed => good = Some(middle),
            failed => bad = Some((middle, failed)),
        }
    }
    let below = match good {
        Some(rate) if !interrupt.load(Relaxed) => hunt.below(rate)?,
        _ => Vec::new(),
    };
    hunt.stage.session.leave(benchmark.join_rate);
    let limited_by_generator = matches!(bad, Some((_, Outcome::Invalid)));
    let failed = |point: &&Point| point.missed || point.state == State::Invalid;
    let reasons = hunt.trials.iter().rev().find(failed).map(|point| point.reasons.clone()).unwrap_or_default();
    Ok(Found { reasons, rate: good, lowest: benchmark.workload.rate, limited_by_generator, trials: hunt.trials, below })
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
        self.progress.say(&format!("trying {} messages/s", show_scaled(rate)));
        let mut benchmark = self.benchmark.clone();
        benchmark.workload.rate = rate;
        benchmark.workload.seed += self.trials.len() as u64;
        trial(&mut self.stage, &benchmark, self.interrupt, self.progress)
    }

    /// An objective that was missed while the generator was at its limit says
    /// nothing about the server: the self-check is asked first.
    fn try_rate(&mut self, rate: f64) -> Result<Outcome, String> {
        let report = self.measure(rate)?;
        self.trials.push(Point::of(&report));
        Ok(match (report.verdict.state, report.verdict.slo_met) {
            (State::Invalid, _) => Outcome::Invalid,
            (_, Some(false)) => Outcome::Missed,
            _ => Outcome::Passed,
        })
    }

    /// A trial that fails is repeated: one hiccup of the machine is no limit.
    fn confirm(&mut self, rate: f64) -> Result<Outcome, String> {
        let first = self.try_rate(rate)?;
        if first == Outcome::Passed { Ok(first) } else { self.majority(rate) }
    }

    /// Two of three decide.
    fn majority(&mut self, rate: f64) -> Result<Outcome, String> {
        let (one, other) = (self.try_rate(rate)?, self.try_rate(rate)?);
        if one == other { Ok(one) } else { self.try_rate(rate) }
    }

    fn below(&mut self, rate: f64) -> Result<Vec<Point>, String> {
        [0.1, 0.5, 0.9].into_iter().map(|share| Ok(Point::of(&self.measure(rate * share)?))).collect()
    }
}
