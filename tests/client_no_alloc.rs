//! A client that sends and receives in steady state takes no memory for it:
//! what arrives in its turn is told from the datagram, what is sent goes into
//! buffers that come back with their acknowledgement.

use allocation_counter::measure;
use outcry::Time;
use outcry::client::{Client, DATAGRAM_BYTES, EntryKind, Event, MemberId, Options, RoomId, RoomSpec};
use outcry::wire::downlink::{Builder, ENTRY_HEADER_BYTES, Entry, Frame};
use outcry::wire::handshake::{Hello, Welcome};
use outcry::wire::header::Code;
use outcry::wire::id::{Epoch, Req, RoomHandle, RoomTag, Scid, Seq, Sseq};
use std::time::Duration;

const ME: MemberId = MemberId(5);
const TAG: RoomTag = RoomTag(9);
const ROOM: RoomHandle = RoomHandle(1);
const TURNS: u64 = 20_000;
/// In each of them, beside the client's own one.
const OTHERS: u64 = 4;

struct Steady {
    client: Client,
    room: RoomId,
    now: Time,
    head: u64,
    said: u32,
    told: u64,
    delivered: u64,
}

impl Steady {
    /// A client in a room.
    fn begin() -> Self {
        let now = Time::default();
        let mut client = Client::new(Options::new("alice"), [7; 32], now).expect("a name");
        let mut buffer = [0; DATAGRAM_BYTES];
        let len = client.poll_transmit(now, &mut buffer).expect("the HELLO");
        let Hello { ccid, nonce, .. } = Hello::parse(&buffer[..len]).expect("a HELLO");
        let welcome = Welcome {
            ccid,
            nonce,
            scid: Scid(1),
            epoch: Epoch(1),
            member: ME,
            max_dgram: 1232,
            idle_s: 60,
            keepalive_s: 20,
            flags: 0,
            msgs_per_s: 0,
            bytes_per_s: 0,
            window_bytes: 1 << 18,
        };
        client.handle_datagram(now, &welcome.encode());
        let room = client.join(now, RoomSpec::open("den")).expect("a room");
        while client.poll_transmit(now, &mut buffer).is_some() {}
        let mut builder = Builder::to_client(&mut buffer, ccid);
        let (code, head, tail, next_sseq) = (Code::Ok, Seq(0), Seq(1), Sseq(1));
        let (req, members) = (Req(1), 1);
        builder.push(&Frame::Joined { req, room: ROOM, code, tag: TAG, members, head, tail, next_sseq, name: "alice" });
        let len = builder.len();
        client.handle_datagram(now, &buffer[..len]);
        Self { client, room, now, head: 0, said: 0, told: 0, delivered: 0 }
    }

    /// Says something, and hears it come back with what others said.
    fn turn(&mut self) {
        self.client.send(self.now, self.room, &[b'x'; 64]).expect("there is place");
        self.said += 1;
        self.fetch();
        let mut entries = [0; 5 * (ENTRY_HEADER_BYTES + 64)];
        let mut len = 0;
        for n in 0..=OTHERS {
            let (member, sseq) = if n == OTHERS { (ME, Sseq(self.said)) } else { (MemberId(6 + n as u32), Sseq(1)) };
            len += Entry { member, sseq, kind: EntryKind::TEXT, payload: &[b'x'; 64] }.write(&mut entries[len..]);
        }
        let mut buffer = [0; DATAGRAM_BYTES];
        let mut builder = Builder::to_room(&mut buffer, TAG);
        assert!(builder.batch(ROOM, 0, Seq(self.head + 1), OTHERS as u8 + 1, &entries[..len]));
        self.head += OTHERS + 1;
        let len = builder.len();
        self.now = self.now + Duration::from_millis(1);
        self.client.handle_datagram(self.now, &buffer[..len]);
        self.fetch();
        if self.client.next_deadline().is_some_and(|due| due <= self.now) {
            self.client.handle_deadline(self.now);
            self.fetch();
        }
    }

    fn fetch(&mut self) {
        let mut buffer = [0; DATAGRAM_BYTES];
        while self.client.poll_transmit(self.now, &mut buffer).is_some() {}
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Message(message) => self.told += u64::from(message.payload.len() == 64),
                Event::Delivered { .. } => self.delivered += 1,
                _ => {}
            }
        }
    }
}

#[test]
fn what_is_sent_and_received_in_steady_state_takes_no_memory() {
    let mut steady = Steady::begin();
    // The names of the others are asked for, the buffers grow to what they need.
    (0..100).for_each(|_| steady.turn());
    let taken = measure(|| (0..TURNS).for_each(|_| steady.turn()));
    assert_eq!((taken.count_total, taken.bytes_total), (0, 0));
    let turns = TURNS + 100;
    assert_eq!((steady.told, steady.delivered), (turns * (OTHERS + 1), turns));
}
