//! What a relay sends: answers to a HELLO, and the frames for one client or for
//! a whole room. Never decides what is sent to whom.

use super::cursor::{Reader, Writer, short_text};
use super::handshake::{NoSession, OtherVersion, Refuse, Retry, Welcome, begin};
use super::header::{Code, DATAGRAM_BYTES_MAX, DirectStatus, EntryKind, FRAME_OVERHEAD, Kind, Malformed, PREFIX_BYTES};
use super::header::{REASON_BYTES_MAX, ROOM_OVERHEAD, RefusedCause, SlowCause};
use super::id::{Ccid, Dseq, MemberId, Req, RoomHandle, RoomTag, Seq, Sseq, Token};

pub use super::entry::{ENTRY_HEADER_BYTES, Entries, EntriesIter, Entry, PRESENCE_BYTES_MAX, Presence};
pub use super::listing::{ListBuilder, Listing, Members, Rooms};

const JOINED: u8 = 0x41;
const ACK: u8 = 0x42;
const BATCH: u8 = 0x43;
const GAP: u8 = 0x44;
const HEAD: u8 = 0x45;
const PONG: u8 = 0x46;
const PATH_CHALLENGE: u8 = 0x47;
const SLOW: u8 = 0x48;
const CLOSE: u8 = 0x49;
const RESULT: u8 = 0x4A;
const MEMBERS: u8 = 0x4B;
const ROOMS: u8 = 0x4C;
const DIRECT: u8 = 0x4D;
const REFUSED: u8 = 0x4E;
const DIRECT_DONE: u8 = 0x4F;

/// What a BATCH costs beside its entries: the frame's header, room, time, base and n.
pub const BATCH_OVERHEAD: usize = FRAME_OVERHEAD + 15;

/// A datagram that a relay sent.
#[derive(Clone, Debug)]
pub enum Downlink<'a> {
    /// Come again with this cookie.
    Retry(Retry),
    /// The session is there.
    Welcome(Welcome),
    /// There will be no session.
    Refuse(Refuse),
    /// That version is not spoken here.
    OtherVersion(OtherVersion),
    /// No session has that ticket.
    NoSession(NoSession),
    /// For one client.
    ToClient {
        /// Which.
        ccid: Ccid,
        /// What it says.
        frames: Frames<'a>,
    },
    /// For a whole room, BATCH and HEAD only.
    ToRoom {
        /// Which.
        tag: RoomTag,
        /// What it says.
        frames: Frames<'a>,
    },
}

impl<'a> Downlink<'a> {
    /// Reads a datagram as a client does. All frames are looked at here, once.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        Ok(match Kind::parse(datagram)? {
            Kind::Hello | Kind::Session => return Err(Malformed::WrongDirection),
            Kind::Retry => Self::Retry(Retry::parse(datagram)?),
            Kind::Welcome => Self::Welcome(Welcome::parse(datagram)?),
            Kind::Refuse => Self::Refuse(Refuse::parse(datagram)?),
            Kind::OtherVersion => Self::OtherVersion(OtherVersion::parse(datagram)?),
            Kind::NoSession => Self::NoSession(NoSession::parse(datagram)?),
            Kind::ToClient => {
                let (ccid, frames) = split(datagram)?;
                Self::ToClient { ccid: Ccid(ccid), frames: Frames::parse(frames)? }
            }
            Kind::ToRoom => {
                let (tag, frames) = split(datagram)?;
                Self::ToRoom { tag: RoomTag(tag), frames: Frames::parse_for_room(frames)? }
            }
        })
    }
}

/// The number behind the prefix, and the frames.
fn split(datagram: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    if !(ROOM_OVERHEAD..=DATAGRAM_BYTES_MAX).contains(&datagram.len()) {
        return Err(Malformed::Size);
    }
    let mut reader = Reader::new(&datagram[PREFIX_BYTES..]);
    Ok((reader.u64()?, reader.rest()))
}

