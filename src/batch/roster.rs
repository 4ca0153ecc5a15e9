//! Owns the dense lists of the rooms' destinations. Never knows who they are.

use super::Path;

/// A member's place in a [`Roster`]. It changes when another member leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberIndex(pub u32);

/// A numbered room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomIndex(pub u16);

/// Where a flush finds the destinations.
pub trait Rosters {
    /// The plain room's.
    fn plain(&self) -> &Roster;
    /// A numbered room's members that get what is said there as it is said.
    fn live(&self, room: RoomIndex) -> &Roster;
    /// A numbered room's other members.
    fn fed(&self, room: RoomIndex) -> &Roster;
}

/// One plain room and no others.
impl Rosters for Roster {
    fn plain(&self) -> &Roster {
        self
    }

    fn live(&self, _: RoomIndex) -> &Roster {
        &NOBODY
    }

    fn fed(&self, _: RoomIndex) -> &Roster {
        &NOBODY
    }
}

static NOBODY: Roster = Roster { paths: Vec::new() };

/// The destinations of one room, dense, so that the fan-out is a straight loop.
///
/// Memory: 56 bytes a member of capacity. It grows when a member comes that
/// was not planned for, never while one is served.
#[derive(Default)]
pub struct Roster {
    paths: Vec<Path>,
}

impl Roster {
    /// A roster with room for `members_max` destinations.
    pub fn new(members_max: usize) -> Self {
        Self { paths: Vec::with_capacity(members_max) }
    }

    /// Members now.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// All destinations, by [`MemberIndex`].
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Adds a destination at the end.
    pub fn push(&mut self, path: Path) -> MemberIndex {
        self.paths.push(path);
        MemberIndex(u32::try_from(self.paths.len() - 1).expect("invariant: members_max fits in u32"))
    }

    /// Removes a destination; the last one takes its place. Returns what the
    /// last one's index was, if it was another.
    pub fn swap_remove(&mut self, index: MemberIndex) -> Option<MemberIndex> {
        self.paths.swap_remove(index.0 as usize);
        let last = u32::try_from(self.paths.len()).expect("invariant: members_max fits in u32");
        (last != index.0).then_some(MemberIndex(last))
    }

    /// The member heard from on another of our addresses is answered from there.
    pub fn set_path(&mut self, index: MemberIndex, path: Path) {
        self.paths[index.0 as usize] = path;
    }
}
