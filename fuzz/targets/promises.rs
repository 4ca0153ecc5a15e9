//! What a client promises its program, held against what it tells.

use outcry::client::{Event, RequestId, RoomId, Ticket};
use std::collections::{BTreeMap, BTreeSet};

/// What one client has told so far.
#[derive(Default)]
pub struct Promises {
    /// Messages and private messages that have not ended.
    open: BTreeSet<Ticket>,
    /// Questions without an answer.
    asked: BTreeSet<RequestId>,
    /// The last entry of each room that was told or named as lost, in this epoch.
    told: BTreeMap<RoomId, u64>,
    /// Rooms that were left, or never entered.
    gone: BTreeSet<RoomId>,
    has_moved: bool,
    is_over: bool,
}

impl Promises {
    /// A message was taken.
    pub fn sent(&mut self, ticket: Ticket) {
        assert!(self.open.insert(ticket), "{ticket:?} was given before");
    }

    /// A question was taken.
    pub fn asked(&mut self, request: RequestId) {
        assert!(self.asked.insert(request), "{request:?} was given before");
    }

    /// Whether every message has ended.
    pub fn are_all_kept(&self) -> bool {
        self.open.is_empty()
    }

    /// One event, in its order.
    pub fn check(&mut self, event: &Event<'_>) {
        assert!(!self.is_over, "it was over: {event:?}");
        match *event {
            Event::Connected { resumed: false, .. } => self.told.clear(),
            Event::Moved { .. } => assert!(!std::mem::replace(&mut self.has_moved, true), "moved twice"),
            Event::Closed { .. } => {
                assert!(self.open.is_empty(), "it is over without {:?}", self.open);
                self.is_over = true;
            }
            Event::Joined { room, first, .. } => {
                let last = self.told.get(&room).copied().unwrap_or(0);
                assert!(first.0 > last, "{event:?} after {last}");
                self.in_room(room, event);
            }
            Event::JoinFailed { room, .. } | Event::Left { room } => {
                self.in_room(room, event);
                self.gone.insert(room);
            }
            Event::Message(ref message) => self.entries(message.room, message.seq.0, message.seq.0, event),
            Event::Presence(ref presence) => self.entries(presence.room, presence.seq.0, presence.seq.0, event),
            Event::Undecryptable { room, seq, .. } => self.entries(room, seq.0, seq.0, event),
            Event::Gap { room, from, to } => self.entries(room, from.0, to.0, event),
            Event::Population { room, .. } | Event::Named { room, .. } | Event::Slow { room, .. } => {
                self.in_room(room, event)
            }
            Event::Delivered { ticket, .. } | Event::NotSent { ticket, .. } | Event::DirectDone { ticket, .. } => {
                assert!(self.open.remove(&ticket), "it had ended: {event:?}");
            }
            Event::Nick { request, .. } | Event::ListEnd { request, .. } => {
                assert!(self.asked.remove(&request), "it was answered: {event:?}");
            }
            Event::Member { request, .. } | Event::Room { request, .. } => {
                assert!(self.asked.contains(&request), "the list had ended: {event:?}");
            }
            Event::Connected { .. } | Event::Refused { .. } | Event::Reconnecting { .. } | Event::Direct(_) => {}
        }
    }

    fn in_room(&self, room: RoomId, event: &Event<'_>) {
        assert!(!self.gone.contains(&room), "the room is forgotten: {event:?}");
    }

    fn entries(&mut self, room: RoomId, from: u64, to: u64, event: &Event<'_>) {
        self.in_room(room, event);
        let last = self.told.insert(room, to).unwrap_or(0);
        assert!(last < from && from <= to, "out of order: {event:?} after {last}");
    }
}
