//! The wire formats of other servers, as far as a member needs them: one topic
//! to hear and to speak on. Written here and not taken from client crates,
//! whose decoders allocate for every message: at a million copies a second
//! that would be the figure.

mod mqtt;
mod nats;
mod redis;

pub use mqtt::Mqtt;
pub use nats::Nats;
pub use redis::Redis;

/// The one topic, subject or channel.
pub const ROOM: &str = "lobby";

/// What stands at the beginning of received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message to the room.
    Message {
        /// Its payload.
        body: &'a [u8],
        /// Bytes of the frame.
        len: usize,
    },
    /// Anything else that is whole.
    Other {
        /// Bytes of the frame.
        len: usize,
        /// What must be answered.
        answer: &'static [u8],
    },
    /// Not all of it is here.
    Partial,
    /// Not this protocol, or an error that the server tells.
    Broken,
}

/// One protocol.
pub trait Wire: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Whether a member hears itself: its own copy is then no fault.
    fn echoes(&self) -> bool;
    /// What a new connection says to be in the room.
    fn greeting(&self, member: u32) -> Vec<u8>;
    /// A message to the room, appended to `out`.
    fn publish(&self, body: &[u8], out: &mut Vec<u8>);
    /// Reads the first frame.
    fn read<'a>(&self, bytes: &'a [u8]) -> Frame<'a>;
}

/// The first line without its CR LF, and the bytes it takes with them.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1))
}

/// Decimal digits.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies<'a>(wire: &dyn Wire, mut bytes: &'a [u8]) -> (Vec<&'a [u8]>, usize) {
        let mut found = Vec::new();
        loop {
            match wire.read(bytes) {
                Frame::Message { body, len } => {
                    found.push(body);
                    bytes = &bytes[len..];
                }
                Frame::Other { len, .. } => bytes = &bytes[len..],
                Frame::Partial => return (found, bytes.len()),
                Frame::Broken => panic!("broken at {:?}", String::from_utf8_lossy(bytes)),
            }
        }
    }

    /// Every prefix is partial, never broken, and the whole gives the messages.
    fn check(wire: &dyn Wire, stream: &[u8], wanted: &[&[u8]]) {
        for end in 0..stream.len() {
            let (found, _) = bodies(wire, &stream[..end]);
            assert!(found.len() <= wanted.len() && found.iter().zip(wanted).all(|(one, other)| one == other));
        }
        assert_eq!(bodies(wire, stream), (wanted.to_vec(), 0));
    }

    #[test]
    fn nats() {
        let stream = b"INFO {\"server_id\":\"x\"}\r\nPING\r\nMSG lobby 1 5\r\nhello\r\n+OK\r\nMSG lobby 1 _INBOX.x 2\r\n\r\n\r\n";
        check(&Nats, stream, &[b"hello", b"\r\n"]);
        assert_eq!(Nats.read(b"PING\r\n"), Frame::Other { len: 6, answer: b"PONG\r\n" });
        assert_eq!(Nats.read(b"-ERR 'no'\r\n"), Frame::Broken);
        let mut out = Vec::new();
        Nats.publish(b"hi", &mut out);
        assert_eq!(out, b"PUB lobby 2\r\nhi\r\n");
    }

    #[test]
    fn redis() {
        let stream = b"%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n>3\r\n$9\r\nsubscribe\r\n$5\r\nlobby\r\n:1\r\n:12\r\n>3\r\n$7\r\nmessage\r\n$5\r\nlobby\r\n$5\r\nhello\r\n*0\r\n";
        check(&Redis, stream, &[b"hello"]);
        assert_eq!(Redis.read(b"-ERR unknown command\r\n"), Frame::Broken);
        let mut out = Vec::new();
        Redis.publish(b"hi", &mut out);
        assert_eq!(out, b"*3\r\n$7\r\nPUBLISH\r\n$5\r\nlobby\r\n$2\r\nhi\r\n");
    }

    #[test]
    fn mqtt() {
        let mut stream = b"\x20\x02\x00\x00\x90\x03\x00\x01\x00".to_vec();
        let long = vec![b'x'; 300];
        Mqtt.publish(b"hello", &mut stream);
        Mqtt.publish(&long, &mut stream);
        check(&Mqtt, &stream, &[b"hello", &long]);
        assert_eq!(Mqtt.read(b"\x20\x02\x00\x05"), Frame::Broken);
    }
}
