//! The datagrams before and beside a session: HELLO and what a relay answers.
//! Never judges a cookie, a proof or a name's use: those are the relay's.

use super::cursor::{Reader, Writer};
use super::header::{Code, DATAGRAM_BYTES_MAX, HELLO_BYTES_MAX, HELLO_BYTES_MIN, Kind, Malformed, PREFIX_BYTES};
use super::id::{Ccid, Epoch, Instance, MemberId, Nonce, Scid};

/// Bytes of the proof that a client knows the access key.
pub const PROOF_BYTES: usize = 16;
/// Bytes of a cookie.
pub const COOKIE_BYTES: usize = 24;
/// Bytes of a RETRY.
pub const RETRY_BYTES: usize = 44;
/// Bytes of a WELCOME.
pub const WELCOME_BYTES: usize = 64;
/// Bytes of a REFUSE.
pub const REFUSE_BYTES: usize = 28;
/// Bytes of the answer to another version.
pub const OTHER_VERSION_BYTES: usize = 20;
/// Bytes of a NOSESSION.
pub const NO_SESSION_BYTES: usize = 20;

/// In HELLO's flags: there is a proof.
const FLAG_PROOF: u16 = 1;
/// Where HELLO's proof begins.
const PROOF_AT: usize = 56;
/// Where HELLO's name and its length begin.
const NAME_AT: usize = PROOF_AT + PROOF_BYTES;

/// What a relay gives to whoever asks, and wants back from the same address. Zeros at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cookie(pub [u8; COOKIE_BYTES]);

/// A client asks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// New for each new session, the same over its repeats.
    pub ccid: Ccid,
    /// New for each attempt.
    pub nonce: Nonce,
    /// What a RETRY brought; zeros at first.
    pub cookie: Cookie,
    /// The key of duplicate detection.
    pub instance: Instance,
    /// That it knows the access key; covers [`Hello::proven_bytes`].
    pub proof: Option<[u8; PROOF_BYTES]>,
    /// The name that it wants.
    pub name: &'a str,
}

impl<'a> Hello<'a> {
    /// Reads a HELLO.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        expect_kind(datagram, Kind::Hello)?;
        if !(HELLO_BYTES_MIN..=HELLO_BYTES_MAX).contains(&datagram.len()) {
            return Err(Malformed::Size);
        }
        let mut reader = Reader::new(&datagram[PREFIX_BYTES..]);
        let (ccid, nonce) = (Ccid(reader.u64()?), Nonce(reader.u64()?));
        let (_reserved, flags) = (reader.u16()?, reader.u16()?);
        let (cookie, instance) = (Cookie(reader.array()?), Instance(reader.u64()?));
        let proof = reader.array()?;
        let proof = (flags & FLAG_PROOF != 0).then_some(proof);
        Ok(Self { ccid, nonce, cookie, instance, proof, name: reader.name()? })
    }

    /// Writes it with its padding, and says how many bytes that are: [`HELLO_BYTES_MIN`].
    ///
    /// # Panics
    /// If `out` has fewer, or the name over 64 bytes.
    pub fn encode(&self, out: &mut [u8]) -> usize {
        let mut writer = begin(out, Kind::Hello);
        writer.u64(self.ccid.0);
        writer.u64(self.nonce.0);
        writer.u16(0);
        writer.u16(if self.proof.is_some() { FLAG_PROOF } else { 0 });
        writer.put(&self.cookie.0);
        writer.u64(self.instance.0);
        writer.put(&self.proof.unwrap_or_default());
        writer.name(self.name);
        writer.pad_to(HELLO_BYTES_MIN);
        finish(&writer, HELLO_BYTES_MIN)
    }

    /// What the proof covers, in this order: all that stands before it, and
    /// the name with its length. A client writes its HELLO with a proof of
    /// zeros, reads this, and writes it again with the proof. `None` if it is no HELLO.
    pub fn proven_bytes(datagram: &[u8]) -> Option<[&[u8]; 2]> {
        let hello = Hello::parse(datagram).ok()?;
        let name_end = NAME_AT + 1 + hello.name.len();
        Some([&datagram[..PROOF_AT], &datagram[NAME_AT..name_end]])
    }
}

/// Come again with this cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The HELLO's.
    pub ccid: Ccid,
    /// The HELLO's.
    pub nonce: Nonce,
    /// What the next HELLO must bring.
    pub cookie: Cookie,
}

