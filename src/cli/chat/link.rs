//! Owns the thread that receives, and the one queue in which everything comes
//! together that a chat waits for. Never decides what any of it means.

use super::model::Verbs;
use crossterm::event;
use outcry::blocking::{Connection, Error, Speaker};
use outcry::client::{Event, MemberId, RequestId, RoomId, RoomSpec, Ticket, Unfit};
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What waits to be looked at; while there is more, nothing is received and the relay repairs it later.
const INPUTS_MAX: usize = 1024;
/// How long the receiving thread waits before it waits again.
const RECEIVE_FOR: Duration = Duration::from_secs(60);

/// Something that a chat waits for.
pub(super) enum Input {
    Heard(Event<'static>),
    /// The connection is of no more use.
    Failed(Error),
    Key(event::Event),
    Line(String),
    /// There are no more lines.
    Ended,
    /// What the user types or pipes cannot be read.
    Unreadable(io::Error),
    /// A signal asks the program to end.
    Signal,
}

/// A connection whose events come in a queue.
pub(super) struct Link {
    pub(super) voice: Speaker,
    pub(super) inputs: Receiver<Input>,
    sender: SyncSender<Input>,
    receiving: JoinHandle<()>,
}

impl Link {
    pub(super) fn start(connection: Connection) -> Self {
        let (sender, inputs) = mpsc::sync_channel(INPUTS_MAX);
        let voice = connection.speaker();
        let events = sender.clone();
        let receiving = thread::spawn(move || receive(connection, &events));
        Self { voice, inputs, sender, receiving }
    }

    /// For another thread that has something to tell.
    pub(super) fn sender(&self) -> SyncSender<Input> {
        self.sender.clone()
    }

    /// Says goodbye as often as the protocol wants.
    pub(super) fn close(self) {
        self.voice.close();
        drop(self.inputs);
        let _ = self.receiving.join();
    }
}

fn receive(mut connection: Connection, events: &SyncSender<Input>) {
    loop {
        let (input, is_last) = match connection.receive(RECEIVE_FOR) {
            Ok(None) => continue,
            Ok(Some(event)) => {
                let is_last = matches!(event, Event::Closed { .. });
                (Input::Heard(event), is_last)
            }
            Err(error) => (Input::Failed(error), true),
        };
        if events.send(input).is_err() || is_last {
            return connection.close();
        }
    }
}

/// Makes a request to terminate come in as any other input.
#[cfg(unix)]
pub(super) fn watch_signals(inputs: SyncSender<Input>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]) else { return };
    thread::spawn(move || signals.forever().try_for_each(|_| inputs.send(Input::Signal)));
}

#[cfg(not(unix))]
pub(super) fn watch_signals(_inputs: SyncSender<Input>) {}

impl Verbs for Speaker {
    fn join(&self, spec: RoomSpec) -> Result<RoomId, Unfit> {
        Self::join(self, spec)
    }

    fn leave(&self, room: RoomId) -> Result<(), Unfit> {
        Self::leave(self, room)
    }

    fn send(&self, room: RoomId, text: &[u8]) -> Result<Ticket, Unfit> {
        Self::send(self, room, text)
    }

    fn direct(&self, to: MemberId, text: &[u8]) -> Result<Ticket, Unfit> {
        Self::direct(self, to, text)
    }

    fn nick(&self, name: &str) -> Result<RequestId, Unfit> {
        Self::nick(self, name)
    }

    fn who(&self, room: RoomId) -> Result<RequestId, Unfit> {
        Self::who(self, room)
    }

    fn list(&self) -> Result<RequestId, Unfit> {
        Self::list(self)
    }
}
