//! Redis publish and subscribe over RESP2, the client's half. A subscribed
//! connection cannot publish, and a channel knows no sender: a speaker has a
//! second connection and hears itself. CLIENT REPLY OFF spares the second
//! connection its answers, which nobody would read.

use super::codec::{Codec, FRAME_BYTES_MAX, Frame, ROOM, Step, decimal, line, more};

/// PUBLISH and SUBSCRIBE on one channel.
pub struct Redis;

/// Elements of the longest array that is understood.
const ELEMENTS_MAX: usize = 4;

impl Codec for Redis {
    const NAME: &'static str = "Redis publish/subscribe, RESP2";
    const ECHOES: bool = true;

    fn greet(_id: &str, _out: &mut Vec<u8>) {}

    fn greet_speaker(out: &mut Vec<u8>) {
        command(&[b"CLIENT", b"REPLY", b"OFF"], out);
    }

    fn enter(out: &mut Vec<u8>) {
        command(&[b"SUBSCRIBE", ROOM.as_bytes()], out);
    }

    fn leave(out: &mut Vec<u8>) {
        command(&[b"UNSUBSCRIBE", ROOM.as_bytes()], out);
    }

    fn publish(message: &[u8], out: &mut Vec<u8>) {
        command(&[b"PUBLISH", ROOM.as_bytes(), message], out);
    }

    fn copy(message: &[u8], out: &mut Vec<u8>) {
        command(&[b"message", ROOM.as_bytes(), message], out);
    }

    fn next(bytes: &[u8]) -> Step<'_> {
        let Some(head) = line(bytes) else { return more(bytes) };
        let used = head.len() + 2;
        match head.split_first() {
            Some((b'*', count)) => array(decimal(count), used, bytes),
            Some((b'-', _)) => Step::Frame(used, Frame::Complaint(head)),
            Some((b'+' | b':', _)) => Step::Frame(used, Frame::Nothing),
            Some((b'$', _)) => match element(bytes) {
                Element::Whole(used, _) => Step::Frame(used, Frame::Nothing),
                Element::More => more(bytes),
                Element::Broken => Step::Broken,
            },
            _ => Step::Broken,
        }
    }
}

fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to memory does not fail.
    let _ = write!(out, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n", word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// An array of bulk strings and integers: all that a subscriber is sent.
fn array(count: Option<usize>, start: usize, bytes: &[u8]) -> Step<'_> {
    let Some(count) = count.filter(|count| (1..=ELEMENTS_MAX).contains(count)) else { return Step::Broken };
    let (mut elements, mut at) = ([&b""[..]; ELEMENTS_MAX], start);
    for place in elements.iter_mut().take(count) {
        match element(&bytes[at..]) {
            Element::Whole(used, value) => {
                *place = value;
                at += used;
            }
            Element::More => return more(bytes),
            Element::Broken => return Step::Broken,
        }
    }
    let frame = if count == 3 && elements[0] == b"message" { Frame::Message(elements[2]) } else { Frame::Nothing };
    Step::Frame(at, frame)
}

enum Element<'a> {
    Whole(usize, &'a [u8]),
    More,
    Broken,
}

/// `$len` with so many bytes and a line end, `$-1`, or `:number`.
fn element(bytes: &[u8]) -> Element<'_> {
    let Some(head) = line(bytes) else { return Element::More };
    let start = head.len() + 2;
    match head.split_first() {
        Some((b':', number)) => Element::Whole(start, number),
        Some((b'$', b"-1")) => Element::Whole(start, b""),
        Some((b'$', len)) => match decimal(len) {
            Some(len) if len < FRAME_BYTES_MAX => bulk(start, start + len, bytes),
            _ => Element::Broken,
        },
        _ => Element::Broken,
    }
}

fn bulk(start: usize, end: usize, bytes: &[u8]) -> Element<'_> {
    match bytes.get(end..end + 2) {
        Some(b"\r\n") => Element::Whole(end + 2, &bytes[start..end]),
        Some(_) => Element::Broken,
        None => Element::More,
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::tests::{frames, gives_up_on_a_long_line, survives_any_cut, survives_garbage};
    use super::*;

    #[test]
    fn any_cut_and_any_garbage() {
        survives_any_cut::<Redis>(
            b"*3\r\n$9\r\nsubscribe\r\n$11\r\noutcry.room\r\n:1\r\n+OK\r\n:7\r\n$-1\r\n\
              *3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
        );
        survives_garbage::<Redis>();
        gives_up_on_a_long_line::<Redis>();
    }

    #[test]
    fn an_error_is_told() {
        let error = b"-ERR max number of clients reached\r\n";
        assert_eq!(Redis::next(error), Step::Frame(error.len(), Frame::Complaint(&error[..error.len() - 2])));
    }

    #[test]
    fn wrong_counts_and_sizes_break() {
        for stream in
            [&b"*0\r\n"[..], b"*99\r\n", b"*-1\r\n", b"*1\r\n$99999999\r\n", b"*1\r\n$1\r\nabc", b"HTTP/1.1 400\r\n"]
        {
            assert!(frames::<Redis>(stream).2, "{stream:?}");
        }
    }

    #[test]
    fn what_is_sent_is_what_the_protocol_says() {
        let mut out = Vec::new();
        Redis::publish(b"hi", &mut out);
        assert_eq!(out, b"*3\r\n$7\r\nPUBLISH\r\n$11\r\noutcry.room\r\n$2\r\nhi\r\n");
    }
}
