//! T8: what was written is read back, for every datagram and frame; what was
//! not is refused, and nothing ever panics.

mod frames;
#[path = "../fuzz/targets/mod.rs"]
mod targets;

use outcry::wire::downlink::{self, Downlink};
use outcry::wire::handshake::{Hello, NoSession, OtherVersion, Refuse, Retry, Welcome};
use outcry::wire::header::{DATAGRAM_BYTES_MAX, HELLO_BYTES_MAX, HELLO_BYTES_MIN, SESSION_BYTES_MIN};
use outcry::wire::id::*;
use outcry::wire::uplink::{self, Session, Uplink};
use proptest::collection::vec;
use proptest::prelude::*;

/// A session datagram of as many of the frames as fit, and how many that are.
fn session(scid: u64, pn: u32, frames: &[uplink::Frame<'_>]) -> (Vec<u8>, usize) {
    let mut buffer = vec![0xAA; HELLO_BYTES_MAX];
    let mut builder = uplink::Builder::session(&mut buffer, Scid(scid), PacketNumber(pn));
    assert!(builder.is_empty());
    let count = frames.iter().take_while(|frame| builder.push(frame)).count();
    let len = builder.finish();
    buffer.truncate(len);
    (buffer, count)
}

/// The same from a relay.
fn downlink(to_room: bool, number: u64, frames: &[downlink::Frame<'_>]) -> (Vec<u8>, usize) {
    let mut buffer = vec![0xAA; HELLO_BYTES_MAX];
    let mut builder = match to_room {
        true => downlink::Builder::to_room(&mut buffer, RoomTag(number)),
        false => downlink::Builder::to_client(&mut buffer, Ccid(number)),
    };
    assert!(builder.is_empty());
    let count = frames.iter().take_while(|frame| builder.push(frame)).count();
    let len = builder.len();
    buffer.truncate(len);
    (buffer, count)
}

fn uplink_frames(datagram: &[u8]) -> Option<Vec<uplink::Frame<'_>>> {
    match Uplink::parse(datagram) {
        Ok(Uplink::Session(session)) => Some(session.frames.collect()),
        _ => None,
    }
}

fn downlink_frames(datagram: &[u8]) -> Option<Vec<downlink::Frame<'_>>> {
    match Downlink::parse(datagram) {
        Ok(Downlink::ToClient { frames, .. } | Downlink::ToRoom { frames, .. }) => Some(frames.collect()),
        _ => None,
    }
}

/// Reads it in every way, down to the last byte.
fn read(datagram: &[u8]) {
    [targets::uplink, targets::downlink, targets::plain].iter().for_each(|target| target(datagram));
}

proptest! {
    #[test]
    fn what_a_client_says_is_read_back(
        scid: u64,
        pn: u32,
        said in vec(frames::uplink_frame(), 0..12),
    ) {
        let (datagram, count) = session(scid, pn, &said);
        prop_assert!((SESSION_BYTES_MIN..=DATAGRAM_BYTES_MAX).contains(&datagram.len()));
        prop_assert!(count > 0 || said.is_empty(), "each fits alone");
        prop_assert_eq!(Session::envelope(&datagram), Some((Scid(scid), PacketNumber(pn))));
        prop_assert_eq!(uplink_frames(&datagram).expect("good frames"), &said[..count]);
    }

    #[test]
    fn what_a_relay_says_is_read_back(
        number: u64,
        to_room: bool,
        room in vec(frames::room_frame(), 0..12),
        client in vec(frames::downlink_frame(), 0..12),
    ) {
        let said = if to_room { room } else { client };
        let (datagram, count) = downlink(to_room, number, &said);
        prop_assert!(datagram.len() <= DATAGRAM_BYTES_MAX);
        prop_assert!(count > 0 || said.is_empty(), "each fits alone");
        prop_assert_eq!(downlink_frames(&datagram).expect("good frames"), &said[..count]);
        let found = match Downlink::parse(&datagram) {
            Ok(Downlink::ToClient { ccid, .. }) => (false, ccid.0),
            Ok(Downlink::ToRoom { tag, .. }) => (true, tag.0),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(found, (to_room, number));
    }

    #[test]
    fn the_handshake_is_read_back(
        hello in frames::hello(),
        retry in frames::retry(),
        welcome in frames::welcome(),
        refuse in frames::refuse(),
        other_version in frames::other_version(),
        no_session in frames::no_session(),
    ) {
        let mut buffer = [0xAA; HELLO_BYTES_MAX];
        let len = hello.encode(&mut buffer);
        prop_assert_eq!(len, HELLO_BYTES_MIN);
        prop_assert_eq!(Hello::parse(&buffer[..len]), Ok(hello));
        prop_assert_eq!(Retry::parse(&retry.encode()), Ok(retry));
        prop_assert_eq!(Welcome::parse(&welcome.encode()), Ok(welcome));
        prop_assert_eq!(Refuse::parse(&refuse.encode()), Ok(refuse));
        prop_assert_eq!(OtherVersion::parse(&other_version.encode()), Ok(other_version));
        prop_assert_eq!(NoSession::parse(&no_session.encode()), Ok(no_session));
    }

    #[test]
    fn padding_changes_nothing(said in vec(frames::downlink_frame(), 0..4), len in 0usize..1500) {
        let mut buffer = [0xAA; HELLO_BYTES_MAX];
        let mut builder = downlink::Builder::to_client(&mut buffer, Ccid(1));
        let count = said.iter().take_while(|frame| builder.push(frame)).count();
        let unpadded = builder.len();
        builder.pad_to(len);
        prop_assert_eq!(builder.len(), unpadded.max(len.min(DATAGRAM_BYTES_MAX)));
        let padded = builder.len();
        prop_assert_eq!(downlink_frames(&buffer[..padded]).expect("good frames"), &said[..count]);
    }

    #[test]
    fn random_bytes_never_panic(kind: u8, mut bytes in vec(any::<u8>(), 0..1500), with_prefix: bool) {
        if with_prefix {
            bytes.splice(..bytes.len().min(4), [0xF7, 0x4F, 1, kind]);
        }
        read(&bytes);
    }

    #[test]
    fn mutated_datagrams_never_panic(
        uplink in vec(frames::uplink_frame(), 1..6),
        downlinks in vec(frames::downlink_frame(), 1..6),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for mut datagram in [session(1, 2, &uplink).0, downlink(false, 3, &downlinks).0, downlink(true, 4, &downlinks).0] {
            for (at, byte) in &changes {
                *at.get_mut(&mut datagram[..]) = *byte;
            }
            read(&datagram);
        }
    }

    /// A cut datagram is refused, or says the first things that the whole one does.
    #[test]
    fn truncated_datagrams_say_no_more(
        uplink in vec(frames::uplink_frame(), 1..4),
        downlinks in vec(frames::downlink_frame(), 1..4),
    ) {
        let (up, down) = (session(1, 2, &uplink).0, downlink(false, 3, &downlinks).0);
        for len in 0..up.len() {
            let said = uplink_frames(&up[..len]).unwrap_or_default();
            prop_assert!(uplink.starts_with(&said), "{}", len);
        }
        for len in 0..down.len() {
            let said = downlink_frames(&down[..len]).unwrap_or_default();
            prop_assert!(downlinks.starts_with(&said), "{}", len);
        }
    }
}
