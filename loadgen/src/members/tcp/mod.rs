//! Members of publish-subscribe servers over TCP: a connection each, one room
//! for all, the same messages as over UDP. Connections are opened before
//! anybody joins; to join is to subscribe, to leave is to unsubscribe.
//!
//! TCP_NODELAY everywhere. A sender whose connection is full waits, because
//! that is what the protocol would have it do: the wait is in the latency of
//! what it sends next, and in the sched lag.

pub mod codec;
mod intake;
pub mod mqtt;
pub mod nats;
pub mod redis;
#[cfg(test)]
mod tests;

pub use codec::Codec;

use super::{Receiver, Transport, limits};
use crate::clock::Clock;
use intake::{Intake, Lane};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::HashMap;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most members with a connection each: beyond it ports and memory run out.
pub const MEMBERS_MAX: u32 = 16_000;

/// A server that does not take a message for so long is not going to.
const SEND_PATIENCE_MS: u16 = 1000;
/// A lost SYN is repeated after 1 and 3 seconds.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Connections opened without a pause: what the least backlog in use holds.
const CONNECT_GROUP: u32 = 16;
const CONNECT_PAUSE: Duration = Duration::from_millis(1);

/// A TCP connection per member, and a second one per speaker where the
/// protocol cannot do with one.
pub struct Connections<C> {
    shared: Arc<Shared>,
    codec: PhantomData<C>,
}

/// What sending and receiving threads share.
struct Shared {
    members: Box<[Link]>,
    speakers: HashMap<u32, Link>,
    /// What has been read of a member's stream and not understood yet: a
    /// receiver takes its members' lanes when it is made and puts them back.
    lanes: Mutex<Vec<Option<Lane>>>,
    /// Own copies that were dropped.
    echoes: AtomicU64,
    /// Connections that the server ended, and its first complaint.
    ended: AtomicU64,
    complaint: Mutex<Option<String>>,
}

/// One connection.
struct Link {
    stream: TcpStream,
    writing: Mutex<Writing>,
}

/// The writing half. Behind a lock that only its sender takes, once per
/// message, and the receiver when the server wants an answer; never per copy.
#[derive(Default)]
struct Writing {
    greeted: bool,
    frame: Vec<u8>,
}

impl<C: Codec> Connections<C> {
    /// Connects `members` to `target`; those in `speakers` will send.
    pub fn open(
        target: SocketAddr,
        members: u32,
        speakers: &[u32],
        receive_buffer: Option<usize>,
    ) -> Result<Self, String> {
        if members > MEMBERS_MAX {
            return Err(format!("{members} members with a connection each: the most is {MEMBERS_MAX}"));
        }
        let second: Vec<u32> = if C::ECHOES { speakers.to_vec() } else { Vec::new() };
        limits::allow_sockets(u64::from(members) + second.len() as u64)?;
        let open = |member| Link::open(target, member, receive_buffer);
        let explain = |error: io::Error| explain_connect(target, &error);
        let links = (0..members).map(open).collect::<io::Result<Box<[_]>>>().map_err(explain)?;
        let second = second.into_iter().map(|member| Ok((member, Link::open(target, member, None)?)));
        let shared = Shared {
            lanes: Mutex::new(links.iter().map(|_| Some(Lane::default())).collect()),
            members: links,
            speakers: second.collect::<io::Result<_>>().map_err(explain)?,
            echoes: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            complaint: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared), codec: PhantomData })
    }

    fn say(&self, member: u32, greet: fn(&str, &mut Vec<u8>), words: fn(&mut Vec<u8>)) -> io::Result<()> {
        let id = format!("loadgen-{}-{member}", std::process::id());
        self.shared.members[member as usize].write(|greeted, frame| {
            if !greeted {
                greet(&id, frame);
            }
            words(frame);
        })
    }
}

impl<C: Codec> Transport for Connections<C> {
    fn members(&self) -> u32 {
        self.shared.members.len() as u32
    }

    /// A text in the room asks for nothing: joining is the protocol's own.
    fn answer(&self, _member: u32, _text: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn join(&self, member: u32) -> io::Result<()> {
        self.say(member, C::greet, C::enter)
    }

    fn leave(&self, member: u32) -> io::Result<()> {
        self.say(member, C::greet, C::leave)
    }

    fn send(&self, member: u32, message: &[u8]) -> io::Result<()> {
        if !C::ECHOES {
            return self.shared.members[member as usize].write(|_, frame| C::publish(message, frame));
        }
        let link = self.shared.speakers.get(&member);
        let link = link.ok_or_else(|| io::Error::other(format!("member {member} was not to speak")))?;
        link.write(|greeted, frame| {
            if !greeted {
                C::greet_speaker(frame);
            }
            C::publish(message, frame);
        })
    }

    fn receiver(&self, thread: u32, threads: u32, reading: u32, clock: Clock) -> io::Result<Box<dyn Receiver>> {
        let own = (thread..reading.min(self.members())).step_by(threads as usize);
        Ok(Box::new(Intake::<C>::new(self.shared.clone(), own, clock)?))
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn label(&self) -> String {
        let mut label = format!("one TCP connection per member, {}", C::NAME);
        if C::ECHOES {
            let echoes = self.shared.echoes.load(Relaxed);
            label.push_str(&format!(
                "; a second one per sender; the server sends each sender its own message too: \
                 {echoes} such copies were dropped here and are not counted"
            ));
        }
        match (self.shared.ended.load(Relaxed), &*lock(&self.shared.complaint)) {
            (0, None) => {}
            (ended, None) => label.push_str(&format!("; {ended} connections were ended by the server")),
            (ended, Some(complaint)) => {
                label.push_str(&format!("; {ended} connections were ended by the server, which said: {complaint}"));
            }
        }
        label
    }
}

impl Link {
    fn open(target: SocketAddr, number: u32, receive_buffer: Option<usize>) -> io::Result<Self> {
        if number % CONNECT_GROUP == CONNECT_GROUP - 1 {
            std::thread::sleep(CONNECT_PAUSE);
        }
        let stream = TcpStream::connect_timeout(&target, CONNECT_PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        if let Some(bytes) = receive_buffer
            && setsockopt(&stream, sockopt::RcvBufForce, &bytes).is_err()
        {
            setsockopt(&stream, sockopt::RcvBuf, &bytes)?;
        }
        Ok(Self { stream, writing: Mutex::default() })
    }

    /// Writes what `compose` composes, all of it.
    fn write(&self, compose: impl FnOnce(bool, &mut Vec<u8>)) -> io::Result<()> {
        let mut writing = lock(&self.writing);
        let Writing { greeted, frame } = &mut *writing;
        frame.clear();
        compose(*greeted, frame);
        *greeted = true;
        self.write_all(frame)
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match (&self.stream).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_writable()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait_writable(&self) -> io::Result<()> {
        let mut ready = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut ready, PollTimeout::from(SEND_PATIENCE_MS)) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not read")),
            _ => Ok(()),
        }
    }
}

fn explain_connect(target: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nothing listens at {target} (TCP); start the server first"),
        _ => format!("cannot connect to {target}: {error}"),
    }
}

/// Nothing is left half done under these locks, so a panic elsewhere is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
