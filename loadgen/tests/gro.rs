//! Trains received whole: each message of a train is one message, the report
//! says how members were made, and what the kernel dropped is told in copies.

#![allow(clippy::unwrap_used, reason = "a test")]

use loadgen::clock::Clock;
use loadgen::machine::drops;
use loadgen::measure::Board;
use loadgen::members::{Options, Sink, Sockets, Taken, Transport};
use outcry::net::Prebuilt;
use std::collections::HashSet;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const MESSAGES: usize = 16;
const BYTES: usize = 64;

#[derive(Default)]
struct Heard(Vec<(u32, u8, usize)>);

impl Sink for Heard {
    fn take(&mut self, member: u32, _: u64, bytes: &[u8]) {
        self.0.push((member, bytes[0], bytes.len()));
    }
}

/// A train of 16 messages, the last one short, to each of three members.
fn receive(sockets: Sockets, gro: bool) -> (Heard, Taken, Arc<dyn Transport>) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = Options { receive_buffer: None, gro };
    let transport = sockets.open(server.local_addr().unwrap(), 3, options).unwrap();
    let train: Vec<u8> = (0..MESSAGES * BYTES - 10).map(|at| (at / BYTES) as u8).collect();
    let mut trains = Prebuilt::new(&server, &transport.addresses(), &train, Some(BYTES as u16)).unwrap();
    trains.send_all().unwrap();
    let mut receiver = transport.receiver(0, 1, 3, Clock::start()).unwrap();
    let (mut heard, mut taken) = (Heard::default(), Taken::default());
    while taken.messages < 3 * MESSAGES as u64 {
        let more = receiver.receive(Duration::from_secs(1), &mut heard).unwrap();
        assert!(more.messages > 0, "nothing more came after {taken:?}");
        taken += more;
    }
    (heard, taken, transport)
}

/// What an earlier datagram needed of the kernel's answer is no bound for a later one.
#[test]
fn a_train_after_single_datagrams_is_a_train_too() {
    for sockets in [Sockets::PerClient, Sockets::Shared(2)] {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let options = Options { receive_buffer: None, gro: true };
        let transport = sockets.open(server.local_addr().unwrap(), 2, options).unwrap();
        let mut receiver = transport.receiver(0, 1, 2, Clock::start()).unwrap();
        let mut heard = Heard::default();
        for (bytes, segment, messages) in [(BYTES, None, 2), (MESSAGES * BYTES, Some(BYTES as u16), 2 * MESSAGES)] {
            Prebuilt::new(&server, &transport.addresses(), &vec![7; bytes], segment).unwrap().send_all().unwrap();
            let mut taken = Taken::default();
            while taken.messages < messages as u64 {
                let more = receiver.receive(Duration::from_secs(1), &mut heard).unwrap();
                assert!(more.messages > 0, "nothing more came after {taken:?}");
                taken += more;
            }
        }
        assert!(heard.0.iter().all(|(_, _, len)| *len == BYTES), "{sockets:?}");
    }
}

#[test]
fn a_train_that_comes_whole_is_as_many_messages_as_one_that_does_not() {
    for sockets in [Sockets::PerClient, Sockets::Shared(2)] {
        for (gro, datagrams) in [(false, 48), (true, 3)] {
            let (heard, taken, transport) = receive(sockets, gro);
            assert_eq!(taken, Taken { messages: 48, datagrams }, "{sockets:?}");
            assert_eq!(transport.label().contains("GRO:"), gro);
            for member in 0..3 {
                let own: Vec<_> = heard.0.iter().filter(|at| at.0 == member).map(|at| (at.1, at.2)).collect();
                let wanted = (0..MESSAGES).map(|at| (at as u8, if at == MESSAGES - 1 { BYTES - 10 } else { BYTES }));
                assert_eq!(own, wanted.collect::<Vec<_>>());
            }
        }
    }
}

/// What the attribution relies on: to the kernel a dropped train is one drop.
#[test]
fn a_dropped_train_is_one_drop_and_its_messages_are_told() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = Options { receive_buffer: Some(4096), gro: true };
    let transport = Sockets::PerClient.open(server.local_addr().unwrap(), 1, options).unwrap();
    let (addresses, board) = (transport.addresses(), Board::new(0, 1));
    let mut trains = Prebuilt::new(&server, &addresses, &[b'x'; MESSAGES * BYTES], Some(BYTES as u16)).unwrap();
    (0..100).for_each(|_| assert_eq!(trains.send_all().unwrap(), MESSAGES as u64));
    let mut receiver = transport.receiver(0, 1, 1, Clock::start()).unwrap();
    let taken = receiver.receive(Duration::from_secs(1), &mut Heard::default()).unwrap();
    board.count_received(taken, taken.messages);
    let dropped = drops::udp_drops(&HashSet::from([addresses[0].port()]));
    assert!(taken.datagrams < 100);
    assert_eq!(taken.datagrams + dropped, 100, "a drop is a train");
    assert_eq!(taken.messages + dropped * board.messages_per_datagram() as u64, 100 * MESSAGES as u64);
}

#[test]
fn calibrating_with_trains_loses_nothing_and_says_what_it_is() {
    let arguments = ["calibrate", "--gro", "--clients", "20", "--duration", "200ms", "-o", "json"];
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for ceiling in found.as_array().unwrap() {
        assert_eq!(ceiling["lost"], 0, "{ceiling}");
        assert!(ceiling["members_made"].as_str().unwrap().contains("GRO:"));
    }
}
