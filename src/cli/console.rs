//! Owns the operator's console: what is typed becomes a command, what is heard
//! a line. Never speaks to the network: the relay does, and may refuse.

use super::print_line;
use super::sanitize::one_line;
use outcry::directory::{Directory, Member};
use outcry::relay::{Command, Outcome, Target};
use outcry::server::{Handle, Notice};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HELP: &str = "\
  TEXT                  to the one peer as typed, or to all as [relay] TEXT
  /to ADDR|NAME TEXT    to one address heard from, as typed; a NAME with blanks in \"quotes\"
  /peers                who is here
  /kick NAME            remove a member and refuse its address for a minute
  /stats                what was counted
  /quit                 tell the members and stop
  //TEXT                a line that begins with /";

/// Prints what the relay tells, until the relay is gone.
pub(super) fn print_notices(notices: Receiver<Notice>) -> JoinHandle<()> {
    thread::spawn(move || {
        for notice in notices {
            match notice {
                Notice::Heard { remote, text } => print_line(format_args!("{remote} | {}", one_line(&text))),
                Notice::Stats(report) => print_line(report),
            }
        }
    })
}

/// Does what is typed, until the input or the relay ends.
pub(super) fn read_commands(relay: Handle, directory: Arc<Directory>) {
    thread::spawn(move || {
        for typed in io::stdin().lines().map_while(Typed::read) {
            match answer(&relay, &directory, typed) {
                Some(answer) if answer.is_empty() => {}
                Some(answer) => print_line(answer),
                None => return,
            }
        }
    });
}

/// What the operator typed.
#[derive(Debug, PartialEq)]
enum Typed {
    Command(Command),
    Peers,
    Stats,
    Nothing,
    NotUtf8,
    Unknown,
}

impl Typed {
    /// What a line read says; `None` at the end of input.
    fn read(line: io::Result<String>) -> Option<Self> {
        match line {
            Ok(line) => Some(Self::parse(&line)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(Self::NotUtf8),
            Err(_) => None,
        }
    }

    fn parse(line: &str) -> Self {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest) {
            ("", "") => Self::Nothing,
            ("/to", rest) => match split_target(rest) {
                Some((to, text)) => Self::Command(Command::To(Target::parse(to), text.to_owned())),
                None => Self::Unknown,
            },
            ("/kick", name) if !name.is_empty() => {
                Self::Command(Command::Kick(Target::parse(name.trim().trim_matches('"'))))
            }
            ("/peers", "") => Self::Peers,
            ("/stats", "") => Self::Stats,
            ("/quit", "") => Self::Command(Command::Shutdown),
            _ => match line.strip_prefix('/') {
                Some(text) if text.starts_with('/') => Self::Command(Command::Say(text.to_owned())),
                Some(_) => Self::Unknown,
                None => Self::Command(Command::Say(line.to_owned())),
            },
        }
    }
}

/// `ADDR TEXT`, `NAME TEXT` or `"NAME WITH BLANKS" TEXT`.
fn split_target(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once("\" "),
        None => text.split_once(' '),
    }
}

/// The answer to what was typed; `None` when the relay has ended.
fn answer(relay: &Handle, directory: &Directory, typed: Typed) -> Option<String> {
    Some(match typed {
        Typed::Command(command) => outcome(relay.command(command)?),
        Typed::Peers => peers(&directory.members()),
        Typed::Stats => format!("{:#}", relay.report()?).trim_end().to_owned(),
        Typed::Nothing => String::new(),
        Typed::NotUtf8 => "not sent: a line is UTF-8 text".to_owned(),
        Typed::Unknown => HELP.to_owned(),
    })
}

fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::SentTo(remote) => format!("-> {remote}"),
        Outcome::SentToAll(members) => format!("-> {members} members, as [relay] ..."),
        Outcome::Kicked(remote) => format!("{remote} was removed and is refused for a minute"),
        Outcome::NoSuch => "nobody of that name or address is here: /peers lists them".to_owned(),
        Outcome::NobodyHere => "nobody is here; /to ADDR TEXT answers who was heard".to_owned(),
        Outcome::BadLength => "a line has 1 to 1024 bytes, [relay] included where it goes to all".to_owned(),
        Outcome::ShutDown => "stopping".to_owned(),
        Outcome::Muted(_)
        | Outcome::Unmuted(_)
        | Outcome::Banned
        | Outcome::Unbanned
        | Outcome::BansFull
        | Outcome::LockedDown(_)
        | Outcome::Draining
        | Outcome::Reconfigured => "done".to_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long somebody has been here is shown, not acted upon")]
fn peers(members: &[Member]) -> String {
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut lines = vec![format!("{} here", members.len())];
    lines.extend(members.iter().map(|member| {
        let Member { remote, name, since_unix_s, lines, bytes, .. } = member;
        let here = format!("{:?}", Duration::from_secs(now_unix_s.saturating_sub(*since_unix_s)));
        format!("  {remote:<24} here {here:>8}  {lines:>6} lines {bytes:>9} B  {}", one_line(name.as_bytes()))
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;

    #[test]
    fn a_line_that_is_not_utf8_is_not_the_last() {
        let typed: Vec<_> = b"hi\n\xFFhi\n/quit\n".lines().map_while(Typed::read).collect();
        let [hi, quit] = [Command::Say("hi".into()), Command::Shutdown].map(Typed::Command);
        assert_eq!(typed, [hi, Typed::NotUtf8, quit]);
    }

    #[test]
    fn what_is_typed_is_understood() {
        let remote = "127.0.0.1:5".parse().unwrap();
        let rows = [
            ("hello there ", Typed::Command(Command::Say("hello there ".into()))),
            ("/to 127.0.0.1:5 hi you", Typed::Command(Command::To(Target::Address(remote), "hi you".into()))),
            ("/to bob hi", Typed::Command(Command::To(Target::Name("bob".into()), "hi".into()))),
            (
                "/to \"bob the second\" hi",
                Typed::Command(Command::To(Target::Name("bob the second".into()), "hi".into())),
            ),
            ("/to bob  as typed ", Typed::Command(Command::To(Target::Name("bob".into()), " as typed ".into()))),
            ("/kick bob", Typed::Command(Command::Kick(Target::Name("bob".into())))),
            ("//quit", Typed::Command(Command::Say("/quit".into()))),
            ("/quit", Typed::Command(Command::Shutdown)),
            ("/peers", Typed::Peers),
            ("/stats", Typed::Stats),
            ("", Typed::Nothing),
            ("/to bob", Typed::Unknown),
            ("/kick", Typed::Unknown),
            ("/nonsense", Typed::Unknown),
        ];
        for (line, expected) in rows {
            assert_eq!(Typed::parse(line), expected, "{line:?}");
        }
    }
}
