//! The report as one self-contained page: no script, no request, prints well.

use super::particulars::{joined, particulars};
use super::svg::{Chart, escape};
use super::text::show_by_name;
use super::{Point, QUANTILES, Report, charts};
use crate::check::{self, State};
use crate::units::{show_bytes, show_count, show_ns, show_scaled};
use std::fmt::Write;

/// The page. `points` is the curve that the report belongs to; the report
/// itself where there is no other.
pub(super) fn page(report: &Report, points: &[Point]) -> String {
    let own = [Point::of(report)];
    let points = if points.is_empty() { &own } else { points };
    let mut out = String::from(HEAD);
    summary(report, &mut out);
    table(report, &mut out);
    out.push_str("<main>");
    figure("percentiles", &charts::percentiles(report), NINES, &mut out);
    figure(
        "heat",
        &charts::heat(report),
        "Each column is a second; darker means more copies with that latency.",
        &mut out,
    );
    figure(
        "flow",
        &charts::flow(report),
        "A gap between offered and sent is the generator's, between sent and delivered the server's or the kernel's.",
        &mut out,
    );
    let single = if points.len() == 1 { " One point: <code>loadgen sweep</code> draws the curve." } else { "" };
    figure(
        "throughput",
        &charts::throughput(points, report.ceiling),
        &format!("What latency costs as load grows.{single}"),
        &mut out,
    );
    figure("position", &charts::position(report), &position(report), &mut out);
    figure("clients", &charts::clients(report), &clients(report), &mut out);
    let unseen = if report.server.is_none() { " Not looked at: give <code>--server-pid</code>." } else { single };
    figure(
        "server",
        &charts::server(points),
        &format!("User and system time of the server's process.{unseen}"),
        &mut out,
    );
    out.push_str("</main>");
    if points.len() > 1 {
        curve(points, &mut out);
    }
    runs(report, &mut out);
    gates(report, &mut out);
    environment(report, &mut out);
    out.push_str("</body></html>\n");
    out
}

const NINES: &str = "The horizontal axis gives each further nine the same room. Right of the dashed line fewer than ten messages lie beyond a percentile.";

