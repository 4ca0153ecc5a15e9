//! Several rates or depths of one workload: the points of a curve.

use super::{Figure, Report, Row};
use crate::check::State;
use serde::{Deserialize, Serialize};

/// A curve with the report of its best point.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// In the order they were measured.
    pub points: Vec<Point>,
    /// The last point that is valid and lost next to nothing; else the first.
    pub best: Report,
}

/// What one rate or depth gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// How members were made; points of different kinds must not be compared.
    #[serde(default)]
    pub members_made: String,
    /// Messages per second asked for; null in closed loop.
    pub rate: Option<f64>,
    /// Messages in flight asked for; null in open loop.
    pub in_flight: Option<u32>,
    /// Messages sent per second.
    pub sent_per_second: f64,
    /// Copies delivered per second.
    pub delivered_per_second: f64,
    /// Share of copies lost.
    pub loss: f64,
    /// Median of delivery.
    pub p50: Figure,
    /// 99th percentile of delivery.
    pub p99: Figure,
    /// Median of the last receiver.
    pub last_p50: Figure,
    /// 99th percentile of the last receiver.
    pub last_p99: Figure,
    /// Server's processor time per copy, if it was looked at.
    pub ns_per_copy: Option<f64>,
    /// Server's share of a core.
    pub utilisation: Option<f64>,
    /// The self-check's judgement.
    pub state: State,
    /// An objective was missed.
    pub missed: bool,
    /// What gates and objectives found.
    pub reasons: Vec<String>,
}

impl Point {
    /// The point that a single report is.
    pub fn of(report: &Report) -> Self {
        let quantile =
            |name: &str, at: usize| report.row(name).map_or(Figure::Unsupported, |row: &Row| row.quantiles[at]);
        Self {
            members_made: report.setup.members_made.clone(),
            rate: report.setup.rate,
            in_flight: report.setup.in_flight,
            sent_per_second: report.traffic.sent_per_second,
            delivered_per_second: report.traffic.delivered_per_second,
            loss: report.loss.ratio,
            p50: quantile("delivery", 0),
            p99: quantile("delivery", 2),
            last_p50: quantile("last receiver", 0),
            last_p99: quantile("last receiver", 2),
            ns_per_copy: report.server.as_ref().map(|server| server.ns_per_copy),
            utilisation: report.server.as_ref().map(|server| server.utilisation),
            state: report.verdict.state,
            missed: report.verdict.slo_met == Some(false),
            reasons: report.verdict.reasons.clone(),
        }
    }
}

/// Where latency takes off: the last point, by throughput, whose median is
/// within three times the smallest and that loses next to nothing.
pub fn knee(points: &[Point]) -> Option<&Point> {
    if points.len() < 3 {
        return None;
    }
    let least = points.iter().filter_map(|point| point.p50.ns()).fold(f64::INFINITY, f64::min);
    let good = |point: &&Point| point.loss < 0.001 && point.p50.ns().is_some_and(|ns| ns <= least * 3.0);
    points.iter().filter(good).max_by(|one, other| one.delivered_per_second.total_cmp(&other.delivered_per_second))
}
