//! The lists in MEMBERS and ROOMS: a number and a name each. Never knows where
//! a list goes on: a cursor is its relay's affair.

use super::cursor::{Reader, Writer};
use super::header::Malformed;
use super::id::{MemberId, Req, RoomHandle, Seq};

/// Who is in a room, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members<'a> {
    /// The request's number.
    pub req: Req,
    /// Which room.
    pub room: RoomHandle,
    /// Entries above this one are not accounted for yet.
    pub at: Seq,
    /// The cursor of the next part; 0 is the end.
    pub next: u32,
    /// Each member's number and name.
    pub listing: Listing<'a>,
}

impl<'a> Members<'a> {
    /// Each member and its name.
    pub fn iter(&self) -> impl Iterator<Item = (MemberId, &'a str)> + use<'a> {
        self.listing.iter().map(|(member, name)| (MemberId(member), name))
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (req, room, at) = (Req(reader.u16()?), RoomHandle(reader.u16()?), Seq(reader.u64()?));
        Ok(Self { req, room, at, next: reader.u32()?, listing: Listing::read(reader)? })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) {
        to.u16(self.req.0);
        to.u16(self.room.0);
        to.u64(self.at.0);
        to.u32(self.next);
        self.listing.write(to);
    }
}

/// Which rooms there are, or a part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooms<'a> {
    /// The request's number.
    pub req: Req,
    /// The cursor of the next part; 0 is the end.
    pub next: u32,
    /// How many are in each room, and its name.
    pub listing: Listing<'a>,
}

impl<'a> Rooms<'a> {
    /// How many are in each room, and its name.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &'a str)> + use<'a> {
        self.listing.iter()
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { req: Req(reader.u16()?), next: reader.u32()?, listing: Listing::read(reader)? })
    }

    pub(super) fn write(&self, to: &mut Writer<'_>) {
        to.u16(self.req.0);
        to.u32(self.next);
        self.listing.write(to);
    }
}

/// Numbers and names, each known to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    len: u8,
    bytes: &'a [u8],
}

impl<'a> Listing<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Each number and name.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &'a str)> + use<'a> {
        let mut rest = Reader::new(self.bytes);
        // Fails at the end only: `read` has looked at them all.
        std::iter::from_fn(move || Some((rest.u32().ok()?, rest.name().ok()?)))
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (len, bytes) = (reader.u8()?, reader.rest());
        let mut rest = Reader::new(bytes);
        for _ in 0..len {
            rest.u32()?;
            rest.name()?;
        }
        rest.end()?;
        Ok(Self { len, bytes })
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.u8(self.len);
        to.put(self.bytes);
    }
}

/// A MEMBERS or ROOMS frame while it is written. It is whole after each step,
/// with the cursor 0 until [`finish`](Self::finish) gives another.
#[derive(Debug)]
pub struct ListBuilder<'w, 'b> {
    writer: &'w mut Writer<'b>,
    start: usize,
    next_at: usize,
    len: u8,
}

impl<'w, 'b> ListBuilder<'w, 'b> {
    pub(super) fn begin(writer: &'w mut Writer<'b>, kind: u8, head: impl FnOnce(&mut Writer<'b>)) -> Option<Self> {
        let (start, mut next_at) = (writer.len(), 0);
        let fits = writer.frame(kind, |writer| {
            head(writer);
            next_at = writer.len();
            writer.u32(0);
            writer.u8(0);
        });
        fits.then_some(Self { writer, start, next_at, len: 0 })
    }

    /// Adds a member or room. `false`: it does not fit, or its name is longer
    /// than 64 bytes, or there are 255 already; nothing is written then.
    pub fn add(&mut self, number: u32, name: &str) -> bool {
        let Some(len) = self.len.checked_add(1) else { return false };
        let fits = self.writer.whole(|writer| {
            writer.u32(number);
            writer.name(name);
            writer.overwrite(self.next_at + 4, &[len]);
            writer.seal_frame(self.start);
        });
        if fits {
            self.len = len;
        }
        fits
    }

    /// How many it has by now.
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether it has none yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Says where the list goes on; 0 is the end.
    pub fn finish(self, next: u32) {
        self.writer.overwrite(self.next_at, &next.to_le_bytes());
    }
}
