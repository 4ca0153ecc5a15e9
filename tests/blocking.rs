//! The blocking driver against a relay in this process, on real sockets.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod process;
mod room;

use outcry::blocking::{Connection, Error};
use outcry::client::{Code, End, Epoch, Event, MemberId, Options, RoomId, RoomKey, RoomSpec, Unfit};
use outcry::wire::downlink::{Builder, Frame};
use outcry::wire::handshake::{Hello, Welcome};
use outcry::wire::id::Scid;
use process::HANG;
use room::{Member, Relay, config};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

fn open(relay: &Relay, name: &str) -> Connection {
    Connection::open(&relay.addr.to_string(), Options::new(name)).unwrap()
}

/// Receives until `wanted` finds what it is looking for.
#[track_caller]
fn receive<T>(connection: &mut Connection, wanted: impl Fn(&Event<'_>) -> Option<T>) -> T {
    let mut others = Vec::new();
    while let Some(event) = connection.receive(HANG).unwrap() {
        if let Some(found) = wanted(&event) {
            return found;
        }
        others.push(event);
    }
    panic!("not among {others:?}");
}

#[track_caller]
fn enter(connection: &mut Connection, spec: RoomSpec) -> RoomId {
    let room = connection.join(spec).unwrap();
    receive(connection, |event| matches!(event, Event::Joined { .. }).then_some(()));
    room
}

/// The texts of the next messages.
#[track_caller]
fn texts(connection: &mut Connection, count: usize) -> Vec<String> {
    let text = |event: &Event<'_>| match event {
        Event::Message(message) => Some(String::from_utf8_lossy(&message.payload).into_owned()),
        _ => None,
    };
    (0..count).map(|_| receive(connection, text)).collect()
}

#[test]
fn native_and_plain_members_talk_over_real_sockets() {
    let relay = Relay::start(&config(|_| {}));
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| open(&relay, name));
    let [lobby, of_bob] = [&mut alice, &mut bob].map(|connection| enter(connection, RoomSpec::lobby()));
    let carol = Member::joins(relay.addr, "carol");
    relay.holds(3);

    // Somebody else speaks while this one waits.
    let speaker = bob.speaker();
    let speaking = std::thread::spawn(move || speaker.send(of_bob, b"from another thread").unwrap());
    assert_eq!(texts(&mut alice, 1), ["from another thread"]);
    let ticket = speaking.join().unwrap();
    receive(&mut bob, |event| matches!(event, Event::Delivered { ticket: of, .. } if *of == ticket).then_some(()));

    carol.says("carol : a plain line");
    assert_eq!(texts(&mut alice, 1), ["a plain line"]);
    for n in 0..200 {
        alice.send(lobby, n.to_string().as_bytes()).unwrap();
    }
    let heard = texts(&mut bob, 202);
    assert_eq!(heard[..2], ["from another thread", "a plain line"]);
    assert_eq!(heard[2..], (0..200).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    assert!(alice.round_trip() < Duration::from_secs(1) && alice.counts().malformed == 0);

    alice.close();
    relay.holds(2);
    drop(bob);
    relay.holds(1);
    relay.end();
}

#[test]
fn a_passphrase_opens_a_room() {
    let relay = Relay::start(&config(|_| {}));
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| open(&relay, name));
    let key = RoomKey::derive("den", "correct horse").unwrap();
    let [den, _] = [&mut alice, &mut bob].map(|connection| enter(connection, RoomSpec::sealed("den", key.clone())));
    alice.send(den, b"for our ears only").unwrap();
    let name_and_text = receive(&mut bob, |event| match event {
        Event::Message(message) => Some((message.name.clone().unwrap().into_owned(), message.payload.to_vec())),
        _ => None,
    });
    assert_eq!(name_and_text, ("alice".to_owned(), b"for our ears only".to_vec()));
}

#[test]
fn what_a_relay_refuses_is_told() {
    let relay = Relay::start(&config(|config| {
        config.limits.access_key = outcry::config::AccessKey::from_file(b"0123456789abcdef");
    }));
    let error = Connection::open(&relay.addr.to_string(), Options::new("alice")).err().unwrap();
    assert!(matches!(error, Error::Ended { why: End::Code(Code::Access), .. }), "{error}");
    assert!(error.to_string().contains("key file"), "{error}");
}

#[test]
fn after_its_end_a_connection_says_so() {
    let relay = Relay::start(&config(|_| {}));
    let mut alice = open(&relay, "alice");
    assert!(alice.is_connected() && alice.member().is_some());
    alice.speaker().close();
    receive(&mut alice, |event| matches!(event, Event::Closed { why: End::Done, .. }).then_some(()));
    assert!(matches!(alice.receive(HANG), Err(Error::Over)));
    assert_eq!(alice.join(RoomSpec::lobby()), Err(Unfit::Closed));
    relay.holds(0);
}

/// A relay that welcomes the first client and sends it somewhere else.
fn moved_to(there: &Relay) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (here, reason) = (socket.local_addr().unwrap(), there.addr.to_string());
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        let (len, client) = socket.recv_from(&mut buffer).unwrap();
        let Hello { ccid, nonce, .. } = Hello::parse(&buffer[..len]).unwrap();
        let (scid, epoch, member) = (Scid(1), Epoch(1), MemberId(1));
        let (max_dgram, idle_s, keepalive_s, flags) = (1232, 60, 20, 0);
        let (msgs_per_s, bytes_per_s, window_bytes) = (0, 0, 1000);
        let welcome = Welcome {
            ccid,
            nonce,
            scid,
            epoch,
            member,
            max_dgram,
            idle_s,
            keepalive_s,
            flags,
            msgs_per_s,
            bytes_per_s,
            window_bytes,
        };
        socket.send_to(&welcome.encode(), client).unwrap();
        let mut builder = Builder::to_client(&mut buffer, ccid);
        builder.push(&Frame::Close { code: Code::Moved, reason: &reason });
        let len = builder.len();
        socket.send_to(&buffer[..len], client).unwrap();
    });
    (here, thread)
}

#[test]
fn a_relay_that_has_moved_is_followed() {
    let there = Relay::start(&config(|_| {}));
    let (here, thread) = moved_to(&there);
    let mut alice = Connection::open(&here.to_string(), Options::new("alice")).unwrap();
    let lobby = alice.join(RoomSpec::lobby()).unwrap();
    alice.send(lobby, b"hello").unwrap();
    thread.join().unwrap();
    assert_eq!(texts(&mut alice, 1), ["hello"]);
    assert_eq!((alice.remote().unwrap(), there.report().members), (there.addr, 1));
}

#[test]
fn who_only_looks_in_hears_everything_too() {
    let relay = Relay::start(&config(|_| {}));
    let mut alice = open(&relay, "alice");
    let lobby = alice.join(RoomSpec::lobby()).unwrap();
    alice.send(lobby, b"hello").unwrap();
    let found = process::until("the echo", || {
        let event = alice.receive(Duration::ZERO).unwrap()?;
        matches!(event, Event::Message(_)).then_some(event)
    });
    assert!(matches!(found, Event::Message(message) if message.mine));
}

#[test]
fn nothing_within_the_time_is_nothing() {
    let relay = Relay::start(&config(|_| {}));
    let mut alice = open(&relay, "alice");
    receive(&mut alice, |event| matches!(event, Event::Connected { .. }).then_some(()));
    assert!(alice.receive(Duration::from_millis(30)).unwrap().is_none());
    assert!(alice.receive(Duration::ZERO).unwrap().is_none());
}
