//! `loadgen run`.

use super::args::{Pace, WorkloadArgs};
use super::compare::Against;
use super::progress::{Shown, Style, interrupt_flag};
use super::{Output, print, print_json};
use crate::report::{Comparison, Files, Report};
use crate::stage;
use crate::trace::Trace;
use crate::units::{parse_count, parse_duration, parse_scaled};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// What counts, if nothing else is said.
const DURATION: Duration = Duration::from_secs(8);

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    workload: WorkloadArgs,

    /// Messages per second of all senders together, as 200 or 2k.
    #[arg(long, default_value = "200", value_parser = parse_scaled)]
    rate: f64,

    /// Closed loop: keep W messages outstanding instead of following --rate.
    #[arg(long, value_name = "W", value_parser = parse_count, conflicts_with = "rate")]
    in_flight: Option<u32>,

    /// Send what FILE says instead: lines of milliseconds,sender,bytes in order of time.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rate", "in_flight", "arrival", "size", "senders"])]
    trace: Option<PathBuf>,

    /// What counts; 8s, or the trace's length. Shorter than a trace, it cuts it.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// How results are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,

    /// How progress is shown, on stderr.
    #[arg(long, value_enum, default_value = "auto")]
    progress: Style,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    against: Against,
}

/// A run and what it is compared with.
#[derive(Serialize)]
struct Both<'a> {
    report: &'a Report,
    compared: &'a [Comparison],
}

impl RunArgs {
    fn duration(&self, trace: Option<&Trace>) -> Duration {
        let most = trace.map_or(Duration::MAX, Trace::length);
        self.duration.unwrap_or(if trace.is_some() { most } else { DURATION }).min(most)
    }
}

/// Runs and prints; the exit code, or what was wrong.
pub(super) fn run(args: &RunArgs) -> Result<u8, String> {
    let trace = args.trace.as_deref().map(Trace::read).transpose()?;
    let pace = Pace { rate: args.rate, in_flight: args.in_flight, duration: args.duration(trace.as_ref()) };
    let mut benchmark = args.workload.benchmark(pace, trace)?;
    let baseline = args.against.baseline()?;
    let interrupt = interrupt_flag()?;
    let mut shown = Shown::new(args.progress);
    let _relay = args.workload.provide(std::slice::from_mut(&mut benchmark), &mut shown)?;
    let report = stage::run(&benchmark, &interrupt, &mut shown)?;
    shown.finish();
    let compared = baseline.map(|base| args.against.compare(&base, &report)).transpose();
    match (&compared, args.output) {
        // One document, whatever is in it.
        (Ok(Some(compared)), Output::Json) => print_json(&Both { report: &report, compared: &compared.figures })?,
        (Ok(Some(compared)), output) => {
            print(&report, output)?;
            compared.print(output)?;
        }
        (_, output) => print(&report, output)?,
    }
    for path in args.files.write(&report, &[])? {
        eprintln!("wrote {}", path.display());
    }
    // What cannot be compared was measured all the same.
    let compared = compared?;
    let is_worse = compared.is_some_and(|compared| compared.is_worse());
    match report.verdict.exit_code() {
        0 if is_worse && args.against.fail_on_regression => Ok(4),
        code => Ok(code),
    }
}
