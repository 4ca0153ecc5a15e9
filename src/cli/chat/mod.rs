//! Owns `outcry chat`: its flags, which of its faces the user sees, and the
//! exit codes. Never draws and never sends: `screen` is the face on a
//! terminal, `pipe` the one in a pipe, both on one `model`; `plain` is a
//! member of the plain protocol.

mod command;
mod doing;
mod editor;
mod link;
mod members;
mod model;
mod pane;
mod pipe;
mod plain;
mod screen;
mod secrets;
mod tab;
#[cfg(test)]
mod tests;
mod text;
mod view;
mod words;

use super::lines::Speaker;
use super::{EXIT_USAGE, report};
use clap::Args;
use link::Link;
use model::Model;
use outcry::blocking::{Connection, Error};
use outcry::client::{AccessKey, End, Options, RoomKey, RoomSpec};
use outcry::wire::plain::NAME_BYTES_MAX;
use secrets::SecretError;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use thiserror::Error;

/// The relay did not let the user in.
const EXIT_REFUSED: u8 = 3;
/// Messages from before the join that are shown on a terminal.
const HISTORY_ON_SCREEN: u32 = 100;
const LOBBY: &str = "lobby";

const EXAMPLES: &str = "\
Examples:
  outcry chat --name alice 127.0.0.1:9999
  outcry chat relay.example:9999                    v6 and v4 are tried in turn
  outcry chat --room den --sealed relay.example:9999
  echo done | outcry chat --name build '[::1]:9999'
  outcry chat --plain 127.0.0.1:9999                any relay of name : text lines

On a terminal /help shows the commands, /quit or Ctrl-C leaves. In a pipe each
line is said as it is; on stdout stands what others say in the room, on stderr
all else, and the program ends when everything was delivered.

Exit codes: 0 done, 1 failed or something not delivered, 2 a wrong flag, 3 refused by the relay.";

/// Chat: each line you type goes to every other member of the room
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ChatArgs {
    /// Your name [default: $USER, else guest]
    #[arg(long)]
    name: Option<Speaker>,

    /// The room to begin in [default: lobby, where plain members are, too]
    #[arg(long, value_name = "ROOM")]
    room: Option<RoomName>,

    /// Only who has the passphrase reads the room; asks for it. Does not prove who of them wrote what, and
    /// a passphrase that leaks opens what was said before
    #[arg(long)]
    sealed: bool,

    /// Read the passphrase from a file instead
    #[arg(long, value_name = "FILE", requires = "sealed")]
    passphrase_file: Option<PathBuf>,

    /// File with the relay's access key, where it wants one
    #[arg(long, value_name = "FILE")]
    access_key_file: Option<PathBuf>,

    /// Messages from before that are shown first [default: 100 on a terminal, else 0]
    #[arg(long, value_name = "COUNT")]
    history: Option<u32>,

    /// Take lines that begin with a slash as commands in a pipe, too
    #[arg(long)]
    commands: bool,

    /// Be a member of the plain protocol: one room, no repair, no commands
    #[arg(long, conflicts_with_all = ["room", "sealed", "access_key_file", "history", "commands"])]
    plain: bool,

    /// The relay, as HOST:PORT
    addr: Target,
}

/// A host and a port, not yet looked up.
#[derive(Clone, Debug)]
struct Target(String);

#[derive(Debug, Error)]
#[error("expected HOST:PORT, like 127.0.0.1:9999, [::1]:9999 or relay.example:9999")]
struct WrongTarget;

impl FromStr for Target {
    type Err = WrongTarget;

    fn from_str(text: &str) -> Result<Self, WrongTarget> {
        let (host, port) = text.rsplit_once(':').ok_or(WrongTarget)?;
        let named = !host.is_empty() && (host.starts_with('[') || !host.contains(':'));
        if named && port.parse().is_ok_and(|port: u16| port != 0) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WrongTarget)
        }
    }
}

/// The name of a room.
#[derive(Clone, Debug)]
struct RoomName(String);

#[derive(Debug, Error)]
#[error("expected the name of a room: 1 to {NAME_BYTES_MAX} bytes and no control characters")]
struct WrongRoom;

