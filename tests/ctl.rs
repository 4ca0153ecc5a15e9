//! The operator's socket from outside: real relays, real `outcry ctl`, real
//! members. What it says to people and to programs, and that bans outlive the
//! relay. Asserts no times.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod operator;
mod process;

use operator::{Member, Scratch, Steered, ctl, is_there};
use outcry::blocking::Connection;
use outcry::client::{Code, End, Event, Options, RoomSpec};
use outcry::config::{Config, LogLevel};
use outcry::control::{Ask, Client, Prepared, Reloaded, Surroundings};
use outcry::server::Server;
use process::{HANG, Running, Serve, host, until};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

/// A native member of the lobby.
fn native(relay: &Steered, name: &str) -> Connection {
    let mut connection = Connection::open(&relay.relay.addr.to_string(), Options::new(name)).unwrap();
    connection.join(RoomSpec::lobby()).unwrap();
    while !matches!(connection.receive(HANG).unwrap(), Some(Event::Joined { .. })) {}
    connection
}

/// What its connection ends with.
fn end_of(connection: &mut Connection) -> End {
    loop {
        if let Ok(Some(Event::Closed { why, .. })) = connection.receive(HANG) {
            return why;
        }
    }
}

#[test]
fn members_and_rooms_are_listed_for_people_and_for_programs() {
    let scratch = Scratch::new("lists");
    let relay = Steered::start(&scratch, &[]);
    assert_eq!(relay.does(&["peers"]), "nobody is here\n");
    let alice = relay.joins("alice");
    alice.says("alice : hi");
    let mut bob = native(&relay, "bob\u{202e}");
    bob.join(RoomSpec::open("den")).unwrap();
    while !matches!(bob.receive(HANG).unwrap(), Some(Event::Joined { .. })) {}
    let rows = until("the line to be counted", || {
        let rows = relay.json(&["peers"]);
        (rows[0]["lines"] == 1 && rows.len() == 2).then_some(rows)
    });
    assert_eq!(rows[0]["address"], alice.at().to_string());
    assert_eq!((&rows[0]["name"], &rows[0]["protocol"]), (&json!("alice"), &json!("plain")));
    assert_eq!(rows[1]["protocol"], "native");
    let table = relay.does(&["peers"]);
    assert!(table.starts_with("ADDRESS") && table.contains("alice") && !table.contains('\u{202e}'), "{table}");
    assert_eq!(relay.json(&["top", "--count", "1"])[0]["name"], "alice");
    let rooms = relay.json(&["rooms"]);
    let names: Vec<_> =
        rooms.iter().map(|room| (room["name"].as_str().unwrap(), room["members"].as_u64().unwrap())).collect();
    assert_eq!(names, [("lobby", 2), ("den", 1)]);
    assert!(relay.does(&["rooms"]).contains("den"));
    assert!(relay.does(&["stats"]).contains("datagrams ="));
    assert_eq!(relay.json(&["stats"])[0]["members"], 2);
}

#[test]
fn statistics_can_be_watched() {
    let scratch = Scratch::new("watch");
    let relay = Steered::start(&scratch, &[]);
    let watching = Running::outcry(&["ctl", "--control", &relay.socket, "stats", "--watch=100ms"]);
    assert!(watching.out.until("members").contains("p99"));
    for _ in 0..2 {
        assert!(watching.out.next().is_some_and(|line| line.ends_with(b"s")));
    }
}

