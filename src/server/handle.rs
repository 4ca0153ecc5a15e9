//! How other threads speak to the loop, and hear from it: bounded queues that
//! the loop never waits for.

use super::report::Report;
use crate::relay::{Command, Outcome, Rooms, SlowView};
use mio::{Registry, Token, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
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
    Rooms(u16, SyncSender<Rooms>),
    Slow(SyncSender<Vec<SlowView>>),
}

/// The loop's end of the queue.
pub(super) struct Requests {
    queue: Receiver<Request>,
    sender: SyncSender<Request>,
    waker: Arc<Waker>,
}

impl Requests {
    pub(super) fn new(registry: &Registry, token: Token, waiting_max: usize) -> io::Result<Self> {
        let (sender, queue) = mpsc::sync_channel(waiting_max);
        Ok(Self { queue, sender, waker: Arc::new(Waker::new(registry, token)?) })
    }

    pub(super) fn handle(&self) -> Handle {
        Handle { requests: self.sender.clone(), waker: Arc::clone(&self.waker) }
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
}

impl Handle {
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

    /// Some rooms, from place `from` on, if the loop answers within `wait`.
    pub fn rooms_within(&self, wait: Duration, from: u16) -> Option<Rooms> {
        self.ask_within(wait, |answer| Request::Rooms(from, answer))
    }

    /// The slowest of the native members, if the loop answers within `wait`.
    pub fn slow_within(&self, wait: Duration) -> Option<Vec<SlowView>> {
        self.ask_within(wait, Request::Slow)
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
