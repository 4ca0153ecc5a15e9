//! What the operator sees of rooms: a bounded number at a time, copied.

use super::Relay;
use crate::batch::RoomIndex;

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

impl Relay {
    /// At most `count` rooms, and where to go on if there are more places to
    /// look at. Begins at `place`; looks at `count` places.
    pub fn room_views(&self, place: usize, count: usize) -> (Vec<RoomView>, Option<usize>) {
        let end = place.saturating_add(count).min(self.native.rooms.places());
        let views = (place..end).filter_map(|place| self.room_view(RoomIndex(place as u16))).collect();
        (views, (end < self.native.rooms.places()).then_some(end))
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
