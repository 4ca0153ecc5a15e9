//! The transport against a server that a test plays by hand: streams cut in
//! odd places, a receiver replaced in the middle of a frame, garbage, an end.

use super::codec::Codec;
use super::mqtt::Mqtt;
use super::nats::Nats;
use super::redis::Redis;
use super::*;
use crate::members::Sink;
use std::io::Read;
use std::net::TcpListener;

#[derive(Default)]
struct Heard(Vec<(u32, Vec<u8>)>);

impl Sink for Heard {
    fn take(&mut self, member: u32, _now: u64, bytes: &[u8]) {
        self.0.push((member, bytes.to_vec()));
    }
}

/// Members of `C`, and the server's ends of their connections, in order.
fn connected<C: Codec>(members: u32, speakers: &[u32]) -> (Connections<C>, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let transport = Connections::<C>::open(listener.local_addr().unwrap(), members, speakers, None).unwrap();
    let count = members as usize + if C::ECHOES { speakers.len() } else { 0 };
    (transport, (0..count).map(|_| listener.accept().unwrap().0).collect())
}

fn receive(receiver: &mut dyn Receiver, sink: &mut dyn Sink) {
    receiver.receive(Duration::from_millis(20), sink).unwrap();
}

fn messages_split_over_reads<C: Codec>() {
    let (transport, mut server) = connected::<C>(2, &[]);
    let texts: Vec<Vec<u8>> = (0..20).map(|at| format!("u9 : message {at}").into_bytes()).collect();
    let mut stream = Vec::new();
    texts.iter().for_each(|text| C::copy(text, &mut stream));
    let mut heard = Heard::default();
    let mut receiver = transport.receiver(0, 1, u32::MAX, Clock::start()).unwrap();
    for (at, piece) in stream.chunks(7).enumerate() {
        server[1].write_all(piece).unwrap();
        receive(&mut *receiver, &mut heard);
        if at == 10 {
            drop(receiver);
            receiver = transport.receiver(0, 1, u32::MAX, Clock::start()).unwrap();
        }
    }
    assert_eq!(heard.0, texts.into_iter().map(|text| (1, text)).collect::<Vec<_>>());
}

#[test]
fn messages_split_over_reads_and_receivers_are_whole() {
    messages_split_over_reads::<Nats>();
    messages_split_over_reads::<Redis>();
    messages_split_over_reads::<Mqtt>();
}

fn more_than_one_read_holds<C: Codec>() {
    let (transport, mut server) = connected::<C>(1, &[]);
    let mut stream = Vec::new();
    (0..3000).for_each(|at| C::copy(format!("u9 : {at:0>60}").as_bytes(), &mut stream));
    let sending = std::thread::spawn(move || server[0].write_all(&stream).unwrap());
    let mut heard = Heard::default();
    let mut receiver = transport.receiver(0, 1, u32::MAX, Clock::start()).unwrap();
    (0..1000).take_while(|_| receiver_hears_on(&mut *receiver, &mut heard)).count();
    sending.join().unwrap();
    assert_eq!(heard.0.len(), 3000);
    assert_eq!(heard.0[2999].1, format!("u9 : {:0>60}", 2999).into_bytes());
}

fn receiver_hears_on(receiver: &mut dyn Receiver, heard: &mut Heard) -> bool {
    receive(receiver, heard);
    heard.0.len() < 3000
}

#[test]
fn a_long_stream_is_whole() {
    more_than_one_read_holds::<Nats>();
    more_than_one_read_holds::<Redis>();
    more_than_one_read_holds::<Mqtt>();
}

#[test]
fn garbage_and_an_end_are_counted_and_harm_nobody_else() {
    let (transport, mut server) = connected::<Nats>(3, &[]);
    server[0].write_all(b"GET / HTTP/1.1\r\n").unwrap();
    drop(server.remove(1));
    let mut good = Vec::new();
    Nats::copy(b"u9 : hi", &mut good);
    server[1].write_all(&good).unwrap();
    let mut heard = Heard::default();
    let mut receiver = transport.receiver(0, 1, u32::MAX, Clock::start()).unwrap();
    (0..5).for_each(|_| receive(&mut *receiver, &mut heard));
    assert_eq!(heard.0, [(2, b"u9 : hi".to_vec())]);
    assert!(transport.label().contains("2 connections were ended by the server"), "{}", transport.label());
}

#[test]
fn a_complaint_is_in_the_label() {
    let (transport, mut server) = connected::<Redis>(1, &[]);
    server[0].write_all(b"-ERR max number of clients reached\r\n").unwrap();
    receive(&mut *transport.receiver(0, 1, 1, Clock::start()).unwrap(), &mut Heard::default());
    assert!(transport.label().contains("max number of clients"), "{}", transport.label());
}

#[test]
fn a_ping_is_answered() {
    let (transport, mut server) = connected::<Nats>(1, &[]);
    server[0].write_all(b"PING\r\n").unwrap();
    receive(&mut *transport.receiver(0, 1, 1, Clock::start()).unwrap(), &mut Heard::default());
    let mut answer = [0; 6];
    server[0].read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"PONG\r\n");
}

#[test]
fn over_redis_a_sender_speaks_on_a_second_connection_and_does_not_hear_itself() {
    let (transport, mut server) = connected::<Redis>(2, &[1]);
    transport.send(1, b"u1 : hi").unwrap();
    assert!(transport.send(0, b"u0 : hi").is_err(), "nobody said that member 0 would speak");
    let (mut wanted, mut copy) = (Vec::new(), Vec::new());
    Redis::greet_speaker(&mut wanted);
    Redis::publish(b"u1 : hi", &mut wanted);
    let mut said = vec![0; wanted.len()];
    server[2].read_exact(&mut said).unwrap();
    assert_eq!(said, wanted);
    Redis::copy(b"u1 : hi", &mut copy);
    server[..2].iter_mut().for_each(|stream| stream.write_all(&copy).unwrap());
    let mut heard = Heard::default();
    let mut receiver = transport.receiver(0, 1, u32::MAX, Clock::start()).unwrap();
    (0..3).for_each(|_| receive(&mut *receiver, &mut heard));
    assert_eq!(heard.0, [(0, b"u1 : hi".to_vec())]);
    assert!(transport.label().contains("1 such copies were dropped"), "{}", transport.label());
}

#[test]
fn an_mqtt_connection_is_greeted_once() {
    let (transport, mut server) = connected::<Mqtt>(1, &[]);
    (0..2).for_each(|_| transport.join(0).unwrap());
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    Mqtt::greet(&format!("loadgen-{}-0", std::process::id()), &mut once);
    (0..2).for_each(|_| Mqtt::enter(&mut twice));
    let mut said = vec![0; once.len() + twice.len()];
    server[0].read_exact(&mut said).unwrap();
    assert_eq!(said, [once, twice].concat());
}

#[test]
fn nobody_there_is_said() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = Connections::<Nats>::open(gone, 2, &[], None).err().unwrap();
    assert!(refused.contains("nothing listens"), "{refused}");
}