#[test]
fn a_member_is_kicked_muted_and_heard_again() {
    let scratch = Scratch::new("kick");
    let relay = Steered::start(&scratch, &[]);
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    let mut carol = native(&relay, "carol");
    assert_eq!(relay.does(&["mute", "bob", "--reason", "shouting"]), format!("{} is mute\n", bob.at()));
    relay.relay.process.err.until("reason=\"shouting\"");
    bob.says("bob : hi");
    bob.hears_at_last("[relay] not sent: you are muted");
    relay.does(&["unmute", &bob.at().to_string()]);
    bob.says("bob : hi again");
    alice.hears_at_last("bob : hi again");
    relay.does(&["kick", "bob", "--reason", "spam"]);
    assert!(relay.relay.process.err.until("spam").contains("kicked by the operator"));
    bob.hears_at_last("[relay] you were removed by the operator");
    relay.does(&["kick", "carol"]);
    assert_eq!(end_of(&mut carol), End::Code(Code::Kicked));
    let said = relay.ctl(&["kick", "carol"]);
    assert!(said.code == 1 && said.err.contains("outcry ctl peers"), "{said:?}");
    assert_eq!(relay.does(&["say", "be", "kind"]), "said to 1 member\n");
    alice.hears_at_last("[relay] be kind");
}

