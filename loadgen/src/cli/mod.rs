//! The command line: parses, runs, prints, and turns the result into an exit
//! code. Results on stdout, everything else on stderr.

mod calibrate;
mod run;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures a fan-out: many members, each message to all of them.
///
/// Exit codes: 0 pass, 1 objective missed, 2 usage or set-up, 3 invalid (the
/// generator was the limit).
#[derive(Parser)]
#[command(name = "loadgen", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join members, send by a schedule, report what every one of them received.
    Run(Box<run::RunArgs>),
    /// What this generator can receive on this machine, from a reflector that only sends.
    Calibrate(calibrate::CalibrateArgs),
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs the program and returns its exit code.
pub fn main() -> u8 {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("loadgen: {error}");
        2
    })
}
