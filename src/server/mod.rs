//! The server: one mio loop that owns the socket, the memory, the relay and
//! the only clock. Never decides what a datagram means, never touches a byte.
//!
//! One turn is one batch received, handled and flushed. The order of work is
//! fixed: what is blocked first (what cannot be answered is not read), then
//! commands, errors, datagrams, timers, and last the views of others.

mod clock;
mod handle;
#[cfg(unix)]
mod handover;
mod pulse;
mod report;

pub use handle::{Handle, Notice};
#[cfg(unix)]
pub use handover::{IMAGE_VERSION, ImageError, Offer};
pub use report::Report;

#[cfg(unix)]
pub use crate::net::{InheritError, inherited_socket, udp_socket};

use crate::Time;
use crate::batch::{Inbox, Outbox, SendTally};
use crate::config::{self, Config};
use crate::directory::Directory;
use crate::metrics::{Histograms, LeaveReason};
use crate::net::{BindError, Flushed, Io, Received, Socket, SocketOptions};
use crate::relay::{Ban, Command, Event, Outcome, Relay};
use clock::Clock;
use handle::{Request, Requests};
use mio::{Events, Poll, Token};
use pulse::Pulse;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

/// The log's target for who came and went: address, name, reason.
pub const AUDIT: &str = "audit";

const SOCKET: Token = Token(0);
const REQUESTS: Token = Token(1);
/// Readiness events taken from one poll: a socket and a waker, with room to spare.
const EVENTS_MAX: usize = 8;
/// Requests that other threads can have waiting.
const REQUESTS_MAX: usize = 64;

/// Why a server could not be started, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The socket could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system gave no random bytes for the relay's secrets.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// What another process handed over cannot be taken up.
    #[cfg(unix)]
    #[error("what was handed over cannot be taken up: {0}")]
    Image(#[from] ImageError),
    /// The socket itself is broken: no error of a datagram or a peer.
    #[error("receiving from the socket failed: {0}")]
    Receive(io::Error),
    /// Waiting for the socket failed.
    #[error("waiting for the socket failed: {0}")]
    Poll(#[from] io::Error),
}

/// A relay on a socket.
///
/// ```
/// use outcry::{config::Config, server::Server};
///
/// let mut server = Server::bind(&Config::for_bind("127.0.0.1:0".parse()?))?;
/// println!("listening on {}", server.local_addr());
/// let handle = server.handle();
/// let running = std::thread::spawn(move || server.run());
/// handle.shut_down();
/// let report = running.join().expect("the loop does not panic")?;
/// assert!(report.balances());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    poll: Poll,
    events: Events,
    socket: Socket,
    inbox: Inbox,
    outbox: Outbox,
    relay: Relay,
    directory: Arc<Directory>,
    clock: Clock,
    requests: Requests,
    observer: Option<SyncSender<Notice>>,
    tally: SendTally,
    histograms: Histograms,
    notices_lost: u64,
    /// Datagrams may be waiting. epoll is edge-triggered: it does not say so
    /// again, so this stays true until a receive finds nothing.
    readable: bool,
    /// The error queue may hold something.
    errors: bool,
    /// The send buffer is full: flush again by then, or give up.
    blocked_until: Option<Time>,
    /// When the turn whose outbox is being flushed began.
    turn_began: Time,
    stats_every: Duration,
    stats_due: Option<Time>,
    pulse: Option<Pulse>,
    /// Whether timers went before the datagrams in this turn; they alternate.
    timers_first: bool,
    /// The loop has not turned for as long as another process was asked to take its place.
    has_stood_still: bool,
    /// Timers wait for what came meanwhile, at most until then.
    catch_up_until: Option<Time>,
    stopping: bool,
    /// Another process goes on with the socket and the members.
    is_handed_over: bool,
    /// The poll no longer takes the socket: the end of the loop.
    broken: Option<io::Error>,
    base_bytes: u64,
}