/// The frames of a datagram, each known to be good. Unknown types are left out.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: Reader<'a>,
}

impl<'a> Frames<'a> {
    /// Looks at all frames in `body`, up to its end or its padding.
    ///
    /// # Errors
    /// One is longer than what is left, or is of a known type and has a bad body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_if(body, |_| true)
    }

    /// The same for what goes to a whole room.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or one is neither BATCH nor HEAD.
    pub fn parse_for_room(body: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_if(body, |kind| [BATCH, HEAD].contains(&kind))
    }

    fn parse_if(body: &'a [u8], may_stand: impl Fn(u8) -> bool) -> Result<Self, Malformed> {
        let frames = Self { rest: Reader::new(body) };
        let mut rest = frames.rest;
        while let Some((kind, body)) = rest.frame()? {
            if !may_stand(kind) {
                return Err(Malformed::NotForRoom);
            }
            Frame::parse(kind, body)?;
        }
        Ok(frames)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        // None of these fails: `parse` has looked at them all.
        while let Ok(Some((kind, body))) = self.rest.frame() {
            if let Ok(Some(frame)) = Frame::parse(kind, body) {
                return Some(frame);
            }
        }
        None
    }
}

/// What a relay says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Answers JOIN.
    Joined {
        /// The request's number.
        req: Req,
        /// The room; 0 unless joined.
        room: RoomHandle,
        /// Ok, or why not.
        code: Code,
        /// What the room's datagrams bear.
        tag: RoomTag,
        /// How many are in it.
        members: u32,
        /// Its newest entry.
        head: Seq,
        /// Its oldest entry that is kept; one above the head if there is none.
        tail: Seq,
        /// The number that the client's next message there must have.
        next_sseq: Sseq,
        /// The client's name by now; may be empty unless joined.
        name: &'a str,
    },
    /// Messages of this client were taken.
    Ack {
        /// Where.
        room: RoomHandle,
        /// All up to this one.
        cumulative: Sseq,
        /// Which entry that one is.
        seq: Seq,
        /// A later one came in this turn and the next one has not.
        missing: bool,
    },
    /// Entries of a room.
    Batch(Batch<'a>),
    /// Entries that are gone for good.
    Gap {
        /// Where.
        room: RoomHandle,
        /// The first.
        from: Seq,
        /// The last.
        to: Seq,
    },
    /// How far a room is.
    Head {
        /// Which.
        room: RoomHandle,
        /// What its datagrams bear; in what goes to a whole room zeros, and not looked at.
        tag: RoomTag,
        /// How many are in it.
        members: u32,
        /// Its newest entry.
        head: Seq,
        /// Its oldest entry that is kept; one above the head if there is none.
        tail: Seq,
    },
    /// Answers PING.
    Pong {
        /// The PING's.
        t: u64,
    },
    /// Is the client reached at this address?
    PathChallenge {
        /// What the answer must bring.
        token: Token,
    },
    /// A message was not taken this time.
    Slow {
        /// Where.
        room: RoomHandle,
        /// Why.
        cause: SlowCause,
        /// Messages a second that are accepted.
        msgs_s: u32,
        /// Bytes a second that are accepted.
        bytes_s: u32,
        /// Milliseconds until it is worth another attempt.
        retry_ms: u16,
        /// The first that was not taken.
        first_dropped: Sseq,
    },
    /// The session ends.
    Close {
        /// Why.
        code: Code,
        /// In words, or where to: `host:port`.
        reason: &'a str,
    },
    /// Answers LEAVE and NICK.
    Result {
        /// The request's number.
        req: Req,
        /// Ok, or why not.
        code: Code,
    },
    /// Answers WHO.
    Members(Members<'a>),
    /// Answers LIST.
    Rooms(Rooms<'a>),
    /// A member says something to this client.
    Direct {
        /// Who.
        from: MemberId,
        /// Its number.
        dseq: Dseq,
        /// What it is.
        kind: EntryKind,
        /// The member's name.
        name: &'a str,
        /// The bytes.
        payload: &'a [u8],
    },
    /// A message will never be taken.
    Refused {
        /// Where.
        room: RoomHandle,
        /// Which.
        sseq: Sseq,
        /// Why.
        cause: RefusedCause,
    },
    /// What became of a private message.
    DirectDone {
        /// To whom it went.
        peer: MemberId,
        /// Which.
        dseq: Dseq,
        /// What.
        status: DirectStatus,
    },
}

/// Entries of a room, in a row and of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Which room.
    pub room: RoomHandle,
    /// Unix seconds when they were accepted.
    pub time_s: u32,
    /// The first entry's seq; the others follow it.
    pub base: Seq,
    /// The entries.
    pub entries: Entries<'a>,
}

impl<'a> Batch<'a> {
    /// Each entry with its seq.
    pub fn numbered(&self) -> impl Iterator<Item = (Seq, Entry<'a>)> + use<'a> {
        // Entries first: the number behind the last one may not exist.
        self.entries.iter().zip(self.base.0..).map(|(entry, seq)| (Seq(seq), entry))
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (room, time_s, base) = (RoomHandle(reader.u16()?), reader.u32()?, Seq(reader.u64()?));
        let n = reader.u8()?;
        base.0.checked_add(n.into()).ok_or(Malformed::Frame)?;
        Ok(Self { room, time_s, base, entries: Entries::parse(n, reader.rest())? })
    }
}

impl<'a> Frame<'a> {
    /// Reads a frame's body; `None` if the type is unknown.
    ///
    /// # Errors
    /// The body is not what the type says.
    pub fn parse(kind: u8, body: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(body);
        let frame = Self::read(kind, &mut reader)?;
        if frame.is_some() {
            reader.end()?;
        }
        Ok(frame)
    }

    fn read(kind: u8, reader: &mut Reader<'a>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            BATCH => Self::Batch(Batch::read(reader)?),
            HEAD => Self::read_head(reader)?,
            JOINED => Self::read_joined(reader)?,
            ACK => Self::read_ack(reader)?,
            GAP => Self::Gap { room: RoomHandle(reader.u16()?), from: Seq(reader.u64()?), to: Seq(reader.u64()?) },
            PONG => Self::Pong { t: reader.u64()? },
            PATH_CHALLENGE => Self::PathChallenge { token: Token(reader.u64()?) },
            SLOW => Self::read_slow(reader)?,
            CLOSE => Self::Close { code: Code::from_wire(reader.u16()?), reason: short_text(reader.rest())? },
            RESULT => Self::Result { req: Req(reader.u16()?), code: Code::from_wire(reader.u16()?) },
            MEMBERS => Self::Members(Members::read(reader)?),
            ROOMS => Self::Rooms(Rooms::read(reader)?),
            DIRECT => Self::read_direct(reader)?,
            REFUSED => Self::Refused {
                room: RoomHandle(reader.u16()?),
                sseq: Sseq(reader.u32()?),
                cause: RefusedCause::from_wire(reader.u8()?),
            },
            DIRECT_DONE => Self::DirectDone {
                peer: MemberId(reader.u32()?),
                dseq: Dseq(reader.u32()?),
                status: DirectStatus::from_wire(reader.u8()?),
            },
            _ => return Ok(None),
        }))
    }

    fn read_joined(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (req, room, code) = (Req(reader.u16()?), RoomHandle(reader.u16()?), Code::from_wire(reader.u16()?));
        Ok(Self::Joined {
            req,
            room,
            code,
            tag: RoomTag(reader.u64()?),
            members: reader.u32()?,
            head: Seq(reader.u64()?),
            tail: Seq(reader.u64()?),
            next_sseq: Sseq(reader.u32()?),
            name: if code == Code::Ok { reader.name()? } else { reader.name_or_none()? },
        })
    }

    fn read_ack(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self::Ack {
            room: RoomHandle(reader.u16()?),
            cumulative: Sseq(reader.u32()?),
            seq: Seq(reader.u64()?),
            missing: reader.u8()? != 0,
        })
    }

    fn read_head(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self::Head {
            room: RoomHandle(reader.u16()?),
            tag: RoomTag(reader.u64()?),
            members: reader.u32()?,
            head: Seq(reader.u64()?),
            tail: Seq(reader.u64()?),
        })
    }

    fn read_slow(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (room, cause, _reserved) = (RoomHandle(reader.u16()?), SlowCause::from_wire(reader.u8()?), reader.u8()?);
        Ok(Self::Slow {
            room,
            cause,
            msgs_s: reader.u32()?,
            bytes_s: reader.u32()?,
            retry_ms: reader.u16()?,
            first_dropped: Sseq(reader.u32()?),
        })
    }

    fn read_direct(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self::Direct {
            from: MemberId(reader.u32()?),
            dseq: Dseq(reader.u32()?),
            kind: EntryKind(reader.u8()?),
            name: reader.name()?,
            payload: reader.rest(),
        })
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Joined { .. } => JOINED,
            Self::Ack { .. } => ACK,
            Self::Batch(_) => BATCH,
            Self::Gap { .. } => GAP,
            Self::Head { .. } => HEAD,
            Self::Pong { .. } => PONG,
            Self::PathChallenge { .. } => PATH_CHALLENGE,
            Self::Slow { .. } => SLOW,
            Self::Close { .. } => CLOSE,
            Self::Result { .. } => RESULT,
            Self::Members(_) => MEMBERS,
            Self::Rooms(_) => ROOMS,
            Self::Direct { .. } => DIRECT,
            Self::Refused { .. } => REFUSED,
            Self::DirectDone { .. } => DIRECT_DONE,
        }
    }

    fn write(&self, to: &mut Writer<'_>) {
        match *self {
            Self::Joined { req, room, code, tag, members, head, tail, next_sseq, name } => {
                for number in [req.0, room.0, code.to_wire()] {
                    to.u16(number);
                }
                to.u64(tag.0);
                to.u32(members);
                to.u64(head.0);
                to.u64(tail.0);
                to.u32(next_sseq.0);
                to.name(name);
            }
            Self::Ack { room, cumulative, seq, missing } => {
                to.u16(room.0);
                to.u32(cumulative.0);
                to.u64(seq.0);
                to.u8(missing.into());
            }
            Self::Batch(Batch { room, time_s, base, entries }) => {
                write_batch(to, room, time_s, base, entries.count(), entries.as_bytes());
            }
            Self::Gap { room, from, to: last } => {
                to.u16(room.0);
                to.u64(from.0);
                to.u64(last.0);
            }
            Self::Head { room, tag, members, head, tail } => {
                to.u16(room.0);
                to.u64(tag.0);
                to.u32(members);
                to.u64(head.0);
                to.u64(tail.0);
            }
            Self::Pong { t: number } | Self::PathChallenge { token: Token(number) } => to.u64(number),
            Self::Slow { room, cause, msgs_s, bytes_s, retry_ms, first_dropped } => {
                to.u16(room.0);
                to.put(&[cause.to_wire(), 0]);
                to.u32(msgs_s);
                to.u32(bytes_s);
                to.u16(retry_ms);
                to.u32(first_dropped.0);
            }
            Self::Close { code, reason } => {
                to.u16(code.to_wire());
                to.text(reason, REASON_BYTES_MAX);
            }
            Self::Result { req, code } => {
                to.u16(req.0);
                to.u16(code.to_wire());
            }
            Self::Members(members) => members.write(to),
            Self::Rooms(rooms) => rooms.write(to),
            Self::Direct { from, dseq, kind, name, payload } => {
                to.u32(from.0);
                to.u32(dseq.0);
                to.u8(kind.0);
                to.name(name);
                to.put(payload);
            }
            Self::Refused { room, sseq, cause } => {
                to.u16(room.0);
                to.u32(sseq.0);
                to.u8(cause.to_wire());
            }
            Self::DirectDone { peer, dseq, status } => {
                to.u32(peer.0);
                to.u32(dseq.0);
                to.u8(status.to_wire());
            }
        }
    }
}

