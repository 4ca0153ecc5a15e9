//! Owns the datagram in which a session's frames are answered: as many
//! answers as fit. What does not fit goes in another one.

use crate::wire::downlink::{Builder, Frame};
use crate::wire::header::{DATAGRAM_BYTES_MAX, ROOM_OVERHEAD};
use crate::wire::id::Ccid;

/// Answers to one session, in wire form.
pub(super) struct Reply {
    space: [u8; DATAGRAM_BYTES_MAX],
    ccid: Ccid,
    len: usize,
}

impl Reply {
    pub(super) fn new(ccid: Ccid) -> Self {
        Self { space: [0; DATAGRAM_BYTES_MAX], ccid, len: 0 }
    }

    /// Adds a frame. False: it does not fit; send what is here first.
    pub(super) fn push(&mut self, frame: &Frame<'_>) -> bool {
        self.push_with(|builder| builder.push(frame))
    }

    /// Adds what `build` writes behind the head of a datagram, if it fits as a whole.
    pub(super) fn push_with(&mut self, build: impl FnOnce(&mut Builder<'_>) -> bool) -> bool {
        let mut space = [0; DATAGRAM_BYTES_MAX];
        let mut builder = Builder::to_client(&mut space, self.ccid);
        let built = build(&mut builder);
        let len = builder.len();
        // The first frame brings the datagram's head with it.
        let from = if self.len == 0 { 0 } else { ROOM_OVERHEAD };
        let fits = built && self.len + len - from <= DATAGRAM_BYTES_MAX;
        if fits {
            self.space[self.len..self.len + len - from].copy_from_slice(&space[from..len]);
            self.len += len - from;
        }
        fits
    }

    /// Adds what `build` writes, which finds as much space as is left.
    pub(super) fn append(&mut self, build: impl FnOnce(&mut Builder<'_>)) {
        let from = if self.len == 0 { 0 } else { ROOM_OVERHEAD };
        let mut space = [0; DATAGRAM_BYTES_MAX];
        let mut builder = Builder::to_client(&mut space[..DATAGRAM_BYTES_MAX - self.len + from], self.ccid);
        build(&mut builder);
        let len = builder.len();
        self.space[self.len..self.len + len - from].copy_from_slice(&space[from..len]);
        self.len += len - from;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The datagram, if there is an answer in it; the next one begins empty.
    pub(super) fn take(&mut self) -> Option<&[u8]> {
        let len = std::mem::take(&mut self.len);
        (len > 0).then(|| &self.space[..len])
    }
}
