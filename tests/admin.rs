//! The HTTP face: who may look, what is seen, that it is what was counted, and
//! that a loop that stands still is told, not waited for.
#![cfg(feature = "admin")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

#[path = "admin/dashboard.rs"]
mod dashboard;
#[path = "admin/deploy.rs"]
mod deploy;
mod process;
mod room;
#[path = "admin/web.rs"]
mod web;

use outcry::blocking::Connection;
use outcry::client::{Event, Options, RoomSpec};
use outcry::server::Server;
use process::{HANG, Running, Serve, until};
use room::{Member, config};
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use web::{Watched, face, fetch, sample, send};

// ---- who may look -----------------------------------------------------------

/// Where the log says that the face is.
fn told(serve: &Serve) -> SocketAddr {
    let line = serve.process.err.until("admin face at http://");
    line.split("http://").nth(1).unwrap().trim_end_matches(['/', '"']).parse().unwrap()
}

fn file(name: &str, text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_port_is_open_only_where_the_flag_says_so() {
    let serve = Serve::start(&["--admin", "127.0.0.1:0"]);
    assert_eq!(fetch(told(&serve), "/healthz").body, "ok\n");
    serve.end();
    let serve = Serve::start(&[]);
    let sockets = format!("/proc/{}/net/tcp", serve.process.id());
    let own = format!("/proc/{}/fd", serve.process.id());
    if let (Ok(sockets), Ok(files)) = (std::fs::read_to_string(sockets), std::fs::read_dir(own)) {
        let files: Vec<_> = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()).collect();
        let inodes = sockets.lines().skip(1).filter_map(|line| line.split_whitespace().nth(9));
        let mut own =
            inodes.filter(|inode| files.iter().any(|file| file.to_str() == Some(&format!("socket:[{inode}]"))));
        assert_eq!(own.next(), None, "no TCP socket is its own");
    }
    serve.end();
}

#[test]
fn other_machines_are_let_in_only_by_a_token() {
    let short = file("short-token", "short\n");
    let public = ["serve", "--bind", "127.0.0.1:0", "--admin", "0.0.0.0:0"];
    for (more, hint) in [(vec![], "--admin-token-file"), (vec!["--admin-token-file", &short], "less than 16 bytes")] {
        let mut refused = Running::outcry(&[&public[..], &more].concat());
        assert_eq!(refused.exit_code(), Some(2));
        let told = refused.err.rest();
        assert!(told.contains(hint), "{told}");
    }
    let token = file("token", "correct horse battery\n");
    let serve = Serve::start(&["--admin", "0.0.0.0:0", "--admin-token-file", &token]);
    let addr = SocketAddr::from(([127, 0, 0, 1], told(&serve).port()));
    for path in ["/metrics", "/api/stats", "/api/peers", "/api/rooms", "/api/slow", "/elsewhere"] {
        assert_eq!(fetch(addr, path).status, 401, "{path}");
        let wrong =
            send(addr, &format!("GET {path} HTTP/1.1"), &["Host: x", "Authorization: Bearer correct horse batterx"]);
        assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, "Bearer"), "{path}");
    }
    let right = ["Host: relay.example", "Authorization: Bearer correct horse battery"];
    assert_eq!(send(addr, "GET /metrics HTTP/1.1", &right).status, 200);
    // What tells nothing is for everyone.
    for path in ["/", "/healthz", "/readyz"] {
        assert_eq!(fetch(addr, path).status, 200, "{path}");
    }
    serve.end();
}

#[test]
fn an_address_that_is_taken_is_a_failure_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let mut refused = Running::outcry(&["serve", "--bind", "127.0.0.1:0", "--admin", &addr]);
    assert_eq!(refused.exit_code(), Some(1));
    let told = refused.err.rest();
    assert!(told.contains("for the admin face") && told.contains(&addr), "{told}");
}

#[test]
fn a_strangers_name_for_this_machine_is_refused() {
    let watched = Watched::start();
    for path in ["/metrics", "/api/peers"] {
        assert_eq!(send(watched.addr, &format!("GET {path} HTTP/1.1"), &["Host: evil.example"]).status, 403);
    }
}

