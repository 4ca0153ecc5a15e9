//! Any frame and any handshake datagram, as proptest draws them. What they
//! borrow is leaked: a few megabytes in a test's life.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use outcry::wire::downlink::{self, Batch, Entries, Entry, Members, Rooms};
use outcry::wire::handshake::{Cookie, Hello, NoSession, OtherVersion, Refuse, Retry, Welcome};
use outcry::wire::header::{Code, DATAGRAM_BYTES_MAX, DirectStatus, EntryKind, RefusedCause, SlowCause};
use outcry::wire::id::*;
use outcry::wire::uplink::{self, RANGE_BYTES, RANGES_MAX, Ranges, SeqRange};
use proptest::collection::vec;
use proptest::prelude::*;

/// 1 to 64 bytes of UTF-8 without control characters.
pub fn name() -> impl Strategy<Value = &'static str> {
    "\\PC{1,64}".prop_map(|text| {
        let end = (0..=text.len().min(64)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        &text.leak()[..end]
    })
}

pub fn bytes(max: usize) -> impl Strategy<Value = &'static [u8]> + Clone {
    vec(any::<u8>(), 0..=max).prop_map(|bytes| &*bytes.leak())
}

/// Numbers from the ends and between them.
fn n64() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![any::<u64>(), 0..3u64, Just(u64::MAX)]
}

fn code() -> impl Strategy<Value = Code> {
    prop_oneof![0..20u16, any::<u16>()].prop_map(Code::from_wire)
}

fn kind() -> impl Strategy<Value = EntryKind> + Clone {
    any::<u8>().prop_map(EntryKind)
}

fn ranges() -> impl Strategy<Value = Ranges<'static>> {
    vec((n64(), any::<u16>()), 0..=RANGES_MAX).prop_map(|ranges| {
        let ranges: Vec<_> = ranges.iter().map(|&(start, count)| SeqRange { start: Seq(start), count }).collect();
        let buffer = Box::leak(Box::new([[0; RANGE_BYTES]; RANGES_MAX]));
        Ranges::encode(&ranges, buffer)
    })
}

/// What a client says, each frame short enough to stand alone.
pub fn uplink_frame() -> impl Strategy<Value = uplink::Frame<'static>> {
    use uplink::Frame::*;
    let small = (any::<u16>(), any::<u16>(), any::<u32>(), any::<u32>(), n64(), n64());
    let said = (kind(), any::<u32>(), any::<u32>(), bytes(1204));
    prop_oneof![
        (any::<u16>(), any::<[bool; 2]>(), n64(), name()).prop_map(|(req, [sealed, unlisted], key, room)| {
            Join { req: Req(req), sealed, unlisted, key_id: KeyId(key), room }
        }),
        small.clone().prop_map(|(req, room, ..)| Leave { req: Req(req), room: RoomHandle(room) }),
        (any::<u16>(), said.clone()).prop_map(|(room, (kind, sseq, _, payload))| {
            Msg { room: RoomHandle(room), kind, sseq: Sseq(sseq), payload }
        }),
        (any::<u16>(), ranges()).prop_map(|(room, ranges)| Nack { room: RoomHandle(room), ranges }),
        small.clone().prop_map(|(room, kib, lost, _, contiguous, highest)| Report {
            room: RoomHandle(room),
            contiguous: Seq(contiguous),
            highest: Seq(highest),
            lost,
            kib
        }),
        n64().prop_map(|t| Ping { t }),
        n64().prop_map(|token| PathResponse { token: Token(token) }),
        (code(), prop_oneof![Just(""), name()]).prop_map(|(code, reason)| Close { code, reason }),
        small.clone().prop_map(|(req, room, cursor, member, ..)| Who {
            req: Req(req),
            room: RoomHandle(room),
            cursor,
            member: MemberId(member)
        }),
        small.clone().prop_map(|(req, _, cursor, ..)| List { req: Req(req), cursor }),
        (any::<u16>(), name()).prop_map(|(req, name)| Nick { req: Req(req), name }),
        said.prop_map(|(kind, to, dseq, payload)| Direct { to: MemberId(to), dseq: Dseq(dseq), kind, payload }),
        small.clone().prop_map(|(_, _, to, dseq, ..)| DirectAck { to: MemberId(to), dseq: Dseq(dseq) }),
    ]
}

