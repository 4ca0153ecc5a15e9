//! The entries of a room in wire form, as a BATCH carries them and a ring keeps
//! them. Never numbers them: an entry's seq is where it stands.

use super::cursor::{Reader, Writer, name};
use super::header::{Code, EntryKind, Malformed, NAME_BYTES_MAX};
use super::id::{MemberId, Sseq};

/// What stands before an entry's payload: member u32, sseq u32, kind u8, len u16.
pub const ENTRY_HEADER_BYTES: usize = 11;
/// Bytes of the longest payload of a presence entry: a code and a name.
pub const PRESENCE_BYTES_MAX: usize = 1 + NAME_BYTES_MAX;

/// What happened in a room, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Who did it.
    pub member: MemberId,
    /// Its number among its author's; 0 unless a native member said it.
    pub sseq: Sseq,
    /// What it is.
    pub kind: EntryKind,
    /// The bytes.
    pub payload: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads the entry that comes next.
    ///
    /// # Errors
    /// It is longer than what is left.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (member, sseq) = (MemberId(reader.u32()?), Sseq(reader.u32()?));
        let (kind, len) = (EntryKind(reader.u8()?), reader.u16()?);
        Ok(Self { member, sseq, kind, payload: reader.slice(len.into())? })
    }

    /// Bytes that it has in wire form.
    pub fn wire_len(&self) -> usize {
        ENTRY_HEADER_BYTES + self.payload.len()
    }

    /// Writes it in wire form, and says how many bytes that are: 0 if it does
    /// not fit into `out`, or its payload into 65,535 bytes.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let mut writer = Writer::new(out);
        let Ok(len) = u16::try_from(self.payload.len()) else { return 0 };
        writer.whole(|writer| {
            writer.u32(self.member.0);
            writer.u32(self.sseq.0);
            writer.u8(self.kind.0);
            writer.u16(len);
            writer.put(self.payload);
        });
        writer.len()
    }

    /// What it tells of a member, if it does.
    ///
    /// # Errors
    /// It should and does not.
    pub fn presence(&self) -> Result<Option<Presence<'a>>, Malformed> {
        Presence::parse(self.kind, self.payload)
    }
}

/// Entries in a row, each known to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries<'a> {
    len: u8,
    bytes: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Looks at `len` entries that take up all of `bytes`.
    ///
    /// # Errors
    /// They do not.
    pub fn parse(len: u8, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = Reader::new(bytes);
        for _ in 0..len {
            Entry::read(&mut rest)?;
        }
        rest.end()?;
        Ok(Self { len, bytes })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len.into()
    }

    pub(super) fn count(&self) -> u8 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Their wire form.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Each of them.
    pub fn iter(&self) -> EntriesIter<'a> {
        EntriesIter { rest: Reader::new(self.bytes) }
    }
}

impl<'a> IntoIterator for Entries<'a> {
    type Item = Entry<'a>;
    type IntoIter = EntriesIter<'a>;

    fn into_iter(self) -> EntriesIter<'a> {
        self.iter()
    }
}

/// Goes through [`Entries`].
#[derive(Clone, Debug)]
pub struct EntriesIter<'a> {
    rest: Reader<'a>,
}

impl<'a> Iterator for EntriesIter<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        // Fails at the end only: `Entries::parse` has looked at them all.
        Entry::read(&mut self.rest).ok()
    }
}

/// What an entry tells of its member. A name in a ring names all its author's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence<'a> {
    /// It came.
    Joined {
        /// As this.
        name: &'a str,
    },
    /// It went.
    Left {
        /// Why.
        code: Code,
        /// As this.
        name: &'a str,
    },
    /// It has a name.
    Renamed {
        /// This one.
        name: &'a str,
    },
}

impl<'a> Presence<'a> {
    /// Reads an entry's payload; `None` if entries of this kind tell something else.
    ///
    /// # Errors
    /// It should tell of a member and does not.
    pub fn parse(kind: EntryKind, payload: &'a [u8]) -> Result<Option<Self>, Malformed> {
        Ok(Some(match (kind, payload) {
            (EntryKind::JOINED, bytes) => Self::Joined { name: name(bytes)? },
            (EntryKind::LEFT, [code, bytes @ ..]) => {
                Self::Left { code: Code::from_wire(u16::from(*code)), name: name(bytes)? }
            }
            (EntryKind::LEFT, []) => return Err(Malformed::Frame),
            (EntryKind::RENAMED, bytes) => Self::Renamed { name: name(bytes)? },
            _ => return Ok(None),
        }))
    }

    /// The entry's kind.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Joined { .. } => EntryKind::JOINED,
            Self::Left { .. } => EntryKind::LEFT,
            Self::Renamed { .. } => EntryKind::RENAMED,
        }
    }

    /// Writes the entry's payload, and says how many bytes that are; none if
    /// it does not fit into `out`, or its code into a byte.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let mut writer = Writer::new(out);
        let (code, name) = match *self {
            Self::Joined { name } | Self::Renamed { name } => (None, name),
            Self::Left { code, name } => (Some(code), name),
        };
        let Ok(code) = code.map(|code| u8::try_from(code.to_wire())).transpose() else { return 0 };
        writer.whole(|writer| {
            code.into_iter().for_each(|code| writer.u8(code));
            writer.text(name, NAME_BYTES_MAX);
        });
        writer.len()
    }
}
