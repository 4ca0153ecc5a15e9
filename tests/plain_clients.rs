//! The two binaries and clients that know nothing of them: Python scripts of
//! a dozen lines, written from the plain protocol's page alone. What they show
//! is compared byte for byte. Asserts no times.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod process;

use process::books::Books;
use process::{Deadline, HANG, Running, Serve, host, listening_on, outcry, skip};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

const SHUTDOWN: &str = "[relay] 服务器关闭";

fn python_is_missing() -> bool {
    let check = Command::new("python3").args(["-c", "import socket, threading"]).stderr(Stdio::null()).status();
    let missing = !check.is_ok_and(|status| status.success());
    if missing {
        skip("the Python clients: no python3 here");
    }
    missing
}

fn python(script: &str, relay: &Serve) -> Command {
    let path = format!("{}/tests/python/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.args([&path, &relay.addr.ip().to_string(), &relay.addr.port().to_string()]);
    command
}

/// A client of the chat room that has joined `relay`, whose log is on `debug`.
#[track_caller]
fn comes(name: &str, relay: &Serve) -> Running {
    let client = Running::start(python("chat_room.py", relay).arg(name));
    relay.logs("joined", name);
    client
}

/// A one-to-one client, and its address as the relay sees it.
#[track_caller]
fn calls(relay: &Serve) -> (Running, String) {
    let client = Running::start(&mut python("one_to_one.py", relay));
    let port = client.out.until("my port is ").split(' ').next_back().unwrap().to_owned();
    (client, format!("127.0.0.1:{port}"))
}

#[track_caller]
fn all_show(clients: &[&Running], expected: &str) {
    clients.iter().for_each(|client| client.shows(expected));
}

// ---- Python clients in the chat room -----------------------------------------

#[test]
fn three_people_talk_and_leave_each_in_their_own_way() {
    if python_is_missing() {
        return;
    }
    let relay = Serve::start(&["--log", "debug"]);
    let mut ming = comes("小明", &relay);
    let mut hong = comes("小红", &relay);
    ming.shows("小红 进入聊天室...");
    let mut gang = comes("小刚", &relay);
    all_show(&[&ming, &hong], "小刚 进入聊天室...");

    ming.types("你好，大家！");
    all_show(&[&hong, &gang], "小明 : 你好，大家！");
    hong.types("the exit is over there");
    all_show(&[&ming, &gang], "小红 : the exit is over there");
    hong.types("I am still here \t 👩‍💻");
    all_show(&[&ming, &gang], "小红 : I am still here \t 👩‍💻");
    gang.types("");
    all_show(&[&ming, &hong], "小刚 : ");

    hong.types("EXIT");
    all_show(&[&ming, &gang], "小红 离开了聊天室...");
    assert_eq!(hong.exit_code(), Some(0));
    gang.kill();
    talks_until_shown(&mut ming, "小刚 离开了聊天室...");
    ming.types("exit");
    relay.logs("left", "小明");
    assert_eq!(ming.out.rest(), "", "nobody hears their own lines");

    let books = relay.end();
    assert_eq!((books.joined(), books.members()), (3, 0));
    assert_eq!((books.left("exit"), books.left("unreachable")), (2, 1));
    assert_eq!(books.dropped(), 0);
}

/// Only somebody who is sent something can be found gone.
#[track_caller]
fn talks_until_shown(client: &mut Running, notice: &str) {
    let deadline = Deadline::after(HANG);
    loop {
        client.types("anyone?");
        if let Some(line) = client.out.next_within(Duration::from_millis(100)) {
            return assert_eq!(line, notice.as_bytes(), "{:?}", String::from_utf8_lossy(&line));
        }
        assert!(!deadline.left().is_zero(), "in vain: {notice}");
    }
}

// ---- Python clients and the operator -------------------------------------------

#[test]
fn the_one_to_one_console_shows_the_caller_and_answers_as_typed() {
    if python_is_missing() {
        return;
    }
    let mut relay = Serve::start(&["--console"]);
    let (mut caller, address) = calls(&relay);
    let first = "这是第一条消息 ".repeat(9) + "12";
    assert_eq!(first.len(), 200);
    caller.types(&first);
    relay.process.shows(&format!("{address} | {first}"));
    for line in ["收到：你好 ", " two  blanks\tand a tab", "[relay] not added, and not kept away"] {
        relay.process.types(line);
        caller.shows(line);
        relay.process.shows(&format!("-> {address}"));
    }
    caller.types("bye");
    relay.process.shows(&format!("{address} | bye"));
    relay.process.types("bye to you");
    caller.shows("bye to you");
    let books = relay.end();
    assert_eq!((books.dropped_for("stranger_too_long"), books.joined()), (1, 1), "{books:?}");
}

#[test]
fn the_operators_commands_come_through_a_pipe() {
    if python_is_missing() {
        return;
    }
    let mut relay = Serve::start(&["--console", "--log", "debug"]);
    let ming = comes("小明", &relay);
    let mut hong = comes("小红", &relay);
    ming.shows("小红 进入聊天室...");
    let (mut caller, address) = calls(&relay);
    caller.types(&"长".repeat(30));
    relay.process.out.until(&format!("{address} | 长长长"));

    relay.process.types("/peers");
    relay.process.shows("2 here");
    let peers =
        [relay.process.out.next(), relay.process.out.next()].map(|line| String::from_utf8(line.unwrap()).unwrap());
    assert!(peers.iter().any(|peer| peer.ends_with("B  小明")) && peers.iter().any(|peer| peer.ends_with("B  小红")));
    relay.process.types("/to 小明 只给你");
    ming.shows("只给你");
    relay.process.types(&format!("/to {address} back to you"));
    caller.shows("back to you");
    relay.process.types("to everyone");
    all_show(&[&ming, &hong], "[relay] to everyone");
    relay.process.out.until("-> 2 members, as [relay] ...");
    relay.process.types("/nonsense");
    relay.process.out.until("/quit");

    relay.process.types("/kick 小红");
    relay.process.out.until("was removed and is refused for a minute");
    hong.shows("[relay] 已被管理员移出");
    ming.shows("小红 离开了聊天室...");
    hong.types("let me in!");
    relay.process.out.until("小红 : let me in!");
    relay.process.types("/kick 小红");
    relay.process.out.until("nobody of that name or address is here");

    relay.process.types("/stats");
    for fact in ["members  1 (joined 2, left 1 (kicked 1))", "refused_address 1", "7 copies = 7 sent", "turn  "] {
        relay.process.out.until(fact);
    }
    relay.process.types("/quit");
    ming.shows(SHUTDOWN);
    assert_eq!(relay.process.exit_code(), Some(0));
    let books = Books::at_end(&relay.process.out.rest());
    assert_eq!((books.left("kicked"), books.left("shutdown")), (1, 1));
}

// ---- signals ---------------------------------------------------------------------

/// A member that the test itself is.
fn member(relay: SocketAddr, name: &str) -> UdpSocket {
    let socket = UdpSocket::bind((host(0), 0)).unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket.send_to(name.as_bytes(), relay).unwrap();
    socket
}

#[track_caller]
fn hears(socket: &UdpSocket, expected: &str) {
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer[..len]), expected);
}

