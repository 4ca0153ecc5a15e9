//! Datagrams of many speakers on one socket, as their receiver sees them.

use super::peers::{has_v6, peer};
use crate::batch::Path;
use crate::net::Volley;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// More than one call's worth.
const MANY: u32 = 3000;

fn speaker(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7F01_0000 + number)
}

fn from(ip: Ipv4Addr, remote: SocketAddr) -> Path {
    Path { remote, local: Some(ip.into()) }
}

/// A wildcard socket, its port, and who it will speak to.
fn ends() -> (UdpSocket, u16, UdpSocket, SocketAddr) {
    let (socket, receiver) = (UdpSocket::bind("0.0.0.0:0").unwrap(), peer("127.0.0.1:0"));
    let (port, remote) = (socket.local_addr().unwrap().port(), receiver.local_addr().unwrap());
    (socket, port, receiver, remote)
}

fn hear_one(receiver: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut bytes = [0; 2048];
    let (len, from) = receiver.recv_from(&mut bytes).unwrap();
    (from, bytes[..len].to_vec())
}

#[test]
fn each_datagram_leaves_from_its_own_address_and_none_is_lost() {
    let (socket, port, receiver, remote) = ends();
    let mut volley = Volley::new(socket.local_addr().unwrap(), 100, 1 << 16);
    let (mut heard, mut taken) = (HashSet::new(), 0);
    for number in 0..MANY {
        assert!(volley.push(from(speaker(number), remote), format!("u{number}").as_bytes()));
        if number % 100 == 99 {
            assert_eq!(volley.send(&socket).unwrap(), 100);
            assert!(volley.is_empty());
            taken += 100;
            heard.extend((0..100).map(|_| hear_one(&receiver)));
        }
    }
    let expected = |number| ((speaker(number), port).into(), format!("u{number}").into_bytes());
    assert_eq!(heard, (0..MANY).map(expected).collect());
    assert_eq!(taken, MANY);
}

#[test]
fn a_datagram_may_be_empty_or_have_no_address_of_its_own() {
    let (socket, port, receiver, remote) = ends();
    let mut volley = Volley::new(socket.local_addr().unwrap(), 3, 8);
    assert!(volley.push(from(speaker(1), remote), b""));
    assert!(volley.push(Path::to(remote), b"12345678"));
    assert!(!volley.push(Path::to(remote), b"9"), "no bytes are left");
    assert!(volley.push(Path::to(remote), b""));
    assert!(!volley.push(Path::to(remote), b""), "no places are left");
    assert_eq!(volley.send(&socket).unwrap(), 3);
    let heard: Vec<_> = (0..3).map(|_| hear_one(&receiver)).collect();
    let own = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(heard, [((speaker(1), port).into(), vec![]), (own, b"12345678".to_vec()), (own, vec![])]);
    assert!(volley.push(Path::to(remote), b"again"), "what is sent leaves its place");
}

#[test]
fn an_error_is_the_first_ones_and_keeps_nothing_back() {
    let (socket, port, receiver, remote) = ends();
    let mut volley = Volley::new(socket.local_addr().unwrap(), 8, 64);
    let not_ours = Ipv4Addr::new(192, 0, 2, 1);
    for (ip, text) in [(speaker(1), "1"), (speaker(2), "2"), (not_ours, "3"), (speaker(4), "4")] {
        assert!(volley.push(from(ip, remote), text.as_bytes()));
    }
    assert_eq!(volley.send(&socket).unwrap(), 2);
    for _ in 0..2 {
        assert!(volley.send(&socket).is_err(), "it waits until somebody decides");
    }
    volley.skip();
    assert_eq!(volley.send(&socket).unwrap(), 1);
    assert_eq!((volley.is_empty(), volley.send(&socket).unwrap()), (true, 0));
    let heard: Vec<_> = (0..3).map(|_| hear_one(&receiver)).collect();
    let expected = [1, 2, 4].map(|number| ((speaker(number), port).into(), number.to_string().into_bytes()));
    assert_eq!(heard, expected);
    assert!(volley.push(from(not_ours, remote), b"5"));
    assert!(volley.send(&socket).is_err());
    volley.clear();
    assert_eq!((volley.is_empty(), volley.send(&socket).unwrap()), (true, 0));
    volley.skip();
    assert!(volley.is_empty(), "there was nothing to skip");
}

#[test]
fn more_than_a_call_takes_goes_in_several() {
    let (socket, _, receiver, remote) = ends();
    let mut volley = Volley::new(socket.local_addr().unwrap(), usize::MAX, 4096);
    let pushed = (0..MANY).take_while(|number| volley.push(from(speaker(*number), remote), b"x")).count();
    assert_eq!(pushed, 1024, "as many as the kernel takes at once");
    let taken = volley.send(&socket).unwrap();
    assert_eq!(taken, 1024);
    // A buffer of the usual size does not hold them all; those it holds are each another's.
    receiver.set_nonblocking(true).unwrap();
    let mut speakers = HashSet::new();
    while let Ok((_, from)) = receiver.recv_from(&mut [0; 8]) {
        assert!(speakers.insert(from.ip()));
    }
    assert!(speakers.len() > 100 && speakers.iter().all(|ip| matches!(ip, IpAddr::V4(_))), "{}", speakers.len());
}

#[test]
fn a_socket_for_both_families_speaks_as_both() {
    if !has_v6("a_socket_for_both_families_speaks_as_both") {
        return;
    }
    let socket = UdpSocket::bind("[::]:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut volley = Volley::new(socket.local_addr().unwrap(), 2, 16);
    let receivers = [peer("127.0.0.1:0"), peer("[::1]:0")];
    let locals: [IpAddr; 2] = [speaker(7).into(), "::1".parse().unwrap()];
    for (receiver, local) in receivers.iter().zip(locals) {
        assert!(volley.push(Path { remote: receiver.local_addr().unwrap(), local: Some(local) }, b"hello"));
    }
    assert_eq!(volley.send(&socket).unwrap(), 2);
    for (receiver, local) in receivers.iter().zip(locals) {
        assert_eq!(hear_one(receiver), ((local, port).into(), b"hello".to_vec()));
    }
}

#[test]
fn it_takes_no_memory_once_made() {
    let (socket, _, receiver, remote) = ends();
    let mut volley = Volley::new(socket.local_addr().unwrap(), 16, 256);
    let counted = allocation_counter::measure(|| {
        for number in 0..1000 {
            if !volley.push(from(speaker(number), remote), b"u1234567") {
                volley.send(&socket).unwrap();
            }
        }
    });
    assert_eq!(counted.count_total, 0);
    drop(receiver);
}
