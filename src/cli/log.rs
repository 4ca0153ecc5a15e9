//! Owns the log on stderr: human or JSON, a bounded number of lines a second,
//! written by a thread of its own so that the relay waits for no terminal and
//! no disk. What is not written is counted, and the count is.

use super::has_colours;
use outcry::config::{LOG_LINES_BURST, LOG_LINES_PER_S, LOG_LINES_WAITING_MAX, LogFormat, LogLevel};
use outcry::server::AUDIT;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// The target of the line that tells what was suppressed, which is not.
const LIMIT: &str = "limit";
/// Who speaks of what operators do.
const OPERATOR_MODULE: &str = "outcry::control";
/// How often it comes at most.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long the end waits for a terminal that takes nothing.
const END_WAIT: Duration = Duration::from_secs(1);

/// The running log.
pub(super) struct Log {
    lines: SyncSender<Message>,
    ended: Receiver<()>,
    lost: Arc<Lost>,
    level: LevelHandle,
}

/// Sets what is logged, from any thread.
#[derive(Clone)]
pub(super) struct LevelHandle(reload::Handle<LevelFilter, Registry>);

impl LevelHandle {
    pub(super) fn set(&self, level: LogLevel) {
        // It fails only when there is no log any more.
        let _ = self.0.reload(level_filter(level));
    }
}

enum Message {
    Line(Vec<u8>),
    End,
}

/// Lines that were not written.
#[derive(Default)]
struct Lost {
    audit: AtomicU64,
    other: AtomicU64,
}

impl Log {
    /// Starts it, for the whole process.
    pub(super) fn start(level: LogLevel, format: LogFormat) -> Self {
        let (lines, waiting) = mpsc::sync_channel(LOG_LINES_WAITING_MAX);
        let (ending, ended) = mpsc::sync_channel(1);
        let lost = Arc::new(Lost::default());
        let writer = Arc::new(Writer { lines: lines.clone(), lost: Arc::clone(&lost) });
        let shown = fmt::layer().with_writer(writer).with_ansi(has_colours(&io::stderr())).log_internal_errors(false);
        let shown = match format {
            LogFormat::Human => shown.boxed(),
            LogFormat::Json => shown.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        };
        let limit = Limit { start: now(), gates: Mutex::default(), lost: Arc::clone(&lost) };
        let (filter, handle) = reload::Layer::new(level_filter(level));
        tracing_subscriber::registry().with(filter).with(shown).with(limit).init();
        let counts = Arc::clone(&lost);
        std::thread::spawn(move || {
            write(&waiting, &counts, io::stderr());
            let _ = ending.send(());
        });
        Self { lines, ended, lost, level: LevelHandle(handle) }
    }

    /// How its level is set.
    pub(super) fn level(&self) -> LevelHandle {
        self.level.clone()
    }

    /// Writes what waits, if somebody takes it.
    pub(super) fn end(&self) {
        self.lost.tell();
        if self.lines.try_send(Message::End).is_ok() {
            let _ = self.ended.recv_timeout(END_WAIT);
        }
    }
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// The writing thread: until the end is asked for.
fn write(waiting: &Receiver<Message>, lost: &Lost, mut to: impl Write) {
    let mut told = now();
    loop {
        match waiting.recv_timeout(TELL_EVERY) {
            Ok(Message::Line(line)) => _ = to.write_all(&line),
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if told.elapsed() >= TELL_EVERY {
            told = now();
            lost.tell();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the log is limited by real time, whatever the relay's is")]
fn now() -> Instant {
    Instant::now()
}

impl Lost {
    fn tell(&self) {
        let [audit, other] = [&self.audit, &self.other].map(|count| count.swap(0, Ordering::Relaxed));
        if audit + other > 0 {
            tracing::warn!(target: LIMIT, audit, other, "log lines left out: more than {LOG_LINES_PER_S} a second");
        }
    }
}

/// Hands finished lines to the writing thread. Never waits: what does not fit is counted.
struct Writer {
    lines: SyncSender<Message>,
    lost: Arc<Lost>,
}

impl Write for &Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.other.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets through what is within the rate; what members do, what operators do,
/// and the rest have one each, so that a storm of joins hides no warning and
/// not who was banned meanwhile.
struct Limit {
    start: Instant,
    gates: Mutex<Gates>,
    lost: Arc<Lost>,
}

#[derive(Default)]
struct Gates {
    audit: Gate,
    operator: Gate,
    other: Gate,
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let target = event.metadata().target();
        if target == LIMIT {
            return true;
        }
        let now = self.start.elapsed();
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let (gate, lost) = match target {
            AUDIT if is_of_operator(event) => (&mut gates.operator, &self.lost.audit),
            AUDIT => (&mut gates.audit, &self.lost.audit),
            _ => (&mut gates.other, &self.lost.other),
        };
        let passes = gate.passes(now);
        if !passes {
            lost.fetch_add(1, Ordering::Relaxed);
        }
        passes
    }
}

/// What an operator did is said where it is done.
fn is_of_operator(event: &Event<'_>) -> bool {
    event.metadata().module_path().is_some_and(|module| module.starts_with(OPERATOR_MODULE))
}

/// A rate with a burst: the time at which what was let through would have been due.
#[derive(Default)]
struct Gate {
    due: Duration,
}

impl Gate {
    fn passes(&mut self, now: Duration) -> bool {
        let each = Duration::from_secs(1) / LOG_LINES_PER_S;
        let passes = self.due <= now + each * (LOG_LINES_BURST - 1);
        if passes {
            self.due = self.due.max(now) + each;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_burst_and_then_to_the_rate() {
        let mut gate = Gate::default();
        let mut passed = |tries: u64, from_s: u64, step: Duration| {
            let from = Duration::from_secs(from_s);
            (0..tries).filter(|at| gate.passes(from + step * u32::try_from(*at).unwrap())).count()
        };
        let (rate, burst) = (LOG_LINES_PER_S as usize, LOG_LINES_BURST as usize);
        assert_eq!(passed(100_000, 0, Duration::ZERO), burst);
        let minute = passed(60_000, 0, Duration::from_millis(1));
        assert!((60 * rate - 1..=60 * rate).contains(&minute), "{minute}");
        // After a quiet hour there is one burst, not an hour's worth.
        assert_eq!(passed(100_000, 3_660, Duration::ZERO), burst);
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_and_nobody_waits() {
        let (lines, waiting) = mpsc::sync_channel(1);
        let writer = Writer { lines, lost: Arc::default() };
        for line in [b"one\n", b"two\n"] {
            (&writer).write_all(line).unwrap();
        }
        assert_eq!(writer.lost.other.load(Ordering::Relaxed), 1);
        let lost = Arc::clone(&writer.lost);
        drop(writer);
        let mut written = Vec::new();
        write(&waiting, &lost, &mut written);
        assert_eq!(written, b"one\n");
    }
}
