//! What the operator sees of rooms and of slow members: copies, a bounded
//! number a call, so that nobody waits for who looks. Changes nothing.

use super::Relay;

/// Places of rooms that one call looks at.
const PLACES_PER_CALL: usize = 128;
/// Slow members that one call shows at most.
const SLOW_MAX: usize = 64;

/// A room as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomView {
    /// Its name.
    pub name: Box<str>,
    /// Who is in it, plain members of the lobby included.
    pub members: u32,
    /// Those of them that are fed from the ring, because they are too slow for more.
    pub slow: u32,
    /// Entries ever made: messages, and who came and went.
    pub entries: u64,
    /// Entries that it still has.
    pub kept: u64,
    /// Whether what is said there is sealed end to end.
    pub sealed: bool,
    /// Whether members are not told of it.
    pub unlisted: bool,
}

/// Some of the rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rooms {
    /// In the order of their places.
    pub rooms: Vec<RoomView>,
    /// Where to go on; `None`: these were the last.
    pub next: Option<u16>,
}

/// A native member that is too slow for a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowView {
    /// Its name.
    pub name: std::sync::Arc<str>,
    /// Its address.
    pub remote: std::net::SocketAddr,
    /// The room.
    pub room: Box<str>,
    /// Entries that it has yet to be sent.
    pub behind: u64,
    /// Datagrams that it missed, as it reported last.
    pub lost: u32,
}

impl Relay {
    /// The rooms in the next places from `from` on. O(1): it looks at a
    /// bounded number of places, so there may be none and yet more to come.
    pub fn rooms_from(&self, from: u16) -> Rooms {
        let rooms = &self.native.rooms;
        let end = rooms.places().min(usize::from(from) + PLACES_PER_CALL);
        let places = (from..).take_while(|place| usize::from(*place) < end);
        let next = u16::try_from(end).ok().filter(|_| end < rooms.places());
        Rooms { rooms: places.filter_map(|place| self.room_view(place)).collect(), next }
    }

    /// The native members that are too slow to be sent everything at once, the
    /// furthest behind first. O(1): of a bounded number of them.
    pub fn slow_members(&self) -> Vec<SlowView> {
        let native = &self.native;
        let mut slow: Vec<_> = native.fed_memberships().take(SLOW_MAX).map(|at| native.slow_view(at)).collect();
        slow.sort_by_key(|member| std::cmp::Reverse(member.behind));
        slow
    }
}
