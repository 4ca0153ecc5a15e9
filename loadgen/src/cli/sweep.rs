//! `loadgen sweep` and `loadgen search`.

use super::Output;
use super::args::{Pace, WorkloadArgs};
use super::progress::{Shown, Style, interrupt_flag};
use crate::report::{Curve, Files, Point};
use crate::search::{self, Cut, Found};
use crate::units::{parse_count, parse_duration, parse_scaled, show_ns, show_scaled};
use clap::Args;
use std::time::Duration;

#[derive(Args)]
pub(super) struct SweepArgs {
    #[command(flatten)]
    workload: WorkloadArgs,

    /// Rates to measure, in messages per second, as 100,200,1k.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_scaled, default_values = ["50", "100", "200", "300", "400", "600", "800"])]
    rates: Vec<f64>,

    /// Closed loop: depths to measure instead of rates, as 1,4,16,64.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_count, conflicts_with = "rates")]
    in_flight: Vec<u32>,

    /// What counts, for each point.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    duration: Duration,

    /// How results are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,

    /// How progress is shown, on stderr.
    #[arg(long, value_enum, default_value = "auto")]
    progress: Style,

    /// Write the whole curve as JSON, for `report`.
    #[arg(long, value_name = "FILE")]
    curve: Option<std::path::PathBuf>,

    #[command(flatten)]
    files: Files,
}

