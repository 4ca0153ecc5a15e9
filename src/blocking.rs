//! Owns a small driver for [`Client`]: one UDP socket, one clock, no thread of
//! its own. Never knows what a datagram means.
//!
//! # Use
//!
//! ```no_run
//! use outcry::blocking::Connection;
//! use outcry::client::{Event, Options, RoomSpec};
//! use std::time::Duration;
//!
//! let mut connection = Connection::open("relay.example:9999", Options::new("alice"))?;
//! let lobby = connection.join(RoomSpec::lobby().with_history(20))?;
//! connection.send(lobby, b"hello")?;
//! loop {
//!     match connection.receive(Duration::from_secs(60))? {
//!         Some(Event::Message(message)) => println!("{}", String::from_utf8_lossy(&message.payload)),
//!         Some(Event::Closed { why, .. }) => break println!("{why}"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), outcry::blocking::Error>(())
//! ```
//!
//! One thread calls [`Connection::receive`] again and again: within it everything
//! happens that takes time, repairs and reconnects included. Other threads
//! speak through a [`Speaker`], of which there can be many; what they say goes
//! out at once. A program that only sends calls `receive` as well, until it has
//! heard of [`Event::Delivered`].

use crate::Time;
use crate::client::{Client, Code, DATAGRAM_BYTES, End, Event, MemberId, Options, RequestId, RoomId, RoomSpec};
use crate::client::{Counts, Instance, Ticket, Unfit};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// How long an address has to answer while there are others to try; the last
/// one has the 15 s of the protocol.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// How late what another thread has started may be taken notice of.
const NOTICE_WITHIN: Duration = Duration::from_millis(50);
/// Shortest wait for a datagram: zero would mean for ever.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Least time between two new sockets after a change of the network.
const MEND_EVERY: Duration = Duration::from_secs(1);
/// Longest datagram that is received; a longer one is none of the protocol.
const RECEIVE_BYTES: usize = 2048;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum Error {
    /// The address is not known.
    #[error("cannot find {addr}: {source}; expected HOST:PORT, like relay.example:9999")]
    Unknown {
        /// As it was given.
        addr: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing listens there.
    #[error("no relay is listening at {0}: start one, or check the port")]
    NoRelay(String),
    /// The relay does not want a session now.
    #[error("{addr}: {}; it can be asked again in {} s", crate::client::explain(*code), retry.as_secs_f32().ceil())]
    Refused {
        /// As it was given.
        addr: String,
        /// Why.
        code: Code,
        /// When to ask again.
        retry: Duration,
    },
    /// The relay does not want a session at all, or there is none.
    #[error("{addr}: {why}")]
    Ended {
        /// As it was given.
        addr: String,
        /// Why.
        why: End,
    },
    /// The socket fails.
    #[error("cannot use a UDP socket: {0}")]
    Socket(#[from] io::Error),
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The client cannot do that.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// [`Event::Closed`] was told before.
    #[error("the connection is closed: open a new one")]
    Over,
}

/// A member of a relay, and the only receiver of what is told to it. Its verbs
/// are those of its [`Speaker`]. Dropped, it says goodbye once.
pub struct Connection {
    speaker: Speaker,
    is_over: bool,
    /// Where the relay has moved to, until there is a session.
    search: Option<Search>,
}

/// The addresses of a host, tried in turn until one of them answers.
struct Search {
    host: String,
    untried: Vec<SocketAddr>,
    next_at: Time,
}

/// The verbs of a connection, for any thread.
#[derive(Clone)]
pub struct Speaker(Arc<Shared>);

struct Shared {
    clock: Clock,
    addr: String,
    link: Mutex<Link>,
}

/// What both halves work on.
struct Link {
    client: Client,
    socket: Arc<UdpSocket>,
    /// The system cannot send from this socket any more.
    is_cut: bool,
    mended_at: Time,
}

/// Time since the connection was opened.
struct Clock {
    start: Instant,
    start_unix: Duration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a driver has a clock of its own")]
    fn start() -> Self {
        let start_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_unix }
    }

    fn now(&self) -> Time {
        let since = self.start.elapsed();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Time::new(nanos, (self.start_unix + since).as_secs())
    }
}

impl Connection {
    /// Connects to `addr`, as `HOST:PORT`. All addresses of the host are tried
    /// in turn, v6 and v4, until one of them answers.
    ///
    /// # Errors
    /// The address is not known, nothing listens there, the relay refuses, or
    /// the options do not fit.
    pub fn open(addr: &str, mut options: Options) -> Result<Self, Error> {
        if options.instance == Instance(0) {
            options.instance = Instance(getrandom::u64()?);
        }
        let mut remotes = resolve(addr)?.into_iter().peekable();
        let mut failure = Error::NoRelay(addr.to_owned());
        while let Some(remote) = remotes.next() {
            let patience = remotes.peek().map(|_| ANSWER_WAIT);
            match Self::open_at(addr, remote, options.clone(), patience) {
                Ok(connection) => return Ok(connection),
                // A relay has answered: the others are the same one, or none.
                Err(error) if is_an_answer(&error) => return Err(error),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Without a session as yet.
    fn towards(addr: &str, remote: SocketAddr, options: Options) -> Result<Self, Error> {
        let clock = Clock::start();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let client = Client::new(options, seed, clock.now())?;
        let link = Link { client, socket: Arc::new(connect(remote)?), is_cut: false, mended_at: Time::default() };
        let shared = Shared { clock, addr: addr.to_owned(), link: Mutex::new(link) };
        Ok(Self { speaker: Speaker(Arc::new(shared)), is_over: false, search: None })
    }

    /// Connects to one address; `patience`: how long, if not as long as the protocol has it.
    fn open_at(addr: &str, remote: SocketAddr, options: Options, patience: Option<Duration>) -> Result<Self, Error> {
        let mut connection = Self::towards(addr, remote, options)?;
        let end = patience.map(|patience| connection.speaker.0.clock.now() + patience);
        while !connection.is_connected() {
            let now = connection.speaker.0.clock.now();
            if end.is_some_and(|end| end <= now) {
                return Err(Error::Ended { addr: addr.to_owned(), why: End::NoAnswer });
            }
            connection.work(Duration::from_millis(100)).map_err(|error| connection.why_not(error))?;
            connection.expect_hope()?;
        }
        Ok(connection)
    }

    fn why_not(&self, error: io::Error) -> Error {
        match is_refusal(error.kind()) {
            true => Error::NoRelay(self.speaker.0.addr.clone()),
            false => Error::Socket(error),
        }
    }

    /// That the relay has not refused while there was no session yet.
    fn expect_hope(&self) -> Result<(), Error> {
        let mut link = self.speaker.0.lock();
        if link.client.is_connected() {
            return Ok(());
        }
        let addr = self.speaker.0.addr.clone();
        match link.client.poll_event() {
            Some(Event::Refused { code, retry }) => Err(Error::Refused { addr, code, retry }),
            Some(Event::Closed { why, .. }) => Err(Error::Ended { addr, why }),
            _ => Ok(()),
        }
    }

    /// What happened next; `None`: nothing within `timeout`. Text is copied.
    ///
    /// # Errors
    /// [`Event::Closed`] was told before.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Event<'static>>, Error> {
        let end = self.speaker.0.clock.now() + timeout;
        let mut has_worked = false;
        loop {
            if let Some(event) = self.next_event()? {
                return Ok(Some(event));
            }
            if self.is_over {
                return Err(Error::Over);
            }
            let left = end.since(self.speaker.0.clock.now());
            // Who only looks in, too, must take in what has arrived.
            if left.is_zero() && has_worked {
                return Ok(None);
            }
            has_worked = true;
            self.search_on();
            if let Err(error) = self.work(left) {
                self.bear(&error);
            }
        }
    }

    /// What the network says of datagrams sent before is a hint and no end: the
    /// relay may come back, and the client knows how long to wait. ICMP can be
    /// forged, and a firewall that rejects now may not do so in a minute.
    fn bear(&mut self, error: &io::Error) {
        let now = self.speaker.0.clock.now();
        if is_refusal(error.kind()) {
            self.speaker.0.with(Client::relay_unreachable);
            if let Some(search) = &mut self.search {
                search.next_at = now;
            }
        } else {
            self.speaker.0.lock().is_cut = true;
            // An error that does not go away must not keep this thread busy.
            thread::sleep(WAIT_MIN);
        }
    }

    fn next_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        let event = self.speaker.0.lock().client.poll_event().map(Event::into_owned);
        match &event {
            Some(Event::Moved { to }) => {
                let next_at = self.speaker.0.clock.now();
                self.search = Some(Search { host: to.clone().into_owned(), untried: Vec::new(), next_at });
            }
            Some(Event::Connected { .. }) => self.search = None,
            Some(Event::Closed { .. }) => self.is_over = true,
            _ => {}
        }
        Ok(event)
    }

    /// Sends what is due and waits for a datagram, but not longer than `most`.
    fn work(&mut self, most: Duration) -> io::Result<()> {
        let (socket, wait) = {
            let mut link = self.speaker.0.lock();
            let now = self.speaker.0.clock.now();
            link.mend(now);
            if link.client.next_deadline().is_some_and(|due| due <= now) {
                link.client.handle_deadline(now);
            }
            link.flush(now);
            (Arc::clone(&link.socket), self.wait_from(&link, now, most))
        };
        let mut buffer = [0; RECEIVE_BYTES];
        socket.set_read_timeout(Some(wait))?;
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let mut link = self.speaker.0.lock();
                let now = self.speaker.0.clock.now();
                link.client.handle_datagram(now, &buffer[..len]);
                link.flush(now);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn wait_from(&self, link: &Link, now: Time, most: Duration) -> Duration {
        let has_others = Arc::strong_count(&self.speaker.0) > 1;
        let most = if has_others { most.min(NOTICE_WITHIN) } else { most };
        let due =
            link.client.next_deadline().into_iter().chain(self.search.as_ref().map(|search| search.next_at)).min();
        let wait = due.map_or(most, |due| due.since(now).min(most));
        wait.max(WAIT_MIN)
    }

    /// Turns to the next address of where the relay has moved to, when the last one was silent for long enough.
    fn search_on(&mut self) {
        let now = self.speaker.0.clock.now();
        let Some(search) = self.search.as_mut().filter(|search| search.next_at <= now) else { return };
        search.next_at = now + ANSWER_WAIT;
        if search.untried.is_empty() {
            // A host that is not known now is asked for again.
            search.untried = resolve(&search.host).unwrap_or_default();
            search.untried.reverse();
        }
        if let Some(Ok(socket)) = search.untried.pop().map(connect) {
            self.speaker.0.lock().socket = Arc::new(socket);
        }
    }

    /// Another voice of this connection, for another thread.
    pub fn speaker(&self) -> Speaker {
        self.speaker.clone()
    }

    /// Says goodbye, three times within 200 ms. What was not acknowledged is
    /// given up: wait for [`Event::Delivered`] before.
    pub fn close(self) {
        self.speaker.close();
        loop {
            let (now, due) = (self.speaker.0.clock.now(), self.speaker.0.lock().client.next_deadline());
            let Some(due) = due else { return };
            thread::sleep(due.since(now));
            let now = self.speaker.0.clock.now();
            self.speaker.0.lock().flush(now);
        }
    }
}

impl Deref for Connection {
    type Target = Speaker;

    fn deref(&self) -> &Speaker {
        &self.speaker
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.speaker.close();
    }
}

impl Speaker {
    /// As [`Client::join`].
    ///
    /// # Errors
    /// As there.
    pub fn join(&self, spec: RoomSpec) -> Result<RoomId, Unfit> {
        self.0.with(|client, now| client.join(now, spec))
    }

    /// As [`Client::leave`].
    ///
    /// # Errors
    /// As there.
    pub fn leave(&self, room: RoomId) -> Result<(), Unfit> {
        self.0.with(|client, now| client.leave(now, room))
    }

    /// As [`Client::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, room: RoomId, text: &[u8]) -> Result<Ticket, Unfit> {
        self.0.with(|client, now| client.send(now, room, text))
    }

    /// As [`Client::direct`].
    ///
    /// # Errors
    /// As there.
    pub fn direct(&self, to: MemberId, text: &[u8]) -> Result<Ticket, Unfit> {
        self.0.with(|client, now| client.direct(now, to, text))
    }

    /// As [`Client::nick`].
    ///
    /// # Errors
    /// As there.
    pub fn nick(&self, name: &str) -> Result<RequestId, Unfit> {
        self.0.with(|client, now| client.nick(now, name))
    }

    /// As [`Client::who`].
    ///
    /// # Errors
    /// As there.
    pub fn who(&self, room: RoomId) -> Result<RequestId, Unfit> {
        self.0.with(|client, now| client.who(now, room))
    }

    /// As [`Client::list`].
    ///
    /// # Errors
    /// As there.
    pub fn list(&self) -> Result<RequestId, Unfit> {
        self.0.with(Client::list)
    }

    /// Says goodbye once; the receiver is told [`Event::Closed`].
    /// [`Connection::close`] says it as often as it takes.
    pub fn close(&self) {
        self.0.with(Client::close);
    }

    /// Whether there is a session.
    pub fn is_connected(&self) -> bool {
        self.0.lock().client.is_connected()
    }

    /// Who this is to the others, while there is a session.
    pub fn member(&self) -> Option<MemberId> {
        self.0.lock().client.member()
    }

    /// Messages in a room that are neither delivered nor given up.
    pub fn unacknowledged(&self, room: RoomId) -> usize {
        self.0.lock().client.unacknowledged(room)
    }

    /// The smoothed round-trip time.
    pub fn round_trip(&self) -> Duration {
        self.0.lock().client.round_trip()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        *self.0.lock().client.counts()
    }

    /// The relay's address.
    ///
    /// # Errors
    /// The socket fails.
    pub fn remote(&self) -> io::Result<SocketAddr> {
        self.0.lock().socket.peer_addr()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the client, and sends what comes of it.
    fn with<T>(&self, verb: impl FnOnce(&mut Client, Time) -> T) -> T {
        let mut link = self.lock();
        let now = self.clock.now();
        let result = verb(&mut link.client, now);
        link.flush(now);
        result
    }
}

impl Link {
    /// A new socket, where the network has changed under the old one.
    fn mend(&mut self, now: Time) {
        if self.is_cut && now.since(self.mended_at) >= MEND_EVERY {
            self.mended_at = now;
            if let Ok(socket) = self.socket.peer_addr().and_then(connect) {
                self.socket = Arc::new(socket);
                self.is_cut = false;
                self.client.address_changed(now);
            }
        }
    }

    /// Sends all that the client has to send. What the system refuses is lost, and repaired like any loss.
    fn flush(&mut self, now: Time) {
        let mut buffer = [0; DATAGRAM_BYTES];
        while let Some(len) = self.client.poll_transmit(now, &mut buffer) {
            let mut result = self.socket.send(&buffer[..len]);
            if result.as_ref().is_err_and(|error| is_refusal(error.kind())) {
                // That was the answer to an earlier datagram; this one has not been sent.
                self.client.relay_unreachable(now);
                result = self.socket.send(&buffer[..len]);
            }
            self.is_cut |= result.is_err_and(|error| is_cut(error.kind()));
        }
    }
}

/// Whether a relay has spoken, and no other address of it will say something else.
fn is_an_answer(error: &Error) -> bool {
    matches!(
        error,
        Error::Refused { .. } | Error::Unfit(_) | Error::Ended { why: End::Code(_) | End::OtherVersion(_), .. }
    )
}

/// Whether the network says that nothing listens there (Windows calls it a reset).
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

/// Whether the socket's own address is of no use any more.
fn is_cut(kind: ErrorKind) -> bool {
    use ErrorKind::{AddrNotAvailable, HostUnreachable, InvalidInput, NetworkDown, NetworkUnreachable};
    matches!(kind, AddrNotAvailable | HostUnreachable | InvalidInput | NetworkDown | NetworkUnreachable)
}

fn resolve(addr: &str) -> Result<Vec<SocketAddr>, Error> {
    let remotes = addr.to_socket_addrs().map_err(|source| Error::Unknown { addr: addr.to_owned(), source })?;
    Ok(remotes.collect())
}

fn connect(remote: SocketAddr) -> io::Result<UdpSocket> {
    let local: SocketAddr = match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local)?;
    socket.connect(remote)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
