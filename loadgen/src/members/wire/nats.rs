//! NATS client protocol: text lines, a length before each payload.

use super::{Frame, ROOM, Wire, line, number};

/// The room is a subject; `echo: false` keeps a member from hearing itself.
pub struct Nats;

impl Wire for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn echoes(&self) -> bool {
        false
    }

    fn greeting(&self, member: u32) -> Vec<u8> {
        let options = format!(
            r#"{{"verbose":false,"pedantic":false,"echo":false,"name":"u{member}","lang":"loadgen","version":"1","protocol":1}}"#
        );
        format!("CONNECT {options}\r\nSUB {ROOM} 1\r\n").into_bytes()
    }

    fn publish(&self, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(format!("PUB {ROOM} {}\r\n", body.len()).as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Frame<'a> {
        let Some((head, start)) = line(bytes) else { return Frame::Partial };
        if head.starts_with(b"MSG ") {
            return message(bytes, head, start);
        }
        match head {
            b"PING" => Frame::Other { len: start, answer: b"PONG\r\n" },
            _ if head.starts_with(b"INFO") || head == b"+OK" || head == b"PONG" => {
                Frame::Other { len: start, answer: b"" }
            }
            _ => Frame::Broken,
        }
    }
}

/// `MSG subject sid [reply-to] bytes`, then the payload and CR LF.
fn message<'a>(bytes: &'a [u8], head: &[u8], start: usize) -> Frame<'a> {
    let Some(size) = head.rsplit(|byte| *byte == b' ').next().and_then(number) else { return Frame::Broken };
    let len = start + size + 2;
    if bytes.len() < len { Frame::Partial } else { Frame::Message { body: &bytes[start..start + size], len } }
}
