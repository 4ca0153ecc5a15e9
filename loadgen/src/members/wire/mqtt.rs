//! MQTT 3.1.1, quality of service 0: what most brokers and clients speak.

use super::{Frame, ROOM, Wire};

/// The room is a topic; a member hears itself.
pub struct Mqtt;

const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBACK: u8 = 0x90;
const PINGRESP: u8 = 0xD0;

impl Wire for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn echoes(&self) -> bool {
        true
    }

    /// CONNECT with a clean session and no keep-alive, then SUBSCRIBE.
    fn greeting(&self, member: u32) -> Vec<u8> {
        let client = format!("u{member}");
        let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
        put_text(&client, &mut body);
        let mut out = vec![0x10];
        put_length(body.len(), &mut out);
        out.extend_from_slice(&body);
        let mut body = vec![0, 1];
        put_text(ROOM, &mut body);
        body.push(0);
        out.push(0x82);
        put_length(body.len(), &mut out);
        out.extend_from_slice(&body);
        out
    }

    fn publish(&self, body: &[u8], out: &mut Vec<u8>) {
        out.push(PUBLISH);
        put_length(2 + ROOM.len() + body.len(), out);
        put_text(ROOM, out);
        out.extend_from_slice(body);
    }

    fn read<'a>(&self, bytes: &'a [u8]) -> Frame<'a> {
        let (Some(kind), Some((size, start))) = (bytes.first(), length(bytes)) else {
            return if bytes.len() < 5 { Frame::Partial } else { Frame::Broken };
        };
        let len = start + size;
        if bytes.len() < len {
            return Frame::Partial;
        }
        let body = &bytes[start..len];
        match kind & 0xF0 {
            PUBLISH => message(body, len),
            CONNACK if body.get(1) == Some(&0) => Frame::Other { len, answer: b"" },
            SUBACK if body.get(2).is_some_and(|code| *code < 0x80) => Frame::Other { len, answer: b"" },
            PINGRESP => Frame::Other { len, answer: b"" },
            _ => Frame::Broken,
        }
    }
}

/// A topic before the payload; no packet id at quality 0.
fn message(body: &[u8], len: usize) -> Frame<'_> {
    let Some((size, rest)) = body.split_first_chunk::<2>() else { return Frame::Broken };
    match rest.get(usize::from(u16::from_be_bytes(*size))..) {
        Some(payload) => Frame::Message { body: payload, len },
        None => Frame::Broken,
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Seven bits a byte, the low ones first (section 2.2.3).
fn put_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 128 {
        out.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    out.push(length as u8);
}

/// The remaining length and where it ends; `None`: not whole, or too long.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 2));
        }
    }
    None
}
