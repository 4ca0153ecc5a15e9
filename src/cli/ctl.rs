//! Owns `outcry ctl`: what an operator types becomes a request to a running
//! relay, and its answer a table or JSON. Never does what is asked.

mod table;

use super::values::Span;
use super::{print_line, report};
use clap::{Args, Subcommand};
use outcry::config::{LogLevel, TIME_MS_LARGEST};
use outcry::control::{Ask, AskError, BanRow, Client, PeerRow, RoomRow, likely_paths};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use table::Table;

/// No relay listens at the socket, or it does not answer.
const EXIT_NO_RELAY: u8 = 3;

const EXAMPLES: &str = "\
Examples:
  outcry ctl peers
  outcry ctl ban add 192.0.2.0/24 --for 10m --reason flood
  outcry ctl drain --to 198.51.100.7:9999 --deadline 1m
  outcry ctl --json peers | jq -r .name
  outcry ctl --control /run/outcry/ctl.sock stats --watch

Exit codes: 0 done, 1 the relay did not do it, 2 a wrong flag, 3 no relay answers.";

type Length = Span<1_000, TIME_MS_LARGEST>;
type Every = Span<100, TIME_MS_LARGEST>;

/// Look into a running relay, and steer it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CtlArgs {
    /// The relay's control socket [default: that of serve]
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Answer in JSON: an object a line
    #[arg(long)]
    json: bool,

    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Who is here, longest here first
    Peers,
    /// Which rooms there are
    Rooms,
    /// Who has said most
    Top {
        /// How many of them
        #[arg(short, long, default_value_t = 20)]
        count: usize,
    },
    /// What was counted
    Stats {
        /// Again and again, this often [default: 1s]
        #[arg(long, value_name = "EVERY", num_args = 0..=1, require_equals = true, default_missing_value = "1s")]
        watch: Option<Every>,
    },
    /// Remove a member and refuse its address for a minute
    Kick {
        #[command(flatten)]
        member: Who,
        #[command(flatten)]
        why: Why,
    },
    /// Drop what a member says
    Mute {
        #[command(flatten)]
        member: Who,
        #[command(flatten)]
        why: Why,
    },
    /// Drop it no longer
    Unmute {
        #[command(flatten)]
        member: Who,
    },
    /// Keep somebody out
    #[command(subcommand)]
    Ban(BanWhat),
    /// Let nobody new in, or let the limits decide again
    Lockdown {
        /// on or off
        #[arg(value_parser = ["on", "off"])]
        to: String,
    },
    /// Say a line to all, as [relay] ...
    Say {
        /// The line
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Read the configuration file and the ban file again
    Reload,
    /// Let nobody in, send members elsewhere, end when empty
    Drain {
        /// Another relay, HOST:PORT, where members are sent
        #[arg(long, value_name = "ADDR")]
        to: Option<String>,
        /// End after this time in any case
        #[arg(long, value_name = "TIME", default_value = "30s")]
        deadline: Span<0, TIME_MS_LARGEST>,
    },
    /// Set what is logged: off, error, warn, info, debug or trace
    Log {
        /// The least severe event
        level: LogLevel,
    },
}

#[derive(Debug, Subcommand)]
enum BanWhat {
    /// Ban an address, a network or a name; whoever it covers leaves
    Add {
        /// 192.0.2.7, 192.0.2.0/24, 2001:db8::/32 or a name
        target: String,
        /// For how long, like 10m or 7d [default: for ever]
        #[arg(long = "for", value_name = "TIME")]
        length: Option<Length>,
        #[command(flatten)]
        why: Why,
    },
    /// Lift a ban
    Del {
        /// As the list shows it
        target: String,
    },
    /// Which bans there are
    List,
}

/// A member.
#[derive(Args, Debug)]
struct Who {
    /// Its address or name
    who: String,
}

