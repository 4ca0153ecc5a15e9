//! What every native datagram begins with, the sizes, and the lists of small
//! numbers. Never looks behind the first four bytes, but for a stranger's id.

use super::id::Ccid;
use std::fmt;

/// The first two bytes. 0xF7 cannot occur in UTF-8.
pub const MAGIC: [u8; 2] = [0xF7, 0x4F];
/// The protocol's version, the third byte.
pub const VERSION: u8 = 1;
/// Magic, version, type.
pub const PREFIX_BYTES: usize = 4;
/// Bytes of the longest datagram but for HELLO: the IPv6 minimum of 1280, less 48 of headers (RFC 8200, 5).
pub const DATAGRAM_BYTES_MAX: usize = 1232;
/// Bytes of the shortest HELLO: it proves the path, and makes each answer small beside it.
pub const HELLO_BYTES_MIN: usize = 1232;
/// Bytes of the longest HELLO: an Ethernet frame's 1500, less 28 of headers.
pub const HELLO_BYTES_MAX: usize = 1472;
/// Bytes of the shortest session datagram: what answers an unproven one is smaller.
pub const SESSION_BYTES_MIN: usize = 32;
/// Prefix, scid and packet number: what stands before a session datagram's frames.
pub const SESSION_OVERHEAD: usize = PREFIX_BYTES + 12;
/// Prefix and ccid, or prefix and tag: what stands before the frames that a relay sends.
pub const ROOM_OVERHEAD: usize = PREFIX_BYTES + 8;
/// A frame's type and length.
pub const FRAME_OVERHEAD: usize = 3;
/// Bytes of the longest name of a member or room.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of the longest reason in a CLOSE.
pub const REASON_BYTES_MAX: usize = 64;
/// Bytes of the longest payload of MSG: what fits alone in a BATCH.
pub const MSG_PAYLOAD_BYTES_MAX: usize = 1191;
/// Bytes of the longest payload of DIRECT: what fits when the relay passes it on with the longest name.
pub const DIRECT_PAYLOAD_BYTES_MAX: usize = 1143;

/// A datagram's type, the fourth byte. Bit 0x80: sent by a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A client asks for a session.
    Hello = 0x01,
    /// A client within its session.
    Session = 0x10,
    /// Come again with this cookie.
    Retry = 0x81,
    /// That version is not spoken here.
    OtherVersion = 0x82,
    /// The session is there.
    Welcome = 0x83,
    /// There will be no session.
    Refuse = 0x84,
    /// No session has that ticket.
    NoSession = 0x85,
    /// A relay to one client.
    ToClient = 0x90,
    /// A relay to a whole room.
    ToRoom = 0x91,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Hello,
        Self::Session,
        Self::Retry,
        Self::OtherVersion,
        Self::Welcome,
        Self::Refuse,
        Self::NoSession,
        Self::ToClient,
        Self::ToRoom,
    ];

    /// The four bytes that such a datagram begins with.
    pub const fn prefix(self) -> [u8; PREFIX_BYTES] {
        [MAGIC[0], MAGIC[1], VERSION, self as u8]
    }

    /// What the prefix says: size, magic, version and type are looked at in this order.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        if datagram.len() > HELLO_BYTES_MAX {
            return Err(Malformed::Size);
        }
        match *datagram {
            [a, b, version, kind, ..] if [a, b] == MAGIC => Self::of(datagram, version, kind),
            [a, b, ..] if [a, b] == MAGIC => Err(Malformed::Size),
            _ => Err(Malformed::NotNative),
        }
    }

    fn of(datagram: &[u8], version: u8, kind: u8) -> Result<Self, Malformed> {
        // A relay of any version may say that it is one: this type never changes.
        if version != VERSION && kind != Self::OtherVersion as u8 {
            return Err(Malformed::OtherVersion { version, hello: hello_of_any_version(datagram, kind) });
        }
        Self::ALL.into_iter().find(|known| *known as u8 == kind).ok_or(Malformed::UnknownType(kind))
    }
}

