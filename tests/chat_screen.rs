//! `outcry chat` on the whole screen, in a real terminal: tmux. What is typed
//! there arrives elsewhere, what is said elsewhere is seen there, in every
//! size, and the terminal is as before afterwards. Asserts no times.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod process;

use process::{Running, Serve, skip};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A terminal with a shell's command in it. A tmux of its own, which ends with the test.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// `None`, and said so, where there is no tmux.
    fn open(columns: u16, rows: u16, command: &str) -> Option<Self> {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let is_there = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !is_there.is_ok_and(|status| status.success()) {
            skip("the chat on a screen: no tmux here");
            return None;
        }
        let socket = format!("outcry-{}-{}", std::process::id(), OPENED.fetch_add(1, Ordering::Relaxed));
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let session = ["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, "sh", "-c", command];
        let started =
            Command::new("tmux").args(["-u", "-L", &socket]).args(session).env_remove("TMUX").output().unwrap();
        if !started.status.success() {
            skip(format_args!(
                "the chat on a screen: tmux does not start: {}",
                String::from_utf8_lossy(&started.stderr)
            ));
            return None;
        }
        let terminal = Self { socket };
        Some(terminal)
    }

    /// amy's chat; the shell then tells how it ended and how the terminal is.
    fn chat(relay: &Serve, columns: u16, rows: u16, flags: &str) -> Option<Self> {
        let (binary, addr) = (env!("CARGO_BIN_EXE_outcry"), relay.addr);
        let chat = format!("'{binary}' chat --name amy {addr} {flags}");
        Self::open(
            columns,
            rows,
            &format!(
                "echo before; {chat}; echo code $?; stty -a | tr ' ' '\\n' | grep -x -e '-*icanon' -e '-*echo'; sleep 600"
            ),
        )
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output =
            Command::new("tmux").args(["-u", "-L", &self.socket]).args(args).env_remove("TMUX").output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types text as it is, and then keys by their tmux names.
    fn types(&self, text: &str, keys: &[&str]) {
        if !text.is_empty() {
            self.tmux(&["send-keys", "-l", text]);
        }
        if !keys.is_empty() {
            self.tmux(&[&["send-keys"], keys].concat());
        }
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as it should be, and returns it.
    #[track_caller]
    fn shows(&self, what: &str, is_right: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let shown = until_or(&mut last, || self.screen(), is_right);
        shown.unwrap_or_else(|| panic!("{what} in vain:\n{last}"))
    }

    #[track_caller]
    fn shows_text(&self, text: &str) -> String {
        self.shows(text, |screen| screen.contains(text))
    }

    fn value(&self, format: &str) -> String {
        self.tmux(&["display-message", "-p", format]).trim().to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let path = self.value("#{socket_path}");
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).stderr(Stdio::null()).status();
        // tmux leaves it behind.
        let _ = std::fs::remove_file(path);
    }
}

fn until_or(last: &mut String, look: impl Fn() -> String, is_right: impl Fn(&str) -> bool) -> Option<String> {
    let deadline = process::Deadline::after(process::HANG);
    while !deadline.left().is_zero() {
        *last = look();
        if is_right(last) {
            return Some(last.clone());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    None
}

#[track_caller]
fn bob(relay: &Serve) -> Running {
    let bob = Running::outcry(&["chat", "--name", "bob", &relay.addr.to_string()]);
    bob.err.until("this is lobby");
    bob
}

/// The terminal is as a shell wants it: lines are edited and shown, and the screen is the usual one.
#[track_caller]
fn is_as_before(terminal: &Terminal, code: u8) {
    let screen = terminal.shows("the end", |screen| screen.contains("icanon\necho\n"));
    assert!(screen.contains(&format!("code {code}\n")) && !screen.contains("-icanon"), "{screen}");
    assert_eq!(terminal.value("#{alternate_on} #{cursor_flag}"), "0 1");
}

#[test]
fn people_talk_and_the_terminal_is_as_before() {
    let relay = Serve::start(&[]);
    let Some(amy) = Terminal::chat(&relay, 80, 24, "") else { return };
    amy.shows_text("this is lobby: nobody else is here");
    let mut bob = bob(&relay);
    amy.shows_text("bob is here");
    amy.types("good mornig", &["Left", "n", "End"]);
    amy.types(" 汉字👩‍💻x", &["BSpace", "Enter"]);
    bob.shows("amy : good morning 汉字👩‍💻");
    amy.shows("the own line, delivered", |screen| screen.contains("amy: good morning") && screen.contains('✓'));
    bob.types("hello \u{202E}amy");
    amy.shows_text("bob: hello <U+202E>amy");
    amy.types("/msg bob psst", &["Enter"]);
    bob.err.until("private message from amy: psst");
    amy.shows_text("[you to bob alone] psst ✓");
    amy.types("/quit", &["Enter"]);
    bob.err.until("amy has left");
    is_as_before(&amy, 0);
}

#[test]
fn every_size_is_drawn_and_what_was_said_stays() {
    let relay = Serve::start(&[]);
    let Some(amy) = Terminal::chat(&relay, 80, 24, "") else { return };
    amy.shows_text("this is lobby");
    let mut bob = bob(&relay);
    bob.types(&"long ".repeat(30));
    (0..30).for_each(|line| bob.types(&format!("line {line}")));
    amy.shows_text("bob: line 29");
    for (columns, rows) in [(40, 10), (12, 4), (3, 2), (100, 40), (80, 24)] {
        amy.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        amy.shows("the prompt in the last row", |screen| screen.trim_end().lines().last() == Some(">"));
    }
    // What only the chat draws in this size: a smaller terminal shows a part of the larger screen at first.
    let screen = amy.shows("the members", |screen| screen.lines().nth(1).is_some_and(|row| row.ends_with(" 2 here")));
    assert!(screen.contains("bob: line 29") && !screen.contains("bob: long"), "{screen}");
    amy.types("", &["PPage", "PPage", "PPage"]);
    amy.shows("the oldest line", |screen| screen.contains("bob: long") && screen.contains("End goes to the newest"));
    amy.types("", &["End"]);
    amy.shows_text("bob: line 29");
    amy.types("", &["C-c"]);
    bob.err.until("amy has left");
    is_as_before(&amy, 0);
}

#[test]
fn rooms_are_tabs() {
    let relay = Serve::start(&[]);
    let Some(amy) = Terminal::chat(&relay, 80, 24, "") else { return };
    amy.shows_text("this is lobby");
    let mut bob = bob(&relay);
    amy.types("/join den", &["Enter"]);
    amy.shows_text("this is den: nobody else is here");
    bob.types("hello lobby");
    amy.shows("what is unread", |screen| screen.starts_with(" lobby 1  den"));
    amy.types("", &["Tab"]);
    amy.shows_text("bob: hello lobby");
    amy.types("/rooms", &["Enter"]);
    amy.shows_text("rooms: ");
    amy.types("", &["C-d"]);
    is_as_before(&amy, 0);
}

#[test]
fn a_relay_that_is_away_is_shown_and_what_was_typed_arrives() {
    let relay = Serve::start(&[]);
    let Some(amy) = Terminal::chat(&relay, 80, 24, "") else { return };
    amy.shows_text("this is lobby");
    let addr = relay.addr.to_string();
    relay.end();
    amy.shows_text("RECONNECTING: the relay is shutting down");
    amy.types("are you there?", &["Enter"]);
    amy.shows_text("amy: are you there? (sending)");
    let _relay = Serve::at(&addr, &[]);
    amy.shows_text("amy: are you there? ✓");
}

#[test]
fn a_relay_that_dies_without_a_word_is_shown_and_what_was_typed_arrives() {
    let mut relay = Serve::start(&[]);
    let Some(amy) = Terminal::chat(&relay, 80, 24, "") else { return };
    amy.shows_text("this is lobby");
    relay.process.kill();
    amy.types("are you there?", &["Enter"]);
    amy.shows_text("RECONNECTING: the relay does not answer");
    let _relay = Serve::at(&relay.addr.to_string(), &[]);
    amy.shows_text("amy: are you there? ✓");
}

#[test]
fn signals_and_refusals_give_the_terminal_back() {
    let mut relay = Serve::start(&["--console"]);
    let Some(amy) = Terminal::chat(&relay, 80, 24, "") else { return };
    amy.shows_text("this is lobby");
    let shell = amy.value("#{pane_pid}");
    let kill = format!("kill -TERM $(ps -o pid= --ppid {shell})");
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    is_as_before(&amy, 0);
    let Some(amy) = Terminal::chat(&relay, 80, 24, "") else { return };
    amy.shows_text("this is lobby");
    relay.process.types("/kick amy");
    amy.shows_text("removed by the operator");
    is_as_before(&amy, 1);
}

#[test]
fn a_passphrase_is_asked_for_and_not_shown() {
    let relay = Serve::start(&[]);
    let Some(amy) = Terminal::chat(&relay, 80, 24, "--room den --sealed") else { return };
    amy.shows_text("passphrase of den (not shown):");
    amy.types("open sesame", &["Enter"]);
    let screen = amy.shows_text("this is den, sealed");
    assert!(!screen.contains("sesame"));
    amy.types("/quit", &["Enter"]);
    is_as_before(&amy, 0);
    assert!(!amy.screen().contains("sesame"));
    let Some(amy) = Terminal::chat(&relay, 80, 24, "--room den --sealed") else { return };
    amy.shows_text("passphrase of den (not shown):");
    amy.types("", &["C-c"]);
    amy.shows_text("no passphrase was given");
    is_as_before(&amy, 2);
}

#[test]
fn a_paste_is_said_line_by_line() {
    let relay = Serve::start(&[]);
    let Some(amy) = Terminal::chat(&relay, 80, 24, "") else { return };
    amy.shows_text("this is lobby");
    let bob = bob(&relay);
    amy.tmux(&["set-buffer", "one\n/quit\ntwo\nrest"]);
    amy.tmux(&["paste-buffer", "-p"]);
    ["one", "/quit", "two"].iter().for_each(|line| bob.shows(&format!("amy : {line}")));
    amy.shows_text("> rest");
    amy.types("", &["Enter"]);
    bob.shows("amy : rest");
}