impl Retry {
    /// Reads a RETRY.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut reader = body(datagram, Kind::Retry, RETRY_BYTES)?;
        Ok(Self { ccid: Ccid(reader.u64()?), nonce: Nonce(reader.u64()?), cookie: Cookie(reader.array()?) })
    }

    /// The datagram.
    pub fn encode(&self) -> [u8; RETRY_BYTES] {
        let mut out = [0; RETRY_BYTES];
        let mut writer = begin(&mut out, Kind::Retry);
        writer.u64(self.ccid.0);
        writer.u64(self.nonce.0);
        writer.put(&self.cookie.0);
        finish(&writer, RETRY_BYTES);
        out
    }
}

/// The session is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The HELLO's.
    pub ccid: Ccid,
    /// The HELLO's.
    pub nonce: Nonce,
    /// The session's secret: the client's ticket.
    pub scid: Scid,
    /// Of the relay's state.
    pub epoch: Epoch,
    /// Who the client is to the others.
    pub member: MemberId,
    /// Bytes of the longest datagram.
    pub max_dgram: u16,
    /// Seconds of silence until the session is closed.
    pub idle_s: u16,
    /// Seconds without sending until the client gives a sign of life.
    pub keepalive_s: u16,
    /// None has a meaning yet.
    pub flags: u16,
    /// Messages a second that are accepted; 0 is no limit.
    pub msgs_per_s: u32,
    /// Bytes of payload a second that are accepted; 0 is no limit.
    pub bytes_per_s: u32,
    /// Bytes of payload that may be unacknowledged.
    pub window_bytes: u32,
}

impl Welcome {
    /// Reads a WELCOME.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut reader = body(datagram, Kind::Welcome, WELCOME_BYTES)?;
        Ok(Self {
            ccid: Ccid(reader.u64()?),
            nonce: Nonce(reader.u64()?),
            scid: Scid(reader.u64()?),
            epoch: Epoch(reader.u64()?),
            member: MemberId(reader.u32()?),
            max_dgram: reader.u16()?,
            idle_s: reader.u16()?,
            keepalive_s: reader.u16()?,
            flags: reader.u16()?,
            msgs_per_s: reader.u32()?,
            bytes_per_s: reader.u32()?,
            window_bytes: reader.u32()?,
        })
    }

    /// The datagram.
    pub fn encode(&self) -> [u8; WELCOME_BYTES] {
        let mut out = [0; WELCOME_BYTES];
        let mut writer = begin(&mut out, Kind::Welcome);
        for number in [self.ccid.0, self.nonce.0, self.scid.0, self.epoch.0] {
            writer.u64(number);
        }
        writer.u32(self.member.0);
        for number in [self.max_dgram, self.idle_s, self.keepalive_s, self.flags] {
            writer.u16(number);
        }
        for number in [self.msgs_per_s, self.bytes_per_s, self.window_bytes, 0] {
            writer.u32(number);
        }
        finish(&writer, WELCOME_BYTES);
        out
    }
}

/// There will be no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// The HELLO's.
    pub ccid: Ccid,
    /// The HELLO's.
    pub nonce: Nonce,
    /// Why.
    pub code: Code,
    /// Milliseconds until it is worth another attempt; 0 says nothing.
    pub retry_ms: u32,
}

impl Refuse {
    /// Reads a REFUSE.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut reader = body(datagram, Kind::Refuse, REFUSE_BYTES)?;
        let (ccid, nonce) = (Ccid(reader.u64()?), Nonce(reader.u64()?));
        let (code, _reserved) = (Code::from_wire(reader.u16()?), reader.u16()?);
        Ok(Self { ccid, nonce, code, retry_ms: reader.u32()? })
    }

    /// The datagram.
    pub fn encode(&self) -> [u8; REFUSE_BYTES] {
        let mut out = [0; REFUSE_BYTES];
        let mut writer = begin(&mut out, Kind::Refuse);
        writer.u64(self.ccid.0);
        writer.u64(self.nonce.0);
        writer.u16(self.code.to_wire());
        writer.u16(0);
        writer.u32(self.retry_ms);
        finish(&writer, REFUSE_BYTES);
        out
    }
}

/// That version is not spoken here. The same in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherVersion {
    /// The HELLO's.
    pub ccid: Ccid,
    /// The versions that are, zeros behind them.
    pub versions: [u8; 8],
}

impl OtherVersion {
    /// Reads such an answer, of whatever version.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut reader = body(datagram, Kind::OtherVersion, OTHER_VERSION_BYTES)?;
        Ok(Self { ccid: Ccid(reader.u64()?), versions: reader.array()? })
    }

    /// The datagram.
    pub fn encode(&self) -> [u8; OTHER_VERSION_BYTES] {
        let mut out = [0; OTHER_VERSION_BYTES];
        let mut writer = begin(&mut out, Kind::OtherVersion);
        writer.u64(self.ccid.0);
        writer.put(&self.versions);
        finish(&writer, OTHER_VERSION_BYTES);
        out
    }
}

