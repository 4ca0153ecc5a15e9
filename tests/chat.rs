//! `outcry chat` in a pipe against a real `outcry serve`: what members read of
//! each other, what becomes of private messages, why somebody is refused, and
//! with which exit code it ends. Asserts no times.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod operator;
mod process;

use operator::{Scratch, Steered};
use process::{Running, Serve, outcry};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A member who is in its room, as it has been told.
#[track_caller]
fn member(relay: &Serve, name: &str, flags: &[&str]) -> Running {
    let chat = starts(relay, name, flags);
    chat.err.until("this is ");
    chat
}

fn starts(relay: &Serve, name: &str, flags: &[&str]) -> Running {
    Running::outcry(&[&["chat", "--name", name, &relay.addr.to_string()], flags].concat())
}

/// A plain member that has said something, and so knows that it is in: `other` heard it.
#[track_caller]
fn plain_member(relay: &Serve, name: &str, other: &Running) -> Running {
    let mut chat = starts(relay, name, &["--plain"]);
    chat.types("hello");
    other.shows(&format!("{name} : hello"));
    chat
}

/// What a program whose input has ended writes to stderr, and its exit code.
#[track_caller]
fn refused(relay: &Serve, name: &str, flags: &[&str]) -> (Option<i32>, String) {
    let mut chat = starts(relay, name, flags);
    chat.close_input();
    (chat.exit_code(), chat.err.rest())
}

#[track_caller]
fn leaves(mut chat: Running) {
    chat.close_input();
    assert_eq!(chat.exit_code(), Some(0), "{}", chat.err.rest());
}

/// A file that only its owner can read.
fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.into_os_string().into_string().unwrap()
}

// ---- talking --------------------------------------------------------------------------

#[test]
fn two_members_talk_and_nobody_reads_himself() {
    let relay = Serve::start(&[]);
    let mut amy = member(&relay, "amy", &[]);
    let mut bob = member(&relay, "bob", &[]);
    amy.err.until("bob is here");
    amy.types("你好 \u{1b}[2J");
    bob.shows("amy : 你好 \u{FFFD}[2J");
    bob.types("good morning");
    bob.types("/quit is no command in a pipe");
    amy.shows("bob : good morning");
    amy.shows("bob : /quit is no command in a pipe");
    leaves(bob);
    amy.err.until("bob has left");
    amy.close_input();
    assert_eq!((amy.exit_code(), amy.out.rest().as_str()), (Some(0), ""));
}

#[test]
fn plain_and_native_members_of_the_lobby_see_each_other() {
    let relay = Serve::start(&["--lang", "en", "--log", "debug"]);
    let mut amy = member(&relay, "amy", &[]);
    let mut dan = starts(&relay, "dan", &["--plain"]);
    amy.err.until("dan is here");
    relay.logs("joined", "dan");
    amy.types("hello");
    dan.shows("amy : hello");
    dan.types("hello amy");
    amy.shows("dan : hello amy");
    leaves(amy);
    dan.out.until("amy");
    leaves(dan);
}

#[test]
fn rooms_are_apart() {
    let relay = Serve::start(&[]);
    let mut amy = member(&relay, "amy", &["--room", "den"]);
    let bob = member(&relay, "bob", &["--room", "den"]);
    let mut cyd = member(&relay, "cyd", &["--commands"]);
    amy.types("in the den");
    bob.shows("amy : in the den");
    cyd.types("/rooms");
    let rooms = cyd.err.until("rooms: ");
    assert!(rooms.contains("den (2)") && rooms.contains("lobby (1)"), "{rooms}");
    cyd.close_input();
    assert_eq!((cyd.exit_code(), cyd.out.rest().as_str()), (Some(0), ""));
}

#[test]
fn history_is_shown_to_who_comes_late() {
    let relay = Serve::start(&[]);
    let mut amy = member(&relay, "amy", &[]);
    let bob = member(&relay, "bob", &[]);
    amy.types("one");
    amy.types("two");
    bob.shows("amy : one");
    bob.shows("amy : two");
    let cyd = member(&relay, "cyd", &["--history", "50"]);
    cyd.shows("amy : one");
    cyd.shows("amy : two");
    let mut dan = starts(&relay, "dan", &["--history", "50"]);
    dan.close_input();
    assert_eq!((dan.exit_code(), dan.out.rest().as_str()), (Some(0), "amy : one\namy : two\n"));
}

