//! What the relay is told by its operator, and what it tells its surroundings.

use super::bans::{Ban, BanTarget};
use crate::config::Limits;
use crate::metrics::LeaveReason;
use std::net::SocketAddr;
use std::sync::Arc;

/// Something that happened, for those who keep a view or a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member came.
    Joined {
        /// Its address.
        remote: SocketAddr,
        /// Its name, unique among the members.
        name: Arc<str>,
        /// When, in seconds of Unix time.
        unix_s: u64,
        /// Whether it speaks the native protocol.
        native: bool,
    },
    /// A plain member is here again that was so before the relay was started anew.
    Restored {
        /// Its address.
        remote: SocketAddr,
        /// Its name, unique among the members.
        name: Arc<str>,
        /// When, in seconds of Unix time.
        unix_s: u64,
    },
    /// A member went.
    Left {
        /// Its address.
        remote: SocketAddr,
        /// Its name.
        name: Arc<str>,
        /// Why.
        reason: LeaveReason,
    },
    /// A native member is reached at another address.
    Moved {
        /// Its former address.
        from: SocketAddr,
        /// Its address.
        to: SocketAddr,
    },
    /// A native member has another name.
    Renamed {
        /// Its address.
        remote: SocketAddr,
        /// Its name.
        name: Arc<str>,
    },
    /// A member is mute from now on, or not any more.
    Muted {
        /// Its address.
        remote: SocketAddr,
        /// Which of both.
        muted: bool,
    },
    /// Somebody, member or not, sent a text. Only while the console is on.
    Heard {
        /// Its address.
        remote: SocketAddr,
        /// What it sent, cut at 1024 bytes.
        text: Box<[u8]>,
    },
}

/// Whom a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever is at this address.
    Address(SocketAddr),
    /// The member of this name.
    Name(String),
}

impl Target {
    /// `127.0.0.1:5000` or a name. Members are known by their canonical address.
    pub fn parse(text: &str) -> Self {
        match text.parse::<SocketAddr>() {
            // Only v4-mapped ones change by it.
            Ok(addr) if addr.ip().to_canonical().is_ipv4() => {
                Self::Address(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
            }
            Ok(addr) => Self::Address(addr),
            Err(_) => Self::Name(text.to_owned()),
        }
    }
}

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sends a line: exactly as it is to the one peer if there is one, else
    /// to all as `[relay] ...`.
    Say(String),
    /// Sends a line to all as `[relay] ...`.
    Announce(String),
    /// Sends a line exactly as it is to one address heard from.
    To(Target, String),
    /// Removes a member and refuses its address for a minute.
    Kick(Target),
    /// What a member says is dropped from now on.
    Mute(Target),
    /// It is not any more.
    Unmute(Target),
    /// Sets a ban, and removes in the next steps whom it covers.
    Ban(Ban),
    /// Lifts one.
    Unban(BanTarget),
    /// Lets nobody new in from now on; or the limits decide again.
    Lockdown(bool),
    /// Lets nobody in any more, tells the members, and sends the native ones
    /// to this `host:port` of at most 64 bytes.
    Drain(Option<Box<str>>),
    /// Takes over what can change while the relay runs: see [`Limits::changed_to`].
    Reconfigure(Box<Limits>),
    /// Tells the members that the relay stops. Nothing else follows.
    Shutdown,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sent to this address, as typed.
    SentTo(SocketAddr),
    /// Sent to so many members, as `[relay] ...`.
    SentToAll(usize),
    /// The member at this address was removed.
    Kicked(SocketAddr),
    /// The member at this address is mute.
    Muted(SocketAddr),
    /// The member at this address is not mute.
    Unmuted(SocketAddr),
    /// The ban holds.
    Banned,
    /// The ban is lifted.
    Unbanned,
    /// There are as many bans as there can be.
    BansFull,
    /// Whether nobody new is let in.
    LockedDown(bool),
    /// Nobody is let in, and the members know.
    Draining,
    /// The limits hold.
    Reconfigured,
    /// Nobody of that name or address is here, or was heard from lately.
    NoSuch,
    /// Nobody is here, and more than one or none was heard from lately.
    NobodyHere,
    /// The line is empty, or with the `[relay] ` before it longer than a datagram may be.
    BadLength,
    /// The members have been told.
    ShutDown,
}
