//! What a client sends: HELLO, and session datagrams with their frames. Never
//! judges whether a frame is allowed, only whether it is one.

use super::cursor::{Reader, Writer, short_text};
use super::handshake::{Hello, begin};
use super::header::{Code, DATAGRAM_BYTES_MAX, EntryKind, Kind, Malformed, PREFIX_BYTES, REASON_BYTES_MAX};
use super::header::{SESSION_BYTES_MIN, SESSION_OVERHEAD};
use super::id::{Dseq, KeyId, MemberId, PacketNumber, Req, RoomHandle, Scid, Seq, Sseq, Token};

const JOIN: u8 = 0x01;
const LEAVE: u8 = 0x02;
const MSG: u8 = 0x03;
const NACK: u8 = 0x04;
const REPORT: u8 = 0x05;
const PING: u8 = 0x06;
const PATH_RESPONSE: u8 = 0x07;
const CLOSE: u8 = 0x08;
const WHO: u8 = 0x09;
const LIST: u8 = 0x0A;
const NICK: u8 = 0x0B;
const DIRECT: u8 = 0x0C;
const DIRECT_ACK: u8 = 0x0D;

/// In JOIN's flags.
const FLAG_SEALED: u8 = 1;
const FLAG_UNLISTED: u8 = 2;

/// Ranges in one NACK.
pub const RANGES_MAX: usize = 16;
/// Bytes of a range in a NACK.
pub const RANGE_BYTES: usize = 10;

/// A datagram that a client sent.
#[derive(Clone, Debug)]
pub enum Uplink<'a> {
    /// It asks for a session.
    Hello(Hello<'a>),
    /// It has one.
    Session(Session<'a>),
}

impl<'a> Uplink<'a> {
    /// Reads a datagram as a relay does. The frames of a session are all looked at here, once.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        match Kind::parse(datagram)? {
            Kind::Hello => Hello::parse(datagram).map(Self::Hello),
            Kind::Session => Session::parse(datagram).map(Self::Session),
            _ => Err(Malformed::WrongDirection),
        }
    }
}

/// A client's datagram within its session.
#[derive(Clone, Debug)]
pub struct Session<'a> {
    /// Its ticket.
    pub scid: Scid,
    /// The datagram's number.
    pub pn: PacketNumber,
    /// What it says.
    pub frames: Frames<'a>,
}

impl<'a> Session<'a> {
    fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let (scid, pn, body) = Self::split(datagram)?;
        Ok(Self { scid, pn, frames: Frames::parse(body)? })
    }

    /// Whose datagram it is and its number, if it is one of a session, whatever
    /// its frames say: a relay looks at these first.
    pub fn envelope(datagram: &[u8]) -> Option<(Scid, PacketNumber)> {
        let is_session = Kind::parse(datagram) == Ok(Kind::Session);
        is_session.then(|| Session::split(datagram).ok().map(|(scid, pn, _)| (scid, pn))).flatten()
    }

    fn split(datagram: &'a [u8]) -> Result<(Scid, PacketNumber, &'a [u8]), Malformed> {
        if !(SESSION_BYTES_MIN..=DATAGRAM_BYTES_MAX).contains(&datagram.len()) {
            return Err(Malformed::Size);
        }
        let mut reader = Reader::new(&datagram[PREFIX_BYTES..]);
        Ok((Scid(reader.u64()?), PacketNumber(reader.u32()?), reader.rest()))
    }
}

