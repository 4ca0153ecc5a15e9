//! Owns `outcry serve`: flags and file become a configuration, the log goes
//! to stderr, the relay runs. Never touches a socket.

use super::log::{LevelHandle, Log};
use super::operate::{self, Operating, Prepared};
use super::service::Manager;
use super::settings::{self, Settings, Sources};
use super::{EXIT_USAGE, admin, console, print_line, report, signals, write_out};
use clap::Args;
use outcry::config::Config;
#[cfg(unix)]
use outcry::control::{Claim, Taken};
#[cfg(unix)]
use outcry::server::AUDIT;
use outcry::server::{Server, ServerError};
use std::error::Error;
use std::fmt::Display;
use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
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
  outcry serve --config relay.toml --log debug        a flag wins over the file
  outcry serve --config relay.toml --takeover relay.ctl
                                                      an upgrade: go on where that relay is";

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

    /// Take the place of the relay whose control socket is at PATH: its members notice nothing
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    takeover: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,
}

/// Runs the relay, or prints its configuration.
pub(super) fn run(args: ServeArgs) -> ExitCode {
    #[cfg(unix)]
    let from = args.takeover;
    #[cfg(not(unix))]
    let from = None;
    // A relay that runs has a socket already.
    let socket = match from.as_ref().map_or_else(inherited_socket, |_| Ok(None)) {
        Ok(socket) => socket,
        Err(error) => return refuse(error),
    };
    let handed_over = socket.as_ref().and_then(|socket| socket.local_addr().ok());
    let sources = Sources { flags: args.settings, file: args.config, handed_over };
    let config = match sources.resolve() {
        Ok(config) => config,
        Err(error) => return refuse(error),
    };
    match (args.print_config, from) {
        (true, _) => end(print(&config)),
        (false, None) => serve(config, sources, socket),
        (false, Some(from)) => take_over(&config, sources, &from),
    }
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

fn run_relay(
    config: Config,
    sources: Sources,
    socket: Option<UdpSocket>,
    prepared: Prepared,
    log: LevelHandle,
) -> Result<(), Box<dyn Error>> {
    let face = admin::open(&config, None)?;
    let mut server = start(&config, socket)?;
    operate::restore(&mut server, &prepared, &config);
    Ready { config, sources, prepared, face, server, log }.run(|| ())
}

fn start(config: &Config, socket: Option<UdpSocket>) -> Result<Server, ServerError> {
    let Some(socket) = socket else { return Server::bind(config) };
    tracing::info!("the socket was handed over: its address counts, whatever `bind` says");
    Server::adopt(config, socket)
}

/// Goes on where the relay whose control socket is at `from` stands still.
#[cfg(unix)]
fn take_over(config: &Config, sources: Sources, from: &Path) -> ExitCode {
    let log = Log::start(config.log, config.log_format);
    let ended = end(run_instead(sources, from, log.level()));
    log.end();
    ended
}

#[cfg(not(unix))]
fn take_over(_: &Config, _: Sources, _: &Path) -> ExitCode {
    refuse("there are no control sockets on this system")
}

#[cfg(unix)]
fn run_instead(mut sources: Sources, from: &Path, log: LevelHandle) -> Result<(), Box<dyn Error>> {
    let claim = Claim::open(from)?;
    // What depends on the address follows the one that is handed over.
    sources.handed_over = Some(claim.address());
    let config = sources.resolve()?;
    let mut prepared = Prepared::new(&config)?;
    prepared.listen_beside(&config.control, from)?;
    // From here on the relay stands still: what can fail fails, or is quick.
    let Taken { socket, image, admin, mut standing } = claim.take()?;
    let mut server = Server::resume(&config, socket, &image)?;
    drop(image);
    let face = admin::open(&config, admin)?;
    operate::take_over(&mut server, &mut prepared, &config, &mut standing)?;
    let committed = standing.commit()?;
    match committed.now_ns() {
        Some(now_ns) => server.set_clock(now_ns),
        None => tracing::warn!("the other process died while it handed over: this one goes on"),
    }
    let members = server.directory().len();
    tracing::info!(target: AUDIT, from = %from.display(), members, "taken over from another process");
    // If something goes wrong before this one turns, the other goes on.
    Ready { config, sources, prepared, face, server, log }.run(|| committed.serving())
}

/// A relay that can run, and all around it.
struct Ready {
    config: Config,
    sources: Sources,
    prepared: Prepared,
    face: Option<admin::Face>,
    server: Server,
    log: LevelHandle,
}

impl Ready {
    /// Runs it until a signal, the console or the operator ends it, or another
    /// process takes it over. `begins` comes right before the first turn, which
    /// nobody could take back.
    fn run(self, begins: impl FnOnce()) -> Result<(), Box<dyn Error>> {
        let Self { config, sources, prepared, face, mut server, log } = self;
        for warning in server.warnings() {
            tracing::warn!("{warning}");
        }
        let manager = Manager::from_env();
        let (limits, around) = (config.limits.clone(), (log, manager.clone(), admin::share(face.as_ref())));
        let _admin = admin::serve(face, &server)?;
        let operating = Operating::start(prepared, &server, (sources, config), around);
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
        begins();
        let ended = server.run();
        operating.end();
        let report = ended?;
        // The server is gone, and with it the observer: the printer has an end.
        let _ = printer.join();
        print_line(format_args!("{report:#}"));
        Ok(())
    }
}
