//! `loadgen run`.

use super::args::{Pace, WorkloadArgs};
use super::compare::{Against, print_comparison};
use super::progress::{Shown, Style, interrupt_flag};
use super::{Output, print};
use crate::report::Files;
use crate::stage;
use crate::units::{parse_count, parse_duration, parse_scaled};
use clap::Args;
use std::time::Duration;

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

    /// What counts.
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = parse_duration)]
    duration: Duration,

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

/// Runs and prints; the exit code, or what was wrong.
pub(super) fn run(args: &RunArgs) -> Result<u8, String> {
    let pace = Pace { rate: args.rate, in_flight: args.in_flight, duration: args.duration };
    let mut benchmark = args.workload.benchmark(pace)?;
    let baseline = args.against.baseline()?;
    let interrupt = interrupt_flag()?;
    let mut shown = Shown::new(args.progress);
    let _relay = args.workload.provide(std::slice::from_mut(&mut benchmark), &mut shown)?;
    let report = stage::run(&benchmark, &interrupt, &mut shown)?;
    shown.finish();
    print(&report, args.output)?;
    for path in args.files.write(&report, &[])? {
        eprintln!("wrote {}", path.display());
    }
    let worse = match &baseline {
        Some(baseline) => print_comparison(baseline, &report, &args.against, args.output)?,
        None => false,
    };
    match report.verdict.exit_code() {
        0 if worse && args.against.fail_on_regression => Ok(4),
        code => Ok(code),
    }
}
