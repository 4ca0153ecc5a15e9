//! What is written to files: JSON, the HdrHistogram formats, CSV, the page, charts.

use super::{Point, Report, charts, html, mark};
use crate::measure::Latency;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Which files are wanted.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Files {
    /// Write every file below into this directory, under its usual name.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the report as one self-contained page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write the chart of percentiles; beside it, as -throughput.svg, latency against throughput.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Write seconds as an HdrHistogram interval log (fresh runs only).
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,

    /// Write percentiles of delivery as HdrHistogram plotters read them, in ms.
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,

    /// Write seconds as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

impl Files {
    fn path(&self, own: &Option<PathBuf>, name: &str) -> Option<PathBuf> {
        own.clone().or_else(|| Some(self.out.as_ref()?.join(name)))
    }

    /// Writes them; returns what was written. `points` is the curve that the
    /// report belongs to, if any.
    pub fn write(&self, report: &Report, points: &[Point]) -> Result<Vec<PathBuf>, String> {
        if let Some(directory) = &self.out {
            fs::create_dir_all(directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
        }
        let mut written = Vec::new();
        let mut put = |path: Option<PathBuf>, text: &dyn Fn() -> Result<String, String>| {
            let Some(path) = path else { return Ok(()) };
            fs::write(&path, text()?).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            written.push(path);
            Ok::<(), String>(())
        };
        put(self.path(&self.json, "report.json"), &|| {
            serde_json::to_string_pretty(report).map_err(|error| error.to_string())
        })?;
        put(self.path(&self.html, "report.html"), &|| Ok(html::page(report, points)))?;
        let svg = self.path(&self.svg, "percentiles.svg");
        put(svg.as_deref().map(throughput_path), &|| {
            Ok(charts::throughput(&curve(report, points), report.ceiling).render())
        })?;
        put(svg, &|| Ok(charts::percentiles(report).render()))?;
        put(self.path(&self.csv, "seconds.csv"), &|| Ok(csv(report)))?;
        put(self.path(&self.hgrm, "delivery.hgrm"), &|| Ok(hgrm(report)))?;
        if report.seconds.iter().any(|second| !second.packed.is_empty()) {
            put(self.path(&self.hlog, "delivery.hlog"), &|| Ok(hlog(report)))?;
        } else if self.hlog.is_some() {
            return Err("a saved report has no interval histograms: --hlog belongs to a run".into());
        }
        Ok(written)
    }
}

fn curve(report: &Report, points: &[Point]) -> Vec<Point> {
    if points.is_empty() { vec![Point::of(report)] } else { points.to_vec() }
}

fn throughput_path(percentiles: &Path) -> PathBuf {
    let stem = percentiles.file_stem().unwrap_or_default().to_string_lossy();
    percentiles.with_file_name(format!("{stem}-throughput.svg"))
}

fn csv(report: &Report) -> String {
    let mut out =
        String::from("second,offered,sent,copies,p50_ns,p99_ns,max_ns,server_cpu_ns,server_rss_bytes,members\n");
    let members = &report.setup.members_made;
    for second in &report.seconds {
        let server = report.server_seconds.iter().find(|server| server.second == second.second);
        let (cpu, rss) =
            server.map_or_else(Default::default, |server| (server.cpu_ns.to_string(), server.rss_bytes.to_string()));
        let _ = writeln!(
            out,
            "{},{},{},{},{},{},{},{cpu},{rss},\"{members}\"",
            second.second, second.offered, second.sent, second.copies, second.p50_ns, second.p99_ns, second.max_ns
        );
    }
    out
}

/// Four columns and three footer lines, as HdrHistogram's own output has them; ms.
fn hgrm(report: &Report) -> String {
    let mut out = quantiles(&Latency::of_pairs(&report.delivery_histogram));
    if !mark(&report.setup.members_made).is_empty() {
        let _ = writeln!(out, "#[Members = {}]", report.setup.members_made);
    }
    out
}

fn quantiles(latency: &Latency) -> String {
    let histogram = latency.inner();
    let mut out = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let (mut below, total) = (0, histogram.len().max(1));
    for step in histogram.iter_quantiles(5) {
        below += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64 / 1e6, below as f64 / total as f64);
        let _ = match below < total {
            true => writeln!(out, "{value:>12.6} {quantile:>14.12} {below:>10} {:>14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(out, "{value:>12.6} {quantile:>14.12} {below:>10}"),
        };
        if below == total {
            break;
        }
    }
    let (mean, deviation, max) = (latency.mean() / 1e6, histogram.stdev() / 1e6, latency.max() as f64 / 1e6);
    let _ = writeln!(out, "#[Mean    = {mean:>12.6}, StdDeviation   = {deviation:>12.6}]");
    let _ = writeln!(out, "#[Max     = {max:>12.6}, Total count    = {:>12}]", histogram.len());
    let _ = writeln!(out, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", 32, 2048);
    out
}

/// HdrHistogram's interval log, version 1.3, one tagged line a second.
fn hlog(report: &Report) -> String {
    let start = report.environment.unix_seconds;
    let mut out = format!(
        "#[Logged with loadgen {}]\n#[Members: {}]\n#[Histogram log format version 1.3]\n#[StartTime: {start:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        report.environment.version, report.setup.members_made
    );
    for second in report.seconds.iter().filter(|second| !second.packed.is_empty()) {
        let max_ms = second.max_ns as f64 / 1e6;
        let _ = writeln!(out, "Tag=delivery,{:.3},1.000,{max_ms:.3},{}", second.second as f64, second.packed);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plotter_can_read_the_percentiles() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|us| latency.record(us * 1000));
        let text = quantiles(&latency);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("1/(1-Percentile)") && lines[1].is_empty());
        let rows: Vec<Vec<f64>> = lines[2..lines.len() - 3]
            .iter()
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.is_sorted_by(|one, other| one[1] <= other[1]));
        assert_eq!((rows.last().unwrap()[1], rows.last().unwrap()[2]), (1.0, 1000.0));
        assert!(lines[lines.len() - 2].contains("Total count    =         1000"));
    }
}
