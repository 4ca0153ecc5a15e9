//! What the relay is told by its operator, and what it tells its surroundings.

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

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sends a line: exactly as it is to the one peer if there is one, else
    /// to all as `[relay] ...`.
    Say(String),
    /// Sends a line exactly as it is to one address heard from.
    To(Target, String),
    /// Removes a member and refuses its address for a minute.
    Kick(Target),
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
    /// Nobody of that name or address is here, or was heard from lately.
    NoSuch,
    /// Nobody is here, and more than one or none was heard from lately.
    NobodyHere,
    /// The line is empty, or with the `[relay] ` before it longer than a datagram may be.
    BadLength,
    /// The members have been told.
    ShutDown,
}
