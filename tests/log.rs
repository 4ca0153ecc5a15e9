//! The log from outside: who came and went, for people and for programs, and a
//! flood that does not fill a disk.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod process;

use outcry::config::{LOG_LINES_BURST, LOG_LINES_PER_S};
use process::{HANG, Running, Serve, host, outcry};
use serde_json::Value;
use std::net::UdpSocket;

fn member(name: &str, relay: &Serve) -> UdpSocket {
    let socket = UdpSocket::bind((host(0), 0)).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket.send_to(name.as_bytes(), relay.addr).unwrap();
    socket
}

fn says(socket: &UdpSocket, relay: &Serve, text: &str) {
    socket.send_to(text.as_bytes(), relay.addr).unwrap();
}

/// The next line of the log that is about a member.
#[track_caller]
fn audit(relay: &Serve) -> Value {
    let line = relay.process.err.until("\"target\":\"audit\"");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn joins_leaves_and_kicks_are_told_as_json_with_address_name_and_reason() {
    let bind = format!("{}:0", host(0));
    let args = ["serve", "--bind", &bind, "--log-format", "json", "--console"];
    let mut relay = Serve::from(Running::start(&mut outcry(&args)));
    let alice = member("alice \"the\" 1st", &relay);
    let joined = audit(&relay);
    assert_eq!((&joined["message"], &joined["level"]), (&"joined".into(), &"INFO".into()), "{joined}");
    assert_eq!(joined["name"], "alice \"the\" 1st");
    assert_eq!(joined["remote"], alice.local_addr().unwrap().to_string());
    assert!(joined["timestamp"].as_str().unwrap().ends_with('Z'), "{joined}");
    says(&alice, &relay, "alice \"the\" 1st : EXIT");
    let left = audit(&relay);
    assert_eq!((&left["message"], &left["reason"]), (&"left".into(), &"exit".into()), "{left}");
    let _bob = member("bob", &relay);
    audit(&relay);
    relay.process.types("/kick bob");
    let kicked = audit(&relay);
    assert_eq!((&kicked["name"], &kicked["reason"]), (&"bob".into(), &"kicked".into()), "{kicked}");
    relay.process.signal("TERM");
    let rest = relay.process.err.rest();
    assert!(rest.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "nothing but JSON: {rest}");
}

/// A name is quoted: it cannot pass for another field, or for another line.
#[test]
fn a_name_cannot_forge_a_line_for_people() {
    let relay = Serve::start(&[]);
    let _mallory = member("m reason=kicked\u{202E}", &relay);
    let line = relay.process.err.until("audit: joined");
    assert!(line.contains(r#"name="m reason=kicked\u{202e}""#), "{line}");
    relay.end();
}

#[test]
fn a_level_above_info_is_silent_about_members() {
    let mut relay = Serve::start(&["--log", "warn"]);
    let amy = member("amy", &relay);
    let bob = member("bob", &relay);
    amy.recv(&mut [0; 2048]).unwrap();
    drop(bob);
    relay.process.signal("TERM");
    assert_eq!((relay.process.exit_code(), relay.process.err.rest().as_str()), (Some(0), ""));
}

#[test]
fn a_flood_is_cut_counted_and_told() {
    const COMINGS: usize = 1000;
    let relay = Serve::start(&["--lang", "en"]);
    let amy = member("amy", &relay);
    // Each comes and goes before the next: two lines a time.
    let flood = UdpSocket::bind((host(0), 0)).unwrap();
    for number in 0..COMINGS {
        let name = format!("m{number}");
        says(&flood, &relay, &name);
        says(&flood, &relay, &format!("{name} : EXIT"));
        says(&amy, &relay, "amy : still here");
    }
    let mut process = relay.process;
    process.signal("TERM");
    assert_eq!(process.exit_code(), Some(0));
    let log = process.err.rest();
    let audited = log.lines().filter(|line| line.contains(" audit: ")).count();
    let left_out: usize = log.lines().filter(|line| line.contains(" limit: ")).map(count_of_audit).sum();
    let books = process::books::Books::at_end(&process.out.rest());
    let expected = 2 * usize::try_from(books.joined()).unwrap();
    assert_eq!(audited + left_out, expected, "{log}");
    assert!(audited >= LOG_LINES_BURST as usize && left_out > 0, "{audited} {left_out}");
    assert!(audited < expected / 2, "{audited} of {expected}, at {LOG_LINES_PER_S} a second");
}

fn count_of_audit(line: &str) -> usize {
    let count = line.split_once("audit=").unwrap().1.split(' ').next().unwrap();
    count.parse().unwrap()
}
