//! Members of servers that speak TCP: one connection each, one room.

use super::wire::{Frame, Wire};
use super::{Receiver, Sink, Transport, limits, plain};
use crate::clock::Clock;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most members with a connection each: beyond it ports run out.
pub const MEMBERS_MAX: u32 = 16_000;
const EVENTS: usize = 1024;
/// One read; a server that coalesces writes hundreds of messages at once.
const READ_BYTES: usize = 64 << 10;
/// A frame that is longer is none of ours.
const FRAME_BYTES_MAX: usize = 4096;
/// A connection that takes nothing for so long has failed.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// One connection per member.
pub struct Connections {
    members: Arc<[Member]>,
    wire: Arc<dyn Wire>,
}

struct Member {
    stream: TcpStream,
    /// Held while a frame is written: a sending thread and an answer to the
    /// server's ping must not mix.
    writing: Mutex<Vec<u8>>,
    /// The beginning of a frame, kept from one receiver to the next.
    partial: Mutex<Vec<u8>>,
    joined: AtomicBool,
}

impl Connections {
    /// Connects `members` members to `target`.
    pub fn open(target: SocketAddr, members: u32, wire: Arc<dyn Wire>) -> Result<Self, String> {
        limits::allow_sockets(u64::from(members))?;
        let open = |_| Member::open(target);
        let opened = (0..members).map(open).collect::<io::Result<Vec<_>>>();
        let members = opened.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("nothing listens at {target}; start the server first"),
            _ => format!("cannot open {members} connections to {target}: {error}"),
        })?;
        Ok(Self { members: members.into(), wire })
    }

    fn member(&self, member: u32) -> &Member {
        &self.members[member as usize]
    }
}

impl Member {
    fn open(target: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let writing = Mutex::new(Vec::with_capacity(2048));
        let partial = Mutex::new(Vec::with_capacity(FRAME_BYTES_MAX));
        Ok(Self { stream, writing, partial, joined: AtomicBool::new(false) })
    }

    /// All of it, or an error.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        const STEP: Duration = Duration::from_micros(100);
        let (mut rest, mut waited) = (bytes, Duration::ZERO);
        while !rest.is_empty() {
            match (&self.stream).write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && waited < WRITE_PATIENCE => {
                    std::thread::sleep(STEP);
                    waited += STEP;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A thread that panicked while it held one has ended the run anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transport for Connections {
    fn members(&self) -> u32 {
        self.members.len() as u32
    }

    fn name(&self, member: u32) -> String {
        plain::name(member)
    }

    fn join(&self, member: u32) -> io::Result<()> {
        let own = self.member(member);
        if own.joined.swap(true, Relaxed) {
            return Ok(());
        }
        let _writing = lock(&own.writing);
        own.write(&self.wire.greeting(member))
    }

    fn leave(&self, member: u32) -> io::Result<()> {
        self.member(member).stream.shutdown(Shutdown::Both)
    }

    fn send(&self, member: u32, message: &[u8]) -> io::Result<()> {
        let own = self.member(member);
        let mut frame = lock(&own.writing);
        frame.clear();
        self.wire.publish(message, &mut frame);
        own.write(&frame)
    }

    fn echoes(&self) -> bool {
        self.wire.echoes()
    }

    fn receiver(&self, thread: u32, threads: u32, reading: u32, clock: Clock) -> io::Result<Box<dyn Receiver>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for member in (thread..reading.min(self.members())).step_by(threads as usize) {
            let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, u64::from(member));
            epoll.add(&self.member(member).stream, event)?;
        }
        Ok(Box::new(TcpReceiver {
            members: self.members.clone(),
            wire: self.wire.clone(),
            epoll,
            events: vec![EpollEvent::empty(); EVENTS],
            buffer: vec![0; FRAME_BYTES_MAX + READ_BYTES],
            clock,
        }))
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn label(&self) -> String {
        format!("one TCP connection per member, {}", self.wire.name())
    }
}

struct TcpReceiver {
    members: Arc<[Member]>,
    wire: Arc<dyn Wire>,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    buffer: Vec<u8>,
    clock: Clock,
}

impl Receiver for TcpReceiver {
    fn receive(&mut self, wait: Duration, sink: &mut dyn Sink) -> io::Result<u64> {
        let wait = EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::ZERO);
        let ready = match self.epoll.wait(&mut self.events, wait) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut messages = 0;
        for at in 0..ready {
            messages += self.empty(self.events[at].data() as u32, sink)?;
        }
        Ok(messages)
    }
}

impl TcpReceiver {
    /// Reads until nothing is left. A connection that ended is a member that
    /// hears nothing more: what does not arrive shows it.
    fn empty(&mut self, member: u32, sink: &mut dyn Sink) -> io::Result<u64> {
        let own = &self.members[member as usize];
        let mut partial = lock(&own.partial);
        let mut messages = 0;
        loop {
            let kept = partial.len();
            self.buffer[..kept].copy_from_slice(&partial);
            let read = match (&own.stream).read(&mut self.buffer[kept..kept + READ_BYTES]) {
                Ok(0) => return Ok(messages),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(messages),
            };
            let now = self.clock.now();
            let bytes = &self.buffer[..kept + read];
            let (used, found) = take_frames(&*self.wire, own, bytes, &mut |body| sink.take(member, now, body))?;
            messages += found;
            partial.clear();
            partial.extend_from_slice(&bytes[used..]);
            if read < READ_BYTES {
                return Ok(messages);
            }
        }
    }
}

/// Hands over what is whole; bytes used, and messages among them.
fn take_frames(wire: &dyn Wire, own: &Member, bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> io::Result<(usize, u64)> {
    let (mut used, mut messages) = (0, 0);
    loop {
        match wire.read(&bytes[used..]) {
            Frame::Message { body, len } => {
                take(body);
                messages += 1;
                used += len;
            }
            Frame::Other { len, answer } => {
                if !answer.is_empty() {
                    let _writing = lock(&own.writing);
                    own.write(answer)?;
                }
                used += len;
            }
            Frame::Partial if bytes.len() - used <= FRAME_BYTES_MAX => return Ok((used, messages)),
            Frame::Partial | Frame::Broken => {
                let start = String::from_utf8_lossy(&bytes[used..bytes.len().min(used + 80)]).into_owned();
                return Err(io::Error::other(format!("the server does not speak {}: {start:?}", wire.name())));
            }
        }
    }
}
