//! The operator's thread: a unix socket for `outcry ctl`, the files that
//! outlive the relay, reload and drain. It gives the loop one entry of its
//! queue for a command and reads lists from the directory, so that nothing it
//! does stalls a turn. Never touches the network, a flag or a setting.

mod atomic;
mod bans;
mod bounded;
mod claim;
mod client;
mod desk;
mod members;
mod protocol;
mod socket;
mod takeover;
mod work;

pub use bans::BansError;
pub use claim::{Claim, ClaimError, Committed, Standing, Taken};
pub use client::{AskError, Client};
pub use members::{Former, StateError, read as read_members};
pub use protocol::{Answer, Ask, BanRow, PeerRow, RoomRow};
pub use socket::{SocketError, default_path, likely_paths};

use crate::config::{self, Config, ControlAt, LogLevel};
use crate::relay::Ban;
use crate::server::Server;
use bans::BanBook;
use desk::{Desk, Round};
use mio::{Events, Poll, Token, Waker};
use socket::Place;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use takeover::Claimant;
use work::{Kept, Work};

const ORDERS: Token = Token(1);
const EVENTS_MAX: usize = 64;
/// Orders that can wait.
const ORDERS_MAX: usize = 16;
/// How often a drain looks whether the relay is empty.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// What the control thread needs of the program around it.
pub trait Surroundings: Send {
    /// Reads the settings again, and checks all of them.
    ///
    /// # Errors
    /// There is nothing to read, or something is wrong with it, and where.
    fn read(&mut self) -> Result<Reloaded, String>;

    /// This configuration is in force now.
    fn changed(&mut self, config: &Config);

    /// The least severe event to log from now on.
    fn log(&mut self, level: LogLevel);

    /// The relay drains: so many members are still here.
    fn draining(&mut self, members: usize);

    /// The relay is about to end.
    fn stopping(&mut self);

    /// Whether a service manager takes the end of this process for the relay's.
    fn is_watched(&self) -> bool;

    /// The listener of the admin face, if there is one: it goes to whoever takes over.
    fn admin(&self) -> Option<OwnedFd>;
}

/// Settings that were read again.
pub struct Reloaded {
    /// What is to be in force: what is, and what can change at once.
    pub config: Config,
    /// Keys that change at once.
    pub changed: Vec<String>,
    /// Keys that need a restart.
    pub restart: Vec<String>,
}

/// The files that outlive the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files {
    bans: Option<PathBuf>,
    state: Option<PathBuf>,
    /// How often the latter is written though nobody came or went: it is to be
    /// younger than members may be silent, whenever it is read.
    refresh: Duration,
}

impl Files {
    fn of(config: &Config) -> Self {
        let idle_ms = if config.limits.idle_ms == 0 { u64::MAX } else { config.limits.idle_ms };
        let refresh = Duration::from_millis(config::STATE_REFRESH_MS.min(idle_ms / 2));
        Self { bans: config.ban_file.clone(), state: config.state_file.clone(), refresh }
    }
}

/// What is asked of the control thread by others than its clients.
enum Order {
    Reload,
    Drain,
    End,
}

/// Gives orders to the control thread; never waits.
#[derive(Clone)]
pub struct Orders {
    queue: SyncSender<Order>,
    waker: Arc<Waker>,
}

impl Orders {
    /// Reload. What came of it stands in the log.
    pub fn reload(&self) {
        self.give(Order::Reload);
    }

    /// Let nobody in, and end when empty or after the usual time.
    pub fn drain(&self) {
        self.give(Order::Drain);
    }