/// Measures point by point over one membership.
pub(super) fn sweep(args: &SweepArgs) -> Result<u8, String> {
    let paces: Vec<Pace> = match args.in_flight.is_empty() {
        true => args.rates.iter().map(|rate| Pace { rate: *rate, in_flight: None, duration: args.duration }).collect(),
        false => (args.in_flight.iter())
            .map(|depth| Pace { rate: 1.0, in_flight: Some(*depth), duration: args.duration })
            .collect(),
    };
    if args.in_flight.is_empty() {
        args.workload.refuse_own_rate()?;
    }
    args.workload.refuse_runs()?;
    let mut benchmarks =
        paces.iter().map(|pace| args.workload.benchmark(*pace, None)).collect::<Result<Vec<_>, _>>()?;
    let interrupt = interrupt_flag()?;
    let mut shown = Shown::new(args.progress);
    let _relay = args.workload.provide(&mut benchmarks, &mut shown)?;
    let curve = search::sweep(&benchmarks, &interrupt, &mut shown)?;
    shown.finish();
    print_curve(&curve, args.output)?;
    if let Some(path) = &args.curve {
        let json = serde_json::to_string_pretty(&curve).map_err(|error| error.to_string())?;
        std::fs::write(path, json).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    for path in args.files.write(&curve.best, &curve.points)? {
        eprintln!("wrote {}", path.display());
    }
    Ok(curve.best.verdict.exit_code())
}

fn print_curve(curve: &Curve, output: Output) -> Result<(), String> {
    match output {
        Output::Json => say!("{}", serde_json::to_string_pretty(curve).map_err(|error| error.to_string())?),
        Output::Csv => {
            say!("rate,in_flight,sent_per_s,copies_per_s,loss,p50_ns,p99_ns,last_p50_ns,ns_per_copy,check,members");
            curve.points.iter().for_each(csv_line);
        }
        Output::Quiet => {}
        Output::Text => {
            print_points(&curve.points, curve.best.ceiling);
            if let Some(knee) = crate::report::knee(&curve.points) {
                say!("knee at {} copies/s", show_scaled(knee.delivered_per_second));
            }
        }
    }
    Ok(())
}

fn csv_line(point: &Point) {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    say!(
        "{},{},{},{},{},{},{},{},{},{:?},\"{}\"",
        number(point.rate),
        number(point.in_flight.map(f64::from)),
        point.sent_per_second,
        point.delivered_per_second,
        point.loss,
        number(point.p50.ns()),
        number(point.p99.ns()),
        number(point.last_p50.ns()),
        number(point.ns_per_copy),
        point.state,
        point.members_made,
    );
}

fn print_points(points: &[Point], ceiling: Option<f64>) {
    if let Some(point) = points.first() {
        say!("members: {}", point.members_made);
    }
    say!(
        "{:>12}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}{:>10}{:>12}  check",
        "asked",
        "sent/s",
        "copies/s",
        "loss",
        "p50",
        "p99",
        "last p50",
        "last p99",
        "CPU/copy"
    );
    for point in points {
        let asked = match (point.in_flight, point.rate) {
            (Some(depth), _) => format!("{depth} deep"),
            (None, rate) => format!("{}/s", show_scaled(rate.unwrap_or(0.0))),
        };
        say!(
            "{asked:>12}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}{:>10}{:>12}  {:?}",
            show_scaled(point.sent_per_second),
            show_scaled(point.delivered_per_second),
            format!("{:.4} %", point.loss * 100.0),
            point.p50,
            point.p99,
            point.last_p50,
            point.last_p99,
            point.ns_per_copy.map_or("-".into(), show_ns),
            point.state,
        );
    }
    if let Some(ceiling) = ceiling {
        say!("this generator can receive about {} copies/s on this machine", show_scaled(ceiling));
    }
}

#[derive(Args)]
pub(super) struct SearchArgs {
    #[command(flatten)]
    workload: WorkloadArgs,

    /// The first rate to try, in messages per second.
    #[arg(long, value_name = "RATE", default_value = "50", value_parser = parse_scaled)]
    from: f64,

    /// The highest rate to try.
    #[arg(long, value_name = "RATE", default_value = "1M", value_parser = parse_scaled)]
    to: f64,

    /// Stop when the bounds are this close, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    precision: f64,

    /// What counts, for each trial.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    duration: Duration,

    /// How results are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,

    /// How progress is shown, on stderr.
    #[arg(long, value_enum, default_value = "auto")]
    progress: Style,
}

/// Doubles until a trial fails, then halves the interval.
pub(super) fn search(args: &SearchArgs) -> Result<u8, String> {
    args.workload.refuse_own_rate()?;
    args.workload.refuse_runs()?;
    let pace = Pace { rate: args.from, in_flight: None, duration: args.duration };
    let mut benchmark = args.workload.benchmark(pace, None)?;
    if benchmark.slos.is_empty() {
        benchmark.slos.push("loss=0".parse()?);
    }
    if args.precision <= 0.0 || args.from > args.to {
        return Err("--precision must be above 0, and --from not above --to".into());
    }
    let interrupt = interrupt_flag()?;
    let mut shown = Shown::new(args.progress);
    let _relay = args.workload.provide(std::slice::from_mut(&mut benchmark), &mut shown)?;
    let found = search::search(&benchmark, args.to, args.precision / 100.0, &interrupt, &mut shown)?;
    shown.finish();
    match args.output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&found).map_err(|error| error.to_string())?),
        Output::Csv => {
            say!("rate,in_flight,sent_per_s,copies_per_s,loss,p50_ns,p99_ns,last_p50_ns,ns_per_copy,check,members");
            found.trials.iter().chain(&found.below).for_each(csv_line);
        }
        Output::Quiet => {}
        Output::Text => print_found(&found),
    }
    Ok(match (found.cut, found.rate) {
        (Some(Cut::MembersGone), _) => 3,
        (Some(Cut::Interrupted), None) => 2,
        _ if found.limited_by_generator => 3,
        (_, rate) => u8::from(rate.is_none()),
    })
}

fn print_found(found: &Found) {
    let cut = found.cut.map(|cut| match cut {
        Cut::Interrupted => "interrupted",
        Cut::MembersGone => "ended when members were gone: the server dropped them, or ended",
    });
    match (found.rate, found.limited_by_generator) {
        (Some(rate), _) if cut.is_some() => {
            say!("at least {} messages/s; {}", show_scaled(rate), cut.unwrap_or_default())
        }
        (None, _) if cut.is_some() => say!("no rate was judged; {}", cut.unwrap_or_default()),
        (Some(rate), true) => {
            say!("at least {} messages/s, limited by the generator: no number for the server", show_scaled(rate))
        }
        (Some(rate), false) => say!("highest rate that meets the objectives: {} messages/s", show_scaled(rate)),
        (None, true) => say!(
            "the generator was the limit already at {} messages/s: no number for the server",
            show_scaled(found.lowest)
        ),
        (None, false) => say!("no rate tried meets the objectives; the lowest was {}", show_scaled(found.lowest)),
    }
    found.reasons.iter().for_each(|reason| say!("  stopped by {reason}"));
    say!("trials, in order");
    print_points(&found.trials, None);
    if !found.below.is_empty() {
        say!("at 10, 50 and 90 % of the result");
        print_points(&found.below, None);
    }
}