/// Who says HELLO, in whatever version: its first 20 bytes never change.
fn hello_of_any_version(datagram: &[u8], kind: u8) -> Option<Ccid> {
    let is_hello = kind == Kind::Hello as u8 && datagram.len() >= HELLO_BYTES_MIN;
    let ccid = datagram.get(PREFIX_BYTES..)?.first_chunk()?;
    is_hello.then_some(Ccid(u64::from_le_bytes(*ccid)))
}

/// Why a datagram is none of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It does not begin with the magic.
    NotNative,
    /// It is shorter or longer than its type may be.
    Size,
    /// It is of another version.
    OtherVersion {
        /// Which.
        version: u8,
        /// Whose, if it is a HELLO of at least 1232 bytes: only that is answered.
        hello: Option<Ccid>,
    },
    /// No datagram has this type.
    UnknownType(u8),
    /// A relay's type came to a relay, or a client's to a client.
    WrongDirection,
    /// A frame is longer than what is left.
    Overrun,
    /// A frame's body is not what its type says.
    Frame,
    /// A name or a reason is empty, too long, not UTF-8, or has control characters.
    Name,
    /// What goes to a whole room holds something else than BATCH and HEAD.
    NotForRoom,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNative => f.write_str("no native datagram"),
            Self::Size => f.write_str("shorter or longer than its type may be"),
            Self::OtherVersion { version, .. } => write!(f, "version {version}, not {VERSION}"),
            Self::UnknownType(kind) => write!(f, "unknown type {kind:#04x}"),
            Self::WrongDirection => f.write_str("a type that only the other side sends"),
            Self::Overrun => f.write_str("a frame is longer than what is left"),
            Self::Frame => f.write_str("a frame's body is not what its type says"),
            Self::Name => f.write_str("a name or reason is empty, too long, not UTF-8, or has control characters"),
            Self::NotForRoom => f.write_str("a room is sent BATCH and HEAD only"),
        }
    }
}

impl std::error::Error for Malformed {}

macro_rules! listed {
    ($(#[$doc:meta])* $name:ident($number:ty) { $($(#[$each:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$each])* $variant,)*
            /// A number that this version does not know.
            Unknown($number),
        }

        impl $name {
            /// All that have a name.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What a number on the wire stands for.
            pub const fn from_wire(number: $number) -> Self {
                match number {
                    $($value => Self::$variant,)*
                    unknown => Self::Unknown(unknown),
                }
            }

            /// Its number on the wire.
            pub const fn to_wire(self) -> $number {
                match self {
                    $(Self::$variant => $value,)*
                    Self::Unknown(number) => number,
                }
            }
        }
    };
}

listed! {
    /// Why something ended or was refused: one list for CLOSE, REFUSE, JOINED and RESULT.
    Code(u16) {
        /// Done; in a CLOSE: bye.
        Ok = 0,
        /// Silent for too long.
        Idle = 1,
        /// Removed by the operator.
        Kicked = 2,
        /// Against the protocol.
        Protocol = 3,
        /// The relay stops.
        Shutdown = 4,
        /// No place left.
        Full = 5,
        /// Over a rate.
        Rate = 6,
        /// The same instance has another session.
        Replaced = 7,
        /// Another version.
        Version = 8,
        /// The access proof is missing or wrong.
        Access = 9,
        /// Nothing reaches it.
        Unreachable = 10,
        /// The relay is elsewhere now; the reason says where.
        Moved = 11,
        /// May not speak.
        Muted = 12,
        /// No such room or member.
        NoSuch = 13,
        /// Another has that name.
        Taken = 14,
        /// Removed for good.
        Banned = 15,
        /// Over a limit.
        Limit = 16,
    }
}

