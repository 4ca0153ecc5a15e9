//! A native member for tests: it builds what a client sends and reads what a
//! relay answers, a step at a time. It decides nothing by itself.

use super::{Bench, Sent, addr, peer};
use outcry::wire::downlink::{self, Downlink};
use outcry::wire::handshake::{Cookie, Hello, Refuse, Retry, Welcome};
use outcry::wire::header::{Code, EntryKind, HELLO_BYTES_MIN};
use outcry::wire::id::*;
use outcry::wire::uplink::{Builder, Frame, RANGES_MAX, Ranges, SeqRange};
use std::net::SocketAddr;

/// A client and what it knows.
#[derive(Clone, Debug)]
pub struct Native {
    pub at: SocketAddr,
    pub name: String,
    pub ccid: Ccid,
    pub nonce: Nonce,
    pub instance: Instance,
    pub scid: Scid,
    pub epoch: Epoch,
    pub member: MemberId,
    pub pn: PacketNumber,
    /// What it proves to know.
    pub key: Option<Vec<u8>>,
    pub req: u16,
}

/// What JOINED said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub code: Code,
    pub room: RoomHandle,
    pub tag: RoomTag,
    pub members: u32,
    pub head: u64,
    pub tail: u64,
    pub next_sseq: u32,
    pub name: String,
}

/// An entry of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub room: RoomHandle,
    pub seq: u64,
    pub time_s: u32,
    pub member: MemberId,
    pub sseq: u32,
    pub kind: EntryKind,
    pub payload: Vec<u8>,
}

impl Entry {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("text")
    }
}

impl Native {
    /// Client number `number`, at an address of its own, not connected.
    pub fn new(number: u16, name: &str) -> Self {
        Self {
            at: peer(10_000 + number),
            name: name.to_owned(),
            ccid: Ccid(0xC0_0000 + u64::from(number)),
            nonce: Nonce(0xF0_0000 + u64::from(number)),
            instance: Instance(0x1A_0000 + u64::from(number)),
            scid: Scid(0),
            epoch: Epoch(0),
            member: MemberId(0),
            pn: PacketNumber(0),
            key: None,
            req: 0,
        }
    }

    /// The same, connected.
    pub fn connected(bench: &mut Bench, number: u16, name: &str) -> Self {
        let mut native = Self::new(number, name);
        native.connect(bench);
        native
    }

    /// The same, in a room.
    pub fn in_room(bench: &mut Bench, number: u16, name: &str, room: &str) -> (Self, Joined) {
        let mut native = Self::connected(bench, number, name);
        let joined = native.join(bench, room);
        (native, joined)
    }

    pub fn hello(&self, cookie: Cookie) -> Vec<u8> {
        let mut bytes = vec![0; HELLO_BYTES_MIN];
        let proof = self.key.as_ref().map(|_| [0; 16]);
        let mut hello =
            Hello { ccid: self.ccid, nonce: self.nonce, cookie, instance: self.instance, proof, name: &self.name };
        hello.encode(&mut bytes);
        if let Some(key) = &self.key {
            let mut hasher = blake3::Hasher::new_keyed(&blake3::derive_key("outcry 1 access", key));
            let parts = Hello::proven_bytes(&bytes).expect("a HELLO");
            parts.iter().for_each(|part| _ = hasher.update(part));
            let digest = hasher.finalize();
            hello.proof = Some(std::array::from_fn(|at| digest.as_bytes()[at]));
            hello.encode(&mut bytes);
        }
        bytes
    }

    /// The HELLO that brings the cookie back.
    pub fn proven_hello(&self, bench: &mut Bench) -> Vec<u8> {
        let sent = bench.hear(self.at, &self.hello(Cookie::default()));
        let retry = sent.iter().find_map(|sent| Retry::parse(&sent.bytes).ok()).expect("a RETRY");
        assert_eq!((retry.ccid, retry.nonce), (self.ccid, self.nonce));
        self.hello(retry.cookie)
    }