#[test]
fn a_signal_tells_the_members_and_prints_the_counters() {
    for signal in ["TERM", "INT"] {
        let mut relay = Serve::start(&["--log", "debug"]);
        let members = ["amy", "bob"].map(|name| {
            let socket = member(relay.addr, name);
            relay.logs("joined", name);
            socket
        });
        hears(&members[0], "bob 进入聊天室...");
        relay.process.signal(signal);
        members.iter().for_each(|member| hears(member, SHUTDOWN));
        assert_eq!(relay.process.exit_code(), Some(0), "{signal}");
        let books = Books::at_end(&relay.process.out.rest());
        assert_eq!((books.joined(), books.left("shutdown"), books.sent()), (2, 2, 3), "{signal}");
    }
}

/// A relay whose output nobody reads cannot print its counters: it waits for
/// its reader, until the operator insists.
#[test]
fn a_second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let (mut relay, output) =
            Running::start_unread(&mut outcry(&["serve", "--bind", &format!("{}:0", host(0)), "--console"]));
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let member = fills_the_console(listening_on(&line));
        relay.signal(first);
        hears(&member, SHUTDOWN);
        assert!(relay.runs(), "it waits for its reader");
        relay.signal(second);
        assert_eq!(relay.exit_code(), Some(130), "{first}, {second}");
    }
}

