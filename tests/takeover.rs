//! A relay that another process takes over while its members talk: they notice
//! nothing. Whatever goes wrong with the other process, the first one goes on.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod operator;
mod process;

use operator::{Member, Scratch, Steered};
use outcry::blocking::Connection;
use outcry::client::{Event, Options, RoomId, RoomSpec};
use outcry::config;
use outcry::control::Claim;
use process::{Deadline, HANG, Running, Serve, outcry};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// A relay in the place of `steered`'s, whose process has ended.
#[track_caller]
fn taken_over(mut steered: Steered, args: &[&str]) -> Steered {
    let socket = steered.socket.clone();
    let next = Running::outcry(&[&["serve", "--lang", "en", "--takeover", &socket], args].concat());
    let next = Steered { relay: Serve::from(next), socket };
    assert_eq!(next.relay.addr, steered.relay.addr);
    assert_eq!(steered.relay.process.exit_code(), Some(0), "{}", steered.relay.process.err.rest());
    steered.relay.process.err.until("handed over to another process");
    process::books::Books::at_end(&steered.relay.process.out.rest());
    next
}

/// A takeover that fails, after which the first relay is as it was.
#[track_caller]
fn fails(steered: &Steered, args: &[&str], why: &str) {
    let mut next = Running::outcry(&[&["serve", "--takeover", &steered.socket], args].concat());
    assert_eq!(next.exit_code(), Some(1));
    let err = next.err.rest();
    assert!(err.contains(why) && next.out.rest().is_empty(), "{err}");
}

/// A native member that writes down what it is told.
struct Native {
    connection: Connection,
    lobby: RoomId,
    seqs: Vec<u64>,
    heard: Vec<String>,
}

impl Native {
    fn joins(relay: SocketAddr, name: &str, history: u32) -> Self {
        let connection = Connection::open(&relay.to_string(), Options::new(name)).unwrap();
        let lobby = connection.join(RoomSpec::lobby().with_history(history)).unwrap();
        let mut native = Self { connection, lobby, seqs: Vec::new(), heard: Vec::new() };
        while !native.receive(HANG, |event| matches!(event, Event::Joined { .. })) {}
        native
    }

    fn says(&self, text: &str) {
        self.connection.send(self.lobby, text.as_bytes()).unwrap();
    }