#[test]
fn what_is_not_there_and_what_would_change_something_is_refused() {
    let watched = Watched::start();
    let host = format!("Host: {}", watched.addr);
    assert_eq!(watched.fetch("/elsewhere").status, 404);
    assert_eq!(watched.fetch("/api/peers?limit=many").status, 400);
    assert_eq!(watched.fetch("/api/peers?sort=size").status, 400);
    for method in ["POST", "DELETE", "PUT"] {
        assert_eq!(send(watched.addr, &format!("{method} /api/peers HTTP/1.1"), &[&host]).status, 405);
    }
    assert_eq!(send(watched.addr, "HEAD /metrics HTTP/1.1", &[&host]).status, 200);
}

#[test]
fn more_connections_than_there_are_places_are_answered_in_turn() {
    let watched = Watched::start();
    let idle: Vec<_> = (0..60).map(|_| TcpStream::connect(watched.addr).unwrap()).collect();
    let asked: Vec<_> = (0..20).map(|_| watched.fetch("/healthz").status).collect();
    assert_eq!(asked, [200; 20]);
    drop(idle);
}

// ---- what is seen -----------------------------------------------------------

#[test]
fn the_metrics_are_what_was_counted() {
    let watched = Watched::start();
    let alice = Member::joins(watched.relay.addr, "alice");
    let bob = Member::joins(watched.relay.addr, "bob");
    watched.relay.holds(2);
    for number in 0..20 {
        alice.says(format!("alice : {number}"));
    }
    bob.says("a line with \u{1} in it");
    let report = watched.relay.until("21 more datagrams", |report| report.counters.datagrams_in == 23);
    let answer = until("a fresh page", || {
        let answer = watched.fetch("/metrics");
        (sample(&answer.body, "outcry_datagrams_in_total{protocol=\"plain\"}") == 23.0).then_some(answer)
    });
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let page = &answer.body;
    let expected = [
        ("outcry_members{protocol=\"plain\"}", 2),
        ("outcry_messages_total{protocol=\"plain\"}", 20),
        ("outcry_datagrams_handled_total{outcome=\"relayed\"}", report.counters.relayed),
        ("outcry_drops_total{reason=\"control_character\"}", 1),
        ("outcry_copies_total{outcome=\"offered\"}", report.copies.offered),
        ("outcry_copies_total{outcome=\"sent\"}", report.copies.sent),
        ("outcry_copies_offered_total{to=\"plain\"}", report.copies.offered_plain()),
        ("outcry_joins_total{protocol=\"plain\"}", 2),
        ("outcry_turn_messages_count", report.turn_messages.count),
        ("outcry_sojourn_seconds_count", report.sojourn_ns.count),
        ("outcry_sojourn_seconds_bucket{le=\"+Inf\"}", report.sojourn_ns.count),
    ];
    for (name, count) in expected {
        assert_eq!(sample(page, name), count as f64, "{name}");
    }
    assert!(sample(page, "outcry_resident_memory_bytes") > 1e6 && page.ends_with("# EOF\n"));
}

#[test]
fn the_json_says_the_same_as_the_metrics_and_balances() {
    let watched = Watched::start();
    let alice = Member::joins(watched.relay.addr, "alice");
    let _bob = Member::joins(watched.relay.addr, "bob");
    watched.relay.holds(2);
    alice.says("alice : hi");
    watched.relay.until("the line", |report| report.counters.relayed == 1);
    let stats =
        until("fresh figures", || Some(watched.fetch("/api/stats").json()).filter(|stats| stats["relayed"] == 1));
    let page = watched.fetch("/metrics").body;
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let dropped = number(&stats["drops_total"]);
    assert_eq!(
        number(&stats["datagrams_in"]["total"]),
        number(&stats["relayed"]) + number(&stats["control"]) + dropped
    );
    for (of, name) in [
        (&stats["members"]["plain"], "outcry_members{protocol=\"plain\"}"),
        (&stats["copies"]["sent"], "outcry_copies_total{outcome=\"sent\"}"),
        (&stats["sojourn_ns"]["count"], "outcry_sojourn_seconds_count"),
        (&stats["joined"]["total"], "outcry_joins_total{protocol=\"plain\"}"),
    ] {
        assert_eq!(number(of) as f64, sample(&page, name), "{name}");
    }
    let counts = stats["sojourn_ns"]["counts"].as_array().unwrap();
    assert_eq!(counts.len(), stats["sojourn_ns"]["bounds"].as_array().unwrap().len() + 1);
    assert_eq!(counts.iter().map(number).sum::<u64>(), number(&stats["sojourn_ns"]["count"]));
}

