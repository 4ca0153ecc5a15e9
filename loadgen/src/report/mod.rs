//! What a run is reported as: one model that JSON holds and every printed
//! form is made from, so that a saved run reports like a fresh one.

mod charts;
mod compare;
mod figure;
mod files;
mod html;
mod loss;
mod particulars;
mod rooms;
mod runs;
mod slo;
mod svg;
mod sweep;
mod text;

pub use compare::{Change, Comparison, compare, differences};
pub use figure::Figure;
pub use files::Files;
pub use loss::{Loss, ServerDrops};
pub use rooms::{RoomFigures, RoomsReport};
pub use runs::{Interval, RunFigures, intervals};
pub use slo::Slo;
pub use sweep::{Curve, Point, knee};
pub use text::print;

use crate::check::{self, Gate, State};
use crate::lossy::PathFigures;
use crate::machine::environment::Environment;
use crate::measure::{Fit, Integrity, Latency, Measurement, PositionPoint, Second, ThreadLoad, supported};
use crate::members::NativeFigures;
use crate::session::Joined;
use serde::{Deserialize, Serialize};

/// Version of the JSON's shape; grows when a reader must know.
pub const SCHEMA: u32 = 1;

/// The percentiles that are printed.
pub const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Everything about one invocation's result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was judged.
    pub verdict: Verdict,
    /// What was asked for.
    pub setup: Setup,
    /// How members came in.
    pub join: JoinFigures,
    /// Messages and copies.
    pub traffic: Traffic,
    /// What was wrong with copies.
    pub integrity: Integrity,
    /// Where lost copies went.
    pub loss: Loss,
    /// What native clients counted beside copies, warm-up included.
    #[serde(default)]
    pub native: Option<NativeFigures>,
    /// What a lossy path did.
    #[serde(default)]
    pub path: Option<PathFigures>,
    /// Room by room, where there are several.
    #[serde(default)]
    pub rooms: Option<RoomsReport>,
    /// The table of latencies, in ns.
    pub latency: Vec<Row>,
    /// Clients compared.
    pub clients: Clients,
    /// Latency by place among a message's copies.
    pub position: Position,
    /// The server's process, if known.
    pub server: Option<Server>,
    /// The server second by second; empty if it was not looked at.
    pub server_seconds: Vec<ServerSecond>,
    /// What the server's memory grew by, in bytes per hour, over a run of at least a minute.
    pub rss_slope: Option<f64>,
    /// The generator's receiving threads.
    pub threads: Vec<ThreadLoad>,
    /// What each run found, in order.
    pub runs: Vec<RunFigures>,
    /// Means over the runs.
    pub intervals: Vec<Interval>,
    /// What the generator can receive on this machine, in copies per second.
    pub ceiling: Option<f64>,
    /// The self-check.
    pub gates: Vec<Gate>,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// Delivery latencies as (value in ns, copies).
    pub delivery_histogram: Vec<(u64, u64)>,
    /// Where it took place.
    pub environment: Environment,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Of the self-check.
    pub state: State,
    /// Of the objectives that were set; `None` when none were.
    pub slo_met: Option<bool>,
    /// What an objective missed or a gate found.
    pub reasons: Vec<String>,
    /// The run was ended before its time.
    pub interrupted: bool,
}

impl Verdict {
    /// 0 pass, 1 objective missed, 3 invalid.
    pub fn exit_code(&self) -> u8 {
        match (self.state, self.slo_met) {
            (State::Invalid, _) => 3,
            (_, Some(false)) => 1,
            _ => 0,
        }
    }
}

/// What must be said wherever members that were made in a special way are
/// shown, where the whole sentence does not fit; empty for the usual ones.
pub fn mark(members_made: &str) -> String {
    let said = ["SHARED", "GRO", "LOSSY"].into_iter().filter(|word| members_made.contains(&format!("{word}:")));
    let said = said.collect::<Vec<_>>().join(", ");
    if said.is_empty() { said } else { format!(" ({said})") }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Address of the server.
    pub target: String,
    /// What it speaks.
    pub protocol: String,
    /// Members in all.
    pub members: u32,
    /// How they were made; results of different kinds must not be compared.
    pub members_made: String,
    /// Members that send.
    pub senders: u32,
    /// Messages per second, as planned; null in closed loop.
    pub rate: Option<f64>,
    /// Messages outstanding, in closed loop.
    pub in_flight: Option<u32>,
    /// What went on besides messages.
    pub scenario: String,
    /// Arrival process.
    pub arrival: String,
    /// Sizes and weights.
    pub size: String,
    /// Of the schedule.
    pub seed: u64,
    /// In ns.
    pub warmup_ns: u64,
    /// In ns, as it took place.
    pub duration_ns: u64,
    /// A copy above this counts as late, in ns.
    pub late_ns: u64,
}

