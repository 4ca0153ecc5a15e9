//! Plain members over a restart: the next line of one that was here is a line
//! under its name, and not taken for a name.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod operator;
mod process;

use operator::{Member, Scratch, Steered};
use process::until;

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
fn a_file_that_is_wrong_or_old_counts_for_nothing_and_is_said_once() {
    let scratch = Scratch::new("wrong");
    let file = scratch.path("members");
    let relay = Steered::start(&scratch, &["--state", &file]);
    let _alice = relay.joins("alice");
    relay.relay.end();
    let good = std::fs::read_to_string(&file).unwrap();
    let version_2 = good.replacen(" 1 ", " 2 ", 1);
    for (text, why) in [
        (good.replace("alice", "mallo"), "checksum"),
        (good[..good.len() - 5].to_owned(), "checksum"),
        (version_2, "not one of this version"),
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