    fn give(&self, order: Order) {
        if self.queue.try_send(order).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

/// What is ready to become the control thread: its files are read, its socket is open.
pub struct Prepared {
    bans: BanBook,
    files: Files,
    desk: Option<(Desk, Place)>,
    /// There are bans that the file does not know.
    has_more_bans: bool,
    poll: Poll,
    waker: Arc<Waker>,
}

/// The control thread.
pub struct Control {
    orders: Orders,
    thread: JoinHandle<()>,
}

/// Why there is no control thread.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The bans cannot be read: a relay without them would let the banned in.
    #[error(transparent)]
    Bans(#[from] BansError),
    /// The system gives no way to wait for clients.
    #[error("cannot wait for clients of the control socket: {0}")]
    Poll(#[from] io::Error),
}

impl Prepared {
    /// Reads the bans.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new(config: &Config) -> Result<Self, ControlError> {
        let (files, poll) = (Files::of(config), Poll::new()?);
        let waker = Arc::new(Waker::new(poll.registry(), ORDERS)?);
        Ok(Self { bans: BanBook::read(files.bans.clone())?, files, desk: None, has_more_bans: false, poll, waker })
    }

    /// Opens the socket.
    ///
    /// # Errors
    /// It cannot be made there, or another relay listens at it.
    pub fn listen(&mut self, path: &Path) -> Result<(), SocketError> {
        let (listener, place) = socket::listen(path)?;
        self.serve_at(path, listener, place)
    }

    fn serve_at(&mut self, path: &Path, listener: UnixListener, place: Place) -> Result<(), SocketError> {
        let desk = self.poll.registry().try_clone().and_then(|registry| Desk::new(listener, registry));
        let desk = desk.map_err(|error| SocketError::Unmakable(path.to_owned(), error))?;
        self.desk = Some((desk, place));
        Ok(())
    }

    /// Opens the socket that is to be at `at`, unless it is that of the relay at
    /// `from`, which is to be taken over.
    ///
    /// # Errors
    /// It cannot be made there, or a third relay listens at it.
    pub fn listen_beside(&mut self, at: &ControlAt, from: &Path) -> Result<(), SocketError> {
        match at {
            ControlAt::Path(path) if !socket::are_one(path, from) => self.listen(path),
            _ => Ok(()),
        }
    }

    /// Takes what a relay that stands still leaves behind: its bans, and its
    /// control socket, unless this one is to have none, or has another.
    ///
    /// # Errors
    /// It is gone from its place.
    pub fn take_over(&mut self, at: &ControlAt, standing: &mut Standing) -> Result<(), SocketError> {
        let now = unix_now_s();
        self.has_more_bans = !standing.bans.is_empty();
        for row in std::mem::take(&mut standing.bans) {
            self.bans.add(row, now);
        }
        let wants_it = self.desk.is_none() && !matches!(at, ControlAt::None);
        let Some(listener) = standing.control.take().filter(|_| wants_it) else { return Ok(()) };
        standing.keeps_socket = true;
        self.serve_at(&standing.place, listener, Place::of(&standing.place)?)
    }

    /// The bans that hold now, for the core.
    pub fn bans(&self) -> Vec<Ban> {
        self.bans.bans(unix_now_s())
    }

    /// Starts the thread. A control socket that was taken over is this process's from now on.
    pub fn start(self, server: &Server, surroundings: Box<dyn Surroundings>) -> Control {
        let (relay, directory, address) = (server.handle(), server.directory(), server.local_addr());
        let Self { bans, files, desk, has_more_bans, poll, waker } = self;
        let (queue, orders) = mpsc::sync_channel(ORDERS_MAX);
        let kept = Kept::default();
        let work = Work { relay, address, directory, surroundings, bans, files, drain_until: None, kept };
        let (desk, mut place) = desk.unzip();
        let thread = std::thread::spawn(move || {
            place.iter_mut().for_each(Place::claim);
            if has_more_bans {
                // Where it fails the log says so.
                let _ = work.keep_bans();
            }
            let is_kept = Thread { work, desk, orders, poll }.run();
            place.into_iter().filter(|_| is_kept).for_each(Place::leave);
        });
        Control { orders: Orders { queue, waker }, thread }
    }
}

impl Control {
    /// How others give it orders.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Ends it, when the relay has ended: members are written a last time.
    pub fn end(self) {
        // It may be busy, and is not for long.
        let _ = self.orders.queue.send(Order::End);
        let _ = self.orders.waker.wake();
        let _ = self.thread.join();
    }
}

struct Thread {
    work: Work,
    desk: Option<Desk>,
    orders: Receiver<Order>,
    poll: Poll,
}

impl Thread {
    /// Until the end. Returns whether another process listens at the socket then.
    fn run(mut self) -> bool {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut more = false;
        loop {
            let wait = if more { Some(Duration::ZERO) } else { self.wait(now()) };
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "the control socket is closed");
                    return false;
                }
                Ok(()) => {}
            }
            if !self.obey() {
                self.work.keep_members(now(), true);
                return false;
            }
            let round = self.serve();
            more = round.more;
            if let Some(taken) = round.claimant.and_then(|claimant| self.hand_over(claimant)) {
                return taken.keeps_socket;
            }
            self.work.end_drain(now());
            self.work.keep_members(now(), false);
        }
    }

    /// How long nothing is to be done, unless somebody comes.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let drain = self.work.drain_until.map(|_| DRAIN_LOOK);
        let every = Duration::from_millis(config::STATE_EVERY_MS).min(self.work.files.refresh);
        let state = self.work.files.state.as_ref().map(|_| every);
        let client = self.desk.as_ref().and_then(Desk::next_end);
        let client = client.map(|end| end.saturating_duration_since(now) + Duration::from_millis(1));
        [drain, state, client].into_iter().flatten().min()
    }

    /// Does what was ordered. False: it is over.
    fn obey(&mut self) -> bool {
        while let Ok(order) = self.orders.try_recv() {
            let done = match order {
                Order::Reload => self.work.reload(),
                Order::Drain => self.work.drain(None, None, now()),
                Order::End => return false,
            };
            if let Err(why) = done {
                tracing::error!("{why}");
            }
        }
        true
    }

    fn hand_over(&mut self, claimant: Claimant) -> Option<takeover::Taken> {
        let Some(desk) = &self.desk else { return None };
        self.work.hand_over(claimant, desk.listener())
    }

    fn serve(&mut self) -> Round {
        let Some(desk) = &mut self.desk else { return Round::default() };
        let (now, work) = (now(), &mut self.work);
        desk.accept(now);
        desk.serve(now, &mut |ask| work.answer(ask, now))
    }
}

#[expect(clippy::disallowed_methods, reason = "clients and drains end by real time, whatever the relay's is")]
fn now() -> Instant {
    Instant::now()
}

/// The time by which bans and files are dated, in seconds of Unix time.
#[expect(clippy::disallowed_methods, reason = "bans and files are of a date, which outlives the relay's clock")]
pub fn unix_now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
