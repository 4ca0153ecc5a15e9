//! The full screen that a run can be watched on. Owns what is shown and the
//! terminal it is shown on; measures nothing, decides nothing.

mod draw;
mod terminal;
#[cfg(test)]
mod tests;

pub use draw::draw;
pub use terminal::restore;

use crate::check::Gate;
use crate::clock::Clock;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::collections::VecDeque;
use std::io::{self, Stderr};
use std::time::Duration;

/// The cause that is none yet.
pub const UNDER_WAY: &str = "under way or unexplained";
/// Seconds that the little charts remember.
const HISTORY: usize = 120;
/// Lines of what was said that are kept.
const SAID_MAX: usize = 8;
/// From one drawing to the next: more cannot be read.
const FRAME_NS: u64 = 200_000_000;

/// What is known when a measurement begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outline {
    /// `1,000 members at 127.0.0.1:9999 (plain), one UDP socket per member`.
    pub members: String,
    /// `50 senders, 200 msg/s poisson, 64 bytes`.
    pub workload: String,
    /// Sent before anything counts.
    pub warmup: Duration,
    /// What counts.
    pub duration: Duration,
}

/// How things stand, once a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Messages that should have been sent by now.
    pub planned: u64,
    /// Missing copies by cause, the last of them those under way or unexplained.
    pub missing: Vec<(&'static str, u64)>,
    /// The server's share of a core and its memory, where its process is known.
    pub server: Option<(f64, u64)>,
    /// The generator's self-check, as far as it can be told yet.
    pub lights: Vec<Gate>,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Copies delivered in it.
    pub copies: u64,
    /// Percentiles of delivery in ns, and the largest.
    pub p50: u64,
    /// 99th.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

/// Everything that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Of the measurement that runs; none before the first.
    pub outline: Option<Outline>,
    /// Since the plan's start.
    pub elapsed: Duration,
    /// Messages sent so far, warm-up included.
    pub sent: u64,
    /// Copies delivered so far.
    pub delivered: u64,
    /// Copies that they should be.
    pub expected: u64,
    /// Members proven so far, of how many.
    pub joined: Option<(u32, u32)>,
    /// The newest vitals.
    pub vitals: Vitals,
    /// Second by second, the newest last.
    pub seconds: VecDeque<Moment>,
    /// What was said, the newest last.
    pub said: VecDeque<String>,
    /// Whether colours may be used.
    pub colour: bool,
}

impl View {
    /// Nothing to show yet.
    pub fn new(colour: bool) -> Self {
        Self { colour, ..Self::default() }
    }

    /// Keeps a line for people.
    pub fn say(&mut self, line: &str) {
        push(&mut self.said, line.to_string(), SAID_MAX);
    }

    /// A measurement begins; what was of the one before it goes.
    pub fn begin(&mut self, outline: &Outline) {
        let (said, colour) = (std::mem::take(&mut self.said), self.colour);
        *self = Self { outline: Some(outline.clone()), said, colour, ..Self::default() };
    }

    /// A second has ended.
    pub fn add(&mut self, moment: Moment) {
        push(&mut self.seconds, moment, HISTORY);
    }
}

fn push<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(item);
}

/// A view on the terminal of stderr; the terminal is as before when it is dropped.
pub struct Screen {
    /// What is shown.
    pub view: View,
    terminal: Terminal<CrosstermBackend<Stderr>>,
    clock: Clock,
    due: u64,
}

impl Screen {
    /// Takes the terminal over.
    pub fn open(colour: bool) -> io::Result<Self> {
        terminal::take_over()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stderr())).inspect_err(|_| terminal::restore())?;
        let mut screen = Self { view: View::new(colour), terminal, clock: Clock::start(), due: 0 };
        screen.show();
        Ok(screen)
    }

    /// Draws, unless that was done a moment ago.
    pub fn refresh(&mut self) {
        if self.clock.now() >= self.due {
            self.show();
        }
    }

    /// Draws. A terminal that cannot be written to is no reason to end a run;
    /// its size is asked for each time.
    pub fn show(&mut self) {
        self.due = self.clock.now() + FRAME_NS;
        if terminal::is_taken() {
            let _ = self.terminal.draw(|frame| draw(&self.view, frame));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        terminal::restore();
    }
}
