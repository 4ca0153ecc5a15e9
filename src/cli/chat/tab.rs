//! Owns one room as it is shown: its lines in the order of the room, and
//! below them what this member has said and nobody has confirmed yet. Never
//! sends.

use super::members::Members;
use super::text::shown;
use outcry::client::{MemberId, RoomId, Seq, Ticket};
use std::collections::VecDeque;

/// Lines that are kept to scroll back to.
const LINES_MAX: usize = 5000;

/// What became of something this member has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Sending,
    Delivered,
    /// Why not.
    Failed(String),
}

/// What a line says. Names and texts are harmless by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Said {
        member: MemberId,
        name: Option<String>,
        text: String,
    },
    Own {
        name: String,
        text: String,
        delivery: Delivery,
    },
    PrivateFrom {
        name: String,
        text: String,
    },
    PrivateTo {
        name: String,
        text: String,
        delivery: Delivery,
    },
    Notice(String),
    /// Something that the reader should not miss.
    Warning(String),
    /// So many messages are lost.
    Lost(u64),
    /// So many messages in a row cannot be opened.
    Unreadable(u64),
}

/// A line of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Different for each line of a room.
    pub(super) id: u64,
    /// Unix seconds, where the relay told them.
    pub(super) time_s: Option<u32>,
    pub(super) what: What,
}

/// Something this member has said, until its outcome is known and shown.
#[derive(Debug)]
pub(super) struct Waiting {
    /// `None` until there is room for it in what the client keeps.
    pub(super) ticket: Option<Ticket>,
    /// As it is sent.
    pub(super) raw: String,
    pub(super) line: Line,
}

/// Where the reader has scrolled back to: the lowest line in view, and how
/// many of its rows are below the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) line: u64,
    pub(super) rows_below: usize,
}

/// A room as it is shown.
#[derive(Debug)]
pub(super) struct Tab {
    pub(super) id: RoomId,
    pub(super) name: String,
    pub(super) is_sealed: bool,
    pub(super) is_joined: bool,
    pub(super) population: u32,
    pub(super) members: Members,
    /// The newest entry when it was joined, and the newest that was told since.
    pub(super) head: Seq,
    pub(super) told: Seq,
    pub(super) anchor: Option<Anchor>,
    /// Messages since the reader last looked at the newest line.
    pub(super) unread: u32,
    lines: VecDeque<Line>,
    waiting: VecDeque<Waiting>,
    next_line: u64,
    /// Lines added since they were last taken by [`take_new`](Self::take_new).
    new: usize,
}

impl Tab {
    pub(super) fn new(id: RoomId, name: String, is_sealed: bool) -> Self {
        Self {
            id,
            name,
            is_sealed,
            is_joined: false,
            population: 0,
            members: Members::default(),
            head: Seq(0),
            told: Seq(0),
            anchor: None,
            unread: 0,
            lines: VecDeque::new(),
            waiting: VecDeque::new(),
            next_line: 0,
            new: 0,
        }
    }

    pub(super) fn is_lobby(&self) -> bool {
        self.name == "lobby" && !self.is_sealed
    }

    // ---- lines ---------------------------------------------------------------------

    /// All lines, what waits below what is settled.
    pub(super) fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.lines.iter().chain(self.waiting.iter().map(|waiting| &waiting.line))
    }

    pub(super) fn notice(&mut self, text: impl Into<String>) {
        self.push(None, What::Notice(text.into()));
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.push(None, What::Warning(text.into()));
    }

    pub(super) fn push(&mut self, time_s: Option<u32>, what: What) {
        let id = self.next_id();
        self.add(Line { id, time_s, what });
    }

    /// Messages that cannot be opened are counted in one line, as long as nothing else comes.
    pub(super) fn push_unreadable(&mut self) {
        match self.lines.back_mut().map(|line| &mut line.what) {
            Some(What::Unreadable(count)) => *count += 1,
            _ => self.push(None, What::Unreadable(1)),
        }
    }

    /// The name of who said something without one.
    pub(super) fn name_member(&mut self, wanted: MemberId, known: &str) {
        for line in &mut self.lines {
            if let What::Said { member, name: name @ None, .. } = &mut line.what
                && *member == wanted
            {
                *name = Some(shown(known.as_bytes()));
            }
        }
    }

    /// The lines that came since the last call.
    pub(super) fn take_new(&mut self) -> impl Iterator<Item = &Line> {
        let new = std::mem::take(&mut self.new).min(self.lines.len());
        self.lines.range(self.lines.len() - new..)
    }

    fn next_id(&mut self) -> u64 {
        self.next_line += 1;
        self.next_line
    }

    fn add(&mut self, line: Line) {
        if self.lines.len() >= LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        self.new += 1;
    }

    // ---- what this member has said ---------------------------------------------------

    /// Adds something that is to be sent, or was handed over under `ticket`.
    pub(super) fn wait(&mut self, ticket: Option<Ticket>, raw: String, what: What) {
        let line = Line { id: self.next_id(), time_s: None, what };
        self.waiting.push_back(Waiting { ticket, raw, line });
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The first that was not handed over yet.
    pub(super) fn first_unsent(&mut self) -> Option<&mut Waiting> {
        self.waiting.iter_mut().find(|waiting| waiting.ticket.is_none())
    }

    /// The relay has it; it stays below until the room shows it.
    pub(super) fn delivered(&mut self, ticket: Ticket) {
        let waiting = self.waiting.iter_mut().find(|waiting| waiting.ticket == Some(ticket));
        if let Some(What::Own { delivery, .. }) = waiting.map(|waiting| &mut waiting.line.what) {
            *delivery = Delivery::Delivered;
        }
    }

    /// The room shows something of this member's: it is no longer waited for.
    pub(super) fn echoed(&mut self, raw: &[u8]) {
        let is_it = |waiting: &Waiting| {
            waiting.raw.as_bytes() == raw && matches!(waiting.line.what, What::Own { .. }) && waiting.ticket.is_some()
        };
        if let Some(at) = self.waiting.iter().position(is_it) {
            self.waiting.remove(at);
        }
    }

    /// What waits under `ticket` has come to this end.
    pub(super) fn settle(&mut self, ticket: Ticket, outcome: Delivery) -> bool {
        let at = self.waiting.iter().position(|waiting| waiting.ticket == Some(ticket));
        let Some(waiting) = at.and_then(|at| self.waiting.remove(at)) else { return false };
        self.add_settled(waiting.line, outcome);
        true
    }

    /// What was not handed over yet cannot be.
    pub(super) fn fail_unsent(&mut self, why: &str) {
        let at = self.waiting.iter().position(|waiting| waiting.ticket.is_none());
        if let Some(waiting) = at.and_then(|at| self.waiting.remove(at)) {
            self.add_settled(waiting.line, Delivery::Failed(why.to_owned()));
        }
    }

    /// Entries are lost, so the room may never show what was delivered.
    pub(super) fn settle_delivered(&mut self) {
        let is_delivered =
            |waiting: &Waiting| matches!(&waiting.line.what, What::Own { delivery: Delivery::Delivered, .. });
        while let Some(at) = self.waiting.iter().position(is_delivered) {
            let Some(waiting) = self.waiting.remove(at) else { return };
            self.add(waiting.line);
        }
    }

    fn add_settled(&mut self, mut line: Line, outcome: Delivery) {
        if let What::Own { delivery, .. } | What::PrivateTo { delivery, .. } = &mut line.what {
            *delivery = outcome;
        }
        self.add(line);
    }
}