#[derive(Args, Debug)]
struct Why {
    /// For the log: the member is not told
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// Asks a relay and shows what it answers.
pub(super) fn run(args: CtlArgs) -> ExitCode {
    let mut client = match connect(args.control.as_deref()) {
        Ok(client) => client,
        Err(error) => {
            report(error);
            return ExitCode::from(EXIT_NO_RELAY);
        }
    };
    let watch = if let What::Stats { watch } = &args.what { watch.map(|every| every.0) } else { None };
    let ask = args.what.ask();
    let done = match watch {
        Some(every_ms) => watch_stats(&mut client, args.json, Duration::from_millis(every_ms)),
        None => show(&mut client, &ask, args.json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_no = matches!(error, AskError::Failed(_));
            report(error);
            if is_no { ExitCode::FAILURE } else { ExitCode::from(EXIT_NO_RELAY) }
        }
    }
}

fn connect(path: Option<&Path>) -> Result<Client, String> {
    let paths = path.map_or_else(likely_paths, |path| vec![path.to_owned()]);
    let mut failed = String::new();
    for path in paths {
        match Client::connect(&path) {
            Ok(client) => return Ok(client),
            Err(error) => failed += &format!("\n  {}: {error}", path.display()),
        }
    }
    Err(format!("no relay answers; --control PATH says where it listens{failed}"))
}

impl What {
    fn ask(self) -> Ask {
        match self {
            What::Peers => Ask::Peers {},
            What::Rooms => Ask::Rooms {},
            What::Top { count } => Ask::Top { count },
            What::Stats { .. } => Ask::Stats {},
            What::Kick { member, why } => Ask::Kick { who: member.who, reason: why.reason },
            What::Mute { member, why } => Ask::Mute { who: member.who, reason: why.reason },
            What::Unmute { member } => Ask::Unmute { who: member.who },
            What::Ban(BanWhat::Add { target, length, why }) => {
                let for_ms = length.map(|length| length.0).filter(|&ms| ms > 0);
                Ask::Ban { target, for_ms, reason: why.reason }
            }
            What::Ban(BanWhat::Del { target }) => Ask::Unban { target },
            What::Ban(BanWhat::List) => Ask::Bans {},
            What::Lockdown { to } => Ask::Lockdown { on: to == "on" },
            What::Say { words } => Ask::Say { line: words.join(" ") },
            What::Reload => Ask::Reload {},
            What::Drain { to, deadline } => Ask::Drain { to, deadline_ms: Some(deadline.0) },
            What::Log { level } => Ask::Log { level: level.name().to_owned() },
        }
    }
}

fn show(client: &mut Client, ask: &Ask, json: bool) -> Result<(), AskError> {
    let mut table = Table::default();
    let done = client.ask(ask, |row| {
        if json {
            print_line(&row);
            return Ok(());
        }
        add_row(&mut table, ask, row).map_err(io::Error::other)
    })?;
    let is_list = matches!(ask, Ask::Peers {} | Ask::Top { .. } | Ask::Rooms {} | Ask::Bans {});
    match (json, is_list) {
        (true, true) => {}
        (true, false) => print_line(for_programs(done)),
        (false, true) => print_line(table.show(none_of(ask))),
        (false, false) => print_line(told(ask, &done)),
    }
    Ok(())
}

fn add_row(table: &mut Table, ask: &Ask, row: Value) -> Result<(), serde_json::Error> {
    match ask {
        Ask::Rooms {} => table.room(&serde_json::from_value::<RoomRow>(row)?),
        Ask::Bans {} => table.ban(&serde_json::from_value::<BanRow>(row)?),
        _ => table.peer(&serde_json::from_value::<PeerRow>(row)?),
    }
    Ok(())
}

fn none_of(ask: &Ask) -> &'static str {
    match ask {
        Ask::Rooms {} => "no rooms",
        Ask::Bans {} => "no bans",
        _ => "nobody is here",
    }
}

/// Without what is there to be read by people.
fn for_programs(mut done: Value) -> Value {
    if let Some(done) = done.as_object_mut() {
        done.remove("text");
    }
    done
}

/// What was done, in words.
fn told(ask: &Ask, done: &Value) -> String {
    let at = |key: &str| done.get(key).cloned().unwrap_or_default();
    let text = |key: &str| at(key).as_str().unwrap_or_default().to_owned();
    let keys = |key: &str| {
        let keys: Vec<_> =
            at(key).as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
    };
    let members = || if at("members") == 1 { "1 member".to_owned() } else { format!("{} members", at("members")) };
    let kept = if at("kept") == true { "" } else { "; it ends with the relay, which has no --ban-file" };
    match ask {
        Ask::Stats {} => text("text").trim_end().to_owned(),
        Ask::Kick { .. } => format!("{} was removed and is refused for a minute", text("address")),
        Ask::Mute { .. } => format!("{} is mute", text("address")),
        Ask::Unmute { .. } => format!("{} is not mute", text("address")),
        Ask::Ban { .. } => format!("{} is banned, which removes {}{kept}", text("target"), members()),
        Ask::Unban { .. } => format!("{} is not banned any more", text("target")),
        Ask::Lockdown { on: true } => "nobody new is let in".to_owned(),
        Ask::Lockdown { on: false } => "the limits decide who is let in".to_owned(),
        Ask::Say { .. } => format!("said to {}", members()),
        Ask::Reload {} => format!("changed: {}; needs a restart: {}", keys("changed"), keys("restart")),
        Ask::Drain { deadline_ms, .. } => {
            let deadline = Duration::from_millis(deadline_ms.unwrap_or_default());
            format!("nobody is let in; the relay ends in {deadline:?}, or when nobody is left of {}", members())
        }
        Ask::Log { .. } => format!("logged from now on: {}", text("log")),
        Ask::Peers {} | Ask::Top { .. } | Ask::Rooms {} | Ask::Bans {} => String::new(),
        Ask::Takeover { .. } | Ask::HandOver { .. } => String::new(),
    }
}

/// A line each time, with what has been added since the one before.
fn watch_stats(client: &mut Client, json: bool, every: Duration) -> Result<(), AskError> {
    let mut former: Option<Value> = None;
    loop {
        let stats = client.ask(&Ask::Stats {}, |_| Ok(()))?;
        match (&former, json) {
            (_, true) => print_line(for_programs(stats.clone())),
            (None, false) => print_line("members        in   relayed   dropped    copies      lost       p99"),
            (Some(former), false) => print_line(table::stats_line(former, &stats)),
        }
        former = Some(stats);
        std::thread::sleep(every);
    }
}
