//! Owns the command line: its subcommands, what they print about themselves,
//! and the exit codes (0 done, 1 failed, 2 a wrong flag or configuration, 3
//! refused by the relay).
//! Never does a subcommand's work: each is a file of its own.

#[cfg(feature = "admin")]
mod admin;
#[cfg(not(feature = "admin"))]
#[path = "admin_none.rs"]
mod admin;
mod chat;
mod console;
#[cfg(unix)]
mod ctl;
#[cfg(target_os = "linux")]
mod doctor;
mod generate;
mod lines;
mod log;
#[cfg(unix)]
mod operate;
#[cfg(not(unix))]
#[path = "operate_none.rs"]
mod operate;
mod sanitize;
mod serve;
#[cfg(target_os = "linux")]
mod service;
#[cfg(not(target_os = "linux"))]
#[path = "service_none.rs"]
mod service;
mod settings;
mod signals;
mod values;

use clap::{Parser, Subcommand};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// A wrong flag or configuration: nothing was started.
const EXIT_USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  outcry serve                           a relay for this machine, on 127.0.0.1:9999
  outcry serve --bind '[::]:9999'        a relay for everyone, v4 and v6
  outcry chat --name alice 127.0.0.1:9999
  tail -f log | outcry chat --name log 127.0.0.1:9999
  outcry ctl peers                       who is here, asked of a running relay
  outcry doctor                          will this machine let it do its best?

Exit codes: 0 done, 1 failed, 2 a wrong flag or configuration, 3 refused by the relay (doctor and ctl have
their own).";

/// A UDP chat relay: what one member says, every other member reads
#[derive(Debug, Parser)]
#[command(name = "outcry", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Chat(chat::ChatArgs),
    #[cfg(unix)]
    Ctl(ctl::CtlArgs),
    #[cfg(target_os = "linux")]
    Doctor(doctor::DoctorArgs),
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(*args),
        Command::Chat(args) => chat::run(&args),
        #[cfg(unix)]
        Command::Ctl(args) => ctl::run(args),
        #[cfg(target_os = "linux")]
        Command::Doctor(args) => doctor::run(&args),
        Command::Generate(args) => generate::run(&args),
    }
}

/// Tells the user something, on stderr; a closed stderr is no error.
fn report(message: impl Display) {
    let _ = writeln!(io::stderr(), "outcry: {message}");
}

/// Prints a line on stdout; a closed stdout is no error.
fn print_line(line: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Writes `text` to stdout; a closed stdout is no error.
fn write_out(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Whether `stream` shows colours, and the user wants them (no-color.org).
fn has_colours(stream: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !no_color
}
