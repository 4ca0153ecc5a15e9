//! What a run says while it goes on, on stderr: a status line on a terminal,
//! plain lines otherwise.

use crate::benchmark::Progress;
use crate::measure::{Board, Second, Watch};
use crate::units::{show_count, show_ns};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Style {
    /// A status line on a terminal, else plain lines.
    Auto,
    /// Plain lines.
    Line,
    /// Nothing.
    None,
}

/// Shows progress.
pub(super) enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Shown {
    pub(super) fn new(style: Style) -> Self {
        match style {
            Style::Auto if std::io::stderr().is_terminal() => Self::Bar(spinner()),
            Style::Auto | Style::Line => Self::Lines,
            Style::None => Self::Nothing,
        }
    }

    /// Takes the status line off the terminal before the report is printed.
    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// `NO_COLOR` needs nothing here: the line has no colour to begin with.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Progress for Shown {
    fn say(&mut self, line: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(line.to_string()),
            Self::Lines => eprintln!("{line}"),
            Self::Nothing => {}
        }
    }
}

impl Watch for Shown {
    fn progress(&mut self, elapsed: Duration, board: &Board, second: Option<&Second>) {
        let Some(second) = second else { return };
        let expected = board.sent() * u64::from(board.expected());
        let line = format!(
            "{:>5.1} s  sent {}  delivered {} of {}  {} copies/s  p50 {}  p99 {}  max {}",
            elapsed.as_secs_f64(),
            show_count(board.sent()),
            show_count(board.distinct()),
            show_count(expected),
            show_count(second.copies),
            show_ns(second.p50_ns as f64),
            show_ns(second.p99_ns as f64),
            show_ns(second.max_ns as f64),
        );
        self.say(&line);
    }
}

/// Set by the first SIGINT or SIGTERM; a second one ends the process at once.
pub(super) fn interrupt_flag() -> Result<Arc<AtomicBool>, String> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let ends = signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone());
        ends.and_then(|_| signal_hook::flag::register(signal, flag.clone()))
            .map_err(|error| format!("cannot watch for signals: {error}"))?;
    }
    Ok(flag)
}