/// The frames of a session datagram, each known to be good. Unknown types are left out.
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
        let frames = Self { rest: Reader::new(body) };
        let mut rest = frames.rest;
        while let Some((kind, body)) = rest.frame()? {
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

/// What a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// It wants into a room.
    Join {
        /// The request's number.
        req: Req,
        /// What is said there is encrypted end to end.
        sealed: bool,
        /// It does not stand in lists.
        unlisted: bool,
        /// Of a sealed room, else 0.
        key_id: KeyId,
        /// Its name.
        room: &'a str,
    },
    /// It leaves a room.
    Leave {
        /// The request's number.
        req: Req,
        /// Which.
        room: RoomHandle,
    },
    /// It says something.
    Msg {
        /// Where.
        room: RoomHandle,
        /// What it is.
        kind: EntryKind,
        /// Its number.
        sseq: Sseq,
        /// The bytes. More than [`MSG_PAYLOAD_BYTES_MAX`](super::header::MSG_PAYLOAD_BYTES_MAX) are read, but for refusal only.
        payload: &'a [u8],
    },
    /// It misses entries.
    Nack {
        /// Where.
        room: RoomHandle,
        /// Which.
        ranges: Ranges<'a>,
    },
    /// How it receives.
    Report {
        /// Where.
        room: RoomHandle,
        /// It has everything up to here.
        contiguous: Seq,
        /// The newest that it has.
        highest: Seq,
        /// Numbers first seen missing since JOIN, wrapping.
        lost: u32,
        /// KiB of entries received since JOIN, wrapping.
        kib: u16,
    },
    /// Is the relay there?
    Ping {
        /// Comes back in the answer.
        t: u64,
    },
    /// It is reached at its new address.
    PathResponse {
        /// What the challenge asked back.
        token: Token,
    },
    /// It goes.
    Close {
        /// Why.
        code: Code,
        /// In words.
        reason: &'a str,
    },
    /// Who is in a room?
    Who {
        /// The request's number.
        req: Req,
        /// Which.
        room: RoomHandle,
        /// Where to go on; 0 is the beginning.
        cursor: u32,
        /// Only this one, unless 0.
        member: MemberId,
    },
    /// Which rooms are there?
    List {
        /// The request's number.
        req: Req,
        /// Where to go on; 0 is the beginning.
        cursor: u32,
    },
    /// It wants another name.
    Nick {
        /// The request's number.
        req: Req,
        /// Which.
        name: &'a str,
    },
    /// It says something to one member.
    Direct {
        /// To whom.
        to: MemberId,
        /// Its number.
        dseq: Dseq,
        /// What it is.
        kind: EntryKind,
        /// The bytes. More than [`DIRECT_PAYLOAD_BYTES_MAX`](super::header::DIRECT_PAYLOAD_BYTES_MAX) are read, but for refusal only.
        payload: &'a [u8],
    },
    /// It has what that member said to it.
    DirectAck {
        /// To whom.
        to: MemberId,
        /// Which.
        dseq: Dseq,
    },
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
            MSG => Self::read_msg(reader)?,
            JOIN => Self::read_join(reader)?,
            LEAVE => Self::Leave { req: Req(reader.u16()?), room: RoomHandle(reader.u16()?) },
            NACK => Self::Nack { room: RoomHandle(reader.u16()?), ranges: Ranges::read(reader)? },
            REPORT => Self::read_report(reader)?,
            PING => Self::Ping { t: reader.u64()? },
            PATH_RESPONSE => Self::PathResponse { token: Token(reader.u64()?) },
            CLOSE => Self::Close { code: Code::from_wire(reader.u16()?), reason: short_text(reader.rest())? },
            WHO => Self::read_who(reader)?,
            LIST => Self::List { req: Req(reader.u16()?), cursor: reader.u32()? },
            NICK => Self::Nick { req: Req(reader.u16()?), name: reader.name()? },
            DIRECT => Self::read_direct(reader)?,
            DIRECT_ACK => Self::DirectAck { to: MemberId(reader.u32()?), dseq: Dseq(reader.u32()?) },
            _ => return Ok(None),
        }))
    }

    fn read_join(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (req, flags, _reserved) = (Req(reader.u16()?), reader.u8()?, reader.u8()?);
        Ok(Self::Join {
            req,
            sealed: flags & FLAG_SEALED != 0,
            unlisted: flags & FLAG_UNLISTED != 0,
            key_id: KeyId(reader.u64()?),
            room: reader.name()?,
        })
    }

    fn read_msg(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (room, kind, _reserved) = (RoomHandle(reader.u16()?), EntryKind(reader.u8()?), reader.u8()?);
        Ok(Self::Msg { room, kind, sseq: Sseq(reader.u32()?), payload: reader.rest() })
    }

    fn read_report(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self::Report {
            room: RoomHandle(reader.u16()?),
            contiguous: Seq(reader.u64()?),
            highest: Seq(reader.u64()?),
            lost: reader.u32()?,
            kib: reader.u16()?,
        })
    }

    fn read_who(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self::Who {
            req: Req(reader.u16()?),
            room: RoomHandle(reader.u16()?),
            cursor: reader.u32()?,
            member: MemberId(reader.u32()?),
        })
    }

    fn read_direct(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self::Direct {
            to: MemberId(reader.u32()?),
            dseq: Dseq(reader.u32()?),
            kind: EntryKind(reader.u8()?),
            payload: reader.rest(),
        })
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Join { .. } => JOIN,
            Self::Leave { .. } => LEAVE,
            Self::Msg { .. } => MSG,
            Self::Nack { .. } => NACK,
            Self::Report { .. } => REPORT,
            Self::Ping { .. } => PING,
            Self::PathResponse { .. } => PATH_RESPONSE,
            Self::Close { .. } => CLOSE,
            Self::Who { .. } => WHO,
            Self::List { .. } => LIST,
            Self::Nick { .. } => NICK,
            Self::Direct { .. } => DIRECT,
            Self::DirectAck { .. } => DIRECT_ACK,
        }
    }

    fn write(&self, to: &mut Writer<'_>) {
        match *self {
            Self::Join { req, sealed, unlisted, key_id, room } => {
                to.u16(req.0);
                to.u8(u8::from(sealed) * FLAG_SEALED + u8::from(unlisted) * FLAG_UNLISTED);
                to.u8(0);
                to.u64(key_id.0);
                to.name(room);
            }
            Self::Leave { req, room } => {
                to.u16(req.0);
                to.u16(room.0);
            }
            Self::Msg { room, kind, sseq, payload } => {
                to.u16(room.0);
                to.put(&[kind.0, 0]);
                to.u32(sseq.0);
                to.put(payload);
            }
            Self::Nack { room, ranges } => {
                to.u16(room.0);
                ranges.write(to);
            }
            Self::Report { room, contiguous, highest, lost, kib } => {
                to.u16(room.0);
                to.u64(contiguous.0);
                to.u64(highest.0);
                to.u32(lost);
                to.u16(kib);
            }
            Self::Ping { t: number } | Self::PathResponse { token: Token(number) } => to.u64(number),
            Self::Close { code, reason } => {
                to.u16(code.to_wire());
                to.text(reason, REASON_BYTES_MAX);
            }
            Self::Who { req, room, cursor, member } => {
                to.u16(req.0);
                to.u16(room.0);
                to.u32(cursor);
                to.u32(member.0);
            }
            Self::List { req, cursor } => {
                to.u16(req.0);
                to.u32(cursor);
            }
            Self::Nick { req, name } => {
                to.u16(req.0);
                to.name(name);
            }
            Self::Direct { to: member, dseq, kind, payload } => {
                to.u32(member.0);
                to.u32(dseq.0);
                to.u8(kind.0);
                to.put(payload);
            }
            Self::DirectAck { to: member, dseq } => {
                to.u32(member.0);
                to.u32(dseq.0);
            }
        }
    }
}