    /// Takes in one event; whether it is `wanted`.
    #[track_caller]
    fn receive(&mut self, wait: Duration, wanted: impl Fn(&Event<'_>) -> bool) -> bool {
        let Some(event) = self.connection.receive(wait).unwrap() else { return false };
        match &event {
            Event::Message(message) => {
                self.seqs.push(message.seq.0);
                self.heard.push(String::from_utf8(message.payload.to_vec()).unwrap());
            }
            Event::Presence(presence) => self.seqs.push(presence.seq.0),
            Event::Reconnecting { .. } | Event::Gap { .. } | Event::Closed { .. } | Event::NotSent { .. } => {
                panic!("it was noticed: {event:?}")
            }
            _ => {}
        }
        wanted(&event)
    }

    #[track_caller]
    fn hears_at_last(&mut self, text: &str) {
        let deadline = Deadline::after(HANG);
        while !self.heard.iter().any(|heard| heard == text) {
            assert!(!deadline.left().is_zero(), "in vain: {text}; {:?}", self.heard);
            self.receive(Duration::from_millis(50), |_| false);
        }
    }

    /// Every number came once, in order.
    #[track_caller]
    fn missed_nothing(&self) {
        let holes = self.seqs.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count();
        assert_eq!(holes, 0, "{:?}", self.seqs);
    }
}

#[test]
fn members_of_both_protocols_notice_nothing_of_five_takeovers() {
    let scratch = Scratch::new("five");
    let mut relay = Steered::start(&scratch, &[]);
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    let (mut nora, mut nils) = (Native::joins(relay.relay.addr, "nora", 0), Native::joins(relay.relay.addr, "nils", 0));
    alice.says("alice : before");
    nora.hears_at_last("before");
    let before = relay.json(&["peers"]);
    for round in 0..5 {
        relay = taken_over(relay, &[]);
        assert_eq!(before.len(), relay.json(&["peers"]).len());
        // No name before it: of somebody who had to join again it would be one.
        bob.says(&format!("plain {round}"));
        nora.says(&format!("native {round}"));
        for native in [&mut nora, &mut nils] {
            native.hears_at_last(&format!("plain {round}"));
            native.hears_at_last(&format!("native {round}"));
        }
        alice.hears_at_last(&format!("nora : native {round}"));
    }
    for native in [&nora, &nils] {
        native.missed_nothing();
        assert_eq!(native.heard.iter().filter(|text| text.contains("native")).count(), 5);
    }
    // Who comes now hears what was said before the first one.
    let mut late = Native::joins(relay.relay.addr, "late", 100);
    late.hears_at_last("before");
    late.hears_at_last("plain 4");
    let stats = &relay.json(&["stats"])[0];
    assert_eq!(
        (stats["members"].as_u64(), stats["joined"].as_u64(), stats["left"]["shutdown"].as_u64()),
        (Some(5), Some(5), Some(0))
    );
    let spoke = relay.json(&["peers"]).iter().find(|row| row["name"] == "bob").unwrap()["lines"].clone();
    assert_eq!(spoke, 5, "what members said goes on being counted");
    relay.relay.end();
}

/// Says numbered lines, quickly, until it is told to stop.
struct Talker {
    said: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Talker {
    fn start(mut say: impl FnMut(usize) + Send + 'static) -> Self {
        let (said, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&said), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Relaxed) {
                say(count.fetch_add(1, Relaxed));
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { said, stop, thread }
    }

    fn stop(self) -> usize {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap();
        self.said.load(Relaxed)
    }
}

#[test]
fn what_is_said_while_it_is_handed_over_comes_once_and_in_order() {
    let scratch = Scratch::new("while");
    let mut relay = Steered::start(&scratch, &[]);
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    let mut nils = Native::joins(relay.relay.addr, "nils", 0);
    let mut nora = Native::joins(relay.relay.addr, "nora", 0);
    let (speaker, lobby) = (nora.connection.speaker(), nora.lobby);
    let plain = Talker::start(move |number| alice.says(&format!("alice : p{number}")));
    let native = Talker::start(move |number| {
        speaker.send(lobby, format!("n{number}").as_bytes()).unwrap();
    });
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let driver = std::thread::spawn(move || {
        while !stopped.load(Relaxed) {
            nora.receive(Duration::from_millis(10), |_| false);
        }
        nora
    });
    for _ in 0..3 {
        relay = taken_over(relay, &[]);
    }
    let (plain, native) = (plain.stop(), native.stop());
    let expected = |of: char, count: usize| (0..count).map(|number| format!("{of}{number}")).collect::<Vec<_>>();
    nils.hears_at_last(&format!("p{}", plain - 1));
    nils.hears_at_last(&format!("n{}", native - 1));
    let told = |of: char| nils.heard.iter().filter(|text| text.starts_with(of)).cloned().collect::<Vec<_>>();
    assert_eq!((told('p'), told('n')), (expected('p', plain), expected('n', native)));
    nils.missed_nothing();
    let mut bobs = Vec::new();
    while bobs.len() < plain + native {
        let line = bob.hears();
        bobs.extend(line.strip_prefix("alice : ").or(line.strip_prefix("nora : ")).map(str::to_owned));
    }
    let told = |of: char| bobs.iter().filter(|text| text.starts_with(of)).cloned().collect::<Vec<_>>();
    assert_eq!((told('p'), told('n')), (expected('p', plain), expected('n', native)));
    stop.store(true, Relaxed);
    driver.join().unwrap().missed_nothing();
    relay.relay.end();
}

#[test]
fn what_the_operator_has_set_still_holds() {
    let scratch = Scratch::new("set");
    let relay = Steered::start(&scratch, &[]);
    let (alice, bob, carol) = (relay.joins("alice"), relay.joins("bob"), relay.joins("carol"));
    relay.does(&["mute", "bob"]);
    relay.does(&["ban", "add", "mallory", "--reason", "a forger"]);
    relay.does(&["kick", "carol"]);
    relay.does(&["lockdown", "on"]);
    let relay = taken_over(relay, &[]);
    let muted: Vec<_> = relay.json(&["peers"]).into_iter().filter(|row| row["muted"] == true).collect();
    assert!(muted.len() == 1 && muted[0]["name"] == "bob", "{muted:?}");
    let bans = relay.json(&["ban", "list"]);
    assert_eq!(
        (bans.len(), bans[0]["target"].as_str(), bans[0]["reason"].as_str()),
        (1, Some("mallory"), Some("a forger"))
    );
    carol.says("carol");
    relay.does(&["lockdown", "off"]);
    carol.says("carol");
    Member::new(relay.relay.addr).says("mallory");
    bob.says("bob : can you hear me");
    alice.says("alice : no");
    bob.hears_at_last("alice : no");
    let dropped = &relay.json(&["stats"])[0]["dropped"];
    let reasons = ["muted", "banned", "refused_address", "lockdown"].map(|reason| dropped[reason].as_u64().unwrap());
    assert_eq!(reasons, [1, 1, 2, 0], "{dropped}");
    relay.does(&["unmute", "bob"]);
    relay.relay.end();
}

#[test]
fn files_and_ports_go_along() {
    let scratch = Scratch::new("along");
    let (members, bans) = (scratch.path("members"), scratch.path("bans"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let args = ["--state", &members, "--ban-file", &bans, "--admin", &port];
    let relay = Steered::start(&scratch, &args);
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    relay.does(&["ban", "add", "mallory"]);
    alice.says("alice : one");
    bob.hears_at_last("alice : one");
    let relay = taken_over(relay, &args);
    let page = scraped(&port);
    assert!(page.contains("outcry_joins_total{protocol=\"plain\"} 2\n"), "{page}");
    assert_eq!(relay.json(&["ban", "list"]).len(), 1);
    // Another port, and no bans of its own: those of the other one.
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let relay = taken_over(relay, &["--admin", &other]);
    assert!(
        scraped(&other).contains("outcry_joins_total{protocol=\"plain\"} 2\n") && TcpStream::connect(&port).is_err()
    );
    assert_eq!(relay.json(&["ban", "list"]).len(), 1);
    // Bans that were in no file are kept in that of the next one.
    let kept = scratch.path("kept");
    let relay = taken_over(relay, &["--ban-file", &kept]);
    process::until("the bans", || std::fs::read_to_string(&kept).ok().filter(|text| text.contains("mallory")));
    // A control socket of its own: that of the other one goes.
    let own = scratch.path("own.sock");
    let next = Running::outcry(&["serve", "--takeover", &relay.socket, "--control", &own, "--state", &members]);
    let next = Steered { relay: Serve::from(next), socket: own };
    let Steered { relay: mut former, socket } = relay;
    assert_eq!(former.process.exit_code(), Some(0));
    assert!(!operator::is_there(&socket));
    assert_eq!(next.json(&["peers"]).len(), 2);
    let socket = next.socket.clone();
    next.relay.end();
    assert!(!operator::is_there(&socket), "a socket goes with its relay");
    assert!(std::fs::read_to_string(&members).unwrap().contains("alice"));
}

#[test]
fn a_control_socket_is_the_same_by_whatever_name() {
    let scratch = Scratch::new("name");
    let relay = Steered::start(&scratch, &[]);
    let _alice = relay.joins("alice");
    let (link, socket) = (scratch.path("link.sock"), relay.socket.clone());
    std::os::unix::fs::symlink(&socket, &link).unwrap();
    let relay = taken_over(relay, &["--control", &link]);
    assert_eq!(relay.json(&["peers"]).len(), 1);
    let relay = taken_over(Steered { socket: link, ..relay }, &["--control", &socket]);
    relay.relay.end();
    assert!(!operator::is_there(&socket), "a socket goes with its relay");
}

fn scraped(port: &str) -> String {
    let mut stream = TcpStream::connect(port).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    let asked = format!("GET /metrics HTTP/1.1\r\nHost: {port}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

// ---- when it goes wrong ----------------------------------------------------------------

/// Everybody can still talk, and nobody had to come again.
#[track_caller]
fn goes_on(relay: &mut Steered, [alice, bob]: [&Member; 2], nora: &mut Native, mark: &str) {
    assert!(relay.relay.process.runs());
    bob.says(mark);
    alice.hears_at_last(mark);
    nora.hears_at_last(mark);
    nora.says(&format!("{mark} too"));
    nora.hears_at_last(&format!("{mark} too"));
    alice.hears_at_last(&format!("nora : {mark} too"));
    nora.missed_nothing();
    let joined = relay.json(&["stats"])[0]["joined"].as_u64();
    assert_eq!(joined, Some(3));
}

#[test]
fn a_process_that_asks_wrongly_dies_or_stalls_leaves_the_relay_as_it_was() {
    let scratch = Scratch::new("wrong");
    let mut relay = Steered::start(&scratch, &[]);
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    let mut nora = Native::joins(relay.relay.addr, "nora", 0);
    let place = PathBuf::from(&relay.socket);

    for line in [r#"{"do":"takeover","version":0}"#, r#"{"do":"hand-over","version":99,"pid":1}"#] {
        let mut stream = UnixStream::connect(&place).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.starts_with(r#"{"failed":"#) && answer.contains("version"), "{answer}");
    }
    goes_on(&mut relay, [&alice, &bob], &mut nora, "after another version");

    // It has everything, and is gone.
    drop(Claim::open(&place).unwrap().take().unwrap());
    relay.relay.process.err.until("not handed over: the relay goes on");
    goes_on(&mut relay, [&alice, &bob], &mut nora, "after a death");

    // It is gone before it has read anything.
    let mut stream = UnixStream::connect(&place).unwrap();
    stream.write_all(b"{\"do\":\"hand-over\",\"version\":1,\"pid\":1}\n").unwrap();
    drop(stream);
    relay.relay.process.err.until("not handed over: the relay goes on");
    goes_on(&mut relay, [&alice, &bob], &mut nora, "after an earlier death");

    // It could go on, and is gone before or after it was let.
    says_taking_and_dies(&place);
    relay.relay.process.err.until("not handed over: the relay goes on");
    goes_on(&mut relay, [&alice, &bob], &mut nora, "after a death half-way");
    drop(Claim::open(&place).unwrap().take().unwrap().standing.commit().unwrap());
    relay.relay.process.err.until("not handed over: the relay goes on");
    goes_on(&mut relay, [&alice, &bob], &mut nora, "after a late death");

    // It was let, and nobody knows when it begins: it may, as long as it lives.
    let committed = Claim::open(&place).unwrap().take().unwrap().standing.commit().unwrap();
    bob.says("while nobody serves");
    alice.0.set_read_timeout(Some(Duration::from_millis(config::TAKEOVER_DEADLINE_MS + 500))).unwrap();
    assert!(alice.0.recv(&mut [0; 99]).is_err(), "two could serve");
    alice.0.set_read_timeout(Some(HANG)).unwrap();
    drop(committed);
    relay.relay.process.err.until("not handed over: the relay goes on");
    alice.hears_at_last("while nobody serves");
    goes_on(&mut relay, [&alice, &bob], &mut nora, "after a death in its sleep");

    // It has no room for what is there.
    fails(&relay, &["--max-peers", "1"], "--max-peers");
    fails(&relay, &["--ban-file", "/"], "ban file");
    relay.relay.process.err.until("not handed over: the relay goes on");
    goes_on(&mut relay, [&alice, &bob], &mut nora, "after one too small");

    // It takes too long: what is said meanwhile waits.
    let taken = Claim::open(&place).unwrap().take().unwrap();
    bob.says("while it stands still");
    relay.relay.process.err.until("not handed over: the relay goes on");
    alice.hears_at_last("while it stands still");
    assert!(taken.standing.commit().is_err(), "too late");
    goes_on(&mut relay, [&alice, &bob], &mut nora, "after a stall");

    let relay = taken_over(relay, &[]);
    relay.relay.end();
}

/// Reads all that is handed over, says that it could go on, and hears no more.
fn says_taking_and_dies(place: &Path) {
    let mut stream = UnixStream::connect(place).unwrap();
    stream.write_all(b"{\"do\":\"hand-over\",\"version\":1,\"pid\":1}\n").unwrap();
    let mut reader = BufReader::new(&stream);
    let mut goods = String::new();
    // One line break goes with the descriptors.
    reader.read_line(&mut goods).unwrap();
    reader.read_line(&mut goods).unwrap();
    let goods: serde_json::Value = serde_json::from_str(goods.trim()).unwrap();
    let mut image = vec![0; goods["done"]["bytes"].as_u64().unwrap() as usize];
    reader.read_exact(&mut image).unwrap();
    stream.write_all(b"{\"keeps_socket\":true}\n").unwrap();
}

#[test]
fn a_relay_that_dies_while_it_is_taken_over_is_outlived() {
    for (name, says_taking) in [("early", false), ("late", true)] {
        let scratch = Scratch::new(name);
        let relay = Steered::start(&scratch, &[]);
        let standing = Claim::open(Path::new(&relay.socket)).unwrap().take().unwrap().standing;
        relay.relay.process.stands_still();
        let (standing, commit) = if says_taking {
            (None, Some(std::thread::spawn(move || standing.commit())))
        } else {
            (Some(standing), None)
        };
        // It is not answered as long as the other one is only silent.
        std::thread::sleep(Duration::from_millis(300));
        assert!(commit.as_ref().is_none_or(|commit| !commit.is_finished()));
        drop(relay);
        // Whoever is not heard cannot know whether the other one goes on.
        assert!(standing.is_none_or(|standing| standing.commit().is_err()));
        assert!(commit.is_none_or(|commit| commit.join().unwrap().is_ok_and(|it| it.now_ns().is_none())));
    }
}

#[test]
fn the_new_process_waits_for_a_word_or_a_death_and_then_serves() {
    let scratch = Scratch::new("waits");
    let relay = Steered::start(&scratch, &[]);
    let (alice, bob) = (relay.joins("alice"), relay.joins("bob"));
    let taken = Claim::open(Path::new(&relay.socket)).unwrap().take().unwrap();
    drop(relay);
    for (name, late) in [("word", true), ("death", false)] {
        let path = scratch.path(name);
        let socket = taken.socket.try_clone().unwrap();
        let pretender = Pretender::with(Path::new(&path), socket, taken.image.clone(), move |stream, lines| {
            assert_eq!(lines.next().unwrap().unwrap(), r#"{"keeps_socket":true}"#);
            if late {
                std::thread::sleep(Duration::from_millis(2 * config::TAKEOVER_DEADLINE_MS + 500));
                (&*stream).write_all(b"{\"done\":{\"now_ns\":1000}}\n").unwrap();
                assert_eq!(lines.next().unwrap().unwrap(), "", "it serves");
            }
        });
        let next = Serve::from(Running::outcry(&["serve", "--lang", "en", "--takeover", &path]));
        pretender.0.join().unwrap();
        bob.says(name);
        alice.hears_at_last(name);
        // Without a word to its members.
        drop(next);
    }
}

/// Nothing of the other one's is touched before it is ours.
#[test]
fn who_is_refused_at_last_leaves_the_control_socket_where_it_is() {
    let scratch = Scratch::new("last");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let relay = Steered::start(&scratch, &[]);
    let taken = Claim::open(Path::new(&relay.socket)).unwrap().take().unwrap();
    let (path, admin) = (scratch.path("other"), port.clone());
    let pretender = Pretender::with(Path::new(&path), taken.socket, taken.image, move |mut stream, lines| {
        assert_eq!(lines.next().unwrap().unwrap(), r#"{"keeps_socket":true}"#);
        let mut page = TcpStream::connect(&admin).unwrap();
        page.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        page.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        assert!(page.read(&mut [0; 9]).is_err(), "it answers as if it served");
        stream.write_all(b"{\"failed\":\"not today\"}\n").unwrap();
    });
    fails(&Steered { socket: path.clone(), ..relay }, &["--admin", &port], "not today");
    pretender.0.join().unwrap();
    assert!(operator::is_there(&path));
}

#[test]
fn a_relay_that_drains_is_not_taken_over() {
    let scratch = Scratch::new("drains");
    let relay = Steered::start(&scratch, &[]);
    let _alice = relay.joins("alice");
    relay.does(&["drain", "--deadline", "60s"]);
    fails(&relay, &[], "drains");
    assert_eq!(relay.json(&["peers"]).len(), 1);
}

/// To its manager the end of its process would be the service's.
#[test]
fn a_relay_of_a_service_manager_is_restarted_and_not_taken_over() {
    let scratch = Scratch::new("unit");
    let (socket, ear) = (scratch.path("ctl.sock"), scratch.path("notify"));
    let _manager = UnixDatagram::bind(&ear).unwrap();
    let mut command = outcry(&["serve", "--bind", "127.0.0.1:0", "--control", &socket]);
    let relay = Serve::from(Running::start(command.env("NOTIFY_SOCKET", &ear)));
    let relay = Steered { relay, socket: socket.clone() };
    fails(&relay, &[], "systemctl restart");
    relay.relay.end();
    let handed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = handed.local_addr().unwrap();
    // The shell's process becomes the relay's.
    let mut command = Command::new("sh");
    let line = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"";
    command.args(["-c", line, env!("CARGO_BIN_EXE_outcry"), "serve", "--control", &socket]).env("NO_COLOR", "1");
    command.stdin(OwnedFd::from(handed)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let relay = Steered { relay: Serve::from(Running::start_with(&mut command)), socket };
    fails(&relay, &[], "systemctl restart");
    assert_eq!(relay.relay.addr, addr);
    relay.relay.end();
}

#[test]
fn a_wrong_configuration_is_said_before_the_relay_is_asked() {
    let scratch = Scratch::new("config");
    let relay = Steered::start(&scratch, &[]);
    let wrong = scratch.write("wrong.toml", "no-such-key = 1\n");
    let mut next = Running::outcry(&["serve", "--takeover", &relay.socket, "--config", &wrong]);
    assert_eq!(next.exit_code(), Some(2), "{}", next.err.rest());
    fails(&Steered { socket: scratch.path("nowhere.sock"), ..relay }, &[], "cannot take over at");
}

/// What the new process says.
type Said<'s> = std::io::Lines<BufReader<&'s UnixStream>>;

/// What some other program says when it is asked for its relay.
struct Pretender(JoinHandle<()>);

impl Pretender {
    fn at(path: &Path, image: Vec<u8>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Self::with(path, socket, image, |_, lines| {
            assert!(lines.next().is_none_or(|line| line.is_err()), "it takes nothing of that");
        })
    }

    /// Hands over these, and does what follows.
    fn with(
        path: &Path,
        socket: UdpSocket,
        image: Vec<u8>,
        then: impl FnOnce(&UnixStream, &mut Said<'_>) + Send + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self(std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream).lines();
            assert!(lines.next().unwrap().unwrap().contains("takeover"));
            (&stream).write_all(b"{\"done\":{\"address\":\"127.0.0.1:1\"}}\n").unwrap();
            assert!(lines.next().unwrap().unwrap().contains("hand-over"));
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            let along = [socket.as_fd(), listener.as_fd()];
            assert!(beside.push(SendAncillaryMessage::ScmRights(&along)));
            rustix::net::sendmsg(&stream, &[IoSlice::new(b"\n")], &mut beside, SendFlags::empty()).unwrap();
            let goods = format!("{{\"done\":{{\"bytes\":{},\"admin\":false,\"bans\":[]}}}}\n", image.len());
            (&stream).write_all(goods.as_bytes()).unwrap();
            (&stream).write_all(&image).unwrap();
            then(&stream, &mut lines);
        }))
    }
}

#[test]
fn an_image_of_another_version_or_none_at_all_ends_the_new_process() {
    let scratch = Scratch::new("pretend");
    let version_2 = [&b"outcryTO"[..], &2_u32.to_le_bytes(), &[0; 40]].concat();
    for (name, image, why) in
        [("a", Vec::new(), "no whole image"), ("b", version_2, "of version 2"), ("c", vec![7; 999], "no whole image")]
    {
        let path = scratch.path(name);
        let pretender = Pretender::at(Path::new(&path), image);
        let mut next = Running::outcry(&["serve", "--takeover", &path]);
        assert_eq!(next.exit_code(), Some(1));
        let err = next.err.rest();
        assert!(err.contains(why), "{err}");
        pretender.0.join().unwrap();
    }
}
