//! Owns a conversation that has an end: whoever is at the other end of the
//! stream, each step is over by a fixed moment, until only its death is waited
//! for. Descriptors can go along. Never knows what is said.

use super::now;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Descriptors that go along at once.
pub(super) const DESCRIPTORS_MAX: usize = 3;
/// What they go along with.
const BESIDE: [u8; 1] = *b"\n";

/// A blocking stream on which nothing takes longer than until a moment, if there is one.
pub(super) struct Bounded {
    stream: UnixStream,
    until: Option<Instant>,
}

impl Bounded {
    pub(super) fn new(stream: UnixStream, span: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        Ok(Self { stream, until: Some(now() + span) })
    }

    /// From now on it has this long.
    pub(super) fn extend(&mut self, span: Duration) {
        self.until = Some(now() + span);
    }

    /// From now on it has as long as the other one lives.
    pub(super) fn unbind(&mut self) {
        self.until = None;
    }

    /// From now on the other one can say nothing more: it is told so if it tries.
    pub(super) fn deafen(&self) {
        // Where it is gone there is nobody to tell.
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    /// Sends descriptors, and one byte with them.
    pub(super) fn send_descriptors(&mut self, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors"));
        }
        self.stream.set_write_timeout(self.left()?)?;
        rustix::net::sendmsg(&self.stream, &[IoSlice::new(&BESIDE)], &mut beside, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives one byte, and the descriptors that came with it.
    pub(super) fn receive_descriptors(&mut self) -> io::Result<(u8, Vec<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        self.stream.set_read_timeout(self.left()?)?;
        let mut parts = [IoSliceMut::new(&mut byte)];
        let received = loop {
            match rustix::net::recvmsg(&self.stream, &mut parts, &mut beside, CLOSE_ON_EXEC) {
                Err(Errno::INTR) => {}
                received => break received?,
            }
        };
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let messages = beside.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors = messages.flatten().collect();
        let [byte] = byte;
        Ok((byte, descriptors))
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.map(|until| until.saturating_duration_since(now()));
        if left.is_some_and(|left| left.is_zero()) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

#[cfg(target_os = "linux")]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::empty();

impl Read for Bounded {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(to)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