/// Some entries in a row that are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeqRange {
    /// The first.
    pub start: Seq,
    /// How many.
    pub count: u16,
}

/// The ranges of a NACK, in wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges<'a> {
    ranges: &'a [[u8; RANGE_BYTES]],
}

impl<'a> Ranges<'a> {
    /// Writes the first [`RANGES_MAX`] of `ranges` into `buffer`, for [`Frame::Nack`].
    pub fn encode(ranges: &[SeqRange], buffer: &'a mut [[u8; RANGE_BYTES]; RANGES_MAX]) -> Self {
        for (bytes, range) in buffer.iter_mut().zip(ranges) {
            bytes[..8].copy_from_slice(&range.start.0.to_le_bytes());
            bytes[8..].copy_from_slice(&range.count.to_le_bytes());
        }
        Self { ranges: &buffer[..ranges.len().min(RANGES_MAX)] }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = usize::from(reader.u8()?);
        let (ranges, rest) = reader.rest().as_chunks();
        let is_whole = ranges.len() == count && count <= RANGES_MAX && rest.is_empty();
        is_whole.then_some(Self { ranges }).ok_or(Malformed::Frame)
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.u8(u8::try_from(self.ranges.len()).expect("invariant: at most 16 ranges"));
        to.put(self.ranges.as_flattened());
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = SeqRange> + use<'a> {
        self.ranges.iter().map(|&[a, b, c, d, e, f, g, h, low, high]| SeqRange {
            start: Seq(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
            count: u16::from_le_bytes([low, high]),
        })
    }
}

/// A session datagram while it is written: frames are added until one does not fit.
#[derive(Debug)]
pub struct Builder<'b> {
    writer: Writer<'b>,
}

impl<'b> Builder<'b> {
    /// Begins a datagram in `buffer`; no more than [`DATAGRAM_BYTES_MAX`] of it are used.
    ///
    /// # Panics
    /// If `buffer` is shorter than [`SESSION_BYTES_MIN`].
    pub fn session(buffer: &'b mut [u8], scid: Scid, pn: PacketNumber) -> Self {
        assert!(buffer.len() >= SESSION_BYTES_MIN, "invariant: a buffer holds the shortest session datagram");
        let mut writer = begin(buffer, Kind::Session);
        writer.u64(scid.0);
        writer.u32(pn.0);
        Self { writer }
    }

    /// Adds a frame. `false`: it does not fit, or a name or reason in it is
    /// longer than 64 bytes; nothing is written then.
    pub fn push(&mut self, frame: &Frame<'_>) -> bool {
        self.writer.frame(frame.kind(), |writer| frame.write(writer))
    }

    /// Whether it has no frame yet.
    pub fn is_empty(&self) -> bool {
        self.writer.len() == SESSION_OVERHEAD
    }

    /// Bytes that still fit, a frame's [`FRAME_OVERHEAD`](super::header::FRAME_OVERHEAD) included.
    pub fn room_left(&self) -> usize {
        self.writer.left()
    }

    /// Pads it to what a session datagram has at least, and says how many bytes it has.
    pub fn finish(mut self) -> usize {
        self.writer.pad_to(SESSION_BYTES_MIN);
        self.writer.len()
    }
}
