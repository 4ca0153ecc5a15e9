//! The memory between the kernel and the core. A turn's datagrams come in
//! through an [`Inbox`], what the core wants sent goes out through an
//! [`Outbox`]. Everything is taken once in `new` and reused: nothing here
//! grows, knows a protocol or makes a system call.

mod casts;
mod inbox;
mod outbox;
mod roster;
mod tally;
mod trains;

pub use casts::Audience;
pub use inbox::{Datagram, Inbox, SLOT_BYTES};
pub use outbox::{Item, Outbox, Speaker};
pub use roster::{MemberIndex, RoomIndex, Roster, Rosters};
pub use tally::{SEND_DROPS, SendDrop, SendTally};

use std::net::{IpAddr, SocketAddr};

/// What buffers are filled with when they are taken. Not zero: pages of zeros
/// are only lent, and the first large turn would wait for each of them, and
/// show as memory that its members cost.
const FRESH: u8 = 0xFF;

/// The two ends of a datagram's way: who is at the far end, and which of our
/// addresses they used (known only to a socket bound to a wildcard; answers
/// must leave from that address, or a peer behind a NAT never sees them).
///
/// Addresses are canonical: an IPv4 host is always `SocketAddr::V4`, however
/// it reached the socket, so one host is one key in every table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The peer's address.
    pub remote: SocketAddr,
    /// The address of ours that the peer used; `None`: the socket's own.
    pub local: Option<IpAddr>,
}

impl Path {
    /// A path to `remote` from the socket's own address.
    pub const fn to(remote: SocketAddr) -> Self {
        Self { remote, local: None }
    }
}