fn write_batch(to: &mut Writer<'_>, room: RoomHandle, time_s: u32, base: Seq, n: u8, entries: &[u8]) {
    to.u16(room.0);
    to.u32(time_s);
    to.u64(base.0);
    to.u8(n);
    to.put(entries);
}

/// A relay's datagram while it is written: frames are added until one does not fit.
#[derive(Debug)]
pub struct Builder<'b> {
    writer: Writer<'b>,
}

impl<'b> Builder<'b> {
    /// Begins a datagram for one client in `buffer`; no more than [`DATAGRAM_BYTES_MAX`] of it are used.
    ///
    /// # Panics
    /// If `buffer` is shorter than [`ROOM_OVERHEAD`].
    pub fn to_client(buffer: &'b mut [u8], ccid: Ccid) -> Self {
        Self::begin(buffer, Kind::ToClient, ccid.0)
    }

    /// Begins a datagram for a whole room; only BATCH and HEAD may be added.
    ///
    /// # Panics
    /// If `buffer` is shorter than [`ROOM_OVERHEAD`].
    pub fn to_room(buffer: &'b mut [u8], tag: RoomTag) -> Self {
        Self::begin(buffer, Kind::ToRoom, tag.0)
    }

    fn begin(buffer: &'b mut [u8], kind: Kind, number: u64) -> Self {
        assert!(buffer.len() >= ROOM_OVERHEAD, "invariant: a buffer holds a datagram without frames");
        let mut writer = begin(buffer, kind);
        writer.u64(number);
        Self { writer }
    }

