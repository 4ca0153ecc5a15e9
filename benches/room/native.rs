//! Native receivers: a client on each socket of a room, driven between turns,
//! and the ways to send to them.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use super::{Fanout, Room, receive_all, settle};
use cpu_time::ThreadTime;
use outcry::Time;
use outcry::client::{Client, DATAGRAM_BYTES, Event, Options, RoomId, RoomSpec};
use outcry::config::Config;
use outcry::server::Server;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Clients that shake hands at a time: what they send fits in the relay's buffer.
const AT_ONCE: usize = 200;

/// A client and what it has by now.
struct Member {
    client: Client,
    room: RoomId,
    joined: bool,
    /// Messages of the speaker that it has had.
    heard: u64,
}

impl Member {
    fn new(number: usize, now: Time) -> Self {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let name = format!("m{number}");
        let mut client = Client::new(Options::new(name), seed, now).expect("a good name");
        let room = client.join(now, RoomSpec::open("bench")).expect("a good room");
        Self { client, room, joined: false, heard: 0 }
    }

    /// Hands the client all that waits at its socket, and sends what it wants sent.
    fn drive(&mut self, now: Time, socket: &UdpSocket, relay: SocketAddr) {
        receive_all(socket, |datagram| self.client.handle_datagram(now, datagram));
        self.client.handle_deadline(now);
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Joined { .. } => self.joined = true,
                Event::Message(_) => self.heard += 1,
                Event::Gap { .. } | Event::Closed { .. } => panic!("nothing is lost here: {event:?}"),
                _ => {}
            }
        }
        let mut buffer = [0; DATAGRAM_BYTES];
        while let Some(len) = self.client.poll_transmit(now, &mut buffer) {
            socket.send_to(&buffer[..len], relay).expect("loopback");
        }
    }
}

/// A relay, the clients on a room's sockets, and one more that speaks.
pub struct NativeFanout<'r> {
    server: Server,
    room: &'r Room,
    members: Vec<Member>,
    speaker: Member,
    socket: UdpSocket,
    start: Instant,
    texts: Vec<Vec<u8>>,
    /// Datagrams that a turn makes for each member, and their length.
    pub train: (usize, usize),
}

impl<'r> NativeFanout<'r> {
    /// A speaker says `lens.len()` messages a turn, of these lengths.
    pub fn new(room: &'r Room, lens: &[usize]) -> Self {
        let config = Config::for_bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let server = Server::bind(&config).expect("a free port on loopback");
        let (start, now) = (Instant::now(), Time::default());
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.set_nonblocking(true).expect("a socket can be non-blocking");
        let members = (0..room.members()).map(|number| Member::new(number, now)).collect();
        let speaker = Member::new(room.members(), now);
        let texts = lens.iter().map(|&len| vec![b'x'; len]).collect();
        let mut fanout = Self { server, room, members, speaker, socket, start, texts, train: (0, 0) };
        fanout.join();
        // The first message brings its author's name with it.
        fanout.say();
        settle(&mut fanout.server);
        fanout.drain();
        fanout.train = fanout.look_at_a_turn();
        fanout
    }

    fn now(&self) -> Time {
        Time::new(self.start.elapsed().as_nanos() as u64, 0)
    }

    fn join(&mut self) {
        for first in (0..self.members.len()).step_by(AT_ONCE) {
            let last = (first + AT_ONCE).min(self.members.len());
            while !self.members[first..last].iter().all(|member| member.joined) {
                self.drive(first..last);
            }
        }
        while !self.speaker.joined {
            self.drive(0..0);
        }
        self.upkeep();
    }

    /// Serves some of the members, the speaker and the relay.
    fn drive(&mut self, range: std::ops::Range<usize>) {
        let (now, relay) = (self.now(), self.server.local_addr());
        for (member, socket) in self.members[range.clone()].iter_mut().zip(&self.room.sockets[range]) {
            member.drive(now, socket, relay);
        }
        self.speaker.drive(now, &self.socket, relay);
        settle(&mut self.server);
    }

    /// Lets everyone take what is there and say how it receives: between
    /// turns, so that neither is measured.
    fn upkeep(&mut self) {
        loop {
            let before = self.server.copies().sent;
            for first in (0..self.members.len()).step_by(AT_ONCE) {
                self.drive(first..(first + AT_ONCE).min(self.members.len()));
            }
            // A HEAD that fell due meanwhile has reached some after their turn.
            if self.server.copies().sent == before {
                return;
            }
        }
    }

    /// The speaker's messages are at the relay's socket.
    fn say(&mut self) {
        let (now, relay) = (self.now(), self.server.local_addr());
        for text in &self.texts {
            self.speaker.client.send(now, self.speaker.room, text).expect("there is room for it");
        }
        self.speaker.drive(now, &self.socket, relay);
    }

    /// One turn that is not measured, to see what it sends.
    fn look_at_a_turn(&mut self) -> (usize, usize) {
        self.say();
        settle(&mut self.server);
        let (now, member) = (self.now(), self.members.first_mut().expect("a room has members"));
        let mut lens = Vec::new();
        receive_all(&self.room.sockets[0], |datagram| {
            member.client.handle_datagram(now, datagram);
            lens.push(datagram.len());
        });
        self.drain();
        assert!(lens.iter().all(|&len| len == lens[0]), "a train's datagrams are equal: {lens:?}");
        (lens.len(), lens[0])
    }

    /// Everyone takes what was said: all of it.
    pub fn drain(&mut self) {
        self.upkeep();
        let expected = self.speaker.heard;
        assert!(self.members.iter().all(|member| member.heard == expected), "everyone has heard all {expected}");
        assert_eq!(expected % self.texts.len() as u64, 0, "and the speaker, too");
    }
}

impl Fanout for NativeFanout<'_> {
    fn name(&self) -> &'static str {
        "native"
    }

    fn turn(&mut self) -> Duration {
        self.say();
        let before = self.server.copies();
        let start = ThreadTime::now();
        loop {
            self.server.turn(Some(Duration::ZERO)).expect("the loop runs");
            if self.server.is_idle() && self.server.copies().sent > before.sent {
                break;
            }
        }
        let cpu = start.elapsed();
        let copies = self.server.copies().sent - before.sent;
        let expected = (self.train.0 * (self.members.len() + 1)) as u64;
        // A HEAD may fall due in the turn: one more datagram each.
        let heads = (self.members.len() + 1) as u64;
        assert!(copies == expected || copies == expected + heads, "a whole turn was sent: {copies} of {expected}");
        cpu
    }
}
