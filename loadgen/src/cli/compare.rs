//! `loadgen compare` and `run --baseline`.

use super::{Output, load, print_json};
use crate::check::{self, State};
use crate::report::{Change, Comparison, Report, compare, differences};
use crate::units::{show_ns, show_scaled};
use clap::Args;
use std::path::PathBuf;

/// What a run is compared with.
#[derive(Args, Clone, Debug)]
pub(super) struct Against {
    /// Compare with a saved report.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// What two runs of the same thing differ by anyway, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "3%", value_parser = parse_percent)]
    noise: f64,

    /// Exit 4 if anything is worse than noise explains.
    #[arg(long, requires = "baseline")]
    pub(super) fail_on_regression: bool,
}

impl Against {
    /// The report to compare with, read before anything is measured.
    pub(super) fn baseline(&self) -> Result<Option<Report>, String> {
        self.baseline.as_ref().map(load).transpose()
    }

    /// The two, as far as their noise lets them be told apart.
    pub(super) fn compare(&self, base: &Report, new: &Report) -> Result<Compared, String> {
        Compared::new(base, new, self.noise)
    }
}

#[derive(Args)]
pub(super) struct CompareArgs {
    /// The report to compare with.
    base: PathBuf,

    /// The report to judge.
    new: PathBuf,

    /// What two runs of the same thing differ by anyway, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "3%", value_parser = parse_percent)]
    noise: f64,

    /// Exit 4 if anything is worse than noise explains.
    #[arg(long)]
    fail_on_regression: bool,

    /// How results are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    number
        .ok()
        .filter(|percent| (0.0..1000.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("`{text}`: write for example 3%"))
}

/// Compares two files.
pub(super) fn run(args: &CompareArgs) -> Result<u8, String> {
    let (base, new) = (load(&args.base)?, load(&args.new)?);
    let against = Against { baseline: None, noise: args.noise, fail_on_regression: args.fail_on_regression };
    let compared = against.compare(&base, &new)?;
    compared.print(args.output)?;
    Ok(match args.fail_on_regression {
        true if compared.is_worse() => 4,
        true if compared.is_invalid() => 3,
        _ => 0,
    })
}

/// Two reports, figure by figure.
pub(super) struct Compared {
    /// What is compared.
    pub(super) figures: Vec<Comparison>,
    /// For the reader to judge.
    notes: Vec<String>,
    is_invalid: bool,
}

impl Compared {
    fn new(base: &Report, new: &Report, noise: f64) -> Result<Self, String> {
        let figures = compare(base, new, noise)?;
        let invalid = |report: &Report| report.verdict.state == State::Invalid;
        let sides = [("base", base), ("new", new)].into_iter().filter(|(_, report)| invalid(report));
        let sides = sides.map(|(side, report)| format!("INVALID     {side}: {}", check::why_invalid(&report.gates)));
        let differing = differences(base, new).into_iter().map(|difference| format!("differs     {difference}"));
        let is_invalid = invalid(base) || invalid(new);
        Ok(Self { figures, notes: sides.chain(differing).collect(), is_invalid })
    }

    pub(super) fn is_worse(&self) -> bool {
        self.figures.iter().any(|figure| figure.change == Change::Worse)
    }

    /// One of the two says nothing about its server.
    fn is_invalid(&self) -> bool {
        self.is_invalid
    }

    pub(super) fn print(&self, output: Output) -> Result<(), String> {
        match output {
            Output::Json => print_json(&self.figures)?,
            Output::Csv => {
                say!("figure,base,new,ratio,low,high,change");
                self.figures.iter().for_each(csv_line);
            }
            Output::Quiet => {}
            Output::Text => {
                self.notes.iter().for_each(|note| say!("{note}"));
                say!("{:<22}{:>12}{:>12}{:>9}   95 % interval", "compared", "base", "new", "ratio");
                self.figures.iter().for_each(text_line);
            }
        }
        Ok(())
    }
}

fn csv_line(figure: &Comparison) {
    let (low, high) =
        figure.interval.map_or((String::new(), String::new()), |(low, high)| (low.to_string(), high.to_string()));
    say!("{},{},{},{},{low},{high},{:?}", figure.name, figure.base, figure.new, figure.ratio, figure.change);
}

fn text_line(figure: &Comparison) {
    let show = |value: f64| match figure.name.as_str() {
        "loss" => format!("{:.4} %", value * 100.0),
        name if name.ends_with("copies/s") => show_scaled(value),
        _ => show_ns(value),
    };
    let interval = match figure.interval {
        Some((low, high)) => format!("{low:.3} to {high:.3}"),
        None => "- (needs --runs 2 or more on both sides)".into(),
    };
    let word = match figure.change {
        Change::Same => "",
        Change::Better => "  better",
        Change::Worse => "  WORSE",
    };
    let (base, new) = (show(figure.base), show(figure.new));
    say!("{:<22}{base:>12}{new:>12}{:>9.3}   {interval}{word}", figure.name, figure.ratio);
}
