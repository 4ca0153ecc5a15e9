//! The decoders: nothing panics, and what was read, written and read again is
//! the same.

use outcry::wire::downlink::{Batch, Builder, Downlink, Frame, Frames, ListBuilder, Listing, PRESENCE_BYTES_MAX};
use outcry::wire::handshake::Hello;
use outcry::wire::header::{DATAGRAM_BYTES_MAX, HELLO_BYTES_MAX, HELLO_BYTES_MIN, NAME_BYTES_MAX, ROOM_OVERHEAD};
use outcry::wire::id::Ccid;
use outcry::wire::plain::{self, Name, Text};
use outcry::wire::uplink::{self, Session, Uplink};

/// What a relay reads.
pub fn uplink(input: &[u8]) {
    let (envelope, proven) = (Session::envelope(input), Hello::proven_bytes(input));
    match Uplink::parse(input) {
        Ok(Uplink::Hello(hello)) => {
            assert!(proven.is_some() && envelope.is_none());
            let mut again = [0xAA; HELLO_BYTES_MAX];
            let len = hello.encode(&mut again);
            assert_eq!((len, Hello::parse(&again[..len])), (HELLO_BYTES_MIN, Ok(hello)));
        }
        Ok(Uplink::Session(session)) => {
            assert!(proven.is_none());
            assert_eq!(envelope, Some((session.scid, session.pn)));
            session_again(session);
        }
        Err(error) => assert!(!error.to_string().is_empty() && proven.is_none()),
    }
}

fn session_again(session: Session<'_>) {
    let mut again = [0xAA; DATAGRAM_BYTES_MAX];
    let mut builder = uplink::Builder::session(&mut again, session.scid, session.pn);
    for frame in session.frames.clone() {
        assert!(builder.push(&frame), "it fitted before: {frame:?}");
        if let uplink::Frame::Nack { ranges, .. } = frame {
            assert_eq!(ranges.iter().count(), ranges.len());
        }
    }
    let len = builder.finish();
    match Uplink::parse(&again[..len]) {
        Ok(Uplink::Session(found)) => assert!(found.frames.eq(session.frames)),
        other => panic!("{other:?}"),
    }
}

/// What a client reads.
pub fn downlink(input: &[u8]) {
    match Downlink::parse(input) {
        Ok(Downlink::Retry(retry)) => assert_eq!(retry.encode()[..], *input),
        Ok(Downlink::NoSession(none)) => assert_eq!(none.encode()[..], *input),
        // Reserved bytes and the version are not kept.
        Ok(Downlink::Welcome(welcome)) => assert_eq!(welcome.encode()[..60], input[..60]),
        Ok(Downlink::Refuse(refuse)) => assert_eq!(refuse.encode()[..22], input[..22]),
        Ok(Downlink::OtherVersion(other)) => assert_eq!(other.encode()[3..], input[3..]),
        Ok(Downlink::ToClient { frames, .. } | Downlink::ToRoom { frames, .. }) => frames_again(frames),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn frames_again(frames: Frames<'_>) {
    let mut again = [0xAA; DATAGRAM_BYTES_MAX];
    let mut builder = Builder::to_client(&mut again, Ccid(0));
    for frame in frames.clone() {
        match frame {
            Frame::Batch(batch) => batch_again(&mut builder, &batch),
            Frame::Members(members) => {
                let list = builder.members(members.req, members.room, members.at);
                list_again(list, &members.listing, members.next);
            }
            Frame::Rooms(rooms) => list_again(builder.rooms(rooms.req), &rooms.listing, rooms.next),
            frame => assert!(builder.push(&frame), "it fitted before: {frame:?}"),
        }
    }
    let len = builder.len();
    let found = Frames::parse(&again[ROOM_OVERHEAD..len]).expect("it was good before");
    assert!(found.eq(frames));
}

/// As a ring does it: entry by entry into a buffer, then all at once.
fn batch_again(builder: &mut Builder<'_>, batch: &Batch<'_>) {
    let (mut raw, mut len, mut n) = ([0; DATAGRAM_BYTES_MAX], 0, 0);
    for (seq, entry) in batch.numbered() {
        assert_eq!(seq.0 - batch.base.0, u64::from(n));
        let written = entry.write(&mut raw[len..]);
        assert_eq!(written, entry.wire_len());
        (len, n) = (len + written, n + 1);
        if let Ok(Some(presence)) = entry.presence() {
            let mut payload = [0; PRESENCE_BYTES_MAX];
            let len = presence.write(&mut payload);
            assert_eq!((presence.kind(), &payload[..len]), (entry.kind, entry.payload));
        }
    }
    assert_eq!(&raw[..len], batch.entries.as_bytes());
    assert!(builder.batch(batch.room, batch.time_s, batch.base, n, &raw[..len]));
}

fn list_again(list: Option<ListBuilder<'_, '_>>, listing: &Listing<'_>, next: u32) {
    let mut list = list.expect("it fitted before");
    assert!(listing.iter().all(|(number, name)| list.add(number, name)));
    assert_eq!(list.len(), listing.len());
    list.finish(next);
}

/// What a relay reads of a plain datagram, and a client of its answers.
pub fn plain(input: &[u8]) {
    if let Text::Line { name: said, .. } | Text::Bare(said) = Text::parse(input) {
        assert!(said.chars().all(|c| !c.is_control() || "\t\r\n".contains(c)));
        if let Ok(name) = Name::parse(said) {
            assert_eq!(Name::parse(name.as_str()), Ok(name));
            assert!(name.numbered(u32::MAX).as_str().len() <= NAME_BYTES_MAX);
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(plain::challenge_code(text).is_none() || plain::is_relays_own(text));
    }
}