impl Server {
    /// Opens the socket and takes all memory.
    ///
    /// # Errors
    /// The address cannot be bound, or the system gives no random numbers.
    pub fn bind(config: &Config) -> Result<Self, ServerError> {
        let socket = Socket::bind(config.bind, &socket_options(config))?;
        Self::with_socket(config, socket)
    }

    /// The same on a socket that is already bound; `config.bind` should be its address.
    ///
    /// # Errors
    /// The kernel lacks a feature, or the system gives no random numbers.
    pub fn adopt(config: &Config, socket: UdpSocket) -> Result<Self, ServerError> {
        let socket = Socket::adopt(socket, &socket_options(config))?;
        Self::with_socket(config, socket)
    }

    fn with_socket(config: &Config, socket: Socket) -> Result<Self, ServerError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(ServerError::Random)?;
        let relay = Relay::new(&config.limits, socket.local_addr(), seed);
        Self::with_relay(config, socket, relay, Clock::start())
    }

    fn with_relay(config: &Config, mut socket: Socket, relay: Relay, clock: Clock) -> Result<Self, ServerError> {
        let poll = Poll::new()?;
        poll.registry().register(&mut socket, SOCKET, mio::Interest::READABLE)?;
        let requests = Requests::new(poll.registry(), REQUESTS, REQUESTS_MAX)?;
        let stats_every = Duration::from_millis(config.stats_every_ms);
        let mut server = Self {
            relay,
            inbox: Inbox::new(config::INBOX_DATAGRAMS),
            outbox: Outbox::new(config::INBOX_DATAGRAMS, config::DATAGRAM_BYTES_MAX),
            events: Events::with_capacity(EVENTS_MAX),
            directory: Arc::new(Directory::new(config.limits.peers_max as usize)),
            observer: None,
            tally: SendTally::default(),
            histograms: Histograms::default(),
            notices_lost: 0,
            readable: true,
            errors: false,
            blocked_until: None,
            turn_began: clock.now(),
            stats_every,
            stats_due: (!stats_every.is_zero()).then(|| clock.now() + stats_every),
            pulse: None,
            timers_first: false,
            has_stood_still: false,
            catch_up_until: None,
            stopping: false,
            is_handed_over: false,
            broken: None,
            base_bytes: 0,
            poll,
            socket,
            clock,
            requests,
        };
        server.base_bytes = report::resident_bytes();
        Ok(server)
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// What the operator should know about the socket: one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.socket.buffers().warnings()
    }

    /// How other threads speak to the running server.
    pub fn handle(&self) -> Handle {
        self.requests.handle()
    }

    /// Who is here, for other threads.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// Tells `observer` what happens: events of the console, and statistics.
    /// The loop never waits for it; what it cannot take is lost and counted.
    pub fn observe(&mut self, observer: SyncSender<Notice>) {
        self.observer = Some(observer);
    }

    /// Makes the loop call `beat` this often, from its turns: a loop that is
    /// stuck calls it no more. It must not wait.
    pub fn beat_every(&mut self, every: Duration, beat: impl FnMut() + Send + 'static) {
        self.pulse = Some(Pulse::new(every, self.clock.now(), beat));
    }

    /// Runs until it is told to stop, of which the members are told, too, or
    /// until another process has taken its place.
    ///
    /// # Errors
    /// Waiting for the socket failed: nothing that a peer can cause.
    pub fn run(mut self) -> Result<Report, ServerError> {
        while !self.stopping || self.is_blocked() {
            self.turn(None)?;
        }
        if !self.is_handed_over {
            self.socket.release();
        }
        Ok(self.report())
    }

    /// What was counted so far.
    pub fn report(&self) -> Report {
        self.books().with_memory()
    }

    /// The same without what a system call tells: whoever asks makes that one.
    fn books(&self) -> Report {
        Report {
            uptime_ns: self.clock.now().nanos(),
            members: self.relay.members(),
            sessions: self.relay.sessions(),
            rooms: self.relay.rooms(),
            counters: self.relay.counters().clone(),
            copies: self.tally,
            kernel_drops: self.socket.kernel_drops(),
            notices_lost: self.notices_lost,
            turn_messages: self.histograms.turn_messages.summary(),
            train_messages: self.histograms.train_messages.summary(),
            sojourn_ns: self.histograms.sojourn_ns.summary(),
            base_bytes: self.base_bytes,
            resident_bytes: 0,
        }
    }

    /// The copies offered, sent and dropped so far.
    pub fn copies(&self) -> SendTally {
        self.tally
    }

    /// One pass of the loop; waits for work at most `wait`, or as long as it
    /// takes. [`run`](Self::run) does nothing but this.
    ///
    /// # Errors
    /// Waiting for the socket failed.
    pub fn turn(&mut self, wait: Option<Duration>) -> Result<(), ServerError> {
        self.wait(wait)?;
        if let Some(pulse) = &mut self.pulse {
            pulse.turn(self.clock.now());
        }
        if self.errors {
            self.errors = false;
            self.socket.drain_errors();
        }
        if self.is_blocked() {
            self.flush();
        }
        // Each of these may block the socket, and does nothing while it is.
        self.handle_requests();
        if self.stopping {
            return Ok(());
        }
        self.handle_unreachables();
        // Where every receive ends blocked, timers behind it would never run.
        self.timers_first = !self.timers_first;
        if self.timers_first {
            self.handle_deadlines();
        }
        self.receive()?;
        self.handle_deadlines();
        self.broken.take().map_or(Ok(()), |error| Err(error.into()))
    }

    fn is_blocked(&self) -> bool {
        self.blocked_until.is_some()
    }

    /// Whether the socket has been read empty, its errors too: the next turn would wait.
    pub fn is_idle(&self) -> bool {
        !self.has_work() && !self.is_blocked()
    }

    /// Whether something is there to be done that brings no event. An ICMP
    /// error that a receive or a send met was read after its turn had begun.
    fn has_work(&self) -> bool {
        self.readable || self.socket.has_unreachable()
    }

    fn wait(&mut self, most: Option<Duration>) -> io::Result<()> {
        let now = self.clock.now();
        let timeout = if self.has_work() && !self.is_blocked() {
            Some(Duration::ZERO)
        } else {
            let due = self.next_deadline().map(|due| due.since(now));
            due.into_iter().chain(most).min()
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in self.events.iter().filter(|event| event.token() == SOCKET) {
            self.readable |= event.is_readable();
            self.errors |= event.is_error();
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Time> {
        match self.blocked_until {
            Some(until) => Some(until),
            None => {
                let pulse_due = self.pulse.as_ref().map(Pulse::due);
                self.relay.next_deadline().into_iter().chain(self.stats_due).chain(pulse_due).min()
            }
        }
    }

    fn handle_requests(&mut self) {
        while !self.is_blocked() && !self.stopping {
            let Some(request) = self.requests.next() else { return };
            match request {
                Request::Command(command, answer) => {
                    let now = self.clock.now();
                    let outcome = self.relay.handle_command(now, command, &mut self.outbox);
                    self.stopping |= outcome == Outcome::ShutDown;
                    if matches!(outcome, Outcome::ShutDown | Outcome::Draining) {
                        self.requests.set_unready();
                    }
                    self.end_turn(now);
                    while self.stopping && !self.is_blocked() && self.relay.shut_some_sessions(&mut self.outbox) {
                        self.end_turn(now);
                    }
                    self.end_turn(now);
                    // Whoever asked may have gone; that is no concern of the loop.
                    _ = answer.try_send(outcome);
                }
                Request::Report(answer) => _ = answer.try_send(self.books()),
                Request::Rooms(place, answer) => {
                    _ = answer.try_send(self.relay.room_views(place, config::ROOMS_PER_VIEW));
                }
                Request::Slow(answer) => _ = answer.try_send(self.relay.slow_members()),
                Request::Reconfigure(config, answer) => _ = answer.try_send(self.reconfigure(*config)),
                #[cfg(unix)]
                Request::HandOver(asked) => self.hand_over(&asked),
            }
        }
    }

    fn reconfigure(&mut self, config: Config) -> Outcome {
        let now = self.clock.now();
        self.stats_every = Duration::from_millis(config.stats_every_ms);
        self.stats_due = (!self.stats_every.is_zero()).then(|| now + self.stats_every);
        self.relay.handle_command(now, Command::Reconfigure(Box::new(config.limits)), &mut self.outbox)
    }

    /// Lets plain members in that were here before: their addresses and names.
    /// To be called before the first turn. Returns how many came.
    pub fn restore<'n>(&mut self, members: impl IntoIterator<Item = (SocketAddr, &'n str)>) -> usize {
        let now = self.clock.now();
        let restored = members.into_iter().filter(|(remote, name)| self.relay.restore(now, *remote, name)).count();
        self.apply_events();
        restored
    }

    /// Whoever is at this address, or comes from it within the hour, is mute.
    /// To be called before the first turn, and for plain members after [`restore`](Self::restore).
    pub fn restore_mute(&mut self, remote: SocketAddr) {
        let now = self.clock.now();
        self.relay.restore_mute(now, remote);
        self.apply_events();
    }

    /// Sets a ban before the first turn. Returns whether there was room for it.
    pub fn ban(&mut self, ban: Ban) -> bool {
        let now = self.clock.now();
        self.relay.handle_command(now, Command::Ban(ban), &mut self.outbox) == Outcome::Banned
    }

    fn handle_unreachables(&mut self) {
        if self.is_blocked() {
            return;
        }
        let now = self.clock.now();
        while !self.outbox.is_full() {
            let Some(remote) = self.socket.next_unreachable() else { break };
            self.relay.handle_unreachable(now, remote, &mut self.outbox);
        }
        self.end_turn(now);
    }

    /// Reads until nothing waits, or the budget is spent, of batches or of time: `readable` then
    /// stays true and the next poll does not wait.
    fn receive(&mut self) -> Result<(), ServerError> {
        let began = self.clock.now();
        for _ in 0..config::RECEIVE_BATCHES_PER_TURN {
            let now = self.clock.now();
            let is_late = now.since(began) >= Duration::from_millis(config::RECEIVE_MS_PER_TURN);
            if !self.readable || self.is_blocked() || is_late {
                break;
            }
            self.inbox.set_limit(config::batch_datagrams(self.relay.members()));
            match self.socket.receive(&mut self.inbox) {
                Received::Filled => {
                    self.handle_inbox(now);
                    self.end_turn(now);
                }
                Received::Drained => self.readable = false,
                Received::Pending => self.socket.drain_errors(),
                Received::Failed(error) => return Err(ServerError::Receive(error)),
            }
        }
        Ok(())
    }

    fn handle_inbox(&mut self, now: Time) {
        for datagram in self.inbox.datagrams() {
            if datagram.truncated {
                self.relay.handle_truncated(now, datagram.path, &mut self.outbox);
            } else {
                self.relay.handle_datagram(now, datagram.path, datagram.bytes, &mut self.outbox);
            }
        }
    }

    fn handle_deadlines(&mut self) {
        if self.is_blocked() || self.catches_up() {
            return;
        }
        let now = self.clock.now();
        if self.relay.next_deadline().is_some_and(|due| due <= now) {
            self.relay.handle_deadline(now, &mut self.outbox);
            self.end_turn(now);
        }
        if self.stats_due.is_some_and(|due| due <= now) {
            self.stats_due = Some(now + self.stats_every);
            let report = self.report();
            self.tell(Notice::Stats(Box::new(report)));
        }
    }

    /// Whether something waits that was sent while the loop stood still: a sign
    /// of life, say, that is older than the deadline which it would have moved.
    fn catches_up(&mut self) -> bool {
        let now = self.clock.now();
        if std::mem::take(&mut self.has_stood_still) {
            self.readable = true;
            self.catch_up_until = Some(now + Duration::from_millis(config::CATCH_UP_MS));
        }
        let readable = self.readable;
        self.catch_up_until = self.catch_up_until.filter(|&until| readable && now < until);
        self.catch_up_until.is_some()
    }

    /// Sends what the core wants sent, and brings the views up to date.
    fn end_turn(&mut self, began: Time) {
        self.turn_began = began;
        self.relay.end_turn(began, &mut self.outbox);
        if self.outbox.is_empty() {
            self.apply_events();
        } else {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let now = self.clock.now();
        let large = self.relay.members() >= config::UNWATCHED_MEMBERS_MIN && !self.is_blocked();
        if large {
            self.watch(false);
        }
        let flushed = self.socket.flush(now, &mut self.outbox, &self.relay, &mut self.tally);
        if large {
            self.watch(true);
        }
        match (flushed, self.blocked_until) {
            (Flushed::Done, _) => self.end_flush(),
            (Flushed::Blocked, Some(until)) if until <= now => {
                self.socket.abandon(&mut self.outbox, &self.relay, &mut self.tally);
                self.end_flush();
            }
            (Flushed::Blocked, Some(_)) => {}
            (Flushed::Blocked, None) => {
                self.blocked_until = Some(now + Duration::from_millis(config::BLOCKED_DEADLINE_MS));
                self.wait_for_writable(true);
            }
        }
    }

    /// All of a turn's copies are sent, or counted as dropped.
    fn end_flush(&mut self) {
        if self.blocked_until.take().is_some() {
            self.wait_for_writable(false);
        }
        let messages = self.outbox.messages() as u64;
        if messages > 0 {
            let stayed = self.clock.now().since(self.turn_began);
            self.histograms.sojourn_ns.record(u64::try_from(stayed.as_nanos()).unwrap_or(u64::MAX), messages);
            self.histograms.turn_messages.record(messages, 1);
            for length in self.outbox.train_lengths() {
                self.histograms.train_messages.record(u64::from(length), 1);
            }
        }
        self.apply_events();
        for speaker in self.outbox.speakers().iter().filter(|speaker| speaker.lines > 0) {
            self.directory.count(speaker.path.remote, u64::from(speaker.lines), u64::from(speaker.bytes));
        }
        for (remote, messages, bytes) in self.relay.said() {
            self.directory.count(*remote, u64::from(*messages), u64::from(*bytes));
        }
        self.outbox.clear();
        debug_assert!(self.tally.balances(), "every copy is accounted for: {:?}", self.tally);
    }

    /// Takes the socket out of the poll for a large flush, or back in. epoll is
    /// called for every buffer that a watched socket frees, even for events
    /// that nobody asked for: that is 4 % of a copy. Coming back reports
    /// whatever is ready by then, so no edge is lost.
    fn watch(&mut self, on: bool) {
        let registry = self.poll.registry();
        let changed = if on {
            registry.register(&mut self.socket, SOCKET, mio::Interest::READABLE)
        } else {
            registry.deregister(&mut self.socket)
        };
        self.broken = self.broken.take().or(changed.err());
    }

    fn wait_for_writable(&mut self, on: bool) {
        let changed = self.socket.watch_writable(self.poll.registry(), SOCKET, on);
        self.broken = self.broken.take().or(changed.err());
    }

    fn apply_events(&mut self) {
        while let Some(event) = self.relay.poll_event() {
            self.apply(event);
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Joined { remote, name, unix_s, native } => {
                tracing::info!(target: AUDIT, %remote, name = &*name, "joined");
                self.directory.insert(remote, name, native, unix_s);
            }
            Event::Restored { remote, name, unix_s } => {
                tracing::info!(target: AUDIT, %remote, name = &*name, "here again, as before the start");
                self.directory.insert(remote, name, false, unix_s);
            }
            Event::Left { remote, name, reason } => {
                // Those who stay to the end are in the directory after it: a restart may want them.
                if reason != LeaveReason::Shutdown {
                    self.directory.remove(remote);
                }
                log_leave(remote, &name, reason);
            }
            Event::Moved { from, to } => {
                tracing::info!(target: AUDIT, %from, %to, "moved to another address");
                self.directory.rekey(from, to);
            }
            Event::Renamed { remote, name } => {
                tracing::info!(target: AUDIT, %remote, name = &*name, "renamed");
                self.directory.rename(remote, name);
            }
            Event::Muted { remote, muted } => self.directory.mute(remote, muted),
            Event::Heard { remote, text } => self.tell(Notice::Heard { remote, text }),
        }
    }

    fn tell(&mut self, notice: Notice) {
        match self.observer.as_ref().map(|observer| observer.try_send(notice)) {
            Some(Err(TrySendError::Full(_))) => self.notices_lost += 1,
            Some(Err(TrySendError::Disconnected(_))) => self.observer = None,
            Some(Ok(())) | None => {}
        }
    }
}

fn log_leave(remote: SocketAddr, name: &str, reason: LeaveReason) {
    let why = reason.name();
    match reason {
        LeaveReason::Mirror => tracing::warn!(
            target: AUDIT, %remote, name, reason = why,
            "quarantined for 60 s: it sends back what others say (--mirror-guard off turns this off)"
        ),
        LeaveReason::Banned => tracing::info!(target: AUDIT, %remote, name, reason = why, "removed by a ban"),
        LeaveReason::Kicked => tracing::info!(target: AUDIT, %remote, name, reason = why, "kicked, refused for 60 s"),
        _ => tracing::info!(target: AUDIT, %remote, name, reason = why, "left"),
    }
}

fn socket_options(config: &Config) -> SocketOptions {
    SocketOptions {
        io: match config.io {
            config::Io::Auto => Io::Auto,
            config::Io::Portable => Io::Portable,
        },
        rcvbuf_bytes: config.rcvbuf_bytes as usize,
        sndbuf_bytes: config.sndbuf_bytes as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::LeaveReason;
    use std::sync::mpsc;
    use std::thread;

    const MOMENT: Duration = Duration::from_millis(20);

    fn server(change: impl FnOnce(&mut Config)) -> Server {
        let mut config = Config::for_bind("127.0.0.1:0".parse().unwrap());
        change(&mut config);
        Server::bind(&config).unwrap()
    }

    /// Members of these names, each with its socket.
    fn members<const N: usize>(server: &mut Server, names: [&str; N]) -> [UdpSocket; N] {
        let sockets = names.map(|name| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(name.as_bytes(), server.local_addr()).unwrap();
            socket
        });
        settle(server);
        assert_eq!(server.relay.members(), N);
        sockets
    }

    fn settle(server: &mut Server) {
        server.turn(Some(MOMENT)).unwrap();
        while !server.is_idle() {
            server.turn(Some(MOMENT)).unwrap();
        }
    }

    /// The flush after a blocked one goes on with it, and is not blocked.
    fn clog_every_other_flush(server: &mut Server) {
        let mut flushes = 0;
        server.socket.clog(move || {
            flushes += 1;
            flushes % 2 == 1
        });
    }

    #[test]
    fn timers_have_their_turn_though_every_receive_ends_blocked() {
        let mut server = server(|config| config.stats_every_ms = 100);
        let (observer, notices) = mpsc::sync_channel(8);
        server.observe(observer);
        let [alice, _bob] = members(&mut server, ["alice", "bob"]);
        clog_every_other_flush(&mut server);
        let until = server.clock.now() + Duration::from_millis(300);
        while server.clock.now() < until {
            alice.send_to(b"alice : hi", server.local_addr()).unwrap();
            server.turn(Some(MOMENT)).unwrap();
        }
        assert!(notices.try_recv().is_ok(), "no statistics for three times their interval");
    }

    #[test]
    fn a_command_does_not_wait_for_batch_after_slow_batch() {
        let mut server = server(|_| {});
        let [alice, _bob] = members(&mut server, ["alice", "bob"]);
        let slow = Duration::from_millis(config::RECEIVE_MS_PER_TURN);
        server.socket.clog(move || {
            thread::sleep(slow);
            false
        });
        for _ in 0..2 * config::INBOX_DATAGRAMS {
            alice.send_to(b"alice : hi", server.local_addr()).unwrap();
        }
        server.turn(Some(MOMENT)).unwrap();
        let relayed = server.report().counters.relayed;
        assert!(relayed <= config::INBOX_DATAGRAMS as u64, "{relayed} before the next look at commands");
        assert!(!server.is_idle(), "the rest is not forgotten");
        settle(&mut server);
        assert!(server.report().counters.relayed > relayed);
    }

    #[cfg(unix)]
    #[test]
    fn what_came_while_the_loop_stood_still_goes_before_what_fell_due() {
        for turns_before in 0..2 {
            let mut server = server(|config| config.limits.idle_ms = 5_000);
            let [alice, _bob] = members(&mut server, ["alice", "bob"]);
            (0..turns_before).for_each(|_| server.turn(Some(MOMENT)).unwrap());
            // Of somebody who had to join again it would be the name.
            alice.send_to(b"hi", server.local_addr()).unwrap();
            let (asked, offered) = mpsc::sync_channel(1);
            // Whoever asked is gone.
            drop(offered);
            server.hand_over(&asked);
            server.set_clock(server.clock.now().nanos() + 6_000_000_000);
            settle(&mut server);
            server.turn(Some(MOMENT)).unwrap();
            let here: Vec<_> = server.directory.members().iter().map(|member| member.name.to_string()).collect();
            assert_eq!(here, ["alice"]);
        }
    }

    #[test]
    fn an_idle_loop_wakes_for_its_pulse() {
        let mut server = server(|_| {});
        let (beats, heard) = mpsc::channel();
        server.beat_every(MOMENT, move || beats.send(()).unwrap());
        while heard.try_recv().is_err() {
            server.turn(None).unwrap();
        }
    }

    #[test]
    fn a_socket_that_is_taken_over_brings_what_waits_in_it() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"alice", addr).unwrap();
        let mut server = Server::adopt(&Config::for_bind(addr), socket).unwrap();
        settle(&mut server);
        assert_eq!((server.local_addr(), server.relay.members()), (addr, 1));
    }

    #[test]
    fn a_batch_is_as_long_as_its_members_are_few() {
        let mut inbox = Inbox::new(config::INBOX_DATAGRAMS);
        let expected = [(0, 256), (10, 256), (1000, 200), (10_000, 20), (1_000_000, 16)];
        for (members, datagrams) in expected {
            inbox.set_limit(config::batch_datagrams(members));
            assert_eq!(inbox.limit(), datagrams, "{members} members");
        }
    }

    #[test]
    fn nobody_known_as_unreachable_is_left_for_the_next_datagram() {
        let mut server = server(|_| {});
        let [alice, bob] = members(&mut server, ["alice", "bob"]);
        drop(bob);
        for _ in 0..10 {
            alice.send_to(b"alice : hi", server.local_addr()).unwrap();
            settle(&mut server);
            assert!(!server.socket.has_unreachable());
        }
    }

    #[test]
    fn nothing_follows_a_shutdown() {
        let mut server = server(|_| {});
        let _members = members(&mut server, ["alice", "bob"]);
        server.socket.clog(|| true);
        let asking: Vec<_> = (0..3)
            .map(|_| {
                let handle = server.handle();
                thread::spawn(move || handle.shut_down())
            })
            .collect();
        thread::sleep(MOMENT);
        let report = server.run().unwrap();
        asking.into_iter().for_each(|asked| asked.join().unwrap());
        assert_eq!(report.counters.left(LeaveReason::Shutdown), 2);
        assert!(report.balances(), "{report}");
    }
}
