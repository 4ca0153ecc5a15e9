//! One thread's receiving half over TCP: edge-triggered, one clock read per
//! read of the kernel, no memory taken and no lock held while receiving.

use super::codec::{Codec, FRAME_BYTES_MAX, Frame, Step};
use super::{Shared, lock};
use crate::clock::Clock;
use crate::members::{Receiver, Sink, Taken, plain};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const EVENTS: usize = 1024;
/// What one read takes at most: hundreds of messages of the usual size.
const READ_BYTES: usize = 64 * 1024;

/// Where a member's stream stands.
pub(super) struct Lane {
    /// The beginning of a frame whose end has not come.
    tail: Vec<u8>,
    open: bool,
}

impl Default for Lane {
    fn default() -> Self {
        Self { tail: Vec::with_capacity(FRAME_BYTES_MAX), open: true }
    }
}

/// Receives for some of the members.
pub(super) struct Intake<C> {
    poll: Poll,
    events: Events,
    reader: Reader<C>,
}

struct Reader<C> {
    shared: Arc<Shared>,
    /// By member; `None` where another thread reads.
    lanes: Vec<Option<Lane>>,
    buffer: Box<[u8]>,
    clock: Clock,
    codec: PhantomData<C>,
}

impl<C: Codec> Intake<C> {
    pub(super) fn new(shared: Arc<Shared>, members: impl Iterator<Item = u32>, clock: Clock) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut lanes: Vec<Option<Lane>> = shared.members.iter().map(|_| None).collect();
        for member in members.map(|member| member as usize) {
            lanes[member] = lock(&shared.lanes)[member].take();
            let fd = shared.members[member].stream.as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), Token(member), Interest::READABLE)?;
        }
        let buffer = vec![0; FRAME_BYTES_MAX + READ_BYTES].into_boxed_slice();
        let reader = Reader { shared, lanes, buffer, clock, codec: PhantomData };
        Ok(Self { poll, events: Events::with_capacity(EVENTS), reader })
    }
}

impl<C: Codec> Receiver for Intake<C> {
    fn receive(&mut self, wait: Duration, sink: &mut dyn Sink) -> io::Result<Taken> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Taken::default()),
            other => other?,
        }
        let members = self.events.iter().map(|event| event.token().0);
        let frames = members.map(|member| self.reader.empty(member, sink)).sum();
        Ok(Taken { messages: frames, datagrams: frames })
    }
}

impl<C> Drop for Reader<C> {
    fn drop(&mut self) {
        let mut home = lock(&self.shared.lanes);
        for (home, lane) in home.iter_mut().zip(&mut self.lanes) {
            if let Some(lane) = lane.take() {
                *home = Some(lane);
            }
        }
    }
}

impl<C: Codec> Reader<C> {
    /// Reads until nothing is left; how many frames there were. A read that
    /// is not full has emptied the socket, so what follows is a new edge.
    fn empty(&mut self, member: usize, sink: &mut dyn Sink) -> u64 {
        let mut frames = 0;
        while let Some(lane) = self.lanes[member].as_mut().filter(|lane| lane.open) {
            let kept = lane.tail.len();
            self.buffer[..kept].copy_from_slice(&lane.tail);
            let room = &mut self.buffer[kept..kept + READ_BYTES];
            match (&self.shared.members[member].stream).read(room) {
                Ok(read) if read > 0 => {
                    frames += self.take(member, kept + read, sink);
                    if read < READ_BYTES {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.end(member),
            }
        }
        frames
    }

    /// Takes the frames among the first `filled` bytes of the buffer; keeps
    /// the beginning of one that is not whole.
    fn take(&mut self, member: usize, filled: usize, sink: &mut dyn Sink) -> u64 {
        let now = self.clock.now();
        let (mut at, mut frames) = (0, 0);
        while at < filled {
            match C::next(&self.buffer[at..filled]) {
                Step::More => break,
                Step::Broken => {
                    self.shared.complain(b"(something that is not the protocol)");
                    self.end(member);
                    return frames;
                }
                Step::Frame(used, frame) => {
                    self.handle(member, now, &frame, sink);
                    at += used;
                    frames += 1;
                }
            }
        }
        if let Some(lane) = &mut self.lanes[member] {
            lane.tail.clear();
            lane.tail.extend_from_slice(&self.buffer[at..filled]);
        }
        frames
    }

    fn handle(&self, member: usize, now: u64, frame: &Frame<'_>, sink: &mut dyn Sink) {
        match frame {
            Frame::Message(message) if C::ECHOES && plain::speaker(message) == Some(member as u32) => {
                self.shared.echoes.fetch_add(1, Relaxed);
            }
            Frame::Message(message) => sink.take(member as u32, now, message),
            Frame::Nothing => {}
            Frame::Complaint(text) => self.shared.complain(text),
            // A connection that cannot be written shows as ended when it is read.
            Frame::Answer(text) => drop(self.shared.members[member].write(|_, frame| frame.extend_from_slice(text))),
        }
    }

    fn end(&mut self, member: usize) {
        if let Some(lane) = &mut self.lanes[member] {
            lane.open = false;
            self.shared.ended.fetch_add(1, Relaxed);
            // It may be closed already.
            let _ = self.shared.members[member].stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    /// Keeps the first complaint. Not in a good run, so the memory does not matter.
    fn complain(&self, text: &[u8]) {
        let text = || String::from_utf8_lossy(text).into_owned();
        lock(&self.complaint).get_or_insert_with(text);
    }
}
