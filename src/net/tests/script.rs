//! A kernel that fails as told, and a turn to send through it.

use crate::Time;
use crate::batch::{Inbox, Item, Outbox, Path, Roster, SendTally};
use crate::net::egress::{Egress, Flushed};
use crate::net::kernel::{ITEMS_MAX, Kernel, QueuedError};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

/// Says for each item that the kernel looks at whether it fails, and how.
pub(super) type Verdict<'a> = Box<dyn FnMut(&Item) -> Option<i32> + 'a>;

/// Behaves as `sendmmsg` does: stops at the first item that fails, and tells
/// why only if that is the first of all.
pub(super) struct Script<'a> {
    pub(super) verdict: Verdict<'a>,
    pub(super) errors: VecDeque<QueuedError>,
    /// Joins the error queue at each call.
    pub(super) new_error: Option<QueuedError>,
    pub(super) takes_nothing: bool,
    pub(super) delivered: Vec<(SocketAddr, Vec<u8>)>,
    /// Segments of each item taken.
    pub(super) taken: Vec<u16>,
    pub(super) calls: usize,
    /// Items in all calls together.
    pub(super) offered: usize,
}

impl<'a> Script<'a> {
    pub(super) fn new(verdict: impl FnMut(&Item) -> Option<i32> + 'a) -> Self {
        Self {
            verdict: Box::new(verdict),
            errors: VecDeque::new(),
            new_error: None,
            takes_nothing: false,
            delivered: Vec::new(),
            taken: Vec::new(),
            calls: 0,
            offered: 0,
        }
    }

    pub(super) fn heard_by(&self, to: SocketAddr) -> Vec<&[u8]> {
        self.delivered.iter().filter(|(peer, _)| *peer == to).map(|(_, bytes)| &bytes[..]).collect()
    }
}

impl Kernel for Script<'_> {
    fn sends_trains(&self) -> bool {
        true
    }

    fn receive(&mut self, _: &mut Inbox) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(&mut self, arena: &[u8], items: &[Item]) -> io::Result<usize> {
        assert!(!items.is_empty() && items.len() <= ITEMS_MAX);
        self.calls += 1;
        self.offered += items.len();
        self.errors.extend(self.new_error);
        if self.takes_nothing {
            return Ok(0);
        }
        for (taken, item) in items.iter().enumerate() {
            match (self.verdict)(item) {
                Some(errno) if taken == 0 => return Err(io::Error::from_raw_os_error(errno)),
                Some(_) => return Ok(taken),
                None => {}
            }
            self.taken.push(item.segments);
            let datagrams = item.split().map(|datagram| (item.to.remote, arena[datagram.range()].to_vec()));
            self.delivered.extend(datagrams);
        }
        Ok(items.len())
    }

    fn next_error(&mut self) -> QueuedError {
        self.errors.pop_front().unwrap_or(QueuedError::Empty)
    }
}

/// Member `index` of every roster here.
pub(super) fn peer(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (index >> 8) as u8, index as u8], 4000))
}

pub(super) fn at(seconds: u64) -> Time {
    Time::new(seconds * 1_000_000_000, seconds)
}

/// The sending side of a relay, with `members` members.
pub(super) struct Turn {
    pub(super) egress: Egress,
    pub(super) outbox: Outbox,
    pub(super) roster: Roster,
    pub(super) tally: SendTally,
}

impl Turn {
    pub(super) fn new(members: usize) -> Self {
        let mut roster = Roster::new(members);
        for index in 0..members {
            roster.push(Path::to(peer(index)));
        }
        Self { egress: Egress::new(true), outbox: Outbox::new(128, 1200), roster, tally: SendTally::default() }
    }

    /// A turn with these messages to everyone.
    pub(super) fn with(members: usize, messages: &[&[u8]]) -> Self {
        let mut turn = Self::new(members);
        turn.announce(messages);
        turn
    }

    pub(super) fn announce(&mut self, messages: &[&[u8]]) {
        for message in messages {
            self.outbox.announce(None, message);
        }
    }

    pub(super) fn flush(&mut self, kernel: &mut Script<'_>, now: Time) -> Flushed {
        self.egress.flush(kernel, now, &mut self.outbox, &self.roster, &mut self.tally)
    }

    /// Flushes a turn with these messages to the end.
    pub(super) fn run(&mut self, kernel: &mut Script<'_>, now: Time, messages: &[&[u8]]) {
        self.announce(messages);
        assert_eq!(self.flush(kernel, now), Flushed::Done);
        assert!(self.tally.balances(), "{:?}", self.tally);
        self.outbox.clear();
    }

    pub(super) fn abandon(&mut self) {
        self.egress.abandon(&mut self.outbox, &self.roster, &mut self.tally);
    }

    pub(super) fn dropped(&self, cause: crate::batch::SendDrop) -> u64 {
        self.tally.dropped[cause as usize]
    }
}
