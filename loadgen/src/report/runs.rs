//! Several runs of one workload: what each found, and how far the mean of all
//! can be trusted. Runs are independent; copies of one message are not.

use super::Server;
use crate::measure::{Latency, Measurement, supported};
use serde::{Deserialize, Serialize};

/// The figures of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// Of its schedule.
    pub seed: u64,
    /// By name, in the order of the names; null where the run carries none.
    pub values: Vec<Option<f64>>,
}

/// Mean of all runs with a 95 % confidence interval (Student's t).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// What.
    pub name: String,
    /// Runs that have a value.
    pub runs: usize,
    /// Their mean.
    pub mean: f64,
    /// The interval is mean plus or minus this; null for a single run.
    pub half_width: Option<f64>,
}

/// The figures that runs are compared by. Latencies in ns.
pub(super) const NAMES: [&str; 8] = [
    "delivered copies/s",
    "loss",
    "delivery p50",
    "delivery p99",
    "delivery p99.9",
    "last receiver p50",
    "last receiver p99",
    "server ns per copy",
];

impl RunFigures {
    /// Of one run.
    pub fn of(seed: u64, run: &Measurement, server: Option<&Server>) -> Self {
        let quantile = |latency: &Latency, q: f64| match supported(q, run.sent) {
            true => latency.quantile(q).map(|ns| ns as f64),
            false => None,
        };
        let values = vec![
            Some(run.copies_per_second()),
            Some(run.loss()),
            quantile(&run.delivery, 0.5),
            quantile(&run.delivery, 0.99),
            quantile(&run.delivery, 0.999),
            quantile(&run.last_receiver, 0.5),
            quantile(&run.last_receiver, 0.99),
            server.map(|server| server.ns_per_copy),
        ];
        Self { seed, values }
    }
}

/// Intervals over runs, for the figures that any run has.
pub fn intervals(runs: &[RunFigures]) -> Vec<Interval> {
    let column = |at: usize| runs.iter().filter_map(move |run| run.values.get(at).copied().flatten());
    let columns = NAMES.iter().enumerate().map(|(at, name)| (name, column(at).collect::<Vec<f64>>()));
    columns.filter(|(_, values)| !values.is_empty()).map(|(name, values)| interval(name, &values)).collect()
}

fn interval(name: &str, values: &[f64]) -> Interval {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let half_width = (values.len() > 1).then(|| student_t(values.len() - 1) * (variance / n).sqrt());
    Interval { name: name.into(), runs: values.len(), mean, half_width }
}

/// Two-sided 95 % quantile of Student's t for `freedom` degrees of freedom.
pub(super) fn student_t(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    TABLE.get(freedom.saturating_sub(1)).copied().unwrap_or(1.96 + 2.4 / freedom as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_runs_have_an_interval_and_one_has_none() {
        let found = interval("x", &[10.0, 12.0, 14.0]);
        assert_eq!(found.mean, 12.0);
        assert!((found.half_width.unwrap() - 4.303 * 2.0 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(interval("x", &[10.0]).half_width, None);
    }
}
