//! The binary from outside: flags, files, exit codes, and `outcry chat --plain`
//! against a bare socket that plays the relay. Asserts no times; the waits
//! here only keep a failure from hanging.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

const HANG: Duration = Duration::from_secs(20);

fn outcry(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcry"));
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Exit code, stdout, stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = outcry(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn print_config(args: &[&str]) -> String {
    let (code, out, err) = run(&[&["serve", "--print-config"], args].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    out
}

/// The value of `key` in a printed configuration.
fn value<'a>(config: &'a str, key: &str) -> &'a str {
    config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ")).unwrap()
}

fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

// ---- serve: flags and file --------------------------------------------------

#[test]
fn a_wrong_flag_is_refused_with_what_would_be_right() {
    let cases = [
        ("--bind", "9999", "like 127.0.0.1:9999"),
        ("--bind", "localhost:9999", "an IP address with a port"),
        ("--bind", "224.0.0.1:9999", "an address of this machine"),
        ("--plain", "opne", "open, challenge, off"),
        ("--lang", "fr", "zh, en"),
        ("--max-peers", "4000001", "from 1 to 4000000"),
        ("--max-peers", "-1", "from 1 to 4000000"),
        ("--max-peers", "many", "from 1 to 4000000"),
        ("--idle", "90", "like 90s, 5m or 2h"),
        ("--idle", "10ms", "from 1s to 365d, or 0 for never"),
        ("--msg-rate", "1.5", "a whole number from 1 to 1000000000, or 0 for no limit"),
        ("--byte-rate", "16X", "like 500000, 64K or 8M"),
        ("--join-rate", "", "or 0 for no limit"),
        ("--join-rate-total", "5/s", "or 0 for no limit"),
        ("--prefix-peers", "99999999999", "or 0 for no limit"),
        ("--mirror-guard", "yes", "on or off"),
        ("--notice-rate", "x", "or 0 for no limit"),
        ("--notice-copies", "x", "or 0 for no limit"),
        ("--rcvbuf", "0", "from 4K to 512M"),
        ("--sndbuf", "4G", "from 4K to 512M"),
        ("--io", "uring", "auto, portable"),
        ("--stats", "1ms", "from 100ms to 365d, or 0 for never"),
        ("--log", "all", "off, error, warn, info, debug, trace"),
        ("--log-format", "xml", "human, json"),
        ("--console=maybe", "", "on or off"),
        ("--drain-on-term=maybe", "", "on or off"),
    ];
    for (flag, given, hint) in cases {
        let args = if flag.contains('=') { vec!["serve", flag] } else { vec!["serve", flag, given] };
        let (code, out, err) = run(&args);
        assert_eq!((code, out.as_str()), (2, ""), "{flag} {given}: {err}");
        assert!(err.contains(hint) && err.contains(flag.split('=').next().unwrap()), "{flag} {given}: {err}");
    }
}

#[test]
fn a_wrong_value_in_the_file_is_refused_at_its_line_and_column() {
    let cases = [
        ("bind = '::1'", 8, "[::]:9999"),
        ("plain = 'opne'", 9, "open, challenge, off"),
        ("max-peers = 4000001", 13, "from 1 to 4000000"),
        ("msg-rate = -1", 12, "or 0 for no limit"),
        ("msg-rate = [20]", 12, "or 0 for no limit"),
        ("idle = 90", 8, "like 90s, 5m or 2h"),
        ("rcvbuf = '1K'", 10, "from 4K to 512M"),
        ("mirror-guard = 'yes'", 16, "on or off"),
        ("log = true", 7, "off, error, warn, info, debug, trace"),
    ];
    for (number, (line, column, hint)) in cases.into_iter().enumerate() {
        let path = file(&format!("wrong-{number}.toml"), &format!("# a comment\n{line}\n"));
        let (code, out, err) = run(&["serve", "--config", &path]);
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {err}");
        assert!(err.contains(&format!("line 2, column {column}")) && err.contains(hint), "{line}: {err}");
        assert!(err.contains(&path), "{err}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_known_ones() {
    let path = file("unknown.toml", "lang = 'en'\nmax_peers = 10\n");
    let (code, _, err) = run(&["serve", "--config", &path]);
    assert_eq!(code, 2);
    assert!(err.contains("line 2, column 1") && err.contains("`max_peers`") && err.contains("`max-peers`"), "{err}");
}

#[test]
fn a_file_that_is_no_file_or_no_toml_is_refused() {
    let (code, _, err) = run(&["serve", "--config", "/nowhere/relay.toml"]);
    assert!(code == 2 && err.contains("/nowhere/relay.toml"), "{err}");
    let (code, _, err) = run(&["serve", "--config", &file("broken.toml", "lang = \n")]);
    assert!(code == 2 && err.contains("line 1"), "{err}");
}

#[test]
fn what_is_printed_is_accepted_and_printed_again() {
    let flags = "--bind [::]:1234 --plain open --lang en --max-peers 0 --idle 90s --msg-rate 7 --byte-rate 2000 \
        --join-rate 1 --join-rate-total 2 --prefix-peers 3 --mirror-guard off --notice-rate 4 --notice-copies 5 \
        --rcvbuf 1M --sndbuf 5000 --io portable --stats 1500ms --log trace --log-format json --console";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    for (number, args) in [&flags[..], &[], &["--bind", "0.0.0.0:1"]].into_iter().enumerate() {
        let printed = print_config(args);
        let path = file(&format!("round-{number}.toml"), &printed);
        assert_eq!(print_config(&["--config", &path]), printed);
    }
    let printed = print_config(&flags);
    let expected = [("bind", "\"[::]:1234\""), ("max-peers", "4000000"), ("idle", "\"90s\""), ("console", "\"on\"")];
    for (key, shown) in expected {
        assert_eq!(value(&printed, key), shown);
    }
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let path = file("order.toml", "bind = '0.0.0.0:7'\nmax-peers = 20\nidle = 0\nconsole = true\n");
    let config = print_config(&["--config", &path, "--max-peers", "10", "--console=off"]);
    let expected = [
        ("max-peers", "10"),
        ("console", "\"off\""),
        ("idle", "\"0\""),
        ("bind", "\"0.0.0.0:7\""),
        ("plain", "\"challenge\""),
        ("msg-rate", "20"),
        ("lang", "\"zh\""),
    ];
    for (key, shown) in expected {
        assert_eq!(value(&config, key), shown, "{key}");
    }
}

#[test]
fn loopback_has_no_limits_and_a_network_has() {
    let config = print_config(&[]);
    assert_eq!(
        (value(&config, "plain"), value(&config, "join-rate"), value(&config, "idle")),
        ("\"open\"", "0", "\"1h\"")
    );
    let config = print_config(&["--bind", "0.0.0.0:9", "--plain", "open"]);
    assert_eq!((value(&config, "join-rate"), value(&config, "idle")), ("5", "\"5m\""));
}

#[test]
fn help_and_usage_have_their_exit_codes() {
    for args in [&["--help"][..], &["serve", "--help"], &["chat", "--help"], &["--version"]] {
        assert_eq!(run(args).0, 0, "{args:?}");
    }
    for args in [&[][..], &["shout"], &["serve", "--shout"], &["chat"], &["serve", "extra"]] {
        assert_eq!(run(args).0, 2, "{args:?}");
    }
}

// ---- chat --plain --------------------------------------------------------------------

/// A bare socket that plays the relay.
struct Relay {
    socket: UdpSocket,
}

impl Relay {
    fn new() -> Self {
        Self::at("127.0.0.1:0").unwrap()
    }

    fn at(addr: &str) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        socket.set_read_timeout(Some(HANG))?;
        Ok(Self { socket })
    }

    fn addr(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    fn hear(&self) -> (String, SocketAddr) {
        let mut buffer = [0; 2048];
        let received = loop {
            match self.socket.recv_from(&mut buffer) {
                // A socket with a timeout is not restarted after a signal (signal(7)).
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        let (len, from) = received.expect("the client says something");
        (String::from_utf8(buffer[..len].to_vec()).unwrap(), from)
    }

    fn hears(&self, expected: &str) -> SocketAddr {
        let (text, from) = self.hear();
        assert_eq!(text, expected);
        from
    }

    /// Stops listening but keeps the port: a socket connected elsewhere takes
    /// no datagram from here, and no other test can get the port.
    fn go_away(&self) {
        self.socket.connect((Ipv4Addr::LOCALHOST, 9)).unwrap();
    }

    fn say(&self, to: SocketAddr, message: impl AsRef<[u8]>) {
        self.socket.send_to(message.as_ref(), to).unwrap();
    }
}

/// A running `outcry chat`.
struct Chat {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Chat {
    fn new(name: &str, addr: &str) -> Self {
        Self::start(&mut outcry(&["chat", "--plain", "--name", name, addr]))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, stdin, stdout }
    }

    /// A chat that has been answered, so that it has joined.
    fn joined(name: &str, relay: &Relay) -> (Self, SocketAddr) {
        let mut chat = Self::new(name, &relay.addr());
        let from = relay.hears(name);
        relay.say(from, "[relay] hello");
        assert_eq!(chat.shown(), "[relay] hello\n");
        (chat, from)
    }

    fn type_in(&mut self, text: impl AsRef<[u8]>) {
        self.stdin.as_mut().unwrap().write_all(text.as_ref()).unwrap();
    }

    fn shown(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// Waits for its end: status, the rest of stdout, stderr.
    fn end(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        if let Some(mut stdout) = self.stdout.take() {
            stdout.read_to_string(&mut out).unwrap();
        }
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap(), out, err)
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_name_goes_first_then_lines_until_exit() {
    let relay = Relay::new();
    let mut chat = Chat::new("张三", &relay.addr());
    chat.type_in("你好\nthe exit is over there\r\n\n eXit \nnever sent\n");
    for expected in ["张三", "张三 : 你好", "张三 : the exit is over there", "张三 : EXIT"] {
        relay.hears(expected);
    }
    let (status, out, err) = chat.end();
    assert_eq!((status.code(), out.as_str(), err.as_str()), (Some(0), "", ""));
}

#[test]
fn the_end_of_the_input_leaves() {
    let relay = Relay::new();
    let mut chat = Chat::new("bob", &relay.addr());
    chat.type_in("no line end");
    chat.stdin = None;
    for expected in ["bob", "bob : no line end", "bob : EXIT"] {
        relay.hears(expected);
    }
    assert_eq!(chat.end().0.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves() {
    let relay = Relay::new();
    for signal in ["INT", "TERM"] {
        let (chat, _) = Chat::joined("bob", &relay);
        let kill = format!("kill -{signal} {}", chat.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        relay.hears("bob : EXIT");
        assert_eq!(chat.end().0.code(), Some(0));
    }
}

#[test]
fn a_port_without_a_relay_is_noticed() {
    let relay = Relay::new();
    let addr = relay.addr();
    relay.go_away();
    for stdin in [Stdio::null(), Stdio::piped()] {
        let output = outcry(&["chat", "--plain", &addr]).stdin(stdin).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains(&format!("no relay is listening at {addr} (port unreachable)")), "{err}");
    }
}

#[test]
fn a_relay_that_goes_away_is_noticed() {
    let relay = Relay::new();
    let addr = relay.addr();
    let (mut chat, _) = Chat::joined("bob", &relay);
    relay.go_away();
    chat.type_in("anyone?\n");
    let (status, _, err) = chat.end();
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.contains(&format!("no relay is listening at {addr} any more (port unreachable)")), "{err}");
}

#[test]
fn a_last_line_that_meets_nobody_is_noticed() {
    let relay = Relay::new();
    let (mut chat, _) = Chat::joined("bob", &relay);
    relay.go_away();
    chat.type_in("exit\n");
    let (status, _, err) = chat.end();
    assert!(status.code() == Some(1) && err.contains("port unreachable"), "{err}");
}

#[test]
fn a_challenge_is_answered() {
    for challenge in ["[relay] send K7M2Q9XD to join", "[relay] 输入 K7M2Q9XD"] {
        let relay = Relay::new();
        let mut chat = Chat::new("bob", &relay.addr());
        relay.say(relay.hears("bob"), challenge);
        let from = relay.hears("bob : K7M2Q9XD");
        relay.say(from, "[relay] welcome, 3 here");
        assert_eq!(chat.shown(), "[relay] welcome, 3 here\n");
        chat.type_in("hi\n");
        relay.hears("bob : hi");
    }
}

#[test]
fn a_challenge_is_answered_later_too_but_not_for_ever() {
    let relay = Relay::new();
    let (mut chat, from) = Chat::joined("bob", &relay);
    for _ in 0..3 {
        relay.say(from, "[relay] send K7M2Q9XD to join");
        relay.hears("bob : K7M2Q9XD");
    }
    for _ in 0..2 {
        relay.say(from, "[relay] send K7M2Q9XD to join");
        assert_eq!(chat.shown(), "[relay] send K7M2Q9XD to join\n");
    }
    chat.type_in("hi\n");
    relay.hears("bob : hi");
}

#[test]
fn what_arrives_is_made_harmless() {
    let relay = Relay::new();
    let (mut chat, from) = Chat::joined("bob", &relay);
    let cases: [(&[u8], &str); 5] = [
        ("amy : 你好".as_bytes(), "amy : 你好\n"),
        (b"amy : line\n", "amy : line\n"),
        (b"amy : \x1b]0;title\x07\x1b[2J\xff", "amy : ␛]0;title␇␛[2J\u{FFFD}\n"),
        (b"amy : hi\nbob : I agree", "amy : hi␊bob : I agree\n"),
        ("amy : \u{202E}txt\u{9B}2J\u{2028}".as_bytes(), "amy : <U+202E>txt<U+009B>2J<U+2028>\n"),
    ];
    for (message, shown) in cases {
        relay.say(from, message);
        assert_eq!(chat.shown(), shown);
    }
}

#[test]
fn a_long_line_becomes_several_messages() {
    let relay = Relay::new();
    let (mut chat, _) = Chat::joined("bob", &relay);
    let text = format!("{}exit", "汉字x".repeat(143) + &"y".repeat(1017));
    chat.type_in(format!("{text}\nexit\n"));
    let mut said = String::new();
    loop {
        let (message, _) = relay.hear();
        if message == "bob : EXIT" {
            break;
        }
        assert!(message.len() <= 1024 && !message.trim().to_lowercase().ends_with(" : exit"), "{message}");
        said += message.strip_prefix("bob : ").unwrap();
    }
    assert_eq!(said, text);
}

#[test]
fn a_closed_output_ends_quietly() {
    let relay = Relay::new();
    let (mut chat, from) = Chat::joined("bob", &relay);
    chat.stdout = None;
    // A process that another test starts just now holds the pipe, too, until
    // it is a program of its own; so the first line may find a reader.
    for _ in 0..5 {
        relay.say(from, "amy : hi");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    relay.hears("bob : EXIT");
    let (status, _, err) = chat.end();
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
}

#[test]
fn the_name_defaults_to_the_user_else_to_guest() {
    let relay = Relay::new();
    for (user, expected) in [("amy", "amy"), ("a : b", "guest"), ("", "guest")] {
        let chat = Chat::start(outcry(&["chat", "--plain", &relay.addr()]).env("USER", user));
        relay.hears(expected);
        drop(chat);
    }
    let chat = Chat::start(outcry(&["chat", "--plain", &relay.addr()]).env_remove("USER"));
    relay.hears("guest");
    drop(chat);
}

#[test]
fn a_wrong_name_or_address_is_refused() {
    let long = "x".repeat(65);
    let names = [("", "1 to 64"), (&long, "1 to 64"), ("a : b", "` : `"), ("a\x1bb", "control"), ("EXIT", "exit")];
    for (name, hint) in names {
        let (code, _, err) = run(&["chat", "--name", name, "127.0.0.1:1"]);
        assert!(code == 2 && err.contains(hint), "{name}: {err}");
    }
    for addr in ["localhost", "::1:9999", "127.0.0.1:0", "127.0.0.1:99999"] {
        let (code, _, err) = run(&["chat", addr]);
        assert!(code == 2 && err.contains("HOST:PORT"), "{addr}: {err}");
    }
}

fn comes_and_leaves(relay: &Relay, addr: &str) {
    let mut chat = Chat::new("bob", addr);
    relay.hears("bob");
    chat.type_in("exit\n");
    relay.hears("bob : EXIT");
    assert_eq!(chat.end().0.code(), Some(0));
}

#[test]
fn a_host_is_found_by_name_whichever_family_it_listens_on() {
    let relay = Relay::new();
    comes_and_leaves(&relay, &format!("localhost:{}", relay.socket.local_addr().unwrap().port()));
}

#[test]
fn a_relay_on_v6_is_reached() {
    match Relay::at("[::1]:0") {
        Ok(relay) => comes_and_leaves(&relay, &relay.addr()),
        Err(error) => println!("SKIPPED: no ::1 here: {error}"),
    }
}

#[test]
fn a_datagram_from_elsewhere_is_not_shown() {
    let relay = Relay::new();
    let (mut chat, from) = Chat::joined("bob", &relay);
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    stranger.send_to(b"amy : forged", from).unwrap();
    relay.say(from, "amy : true");
    assert_eq!(chat.shown(), "amy : true\n");
}