/// No session has that ticket: a hint only, it proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSession {
    /// The ticket.
    pub scid: Scid,
    /// Of the relay's state now.
    pub epoch: Epoch,
}

impl NoSession {
    /// Reads a NOSESSION.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut reader = body(datagram, Kind::NoSession, NO_SESSION_BYTES)?;
        Ok(Self { scid: Scid(reader.u64()?), epoch: Epoch(reader.u64()?) })
    }

    /// The datagram.
    pub fn encode(&self) -> [u8; NO_SESSION_BYTES] {
        let mut out = [0; NO_SESSION_BYTES];
        let mut writer = begin(&mut out, Kind::NoSession);
        writer.u64(self.scid.0);
        writer.u64(self.epoch.0);
        finish(&writer, NO_SESSION_BYTES);
        out
    }
}

/// That a datagram is of this type.
pub(super) fn expect_kind(datagram: &[u8], kind: Kind) -> Result<(), Malformed> {
    match Kind::parse(datagram)? {
        found if found == kind => Ok(()),
        found if is_relays(found) != is_relays(kind) => Err(Malformed::WrongDirection),
        found => Err(Malformed::UnknownType(found as u8)),
    }
}

fn is_relays(kind: Kind) -> bool {
    kind as u8 & 0x80 != 0
}

/// What stands behind the prefix of an answer, which has one length only.
fn body(datagram: &[u8], kind: Kind, len: usize) -> Result<Reader<'_>, Malformed> {
    expect_kind(datagram, kind)?;
    if datagram.len() != len {
        return Err(Malformed::Size);
    }
    Ok(Reader::new(&datagram[PREFIX_BYTES..]))
}

/// A writer into `out` behind the prefix; what is longer than a datagram is not used.
pub(super) fn begin(out: &mut [u8], kind: Kind) -> Writer<'_> {
    let len = out.len().min(DATAGRAM_BYTES_MAX);
    let mut writer = Writer::new(&mut out[..len]);
    writer.put(&kind.prefix());
    writer
}

fn finish(writer: &Writer<'_>, len: usize) -> usize {
    assert!(writer.len() == len && !writer.is_overrun(), "invariant: the buffer has room for this datagram");
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hello<'static> = Hello {
        ccid: Ccid(1),
        nonce: Nonce(2),
        cookie: Cookie([3; COOKIE_BYTES]),
        instance: Instance(4),
        proof: Some([5; PROOF_BYTES]),
        name: "小明",
    };

    #[test]
    fn hello_is_what_was_said() {
        for hello in [HELLO, Hello { proof: None, cookie: Cookie::default(), name: "b", ..HELLO }] {
            let mut out = [0xAA; 2000];
            assert_eq!(hello.encode(&mut out), HELLO_BYTES_MIN);
            assert_eq!(Hello::parse(&out[..HELLO_BYTES_MIN]), Ok(hello));
            assert!(out[NAME_AT + 1 + hello.name.len()..HELLO_BYTES_MIN].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn hello_has_its_size_and_a_name() {
        let mut out = [0; HELLO_BYTES_MAX + 1];
        HELLO.encode(&mut out);
        for (len, fits) in [(HELLO_BYTES_MIN - 1, false), (HELLO_BYTES_MAX, true), (HELLO_BYTES_MAX + 1, false)] {
            assert_eq!(Hello::parse(&out[..len]).is_ok(), fits, "{len}");
        }
        for len in [0, 65] {
            out[NAME_AT] = len;
            assert_eq!(Hello::parse(&out[..HELLO_BYTES_MIN]), Err(Malformed::Name));
        }
    }

    #[test]
    fn the_proof_covers_everything_but_itself_and_the_padding() {
        let mut out = [0; HELLO_BYTES_MIN];
        HELLO.encode(&mut out);
        let [head, name] = Hello::proven_bytes(&out).unwrap();
        assert_eq!((head.len(), name), (56, &b"\x06\xE5\xB0\x8F\xE6\x98\x8E"[..]));
        assert_eq!(Hello::proven_bytes(&out[..100]), None);
    }

    #[test]
    fn an_answer_has_one_length() {
        let retry = Retry { ccid: Ccid(1), nonce: Nonce(2), cookie: Cookie([3; COOKIE_BYTES]) };
        let bytes = retry.encode();
        assert_eq!(Retry::parse(&bytes), Ok(retry));
        assert_eq!(Retry::parse(&bytes[..RETRY_BYTES - 1]), Err(Malformed::Size));
        assert_eq!(Welcome::parse(&bytes), Err(Malformed::UnknownType(0x81)));
        assert_eq!(Hello::parse(&bytes), Err(Malformed::WrongDirection));
    }
}
