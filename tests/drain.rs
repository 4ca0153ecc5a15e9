//! The end of a relay that people depend on: they are told where to go, it
//! ends when they have gone, or at the deadline.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod operator;
mod process;

use operator::{Member, Scratch, Steered};
use outcry::blocking::Connection;
use outcry::client::{Event, Options, RoomSpec};
use process::{HANG, Running, Serve, books::Books, host, until};
use std::os::unix::net::UnixDatagram;

#[test]
fn members_go_to_the_other_relay_and_this_one_ends_when_it_is_empty() {
    let scratch = Scratch::new("drain");
    let other = Serve::start(&["--control", "none"]);
    let mut relay = Steered::start(&scratch, &[]);
    let alice = relay.joins("alice");
    let mut bob = Connection::open(&relay.relay.addr.to_string(), Options::new("bob")).unwrap();
    let room = bob.join(RoomSpec::lobby()).unwrap();
    while !matches!(bob.receive(HANG).unwrap(), Some(Event::Joined { .. })) {}
    let to = other.addr.to_string();
    let told = relay.does(&["drain", "--to", &to, "--deadline", "10m"]);
    assert_eq!(told, "nobody is let in; the relay ends in 600s, or when nobody is left of 2 members\n");
    alice.hears_at_last(&format!("[relay] shutting down soon, go to {to}"));
    // The client follows by itself, and its room with it.
    while !matches!(bob.receive(HANG).unwrap(), Some(Event::Joined { .. })) {}
    bob.send(room, b"hello from there").unwrap();
    while !matches!(bob.receive(HANG).unwrap(), Some(Event::Message(_))) {}
    let late = Member::new(relay.relay.addr);
    late.says("late");
    until("the drop", || (relay.json(&["stats"])[0]["dropped"]["draining"] == 1).then_some(()));
    let said = relay.ctl(&["lockdown", "off"]);
    assert!(said.code == 1 && said.err.contains("drains"), "{said:?}");
    alice.says("EXIT");
    assert_eq!(relay.relay.process.exit_code(), Some(0));
    let books = Books::at_end(&relay.relay.process.out.rest());
    assert_eq!((books.left("moved"), books.left("exit"), books.left("shutdown")), (1, 1, 0));
    assert_eq!(other.end().joined(), 1);
}

#[test]
fn outcry_chat_follows_and_goes_on() {
    let scratch = Scratch::new("follow");
    let other = Serve::start(&["--control", "none"]);
    let relay = Steered::start(&scratch, &[]);
    let mut carol = Running::outcry(&["chat", "--name", "carol", &relay.relay.addr.to_string()]);
    until("carol", || (relay.json(&["peers"]).first()?["protocol"] == "native").then_some(()));
    relay.does(&["drain", "--to", &other.addr.to_string()]);
    other.logs("joined", "carol");
    carol.err.until("this is another relay");
    let dave = Member::new(other.addr);
    dave.says("dave");
    other.logs("joined", "dave");
    carol.types("still here");
    dave.hears_at_last("carol : still here");
}

#[test]
fn the_deadline_ends_it_with_members_in_it() {
    let scratch = Scratch::new("deadline");
    let mut relay = Steered::start(&scratch, &[]);
    let alice = relay.joins("alice");
    relay.does(&["drain", "--deadline", "1s"]);
    alice.hears_at_last("[relay] shutting down soon");
    alice.hears_at_last("[relay] shutting down");
    assert_eq!(relay.relay.process.exit_code(), Some(0));
}

#[test]
fn where_to_go_is_an_address() {
    let scratch = Scratch::new("where");
    let relay = Steered::start(&scratch, &[]);
    for wrong in ["nowhere", ":9999", "host:port", &format!("{}:1", "x".repeat(63)), "a\nb:1"] {
        let said = relay.ctl(&["drain", "--to", wrong]);
        assert!(said.code == 1 && said.err.contains("HOST:PORT"), "{said:?}");
    }
    relay.joins("alice");
}

/// The service manager hears that it drains, and that it stops.
#[test]
fn a_term_drains_where_that_is_set() {
    let scratch = Scratch::new("term");
    let ear = scratch.path("notify");
    let manager = UnixDatagram::bind(&ear).unwrap();
    manager.set_read_timeout(Some(HANG)).unwrap();
    let told = || {
        let mut bytes = [0; 128];
        let len = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    let (bind, socket) = (format!("{}:0", host(0)), scratch.path("ctl.sock"));
    let args = ["serve", "--bind", &bind, "--lang", "en", "--control", &socket, "--drain-on-term"];
    let relay = Serve::from(Running::start(process::outcry(&args).env("NOTIFY_SOCKET", &ear)));
    let mut relay = Steered { relay, socket };
    assert_eq!(told(), "READY=1");
    let alice = relay.joins("alice");
    relay.relay.process.signal("TERM");
    alice.hears_at_last("[relay] shutting down soon");
    assert!(told().starts_with("STATUS=draining"));
    assert!(relay.relay.process.runs());
    alice.says("alice : bye");
    alice.says("EXIT");
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(relay.relay.process.exit_code(), Some(0));
}

#[test]
fn an_empty_relay_has_nobody_to_wait_for() {
    let scratch = Scratch::new("empty");
    let relay = Steered::start(&scratch, &["--drain-on-term"]);
    relay.relay.end();
}
