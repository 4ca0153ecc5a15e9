//! The command line: parses, runs, prints, and turns the result into an exit
//! code. Results on stdout, everything else on stderr.

/// A line of the result.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::write_line(format_args!($($words)*)) };
}

mod args;
mod calibrate;
mod compare;
mod floor;
mod progress;
mod report;
mod run;
mod sweep;

use crate::child;
use crate::report::{Curve, Point, Report, SCHEMA};
use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// Measures a fan-out: many members, each message to all of them.
///
/// Exit codes: 0 pass, 1 objective missed, 2 usage or set-up, 3 invalid (the
/// generator was the limit, or members were gone at the end), 4 regression.
#[derive(Parser)]
#[command(name = "loadgen", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join members, send by a schedule, report what every one of them received.
    Run(Box<run::RunArgs>),
    /// The same workload at several rates or depths: the latency-throughput curve.
    Sweep(Box<sweep::SweepArgs>),
    /// The highest rate that meets the objectives.
    Search(Box<sweep::SearchArgs>),
    /// What this generator can receive on this machine, from a reflector that only sends.
    Calibrate(calibrate::CalibrateArgs),
    /// What a copy costs the server beside the kernel's floor at the same addresses.
    Floor(floor::FloorArgs),
    /// Print and draw a saved run again.
    Report(report::ReportArgs),
    /// Two saved runs, figure by figure.
    Compare(compare::CompareArgs),
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs; the shape is given by `schema`.
    Json,
    /// For tables.
    Csv,
    /// Nothing: the exit code says it.
    Quiet,
}

/// Runs the program and returns its exit code.
pub fn main() -> u8 {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Sweep(args) => sweep::sweep(&args),
        Command::Search(args) => sweep::search(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Floor(args) => floor::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("loadgen: {error}");
        2
    })
}

/// Writes to stdout. A reader who has left (`| head`) has what it wanted, and the
/// exit code says the rest; results that cannot be kept are no success.
fn write_line(line: fmt::Arguments<'_>) {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("loadgen: cannot write the results: {error}");
            child::end_running();
            std::process::exit(2);
        }
        _ => {}
    }
}

fn print(report: &Report, output: Output) -> Result<(), String> {
    match output {
        Output::Json => print_json(report)?,
        Output::Csv => print_rows(report),
        Output::Quiet => {}
        Output::Text => {
            let mut text = String::new();
            crate::report::print(report, &mut text).map_err(|error| error.to_string())?;
            say!("{}", text.trim_end());
        }
    }
    Ok(())
}

fn print_json(what: &impl Serialize) -> Result<(), String> {
    say!("{}", serde_json::to_string_pretty(what).map_err(|error| error.to_string())?);
    Ok(())
}

/// The latency table, in ns; empty where a percentile is not supported.
fn print_rows(report: &Report) {
    say!("row,messages,samples,min_ns,p50_ns,p90_ns,p99_ns,p99.9_ns,max_ns,members");
    for row in &report.latency {
        let figures = std::iter::once(&row.min).chain(&row.quantiles).chain(std::iter::once(&row.max));
        let cells: Vec<String> = figures.map(|figure| figure.ns().map_or(String::new(), |ns| ns.to_string())).collect();
        let made = &report.setup.members_made;
        say!("\"{}\",{},{},{},\"{made}\"", row.name, row.messages, row.samples, cells.join(","));
    }
}

/// Reads a saved report; of a sweep, the report of its best point.
fn load(path: &PathBuf) -> Result<Report, String> {
    load_curve(path).map(|(report, _)| report)
}

fn load_curve(path: &PathBuf) -> Result<(Report, Vec<Point>), String> {
    let wrong = |error: String| format!("{} is not a saved report: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        found => return Err(wrong(format!("schema {found:?}, this version reads {SCHEMA}"))),
    }
    if value.get("points").is_some() {
        let curve: Curve = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
        return Ok((curve.best, curve.points));
    }
    let report = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
    Ok((report, Vec::new()))
}
