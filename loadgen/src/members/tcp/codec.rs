//! What the client's half of a TCP publish-subscribe protocol must tell: what
//! to write, and what the next frame of a stream is. Bytes only, no sockets.
//!
//! The frames are read by parsers of our own: the published codecs hand out
//! owned values and take memory for each frame, and the receive path must not.

/// The longest frame that is understood: the longest message and its head.
pub const FRAME_BYTES_MAX: usize = 4096;

/// The room that all members are in.
pub(super) const ROOM: &str = "outcry.room";

/// The client's half of a protocol.
pub trait Codec: Send + Sync + 'static {
    /// What it is, for the report.
    const NAME: &'static str;
    /// A connection that listens cannot speak, and the server knows no sender:
    /// speakers get a second connection, and their own copies are dropped.
    const ECHOES: bool;

    /// The first bytes of a connection that listens; `id` tells connections apart.
    fn greet(id: &str, out: &mut Vec<u8>);

    /// The first bytes of a connection that only speaks.
    fn greet_speaker(_out: &mut Vec<u8>) {}

    /// Enters the room. May be said again.
    fn enter(out: &mut Vec<u8>);

    /// Leaves it.
    fn leave(out: &mut Vec<u8>);

    /// Sends a message to the room.
    fn publish(message: &[u8], out: &mut Vec<u8>);

    /// A message as the server writes it to a member.
    fn copy(message: &[u8], out: &mut Vec<u8>);

    /// The first frame in `bytes`.
    fn next(bytes: &[u8]) -> Step<'_>;
}

/// What stands at the beginning of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Not yet a whole frame.
    More,
    /// A frame of so many bytes.
    Frame(usize, Frame<'a>),
    /// Not this protocol.
    Broken,
}

/// What a frame says.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message to the room.
    Message(&'a [u8]),
    /// The server wants this answer.
    Answer(&'static [u8]),
    /// The server is not content, in its words.
    Complaint(&'a [u8]),
    /// Nothing to do: a greeting or a confirmation.
    Nothing,
}

/// The line that `bytes` begin with, without its CR LF.
pub(super) fn line(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some(&bytes[..at])
}

/// A decimal number of at most nine digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + usize::from(byte - b'0')))
}

/// `More`, unless what is there is already longer than any frame of ours.
pub(super) fn more(bytes: &[u8]) -> Step<'_> {
    if bytes.len() >= FRAME_BYTES_MAX { Step::Broken } else { Step::More }
}

/// What every codec must do, whatever its protocol.
#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::plan::Dice;

    /// The frames of `stream`; what is left; whether it broke.
    pub(in crate::members::tcp) fn frames<C: Codec>(stream: &[u8]) -> (Vec<Vec<u8>>, usize, bool) {
        let (mut messages, mut at) = (Vec::new(), 0);
        loop {
            match C::next(&stream[at..]) {
                Step::More => return (messages, stream.len() - at, false),
                Step::Broken => return (messages, stream.len() - at, true),
                Step::Frame(used, frame) => {
                    assert!(used > 0 && at + used <= stream.len());
                    at += used;
                    if let Frame::Message(message) = frame {
                        messages.push(message.to_vec());
                    }
                }
            }
        }
    }

    /// Whatever follows, a cut frame is `More` and a whole one is itself.
    pub(in crate::members::tcp) fn survives_any_cut<C: Codec>(control: &[u8]) {
        let messages: Vec<Vec<u8>> =
            [0, 1, 64, 127, 128, 1000].iter().map(|&len| vec![b'\r'; len]).chain([b"a\r\nb".to_vec()]).collect();
        let mut stream = control.to_vec();
        messages.iter().for_each(|message| C::copy(message, &mut stream));
        assert_eq!(frames::<C>(&stream), (messages.clone(), 0, false));
        for cut in 0..stream.len() {
            let (before, left, broken) = frames::<C>(&stream[..cut]);
            assert!(!broken, "cut at {cut}");
            let (after, rest, broken) = frames::<C>(&stream[cut - left..]);
            assert_eq!((rest, broken), (0, false), "cut at {cut}");
            assert_eq!([before, after].concat(), messages, "cut at {cut}");
        }
    }

    /// Random bytes, and good streams with a byte changed, never panic nor hang.
    pub(in crate::members::tcp) fn survives_garbage<C: Codec>() {
        let mut dice = Dice::new(7);
        let mut good = Vec::new();
        (0..4).for_each(|_| C::copy(b"u17 : hello", &mut good));
        for _ in 0..20_000 {
            let len = dice.below(80) as usize;
            let noise: Vec<u8> = (0..len).map(|_| dice.below(256) as u8).collect();
            frames::<C>(&noise);
            let mut damaged = good.clone();
            let at = dice.below(good.len() as u32) as usize;
            damaged[at] = dice.below(256) as u8;
            frames::<C>(&damaged);
        }
    }

    /// A line without end is not waited for.
    pub(in crate::members::tcp) fn gives_up_on_a_long_line<C: Codec>() {
        assert!(!frames::<C>(&[b'+'; FRAME_BYTES_MAX - 1]).2);
        assert!(frames::<C>(&[b'+'; FRAME_BYTES_MAX]).2);
    }

    #[test]
    fn numbers_are_numbers() {
        assert_eq!([decimal(b"0"), decimal(b"1024")], [Some(0), Some(1024)]);
        for text in [&b""[..], b"-1", b"1a", b" 1", b"1234567890"] {
            assert_eq!(decimal(text), None);
        }
    }
}