#[test]
fn the_pages_of_the_peers_hold_everyone_once() {
    let watched = Watched::start();
    let members: Vec<_> = (0..45).map(|number| Member::joins(watched.relay.addr, &format!("m{number}"))).collect();
    watched.relay.holds(45);
    members[7].says("m7 : hi");
    members[7].says("m7 : again");
    watched.relay.until("two lines", |report| report.counters.relayed == 2);
    // A list that was seen before somebody came is good for a second.
    until("all members", || (watched.fetch("/api/peers").json()["total"] == 45).then_some(()));
    let mut names = BTreeSet::new();
    for offset in [0, 20, 40, 60] {
        let page = watched.fetch(&format!("/api/peers?offset={offset}&limit=20")).json();
        let peers = page["peers"].as_array().unwrap();
        assert_eq!((page["total"].as_u64(), peers.len()), (Some(45), [20, 20, 5, 0][offset / 20]));
        names.extend(peers.iter().map(|peer| peer["name"].as_str().unwrap().to_owned()));
    }
    assert_eq!(names.len(), 45);
    let talker = until("the talker", || {
        let page = watched.fetch("/api/peers?sort=lines&limit=1").json();
        (page["peers"][0]["lines"] == 2).then(|| page["peers"][0].clone())
    });
    assert_eq!((talker["name"].as_str(), talker["bytes"].as_u64()), (Some("m7"), Some(17)));
    assert_eq!(talker["address"], members[7].addr().to_string());
    assert_eq!(talker["protocol"], "plain");
}

#[test]
fn rooms_and_native_members_are_seen() {
    let watched = Watched::start();
    let mut connection = Connection::open(&watched.relay.addr.to_string(), Options::new("alice")).unwrap();
    for spec in [RoomSpec::lobby(), RoomSpec::open("tea")] {
        connection.join(spec).unwrap();
        while !matches!(connection.receive(HANG).unwrap(), Some(Event::Joined { .. })) {}
    }
    let rooms = until("two rooms", || Some(watched.fetch("/api/rooms").json()).filter(|rooms| rooms["total"] == 2));
    assert_eq!(rooms["rooms"][1]["name"], "tea");
    assert_eq!((rooms["rooms"][1]["members"].as_u64(), rooms["rooms"][1]["slow"].as_u64()), (Some(1), Some(0)));
    let stats = watched.fetch("/api/stats").json();
    assert_eq!((stats["members"]["native"].as_u64(), stats["rooms"].as_u64()), (Some(1), Some(2)));
    assert!(stats["datagrams_in"]["native"].as_u64() >= Some(3));
    assert_eq!(stats["datagrams_in"]["plain"], 0);
    // What is said to a room is for the members of both protocols, each in its own form.
    let before = watched.fetch("/api/stats").json()["copies"]["offered_to"].clone();
    let bob = Member::joins(watched.relay.addr, "bob");
    watched.relay.holds(2);
    bob.says("bob : hi");
    let after = until("the copies", || {
        let stats = watched.fetch("/api/stats").json();
        (stats["messages"]["plain"] == 1).then(|| stats["copies"]["offered_to"].clone())
    });
    assert_eq!((before["plain"].as_u64(), after["plain"].as_u64()), (Some(0), Some(0)), "bob does not hear himself");
    assert!(after["native"].as_u64() > before["native"].as_u64(), "{before} {after}");
    assert_eq!(watched.fetch("/api/slow").json()["total"], 0);
}

#[test]
fn a_loop_that_stands_still_is_told_and_not_waited_for() {
    // It never turns.
    let server = Server::bind(&config(|_| {})).unwrap();
    let (addr, serving) = face(&server);
    assert_eq!(fetch(addr, "/healthz").status, 200);
    for path in ["/readyz", "/metrics", "/api/stats", "/api/rooms"] {
        assert_eq!(fetch(addr, path).status, 503, "{path}");
    }
    // Who is here is known without it.
    assert_eq!(fetch(addr, "/api/peers").json()["total"], 0);
    drop(serving);
    assert!(TcpStream::connect(addr).is_err(), "it ends when it is dropped");
}

#[test]
fn what_was_asked_before_the_end_is_answered_after_it() {
    let watched = Watched::start();
    let addr = watched.addr;
    assert_eq!(fetch(addr, "/readyz").status, 200);
    let Watched { relay, serving: _serving, .. } = watched;
    relay.end();
    until("not ready", || (fetch(addr, "/readyz").status == 503).then_some(()));
}
