//! Members behind real sockets, and the relay's side of them.

use super::script::at;
use crate::batch::{Inbox, Outbox, Path, Roster, SendTally};
use crate::net::{Flushed, Io, Received, Socket, SocketOptions};
use mio::{Events, Interest, Poll, Token};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Longer than any wait that ends well.
const DEADLINE: Duration = Duration::from_secs(20);

/// A relay's socket with all that goes with it.
pub(super) struct Relay {
    pub(super) socket: Socket,
    pub(super) poll: Poll,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) roster: Roster,
    pub(super) tally: SendTally,
}

/// One received datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) path: Path,
    pub(super) bytes: Vec<u8>,
    pub(super) truncated: bool,
}

impl Relay {
    pub(super) fn bind(addr: &str, io: Io) -> Self {
        Self::with_options(addr, &SocketOptions { io, ..Default::default() })
    }

    pub(super) fn with_options(addr: &str, options: &SocketOptions) -> Self {
        let mut socket = Socket::bind(addr.parse().unwrap(), options).unwrap();
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut socket, Token(0), Interest::READABLE).unwrap();
        Self {
            socket,
            poll,
            inbox: Inbox::new(16),
            outbox: Outbox::new(64, 1200),
            roster: Roster::new(64),
            tally: SendTally::default(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.socket.local_addr().port()
    }

    /// Receives `count` datagrams.
    pub(super) fn receive(&mut self, count: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        while seen.len() < count {
            match self.socket.receive(&mut self.inbox) {
                Received::Filled => seen.extend(self.inbox.datagrams().map(|datagram| Seen {
                    path: datagram.path,
                    bytes: datagram.bytes.to_vec(),
                    truncated: datagram.truncated,
                })),
                Received::Drained => self.wait(),
                Received::Pending => self.socket.drain_errors(),
                Received::Failed(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen.len(), count);
        seen
    }

    fn wait(&mut self) {
        let mut events = Events::with_capacity(4);
        self.poll.poll(&mut events, Some(DEADLINE)).unwrap();
        assert!(!events.is_empty(), "nothing came in {DEADLINE:?}");
    }

    pub(super) fn join(&mut self, peers: &[&UdpSocket]) {
        for peer in peers {
            self.roster.push(Path::to(peer.local_addr().unwrap()));
        }
    }

    pub(super) fn announce(&mut self, messages: &[&[u8]]) {
        for message in messages {
            self.outbox.announce(None, message);
        }
    }

    pub(super) fn flush(&mut self) {
        let flushed = self.socket.flush(at(0), &mut self.outbox, &self.roster, &mut self.tally);
        assert_eq!(flushed, Flushed::Done);
        assert!(self.tally.balances(), "{:?}", self.tally);
        self.outbox.clear();
    }

    /// Sends `bytes` along `path`.
    pub(super) fn answer(&mut self, path: Path, bytes: &[u8]) {
        self.outbox.unicast(path, bytes);
        self.flush();
        assert_eq!(self.tally.dropped_total(), 0, "{:?}", self.tally);
    }
}

/// A member's socket.
pub(super) fn peer(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Reads `count` datagrams.
pub(super) fn hear(peer: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut bytes = vec![0; 64 * 1024];
    let mut next = || peer.recv(&mut bytes).map(|len| bytes[..len].to_vec());
    (0..count).map(|_| next().unwrap()).collect()
}

/// On loopback, what was sent has arrived when the call returns.
pub(super) fn assert_silent(peer: &UdpSocket) {
    peer.set_nonblocking(true).unwrap();
    let heard = peer.recv(&mut [0; 2048]);
    assert!(heard.is_err(), "{heard:?} bytes more than expected");
    peer.set_nonblocking(false).unwrap();
}

/// A port where nobody listens, and which no socket bound to port 0 is given.
pub(super) fn dead_addr() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// Whether this host has IPv6; says so if not.
pub(super) fn has_v6(test: &str) -> bool {
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        println!("SKIPPED {test}: this host has no IPv6");
    }
    has
}
