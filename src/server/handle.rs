//! How other threads speak to the loop, and hear from it: bounded queues that
//! the loop never waits for.

#[cfg(unix)]
use super::handover::Offer;
use super::report::Report;
use crate::config::Config;
use crate::relay::{Command, Outcome, RoomView, SlowView};
use mio::{Registry, Token, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

/// What an observer is told.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Somebody, member or not, sent a text. Only while the console is on.
    Heard {
        /// Its address.
        remote: SocketAddr,
        /// What it sent, cut at 1024 bytes.
        text: Box<[u8]>,
    },
    /// The statistics that fell due.
    Stats(Box<Report>),
}

/// What another thread wants of the loop.
pub(super) enum Request {
    Command(Command, SyncSender<Outcome>),
    Report(SyncSender<Report>),
    Rooms(usize, SyncSender<RoomPage>),
    Slow(SyncSender<Vec<SlowView>>),
    Reconfigure(Box<Config>, SyncSender<Outcome>),
    #[cfg(unix)]
    HandOver(SyncSender<Offer>),
}

/// Some rooms, and where the next ones begin.
type RoomPage = (Vec<RoomView>, Option<usize>);

/// The loop's end of the queue.
pub(super) struct Requests {
    queue: Receiver<Request>,
    sender: SyncSender<Request>,
    waker: Arc<Waker>,
    ready: Arc<AtomicBool>,
}

impl Requests {
    pub(super) fn new(registry: &Registry, token: Token, waiting_max: usize) -> io::Result<Self> {
        let (sender, queue) = mpsc::sync_channel(waiting_max);
        let (waker, ready) = (Arc::new(Waker::new(registry, token)?), Arc::new(AtomicBool::new(true)));
        Ok(Self { queue, sender, waker, ready })
    }

    pub(super) fn handle(&self) -> Handle {
        Handle { requests: self.sender.clone(), waker: Arc::clone(&self.waker), ready: Arc::clone(&self.ready) }
    }

    /// Nobody should be sent here any more.
    pub(super) fn set_unready(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    pub(super) fn next(&mut self) -> Option<Request> {
        self.queue.try_recv().ok()
    }
}

/// Speaks to a running server from any thread.
#[derive(Clone)]
pub struct Handle {
    requests: SyncSender<Request>,
    waker: Arc<Waker>,
    ready: Arc<AtomicBool>,
}

impl Handle {
    /// Whether somebody new may be sent here: until the relay drains or stops.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Some of the rooms, from `place` on, and where the next ones begin; `None` when the server has ended.
    pub fn rooms(&self, place: usize) -> Option<(Vec<RoomView>, Option<usize>)> {
        self.ask(|answer| Request::Rooms(place, answer))
    }

    /// Takes over of `config` what can change while the server runs: limits, as
    /// far as [`Limits::changed_to`](crate::config::Limits::changed_to) says, and
    /// the interval of the statistics. `None` when the server has ended.
    pub fn reconfigure(&self, config: Config) -> Option<Outcome> {
        self.ask(|answer| Request::Reconfigure(Box::new(config), answer))
    }

    /// Does a command and waits for what became of it; `None` when the server has ended.
    pub fn command(&self, command: Command) -> Option<Outcome> {
        self.ask(|answer| Request::Command(command, answer))
    }

    /// What was counted so far; `None` when the server has ended.
    pub fn report(&self) -> Option<Report> {
        self.ask(Request::Report).map(Report::with_memory)
    }

    /// The same, if the loop answers within `wait`.
    pub fn report_within(&self, wait: Duration) -> Option<Report> {
        self.ask_within(wait, Request::Report).map(Report::with_memory)
    }

    /// [`rooms`](Self::rooms), if the loop answers within `wait`.
    pub fn rooms_within(&self, wait: Duration, place: usize) -> Option<(Vec<RoomView>, Option<usize>)> {
        self.ask_within(wait, |answer| Request::Rooms(place, answer))
    }

    /// The slowest of the native members, if the loop answers within `wait`.
    pub fn slow_within(&self, wait: Duration) -> Option<Vec<SlowView>> {
        self.ask_within(wait, Request::Slow)
    }

    /// Makes the server stand still, and offers what another process needs to
    /// take its place; `None` when the server has ended, or cannot share its socket.
    #[cfg(unix)]
    pub fn hand_over(&self) -> Option<Offer> {
        self.ask(Request::HandOver)
    }

    /// Makes the server tell its members and end.
    pub fn shut_down(&self) {
        self.command(Command::Shutdown);
    }

    fn ask<A>(&self, request: impl FnOnce(SyncSender<A>) -> Request) -> Option<A> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.requests.send(request(answer)).ok()?;
        self.waker.wake().ok()?;
        answered.recv().ok()
    }

    /// Neither a full queue nor a loop that is stuck keeps whoever asks.
    fn ask_within<A>(&self, wait: Duration, request: impl FnOnce(SyncSender<A>) -> Request) -> Option<A> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.requests.try_send(request(answer)).ok()?;
        self.waker.wake().ok()?;
        answered.recv_timeout(wait).ok()
    }
}
