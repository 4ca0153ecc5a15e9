//! NATS core, the client's half (the client protocol page of its docs). With
//! `"echo":false` a connection does not get back what it published.

use super::codec::{Codec, Frame, ROOM, Step, decimal, line, more};

/// Core NATS: no JetStream, no acknowledgements.
pub struct Nats;

/// Blanks between the words of a line.
const BLANKS: [u8; 2] = [b' ', b'\t'];

impl Codec for Nats {
    const NAME: &'static str = "NATS core, echo off";
    const ECHOES: bool = false;

    fn greet(id: &str, out: &mut Vec<u8>) {
        let connect = format!(
            r#"CONNECT {{"verbose":false,"pedantic":false,"echo":false,"lang":"rust","version":"1","protocol":1,"name":"{id}"}}"#
        );
        out.extend_from_slice(connect.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn enter(out: &mut Vec<u8>) {
        out.extend_from_slice(format!("SUB {ROOM} 1\r\n").as_bytes());
    }

    fn leave(out: &mut Vec<u8>) {
        out.extend_from_slice(b"UNSUB 1\r\n");
    }

    fn publish(message: &[u8], out: &mut Vec<u8>) {
        write(b"PUB ", b"", message, out);
    }

    fn copy(message: &[u8], out: &mut Vec<u8>) {
        write(b"MSG ", b"1 ", message, out);
    }

    fn next(bytes: &[u8]) -> Step<'_> {
        let Some(head) = line(bytes) else { return more(bytes) };
        let used = head.len() + 2;
        match verb(head) {
            b"MSG" => message(head, bytes),
            b"PING" => Step::Frame(used, Frame::Answer(b"PONG\r\n")),
            b"INFO" | b"PONG" | b"+OK" => Step::Frame(used, Frame::Nothing),
            b"-ERR" => Step::Frame(used, Frame::Complaint(head)),
            _ => Step::Broken,
        }
    }
}

fn write(verb: &[u8], sid: &[u8], message: &[u8], out: &mut Vec<u8>) {
    use std::io::Write as _;
    out.extend_from_slice(verb);
    out.extend_from_slice(ROOM.as_bytes());
    out.push(b' ');
    out.extend_from_slice(sid);
    // Writing to memory does not fail.
    let _ = write!(out, "{}\r\n", message.len());
    out.extend_from_slice(message);
    out.extend_from_slice(b"\r\n");
}

fn verb(head: &[u8]) -> &[u8] {
    let end = head.iter().position(|byte| BLANKS.contains(byte)).unwrap_or(head.len());
    &head[..end]
}

/// `MSG subject sid [reply-to] size`, then so many bytes and a line end.
fn message<'a>(head: &'a [u8], bytes: &'a [u8]) -> Step<'a> {
    let size = head.rsplit(|byte| BLANKS.contains(byte)).next().and_then(decimal);
    let Some(size) = size else { return Step::Broken };
    let start = head.len() + 2;
    let end = start + size;
    match bytes.get(end..end + 2) {
        Some(b"\r\n") => Step::Frame(end + 2, Frame::Message(&bytes[start..end])),
        Some(_) => Step::Broken,
        None => more(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::tests::{frames, gives_up_on_a_long_line, survives_any_cut, survives_garbage};
    use super::*;

    #[test]
    fn any_cut_and_any_garbage() {
        survives_any_cut::<Nats>(b"INFO {\"server_id\":\"X\",\"max_payload\":1048576} \r\n+OK\r\nPING\r\nPONG\r\n");
        survives_garbage::<Nats>();
        gives_up_on_a_long_line::<Nats>();
    }

    #[test]
    fn a_ping_is_answered_and_an_error_is_told() {
        assert_eq!(Nats::next(b"PING\r\n"), Step::Frame(6, Frame::Answer(b"PONG\r\n")));
        let error = b"-ERR 'Slow Consumer'\r\n";
        assert_eq!(Nats::next(error), Step::Frame(error.len(), Frame::Complaint(b"-ERR 'Slow Consumer'")));
    }

    #[test]
    fn a_reply_subject_may_stand_before_the_size() {
        let frame = b"MSG outcry.room 1 inbox.7 2\r\nhi\r\n";
        assert_eq!(Nats::next(frame), Step::Frame(frame.len(), Frame::Message(b"hi")));
    }

    #[test]
    fn a_wrong_size_breaks() {
        for stream in [&b"MSG outcry.room 1 x\r\nhi\r\n"[..], b"MSG outcry.room 1 1\r\nhi\r\n", b"GET / HTTP/1.1\r\n"] {
            assert!(frames::<Nats>(stream).2);
        }
    }

    #[test]
    fn what_is_sent_is_what_the_protocol_says() {
        let mut out = Vec::new();
        Nats::enter(&mut out);
        Nats::publish(b"hi", &mut out);
        Nats::leave(&mut out);
        assert_eq!(out, b"SUB outcry.room 1\r\nPUB outcry.room 2\r\nhi\r\nUNSUB 1\r\n");
    }
}
