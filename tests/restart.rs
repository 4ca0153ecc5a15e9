//! Plain members over a restart: the next line of one that was here is a line
//! under its name, and not taken for a name.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod operator;
mod process;

use operator::{Member, Scratch, Steered};
use outcry::blocking::Connection;
use outcry::client::{Event, NotSent, Options, RefusedCause, RoomSpec};
use process::{HANG, until};

fn is_kept(file: &str, name: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("\"{name}\"")))
}

/// Alice and bob talk as if nothing had happened.
fn goes_on(relay: &Steered, alice: &Member, bob: &Member) {
    assert_eq!(relay.json(&["peers"]).len(), 2);
    // A line without a name before it: of a stranger it would be one.
    bob.says("still here");
    alice.hears_at_last("still here");
    alice.says("alice : so am I");
    bob.hears_at_last("alice : so am I");
    let rows = relay.json(&["peers"]);
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alice", "bob"]);
}

#[test]
fn members_survive_a_crash() {
    let scratch = Scratch::new("crash");
    let file = scratch.path("members");
    let mut relay = Steered::start(&scratch, &["--state", &file]);
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    until("the file", || (is_kept(&file, "alice") && is_kept(&file, "bob")).then_some(()));
    let addr = relay.relay.addr.to_string();
    relay.relay.process.kill();
    let relay = Steered::at(&addr, &scratch, &["--state", &file]);
    assert!(relay.relay.process.err.until("members of before").contains("restored=2"));
    goes_on(&relay, &alice, &bob);
    relay.relay.end();
}

#[test]
fn members_survive_a_stop_and_not_those_who_left() {
    let scratch = Scratch::new("stop");
    let file = scratch.path("members");
    let relay = Steered::start(&scratch, &["--state", &file]);
    let (alice, bob, carol) = (relay.joins("alice"), relay.joins("bob"), relay.joins("carol"));
    carol.says("EXIT");
    alice.hears_at_last("carol left");
    let addr = relay.relay.addr.to_string();
    relay.relay.end();
    let relay = Steered::at(&addr, &scratch, &["--state", &file]);
    goes_on(&relay, &alice, &bob);
    // Whoever was banned while the relay was away is not let in again.
    relay.relay.end();
    let bans = scratch.write("bans", "{\"target\":\"bob\",\"since_unix_s\":1}\n");
    let relay = Steered::at(&addr, &scratch, &["--state", &file, "--ban-file", &bans]);
    assert_eq!(relay.json(&["peers"]).len(), 1);
}

#[test]
fn who_was_mute_is_mute() {
    let scratch = Scratch::new("mute");
    let file = scratch.path("members");
    let relay = Steered::start(&scratch, &["--state", &file]);
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    let addr = relay.relay.addr.to_string();
    let mut carol = Connection::open(&addr, Options::new("carol")).unwrap();
    let lobby = carol.join(RoomSpec::lobby()).unwrap();
    alice.hears_at_last("carol joined");
    for name in ["bob", "carol"] {
        relay.does(&["mute", name]);
    }
    let is_mute = |relay: &Steered| {
        let mut rows = relay.json(&["peers"]);
        rows.retain(|row| row["muted"] == true);
        rows.into_iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(is_mute(&relay), ["bob", "carol"]);
    assert!(relay.does(&["peers"]).contains("plain,mute"));
    relay.relay.end();
    let relay = Steered::at(&addr, &scratch, &["--state", &file]);
    assert!(relay.relay.process.err.until("members of before").contains("muted=2"));
    bob.says("bob : psst");
    bob.hears_at_last("[relay] not sent: you are muted");
    carol.send(lobby, b"psst").unwrap();
    let why = until("the refusal", || match carol.receive(HANG).unwrap() {
        Some(Event::NotSent { why, .. }) => Some(why),
        _ => None,
    });
    assert_eq!(why, NotSent::Refused(RefusedCause::Muted));
    assert_eq!(is_mute(&relay), ["bob", "carol"]);
    relay.does(&["unmute", "carol"]);
    carol.send(lobby, b"at last").unwrap();
    alice.hears_at_last("carol : at last");
    assert_eq!(is_mute(&relay), ["bob"]);
}

#[test]
fn a_file_that_is_wrong_or_old_counts_for_nothing_and_is_said_once() {
    let scratch = Scratch::new("wrong");
    let file = scratch.path("members");
    let relay = Steered::start(&scratch, &["--state", &file]);
    let _alice = relay.joins("alice");
    relay.relay.end();
    let good = std::fs::read_to_string(&file).unwrap();
    let other_version = good.replacen(" 2 ", " 1 ", 1);
    for (text, why) in [
        (good.replace("alice", "mallo"), "checksum"),
        (good[..good.len() - 5].to_owned(), "checksum"),
        (other_version, "not one of this version"),
        ("\u{0}\u{1}".to_owned(), "not one of this version"),
        (String::new(), "not one of this version"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let relay = Steered::start(&scratch, &["--state", &file]);
        assert!(relay.relay.process.err.until("nobody of before").contains(why), "{text:?}");
        assert_eq!(relay.json(&["peers"]).len(), 0);
        relay.relay.end();
    }
    // Whoever was silent for so long has left.
    std::fs::write(&file, &good).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let relay = Steered::start(&scratch, &["--state", &file, "--idle", "1s"]);
    assert!(relay.relay.process.err.until("nobody of before").contains("longer than members may be silent"));
}

#[test]
fn a_file_that_cannot_be_written_stops_nobody() {
    let scratch = Scratch::new("nofile");
    let relay = Steered::start(&scratch, &["--state", &scratch.path("nowhere/members")]);
    relay.relay.process.err.until("members are not kept");
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    goes_on(&relay, &alice, &bob);
    relay.relay.end();
}
