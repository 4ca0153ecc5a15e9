//! MQTT 5 at QoS 0, the client's half (OASIS MQTT 5.0, sections 2 and 3).
//! Version 5 because a subscription may say no-local there (3.8.3.1), so that
//! a sender does not hear itself; 3.1.1 has no such thing.

use super::codec::{Codec, FRAME_BYTES_MAX, Frame, ROOM, Step, more};

/// MQTT 5, QoS 0, clean start, no keep-alive.
pub struct Mqtt;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const UNSUBSCRIBE: u8 = 0xA2;
const UNSUBACK: u8 = 0xB0;
const PINGRESP: u8 = 0xD0;
const DISCONNECT: u8 = 0xE0;
/// Subscription options: no-local, QoS 0.
const NO_LOCAL: u8 = 0x04;
/// Reason codes from here on are failures.
const FAILURE: u8 = 0x80;

impl Codec for Mqtt {
    const NAME: &'static str = "MQTT 5, QoS 0, no-local";
    const ECHOES: bool = false;

    fn greet(id: &str, out: &mut Vec<u8>) {
        const CLEAN_START: u8 = 0x02;
        let body = 2 + 4 + 1 + 1 + 2 + 1 + 2 + id.len();
        head(CONNECT, body, out);
        text("MQTT", out);
        out.extend_from_slice(&[5, CLEAN_START, 0, 0, 0]);
        text(id, out);
    }

    fn enter(out: &mut Vec<u8>) {
        head(SUBSCRIBE, 2 + 1 + 2 + ROOM.len() + 1, out);
        out.extend_from_slice(&[0, 1, 0]);
        text(ROOM, out);
        out.push(NO_LOCAL);
    }

    fn leave(out: &mut Vec<u8>) {
        head(UNSUBSCRIBE, 2 + 1 + 2 + ROOM.len(), out);
        out.extend_from_slice(&[0, 2, 0]);
        text(ROOM, out);
    }

    fn publish(message: &[u8], out: &mut Vec<u8>) {
        head(PUBLISH, 2 + ROOM.len() + 1 + message.len(), out);
        text(ROOM, out);
        out.push(0);
        out.extend_from_slice(message);
    }

    fn copy(message: &[u8], out: &mut Vec<u8>) {
        Self::publish(message, out);
    }

    fn next(bytes: &[u8]) -> Step<'_> {
        let Some((&first, rest)) = bytes.split_first() else { return Step::More };
        let (len, width) = match variable(rest) {
            Variable::Whole(len, width) => (len, width),
            Variable::More => return more(bytes),
            Variable::Broken => return Step::Broken,
        };
        let end = 1 + width + len;
        if end > FRAME_BYTES_MAX {
            return Step::Broken;
        }
        let Some(body) = bytes.get(1 + width..end) else { return Step::More };
        match content(first, body) {
            Some(frame) => Step::Frame(end, frame),
            None => Step::Broken,
        }
    }
}

fn head(first: u8, mut len: usize, out: &mut Vec<u8>) {
    out.push(first);
    loop {
        let low = (len % 128) as u8;
        len /= 128;
        out.push(if len > 0 { low | 0x80 } else { low });
        if len == 0 {
            return;
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

enum Variable {
    /// Value, and how many bytes it took.
    Whole(usize, usize),
    More,
    Broken,
}

/// A variable byte integer (1.5.5): seven bits a byte, four bytes at most.
fn variable(bytes: &[u8]) -> Variable {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Variable::Whole(value, at + 1);
        }
    }
    if bytes.len() < 4 { Variable::More } else { Variable::Broken }
}

fn content(first: u8, body: &[u8]) -> Option<Frame<'_>> {
    match first & 0xF0 {
        PUBLISH => message(first, body).map(Frame::Message),
        // Flags, then the reason.
        CONNACK => Some(judged("MQTT CONNACK refuses", *body.get(1)?)),
        // Packet id and properties, then one reason for the one subscription.
        SUBACK => Some(judged("MQTT SUBACK refuses", *body.last()?)),
        UNSUBACK | PINGRESP => Some(Frame::Nothing),
        DISCONNECT => Some(Frame::Complaint(b"MQTT DISCONNECT")),
        _ => None,
    }
}

fn judged(complaint: &'static str, reason: u8) -> Frame<'static> {
    if reason >= FAILURE { Frame::Complaint(complaint.as_bytes()) } else { Frame::Nothing }
}

/// Topic, packet id above QoS 0, properties, payload.
fn message(first: u8, body: &[u8]) -> Option<&[u8]> {
    let (len, rest) = body.split_at_checked(2)?;
    let topic = usize::from(u16::from_be_bytes([len[0], len[1]]));
    let id = if first & 0x06 == 0 { 0 } else { 2 };
    let rest = rest.get(topic + id..)?;
    match variable(rest) {
        Variable::Whole(properties, width) => rest.get(width + properties..),
        Variable::More | Variable::Broken => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::tests::{frames, survives_any_cut, survives_garbage};
    use super::*;

    #[test]
    fn any_cut_and_any_garbage() {
        let mut control = vec![CONNACK, 3, 0, 0, 0, SUBACK, 4, 0, 1, 0, 0, PINGRESP, 0];
        control.extend_from_slice(&[UNSUBACK, 4, 0, 2, 0, 0]);
        survives_any_cut::<Mqtt>(&control);
        survives_garbage::<Mqtt>();
    }

    #[test]
    fn refusals_are_told() {
        for refusal in [&[CONNACK, 3, 0, 0x87, 0][..], &[SUBACK, 4, 0, 1, 0, 0x87], &[DISCONNECT, 0]] {
            assert!(matches!(Mqtt::next(refusal), Step::Frame(used, Frame::Complaint(_)) if used == refusal.len()));
        }
    }

    #[test]
    fn properties_and_packet_ids_are_skipped() {
        let bare = [PUBLISH, 8, 0, 1, b'r', 2, 1, 0, b'h', b'i'];
        assert_eq!(Mqtt::next(&bare), Step::Frame(10, Frame::Message(b"hi")));
        let with_id = [PUBLISH | 2, 8, 0, 1, b'r', 0, 9, 0, b'h', b'i'];
        assert_eq!(Mqtt::next(&with_id), Step::Frame(10, Frame::Message(b"hi")));
    }

    #[test]
    fn lengths_that_lie_break() {
        for stream in [&[PUBLISH, 3, 0, 9, b'r'][..], &[PUBLISH, 0xFF, 0xFF, 0xFF, 0xFF, 1], &[0, 0], &[CONNECT, 0]] {
            assert!(frames::<Mqtt>(stream).2, "{stream:?}");
        }
    }

    #[test]
    fn what_is_sent_is_what_the_protocol_says() {
        let mut out = Vec::new();
        Mqtt::greet("ab", &mut out);
        assert_eq!(out, b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x02ab");
        out.clear();
        Mqtt::enter(&mut out);
        assert_eq!(out, b"\x82\x11\x00\x01\x00\x00\x0boutcry.room\x04");
        assert_eq!(usize::from(out[1]), out.len() - 2);
    }
}
