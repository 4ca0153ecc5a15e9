//! Which room each member is in: as many members in each, side by side, so
//! that senders spread over members are spread over rooms too.

use std::ops::Range;

/// Rooms of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooms {
    count: u32,
    size: u32,
}

impl Rooms {
    /// `members` over `count` rooms; what is left over has no room of its own
    /// and is refused before it comes to that.
    pub fn new(count: u32, members: u32) -> Self {
        let count = count.max(1);
        Self { count, size: (members / count).max(1) }
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Members of each.
    pub fn size(self) -> u32 {
        self.size
    }

    /// The room of a member.
    pub fn of(self, member: u32) -> u32 {
        (member / self.size).min(self.count - 1)
    }

    /// The members of a room, of `members` in all.
    pub fn members(self, room: u32, members: u32) -> Range<u32> {
        let end = if room + 1 == self.count { members } else { (room + 1) * self.size };
        room * self.size..end.min(members)
    }

    /// The first two of each room: they speak, and so each of them hears the other.
    pub fn probers(self, members: u32) -> impl Iterator<Item = u32> {
        (0..self.count).flat_map(move |room| self.members(room, members).take(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_in_one_room_and_each_room_is_as_large() {
        let rooms = Rooms::new(10, 1000);
        for room in 0..10 {
            let members = rooms.members(room, 1000);
            assert_eq!(members.len(), 100);
            assert!(members.clone().all(|member| rooms.of(member) == room));
        }
        let probers: Vec<u32> = Rooms::new(3, 9).probers(9).collect();
        assert_eq!(probers, [0, 1, 3, 4, 6, 7]);
    }

    #[test]
    fn one_room_is_everybody() {
        let rooms = Rooms::new(1, 7);
        assert_eq!((rooms.of(6), rooms.members(0, 7)), (0, 0..7));
        assert_eq!(rooms.probers(7).collect::<Vec<_>>(), [0, 1]);
    }
}
