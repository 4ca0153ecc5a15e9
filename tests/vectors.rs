//! T1: the golden vectors, made from the protocol's page by a script that
//! knows nothing of this code, byte for byte both ways.

use outcry::wire::downlink::{self, Batch, Downlink, Entries, Entry, Presence};
use outcry::wire::handshake::{Cookie, Hello, NoSession, OtherVersion, Refuse, Retry, Welcome};
use outcry::wire::header::{Code, DirectStatus, EntryKind, FRAME_OVERHEAD, HELLO_BYTES_MIN, Malformed, RefusedCause};
use outcry::wire::header::{ROOM_OVERHEAD, SESSION_OVERHEAD, SlowCause};
use outcry::wire::id::*;
use outcry::wire::uplink::{self, RANGE_BYTES, RANGES_MAX, Ranges, SeqRange, Uplink};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

const FILE: &str = include_str!("vectors/native.json");

/// All vectors of a group.
fn group(name: &str) -> Vec<Vector> {
    let file: Value = serde_json::from_str(FILE).expect("JSON");
    let vectors = file[name].as_array().expect("a group").iter().cloned().map(Vector).collect::<Vec<_>>();
    assert!(vectors.len() >= 4, "{name} is read");
    vectors
}

/// A vector, or a part of one. What its fields say lives as long as the test.
#[derive(Debug)]
struct Vector(Value);

impl Vector {
    fn number<T: TryFrom<u64>>(&self, field: &str) -> T {
        let number = match &self.0[field] {
            Value::String(hex) => hex.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok()),
            number => number.as_u64(),
        };
        number.and_then(|number| T::try_from(number).ok()).unwrap_or_else(|| panic!("{field} of {self:?}"))
    }

    fn text(&self, field: &str) -> &'static str {
        self.0[field].as_str().unwrap_or_else(|| panic!("{field} of {self:?}")).to_owned().leak()
    }

    fn bytes(&self, field: &str) -> &'static [u8] {
        let hex = self.text(field).as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        hex.map(|pair| byte(pair).expect("hex")).collect::<Vec<_>>().leak()
    }

    fn array<const N: usize>(&self, field: &str) -> [u8; N] {
        self.bytes(field).try_into().expect("as many bytes")
    }

    fn list(&self, field: &str) -> impl Iterator<Item = Vector> {
        let list = self.0[field].as_array().unwrap_or_else(|| panic!("{field} of {self:?}"));
        list.clone().into_iter().map(Vector)
    }

    fn room(&self) -> RoomHandle {
        RoomHandle(self.number("room"))
    }

    fn req(&self) -> Req {
        Req(self.number("req"))
    }

    fn entry_kind(&self) -> EntryKind {
        EntryKind(self.number("kind"))
    }

    fn code(&self) -> Code {
        Code::from_wire(self.number("code"))
    }

    fn hex(&self) -> &'static [u8] {
        self.bytes("hex")
    }
}

// ---- values from their fields -----------------------------------------------------

fn ranges(vector: &Vector) -> Ranges<'static> {
    let range = |range: Vector| SeqRange { start: Seq(range.number("start")), count: range.number("count") };
    let ranges: Vec<_> = vector.list("ranges").map(range).collect();
    Ranges::encode(&ranges, Box::leak(Box::new([[0; RANGE_BYTES]; RANGES_MAX])))
}

fn uplink_frame(vector: &Vector) -> Option<uplink::Frame<'static>> {
    use uplink::Frame::*;
    Some(match vector.text("frame") {
        "JOIN" => Join {
            req: vector.req(),
            sealed: vector.number::<u8>("flags") & 1 != 0,
            unlisted: vector.number::<u8>("flags") & 2 != 0,
            key_id: KeyId(vector.number("key_id")),
            room: vector.text("room"),
        },
        "LEAVE" => Leave { req: vector.req(), room: vector.room() },
        "MSG" => Msg {
            room: vector.room(),
            kind: vector.entry_kind(),
            sseq: Sseq(vector.number("sseq")),
            payload: vector.bytes("payload"),
        },
        "NACK" => Nack { room: vector.room(), ranges: ranges(vector) },
        "REPORT" => Report {
            room: vector.room(),
            contiguous: Seq(vector.number("contiguous")),
            highest: Seq(vector.number("highest")),
            lost: vector.number("lost"),
            kib: vector.number("kib"),
        },
        "PING" => Ping { t: vector.number("t") },
        "PATH_RESPONSE" => PathResponse { token: Token(vector.number("token")) },
        "CLOSE" => Close { code: vector.code(), reason: vector.text("reason") },
        "WHO" => Who {
            req: vector.req(),
            room: vector.room(),
            cursor: vector.number("cursor"),
            member: MemberId(vector.number("member")),
        },
        "LIST" => List { req: vector.req(), cursor: vector.number("cursor") },
        "NICK" => Nick { req: vector.req(), name: vector.text("name") },
        "DIRECT" => Direct {
            to: MemberId(vector.number("to")),
            dseq: Dseq(vector.number("dseq")),
            kind: vector.entry_kind(),
            payload: vector.bytes("payload"),
        },
        "DIRECT_ACK" => DirectAck { to: MemberId(vector.number("to")), dseq: Dseq(vector.number("dseq")) },
        _ => return None,
    })
}