listed! {
    /// Why a message was not taken this time.
    SlowCause(u8) {
        /// Over the messages a second.
        Messages = 1,
        /// Over the bytes a second.
        Bytes = 2,
        /// Over the repairs that a member gets.
        Repair = 3,
        /// The relay is busy.
        Busy = 4,
    }
}

listed! {
    /// Why a message will never be taken.
    RefusedCause(u8) {
        /// Its sender may not speak.
        Muted = 1,
        /// Its sender is not in the room.
        NotAMember = 2,
        /// It is too long.
        TooLong = 3,
        /// The room does not take this kind.
        Kind = 4,
    }
}

listed! {
    /// What became of a private message.
    DirectStatus(u8) {
        /// The other program has it.
        Delivered = 0,
        /// No such member.
        NoSuch = 1,
        /// A plain member: it has no private messages.
        Plain = 2,
        /// Over a limit.
        Limit = 3,
        /// It is too long.
        TooLong = 4,
    }
}

/// What an entry of a room is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EntryKind(pub u8);

impl EntryKind {
    /// Text of a member.
    pub const TEXT: Self = Self(0);
    /// Ciphertext of a member.
    pub const SEALED: Self = Self(1);
    /// A number given up by its sender; entered nowhere.
    pub const VOID: Self = Self(2);
    /// A member joined.
    pub const JOINED: Self = Self(16);
    /// A member left.
    pub const LEFT: Self = Self(17);
    /// A member has this name now.
    pub const RENAMED: Self = Self(18);
    /// This and all above: what programs agree on among themselves.
    pub const APPLICATION: Self = Self(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_judged_in_its_order() {
        let long = [0u8; HELLO_BYTES_MAX + 1];
        let rows: [(&[u8], Result<Kind, Malformed>); 11] = [
            (b"", Err(Malformed::NotNative)),
            (b"hello", Err(Malformed::NotNative)),
            (&[0xF7], Err(Malformed::NotNative)),
            (&[0xF7, 0x50, 1, 1], Err(Malformed::NotNative)),
            (&[0xF7, 0x4F, 1], Err(Malformed::Size)),
            (&long, Err(Malformed::Size)),
            (&[0xF7, 0x4F, 2, 1], Err(Malformed::OtherVersion { version: 2, hello: None })),
            (&[0xF7, 0x4F, 1, 2], Err(Malformed::UnknownType(2))),
            (&[0xF7, 0x4F, 1, 1], Ok(Kind::Hello)),
            (&[0xF7, 0x4F, 1, 0x91], Ok(Kind::ToRoom)),
            (&[0xF7, 0x4F, 9, 0x82], Ok(Kind::OtherVersion)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(Kind::parse(bytes), expected, "{:x?}", &bytes[..bytes.len().min(8)]);
        }
    }

    #[test]
    fn a_hello_of_another_version_says_whose_it_is() {
        let mut hello = [0; HELLO_BYTES_MIN];
        hello[..6].copy_from_slice(&[0xF7, 0x4F, 2, 1, 7, 1]);
        let whose = |hello| Err(Malformed::OtherVersion { version: 2, hello });
        assert_eq!(Kind::parse(&hello), whose(Some(Ccid(0x107))));
        assert_eq!(Kind::parse(&hello[..HELLO_BYTES_MIN - 1]), whose(None));
        hello[3] = 0x10;
        assert_eq!(Kind::parse(&hello), whose(None));
    }

    #[test]
    fn lists_keep_their_numbers() {
        (0..=u16::MAX).for_each(|number| assert_eq!(Code::from_wire(number).to_wire(), number));
        (0..=u8::MAX).for_each(|number| {
            assert_eq!(SlowCause::from_wire(number).to_wire(), number);
            assert_eq!(RefusedCause::from_wire(number).to_wire(), number);
            assert_eq!(DirectStatus::from_wire(number).to_wire(), number);
        });
        assert_eq!(Code::from_wire(16), Code::Limit);
        assert_eq!(Code::from_wire(17), Code::Unknown(17));
    }
}
