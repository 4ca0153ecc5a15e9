//! Which charts a report has, and what is in them.

use super::svg::{Axis, Cell, Chart, Mark, Scale, Series};
use super::{Point, Report, mark};
use crate::units::{show_count, show_ns, show_scaled};

/// Points of a curve, at most: more cannot be seen.
const POINTS_MAX: usize = 400;

fn axis(label: &'static str, scale: Scale, format: fn(f64) -> String) -> Axis {
    Axis { label, scale, format, ticks: None }
}

fn seconds_axis() -> Axis {
    axis("second of measuring", Scale::Linear, |value| show_count(value as u64))
}

fn line(name: &str, mark: Mark, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.into(), mark, points }
}

/// A chart goes out alone: it says itself how members were made.
fn titled(title: &str, members_made: &str) -> String {
    format!("{title}{}", mark(members_made))
}

/// Percentiles of delivery, the horizontal axis in nines.
pub(super) fn percentiles(report: &Report) -> Chart {
    let delivered: u64 = report.delivery_histogram.iter().map(|(_, count)| count).sum();
    let expected = report.traffic.expected.max(delivered);
    let mut series = vec![line("delivery", Mark::Line, nines(&report.delivery_histogram, delivered))];
    if expected > delivered {
        series.push(line("lost = inf", Mark::Dashed, nines(&report.delivery_histogram, expected)));
    }
    let supported = (report.traffic.sent as f64 / crate::measure::SAMPLES_PER_TAIL).log10();
    let rules =
        if supported > 0.3 { vec![(supported, "fewer messages carry what is right of it".into())] } else { vec![] };
    let words = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
    let ticks = words.iter().enumerate().map(|(nines, word)| (nines as f64, (*word).to_string()));
    let x = Axis { ticks: Some(ticks.collect()), ..axis("percentile of copies", Scale::Linear, |_| String::new()) };
    Chart {
        title: titled("Delivery by percentile", &report.setup.members_made),
        x,
        y: axis("latency", Scale::Log, show_ns),
        series,
        cells: vec![],
        rules,
    }
}

/// (nines, ns) of a histogram that is part of `total` values.
fn nines(histogram: &[(u64, u64)], total: u64) -> Vec<(f64, f64)> {
    let (mut below, mut points) = (0, Vec::new());
    let step = (total.max(2) as f64).log10() / POINTS_MAX as f64;
    for (ns, count) in histogram {
        let start = below as f64 / total as f64;
        below += count;
        // A value stands for the percentiles from its first copy to its last;
        // the last of all would be infinitely many nines.
        let end = (below as f64 - 0.5) / total as f64;
        let nines = -(1.0 - end.max(start)).log10();
        if points.last().is_none_or(|(last, _)| nines - last >= step) {
            points.push((nines, *ns as f64));
        }
    }
    if let Some((ns, _)) = histogram.last() {
        points.push((-(1.0 - (below as f64 - 0.5) / total as f64).log10(), *ns as f64));
    }
    points
}

/// Second by second, how many copies had which latency.
pub(super) fn heat(report: &Report) -> Chart {
    let most = report.seconds.iter().flat_map(|second| &second.heat).map(|(_, count)| *count).max().unwrap_or(1) as f64;
    let mut cells = Vec::new();
    for second in &report.seconds {
        let x = (second.second as f64, second.second as f64 + 1.0);
        for (class, count) in &second.heat {
            let edge = |class: u8| 2f64.powf(f64::from(class) / 4.0);
            // The square root keeps rare latencies visible beside the usual one.
            let weight = (*count as f64 / most).sqrt();
            cells.push(Cell { x, y: (edge(*class), edge(class + 1)), weight });
        }
    }
    let y = axis("latency", Scale::Log, show_ns);
    Chart {
        title: titled("Latency second by second", &report.setup.members_made),
        x: seconds_axis(),
        y,
        series: vec![],
        cells,
        rules: vec![],
    }
}

/// Offered, sent and delivered, all in copies per second.
pub(super) fn flow(report: &Report) -> Chart {
    let receivers = (report.traffic.expected / report.traffic.sent.max(1)) as f64;
    let seconds = &report.seconds;
    let of = |value: &dyn Fn(&crate::measure::Second) -> f64| {
        seconds.iter().map(|second| (second.second as f64, value(second))).collect::<Vec<_>>()
    };
    let series = vec![
        line("offered", Mark::Line, of(&|second| second.offered as f64 * receivers)),
        line("sent", Mark::Dashed, of(&|second| second.sent as f64 * receivers)),
        line("delivered", Mark::Line, of(&|second| second.copies as f64)),
    ];
    let y = axis("copies per second", Scale::Linear, show_scaled);
    Chart {
        title: titled("Offered, sent, delivered", &report.setup.members_made),
        x: seconds_axis(),
        y,
        series,
        cells: vec![],
        rules: vec![],
    }
}