#[test]
fn a_long_line_comes_in_pieces_that_make_it_up() {
    let relay = Serve::start(&[]);
    for room in ["lobby", "den"] {
        let mut amy = member(&relay, "amy", &["--room", room]);
        let bob = member(&relay, "bob", &["--room", room]);
        let text = "汉字e\u{301}x".repeat(500);
        amy.types(&text);
        amy.types("end");
        let mut said = String::new();
        loop {
            let line = String::from_utf8(bob.out.next().unwrap()).unwrap();
            match line.strip_prefix("amy : ").unwrap() {
                "end" => break,
                piece => said += piece,
            }
        }
        assert_eq!(said, text);
        leaves(amy);
        leaves(bob);
    }
}

#[test]
fn a_stream_of_lines_arrives_whole_and_in_order() {
    const LINES: usize = 5000;
    let relay = Serve::start(&[]);
    let bob = member(&relay, "bob", &[]);
    let mut amy = starts(&relay, "amy", &[]);
    (0..LINES).for_each(|line| amy.types(&format!("line {line}")));
    amy.close_input();
    (0..LINES).for_each(|line| bob.shows(&format!("amy : line {line}")));
    assert_eq!(amy.exit_code(), Some(0));
}

// ---- private messages --------------------------------------------------------------------

#[test]
fn a_private_message_is_read_by_one_and_has_an_outcome() {
    let relay = Serve::start(&[]);
    let mut amy = member(&relay, "amy", &["--commands"]);
    let bob = member(&relay, "bob", &[]);
    let cyd = member(&relay, "cyd", &[]);
    amy.types("/msg bob between us");
    bob.err.until("private message from amy: between us");
    amy.err.until("private message to bob: delivered");
    amy.types("to all");
    bob.shows("amy : to all");
    cyd.shows("amy : to all");
    leaves(amy);
}

#[test]
fn a_private_message_to_nobody_or_a_plain_member_fails() {
    let relay = Serve::start(&["--log", "debug"]);
    let _dan = starts(&relay, "dan", &["--plain"]);
    relay.logs("joined", "dan");
    for (to, why) in [("zoe", "not delivered: no such name here: zoe"), ("dan", "a plain member takes no private")] {
        let mut amy = member(&relay, "amy", &["--commands"]);
        amy.types(&format!("/msg {to} hi"));
        amy.err.until(why);
        amy.close_input();
        assert_eq!(amy.exit_code(), Some(1));
    }
}

// ---- names -----------------------------------------------------------------------------------

#[test]
fn a_taken_name_gets_a_number_and_can_be_changed() {
    let relay = Serve::start(&[]);
    let first = member(&relay, "amy", &[]);
    let mut second = starts(&relay, "amy", &["--commands"]);
    second.err.until("you are amy#2 here");
    second.types("/nick amy");
    second.err.until("amy is taken");
    second.types("/nick ann");
    second.err.until("you are ann here");
    first.err.until("amy#2 is called ann now");
    second.types("hi");
    first.shows("ann : hi");
}

// ---- why somebody is refused ------------------------------------------------------------------

#[test]
fn a_key_is_wanted() {
    let (key, other) = (file("key", "0123456789abcdef\n"), file("other-key", "fedcba9876543210\n"));
    let relay = Serve::start(&["--access-key-file", &key]);
    for flags in [&[][..], &["--access-key-file", &other]] {
        let (code, told) = refused(&relay, "amy", flags);
        assert!(code == Some(3) && told.contains("--access-key-file"), "{code:?} {told}");
    }
    leaves(member(&relay, "amy", &["--access-key-file", &key]));
}

#[test]
fn a_full_relay_and_a_full_room_say_so() {
    let relay = Serve::start(&["--max-sessions", "2", "--room-members", "1"]);
    let _amy = member(&relay, "amy", &["--room", "den"]);
    let (code, told) = refused(&relay, "bob", &["--room", "den"]);
    assert!(code == Some(3) && told.contains("cannot join den: it is full"), "{code:?} {told}");
    let _cyd = member(&relay, "cyd", &["--room", "attic"]);
    let (code, told) = refused(&relay, "dan", &[]);
    assert!(code == Some(3) && told.contains("the relay is full: retry in 30 s"), "{code:?} {told}");
}

