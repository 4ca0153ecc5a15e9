//! Two reports compared: ratios of what matters, with an interval where both
//! have several runs, and whether anything got worse than noise explains.

use super::Report;
use super::runs::{Interval, student_t};
use serde::{Deserialize, Serialize};

/// What a figure did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Within noise, or within the interval.
    Same,
    /// Better than noise explains.
    Better,
    /// Worse than noise explains.
    Worse,
}

/// One figure of both reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What.
    pub name: String,
    /// Mean of the first report's runs.
    pub base: f64,
    /// Mean of the second's.
    pub new: f64,
    /// new / base.
    pub ratio: f64,
    /// 95 % interval of the ratio, where both have at least two runs.
    pub interval: Option<(f64, f64)>,
    /// The judgement.
    pub change: Change,
}

/// Compares figure by figure. `noise` is the share that two runs of the same
/// thing differ by anyway. Refuses what must not stand in one table.
pub fn compare(base: &Report, new: &Report, noise: f64) -> Result<Vec<Comparison>, String> {
    if kind(&base.setup.members_made) != kind(&new.setup.members_made) {
        return Err(format!(
            "members were made differently ({}; {}): what one kind costs a server says nothing about the other",
            base.setup.members_made, new.setup.members_made
        ));
    }
    let pairs = base.intervals.iter().filter_map(|one| {
        let other = new.intervals.iter().find(|other| other.name == one.name)?;
        Some((one, other))
    });
    Ok(pairs.map(|(one, other)| figure(one, other, noise)).collect())
}

/// What members are, without what differs from run to run: how lossy a path was, and what
/// servers over TCP did.
fn kind(members_made: &str) -> Vec<&str> {
    const TOLD: [&str; 2] = ["such copies were dropped here", "connections were ended by the server"];
    let parts = members_made.split("; ").filter(|part| !TOLD.iter().any(|told| part.contains(told)));
    parts.map(|part| if part.starts_with("LOSSY:") { "LOSSY" } else { part }).collect()
}

/// How the two set-ups differ, for the reader to judge.
pub fn differences(base: &Report, new: &Report) -> Vec<String> {
    let (one, other) = (&base.setup, &new.setup);
    let pairs = [
        ("members", one.members.to_string(), other.members.to_string()),
        ("made", one.members_made.clone(), other.members_made.clone()),
        ("senders", one.senders.to_string(), other.senders.to_string()),
        ("rate", format!("{:?}", one.rate), format!("{:?}", other.rate)),
        ("in flight", format!("{:?}", one.in_flight), format!("{:?}", other.in_flight)),
        ("size", one.size.clone(), other.size.clone()),
        ("arrival", one.arrival.clone(), other.arrival.clone()),
        ("scenario", one.scenario.clone(), other.scenario.clone()),
        ("protocol", one.protocol.clone(), other.protocol.clone()),
        ("processor", base.environment.processor.clone(), new.environment.processor.clone()),
        ("kernel", base.environment.kernel.clone(), new.environment.kernel.clone()),
    ];
    let differing = pairs.into_iter().filter(|(_, one, other)| one != other);
    differing.map(|(name, one, other)| format!("{name}: {one} and {other}")).collect()
}

fn figure(base: &Interval, new: &Interval, noise: f64) -> Comparison {
    let more_is_better = base.name.ends_with("copies/s");
    // Loss is often 0 on both sides: a share of copies is compared by difference.
    if base.name == "loss" {
        let change = match new.mean - base.mean {
            difference if difference > noise.min(0.001) => Change::Worse,
            difference if -difference > noise.min(0.001) => Change::Better,
            _ => Change::Same,
        };
        let ratio = if base.mean == new.mean { 1.0 } else { new.mean / base.mean.max(1e-12) };
        return Comparison { name: base.name.clone(), base: base.mean, new: new.mean, ratio, interval: None, change };
    }
    let ratio = new.mean / base.mean;
    let interval = ratio_interval(base, new, ratio);
    let (low, high) = interval.unwrap_or((ratio, ratio));
    let change = match (low > 1.0 && ratio > 1.0 + noise, high < 1.0 && ratio < 1.0 / (1.0 + noise)) {
        (true, _) if more_is_better => Change::Better,
        (true, _) => Change::Worse,
        (_, true) if more_is_better => Change::Worse,
        (_, true) => Change::Better,
        _ => Change::Same,
    };
    Comparison { name: base.name.clone(), base: base.mean, new: new.mean, ratio, interval, change }
}

/// On the logarithm, with the runs' own spread (delta method) and the smaller
/// side's degrees of freedom.
fn ratio_interval(base: &Interval, new: &Interval, ratio: f64) -> Option<(f64, f64)> {
    let relative_error = |side: &Interval| Some(side.half_width? / student_t(side.runs - 1) / side.mean);
    let (one, other) = (relative_error(base)?, relative_error(new)?);
    let width = student_t(base.runs.min(new.runs) - 1) * one.hypot(other);
    Some((ratio * (-width).exp(), ratio * width.exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(name: &str, mean: f64, half_width: f64) -> Interval {
        Interval { name: name.into(), runs: 3, mean, half_width: Some(half_width) }
    }

    #[test]
    fn twice_the_latency_is_worse_and_twice_the_copies_better() {
        let slower = figure(&interval("delivery p99", 100.0, 5.0), &interval("delivery p99", 200.0, 5.0), 0.03);
        assert_eq!(slower.change, Change::Worse);
        let (low, high) = slower.interval.unwrap();
        assert!(low < 2.0 && high > 2.0 && low > 1.5);
        let faster =
            figure(&interval("delivered copies/s", 1.0, 0.01), &interval("delivered copies/s", 2.0, 0.01), 0.03);
        assert_eq!(faster.change, Change::Better);
    }

    #[test]
    fn members_of_one_kind_are_compared_whatever_became_of_them() {
        let same = [
            ("one; LOSSY: 5 % lost, seed 1", "one; LOSSY: 0.0001 % lost, seed 2"),
            ("tcp, Redis; too: 18 such copies were dropped here", "tcp, Redis; too: 9 such copies were dropped here"),
            ("tcp, NATS", "tcp, NATS; 3 connections were ended by the server, which said: bye"),
        ];
        assert!(same.iter().all(|(one, other)| kind(one) == kind(other)));
        let different = [
            ("one", "one; LOSSY: 5 %"),
            ("one", "one; GRO: whole"),
            ("SHARED: 16", "one"),
            ("tcp, NATS", "tcp, Redis"),
        ];
        assert!(different.iter().all(|(one, other)| kind(one) != kind(other)));
    }

    #[test]
    fn what_noise_or_the_interval_explains_is_the_same() {
        let within_noise = figure(&interval("delivery p50", 100.0, 0.1), &interval("delivery p50", 102.0, 0.1), 0.03);
        assert_eq!(within_noise.change, Change::Same);
        let wide = figure(&interval("delivery p50", 100.0, 80.0), &interval("delivery p50", 130.0, 80.0), 0.03);
        assert_eq!(wide.change, Change::Same);
    }
}
