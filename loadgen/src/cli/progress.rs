//! What a run says while it goes on, on stderr: a status line or a full screen
//! on a terminal, plain lines otherwise.

use crate::benchmark::Progress;
use crate::child;
use crate::measure::{Board, Second, Watch};
use crate::screen::{self, Moment, Outline, Screen, Vitals};
use crate::units::{show_count, show_ns};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{IsTerminal, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What a shell shows for a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Style {
    /// A status line on a terminal, else plain lines.
    Auto,
    /// A full screen; where there is no terminal for it, as auto.
    Tui,
    /// A status line; where there is no terminal for it, plain lines.
    Line,
    /// Plain lines.
    Plain,
    /// Nothing.
    None,
}

/// Shows progress.
pub(super) enum Shown {
    Screen(Box<Screen>),
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Shown {
    pub(super) fn new(style: Style) -> Self {
        match style {
            Style::Tui => {
                Screen::open(colours()).map_or_else(|_| Self::new(Style::Auto), |it| Self::Screen(Box::new(it)))
            }
            Style::Auto | Style::Line if std::io::stderr().is_terminal() => Self::Bar(spinner()),
            Style::Auto | Style::Line | Style::Plain => Self::Lines,
            Style::None => Self::Nothing,
        }
    }

    /// Leaves the terminal as it was, before the report is printed.
    pub(super) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Colour, unless the user wants none (no-color.org).
fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The line has no colour to begin with.
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
            Self::Screen(screen) => {
                screen.view.say(line);
                screen.show();
            }
            Self::Bar(bar) => bar.set_message(line.to_string()),
            Self::Lines => eprintln!("{line}"),
            Self::Nothing => {}
        }
    }

    fn joined(&mut self, proven: u32, all: u32) {
        if let Self::Screen(screen) = self {
            screen.view.joined = Some((proven, all));
            screen.refresh();
        }
    }

    fn begin(&mut self, outline: &Outline) {
        if let Self::Screen(screen) = self {
            screen.view.begin(outline);
            screen.show();
        }
    }

    fn wants_vitals(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    fn vitals(&mut self, vitals: &Vitals) {
        if let Self::Screen(screen) = self {
            screen.view.vitals = vitals.clone();
        }
    }
}

impl From<&Second> for Moment {
    fn from(second: &Second) -> Self {
        Self { copies: second.copies, p50: second.p50_ns, p99: second.p99_ns, max: second.max_ns }
    }
}

impl Watch for Shown {
    fn progress(&mut self, elapsed: Duration, board: &Board, second: Option<&Second>) {
        let expected = board.sent() * u64::from(board.expected());
        if let Self::Screen(screen) = self {
            let view = &mut screen.view;
            (view.elapsed, view.sent, view.delivered, view.expected) =
                (elapsed, board.sent(), board.distinct(), expected);
            second.into_iter().for_each(|second| view.add(second.into()));
            return screen.refresh();
        }
        let Some(second) = second else { return };
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

/// Set by the first SIGINT or SIGTERM; a second one ends the process at once,
/// with the terminal given back
/// and without a relay left behind.
pub(super) fn interrupt_flag() -> Result<Arc<AtomicBool>, String> {
    let failed = |error: std::io::Error| format!("cannot watch for signals: {error}");
    let flag = Arc::new(AtomicBool::new(false));
    let (mut signals, writer) = UnixStream::pair().map_err(failed)?;
    for signal in [SIGINT, SIGTERM] {
        let writer = writer.try_clone().map_err(failed)?;
        signal_hook::low_level::pipe::register(signal, writer).map_err(failed)?;
    }
    let raised = flag.clone();
    std::thread::spawn(move || {
        while signals.read_exact(&mut [0]).is_ok() {
            if raised.swap(true, Relaxed) {
                screen::restore();
                child::end_running();
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(flag)
}
