//! `loadgen floor`: counts what both send, and refuses what would compare
//! different things. Times are the machine's and are not asserted.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use loadgen::mock::{Faults, Mock};
use std::process::{Command, Output};

fn floor(mock: &Mock, more: &[&str]) -> Output {
    let (target, pid) = (mock.address().to_string(), std::process::id().to_string());
    let own = ["floor", "--target", &target, "--server-pid", &pid, "--clients", "50", "-o", "json"];
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(own).args(more).output().unwrap()
}

/// One after the other: the process whose time is looked at is this one.
#[test]
fn the_floor_of_a_server_in_this_process() {
    both_reach_every_member_in_turns();
    copies_that_a_server_does_not_send_are_told();
    a_bound_is_an_exit_code_and_sockets_of_their_own_are_refused();
}

fn both_reach_every_member_in_turns() {
    let mock = Mock::start(Faults::default()).unwrap();
    let output = floor(&mock, &["--sockets", "shared:2", "--rounds", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["copies"], &found["size"]), (&49.into(), &64.into()));
    let rounds = found["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    assert!(rounds.iter().all(|round| round["lost"] == 0 && round["floor_ns"].as_f64() > Some(0.0)), "{found}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("ratio").count(), 2, "{said}");
}

fn copies_that_a_server_does_not_send_are_told() {
    let mock = Mock::start(Faults { drop: 0.5, ..Faults::default() }).unwrap();
    let output = floor(&mock, &["--rounds", "1"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["rounds"].as_array().unwrap().iter().all(|round| round["lost"].as_u64() > Some(0)), "{found}");
}

fn a_bound_is_an_exit_code_and_sockets_of_their_own_are_refused() {
    let mock = Mock::start(Faults::default()).unwrap();
    assert_eq!(floor(&mock, &["--at-most", "0.0001", "--rounds", "1"]).status.code(), Some(1));
    let refused = floor(&mock, &["--sockets", "per-client"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--sockets shared:16"));
}
