//! Owns the count of what became of each copy. Never decides it: `net` does.

/// Why a copy was not handed to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum SendDrop {
    /// The send buffer stayed full past the deadline (EAGAIN).
    Blocked,
    /// The kernel had no buffers, even after short retries (ENOBUFS).
    NoBuffers,
    /// The destination is known to be gone (ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, EPERM, twice).
    Unreachable,
    /// The kernel takes no such datagram for that destination (EMSGSIZE, EACCES, EINVAL).
    Refused,
    /// Any other error.
    Other,
}

/// Every [`SendDrop`] with its name in counters, in order.
pub const SEND_DROPS: [(SendDrop, &str); 5] = [
    (SendDrop::Blocked, "send_blocked"),
    (SendDrop::NoBuffers, "send_no_buffers"),
    (SendDrop::Unreachable, "send_unreachable"),
    (SendDrop::Refused, "send_refused"),
    (SendDrop::Other, "send_other"),
];

/// What became of the copies: `offered = sent + the sum of dropped`, always,
/// once the outbox is flushed. One copy is one datagram to one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendTally {
    /// Copies that the core asked for, computed from members and messages, not from what was sent.
    pub offered: u64,
    /// Of these: datagrams to the members of numbered rooms, each of which can hold many messages.
    pub offered_cast: u64,
    /// Of these: datagrams to one address.
    pub offered_single: u64,
    /// Copies that the kernel took.
    pub sent: u64,
    /// Copies that it did not, by [`SendDrop`].
    pub dropped: [u64; SEND_DROPS.len()],
    /// Times that a train was refused and its messages were sent again one by one.
    pub trains_refused: u64,
}

impl SendTally {
    /// Copies offered to the members of the plain room, a message each.
    pub fn offered_plain(&self) -> u64 {
        self.offered - self.offered_cast - self.offered_single
    }

    /// Counts `copies` as dropped for `cause`.
    pub fn drop(&mut self, cause: SendDrop, copies: u64) {
        self.dropped[cause as usize] += copies;
    }

    /// Copies dropped for any cause.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Whether every copy that was asked for is accounted for.
    pub fn balances(&self) -> bool {
        self.offered == self.sent + self.dropped_total()
    }
}
