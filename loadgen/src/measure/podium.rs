//! What stands in for a relay while native members are calibrated: it lets
//! everybody in, and then says numbered entries to all, as few datagrams as
//! they fit in, and listens to nobody.

use crate::clock::Clock;
use crate::members::udp::widen;
use crate::members::{Sink, Transport};
use outcry::client::DATAGRAM_BYTES;
use outcry::net::Prebuilt;
use outcry::wire::downlink::{Builder, Entry, Frame};
use outcry::wire::handshake::{Hello, Welcome};
use outcry::wire::header::{Code, EntryKind};
use outcry::wire::id::{Ccid, Epoch, MemberId, Req, RoomHandle, RoomTag, Scid, Seq, Sseq};
use outcry::wire::uplink::{self, Uplink};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// HELLOs are long, and all members send one.
const RECEIVE_BUFFER: usize = 64 << 20;
/// Everybody is in by then, or never.
const PATIENCE_NS: u64 = 10_000_000_000;
const ROOM: RoomHandle = RoomHandle(1);
const TAG: RoomTag = RoomTag(1);
/// Who speaks: nobody who listens.
const SPEAKER: MemberId = MemberId(u32::MAX);

/// Where it speaks from.
pub(super) struct Podium {
    socket: UdpSocket,
    destinations: Vec<SocketAddr>,
    next: u64,
}

impl Podium {
    /// On `socket`, which the members of `transport` take for their relay.
    pub(super) fn open(socket: UdpSocket, transport: &dyn Transport, receivers: usize) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot calibrate native members: {error}");
        widen(&socket, RECEIVE_BUFFER).map_err(failed)?;
        socket.set_read_timeout(Some(Duration::from_millis(1))).map_err(failed)?;
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let driving = scope.spawn(|| drive(transport, &done));
            let let_in = let_in(&socket, transport);
            done.store(true, Relaxed);
            driving.join().map_err(|_| "a thread of the generator panicked".to_string())?.map_err(failed)?;
            let_in.map_err(failed)
        })?;
        let mut destinations = transport.addresses();
        destinations.truncate(receivers);
        Ok(Self { socket, destinations, next: 1 })
    }

    pub(super) fn destinations(&self) -> &[SocketAddr] {
        &self.destinations
    }

    /// Says `messages`, each of `len` bytes, to everybody; the copies said.
    pub(super) fn say(&mut self, messages: &[u8], len: usize) -> io::Result<u64> {
        let (mut entries, mut base, mut copies) = (Vec::new(), self.next, 0);
        let mut entry = [0; DATAGRAM_BYTES];
        for message in messages.chunks(len) {
            let number = Sseq(self.next as u32);
            let written = Entry { member: SPEAKER, sseq: number, kind: EntryKind::TEXT, payload: message };
            let written = written.write(&mut entry);
            if self.datagram(base, &[&entries, &entry[..written]].concat()).is_none() {
                copies += self.cast(base, &entries)?;
                entries.clear();
                base = self.next;
            }
            entries.extend_from_slice(&entry[..written]);
            self.next += 1;
        }
        Ok(copies + self.cast(base, &entries)?)
    }

    /// `None`: so much does not fit.
    fn datagram(&self, base: u64, entries: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = vec![0; DATAGRAM_BYTES];
        let mut builder = Builder::to_room(&mut bytes, TAG);
        let count = u8::try_from(self.next - base).ok()?;
        let fits = builder.batch(ROOM, 0, Seq(base), count, entries);
        let len = builder.len();
        bytes.truncate(len);
        fits.then_some(bytes)
    }

    fn cast(&self, base: u64, entries: &[u8]) -> io::Result<u64> {
        let Some(bytes) = self.datagram(base, entries) else {
            return Err(io::Error::other("a message does not fit into a datagram"));
        };
        let datagrams = Prebuilt::new(&self.socket, &self.destinations, &bytes, None)?.send_all()?;
        Ok(datagrams * (self.next - base))
    }
}

/// Does for the members what their receiving threads will do.
fn drive(transport: &dyn Transport, done: &AtomicBool) -> io::Result<()> {
    struct Nobody;
    impl Sink for Nobody {
        fn take(&mut self, _: u32, _: u64, _: &[u8]) {}
    }
    let mut receiver = transport.receiver(0, 1, u32::MAX, Clock::start())?;
    while !done.load(Relaxed) {
        receiver.receive(Duration::from_millis(1), &mut Nobody)?;
    }
    // What was sent last is still to be read.
    receiver.receive(Duration::from_millis(20), &mut Nobody).map(drop)
}

/// Those who asked, by their id, and those who are in.
#[derive(Default)]
struct Guests {
    by_id: HashMap<Ccid, u64>,
    ids: Vec<Ccid>,
    inside: HashSet<u64>,
}

fn let_in(socket: &UdpSocket, transport: &dyn Transport) -> io::Result<()> {
    let (clock, mut guests, members) = (Clock::start(), Guests::default(), transport.members());
    (0..members).try_for_each(|member| transport.join(member))?;
    let mut bytes = [0; 2048];
    while guests.inside.len() < members as usize {
        if clock.now() > PATIENCE_NS {
            return Err(io::Error::other(format!("{} of {members} came in", guests.inside.len())));
        }
        match socket.recv_from(&mut bytes) {
            Ok((len, from)) => guests.hear(socket, from, &bytes[..len])?,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Guests {
    fn hear(&mut self, socket: &UdpSocket, from: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        match Uplink::parse(bytes) {
            Ok(Uplink::Hello(hello)) => socket.send_to(&self.welcome(&hello), from).map(drop),
            Ok(Uplink::Session(session)) => {
                for frame in session.frames {
                    if let uplink::Frame::Join { req, .. } = frame {
                        self.join(socket, from, session.scid, req)?;
                    }
                }
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn welcome(&mut self, hello: &Hello<'_>) -> [u8; 64] {
        let next = self.ids.len() as u64;
        let number = *self.by_id.entry(hello.ccid).or_insert(next);
        if number == next {
            self.ids.push(hello.ccid);
        }
        let welcome = Welcome {
            ccid: hello.ccid,
            nonce: hello.nonce,
            scid: Scid(number),
            epoch: Epoch(1),
            member: MemberId(number as u32 + 1),
            max_dgram: DATAGRAM_BYTES as u16,
            idle_s: 60,
            keepalive_s: 20,
            flags: 0,
            msgs_per_s: 0,
            bytes_per_s: 0,
            window_bytes: 1 << 18,
        };
        welcome.encode()
    }

    fn join(&mut self, socket: &UdpSocket, from: SocketAddr, scid: Scid, req: Req) -> io::Result<()> {
        let Some(ccid) = self.ids.get(scid.0 as usize) else { return Ok(()) };
        let mut bytes = [0; DATAGRAM_BYTES];
        let mut builder = Builder::to_client(&mut bytes, *ccid);
        builder.push(&Frame::Joined {
            req,
            room: ROOM,
            code: Code::Ok,
            tag: TAG,
            members: 1,
            head: Seq(0),
            tail: Seq(1),
            next_sseq: Sseq(1),
            name: "guest",
        });
        let len = builder.len();
        self.inside.insert(scid.0);
        socket.send_to(&bytes[..len], from).map(drop)
    }
}
