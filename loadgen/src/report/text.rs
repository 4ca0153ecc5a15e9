//! The report as people read it, in the order of what matters first.

use super::particulars::{joined, particulars};
use super::{Interval, QUANTILES, Report, Row, Server, Setup};
use crate::check::{self, State};
use crate::units::{show_bytes, show_count, show_ns, show_scaled};
use std::fmt::{self, Write};

/// Writes the whole report.
pub fn print(report: &Report, out: &mut impl Write) -> fmt::Result {
    verdict(report, out)?;
    traffic(report, out)?;
    integrity(report, out)?;
    particulars(report).iter().try_for_each(|(name, sentence)| writeln!(out, "{name:<12}{sentence}"))?;
    latency(&report.latency, out)?;
    clients(report, out)?;
    position(report, out)?;
    match &report.server {
        Some(server) => print_server(server, report.setup.members, out)?,
        None => writeln!(out, "server      not looked at (--server-pid PID tells its CPU per copy)")?,
    }
    print_slope(report, out)?;
    runs(report, out)?;
    gates(report, out)?;
    environment(report, out)
}

fn verdict(report: &Report, out: &mut impl Write) -> fmt::Result {
    let verdict = &report.verdict;
    let word = match (verdict.state, verdict.slo_met) {
        (State::Invalid, _) => format!("INVALID: {}", check::why_invalid(&report.gates)),
        (_, Some(false)) => "SLO MISSED".into(),
        (State::Doubtful, Some(true)) => "valid, with doubts, SLO met".into(),
        (State::Doubtful, None) => "valid, with doubts".into(),
        (State::Ok, Some(true)) => "valid, SLO met".into(),
        (State::Ok, None) => "valid".into(),
    };
    let ended = if verdict.interrupted { " (ended before its time: what there is so far)" } else { "" };
    writeln!(out, "verdict     {word}{ended}")?;
    verdict.reasons.iter().try_for_each(|reason| writeln!(out, "            - {reason}"))
}

fn traffic(report: &Report, out: &mut impl Write) -> fmt::Result {
    let (setup, traffic) = (&report.setup, &report.traffic);
    writeln!(
        out,
        "workload    {} members ({}), {} senders, {}, {} bytes, {} after {} warm-up, seed {}",
        show_count(setup.members.into()),
        setup.members_made,
        show_count(setup.senders.into()),
        pace(setup),
        setup.size,
        show_ns(setup.duration_ns as f64),
        show_ns(setup.warmup_ns as f64),
        setup.seed,
    )?;
    writeln!(out, "scenario    {}\njoined      {}", setup.scenario, joined(report),)?;
    writeln!(
        out,
        "messages    offered {} ({}/s), sent {} ({}/s), complete at every receiver {}, at none {}",
        show_count(traffic.planned),
        show_scaled(traffic.offered_per_second),
        show_count(traffic.sent),
        show_scaled(traffic.sent_per_second),
        show_count(traffic.complete),
        show_count(traffic.unseen),
    )?;
    writeln!(
        out,
        "copies      delivered {} of {} expected ({}/s)",
        show_count(traffic.delivered),
        show_count(traffic.expected),
        show_scaled(traffic.delivered_per_second),
    )
}

/// `200 msg/s poisson`, or `16 messages in flight`.
fn pace(setup: &Setup) -> String {
    match (setup.in_flight, setup.rate) {
        (Some(depth), _) => format!("{depth} messages in flight (closed loop)"),
        (None, rate) => format!("{} msg/s {}", show_scaled(rate.unwrap_or(0.0)), setup.arrival),
    }
}

fn integrity(report: &Report, out: &mut impl Write) -> fmt::Result {
    let (counts, loss) = (&report.integrity, &report.loss);
    writeln!(
        out,
        "integrity   lost {} ({:.4} %), duplicate {}, reordered {}, late {} (> {}), corrupt {}, unexpected {}, notices {}",
        show_count(loss.lost),
        loss.ratio * 100.0,
        show_count(counts.duplicate),
        show_count(counts.reordered),
        show_count(counts.late),
        show_ns(report.setup.late_ns as f64),
        show_count(counts.corrupt),
        show_count(counts.unexpected),
        show_count(counts.notices),
    )?;
    if loss.lost == 0 {
        return Ok(());
    }
    writeln!(out, "lost at     {}", loss.sentence())
}

