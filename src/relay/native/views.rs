//! What the operator sees of rooms and of slow members: a bounded number at a
//! time, copied.

use super::{Native, Relay};
use crate::batch::RoomIndex;
use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;

/// Slow members that one look shows at most.
const SLOW_PER_VIEW: usize = 64;

/// A room as its operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomView {
    /// Its name.
    pub name: Box<str>,
    /// Whether its messages are sealed.
    pub sealed: bool,
    /// Whether it is on no list.
    pub unlisted: bool,
    /// Members, plain ones included.
    pub members: u32,
    /// Those of them that are too slow to be sent everything at once.
    pub slow: u32,
    /// The number of its latest entry.
    pub head: u64,
    /// Entries that it keeps.
    pub kept: u64,
}

/// A native member that is too slow for a room, as its operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowView {
    /// Its name.
    pub name: Arc<str>,
    /// Its address.
    pub remote: SocketAddr,
    /// The room.
    pub room: Box<str>,
    /// Entries beyond those that it has said to have: what it was fed and did not
    /// take is among them.
    pub behind: u64,
    /// Entries that it missed at first, as it reported last.
    pub lost: u32,
}

impl Relay {
    /// At most `count` rooms, and where to go on if there are more places to
    /// look at. Begins at `place`; looks at `count` places.
    pub fn room_views(&self, place: usize, count: usize) -> (Vec<RoomView>, Option<usize>) {
        let end = place.saturating_add(count).min(self.native.rooms.places());
        let views = (place..end).filter_map(|place| self.room_view(RoomIndex(place as u16))).collect();
        (views, (end < self.native.rooms.places()).then_some(end))
    }

    /// Native members that are too slow to be sent everything at once, the
    /// furthest behind first. O(1): if there are many, it shows those whose turn is next.
    pub fn slow_members(&self) -> Vec<SlowView> {
        let native = &self.native;
        let next = |&at: &u32| native.membership_links.next(at);
        let fed = std::iter::successors(native.feeding.first(), next);
        let mut slow: Vec<_> = fed.take(SLOW_PER_VIEW).map(|at| native.slow_view(at)).collect();
        slow.sort_by_key(|member| Reverse(member.behind));
        slow
    }

    fn room_view(&self, index: RoomIndex) -> Option<RoomView> {
        let room = self.native.rooms.get(index)?;
        let members = &room.members;
        Some(RoomView {
            name: room.name.clone(),
            sealed: room.sealed,
            unlisted: room.unlisted,
            members: self.members_of(index),
            slow: u32::try_from(members.fed.len()).unwrap_or(u32::MAX),
            head: room.ring.head(),
            kept: room.ring.len(),
        })
    }
}

impl Native {
    fn slow_view(&self, at: u32) -> SlowView {
        let membership = self.memberships.at(at);
        let session = self.sessions.session(membership.session);
        let room = self.rooms.at(membership.room);
        SlowView {
            name: Arc::clone(&session.name),
            remote: session.path.remote,
            room: room.name.clone(),
            behind: room.ring.head().saturating_sub(membership.report.contiguous),
            lost: membership.report.lost,
        }
    }
}