#[test]
fn too_many_from_one_network_are_told() {
    let relay = Serve::start(&["--prefix-sessions", "1"]);
    let _amy = member(&relay, "amy", &[]);
    let (code, told) = refused(&relay, "bob", &[]);
    assert!(code == Some(3) && told.contains("from your network") && told.contains("retry in"), "{code:?} {told}");
}

#[test]
fn who_is_removed_is_told_and_fails() {
    let mut relay = Serve::start(&["--console"]);
    let mut amy = member(&relay, "amy", &[]);
    relay.process.types("/kick amy");
    assert_eq!(amy.exit_code(), Some(1));
    assert!(amy.err.rest().contains("removed by the operator"));
}

#[test]
fn who_is_banned_is_told_now_and_at_the_next_try() {
    let scratch = Scratch::new("chat-ban");
    let steered = Steered::start(&scratch, &["--plain", "challenge"]);
    let relay = &steered.relay;
    let (mut amy, bob) = (member(relay, "amy", &[]), member(relay, "bob", &[]));
    let mut dan = plain_member(relay, "dan", &bob);
    for name in ["amy", "DAN"] {
        steered.does(&["ban", "add", name, "--reason", "flood"]);
    }
    for banned in [&mut amy, &mut dan] {
        banned.err.until("the chat is over: banned by the operator");
        assert_eq!(banned.exit_code(), Some(1));
    }
    bob.err.until("amy was banned by the operator");
    for (name, flags) in [("amy", &[][..]), ("dan", &["--plain"])] {
        let mut again = starts(relay, name, flags);
        again.err.until("refused: the relay's operator has banned you: only they can change that");
        assert_eq!(again.exit_code(), Some(3), "{name}");
    }
    for name in ["amy", "dan"] {
        steered.does(&["ban", "del", name]);
    }
    leaves(member(relay, "amy", &[]));
    leaves(bob);
}

#[test]
fn a_plain_member_that_is_removed_is_told_and_fails() {
    let scratch = Scratch::new("chat-kick");
    let steered = Steered::start(&scratch, &[]);
    let amy = member(&steered.relay, "amy", &[]);
    let mut dan = plain_member(&steered.relay, "dan", &amy);
    steered.does(&["kick", "dan"]);
    dan.shows("[relay] you were removed by the operator");
    dan.err.until("the chat is over: removed by the operator");
    assert_eq!(dan.exit_code(), Some(1));
}

#[test]
fn a_relay_is_found_by_name_whichever_family_it_listens_on() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        if bind.starts_with('[') && std::net::UdpSocket::bind(bind).is_err() {
            process::skip("a relay on ::1: there is none here");
            continue;
        }
        let relay = Serve::at(bind, &[]);
        let addr = format!("localhost:{}", relay.addr.port());
        if bind.starts_with('[') && !knows_both("localhost") {
            process::skip("a relay on ::1 by name: localhost is not ::1 here");
            continue;
        }
        let mut amy = Running::outcry(&["chat", "--name", "amy", &addr]);
        amy.close_input();
        assert_eq!(amy.exit_code(), Some(0), "{bind}: {}", amy.err.rest());
    }
}

fn knows_both(host: &str) -> bool {
    use std::net::ToSocketAddrs;
    (host, 9).to_socket_addrs().is_ok_and(|addrs| addrs.filter(std::net::SocketAddr::is_ipv6).count() > 0)
}

#[test]
fn where_no_relay_listens_that_is_said() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    // The port stays taken, but nothing comes through from elsewhere.
    socket.connect("127.0.0.1:9").unwrap();
    let mut amy = Running::outcry(&["chat", "--name", "amy", &addr]);
    assert_eq!(amy.exit_code(), Some(1));
    assert!(amy.err.rest().contains(&format!("no relay is listening at {addr}")));
    let mut amy = Running::outcry(&["chat", "relay.invalid:9999"]);
    assert_eq!(amy.exit_code(), Some(1));
    assert!(amy.err.rest().contains("cannot find relay.invalid:9999"));
}