    /// The whole handshake; what the last step caused beside the WELCOME.
    pub fn connect(&mut self, bench: &mut Bench) -> Vec<Sent> {
        let hello = self.proven_hello(bench);
        let mut sent = bench.hear(self.at, &hello);
        let at = sent.iter().position(|sent| Welcome::parse(&sent.bytes).is_ok()).expect("a WELCOME");
        let answer = sent.remove(at);
        assert_eq!(answer.to, self.at);
        self.welcomed(&Welcome::parse(&answer.bytes).expect("a WELCOME"));
        sent
    }

    pub fn welcomed(&mut self, welcome: &Welcome) {
        assert_eq!((welcome.ccid, welcome.nonce), (self.ccid, self.nonce));
        (self.scid, self.epoch, self.member) = (welcome.scid, welcome.epoch, welcome.member);
        self.pn = PacketNumber(0);
    }

    /// The handshake, which is refused.
    pub fn refused(&self, bench: &mut Bench) -> Refuse {
        let hello = self.proven_hello(bench);
        let sent = bench.hear(self.at, &hello);
        let [answer] = &sent[..] else { panic!("one answer: {sent:?}") };
        Refuse::parse(&answer.bytes).expect("a REFUSE")
    }

    /// New ids for a new session of the same run.
    pub fn again(&mut self) {
        self.ccid.0 += 0x1_0000_0000;
        self.nonce.0 += 0x1_0000_0000;
    }

    /// A session datagram.
    pub fn datagram(&mut self, frames: &[Frame<'_>]) -> Vec<u8> {
        self.pn = self.pn.next();
        let mut bytes = vec![0; 1232];
        let mut builder = Builder::session(&mut bytes, self.scid, self.pn);
        for frame in frames {
            assert!(builder.push(frame), "{frame:?} does not fit");
        }
        let len = builder.finish();
        bytes.truncate(len);
        bytes
    }

    /// Sends frames in a turn of their own.
    pub fn send(&mut self, bench: &mut Bench, frames: &[Frame<'_>]) -> Vec<Sent> {
        let bytes = self.datagram(frames);
        bench.hear(self.at, &bytes)
    }

    /// Lets the relay hear frames, and leaves the turn open.
    pub fn put(&mut self, bench: &mut Bench, frames: &[Frame<'_>]) {
        let bytes = self.datagram(frames);
        bench.take(self.at, &bytes);
    }

    pub fn next_req(&mut self) -> Req {
        self.req += 1;
        Req(self.req)
    }

    pub fn join(&mut self, bench: &mut Bench, room: &str) -> Joined {
        self.join_with(bench, room, KeyId(0), false)
    }

    pub fn join_with(&mut self, bench: &mut Bench, room: &str, key_id: KeyId, unlisted: bool) -> Joined {
        let req = self.next_req();
        let frame = Frame::Join { req, sealed: key_id.0 != 0, unlisted, key_id, room };
        let sent = self.send(bench, &[frame]);
        joined(&sent, self.at, req)
    }

    pub fn leave(&mut self, bench: &mut Bench, room: RoomHandle) -> Vec<Sent> {
        let req = self.next_req();
        let sent = self.send(bench, &[Frame::Leave { req, room }]);
        let results = frames_to(&sent, self.at);
        assert!(results.contains(&downlink::Frame::Result { req, code: Code::Ok }));
        sent
    }

    /// Says a text.
    pub fn say(&mut self, bench: &mut Bench, room: RoomHandle, sseq: u32, text: &str) -> Vec<Sent> {
        self.send(bench, &[msg(room, sseq, text.as_bytes())])
    }

    pub fn ping(&mut self, bench: &mut Bench) -> Vec<Sent> {
        self.send(bench, &[Frame::Ping { t: 77 }])
    }

    pub fn nack(&mut self, bench: &mut Bench, room: RoomHandle, ranges: &[(u64, u16)]) -> Vec<Sent> {
        let ranges: Vec<_> = ranges.iter().map(|&(start, count)| SeqRange { start: Seq(start), count }).collect();
        let mut buffer = [[0; 10]; RANGES_MAX];
        let ranges = Ranges::encode(&ranges, &mut buffer);
        let bytes = self.datagram(&[Frame::Nack { room, ranges }]);
        bench.hear(self.at, &bytes)
    }

    pub fn report(&mut self, bench: &mut Bench, room: RoomHandle, to: u64, lost: u32, kib: u16) -> Vec<Sent> {
        self.send(bench, &[Frame::Report { room, contiguous: Seq(to), highest: Seq(to), lost, kib }])
    }

    pub fn close(&mut self, bench: &mut Bench) -> Vec<Sent> {
        self.send(bench, &[Frame::Close { code: Code::Ok, reason: "" }])
    }
}

pub fn msg(room: RoomHandle, sseq: u32, payload: &[u8]) -> Frame<'_> {
    Frame::Msg { room, kind: EntryKind::TEXT, sseq: Sseq(sseq), payload }
}

fn joined(sent: &[Sent], at: SocketAddr, wanted: Req) -> Joined {
    let found = frames_to(sent, at).into_iter().find_map(|frame| match frame {
        downlink::Frame::Joined { req, room, code, tag, members, head, tail, next_sseq, name } if req == wanted => {
            let (head, tail, next_sseq) = (head.0, tail.0, next_sseq.0);
            Some(Joined { code, room, tag, members, head, tail, next_sseq, name: name.to_owned() })
        }
        _ => None,
    });
    found.expect("a JOINED")
}

/// The frames of a datagram, to one client or to a room.
pub fn frames(sent: &Sent) -> Vec<downlink::Frame<'_>> {
    match Downlink::parse(&sent.bytes) {
        Ok(Downlink::ToClient { frames, .. } | Downlink::ToRoom { frames, .. }) => frames.collect(),
        _ => Vec::new(),
    }
}

/// All frames that were sent to `at`.
pub fn frames_to(sent: &[Sent], at: SocketAddr) -> Vec<downlink::Frame<'_>> {
    sent.iter().filter(|sent| sent.to == at).flat_map(frames).collect()
}

