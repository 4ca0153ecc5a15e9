//! Settings read again while the relay runs: what changes at once, what needs
//! a restart, and that a wrong file changes nothing.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod operator;
mod process;

use operator::{Member, Scratch, Steered};
use process::until;
use serde_json::json;

#[test]
fn what_can_change_does_and_the_rest_is_named() {
    let scratch = Scratch::new("reload");
    let bans = scratch.path("bans");
    let file = scratch.write("relay.toml", "msg-rate = 0\n");
    let relay = Steered::start(&scratch, &["--config", &file]);
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    assert_eq!(relay.does(&["reload"]), "changed: nothing; needs a restart: nothing\n");
    scratch.write(
        "relay.toml",
        &format!(
            "msg-rate = 1\nlang = 'zh'\nidle = '2h'\nmax-peers = 7\nrcvbuf = '1M'\nlog = 'debug'\nban-file = {bans:?}\n"
        ),
    );
    let [answer] = &relay.json(&["reload"])[..] else { panic!() };
    assert_eq!(answer["changed"], json!(["ban-file", "idle", "log", "msg-rate"]), "a flag wins over lang");
    assert_eq!(answer["restart"], json!(["max-peers", "rcvbuf"]));
    let [again] = &relay.json(&["reload"])[..] else { panic!() };
    assert_eq!((&again["changed"], &again["restart"]), (&json!([]), &answer["restart"]), "still so");
    bob.says("bob : one");
    bob.says("bob : two");
    bob.hears_at_last("[relay] not sent: too fast");
    alice.hears_at_last("bob : one");
    // The file is in force: bans go there, and come from there.
    relay.does(&["ban", "add", "192.0.2.7"]);
    assert!(std::fs::read_to_string(&bans).unwrap().contains("192.0.2.7"));
    scratch.write("bans", "{\"target\":\"bob\",\"since_unix_s\":1,\"reason\":\"by hand\"}\n");
    relay.does(&["reload"]);
    bob.hears_at_last("[relay] you were banned by the operator");
    assert_eq!(relay.json(&["ban", "list"]).len(), 1);
}

#[test]
fn a_wrong_file_changes_nothing_and_says_where_it_is_wrong() {
    let scratch = Scratch::new("badload");
    let file = scratch.write("relay.toml", "msg-rate = 0\n");
    let bans = scratch.path("bans");
    let relay = Steered::start(&scratch, &["--config", &file, "--ban-file", &bans]);
    let (_alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    let is_refused = |text: &str, hints: &[&str]| {
        scratch.write("relay.toml", text);
        let said = relay.ctl(&["reload"]);
        assert!(said.code == 1 && hints.iter().all(|hint| said.err.contains(hint)), "{text:?}: {said:?}");
    };
    is_refused("msg-rate = 1\nidle = '90'\n", &["line 2", "idle", "90s, 5m or 2h"]);
    is_refused("msg-rate = 1\nidel = '90s'\n", &["line 2", "idel"]);
    is_refused("msg-rate = 1\naccess-key-file = '/nonexistent'\n", &["/nonexistent"]);
    scratch.write("bans", "nonsense\n");
    is_refused("msg-rate = 1\n", &["line 1", "bans"]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(relay.ctl(&["reload"]).code, 1);
    for number in 0..20 {
        bob.says(&format!("bob : {number}"));
    }
    until("all that was said", || (relay.json(&["stats"])[0]["relayed"] == 20).then_some(()));
}

#[test]
fn a_hangup_reloads_and_the_log_says_what_came_of_it() {
    let scratch = Scratch::new("hup");
    let file = scratch.write("relay.toml", "");
    let relay = Steered::start(&scratch, &["--config", &file]);
    scratch.write("relay.toml", "plain = 'off'\nbind = '127.0.0.1:1'\nmax-rooms = 5\n");
    relay.relay.process.signal("HUP");
    let line = relay.relay.process.err.until("reloaded");
    assert!(line.contains("changed=\"plain\"") && line.contains("restart=\"max-rooms\""), "{line}");
    let late = Member::new(relay.relay.addr);
    late.says("late");
    until("the drop", || (relay.json(&["stats"])[0]["dropped"]["plain_off"] == 1).then_some(()));
    scratch.write("relay.toml", "plain = 'opne'\n");
    relay.relay.process.signal("HUP");
    assert!(relay.relay.process.err.until("nothing was changed").contains("ERROR"));
    relay.relay.end();
}

#[test]
fn the_log_can_be_more_or_less() {
    let scratch = Scratch::new("log");
    let relay = Steered::start(&scratch, &["--log", "off"]);
    relay.joins("unheard");
    assert_eq!(relay.does(&["log", "info"]), "logged from now on: info\n");
    relay.joins("heard");
    assert!(
        relay.relay.process.err.next().is_some_and(|line| String::from_utf8_lossy(&line).contains("name=\"heard\""))
    );
    assert_eq!(relay.ctl(&["log", "all"]).code, 2);
    let said = relay.ctl(&["reload"]);
    assert!(said.code == 1 && said.err.contains("--config FILE"), "{said:?}");
}