#[test]
fn bans_outlive_the_relay_and_its_crash() {
    let scratch = Scratch::new("bans");
    let file = scratch.path("bans");
    let args = ["--ban-file", &file];
    let mut relay = Steered::start(&scratch, &args);
    let mallory = relay.joins("mallory");
    let mut eve = native(&relay, "eve");
    let told = relay.does(&["ban", "add", "mallory", "--for", "1h", "--reason", "flood"]);
    assert_eq!(told, "mallory is banned, which removes 1 member\n");
    mallory.hears_at_last("[relay] you were banned by the operator");
    relay.does(&["ban", "add", "eve"]);
    assert_eq!(end_of(&mut eve), End::Code(Code::Banned));
    relay.does(&["ban", "add", "2001:db8::/32"]);
    relay.relay.process.kill();
    // A crash in the middle of the next write.
    scratch.write(".bans.new", "{\"target\":\"all");
    let relay = Steered::start(&scratch, &args);
    let bans = relay.json(&["ban", "list"]);
    let targets: Vec<_> = bans.iter().map(|ban| ban["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["mallory", "eve", "2001:db8::/32"]);
    assert_eq!((&bans[0]["reason"], bans[1]["until_unix_s"].is_null()), (&json!("flood"), true));
    let table = relay.does(&["ban", "list"]);
    assert!(table.contains("ENDS IN") && table.contains("never") && table.contains("flood"), "{table}");
    let again = Member::new(relay.relay.addr);
    again.says("Mallory");
    let eve = Connection::open(&relay.relay.addr.to_string(), Options::new("eve")).err().expect("no session");
    assert!(eve.to_string().contains("banned"), "{eve}");
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    relay.does(&["ban", "del", "MALLORY"]);
    again.says("Mallory");
    until("mallory", || (relay.json(&["peers"]).len() == 1).then_some(()));
    let books = relay.relay.end();
    assert!(books.dropped_for("banned") >= 2, "{books:?}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("mallory"));
}

#[test]
fn a_relay_does_not_start_without_its_bans() {
    let scratch = Scratch::new("badbans");
    let file = scratch.write("bans", "# bans\n{\"target\":\"192.0.2.0/40\",\"since_unix_s\":1}\n");
    let mut relay = Running::outcry(&["serve", "--bind", "127.0.0.1:0", "--control", "none", "--ban-file", &file]);
    assert_eq!(relay.exit_code(), Some(2));
    let err = relay.err.rest();
    assert!(err.contains("line 2") && err.contains("192.0.2.0/40"), "{err}");
}

#[test]
fn a_ban_that_cannot_be_kept_is_told() {
    let scratch = Scratch::new("nobans");
    let file = scratch.path("nowhere/bans");
    let relay = Steered::start(&scratch, &["--ban-file", &file]);
    let said = relay.ctl(&["ban", "add", "192.0.2.7"]);
    assert!(
        said.code == 1 && said.err.contains("in force until the relay ends") && said.err.contains(&file),
        "{said:?}"
    );
    assert_eq!(relay.json(&["ban", "list"]).len(), 1);
    for wrong in ["192.0.2.0/33", "a : b", "[relay] x"] {
        assert_eq!(relay.ctl(&["ban", "add", wrong]).code, 1, "{wrong}");
    }
    assert_eq!(relay.ctl(&["ban", "del", "198.51.100.1"]).code, 1);
}

#[test]
fn a_lockdown_holds_until_it_is_lifted() {
    let scratch = Scratch::new("lock");
    let relay = Steered::start(&scratch, &[]);
    let alice = relay.joins("alice");
    relay.does(&["lockdown", "on"]);
    let bob = Member::new(relay.relay.addr);
    bob.says("bob");
    until("the drop", || (relay.json(&["stats"])[0]["dropped"]["lockdown"] == 1).then_some(()));
    relay.does(&["lockdown", "off"]);
    bob.says("bob");
    alice.hears_at_last("bob joined");
}

#[test]
fn what_the_operator_did_is_in_the_log_whatever_comes_and_goes() {
    let scratch = Scratch::new("told");
    let steered = Steered::start(&scratch, &[]);
    let (amy, flood) = (steered.joins("amy"), UdpSocket::bind((host(0), 0)).unwrap());
    let Steered { relay, socket } = steered;
    for number in 0..1000 {
        flood.send_to(format!("m{number}").as_bytes(), relay.addr).unwrap();
        flood.send_to(format!("m{number} : EXIT").as_bytes(), relay.addr).unwrap();
        amy.says("amy : still here");
    }
    assert_eq!(ctl(&socket, &["ban", "add", "troll", "--reason", "spam"]).code, 0);
    let mut process = relay.process;
    process.signal("TERM");
    assert_eq!(process.exit_code(), Some(0));
    let log = process.err.rest();
    assert!(log.contains("log lines left out"), "it was a flood: {log}");
    assert!(
        log.lines().any(|line| line.contains("banned") && line.contains("troll") && line.contains("spam")),
        "{log}"
    );
}

// ---- the socket ---------------------------------------------------------------------------

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_relay() {
    let scratch = Scratch::new("sock");
    let relay = Steered::start(&scratch, &[]);
    assert_eq!(std::fs::metadata(&relay.socket).unwrap().mode() & 0o777, 0o600);
    let mut second = Running::outcry(&["serve", "--bind", "127.0.0.1:0", "--control", &relay.socket]);
    assert_eq!(second.exit_code(), Some(1));
    assert!(second.err.rest().contains("another relay listens"), "two relays, one socket");
    let Steered { relay, socket } = relay;
    relay.end();
    assert!(!is_there(&socket));
    let said = ctl(&socket, &["peers"]);
    assert!(said.code == 3 && said.err.contains("--control PATH"), "{said:?}");
}

#[test]
fn both_find_the_same_socket_by_themselves() {
    let scratch = Scratch::new("auto");
    let mut serve = process::outcry(&["serve", "--bind", &format!("{}:0", host(0))]);
    let relay = Serve::from(Running::start(serve.env("RUNTIME_DIRECTORY", &scratch.0)));
    assert!(is_there(&scratch.path("ctl.sock")));
    let output = process::outcry(&["ctl", "peers"]).env("RUNTIME_DIRECTORY", &scratch.0).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "nobody is here\n");
    // One more here does without, and says so.
    let mut serve = process::outcry(&["serve", "--bind", &format!("{}:0", host(0))]);
    let second = Serve::from(Running::start(serve.env("RUNTIME_DIRECTORY", &scratch.0)));
    second.process.err.until("another relay listens");
    second.end();
    assert!(is_there(&scratch.path("ctl.sock")));
    relay.end();
}

/// Sends bytes as they are; what is answered, line by line.
fn raw(relay: &Steered, bytes: &[u8]) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(&relay.socket).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    _ = stream.write_all(bytes);
    BufReader::new(stream)
}

fn line(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line
}

#[test]
fn what_is_no_request_is_answered_and_what_is_too_long_ends() {
    let scratch = Scratch::new("raw");
    let relay = Steered::start(&scratch, &[]);
    let mut stream =
        raw(&relay, b"nonsense\n{\"do\":\"fly\"}\n{\"do\":\"peers\"}\n{\"do\":\"log\",\"level\":\"all\"}\n");
    for expected in ["failed", "failed", "done", "failed"] {
        let line = line(&mut stream);
        assert!(line.starts_with(&format!("{{\"{expected}\"")), "{line}");
    }
    let mut stream = raw(&relay, &[b'x'; 10_000]);
    assert!(line(&mut stream).contains("at most 4096 bytes"));
    // Closed; what it had not read may reset the connection.
    assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    assert_eq!(relay.does(&["peers"]), "nobody is here\n", "others are served");
}

#[test]
fn many_clients_that_say_nothing_are_turned_away_and_served_when_there_is_room() {
    let scratch = Scratch::new("many");
    let relay = Steered::start(&scratch, &[]);
    let silent: Vec<_> = (0..40).map(|_| raw(&relay, b"")).collect();
    until("one too many", || relay.ctl(&["peers"]).err.contains("too many clients").then_some(()));
    drop(silent);
    until("room", || (relay.ctl(&["peers"]).code == 0).then_some(()));
}

#[test]
fn a_client_that_reads_nothing_holds_up_nobody() {
    let scratch = Scratch::new("slow");
    let relay = Steered::start(&scratch, &[]);
    let members: Vec<_> = (0..300).map(|_| Member::new(relay.relay.addr)).collect();
    members.iter().enumerate().for_each(|(number, member)| member.says(&format!("{number:0>60}")));
    until("the members", || (relay.json(&["stats"])[0]["members"] == 300).then_some(()));
    let asks = b"{\"do\":\"peers\"}\n".repeat(200);
    let mut slow = raw(&relay, &asks);
    assert_eq!(relay.json(&["peers"]).len(), 300);
    let done = (0..200 * 301).filter(|_| line(&mut slow).starts_with("{\"done\"")).count();
    assert_eq!(done, 200, "and has its answers when it reads");
}

/// What `control` needs of a program, of which there is none here.
struct NoProgram;

impl Surroundings for NoProgram {
    fn read(&mut self) -> Result<Reloaded, String> {
        Err("no file".to_owned())
    }
    fn changed(&mut self, _: &Config) {}
    fn log(&mut self, _: LogLevel) {}
    fn draining(&mut self, _: usize) {}
    fn stopping(&mut self) {}

    fn is_watched(&self) -> bool {
        false
    }

    fn admin(&self) -> Option<std::os::fd::OwnedFd> {
        None
    }
}

/// A loop that never turns cannot be stalled by who is listed.
#[test]
fn to_list_10000_members_takes_no_part_of_the_loop() {
    let scratch = Scratch::new("noloop");
    let config = Config::for_bind("127.0.0.1:0".parse().unwrap());
    let mut server = Server::bind(&config).unwrap();
    let names: Vec<_> = (0..10_000).map(|number| format!("member {number}")).collect();
    let members = names.iter().zip(10_000..).map(|(name, port)| (([192, 0, 2, 1], port).into(), name.as_str()));
    assert_eq!(server.restore(members), 10_000);
    let mut prepared = Prepared::new(&config).unwrap();
    let path = scratch.0.join("ctl.sock");
    prepared.listen(&path).unwrap();
    let control = prepared.start(&server, Box::new(NoProgram));
    let mut client = Client::connect(&path).unwrap();
    for ask in [Ask::Peers {}, Ask::Top { count: 10_000 }] {
        let mut rows = 0;
        client
            .ask(&ask, |_| {
                rows += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(rows, 10_000, "{ask:?}");
    }
    assert!(client.ask(&Ask::Reload {}, |_| Ok(())).is_err());
    control.end();
    assert!(!path.exists());
}