/// Entries in wire form, and how many.
pub fn raw_entries() -> impl Strategy<Value = (u8, &'static [u8])> {
    vec((any::<u32>(), any::<u32>(), kind(), bytes(60)), 0..=16).prop_map(|entries| {
        let mut raw = Vec::new();
        for &(member, sseq, kind, payload) in &entries {
            let entry = Entry { member: MemberId(member), sseq: Sseq(sseq), kind, payload };
            let mut buffer = [0; 100];
            let len = entry.write(&mut buffer);
            assert_eq!(len, entry.wire_len());
            raw.extend_from_slice(&buffer[..len]);
        }
        (u8::try_from(entries.len()).expect("few"), &*raw.leak())
    })
}

fn batch() -> impl Strategy<Value = Batch<'static>> {
    (any::<u16>(), any::<u32>(), n64(), raw_entries()).prop_map(|(room, time_s, base, (n, raw))| Batch {
        room: RoomHandle(room),
        time_s,
        base: Seq(base.min(u64::MAX - 255)),
        entries: Entries::parse(n, raw).expect("written so"),
    })
}

fn head() -> impl Strategy<Value = downlink::Frame<'static>> {
    (any::<u16>(), n64(), any::<u32>(), n64(), n64()).prop_map(|(room, tag, members, head, tail)| {
        downlink::Frame::Head { room: RoomHandle(room), tag: RoomTag(tag), members, head: Seq(head), tail: Seq(tail) }
    })
}

fn only_frame(datagram: &'static [u8]) -> downlink::Frame<'static> {
    let Ok(downlink::Downlink::ToClient { mut frames, .. }) = downlink::Downlink::parse(datagram) else {
        panic!("not read: {datagram:x?}")
    };
    frames.next().expect("a frame")
}

/// MEMBERS and ROOMS, as their builder makes them.
fn listing() -> impl Strategy<Value = downlink::Frame<'static>> {
    let listed = vec((any::<u32>(), name()), 0..15);
    (any::<[u16; 2]>(), any::<u32>(), n64(), any::<bool>(), listed).prop_map(
        |([req, room], next, at, is_members, listed)| {
            let buffer = Box::leak(Box::new([0xAA; DATAGRAM_BYTES_MAX]));
            let mut builder = downlink::Builder::to_client(buffer, Ccid(0));
            let list =
                if is_members { builder.members(Req(req), RoomHandle(room), Seq(at)) } else { builder.rooms(Req(req)) };
            let mut list = list.expect("it is the first");
            for (number, name) in &listed {
                assert!(list.add(*number, name));
            }
            list.finish(next);
            let len = builder.len();
            let frame = only_frame(&buffer[..len]);
            let (found, found_next): (Vec<_>, u32) = match &frame {
                downlink::Frame::Members(Members { listing, next, .. })
                | downlink::Frame::Rooms(Rooms { listing, next, .. }) => (listing.iter().collect(), *next),
                other => panic!("{other:?}"),
            };
            assert_eq!((found, found_next), (listed, next));
            frame
        },
    )
}

/// What a relay says to a room.
pub fn room_frame() -> impl Strategy<Value = downlink::Frame<'static>> {
    prop_oneof![batch().prop_map(downlink::Frame::Batch), head()]
}

