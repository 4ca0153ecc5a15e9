//! Owns the clients of the control socket: what each has asked and what it is
//! still to be told, each within bounds. Never does what is asked.

use super::protocol::{Answer, Ask};
use super::takeover::Claimant;
use crate::config::{CONTROL_ASK_BYTES_MAX, CONTROL_BUFFER_BYTES, CONTROL_CLIENTS_MAX, CONTROL_IDLE_MS};
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The listening socket's token; those of clients follow.
pub(super) const LISTENER: Token = Token(0);
const FIRST_CLIENT: usize = 2;
/// Requests of one client before another has its turn.
const ASKS_PER_TURN: usize = 16;

/// An answer, made as its client reads it.
pub(super) type Lines = Box<dyn Iterator<Item = Answer> + Send>;

/// A client of the socket.
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    answer: Option<Lines>,
    /// It sends nothing more; it may still read.
    has_ended: bool,
    until: Instant,
}

/// What a round of all clients has left to be done.
#[derive(Default)]
pub(super) struct Round {
    /// There is more to do at once.
    pub(super) more: bool,
    /// Somebody wants the relay.
    pub(super) claimant: Option<Claimant>,
}

/// What became of a client's turn.
enum Turn {
    /// It has to send or to read before there is more to do.
    Waits,
    /// Others first.
    GoesOn,
    Gone,
    /// It wants the relay: version and process.
    Claims(u32, u32),
}

/// The socket and all its clients.
pub(super) struct Desk {
    listener: UnixListener,
    clients: [Option<Client>; CONTROL_CLIENTS_MAX],
    registry: Registry,
}

impl Desk {
    pub(super) fn new(listener: std::os::unix::net::UnixListener, registry: Registry) -> io::Result<Self> {
        let mut listener = UnixListener::from_std(listener);
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self { listener, clients: [const { None }; CONTROL_CLIENTS_MAX], registry })
    }

    /// Takes in whoever has come. One too many is turned away.
    pub(super) fn accept(&mut self, now: Instant) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let free = self.clients.iter().position(Option::is_none);
            let Some(place) = free else {
                let _ = stream.write(Answer::Failed("too many clients: try again".to_owned()).line().as_bytes());
                continue;
            };
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.registry.register(&mut stream, Token(FIRST_CLIENT + place), both).is_ok() {
                self.clients[place] = Some(Client::new(stream, now));
            }
        }
    }

    /// The socket, for whoever listens next.
    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Does what can be done for each client, by `work`.
    pub(super) fn serve(&mut self, now: Instant, work: &mut dyn FnMut(Ask) -> Lines) -> Round {
        let mut round = Round::default();
        for place in &mut self.clients {
            let Some(client) = place else { continue };
            match client.turn(now, work) {
                Turn::GoesOn => round.more = true,
                Turn::Waits if now < client.until => {}
                Turn::Waits | Turn::Gone => *place = None,
                Turn::Claims(version, pid) => {
                    let claimant = place.take().and_then(|client| client.claimant(&self.registry, version, pid));
                    return Round { more: true, claimant };
                }
            }
        }
        round
    }

    /// When the first client's time is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.clients.iter().flatten().map(|client| client.until).min()
    }
}

impl Client {
    fn new(stream: UnixStream, now: Instant) -> Self {
        let until = now + Duration::from_millis(CONTROL_IDLE_MS);
        Self { stream, input: Vec::new(), output: Vec::new(), answer: None, has_ended: false, until }
    }

    fn turn(&mut self, now: Instant, work: &mut dyn FnMut(Ask) -> Lines) -> Turn {
        for _ in 0..ASKS_PER_TURN {
            match self.write(now) {
                Ok(true) => {}
                Ok(false) => return Turn::Waits,
                Err(_) => return Turn::Gone,
            }
            if let Some(ask) = self.next_ask() {
                self.answer = Some(match ask {
                    Ok(Ask::HandOver { version, pid }) => return Turn::Claims(version, pid),
                    Ok(ask) => work(ask),
                    Err(why) => Box::new(std::iter::once(Answer::Failed(why))),
                });
                continue;
            }
            match self.read(now) {
                _ if self.has_ended => return Turn::Gone,
                Ok(true) => {}
                Ok(false) => return Turn::Waits,
                Err(_) => return Turn::Gone,
            }
        }
        Turn::GoesOn
    }

    /// From now on it is not one of many: its stream waits.
    fn claimant(mut self, registry: &Registry, version: u32, pid: u32) -> Option<Claimant> {
        registry.deregister(&mut self.stream).ok()?;
        Some(Claimant { stream: OwnedFd::from(self.stream).into(), version, pid })
    }

    /// Sends what it is owed. Returns whether it has all.
    fn write(&mut self, now: Instant) -> io::Result<bool> {
        loop {
            while self.output.len() < CONTROL_BUFFER_BYTES
                && let Some(answer) = &mut self.answer
            {
                match answer.next() {
                    Some(answer) => self.output.extend_from_slice(answer.line().as_bytes()),
                    None => self.answer = None,
                }
            }
            if self.output.is_empty() {
                return Ok(true);
            }
            match self.stream.write(&self.output) {
                Ok(sent) => {
                    self.output.drain(..sent);
                    self.is_alive(now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next whole line; what is no request says why.
    fn next_ask(&mut self) -> Option<Result<Ask, String>> {
        let Some(end) = self.input.iter().position(|&byte| byte == b'\n') else {
            let is_long = self.input.len() > CONTROL_ASK_BYTES_MAX;
            return is_long.then(|| {
                self.input.clear();
                self.has_ended = true;
                Err(format!("a request is a line of at most {CONTROL_ASK_BYTES_MAX} bytes"))
            });
        };
        let line: Vec<u8> = self.input.drain(..=end).collect();
        Some(serde_json::from_slice(&line).map_err(|error| format!("no request: {error}")))
    }

    /// Takes in what it has sent. Returns whether there was something.
    fn read(&mut self, now: Instant) -> io::Result<bool> {
        let mut space = [0; CONTROL_ASK_BYTES_MAX];
        match self.stream.read(&mut space) {
            Ok(0) => self.has_ended = true,
            Ok(len) => {
                self.input.extend_from_slice(&space[..len]);
                self.is_alive(now);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    fn is_alive(&mut self, now: Instant) {
        self.until = now + Duration::from_millis(CONTROL_IDLE_MS);
    }
}