impl FromStr for RoomName {
    type Err = WrongRoom;

    fn from_str(text: &str) -> Result<Self, WrongRoom> {
        let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(WrongRoom) }
    }
}

/// How a chat ends.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Done,
    Failed(String),
    /// The user has read why.
    FailedAsTold,
    Refused(String),
    Usage(String),
}

impl Ending {
    /// How it ends on a screen, if it does.
    fn of(model: &Model) -> Option<Self> {
        if model.is_leaving { Some(Self::Done) } else { Self::of_pipe(model) }
    }

    /// How it ends in a pipe, where leaving waits for what was said.
    fn of_pipe(model: &Model) -> Option<Self> {
        if let Some((room, code)) = &model.shut_out {
            return Some(Self::Refused(words::shut_out(room, *code)));
        }
        match model.end.as_ref()? {
            (End::Done, _) => Some(Self::Done),
            (why, reason) if reason.is_empty() => Some(Self::Failed(format!("the chat is over: {why}"))),
            (why, reason) => Some(Self::Failed(format!("the chat is over: {why} ({reason})"))),
        }
    }

    /// Why there is no connection.
    fn of_error(error: &Error) -> Self {
        match error {
            Error::Refused { code, retry, .. } => Self::Refused(words::refused_for_now(*code, *retry)),
            Error::Ended { why: End::Code(code), .. } => Self::Refused(words::refused(*code)),
            other => Self::Failed(other.to_string()),
        }
    }

    fn exit(self) -> ExitCode {
        let (told, code) = match self {
            Self::Done => return ExitCode::SUCCESS,
            Self::FailedAsTold => return ExitCode::FAILURE,
            Self::Failed(why) => (why, ExitCode::FAILURE),
            Self::Refused(why) => (format!("refused: {why}"), ExitCode::from(EXIT_REFUSED)),
            Self::Usage(why) => (why, ExitCode::from(EXIT_USAGE)),
        };
        report(told);
        code
    }
}

impl From<SecretError> for Ending {
    fn from(error: SecretError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Chats until the user leaves or the relay is gone.
pub(super) fn run(args: &ChatArgs) -> ExitCode {
    let name = args.name.unwrap_or_else(Speaker::of_user);
    if args.plain {
        return plain::run(&args.addr.0, &name);
    }
    chat(args, &name.to_string()).unwrap_or_else(|ending| ending).exit()
}

/// Whether the chat may fill the terminal.
fn is_on_screen() -> bool {
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
}

fn chat(args: &ChatArgs, name: &str) -> Result<Ending, Ending> {
    let is_on_screen = is_on_screen();
    let history = args.history.unwrap_or(if is_on_screen { HISTORY_ON_SCREEN } else { 0 });
    let room = room(args)?.with_history(history);
    let mut options = Options::new(name);
    if let Some(path) = &args.access_key_file {
        options.access_key = Some(AccessKey::from_file(&secrets::read("access key", path)?));
    }
    if is_on_screen {
        report(format_args!("connecting to {}", args.addr.0));
    }
    let connection = Connection::open(&args.addr.0, options).map_err(|error| Ending::of_error(&error))?;
    let link = Link::start(connection);
    let mut model = Model::new(name, history);
    if let Err(error) = model.join(room, &link.voice) {
        link.close();
        return Err(Ending::Failed(error.to_string()));
    }
    Ok(if is_on_screen { screen::run(link, model) } else { pipe::run(link, model, args.commands) })
}

/// The room to begin in, with its key.
fn room(args: &ChatArgs) -> Result<RoomSpec, Ending> {
    let name = args.room.as_ref().map_or(LOBBY, |room| room.0.as_str());
    if !args.sealed {
        return Ok(RoomSpec::open(name));
    }
    if name == LOBBY {
        return Err(Ending::Usage("the lobby is open to all: name the sealed room with --room".to_owned()));
    }
    let passphrase = secrets::passphrase(name, args.passphrase_file.as_deref())?;
    let key = RoomKey::derive(name, &passphrase).map_err(|error| Ending::Usage(error.to_string()))?;
    Ok(RoomSpec::sealed(name, key))
}
