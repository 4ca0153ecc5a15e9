//! How members reach the target: sockets, joining, leaving, sending and
//! receiving. Knows bytes and members, not what a message means.
//! UDP in `udp` and `shared`, `native` on top of them, publish-subscribe servers
//! over TCP in `tcp`.

pub mod limits;
pub mod native;
pub mod plain;
pub mod protocol;
pub mod shared;
mod slots;
pub mod tcp;
pub mod udp;

pub use native::NativeFigures;
pub use protocol::Protocol;

use crate::clock::Clock;
use crate::rooms::Rooms;
use outcry::client::{AccessKey, Event};
use std::io;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How members are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sockets {
    /// A socket each up to 16,000 members, 16 shared ones beyond.
    Auto,
    /// A socket each.
    PerClient,
    /// So many sockets for all.
    Shared(u32),
}

impl FromStr for Sockets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "per-client" => Ok(Self::PerClient),
            _ => {
                let count = text.strip_prefix("shared:").and_then(|count| count.parse().ok());
                count.map(Self::Shared).ok_or_else(|| format!("`{text}`: write auto, per-client or shared:16"))
            }
        }
    }
}

impl Sockets {
    const AUTO_SHARED: u32 = 16;

    /// How many sockets are shared by `members`; `None`: a socket each.
    pub fn shared(self, members: u32) -> Option<u32> {
        match self {
            Self::Auto => (members > udp::MEMBERS_MAX).then_some(Self::AUTO_SHARED),
            Self::PerClient => None,
            Self::Shared(count) => Some(count),
        }
    }

    /// Whether that many members, received by so many threads, can be made.
    pub fn fits(self, members: u32, rx_threads: u32) -> bool {
        match self.shared(members) {
            None => members <= udp::MEMBERS_MAX,
            // A member's thread must be its socket's thread.
            Some(count) => {
                members <= shared::MEMBERS_MAX
                    && (1..=shared::SOCKETS_MAX).contains(&count)
                    && count % rx_threads.max(1) == 0
            }
        }
    }

    /// What would fit.
    pub fn bounds(self, rx_threads: u32) -> String {
        match self {
            Self::PerClient => {
                format!("--sockets per-client takes at most {} members; try --sockets shared:16", udp::MEMBERS_MAX)
            }
            _ => format!(
                "shared sockets take at most {} members on 1 to {} sockets, a multiple of --rx-threads ({rx_threads})",
                shared::MEMBERS_MAX,
                shared::SOCKETS_MAX
            ),
        }
    }

    /// Opens plain members towards `target`.
    pub fn open(self, target: SocketAddr, members: u32, options: Options) -> Result<Arc<dyn Transport>, String> {
        Ok(match self.shared(members) {
            None => Arc::new(udp::PerClient::open(target, members, options)?),
            Some(count) => Arc::new(shared::Shared::open(target, members, count, options)?),
        })
    }
}

/// How each of the members' sockets is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Receive buffer in bytes, if not the system's.
    pub receive_buffer: Option<usize>,
    /// UDP_GRO (udp(7)): a train that the target sent is received whole.
    pub gro: bool,
}

/// Where native members go, and what lets them in.
#[derive(Clone, Debug)]
pub struct Venue {
    /// The room's name; the beginning of it where there are several.
    pub room: String,
    /// How many rooms the members are spread over.
    pub rooms: u32,
    /// The relay's access key, if it has one.
    pub access_key: Option<AccessKey>,
}

impl Venue {
    /// Not the lobby: there a relay turns every message into a line for plain members too.
    pub const ROOM_DEFAULT: &'static str = "loadgen";
}

impl Default for Venue {
    fn default() -> Self {
        Self { room: Self::ROOM_DEFAULT.into(), rooms: 1, access_key: None }
    }
}

/// What one visit to the kernel brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Messages, of any kind.
    pub messages: u64,
    /// What the kernel handed over for them: fewer with UDP_GRO. Its drop
    /// counters count these.
    pub datagrams: u64,
}

impl AddAssign for Taken {
    fn add_assign(&mut self, more: Self) {
        self.messages += more.messages;
        self.datagrams += more.datagrams;
    }
}

/// Takes what a member received. Called on the receiving thread, once per copy.
pub trait Sink {
    /// `bytes` reached `member` at `now` (ns of the run's clock).
    fn take(&mut self, member: u32, now: u64, bytes: &[u8]);

    /// `member` learnt that nobody listens at the target.
    fn refused(&mut self, _member: u32) {}

    /// What `member`'s native client tells, before anything is made of it.
    fn event(&mut self, _member: u32, _now: u64, _event: &Event<'_>) {}
}

/// All members of a run, shared by sending and receiving threads. What a plain
/// member does is the default; other protocols have their own.
pub trait Transport: Send + Sync {
    /// How many members there are.
    fn members(&self) -> u32;

    /// The name of a member, as it stands before ` : ` in its messages.
    fn name(&self, member: u32) -> String {
        plain::name(member)
    }

    /// Asks the target to let a member in. May be repeated.
    fn join(&self, member: u32) -> io::Result<()> {
        self.send(member, plain::name(member).as_bytes())
    }

    /// The same for several, in any order, as fast as they can be sent. The
    /// first error ends it.
    fn join_all(&self, members: &[u32]) -> io::Result<()> {
        members.iter().try_for_each(|member| self.join(*member))
    }

    /// Takes a member out; best effort.
    fn leave(&self, member: u32) -> io::Result<()> {
        self.send(member, plain::leave_line(member).as_bytes())
    }

    /// Sends one message as `member`.
    fn send(&self, member: u32, message: &[u8]) -> io::Result<()>;

    /// Answers a text that asks for something before it lets a member in.
    /// Called for texts that are no message of ours, while joining only.
    fn answer(&self, member: u32, text: &[u8]) -> io::Result<()> {
        match plain::challenge_code(text) {
            Some(code) => self.send(member, format!("{} : {code}", plain::name(member)).as_bytes()),
            None => Ok(()),
        }
    }

    /// The receiving half for the members `thread`, `thread + threads`, ...
    /// Those at or above `reading` are not read.
    fn receiver(&self, thread: u32, threads: u32, reading: u32, clock: Clock) -> io::Result<Box<dyn Receiver>>;

    /// Where each member is reached; empty where that is not UDP.
    fn addresses(&self) -> Vec<SocketAddr>;

    /// What a report must say about how members were made.
    fn label(&self) -> String;

    /// Which member is in which room.
    fn rooms(&self) -> Rooms {
        Rooms::new(1, self.members())
    }

    /// After so long without anything, nothing is under way any more.
    fn quiet(&self) -> Duration {
        Duration::from_millis(600)
    }

    /// Why members are not let in, if the target said so.
    fn complaint(&self) -> Option<String> {
        None
    }

    /// What native clients counted so far. Asks each of them: not while measuring.
    fn native(&self) -> Option<NativeFigures> {
        None
    }
}

/// One thread's receiving half, made and used on that thread.
pub trait Receiver {
    /// Waits up to `wait` for anything, hands it to `sink`, and returns how
    /// much there was.
    fn receive(&mut self, wait: Duration, sink: &mut dyn Sink) -> io::Result<Taken>;
}