/// How members came in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinFigures {
    /// Until every name was sent once, in ns; and read, where the server is watched.
    pub sent_ns: u64,
    /// The server's processor time meanwhile, in ns.
    #[serde(default)]
    pub server_cpu_ns: Option<u64>,
    /// Until all were proven, in ns.
    pub elapsed_ns: u64,
    /// Names sent again.
    pub repeated: u64,
}

impl From<Joined> for JoinFigures {
    fn from(joined: Joined) -> Self {
        let ns = |duration: std::time::Duration| duration.as_nanos() as u64;
        Self {
            sent_ns: ns(joined.sent),
            elapsed_ns: ns(joined.elapsed),
            server_cpu_ns: joined.server_cpu_ns,
            repeated: joined.repeated,
        }
    }
}

/// Messages and copies of the measure phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Messages planned.
    pub planned: u64,
    /// Messages the kernel took.
    pub sent: u64,
    /// Messages that everybody got.
    pub complete: u64,
    /// Messages that nobody got.
    pub unseen: u64,
    /// Copies expected of the messages sent.
    pub expected: u64,
    /// Distinct copies that came.
    pub delivered: u64,
    /// Messages per second, planned.
    pub offered_per_second: f64,
    /// Messages per second, sent.
    pub sent_per_second: f64,
    /// Copies per second, delivered.
    pub delivered_per_second: f64,
}

/// One line of the latency table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What is timed.
    pub name: String,
    /// Independent samples.
    pub messages: u64,
    /// Values, which for copies are many a message.
    pub samples: u64,
    /// The smallest.
    pub min: Figure,
    /// Percentiles in the order of [`QUANTILES`].
    pub quantiles: [Figure; 4],
    /// The largest.
    pub max: Figure,
}

/// Clients compared by their own 99th percentile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clients {
    /// The median client.
    pub p99_median: Figure,
    /// The worst.
    pub p99_worst: Figure,
    /// Its name.
    pub worst: String,
    /// Percentiles 0..=100 over the clients, in ns.
    pub p99_distribution: Vec<u64>,
}

/// Latency by place in the fan-out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The line, if there is one.
    pub fit: Option<Fit>,
    /// The means it goes through.
    pub points: Vec<PositionPoint>,
}

/// The server in one second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerSecond {
    /// From the beginning of measuring.
    pub second: u64,
    /// Processor time used in it.
    pub cpu_ns: u64,
    /// Resident memory at its end.
    pub rss_bytes: u64,
}

/// The server's process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Process id.
    pub pid: u32,
    /// Processor time while measuring, user and system.
    pub cpu_ns: u64,
    /// The part in user mode, 0..1, where it can be told.
    pub user_share: Option<f64>,
    /// Share of one core.
    pub utilisation: f64,
    /// Processor time per delivered copy.
    pub ns_per_copy: f64,
    /// Resident memory before anybody joined.
    pub rss_before: u64,
    /// Resident memory with everybody in.
    pub rss_joined: u64,
    /// Resident memory at the end.
    pub rss_end: u64,
}

impl Row {
    /// A row over what arrived.
    pub fn of(name: &str, latency: &Latency, messages: u64) -> Self {
        let quantile = |q: f64| match latency.quantile(q) {
            Some(ns) if supported(q, messages) => Figure::Ns(ns as f64),
            _ => Figure::Unsupported,
        };
        Self::with(name, latency, messages, latency.count(), quantile, Figure::of(latency.quantile(1.0)))
    }

    /// A row in which what is missing of `expected` is infinitely late.
    pub fn with_loss(name: &str, latency: &Latency, messages: u64, expected: u64) -> Self {
        let quantile = |q: f64| {
            if expected > 0 && supported(q, messages) {
                Figure::from(latency.quantile_with_loss(q, expected))
            } else {
                Figure::Unsupported
            }
        };
        let max =
            if expected == 0 { Figure::Unsupported } else { Figure::from(latency.quantile_with_loss(1.0, expected)) };
        Self::with(name, latency, messages, expected, quantile, max)
    }

    fn with(
        name: &str,
        latency: &Latency,
        messages: u64,
        samples: u64,
        q: impl Fn(f64) -> Figure,
        max: Figure,
    ) -> Self {
        let min = if latency.count() == 0 { Figure::Unsupported } else { Figure::Ns(latency.min() as f64) };
        Self { name: name.into(), messages, samples, min, quantiles: QUANTILES.map(|(_, at)| q(at)), max }
    }
}

/// What a report is made from besides the measurement.
pub struct Context {
    /// What was asked for.
    pub setup: Setup,
    /// How members came in.
    pub join: JoinFigures,
    /// What native clients counted.
    pub native: Option<NativeFigures>,
    /// What a lossy path did.
    pub path: Option<PathFigures>,
    /// The server's process.
    pub server: Option<Server>,
    /// For the self-check.
    pub around: check::Surroundings,
    /// Why the server could not be looked at any more.
    pub trouble: Option<String>,
    /// What the server did not relay.
    pub server_drops: ServerDrops,
    /// Names of members.
    pub name_of: fn(u32) -> String,
    /// Objectives.
    pub slos: Vec<Slo>,
    /// What each run found.
    pub runs: Vec<RunFigures>,
    /// The server second by second.
    pub server_seconds: Vec<ServerSecond>,
}