#[test]
fn a_wrong_flag_is_told_before_anything_is_sent() {
    let long = "x".repeat(65);
    let cases: [(&[&str], &str); 7] = [
        (&["--sealed"], "name the sealed room with --room"),
        (&["--room", "den", "--sealed", "--passphrase-file", "/nowhere/secret"], "cannot read the passphrase file"),
        (&["--passphrase-file", "/nowhere/secret"], "--sealed"),
        (&["--access-key-file", "/nowhere/key"], "cannot read the access key file"),
        (&["--plain", "--room", "den"], "--plain"),
        (&["--room", &long], "1 to 64 bytes"),
        (&["--room", ""], "1 to 64 bytes"),
    ];
    for (flags, hint) in cases {
        let output = outcry(&[&["chat", "127.0.0.1:9"], flags].concat()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.contains(hint), "{flags:?}: {told}");
    }
}

// ---- sealed rooms ------------------------------------------------------------------------------

#[test]
fn only_who_has_the_passphrase_reads_a_sealed_room() {
    let relay = Serve::start(&[]);
    let (ours, theirs) = (file("ours", "open sesame\n"), file("theirs", "open barley\n"));
    let sealed = |file| ["--room", "den", "--sealed", "--passphrase-file", file];
    let mut amy = member(&relay, "amy", &sealed(&ours));
    let bob = member(&relay, "bob", &sealed(&ours));
    amy.err.until("bob is here");
    let eve = starts(&relay, "eve", &sealed(&theirs));
    eve.err.until("sealed: nobody else is here with this passphrase");
    let mut open = member(&relay, "dan", &["--room", "den", "--commands"]);
    amy.types("the treasure is in the cave");
    bob.shows("amy : the treasure is in the cave");
    let long = "秘密".repeat(1000);
    amy.types(&long);
    amy.types("end");
    let pieces = std::iter::from_fn(|| bob.out.next()).map(|line| String::from_utf8(line).unwrap());
    let pieces = pieces.take_while(|line| line != "amy : end");
    let said: String = pieces.map(|line| line.strip_prefix("amy : ").unwrap().to_owned()).collect();
    assert_eq!(said, long);
    open.types("/rooms");
    let rooms = open.err.until("rooms: ");
    assert!(rooms.contains("den (1)") && !rooms.contains("den (2)"), "sealed rooms are not listed: {rooms}");
    for mut outsider in [eve, open] {
        outsider.close_input();
        assert_eq!((outsider.exit_code(), outsider.out.rest().as_str()), (Some(0), ""));
    }
}

#[test]
fn a_secret_that_everyone_can_read_is_warned_about() {
    let relay = Serve::start(&[]);
    let path = file("open-secret", "open sesame\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let amy = starts(&relay, "amy", &["--room", "den", "--sealed", "--passphrase-file", &path]);
    amy.err.until(&format!("chmod 600 {path}"));
    amy.err.until("this is den");
    leaves(amy);
}

// ---- the end ---------------------------------------------------------------------------------

#[test]
fn a_signal_leaves_politely() {
    for signal in ["INT", "TERM", "HUP"] {
        let relay = Serve::start(&["--log", "debug"]);
        let mut amy = member(&relay, "amy", &[]);
        relay.logs("joined", "amy");
        amy.signal(signal);
        assert_eq!(amy.exit_code(), Some(0));
        relay.logs("left", "amy");
    }
}

#[test]
fn a_closed_output_ends_quietly() {
    let relay = Serve::start(&[]);
    let (mut amy, output) = Running::start_unread(&mut outcry(&["chat", "--name", "amy", &relay.addr.to_string()]));
    amy.err.until("this is lobby");
    drop(output);
    let mut bob = member(&relay, "bob", &[]);
    bob.types("one");
    bob.types("two");
    assert_eq!(amy.exit_code(), Some(0));
}

#[test]
fn lines_typed_while_the_relay_is_away_arrive_when_it_is_back() {
    let mut relay = Serve::start(&[]);
    let addr = relay.addr.to_string();
    let mut amy = member(&relay, "amy", &[]);
    relay.process.kill();
    // Nobody says goodbye. The port's answer is a hint, and silence the proof; without the hint messages
    // would be stuck for 30 s first, and that be told.
    amy.types("are you back?");
    amy.err.until("reconnecting: the relay does not answer");
    let relay = Serve::at(&addr, &[]);
    let bob = member(&relay, "bob", &["--history", "10"]);
    bob.shows("amy : are you back?");
    amy.err.until("connected again");
    amy.err.until("the relay was started anew");
    leaves(amy);
}