/// All datagrams that were sent to `at`.
pub fn datagrams_to(sent: &[Sent], at: SocketAddr) -> Vec<&[u8]> {
    sent.iter().filter(|sent| sent.to == at).map(|sent| &sent.bytes[..]).collect()
}

/// All entries that were sent to `at`, as they came.
pub fn entries_to(sent: &[Sent], at: SocketAddr) -> Vec<Entry> {
    let batches = frames_to(sent, at).into_iter().filter_map(|frame| match frame {
        downlink::Frame::Batch(batch) => Some(batch),
        _ => None,
    });
    let entry = |batch: downlink::Batch<'_>, (seq, entry): (Seq, downlink::Entry<'_>)| Entry {
        room: batch.room,
        seq: seq.0,
        time_s: batch.time_s,
        member: entry.member,
        sseq: entry.sseq.0,
        kind: entry.kind,
        payload: entry.payload.to_vec(),
    };
    batches.flat_map(|batch| batch.numbered().map(move |numbered| entry(batch, numbered)).collect::<Vec<_>>()).collect()
}

/// The texts of messages among the entries to `at`.
pub fn texts_to(sent: &[Sent], at: SocketAddr) -> Vec<String> {
    let entries = entries_to(sent, at).into_iter().filter(|entry| entry.kind == EntryKind::TEXT);
    entries.map(|entry| entry.text().to_owned()).collect()
}

/// The codes of the CLOSEs that were sent to `at`.
pub fn closes_to(sent: &[Sent], at: SocketAddr) -> Vec<Code> {
    let codes = frames_to(sent, at).into_iter().filter_map(|frame| match frame {
        downlink::Frame::Close { code, .. } => Some(code),
        _ => None,
    });
    codes.collect()
}

/// An address that is nobody's.
pub fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::new(addr("192.0.2.7:1").ip(), port)
}