impl Report {
    /// Reports one measurement.
    pub fn new(run: &Measurement, context: Context) -> Self {
        let gates = check::gates(run, &context.around);
        let latency = rows(run);
        let loss = Loss::attribute(run, context.around.generator_drops, context.server_drops);
        let mut verdict = Verdict::reach(run, &gates, &context.slos);
        verdict.reasons.extend(context.trouble);
        Self {
            schema: SCHEMA,
            verdict,
            setup: context.setup,
            join: context.join,
            traffic: Traffic::of(run),
            integrity: run.integrity,
            loss,
            native: context.native,
            path: context.path,
            rooms: RoomsReport::of(run),
            latency,
            clients: Clients::of(run, context.name_of),
            position: Position { fit: run.positions.fit(), points: run.positions.points() },
            server: context.server,
            rss_slope: rss_slope(&context.server_seconds),
            server_seconds: context.server_seconds,
            threads: run.threads.clone(),
            intervals: intervals(&context.runs),
            runs: context.runs,
            ceiling: context.around.ceiling,
            gates,
            seconds: run.seconds.clone(),
            delivery_histogram: run.delivery.pairs(),
            environment: Environment::here(),
        }
    }
}

impl Report {
    /// A row of the latency table.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.latency.iter().find(|row| row.name == name)
    }
}

/// Least squares over the seconds, in bytes per hour.
fn rss_slope(seconds: &[ServerSecond]) -> Option<f64> {
    if seconds.len() < 60 {
        return None;
    }
    let n = seconds.len() as f64;
    let mean_x = seconds.iter().map(|second| second.second as f64).sum::<f64>() / n;
    let mean_y = seconds.iter().map(|second| second.rss_bytes as f64).sum::<f64>() / n;
    let dx = |second: &ServerSecond| second.second as f64 - mean_x;
    let xx: f64 = seconds.iter().map(|second| dx(second).powi(2)).sum();
    let xy: f64 = seconds.iter().map(|second| dx(second) * (second.rss_bytes as f64 - mean_y)).sum();
    (xx > 0.0).then_some(xy / xx * 3600.0)
}

fn rows(run: &Measurement) -> Vec<Row> {
    let seen = run.sent - run.unseen;
    vec![
        Row::of("delivery", &run.delivery, seen),
        Row::with_loss("delivery, lost = inf", &run.delivery, run.sent, run.expected),
        Row::of("last receiver", &run.last_receiver, seen),
        Row::of("spread", &run.spread, seen),
        Row::of("sched lag", &run.lag, run.lag.count()),
    ]
}

impl Verdict {
    fn reach(run: &Measurement, gates: &[Gate], slos: &[Slo]) -> Self {
        let bad = gates.iter().filter(|gate| gate.state != State::Ok);
        let mut reasons: Vec<String> =
            bad.map(|gate| format!("{}: {} ({})", gate.name, gate.value, gate.bounds)).collect();
        let missed: Vec<String> = slos.iter().filter_map(|slo| slo.missed(run)).collect();
        let slo_met = (!slos.is_empty()).then_some(missed.is_empty());
        reasons.extend(missed);
        reasons.extend(run.send_error.iter().map(|error| format!("sending failed: {error}")));
        Self { state: check::worst(gates), slo_met, reasons, interrupted: run.interrupted }
    }
}

impl Traffic {
    fn of(run: &Measurement) -> Self {
        let seconds = run.duration_ns.max(1) as f64 / 1e9;
        Self {
            planned: run.planned,
            sent: run.sent,
            complete: run.complete,
            unseen: run.unseen,
            expected: run.expected,
            delivered: run.integrity.delivered,
            offered_per_second: run.planned as f64 / seconds,
            sent_per_second: run.sent as f64 / seconds,
            delivered_per_second: run.copies_per_second(),
        }
    }
}

impl Clients {
    fn of(run: &Measurement, name_of: fn(u32) -> String) -> Self {
        let mut tails: Vec<_> = run.clients.iter().filter(|client| client.copies > 0).collect();
        tails.sort_by_key(|client| client.p99_ns);
        let at = |share: usize| tails[share * (tails.len() - 1) / 100];
        if tails.is_empty() || !supported(0.99, run.sent) {
            let none = Figure::Unsupported;
            return Self { p99_median: none, p99_worst: none, worst: String::new(), p99_distribution: Vec::new() };
        }
        Self {
            p99_median: Figure::Ns(at(50).p99_ns as f64),
            p99_worst: Figure::Ns(at(100).p99_ns as f64),
            worst: name_of(at(100).member),
            p99_distribution: (0..=100).map(|share| at(share).p99_ns).collect(),
        }
    }
}