fn latency(rows: &[Row], out: &mut impl Write) -> fmt::Result {
    write!(out, "\n{:<22}{:>10}", "latency", "min")?;
    QUANTILES.iter().try_for_each(|(name, _)| write!(out, "{name:>10}"))?;
    writeln!(out, "{:>10}{:>12}{:>14}", "max", "messages", "samples")?;
    for row in rows {
        write!(out, "{:<22}{:>10}", row.name, row.min)?;
        row.quantiles.iter().try_for_each(|figure| write!(out, "{figure:>10}"))?;
        writeln!(out, "{:>10}{:>12}{:>14}", row.max, show_count(row.messages), show_count(row.samples))?;
    }
    writeln!(
        out,
        "  from the planned time; `-`: fewer than 10/(1-q) messages; copies of one message are not independent\n"
    )
}

fn clients(report: &Report, out: &mut impl Write) -> fmt::Result {
    let clients = &report.clients;
    if clients.worst.is_empty() {
        return writeln!(out, "clients     p99 each: - (fewer than 1000 messages)");
    }
    writeln!(out, "clients     p99 median {}, worst {} ({})", clients.p99_median, clients.p99_worst, clients.worst)
}

fn position(report: &Report, out: &mut impl Write) -> fmt::Result {
    match report.position.fit {
        Some(fit) => writeln!(
            out,
            "position    {} + {} per receiver, R2 {:.2}",
            show_ns(fit.base_ns),
            show_ns(fit.slope_ns),
            fit.r2
        ),
        None => writeln!(out, "position    too few receivers for a line"),
    }
}

fn print_server(server: &Server, members: u32, out: &mut impl Write) -> fmt::Result {
    let split = match server.user_share {
        Some(user) => format!("user {:.0} %, system {:.0} %", user * 100.0, (1.0 - user) * 100.0),
        None => "too short to split into user and system".into(),
    };
    writeln!(
        out,
        "server      {} of CPU per copy ({:.1} % of a core; {split})",
        show_ns(server.ns_per_copy),
        server.utilisation * 100.0,
    )?;
    let grown = server.rss_joined.saturating_sub(server.rss_before) as f64;
    writeln!(
        out,
        "memory      RSS {} before the joins, {} with everybody in ({} per member), {} at the end",
        show_bytes(server.rss_before as f64),
        show_bytes(server.rss_joined as f64),
        show_bytes(grown / f64::from(members.max(1))),
        show_bytes(server.rss_end as f64),
    )
}

fn print_slope(report: &Report, out: &mut impl Write) -> fmt::Result {
    match report.rss_slope {
        Some(slope) => writeln!(out, "growth      server's RSS {} per hour", show_bytes(slope)),
        None => Ok(()),
    }
}

fn runs(report: &Report, out: &mut impl Write) -> fmt::Result {
    if report.runs.len() < 2 {
        return Ok(());
    }
    writeln!(out, "runs        {} pooled above; mean and 95 % confidence interval over runs:", report.runs.len())?;
    for interval in &report.intervals {
        let show = |value: f64| show_by_name(interval, value);
        let width = interval.half_width.map_or("-".into(), show);
        writeln!(out, "  {:<22}{:>12} +- {:<12} ({} runs)", interval.name, show(interval.mean), width, interval.runs)?;
    }
    Ok(())
}

pub(super) fn show_by_name(interval: &Interval, value: f64) -> String {
    match interval.name.as_str() {
        "loss" => format!("{:.4} %", value * 100.0),
        name if name.ends_with("copies/s") => show_scaled(value),
        _ => show_ns(value),
    }
}

fn gates(report: &Report, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "self-check")?;
    for gate in &report.gates {
        let state = match gate.state {
            State::Ok => "ok",
            State::Doubtful => "doubt",
            State::Invalid => "INVALID",
        };
        writeln!(out, "  {state:<8}{:<26}{:<25}{}", gate.name, gate.value, gate.bounds)?;
    }
    match report.ceiling {
        Some(ceiling) => {
            writeln!(out, "  this generator can receive about {} copies/s on this machine", show_scaled(ceiling))
        }
        None => Ok(()),
    }
}

fn environment(report: &Report, out: &mut impl Write) -> fmt::Result {
    let here = &report.environment;
    writeln!(
        out,
        "machine     {}, {} cores, {}, Linux {}",
        here.processor,
        here.cores,
        show_bytes(here.memory_bytes as f64),
        here.kernel
    )?;
    writeln!(out, "target      {} ({})", report.setup.target, report.setup.protocol)?;
    writeln!(out, "command     {}", here.command)
}
