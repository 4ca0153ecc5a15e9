//! What is read from a server's page, against the page of a real relay: every
//! name that is known here stands there, and says the same.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use loadgen::machine::page::{Cause, Counters, known, sum};
use outcry::admin::Face;
use outcry::config::{AdminConfig, Config};
use outcry::server::Server;
use std::net::UdpSocket;

const LINES: u64 = 12;

#[test]
fn the_counters_of_a_real_relay_are_read() {
    let mut server = Server::bind(&Config::for_bind("127.0.0.1:0".parse().unwrap())).unwrap();
    let face = Face::bind(&AdminConfig::new("127.0.0.1:0".parse().unwrap(), None).unwrap()).unwrap();
    let url = format!("http://{}/metrics", face.local_addr());
    let _serving = face.serve(server.handle(), server.directory()).unwrap();
    let members = ["alice", "bob"].map(|name| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(name.as_bytes(), server.local_addr()).unwrap();
        socket
    });
    while server.report().members < 2 {
        server.turn(None).unwrap();
    }
    let (addr, handle) = (server.local_addr(), server.handle());
    let running = std::thread::spawn(move || server.run().unwrap());
    let before = Counters::fetch(&url).unwrap();
    for _ in 0..LINES {
        members[0].send_to(b"alice : hi", addr).unwrap();
        members[1].send_to(b"a control character \x01", addr).unwrap();
    }
    while handle.report().unwrap().counters.datagrams_in < 2 + 2 * LINES {
        std::thread::yield_now();
    }
    let growth = loop {
        let growth = Counters::fetch(&url).unwrap().since(&before);
        // What was fetched just before is good for a moment.
        if sum(&growth, Cause::Heard) == 2 * LINES {
            break growth;
        }
    };
    assert_eq!((sum(&growth, Cause::Policy), sum(&growth, Cause::Socket), sum(&growth, Cause::Sending)), (LINES, 0, 0));
    let refused = growth.iter().find(|one| one.cause == Cause::Policy).unwrap();
    assert_eq!((refused.name.as_str(), refused.count), ("control_character", LINES));
    let page = minreq::get(&url).send().unwrap();
    for name in known() {
        let stands = |line: &str| line.split(['{', ' ']).next() == Some(name);
        assert!(page.as_str().unwrap().lines().any(stands), "{name} is not on the page");
    }
    handle.shut_down();
    running.join().unwrap();
}
