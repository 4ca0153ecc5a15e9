//! Owns the chat in a pipe: on stdout what others say in the room, a line a
//! message, and nothing else; on stderr everything else that happens. Never
//! drops a line in silence: what was not delivered fails the program.

use super::Ending;
use super::link::{Input, Link, watch_signals};
use super::model::{Model, Standing};
use super::tab::{Delivery, Tab, What};
use super::words;
use crate::cli::lines::LineReader;
use crate::cli::report;
use outcry::wire::plain::SEPARATOR;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::Duration;

/// Lines that are read ahead of what the relay has.
const LINES_AHEAD: usize = 64;
/// Messages that wait, from which on no more lines are read.
const WAITING_ENOUGH: usize = 1024;
/// How often it is looked whether there is still hope, when the input has ended.
const TICK: Duration = Duration::from_secs(1);
/// Ticks without a connection after the end of the input, until what waits is given up.
const HOPELESS_TICKS: u32 = 30;
/// Ticks in which nothing happens after the end of the input, until no more history is expected.
const QUIET_TICKS: u32 = 3;

/// A chat in a pipe.
struct Pipe {
    link: Link,
    model: Model,
    has_commands: bool,
    /// Lets the reading thread read a line each.
    permits: Sender<()>,
    /// Lines taken for which the permit was not given back.
    owed: usize,
    has_ended: bool,
    /// How it stood with the relay when that was last told.
    told_standing: Standing,
    ticks_away: u32,
    ticks_quiet: u32,
}

/// Chats until the input ends, and all of it was delivered.
pub(super) fn run(link: Link, model: Model, has_commands: bool) -> Ending {
    let (permits, granted) = mpsc::channel();
    (0..LINES_AHEAD).for_each(|_| _ = permits.send(()));
    watch_signals(link.sender());
    read_lines(link.sender(), granted);
    if io::stdin().is_terminal() {
        report("type a line and Enter; the end of the input (Ctrl-D) leaves, /help shows commands");
    }
    let has_commands = has_commands || io::stdin().is_terminal();
    let mut pipe = Pipe {
        link,
        model,
        has_commands,
        permits,
        owed: 0,
        has_ended: false,
        told_standing: Standing::Connected,
        ticks_away: 0,
        ticks_quiet: 0,
    };
    let ending = pipe.chat();
    pipe.link.close();
    ending
}

impl Pipe {
    fn chat(&mut self) -> Ending {
        loop {
            let ending = match self.link.inputs.recv_timeout(TICK) {
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => Some(Ending::Done),
            };
            self.tell_standing();
            match self.show() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ending::Done,
                Err(error) => return Ending::Failed(format!("cannot write: {error}")),
            }
            if let Some(ending) = ending.or_else(|| Ending::of_pipe(&self.model)).or_else(|| self.finished()) {
                return ending;
            }
            self.grant();
        }
    }

    fn take(&mut self, input: Input) -> Option<Ending> {
        self.ticks_quiet = 0;
        match input {
            Input::Heard(event) => self.model.hear(event, &self.link.voice),
            Input::Line(line) => {
                self.owed += 1;
                if self.has_commands {
                    self.model.obey(&line, &self.link.voice);
                } else {
                    self.model.say(&line, &self.link.voice);
                }
                self.has_ended |= self.model.is_leaving;
            }
            Input::Ended => self.has_ended = true,
            Input::Unreadable(error) => return Some(Ending::Failed(format!("cannot read: {error}"))),
            Input::Failed(error) => return Some(Ending::Failed(error.to_string())),
            Input::Signal => return Some(Ending::Done),
            Input::Key(_) => {}
        }
        None
    }

    /// A relay that does not come back is not waited for without end.
    fn tick(&mut self) -> Option<Ending> {
        self.ticks_quiet += u32::from(self.has_ended);
        match &self.model.standing {
            Standing::Away(why) if self.has_ended => {
                self.ticks_away += 1;
                let told = || format!("{} not sent: {why}", words::messages(self.model.waiting()));
                (self.ticks_away >= HOPELESS_TICKS).then(|| Ending::Failed(told()))
            }
            _ => {
                self.ticks_away = 0;
                None
            }
        }
    }

    /// Says when the relay is away, and when it is back.
    fn tell_standing(&mut self) {
        let now = &self.model.standing;
        if self.told_standing == *now {
            return;
        }
        match now {
            Standing::Connected => report("connected again"),
            Standing::Away(why) => report(format_args!("reconnecting: {why}")),
            // How it ends is told in the end.
            Standing::Over => {}
        }
        self.told_standing = now.clone();
    }

    /// Whether everything that was to be done is done.
    fn finished(&self) -> Option<Ending> {
        let has_history = |tab: &Tab| tab.told >= tab.head || self.ticks_quiet >= QUIET_TICKS;
        let has_all = self.model.tab().is_some_and(|tab| tab.is_joined && has_history(tab));
        let is_done = self.has_ended && has_all && self.model.waiting() == 0 && !self.model.is_asking();
        is_done.then_some(if self.model.has_failed { Ending::FailedAsTold } else { Ending::Done })
    }

    /// Lets lines be read for those that have been taken care of.
    fn grant(&mut self) {
        while self.owed > 0 && self.model.waiting() < WAITING_ENOUGH {
            self.owed -= 1;
            // The thread may have come to the end.
            let _ = self.permits.send(());
        }
    }

    fn show(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for line in self.model.tabs.iter_mut().flat_map(Tab::take_new) {
            match &line.what {
                What::Said { member, name, text } => {
                    let name = name.clone().unwrap_or_else(|| format!("#{}", member.0));
                    writeln!(out, "{name}{SEPARATOR}{text}")?;
                }
                What::Own { delivery, .. } => tell_failure("", delivery),
                What::PrivateTo { name, delivery: Delivery::Delivered, .. } => {
                    report(format_args!("private message to {name}: delivered"));
                }
                What::PrivateTo { name, delivery, .. } => {
                    tell_failure(&format!("private message to {name}: "), delivery)
                }
                What::PrivateFrom { name, text } => report(format_args!("private message from {name}: {text}")),
                What::Notice(text) | What::Warning(text) => report(text),
                What::Lost(count) => report(words::lost(*count)),
                What::Unreadable(count) => report(words::unreadable(*count)),
            }
        }
        out.flush()
    }
}

fn tell_failure(what: &str, delivery: &Delivery) {
    if let Delivery::Failed(why) = delivery {
        report(format_args!("{what}{why}"));
    }
}

fn read_lines(inputs: SyncSender<Input>, permits: Receiver<()>) {
    thread::spawn(move || {
        let mut lines = LineReader::new(io::stdin().lock());
        while permits.recv().is_ok() {
            let (input, is_last) = match lines.next_line() {
                Ok(Some(line)) => (Input::Line(line.text), false),
                Ok(None) => (Input::Ended, true),
                Err(error) => (Input::Unreadable(error), true),
            };
            if inputs.send(input).is_err() || is_last {
                return;
            }
        }
    });
}
