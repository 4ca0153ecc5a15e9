//! One benchmark from the first socket to the report: calibrate, join, measure
//! one or several runs, look at server and kernel, judge.

use crate::benchmark::{Benchmark, Progress, run_id};
use crate::check::Surroundings;
use crate::clock::Clock;
use crate::looker::{Look, Looker};
use crate::lossy::{Path, PathFigures};
use crate::measure::{self, Measurement, Settings};
use crate::members::{NativeFigures, plain};
use crate::plan::Plan;
use crate::report::{Context, Report, RunFigures, Server, ServerDrops, ServerSecond};
use crate::sampler::Sampler;
use crate::session::{Joined, Joining, Session};
use crate::units::{show_count, show_ns};
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs it.
pub fn run(benchmark: &Benchmark, interrupt: &AtomicBool, progress: &mut dyn Progress) -> Result<Report, String> {
    let ceiling = benchmark.ceiling(progress)?;
    let mut stage = Stage::open(benchmark, ceiling, interrupt, progress)?;
    let mut done: Option<Trial> = None;
    let mut figures = Vec::new();
    for run in 0..benchmark.runs {
        if run > 0 && interrupt.load(Ordering::Relaxed) {
            break;
        }
        if benchmark.runs > 1 {
            progress.say(&format!("run {} of {}", run + 1, benchmark.runs));
        }
        let seed = benchmark.workload.seed + u64::from(run);
        let trial = stage.measure(&benchmark.plan(seed)?, benchmark.in_flight, interrupt, progress)?;
        figures.push(RunFigures::of(seed, &trial.measurement, stage.server(&trial).as_ref()));
        let is_gone = trial.end.trouble.is_some();
        match &mut done {
            Some(pooled) => pooled.pool(&trial),
            None => done = Some(trial),
        }
        if is_gone {
            break;
        }
    }
    let trial = done.ok_or("no run took place")?;
    let report = stage.report(benchmark, trial, figures)?;
    stage.session.leave(benchmark.join_rate);
    Ok(report)
}

/// Members that have joined, ready to measure again and again.
pub struct Stage<'a> {
    benchmark: &'a Benchmark,
    /// The members.
    pub session: Session,
    looker: Looker,
    joined: Joined,
    /// What members speak through, if not to the server itself.
    path: Option<Path>,
    ceiling: Option<f64>,
    clock: Clock,
}

/// One measurement with what was seen around it.
pub struct Trial {
    /// What the members saw.
    pub measurement: Measurement,
    /// Before it.
    pub start: Look,
    /// After it.
    pub end: Look,
    /// The server second by second.
    pub server_seconds: Vec<ServerSecond>,
    /// What native clients counted.
    pub native: Option<NativeFigures>,
    /// What the lossy path did.
    pub path: Option<PathFigures>,
}

impl Trial {
    fn pool(&mut self, other: &Self) {
        self.measurement.pool(&other.measurement);
        self.end.advance(&other.start, &other.end);
        if let (Some(native), Some(more)) = (&mut self.native, &other.native) {
            native.add(more);
        }
        if let (Some(path), Some(more)) = (&mut self.path, &other.path) {
            path.add(more);
        }
        let next = self.server_seconds.last().map_or(0, |last| last.second + 1);
        self.server_seconds
            .extend(other.server_seconds.iter().map(|at| ServerSecond { second: next + at.second, ..*at }));
    }
}

