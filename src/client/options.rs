//! Owns what a program chooses: who it is, which rooms, which key; and the
//! client's limits. Never changes while the client runs.

use super::seal::RoomKey;
use crate::wire::handshake::PROOF_BYTES;
use crate::wire::id::{Instance, KeyId};
use std::fmt;
use thiserror::Error;

/// Rooms that a client is in at most: what a relay allows a session.
pub const ROOMS_MAX: usize = 32;
/// Messages that wait in a room to be sent or acknowledged: some 100 bytes each beside the payload.
pub const SEND_QUEUE_MESSAGES_MAX: usize = 4096;
/// Their payload in bytes.
pub const SEND_QUEUE_BYTES_MAX: usize = 1 << 20;
/// Entries of a room that wait for an earlier one: some 100 bytes each beside the payload.
pub const HELD_ENTRIES_MAX: usize = 4096;
/// Their payload in bytes.
pub const HELD_BYTES_MAX: usize = 1 << 20;
/// Events that wait to be fetched; while there are more, what arrives is dropped and asked for again.
pub const EVENTS_MAX: usize = 65_536;
/// Their text and payload in bytes.
pub const EVENT_BYTES_MAX: usize = 8 << 20;
/// Private messages that wait to be sent or acknowledged.
pub const DIRECTS_MAX: usize = 256;
/// Questions that wait for their answer.
pub const REQUESTS_MAX: usize = 128;
/// Members of a room whose name is known: some 130 bytes each.
pub const NAMES_MAX: usize = 8192;

/// Who the client is and how it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The wanted name: 1 to 64 bytes without control characters. Told under which in [`Event::Joined`](super::Event::Joined).
    pub name: String,
    /// Random per program run; 0: drawn from the seed. A program that starts
    /// again with the instance and within ten minutes is the same member.
    pub instance: Instance,
    /// What the relay's access key file holds, if it has one.
    pub access_key: Option<AccessKey>,
    /// Whether names are kept and asked for. Who does not show them saves the memory.
    pub names: bool,
}

impl Options {
    /// Under this name, without an access key.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), instance: Instance(0), access_key: None, names: true }
    }
}

/// The key of a relay that lets in only who knows it.
#[derive(Clone)]
pub struct AccessKey([u8; 32]);

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(..)")
    }
}

impl AccessKey {
    /// The key that the bytes of a key file stand for; a line end at their end does not count.
    pub fn from_file(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Self(blake3::derive_key("outcry 1 access", bytes))
    }

    /// What proves to a relay that the key is known.
    pub(super) fn prove(&self, parts: [&[u8]; 2]) -> [u8; PROOF_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        parts.iter().for_each(|part| _ = hasher.update(part));
        let mut proof = [0; PROOF_BYTES];
        hasher.finalize_xof().fill(&mut proof);
        proof
    }
}

/// Which room, and how.
#[derive(Clone, Debug)]
pub struct RoomSpec {
    /// Its name: 1 to 64 bytes without control characters.
    pub name: String,
    /// The key of a sealed room.
    pub key: Option<RoomKey>,
    /// Whether it stands in lists, if it is made by this join.
    pub listed: bool,
    /// How many of the entries before the join are fetched, as far as the relay keeps them.
    pub history: u32,
}

impl RoomSpec {
    /// An open room, listed, without history.
    pub fn open(name: impl Into<String>) -> Self {
        Self { name: name.into(), key: None, listed: true, history: 0 }
    }

    /// The room where plain and native members meet.
    pub fn lobby() -> Self {
        Self::open("lobby")
    }

    /// A sealed room, not listed, without history. The key must be of this name.
    pub fn sealed(name: impl Into<String>, key: RoomKey) -> Self {
        Self { name: name.into(), key: Some(key), listed: false, history: 0 }
    }

    /// With the last `entries` before the join.
    #[must_use]
    pub fn with_history(mut self, entries: u32) -> Self {
        self.history = entries;
        self
    }

    /// Listed or not.
    #[must_use]
    pub fn with_listing(mut self, listed: bool) -> Self {
        self.listed = listed;
        self
    }

    pub(super) fn key_id(&self) -> KeyId {
        self.key.as_ref().map_or(KeyId(0), RoomKey::id)
    }

    pub(super) fn is_lobby(&self) -> bool {
        self.key.is_none() && self.name == "lobby"
    }
}

/// Why something cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// The client has ended.
    #[error("the connection is closed: open a new one")]
    Closed,
    /// No room has that id.
    #[error("not in that room: join it first")]
    NoRoom,
    /// The same room is joined already.
    #[error("already in that room")]
    Already,
    /// More than [`ROOMS_MAX`] rooms.
    #[error("in {ROOMS_MAX} rooms already: leave one first")]
    TooManyRooms,
    /// A name is empty, over 64 bytes, or has control characters.
    #[error("a name has 1 to 64 bytes and no control characters")]
    Name,
    /// The payload does not fit in one message.
    #[error("too long: at most {max} bytes")]
    TooLong {
        /// Bytes that would fit.
        max: usize,
    },
    /// Kinds 1 to 31 are the protocol's own.
    #[error("a message is text (kind 0) or of kind 32 to 255; a sealed room takes text only")]
    Kind,
    /// Too much waits already.
    #[error("too much is waiting to be sent: wait until some of it is delivered")]
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_is_no_part_of_the_key() {
        let proof = |file: &[u8]| AccessKey::from_file(file).prove([b"a", b"b"]);
        assert_eq!(proof(b"0123456789abcdef\n"), proof(b"0123456789abcdef"));
        assert_eq!(proof(b"0123456789abcdef\r\n"), proof(b"0123456789abcdef"));
        assert_ne!(proof(b"0123456789abcdef\n\n"), proof(b"0123456789abcdef"));
        assert_ne!(proof(b"0123456789abcdeg"), proof(b"0123456789abcdef"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let key = RoomKey::from_secret("den", &[7; 32]);
        let shown = format!("{:?} {:?}", AccessKey::from_file(&[7; 32]), RoomSpec::sealed("den", key));
        assert!(!shown.contains("7, 7"), "{shown}");
    }
}