/// Latency against throughput, with the knee and the generator's ceiling.
pub(super) fn throughput(points: &[Point], ceiling: Option<f64>) -> Chart {
    let curve = |value: &dyn Fn(&Point) -> Option<f64>| {
        let mut curve: Vec<_> =
            points.iter().filter_map(|point| Some((point.delivered_per_second, value(point)?))).collect();
        curve.sort_by(|one, other| one.0.total_cmp(&other.0));
        curve
    };
    let series = vec![
        line("p50", Mark::LineAndDots, curve(&|point| point.p50.ns())),
        line("p99", Mark::LineAndDots, curve(&|point| point.p99.ns())),
        line("last receiver p50", Mark::LineAndDots, curve(&|point| point.last_p50.ns())),
    ];
    let knee = super::sweep::knee(points).map(|knee| (knee.delivered_per_second, "knee".to_string()));
    let ceiling = ceiling.map(|ceiling| (ceiling, "generator's ceiling".to_string()));
    let x = axis("copies delivered per second", Scale::Linear, show_scaled);
    let y = axis("latency", Scale::Log, show_ns);
    let rules = knee.into_iter().chain(ceiling).collect();
    Chart {
        title: titled("Latency against throughput", points.first().map_or("", |point| &point.members_made)),
        x,
        y,
        series,
        cells: vec![],
        rules,
    }
}

/// Latency by place in the fan-out, and the line through it.
pub(super) fn position(report: &Report) -> Chart {
    let points: Vec<_> = report.position.points.iter().map(|point| (point.place, point.latency_ns)).collect();
    let mut series = Vec::new();
    if let (Some(fit), Some(last)) = (report.position.fit, points.last()) {
        let ends = [0.0, last.0].map(|place| (place, fit.base_ns + fit.slope_ns * place));
        series.push(line("fit", Mark::Dashed, ends.to_vec()));
    }
    series.insert(0, line("mean of a class", Mark::Dots, points));
    let x = axis("place among the copies of a message", Scale::Linear, |value| show_count(value as u64));
    let y = axis("latency", Scale::Linear, show_ns);
    Chart {
        title: titled("Latency by position", &report.setup.members_made),
        x,
        y,
        series,
        cells: vec![],
        rules: vec![],
    }
}

/// The clients' own 99th percentiles, as a distribution.
pub(super) fn clients(report: &Report) -> Chart {
    let distribution = report.clients.p99_distribution.iter().enumerate();
    let points = distribution.map(|(share, ns)| (*ns as f64, share as f64)).collect();
    let x = axis("p99 of a client", Scale::Log, show_ns);
    let y = axis("clients at or below", Scale::Linear, |share| format!("{share:.0} %"));
    let series = vec![line("clients", Mark::Line, points)];
    Chart {
        title: titled("Clients by their p99", &report.setup.members_made),
        x,
        y,
        series,
        cells: vec![],
        rules: vec![],
    }
}

/// Server CPU per copy against the rate.
pub(super) fn server(points: &[Point]) -> Chart {
    let curve = points.iter().filter_map(|point| Some((point.delivered_per_second, point.ns_per_copy?)));
    let series = vec![line("server CPU per copy", Mark::LineAndDots, curve.collect())];
    let x = axis("copies delivered per second", Scale::Linear, show_scaled);
    let y = axis("CPU per copy", Scale::Linear, show_ns);
    Chart {
        title: titled("Server CPU per copy", points.first().map_or("", |point| &point.members_made)),
        x,
        y,
        series,
        cells: vec![],
        rules: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_grow_and_end_at_the_last_value() {
        let histogram: Vec<(u64, u64)> = (1..=1000).map(|ns| (ns, 1)).collect();
        let points = nines(&histogram, 1000);
        assert!(points.is_sorted_by(|one, other| one.0 <= other.0 && one.1 <= other.1));
        assert!((points.last().unwrap().0 - 3.3).abs() < 0.01);
        let median = points.iter().find(|(nines, _)| *nines >= 0.301).unwrap().1;
        assert!((490.0..520.0).contains(&median), "{median}");
    }
}