    /// Adds a frame. `false`: it does not fit, or a name or reason in it is
    /// longer than 64 bytes; nothing is written then.
    pub fn push(&mut self, frame: &Frame<'_>) -> bool {
        self.writer.frame(frame.kind(), |writer| frame.write(writer))
    }

    /// Adds a BATCH of `n` entries that are in wire form already, as a ring
    /// keeps them. `false`: it does not fit, and nothing is written.
    pub fn batch(&mut self, room: RoomHandle, time_s: u32, base: Seq, n: u8, raw_entries: &[u8]) -> bool {
        self.writer.frame(BATCH, |writer| write_batch(writer, room, time_s, base, n, raw_entries))
    }

    /// Adds a MEMBERS frame, empty at first. `None`: it does not fit.
    pub fn members(&mut self, req: Req, room: RoomHandle, at: Seq) -> Option<ListBuilder<'_, 'b>> {
        ListBuilder::begin(&mut self.writer, MEMBERS, |writer| {
            writer.u16(req.0);
            writer.u16(room.0);
            writer.u64(at.0);
        })
    }

    /// Adds a ROOMS frame, empty at first. `None`: it does not fit.
    pub fn rooms(&mut self, req: Req) -> Option<ListBuilder<'_, 'b>> {
        ListBuilder::begin(&mut self.writer, ROOMS, |writer| writer.u16(req.0))
    }

    /// Whether it has no frame yet.
    pub fn is_empty(&self) -> bool {
        self.writer.len() == ROOM_OVERHEAD
    }

    /// Bytes that still fit, a frame's [`FRAME_OVERHEAD`] included.
    pub fn room_left(&self) -> usize {
        self.writer.left()
    }

    /// Bytes that it has by now.
    pub fn len(&self) -> usize {
        self.writer.len()
    }

    /// Pads it with zeros until it has `len` bytes, or is full.
    pub fn pad_to(&mut self, len: usize) {
        self.writer.pad_to(len);
    }
}
