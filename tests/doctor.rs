//! `outcry doctor` from outside, on the machine that the tests run on: its
//! form, its exit codes, and what must pass wherever the relay's tests do.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

use serde_json::Value;
use std::process::{Command, Stdio};

const LEVELS: [&str; 3] = ["ok", "warning", "fault"];

/// Exit code and stdout.
#[track_caller]
fn doctor(args: &[&str]) -> (usize, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcry"));
    let output = command.arg("doctor").args(args).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap();
    let code = output.status.code().unwrap();
    (usize::try_from(code).unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[track_caller]
fn json(args: &[&str]) -> (usize, Value) {
    let (code, text) = doctor(&[args, &["--json"]].concat());
    (code, serde_json::from_str(&text).unwrap())
}

/// The level of a check, by its place in `LEVELS`.
#[track_caller]
fn level(value: &Value) -> usize {
    LEVELS.iter().position(|level| value == level).unwrap_or_else(|| panic!("{value}"))
}

#[track_caller]
fn finding<'a>(found: &'a Value, check: &str) -> &'a Value {
    let findings = found["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{check}: {found:#}"))
}

#[test]
fn trains_pass_over_loopback_and_the_exit_code_is_the_worst_level() {
    let (code, found) = json(&[]);
    let findings = found["findings"].as_array().unwrap();
    assert_eq!(code, level(&found["level"]));
    assert_eq!(code, findings.iter().map(|finding| level(&finding["level"])).max().unwrap());
    for finding in findings {
        assert!(
            !finding["says"].as_str().unwrap().is_empty() && (finding["mend"].is_null() || finding["mend"].is_string())
        );
    }
    for check in ["ipv4", "gso", "gro", "route"] {
        assert_eq!(finding(&found, check)["level"], "ok", "{found:#}");
    }
    for check in
        ["files", "rmem_max", "wmem_max", "rcvbuf", "sndbuf", "ipv6", "v4-mapped", "qdisc", "conntrack", "clock"]
    {
        finding(&found, check);
    }
}

#[test]
fn people_get_a_line_for_each_finding_and_what_mends_it_below() {
    let (_, text) = doctor(&[]);
    let lines: Vec<_> = text.lines().collect();
    assert!(!text.contains('\x1b'), "NO_COLOR: {text:?}");
    let (last, findings) = lines.split_last().unwrap();
    assert!(last.contains(" warnings, ") && last.ends_with(" faults"), "{last}");
    for line in findings {
        let first = line.split_whitespace().next().unwrap();
        assert!(LEVELS.contains(&first) || first == "mend:", "{line}");
    }
}

#[test]
fn the_configuration_says_what_is_asked_for() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor.toml");
    std::fs::write(&path, "rcvbuf = 5000\nsndbuf = '8K'\n").unwrap();
    let (_, found) = json(&["--config", path.to_str().unwrap()]);
    for check in ["rmem_max", "wmem_max", "rcvbuf", "sndbuf"] {
        assert_eq!(finding(&found, check)["level"], "ok", "{found:#}");
    }
    assert!(finding(&found, "rmem_max")["says"].as_str().unwrap().ends_with("5000 are asked for"), "{found:#}");
    std::fs::write(&path, "rcvbuf = 1\n").unwrap();
    assert_eq!(doctor(&["--config", path.to_str().unwrap()]), (2, String::new()));
}

/// An address of this host, so that nothing leaves it.
#[test]
fn the_way_to_another_address_is_tried_by_a_train() {
    let (_, loopback) = json(&["127.8.9.10:9999"]);
    assert!(finding(&loopback, "route")["says"].as_str().unwrap().starts_with("127.8.9.10 is reached by lo"));
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Connecting sends nothing: it only picks a source address.
    if socket.connect("192.0.2.1:9").is_err() {
        println!("SKIPPED the doctor's train towards an address: this host has none but loopback");
        return;
    }
    let own = socket.local_addr().unwrap().ip().to_string();
    let (_, found) = json(&[&own]);
    let train = finding(&found, "gso-route");
    assert_eq!(train["level"], "ok", "{found:#}");
    assert!(train["says"].as_str().unwrap().contains("2 datagrams of 1232 zeros to port 9"), "{train}");
}

#[test]
fn what_is_no_host_is_a_wrong_flag() {
    for addr in ["localhost", "0.0.0.0", "224.0.0.1", "fe80::1"] {
        assert_eq!(doctor(&[addr]), (2, String::new()), "{addr}");
    }
}
