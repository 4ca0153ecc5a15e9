//! Owns `outcry serve`: flags and file become a configuration, the log goes
//! to stderr, the relay runs. Never touches a socket.

use super::log::{LevelHandle, Log};
use super::operate::{self, Operating, Prepared};
use super::service::Manager;
use super::settings::{self, Settings, Sources};
use super::{EXIT_USAGE, admin, console, print_line, report, signals, write_out};
use clap::Args;
use outcry::config::Config;
use outcry::server::{Server, ServerError};
use std::fmt::Display;
use std::io;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

/// Texts and statistics that can wait to be printed: a slow terminal loses
/// some, the relay waits for none.
const NOTICES_MAX: usize = 1024;

const EXAMPLES: &str = "\
Examples:
  outcry serve                                        this machine only, no limits
  outcry serve --bind '[::]:9999' --stats 10s         for everyone; joining takes a code
  outcry serve --admin 127.0.0.1:9464                 metrics and a page to watch it, over HTTP
  outcry serve --bind 0.0.0.0:9999 --plain open       for everyone; anyone's first datagram joins
  outcry serve --bind '[::]:9999' --print-config > relay.toml
  outcry serve --config relay.toml --log debug        a flag wins over the file";

/// Run the relay
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(super) struct ServeArgs {
    /// Read settings from a TOML file: keys are named as the flags, and flags win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print what is in force, as a file for --config, and end
    #[arg(long)]
    print_config: bool,

    #[command(flatten)]
    settings: Settings,
}

/// Runs the relay, or prints its configuration.
pub(super) fn run(args: ServeArgs) -> ExitCode {
    let socket = match inherited_socket() {
        Ok(socket) => socket,
        Err(error) => return refuse(error),
    };
    let handed_over = socket.as_ref().and_then(|socket| socket.local_addr().ok());
    let sources = Sources { flags: args.settings, file: args.config, handed_over };
    let config = match sources.resolve() {
        Ok(config) => config,
        Err(error) => return refuse(error),
    };
    if args.print_config { end(print(&config)) } else { serve(config, sources, socket) }
}

fn end<E: Display>(done: Result<(), E>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error);
            ExitCode::FAILURE
        }
    }
}

/// Nothing was started.
fn refuse(error: impl Display) -> ExitCode {
    report(error);
    ExitCode::from(EXIT_USAGE)
}

/// The socket that a service manager opened for us, if there is one.
#[cfg(unix)]
fn inherited_socket() -> Result<Option<UdpSocket>, outcry::server::InheritError> {
    outcry::server::inherited_socket()
}

#[cfg(not(unix))]
fn inherited_socket() -> Result<Option<UdpSocket>, std::convert::Infallible> {
    Ok(None)
}

fn print(config: &Config) -> io::Result<()> {
    write_out(&settings::print(config).map_err(io::Error::other)?)
}

fn serve(config: Config, sources: Sources, socket: Option<UdpSocket>) -> ExitCode {
    let log = Log::start(config.log, config.log_format);
    let ended = match operate::prepare(&config) {
        Ok(prepared) => end(run_relay(config, sources, socket, prepared, log.level())),
        Err(error) if error.is_configuration() => refuse(error),
        Err(error) => end(Err(error)),
    };
    log.end();
    ended
}

/// Runs the relay until a signal, the console or the operator ends it.
fn run_relay(
    config: Config,
    sources: Sources,
    socket: Option<UdpSocket>,
    prepared: Prepared,
    log: LevelHandle,
) -> Result<(), Box<dyn std::error::Error>> {
    let face = admin::open(&config)?;
    let mut server = start(&config, socket)?;
    operate::restore(&mut server, &prepared, &config);
    for warning in server.warnings() {
        tracing::warn!("{warning}");
    }
    let manager = Manager::from_env();
    let (limits, around) = (config.limits.clone(), (log, manager.clone()));
    let operating = Operating::start(prepared, &server, (sources, config), around)?;
    let _admin = admin::serve(face, &server)?;
    // Before it is told that it listens: whoever reads that may stop it.
    signals::watch(server.handle(), manager.clone(), &operating);
    print_line(format_args!("listening on {}", server.local_addr()));
    tracing::info!(plain = %limits.plain, peers_max = limits.peers_max, "started");
    let (observer, notices) = mpsc::sync_channel(NOTICES_MAX);
    server.observe(observer);
    let printer = console::print_notices(notices);
    if limits.console {
        console::read_commands(server.handle(), server.directory());
    }
    if let Some(every) = manager.alive_every() {
        let manager = manager.clone();
        server.beat_every(every, move || manager.alive());
    }
    manager.ready();
    let ended = server.run();
    operating.end();
    let report = ended?;
    // The server is gone, and with it the observer: the printer has an end.
    let _ = printer.join();
    print_line(format_args!("{report:#}"));
    Ok(())
}

fn start(config: &Config, socket: Option<UdpSocket>) -> Result<Server, ServerError> {
    let Some(socket) = socket else { return Server::bind(config) };
    tracing::info!("the socket was handed over: its address counts, whatever `bind` says");
    Server::adopt(config, socket)
}