fn batch(vector: &Vector) -> Batch<'static> {
    let mut raw = Vec::new();
    for entry in vector.list("entries") {
        let entry = Entry {
            member: MemberId(entry.number("member")),
            sseq: Sseq(entry.number("sseq")),
            kind: entry.entry_kind(),
            payload: entry.bytes("payload"),
        };
        let mut buffer = vec![0; entry.wire_len()];
        assert_eq!(entry.write(&mut buffer), buffer.len());
        raw.extend(buffer);
    }
    let n = vector.list("entries").count().try_into().expect("few");
    Batch {
        room: vector.room(),
        time_s: vector.number("time"),
        base: Seq(vector.number("base")),
        entries: Entries::parse(n, raw.leak()).expect("whole entries"),
    }
}

/// MEMBERS and ROOMS are made by their builder, and read back.
fn listing(vector: &Vector) -> downlink::Frame<'static> {
    let buffer = Box::leak(Box::new([0xAA; 1232]));
    let mut builder = downlink::Builder::to_client(buffer, Ccid(0));
    let list = match vector.text("frame") {
        "MEMBERS" => builder.members(vector.req(), vector.room(), Seq(vector.number("at"))),
        _ => builder.rooms(vector.req()),
    };
    let mut list = list.expect("it is the first");
    for named in vector.list("listing") {
        assert!(list.add(named.number("number"), named.text("name")));
    }
    list.finish(vector.number("next"));
    let len = builder.len();
    let body = &buffer[ROOM_OVERHEAD..len];
    downlink::Frames::parse(body).expect("a good frame").next().expect("one")
}

fn downlink_frame(vector: &Vector) -> Option<downlink::Frame<'static>> {
    use downlink::Frame::*;
    Some(match vector.text("frame") {
        "JOINED" => Joined {
            req: vector.req(),
            room: vector.room(),
            code: vector.code(),
            tag: RoomTag(vector.number("tag")),
            members: vector.number("members"),
            head: Seq(vector.number("head")),
            tail: Seq(vector.number("tail")),
            next_sseq: Sseq(vector.number("next_sseq")),
            name: vector.text("name"),
        },
        "ACK" => Ack {
            room: vector.room(),
            cumulative: Sseq(vector.number("cumulative")),
            seq: Seq(vector.number("seq")),
            missing: vector.number::<u8>("missing") == 1,
        },
        "BATCH" => Batch(batch(vector)),
        "GAP" => Gap { room: vector.room(), from: Seq(vector.number("from")), to: Seq(vector.number("to")) },
        "HEAD" => Head {
            room: vector.room(),
            tag: RoomTag(vector.number("tag")),
            members: vector.number("members"),
            head: Seq(vector.number("head")),
            tail: Seq(vector.number("tail")),
        },
        "PONG" => Pong { t: vector.number("t") },
        "PATH_CHALLENGE" => PathChallenge { token: Token(vector.number("token")) },
        "SLOW" => Slow {
            room: vector.room(),
            cause: SlowCause::from_wire(vector.number("cause")),
            msgs_s: vector.number("msgs_s"),
            bytes_s: vector.number("bytes_s"),
            retry_ms: vector.number("retry_ms"),
            first_dropped: Sseq(vector.number("first_dropped_sseq")),
        },
        "RELAY_CLOSE" => Close { code: vector.code(), reason: vector.text("reason") },
        "RESULT" => Result { req: vector.req(), code: vector.code() },
        "MEMBERS" | "ROOMS" => listing(vector),
        "RELAY_DIRECT" => Direct {
            from: MemberId(vector.number("from")),
            dseq: Dseq(vector.number("dseq")),
            kind: vector.entry_kind(),
            name: vector.text("name"),
            payload: vector.bytes("payload"),
        },
        "REFUSED" => Refused {
            room: vector.room(),
            sseq: Sseq(vector.number("sseq")),
            cause: RefusedCause::from_wire(vector.number("cause")),
        },
        "DIRECT_DONE" => DirectDone {
            peer: MemberId(vector.number("peer")),
            dseq: Dseq(vector.number("dseq")),
            status: DirectStatus::from_wire(vector.number("status")),
        },
        _ => return None,
    })
}