/// A member that has said far more than a pipe holds.
fn fills_the_console(relay: SocketAddr) -> UdpSocket {
    let member = member(relay, "amy");
    for _ in 0..200 {
        member.send_to(&[b'x'; 1000], relay).unwrap();
    }
    // The answer shows that all before it was heard, too.
    member.send_to(&[b'x'; 1025], relay).unwrap();
    hears(&member, "[relay] 未发送: 超过 1024 字节");
    member
}

// ---- outcry chat at outcry serve ---------------------------------------------------

/// A chat that has joined under `open`.
#[track_caller]
fn chats(name: &str, relay: &Serve) -> Running {
    let chat = Running::outcry(&["chat", "--plain", "--name", name, &relay.addr.to_string()]);
    relay.logs("joined", name);
    chat
}

#[test]
fn chat_and_serve_talk_under_both_policies() {
    for policy in ["open", "challenge"] {
        let relay = Serve::start(&["--plain", policy, "--log", "debug"]);
        let mut amy = chats("amy", &relay);
        let mut bob = chats("bob", &relay);
        if policy == "challenge" {
            amy.shows("[relay] 欢迎, 1 人在线");
            bob.shows("[relay] 欢迎, 2 人在线");
        }
        amy.shows("bob 进入聊天室...");
        amy.types("你好");
        bob.shows("amy : 你好");
        bob.types("the exit is over there");
        amy.shows("bob : the exit is over there");
        bob.types(" exit ");
        assert_eq!(bob.exit_code(), Some(0));
        amy.shows("bob 离开了聊天室...");
        amy.close_input();
        assert_eq!((amy.exit_code(), amy.out.rest().as_str()), (Some(0), ""));
        relay.logs("left", "amy");
        let books = relay.end();
        assert_eq!((books.left("exit"), books.relayed()), (2, 2), "{policy}");
        assert_eq!(books.dropped_for("challenged"), if policy == "open" { 0 } else { 2 });
    }
}

/// A relay at an address that nothing else is bound to: its port is still free
/// when another is started on it.
fn restartable(args: &[&str]) -> Serve {
    Serve::at(&format!("{}:0", host(1)), args)
}

#[test]
fn chats_go_on_with_a_relay_that_was_restarted() {
    let mut relay = restartable(&["--log", "debug"]);
    let mut amy = chats("amy", &relay);
    let mut bob = chats("bob", &relay);
    amy.shows("bob 进入聊天室...");
    relay.process.kill();
    let relay = Serve::at(&relay.addr.to_string(), &["--log", "debug"]);
    amy.types("first, for nobody");
    relay.logs("joined", "amy");
    bob.types("second");
    all_show(&[&amy], "bob 进入聊天室...");
    amy.shows("bob : second");
    amy.types("third");
    bob.shows("amy : third");
    let books = relay.end();
    all_show(&[&amy, &bob], SHUTDOWN);
    assert_eq!((books.joined(), books.relayed(), books.dropped()), (2, 3, 0));
}

#[test]
fn chats_prove_themselves_again_to_a_relay_that_was_restarted() {
    let args = ["--plain", "challenge", "--log", "debug", "--lang", "en"];
    let mut relay = restartable(&args);
    let mut amy = chats("amy", &relay);
    amy.shows("[relay] welcome, 1 here");
    relay.process.kill();
    let relay = Serve::at(&relay.addr.to_string(), &args);
    amy.types("never relayed: who says it is not proven");
    amy.shows("[relay] welcome, 1 here");
    let mut bob = chats("bob", &relay);
    bob.shows("[relay] welcome, 2 here");
    amy.shows("bob joined");
    bob.types("hi");
    amy.shows("bob : hi");
    let books = relay.end();
    assert_eq!((books.joined(), books.relayed(), books.dropped_for("challenged")), (2, 1, 2));
}

#[test]
fn chat_notices_that_the_relay_is_gone() {
    for shuts_down in [true, false] {
        let mut relay = restartable(&["--log", "debug"]);
        let mut amy = chats("amy", &relay);
        let addr = relay.addr;
        if shuts_down {
            relay.end();
            amy.shows(SHUTDOWN);
        } else {
            relay.process.kill();
        }
        amy.types("anyone?");
        assert_eq!(amy.exit_code(), Some(1));
        let told = format!("outcry: no relay is listening at {addr} any more (port unreachable)");
        assert_eq!(amy.err.rest().trim_end(), told);
    }
}