impl<'a> Stage<'a> {
    /// Opens the sockets and brings everybody in.
    pub fn open(
        benchmark: &'a Benchmark,
        ceiling: Option<f64>,
        interrupt: &AtomicBool,
        progress: &mut dyn Progress,
    ) -> Result<Self, String> {
        let clock = Clock::start();
        let mut looker = Looker::new(benchmark.target, benchmark.server_pid, benchmark.server_metrics.clone());
        looker.before_join()?;
        let path = benchmark.path()?;
        let transport = benchmark.open(path.as_ref().map_or(benchmark.target, Path::address))?;
        let read = transport.addresses().into_iter().take(benchmark.script.reading(benchmark.members) as usize);
        let own: Vec<u16> = read.map(|address| address.port()).collect();
        let session = Session::new(transport, clock, run_id());
        progress.say(&format!("joining {} members at {}", show_count(benchmark.members.into()), benchmark.target));
        let joining = Joining {
            rate: benchmark.join_rate,
            patience: benchmark.join_patience,
            rx_threads: benchmark.rx_threads,
            watched: benchmark.watched(),
            server_pid: benchmark.server_pid,
        };
        let joined = session.join(&joining, interrupt, |proven| progress.joined(proven, benchmark.members))?;
        looker.watch_own(own.into_iter().chain(path.iter().flat_map(Path::ports)).collect());
        progress.say(&format!("all members proven in {}", show_ns(joined.elapsed.as_nanos() as f64)));
        Ok(Self { benchmark, session, looker, joined, path, ceiling, clock })
    }

    /// Measures one plan.
    pub fn measure(
        &mut self,
        plan: &Plan,
        in_flight: Option<u32>,
        interrupt: &AtomicBool,
        progress: &mut dyn Progress,
    ) -> Result<Trial, String> {
        // A run id of its own: what is still under way of an earlier run is not this one's.
        self.session.run = self.session.run.wrapping_add(1);
        let settings = Settings { in_flight, ..self.benchmark.settings(self.session.run) };
        let start = self.looker.look();
        let transport = &self.session.transport;
        let (native, path) = (transport.native(), self.path.as_ref().map(Path::figures));
        progress.begin(&self.benchmark.outline(&transport.label()));
        let mut sampler = Sampler::new(&self.looker, &start, plan, in_flight.is_some(), self.ceiling, progress);
        let measurement = measure::measure(transport, plan, &settings, self.clock, interrupt, &mut sampler)?;
        let server_seconds = sampler.seconds;
        let native = native.and_then(|before| Some(transport.native()?.since(&before)));
        let path = path.and_then(|before| Some(self.path.as_ref()?.figures().since(&before)));
        Ok(Trial { measurement, start, end: self.looker.look(), server_seconds, native, path })
    }

    /// What the server used for a trial; `None` without its process.
    pub fn server(&self, trial: &Trial) -> Option<Server> {
        self.looker.server(trial)
    }

    /// Judges and reports what was measured for `benchmark`, which differs from
    /// the stage's own in pace and objectives at most.
    pub fn report(&self, benchmark: &Benchmark, trial: Trial, runs: Vec<RunFigures>) -> Result<Report, String> {
        let around = self.surroundings(&trial)?;
        let server = self.looker.server(&trial);
        let run = &trial.measurement;
        let seen = ServerDrops {
            socket: trial.end.server_drops_since(&trial.start),
            unheard: trial.end.unheard_since(&trial.start, run.sent_with_warmup),
            counted: trial.end.counted_since(&trial.start).unwrap_or_default(),
        };
        let context = Context {
            trouble: trial.end.trouble,
            setup: benchmark.setup(self.session.transport.label(), run),
            native: trial.native,
            path: trial.path,
            join: self.joined.into(),
            server,
            around,
            server_drops: seen,
            server_seconds: trial.server_seconds,
            name_of: plain::name,
            slos: benchmark.slos.clone(),
            runs,
        };
        Ok(Report::new(run, context))
    }

    /// After more than a server could take, it may be that only the probes were lost.
    pub fn is_everybody_back(&self) -> Result<bool, String> {
        Ok(self.session.count_alive(self.benchmark.rx_threads)? == self.benchmark.members)
    }

    /// For the self-check.
    pub fn surroundings(&self, trial: &Trial) -> Result<Surroundings, String> {
        Ok(Surroundings {
            generator_drops: trial.measurement.copies_in(trial.end.own_drops_since(&trial.start)),
            stolen: trial.end.stolen_since(&trial.start),
            alive: self.session.count_alive(self.benchmark.rx_threads)?,
            members: self.benchmark.members,
            ceiling: self.ceiling,
        })
    }
}