fn figure(id: &str, chart: &Chart, caption: &str, out: &mut String) {
    let _ = write!(out, r#"<figure id="{id}">{}<figcaption>{caption}</figcaption></figure>"#, chart.render());
}

fn summary(report: &Report, out: &mut String) {
    let (class, word) = match (report.verdict.state, report.verdict.slo_met) {
        (State::Invalid, _) => ("bad", format!("INVALID: {}", check::why_invalid(&report.gates))),
        (_, Some(false)) => ("bad", "SLO missed".into()),
        (State::Doubtful, Some(true)) => ("doubt", "valid, with doubts, SLO met".into()),
        (State::Doubtful, None) => ("doubt", "valid, with doubts".into()),
        (State::Ok, Some(true)) => ("good", "valid, SLO met".into()),
        (State::Ok, None) => ("good", "valid".into()),
    };
    let ended = if report.verdict.interrupted { " (ended before its time: what there is so far)" } else { "" };
    let setup = &report.setup;
    let pace = match (setup.in_flight, setup.rate) {
        (Some(depth), _) => format!("{depth} messages in flight"),
        (None, rate) => format!("{} messages/s, {}", show_scaled(rate.unwrap_or(0.0)), setup.arrival),
    };
    let _ = write!(
        out,
        "<h1>{} members, {pace}</h1><p class=\"verdict {class}\">{word}{ended}</p>",
        show_count(setup.members.into())
    );
    for reason in &report.verdict.reasons {
        let _ = write!(out, "<p class=\"reason\">{}</p>", escape(reason));
    }
    let _ = write!(
        out,
        "<p>{} ({}); {} senders, {} bytes, {}; {}; seed {}</p><dl>",
        escape(&setup.target),
        escape(&setup.protocol),
        setup.senders,
        escape(&setup.size),
        escape(&setup.scenario),
        escape(&setup.members_made),
        setup.seed
    );
    for (name, value) in tiles(report) {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    out.push_str("</dl><table id=\"particulars\"><tbody>");
    for (name, sentence) in [("joined", joined(report))].into_iter().chain(particulars(report)) {
        let _ = write!(out, "<tr><th>{name}</th><td class=\"left\">{}</td></tr>", escape(&sentence));
    }
    out.push_str("</tbody></table>");
}

fn tiles(report: &Report) -> Vec<(&'static str, String)> {
    let (traffic, counts) = (&report.traffic, &report.integrity);
    let mut tiles = vec![
        ("offered", format!("{} messages", show_count(traffic.planned))),
        ("sent", format!("{} messages", show_count(traffic.sent))),
        ("delivered", format!("{} of {} copies", show_count(traffic.delivered), show_count(traffic.expected))),
        ("copies per second", show_scaled(traffic.delivered_per_second)),
        ("lost", format!("{} ({:.4} %)", show_count(report.loss.lost), report.loss.ratio * 100.0)),
        ("lost at", if report.loss.lost > 0 { report.loss.sentence() } else { "-".into() }),
        ("duplicate", show_count(counts.duplicate)),
        ("reordered", show_count(counts.reordered)),
        ("late", show_count(counts.late)),
        ("corrupt", show_count(counts.corrupt)),
        ("unexpected", show_count(counts.unexpected)),
    ];
    if let Some(server) = &report.server {
        tiles.push(("server CPU per copy", show_ns(server.ns_per_copy)));
        let grown = server.rss_joined.saturating_sub(server.rss_before) as f64;
        tiles.push(("RSS per member", show_bytes(grown / f64::from(report.setup.members.max(1)))));
    }
    tiles
}

fn table(report: &Report, out: &mut String) {
    out.push_str("<table id=\"latency\"><thead><tr><th>latency</th><th>min</th>");
    for (name, _) in QUANTILES {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str("<th>max</th><th>messages</th><th>samples</th></tr></thead><tbody>");
    for row in &report.latency {
        let _ = write!(out, "<tr><th>{}</th><td>{}</td>", escape(&row.name), row.min);
        for figure in &row.quantiles {
            let _ = write!(out, "<td>{figure}</td>");
        }
        let _ = write!(
            out,
            "<td>{}</td><td>{}</td><td>{}</td></tr>",
            row.max,
            show_count(row.messages),
            show_count(row.samples)
        );
    }
    out.push_str("</tbody></table><p class=\"note\">From the planned time of a message to the arrival of a copy. A dash: fewer than 10/(1-q) messages. Copies of one message are not independent samples.</p>");
}

fn position(report: &Report) -> String {
    match report.position.fit {
        Some(fit) => format!("{} + {} per receiver, R² {:.2}", show_ns(fit.base_ns), show_ns(fit.slope_ns), fit.r2),
        None => "Too few receivers for a line.".into(),
    }
}

fn clients(report: &Report) -> String {
    let (clients, alike) = (&report.clients, "A steep curve means that all clients fare alike.");
    if clients.worst.is_empty() {
        return alike.into();
    }
    format!("{alike} Median {}, worst {} ({}).", clients.p99_median, clients.p99_worst, escape(&clients.worst))
}

fn runs(report: &Report, out: &mut String) {
    if report.runs.len() < 2 {
        return;
    }
    let _ = write!(
        out,
        "<h2>Runs</h2><p class=\"note\">{} pooled above; mean and 95 % confidence interval over runs.</p>\
         <table id=\"runs\"><thead><tr><th>figure</th><th>mean</th><th>plus or minus</th><th>runs</th></tr></thead><tbody>",
        report.runs.len()
    );
    for interval in &report.intervals {
        let show = |value: f64| show_by_name(interval, value);
        let _ = write!(
            out,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&interval.name),
            show(interval.mean),
            interval.half_width.map_or("-".into(), show),
            interval.runs
        );
    }
    out.push_str("</tbody></table>");
}

fn curve(points: &[Point], out: &mut String) {
    out.push_str("<h2>Points of the curve</h2><table><thead><tr><th>asked</th><th>sent/s</th><th>copies/s</th><th>loss</th><th>p50</th><th>p99</th><th>last p50</th><th>CPU per copy</th><th>check</th></tr></thead><tbody>");
    for point in points {
        let asked = match (point.in_flight, point.rate) {
            (Some(depth), _) => format!("{depth} in flight"),
            (None, rate) => format!("{}/s", show_scaled(rate.unwrap_or(0.0))),
        };
        let _ = write!(
            out,
            "<tr><th>{asked}</th><td>{}</td><td>{}</td><td>{:.4} %</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            show_scaled(point.sent_per_second),
            show_scaled(point.delivered_per_second),
            point.loss * 100.0,
            point.p50,
            point.p99,
            point.last_p50,
            point.ns_per_copy.map_or("-".into(), show_ns),
            word(point.state),
        );
    }
    out.push_str("</tbody></table>");
}

fn gates(report: &Report, out: &mut String) {
    out.push_str("<h2>Self-check</h2><table id=\"self-check\"><tbody>");
    for gate in &report.gates {
        let class = match gate.state {
            State::Ok => "good",
            State::Doubtful => "doubt",
            State::Invalid => "bad",
        };
        let _ = write!(
            out,
            "<tr><td class=\"{class}\">{}</td><th>{}</th><td>{}</td><td class=\"left\">{}</td></tr>",
            word(gate.state),
            escape(&gate.name),
            escape(&gate.value),
            escape(&gate.bounds)
        );
    }
    out.push_str("</tbody></table>");
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Doubtful => "doubt",
        State::Invalid => "INVALID",
    }
}

fn environment(report: &Report, out: &mut String) {
    let here = &report.environment;
    let _ = write!(
        out,
        "<h2>Environment</h2><table id=\"environment\"><tbody>\
         <tr><th>processor</th><td class=\"left\">{}, {} cores</td></tr>\
         <tr><th>memory</th><td class=\"left\">{}</td></tr>\
         <tr><th>kernel</th><td class=\"left\">Linux {}, net.core.rmem_max {}</td></tr>\
         <tr><th>loadgen</th><td class=\"left\">{}</td></tr>\
         <tr><th>command</th><td class=\"left\"><code>{}</code></td></tr></tbody></table>",
        escape(&here.processor),
        here.cores,
        show_bytes(here.memory_bytes as f64),
        escape(&here.kernel),
        here.rmem_max,
        escape(&here.version),
        escape(&here.command)
    );
}

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>loadgen report</title>
<style>
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--dim:#777}
body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
.verdict{display:inline-block;margin:.6rem 0;padding:.2rem .7rem;border-radius:.4rem;font-weight:600}
.good{color:#059669}.doubt{color:#b45309}.bad{color:#dc2626}.verdict.good{background:#05966922}.verdict.doubt{background:#b4530922}.verdict.bad{background:#dc262622}
.reason{margin:.1rem 0;color:var(--dim)}.note,figcaption{color:var(--dim);font-size:.85rem}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.5rem}dl div{background:var(--soft);border-radius:.4rem;padding:.4rem .7rem}
dt{color:var(--dim);font-size:.8rem}dd{margin:0;font-weight:600}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.9rem}th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right}
th:first-child,tbody th,.left{text-align:left}main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:1rem}
figure{margin:0;border:1px solid var(--line);border-radius:.6rem;padding:.6rem}svg{width:100%;height:auto}code{overflow-wrap:anywhere}
@media print{main{grid-template-columns:1fr 1fr}figure{break-inside:avoid}}
</style></head><body>
"#;