fn hello(vector: &Vector) -> Hello<'static> {
    Hello {
        ccid: Ccid(vector.number("ccid")),
        nonce: Nonce(vector.number("nonce")),
        cookie: Cookie(vector.array("cookie")),
        instance: Instance(vector.number("instance")),
        proof: (vector.number::<u16>("flags") == 1).then(|| vector.array("proof")),
        name: vector.text("name"),
    }
}

fn welcome(vector: &Vector) -> Welcome {
    Welcome {
        ccid: Ccid(vector.number("ccid")),
        nonce: Nonce(vector.number("nonce")),
        scid: Scid(vector.number("scid")),
        epoch: Epoch(vector.number("epoch")),
        member: MemberId(vector.number("member")),
        max_dgram: vector.number("max_dgram"),
        idle_s: vector.number("idle_s"),
        keepalive_s: vector.number("keepalive_s"),
        flags: vector.number("flags"),
        msgs_per_s: vector.number("msgs_per_s"),
        bytes_per_s: vector.number("bytes_per_s"),
        window_bytes: vector.number("window_bytes"),
    }
}

// ---- datagrams, both ways ---------------------------------------------------------

/// A datagram that is not made of frames.
#[derive(Debug, PartialEq)]
enum Alone {
    Hello(Hello<'static>),
    Retry(Retry),
    Welcome(Welcome),
    Refuse(Refuse),
    OtherVersion(OtherVersion),
    NoSession(NoSession),
}

fn alone(vector: &Vector) -> Option<Alone> {
    let (ccid, nonce) = (|| Ccid(vector.number("ccid")), || Nonce(vector.number("nonce")));
    Some(match vector.text("datagram") {
        "HELLO" => Alone::Hello(hello(vector)),
        "RETRY" => Alone::Retry(Retry { ccid: ccid(), nonce: nonce(), cookie: Cookie(vector.array("cookie")) }),
        "WELCOME" => Alone::Welcome(welcome(vector)),
        "REFUSE" => {
            let (code, retry_ms) = (vector.code(), vector.number("retry_ms"));
            Alone::Refuse(Refuse { ccid: ccid(), nonce: nonce(), code, retry_ms })
        }
        "VERSION" => Alone::OtherVersion(OtherVersion { ccid: ccid(), versions: vector.array("versions") }),
        "NOSESSION" => {
            Alone::NoSession(NoSession { scid: Scid(vector.number("scid")), epoch: Epoch(vector.number("epoch")) })
        }
        _ => return None,
    })
}

/// The datagram that the fields tell of.
fn encoded(vector: &Vector) -> Vec<u8> {
    match alone(vector) {
        Some(Alone::Hello(hello)) => {
            let mut buffer = vec![0xAA; HELLO_BYTES_MIN];
            assert_eq!(hello.encode(&mut buffer), HELLO_BYTES_MIN);
            buffer
        }
        Some(Alone::Retry(retry)) => retry.encode().to_vec(),
        Some(Alone::Welcome(welcome)) => welcome.encode().to_vec(),
        Some(Alone::Refuse(refuse)) => refuse.encode().to_vec(),
        Some(Alone::OtherVersion(other)) => other.encode().to_vec(),
        Some(Alone::NoSession(none)) => none.encode().to_vec(),
        None if vector.text("datagram") == "SESSION" => encoded_session(vector),
        None => encoded_downlink(vector),
    }
}

fn encoded_session(vector: &Vector) -> Vec<u8> {
    let mut buffer = vec![0xAA; 2000];
    let (scid, pn) = (Scid(vector.number("scid")), PacketNumber(vector.number("pn")));
    let mut builder = uplink::Builder::session(&mut buffer, scid, pn);
    vector.list("frames").for_each(|frame| assert!(builder.push(&uplink_frame(&frame).expect("a client's"))));
    let len = builder.finish();
    buffer.truncate(len);
    buffer
}

fn encoded_downlink(vector: &Vector) -> Vec<u8> {
    let mut buffer = vec![0xAA; 2000];
    let mut builder = match vector.text("datagram") {
        "TO_ROOM" => downlink::Builder::to_room(&mut buffer, RoomTag(vector.number("tag"))),
        _ => downlink::Builder::to_client(&mut buffer, Ccid(vector.number("ccid"))),
    };
    vector.list("frames").for_each(|frame| assert!(builder.push(&downlink_frame(&frame).expect("a relay's"))));
    let len = builder.len();
    buffer.truncate(len);
    buffer
}

/// That the bytes say what the fields do.
fn assert_decoded(vector: &Vector) {
    match vector.text("datagram") {
        "HELLO" | "SESSION" => match Uplink::parse(vector.hex()) {
            Ok(Uplink::Hello(hello)) => assert_eq!(Some(Alone::Hello(hello)), alone(vector)),
            Ok(Uplink::Session(session)) => {
                let head = (session.scid, session.pn);
                assert_eq!(head, (Scid(vector.number("scid")), PacketNumber(vector.number("pn"))));
                let said: Vec<_> = vector.list("frames").filter_map(|frame| uplink_frame(&frame)).collect();
                assert_eq!(session.frames.collect::<Vec<_>>(), said);
            }
            Err(error) => panic!("{error}: {vector:?}"),
        },
        _ => assert_downlink_decoded(vector),
    }
}

fn assert_downlink_decoded(vector: &Vector) {
    let said = || vector.list("frames").filter_map(|frame| downlink_frame(&frame)).collect::<Vec<_>>();
    let found = match Downlink::parse(vector.hex()).unwrap_or_else(|error| panic!("{error}: {vector:?}")) {
        Downlink::Retry(retry) => Alone::Retry(retry),
        Downlink::Welcome(welcome) => Alone::Welcome(welcome),
        Downlink::Refuse(refuse) => Alone::Refuse(refuse),
        Downlink::OtherVersion(other) => Alone::OtherVersion(other),
        Downlink::NoSession(none) => Alone::NoSession(none),
        Downlink::ToClient { ccid, frames } => {
            assert_eq!((ccid, frames.collect::<Vec<_>>()), (Ccid(vector.number("ccid")), said()));
            return;
        }
        Downlink::ToRoom { tag, frames } => {
            assert_eq!((tag, frames.collect::<Vec<_>>()), (RoomTag(vector.number("tag")), said()));
            return;
        }
    };
    assert_eq!(Some(found), alone(vector));
}

#[test]
fn every_frame_both_ways() {
    let mut seen = BTreeSet::new();
    for vector in group("frames") {
        let hex = vector.hex();
        seen.insert((hex[0], vector.text("frame")));
        let (kind, body) = (hex[0], &hex[FRAME_OVERHEAD..]);
        let mut buffer = [0xAA; 1232];
        let written = if let Some(frame) = uplink_frame(&vector) {
            assert_eq!(uplink::Frame::parse(kind, body), Ok(Some(frame)), "{vector:?}");
            let mut builder = uplink::Builder::session(&mut buffer, Scid(0), PacketNumber(0));
            assert!(builder.push(&frame), "{vector:?}");
            &buffer[SESSION_OVERHEAD..SESSION_OVERHEAD + hex.len()]
        } else {
            let frame = downlink_frame(&vector).expect("a frame that is known");
            assert_eq!(downlink::Frame::parse(kind, body), Ok(Some(frame)), "{vector:?}");
            let mut builder = downlink::Builder::to_client(&mut buffer, Ccid(0));
            assert!(builder.push(&frame), "{vector:?}");
            let len = builder.len();
            &buffer[ROOM_OVERHEAD..len]
        };
        assert_eq!(written, hex, "{vector:?}");
    }
    let kinds: Vec<u8> = seen.iter().map(|(kind, _)| *kind).collect();
    let all: Vec<u8> = (0x01..=0x0D).chain(0x41..=0x4F).collect();
    assert_eq!(kinds, all, "each frame has a vector");
    for kind in 0..=255 {
        let unknown = uplink::Frame::parse(kind, &[]) == Ok(None) && downlink::Frame::parse(kind, &[]) == Ok(None);
        assert_eq!(unknown, !all.contains(&kind), "{kind:#x}: the page has every frame");
    }
}

#[test]
fn entries_are_numbered_up_to_the_last_number() {
    let batches = group("frames").into_iter().filter(|vector| vector.text("frame") == "BATCH");
    for batch in batches.map(|vector| batch(&vector)) {
        let numbers: Vec<_> = batch.numbered().map(|(seq, _)| seq.0).collect();
        let last = batch.base.0 + batch.entries.len() as u64 - 1;
        assert_eq!(numbers, Vec::from_iter(batch.base.0..=last));
    }
}

#[test]
fn the_page_has_a_row_for_each_frame_and_code() {
    let page = include_str!("../src/wire/PROTOCOL.md");
    for vector in group("frames") {
        let name = vector.text("frame");
        let row = format!("| {:02X} | {} |", vector.hex()[0], name.strip_prefix("RELAY_").unwrap_or(name));
        assert!(page.contains(&row), "{row}");
    }
    let (_, codes) = page.split_once("### Codes").expect("a list of codes");
    let rows = codes.lines().skip_while(|line| !line.starts_with("| 0 |")).take_while(|line| line.starts_with("| "));
    let numbers: Vec<u16> = rows.filter_map(|row| row.split('|').nth(1)?.trim().parse().ok()).collect();
    assert_eq!(numbers, Code::ALL.iter().map(|code| code.to_wire()).collect::<Vec<u16>>());
}

#[test]
fn every_datagram_both_ways() {
    let mut seen = BTreeSet::new();
    for vector in group("datagrams") {
        seen.insert(vector.hex()[3]);
        assert_eq!(encoded(&vector), vector.hex(), "{vector:?}");
        assert_decoded(&vector);
    }
    assert_eq!(Vec::from_iter(seen), [0x01, 0x10, 0x81, 0x82, 0x83, 0x84, 0x85, 0x90, 0x91]);
}

#[test]
fn sixteen_messages_fill_a_datagram() {
    let vectors = group("datagrams");
    let full = vectors.iter().find(|vector| vector.text("title").starts_with("sixteen messages"));
    assert_eq!(full.expect("it is there").hex().len(), 1230);
}

#[test]
fn what_a_sender_of_today_would_not_write_is_read() {
    group("lenient").iter().for_each(assert_decoded);
}

#[test]
fn what_is_no_datagram_is_refused_for_its_reason() {
    for vector in group("refused") {
        let hex = vector.hex();
        let refused = match vector.text("to") {
            "relay" => Uplink::parse(hex).expect_err(vector.text("title")),
            _ => Downlink::parse(hex).expect_err(vector.text("title")),
        };
        let why = match refused {
            Malformed::NotNative => "not native",
            Malformed::Size => "size",
            Malformed::OtherVersion { .. } => "version",
            Malformed::UnknownType(_) => "unknown type",
            Malformed::WrongDirection => "direction",
            Malformed::Overrun => "overrun",
            Malformed::Frame => "frame",
            Malformed::Name => "name",
            Malformed::NotForRoom => "not for a room",
        };
        assert_eq!(why, vector.text("why"), "{vector:?}");
    }
}

#[test]
fn presence_entries_both_ways() {
    for vector in group("presence") {
        let name = vector.text("who");
        let presence = match vector.entry_kind() {
            EntryKind::JOINED => Presence::Joined { name },
            EntryKind::LEFT => Presence::Left { code: vector.code(), name },
            _ => Presence::Renamed { name },
        };
        let mut buffer = [0; downlink::PRESENCE_BYTES_MAX];
        let len = presence.write(&mut buffer);
        assert_eq!((&buffer[..len], presence.kind()), (vector.hex(), vector.entry_kind()));
        assert_eq!(Presence::parse(vector.entry_kind(), vector.hex()), Ok(Some(presence)));
    }
}

#[test]
fn the_access_proof_is_what_the_page_says() {
    let vectors = group("datagrams");
    let vector = vectors.iter().find(|vector| vector.0.get("covered").is_some()).expect("it is there");
    let secret = vector.text("key_file").trim_end_matches(['\r', '\n']);
    let key = blake3::derive_key("outcry 1 access", secret.as_bytes());
    assert_eq!(&key, vector.bytes("key"));
    let covered = Hello::proven_bytes(vector.hex()).expect("a HELLO").concat();
    assert_eq!(covered, vector.bytes("covered"));
    assert_eq!(blake3::keyed_hash(&key, &covered).as_bytes()[..16], *vector.bytes("proof"));
}

#[test]
fn the_file_is_what_the_script_prints() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/make.py");
    match Command::new("python3").arg(script).output() {
        Err(error) => println!("SKIPPED: no python3: {error}"),
        Ok(run) => {
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
            assert!(run.stdout == FILE.as_bytes(), "python3 tests/vectors/make.py > tests/vectors/native.json");
        }
    }
}
