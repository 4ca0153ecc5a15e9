//! Redis serialization protocol, version 3: a connection that subscribes may
//! still publish there, which version 2 does not allow.

use super::{Frame, ROOM, Wire, line, number};

/// The room is a channel; a member hears itself.
pub struct Redis;

impl Wire for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn echoes(&self) -> bool {
        true
    }

    fn greeting(&self, _member: u32) -> Vec<u8> {
        format!("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{ROOM}\r\n", ROOM.len()).into_bytes()
    }

    fn publish(&self, body: &[u8], out: &mut Vec<u8>) {
        let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{ROOM}\r\n${}\r\n", ROOM.len(), body.len());
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Frame<'a> {
        const HEAD: &[u8] = b">3\r\n$7\r\nmessage\r\n$5\r\nlobby\r\n$";
        if bytes.starts_with(HEAD) {
            return match bulk(&bytes[HEAD.len() - 1..]) {
                Value::Whole { len, body } => Frame::Message { body, len: HEAD.len() - 1 + len },
                Value::Partial => Frame::Partial,
                Value::Broken => Frame::Broken,
            };
        }
        match value(bytes, 0) {
            Value::Whole { len, .. } => Frame::Other { len, answer: b"" },
            Value::Partial => Frame::Partial,
            Value::Broken => Frame::Broken,
        }
    }
}

enum Value<'a> {
    Whole { len: usize, body: &'a [u8] },
    Partial,
    Broken,
}

/// `$5\r\nhello\r\n`
fn bulk(bytes: &[u8]) -> Value<'_> {
    let Some((head, start)) = line(bytes) else { return Value::Partial };
    let Some(size) = number(&head[1..]) else { return Value::Broken };
    let len = start + size + 2;
    if bytes.len() < len { Value::Partial } else { Value::Whole { len, body: &bytes[start..start + size] } }
}

/// Any value, to be skipped; nested no deeper than a greeting is.
fn value(bytes: &[u8], depth: u32) -> Value<'_> {
    let Some((head, start)) = line(bytes) else { return Value::Partial };
    let elements = match head.first() {
        Some(b'$' | b'=') => return bulk(bytes),
        Some(b'*' | b'>' | b'~') if depth < 8 => number(&head[1..]),
        Some(b'%') if depth < 8 => number(&head[1..]).map(|pairs| pairs * 2),
        Some(b'+' | b':' | b'_' | b',' | b'#' | b'(') => Some(0),
        _ => None,
    };
    let Some(elements) = elements else { return Value::Broken };
    let mut len = start;
    for _ in 0..elements {
        match value(&bytes[len..], depth + 1) {
            Value::Whole { len: more, .. } => len += more,
            other => return other,
        }
    }
    Value::Whole { len, body: b"" }
}