/// What a relay says, each frame short enough to stand alone.
pub fn downlink_frame() -> impl Strategy<Value = downlink::Frame<'static>> {
    use downlink::Frame::*;
    let small = (any::<u16>(), any::<u8>(), any::<u32>(), any::<u32>(), n64(), n64());
    prop_oneof![
        (any::<[u16; 2]>(), code(), any::<[u64; 3]>(), any::<[u32; 2]>(), name(), any::<bool>()).prop_map(
            |([req, room], code, [tag, head, tail], [members, next], name, named)| Joined {
                req: Req(req),
                room: RoomHandle(room),
                code,
                tag: RoomTag(tag),
                members,
                head: Seq(head),
                tail: Seq(tail),
                next_sseq: Sseq(next),
                name: if named || code == Code::Ok { name } else { "" },
            }
        ),
        small.clone().prop_map(|(room, missing, cumulative, _, seq, _)| Ack {
            room: RoomHandle(room),
            cumulative: Sseq(cumulative),
            seq: Seq(seq),
            missing: missing & 1 == 1
        }),
        room_frame(),
        small.clone().prop_map(|(room, _, _, _, from, to)| Gap {
            room: RoomHandle(room),
            from: Seq(from),
            to: Seq(to)
        }),
        n64().prop_map(|t| Pong { t }),
        n64().prop_map(|token| PathChallenge { token: Token(token) }),
        (small.clone(), any::<[u32; 2]>()).prop_map(|((room, cause, msgs_s, bytes_s, ..), [retry, first])| Slow {
            room: RoomHandle(room),
            cause: SlowCause::from_wire(cause),
            msgs_s,
            bytes_s,
            retry_ms: retry as u16,
            first_dropped: Sseq(first)
        }),
        (code(), prop_oneof![Just(""), name()]).prop_map(|(code, reason)| Close { code, reason }),
        (any::<u16>(), code()).prop_map(|(req, code)| Result { req: Req(req), code }),
        listing(),
        (any::<u32>(), any::<u32>(), kind(), name(), bytes(1143)).prop_map(|(from, dseq, kind, name, payload)| {
            Direct { from: MemberId(from), dseq: Dseq(dseq), kind, name, payload }
        }),
        small.clone().prop_map(|(room, cause, sseq, ..)| Refused {
            room: RoomHandle(room),
            sseq: Sseq(sseq),
            cause: RefusedCause::from_wire(cause)
        }),
        small.clone().prop_map(|(_, status, peer, dseq, ..)| DirectDone {
            peer: MemberId(peer),
            dseq: Dseq(dseq),
            status: DirectStatus::from_wire(status)
        }),
    ]
}

pub fn hello() -> impl Strategy<Value = Hello<'static>> {
    (any::<[u64; 3]>(), any::<[u8; 24]>(), any::<Option<[u8; 16]>>(), name()).prop_map(
        |([ccid, nonce, instance], cookie, proof, name)| Hello {
            ccid: Ccid(ccid),
            nonce: Nonce(nonce),
            cookie: Cookie(cookie),
            instance: Instance(instance),
            proof,
            name,
        },
    )
}

pub fn retry() -> impl Strategy<Value = Retry> {
    (any::<[u64; 2]>(), any::<[u8; 24]>()).prop_map(|([ccid, nonce], cookie)| Retry {
        ccid: Ccid(ccid),
        nonce: Nonce(nonce),
        cookie: Cookie(cookie),
    })
}

pub fn welcome() -> impl Strategy<Value = Welcome> {
    (any::<[u64; 4]>(), any::<[u32; 4]>(), any::<[u16; 4]>()).prop_map(
        |([ccid, nonce, scid, epoch], [member, msgs, bytes, window], [max_dgram, idle_s, keepalive_s, flags])| {
            Welcome {
                ccid: Ccid(ccid),
                nonce: Nonce(nonce),
                scid: Scid(scid),
                epoch: Epoch(epoch),
                member: MemberId(member),
                max_dgram,
                idle_s,
                keepalive_s,
                flags,
                msgs_per_s: msgs,
                bytes_per_s: bytes,
                window_bytes: window,
            }
        },
    )
}

pub fn refuse() -> impl Strategy<Value = Refuse> {
    (any::<[u64; 2]>(), code(), any::<u32>()).prop_map(|([ccid, nonce], code, retry_ms)| Refuse {
        ccid: Ccid(ccid),
        nonce: Nonce(nonce),
        code,
        retry_ms,
    })
}

pub fn other_version() -> impl Strategy<Value = OtherVersion> {
    (any::<u64>(), any::<[u8; 8]>()).prop_map(|(ccid, versions)| OtherVersion { ccid: Ccid(ccid), versions })
}

pub fn no_session() -> impl Strategy<Value = NoSession> {
    any::<[u64; 2]>().prop_map(|[scid, epoch]| NoSession { scid: Scid(scid), epoch: Epoch(epoch) })
}
