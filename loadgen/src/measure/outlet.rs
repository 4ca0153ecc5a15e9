//! How the reflector reaches the members it feeds: prepared datagrams, entries
//! of a room, or the frames of a TCP protocol on connections that the members opened.

use super::podium::Podium;
use crate::members::{Protocol, Transport};
use outcry::net::Prebuilt;
use std::collections::HashSet;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// More members than these make no difference to receiving, and one train to
/// all of a million would not fit the sockets.
const DESTINATIONS_MAX: usize = 16_000;
/// Datagrams that wait at one socket, at most: of its own, and shared, where
/// the buffer is larger.
const OUTSTANDING_EACH: u64 = 64;
const OUTSTANDING_SHARED: u64 = 8_000;

/// Makes members towards an address.
pub(super) type Open<'a> = &'a dyn Fn(SocketAddr) -> Result<Arc<dyn Transport>, String>;

/// Sends to every member, and does nothing else.
pub(super) enum Outlet {
    Datagrams { socket: UdpSocket, destinations: Vec<SocketAddr> },
    Entries(Podium),
    Streams { protocol: Protocol, streams: Vec<TcpStream>, frames: Vec<u8> },
}

impl Outlet {
    /// An outlet for `protocol`, and the members that `open` makes towards it.
    pub(super) fn open(protocol: Protocol, open: Open<'_>) -> Result<(Self, Arc<dyn Transport>), String> {
        let failed = |error: io::Error| format!("cannot open a socket: {error}");
        if protocol.is_udp() {
            let socket = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
            let transport = open(socket.local_addr().map_err(failed)?)?;
            if protocol == Protocol::Native {
                let podium = Podium::open(socket, &*transport, DESTINATIONS_MAX)?;
                return Ok((Self::Entries(podium), transport));
            }
            let mut destinations = transport.addresses();
            destinations.truncate(DESTINATIONS_MAX);
            return Ok((Self::Datagrams { socket, destinations }, transport));
        }
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let target = listener.local_addr().map_err(failed)?;
        let opened = AtomicBool::new(false);
        let (transport, streams) = std::thread::scope(|scope| {
            let accepting = scope.spawn(|| accept(&listener, &opened));
            let transport = open(target);
            opened.store(true, Relaxed);
            (transport, accepting.join())
        });
        let (transport, streams) = (transport?, streams.map_err(|_| "a thread of the generator panicked")?);
        let mut streams = streams.map_err(failed)?;
        // Speakers' second connections come after those that listen.
        streams.truncate(transport.members() as usize);
        Ok((Self::Streams { protocol, streams, frames: Vec::new() }, transport))
    }

    /// Members that are sent to.
    pub(super) fn receivers(&self) -> u32 {
        match self {
            Self::Datagrams { destinations, .. } => destinations.len() as u32,
            Self::Entries(podium) => podium.destinations().len() as u32,
            Self::Streams { streams, .. } => streams.len() as u32,
        }
    }

    /// Copies that may be under way: more would measure the drops.
    pub(super) fn room(&self) -> u64 {
        let each = OUTSTANDING_EACH * u64::from(self.receivers());
        match self {
            Self::Datagrams { destinations, .. } => each.min(shared_room(destinations)),
            Self::Entries(podium) => each.min(shared_room(podium.destinations())),
            Self::Streams { .. } => each,
        }
    }

    /// Sends `messages`, each of `len` bytes, to every member; the copies sent.
    pub(super) fn send(&mut self, messages: &[u8], len: u16) -> io::Result<u64> {
        match self {
            Self::Datagrams { socket, destinations } => {
                let segments = (messages.len() > usize::from(len)).then_some(len);
                Prebuilt::new(socket, destinations, messages, segments)?.send_all()
            }
            Self::Entries(podium) => podium.say(messages, usize::from(len.max(1))),
            Self::Streams { protocol, streams, frames } => {
                frames.clear();
                let each = messages.chunks(usize::from(len.max(1)));
                let count = each.map(|message| protocol.frame_copy(message, frames)).count() as u64;
                streams.iter_mut().try_for_each(|stream| stream.write_all(frames))?;
                Ok(count * streams.len() as u64)
            }
        }
    }
}

fn shared_room(destinations: &[SocketAddr]) -> u64 {
    let ports: HashSet<u16> = destinations.iter().map(SocketAddr::port).collect();
    OUTSTANDING_SHARED * ports.len() as u64
}

/// Takes connections until no more will be opened.
fn accept(listener: &TcpListener, opened: &AtomicBool) -> io::Result<Vec<TcpStream>> {
    listener.set_nonblocking(true)?;
    let mut streams = Vec::new();
    loop {
        // Before accepting: what was opened by now is in the queue.
        let last = opened.load(Relaxed);
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                streams.push(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && last => return Ok(streams),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_micros(200)),
            Err(error) => return Err(error),
        }
    }
}
