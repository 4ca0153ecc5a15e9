//! Owns `outcry chat --plain`: a plain member in line mode, for a terminal or a pipe.
//! One thread shows what arrives, one sends what is typed, and the first one
//! waits for what ends the chat. Never shows a byte that [`one_line`] has not
//! made harmless.

use super::{EXIT_REFUSED, words};
use crate::cli::lines::{LineReader, Speaker};
use crate::cli::report;
use crate::cli::sanitize::one_line;
use outcry::client::{Code, explain};
use outcry::wire::plain::{challenge_code, removal};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;
use thiserror::Error;

/// How long the relay has to refuse or to answer before silence means joined.
const ANSWER_WAIT: Duration = Duration::from_millis(300);
/// How long it has to welcome who sent the code back.
const WELCOME_WAIT: Duration = Duration::from_secs(2);
/// How long a refusal or a last line may take after the exit.
const LINGER: Duration = Duration::from_millis(300);
/// How often an empty datagram is sent: it keeps a NAT's mapping alive, and
/// shows a member who only listens that the relay is gone.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
/// Challenges answered in a row: a relay that asks for more is a loop.
const CHALLENGES_MAX: u32 = 3;
/// Longest datagram there is, in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Why a chat failed.
#[derive(Debug, Error)]
enum ChatError {
    #[error("cannot find {addr}: {source}")]
    Unknown { addr: String, source: io::Error },
    #[error("no relay is listening at {0} (port unreachable)")]
    NoRelay(String),
    #[error("no relay is listening at {0} any more (port unreachable)")]
    Gone(String),
    #[error("refused: {}", words::refused(*.0))]
    Refused(Code),
    #[error("the chat is over: {}", explain(*.0))]
    Removed(Code),
    #[error("cannot talk to {addr}: {source}")]
    Socket { addr: String, source: io::Error },
    #[error("cannot write: {0}")]
    Output(io::Error),
}

/// What one of the threads tells the first one.
enum Event {
    /// The relay has answered.
    Heard,
    /// The relay does not want the user any more, or at all.
    Removed(Code),
    /// The relay has asked for a code, and has been sent it.
    Challenged,
    /// The user wants to leave.
    Leave,
    /// Nothing listens at the relay's port.
    Refused,
    /// The socket is of no more use.
    Failed(io::Error),
    /// Nobody reads what is shown.
    OutputClosed,
    /// What arrives cannot be shown.
    OutputFailed(io::Error),
}

/// A connected socket and who speaks through it.
struct Link {
    socket: UdpSocket,
    name: Speaker,
}

/// Chats until the user leaves or the relay is gone.
pub(super) fn run(addr: &str, name: &Speaker) -> ExitCode {
    match chat(addr, name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let is_refused = matches!(error, ChatError::Refused(_));
            report(error);
            if is_refused { ExitCode::from(EXIT_REFUSED) } else { ExitCode::FAILURE }
        }
    }
}

fn chat(addr: &str, name: &Speaker) -> Result<(), ChatError> {
    let remotes = addr.to_socket_addrs().map_err(|source| ChatError::Unknown { addr: addr.to_owned(), source })?;
    let (sender, events) = mpsc::channel();
    watch_signals(&sender);
    let Some(link) = join_first(addr, remotes, name, &sender, &events)? else { return Ok(()) };
    if io::stdin().is_terminal() {
        report(format_args!("you are {name}; EXIT leaves"));
    }
    let typing = Arc::clone(&link);
    thread::spawn(move || sender.send(send_lines(&typing)));
    stay(addr, &link, &events)
}

/// Joins at the first of `remotes` that does not refuse; `None`: the user left.
fn join_first(
    addr: &str,
    remotes: impl Iterator<Item = SocketAddr>,
    name: &Speaker,
    sender: &Sender<Event>,
    events: &Receiver<Event>,
) -> Result<Option<Arc<Link>>, ChatError> {
    let mut failure = ChatError::NoRelay(addr.to_owned());
    for remote in remotes {
        match Link::open(remote, name).map(Arc::new) {
            Ok(link) => {
                let (showing, sender) = (Arc::clone(&link), sender.clone());
                thread::spawn(move || sender.send(show_datagrams(&showing, &sender)));
                match await_answer(&link, events) {
                    Ok(joined) => return Ok(joined.then_some(link)),
                    Err(Event::Removed(why)) => return Err(ChatError::Refused(why)),
                    Err(error) => failure = ending(addr, error, ChatError::NoRelay),
                }
            }
            Err(error) => failure = ending(addr, Event::of(error), ChatError::NoRelay),
        }
    }
    Err(failure)
}

/// Whether the user joined; false: they left. An error: why not.
fn await_answer(link: &Link, events: &Receiver<Event>) -> Result<bool, Event> {
    let mut wait = ANSWER_WAIT;
    loop {
        match events.recv_timeout(wait) {
            Ok(Event::Heard) | Err(_) => return Ok(true),
            Ok(Event::Challenged) => wait = WELCOME_WAIT,
            Ok(Event::Leave | Event::OutputClosed) => return link.leave().map(|()| false),
            Ok(end) => return Err(end),
        }
    }
}

/// Waits for what ends the chat.
fn stay(addr: &str, link: &Link, events: &Receiver<Event>) -> Result<(), ChatError> {
    let done = loop {
        let next = match events.recv_timeout(KEEP_ALIVE_EVERY) {
            Ok(Event::Heard | Event::Challenged) => Ok(()),
            Ok(Event::Leave) => break link.leave().and_then(|()| linger(events)),
            Ok(Event::OutputClosed) => break link.leave(),
            Ok(end) => Err(end),
            Err(RecvTimeoutError::Timeout) => link.send(""),
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
        };
        if next.is_err() {
            break next;
        }
    };
    done.map_err(|end| ending(addr, end, ChatError::Gone))
}

/// Gives a refusal the time to come: what a pipe sent may have met nobody.
fn linger(events: &Receiver<Event>) -> Result<(), Event> {
    match events.recv_timeout(LINGER) {
        Ok(end @ (Event::Refused | Event::Removed(_))) => Err(end),
        Ok(Event::Heard | Event::Challenged) => linger(events),
        _ => Ok(()),
    }
}

fn ending(addr: &str, end: Event, refused: fn(String) -> ChatError) -> ChatError {
    let addr = addr.to_owned();
    match end {
        Event::Failed(source) => ChatError::Socket { addr, source },
        Event::OutputFailed(error) => ChatError::Output(error),
        Event::Removed(why) => ChatError::Removed(why),
        _ => refused(addr),
    }
}

impl Event {
    /// What an error of the socket means.
    fn of(error: io::Error) -> Self {
        if is_refusal(&error) { Self::Refused } else { Self::Failed(error) }
    }
}

impl Link {
    /// A socket connected to `remote`, which has been sent the name.
    fn open(remote: SocketAddr, name: &Speaker) -> io::Result<Self> {
        let any: SocketAddr =
            if remote.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(any)?;
        socket.connect(remote)?;
        socket.send(name.to_string().as_bytes())?;
        Ok(Self { socket, name: *name })
    }

    /// Sends a message. A refusal of an earlier one is told here, too, and only
    /// once: here or to the thread that receives. Any other failure costs this
    /// message alone, since a route can come back.
    fn send(&self, message: &str) -> Result<(), Event> {
        match self.socket.send(message.as_bytes()) {
            Err(error) if is_refusal(&error) => return Err(Event::Refused),
            Err(error) => report(format_args!("not sent: {error}")),
            Ok(_) => {}
        }
        Ok(())
    }

    fn leave(&self) -> Result<(), Event> {
        self.send(&self.name.says("EXIT"))
    }
}

/// Sends each line of the input, until there is a reason not to.
fn send_lines(link: &Link) -> Event {
    let mut lines = LineReader::new(io::stdin().lock());
    loop {
        let line = match lines.next_line() {
            Ok(Some(line)) if !line.says_exit() => line,
            Ok(_) => return Event::Leave,
            Err(error) => {
                report(format_args!("cannot read: {error}"));
                return Event::Leave;
            }
        };
        if let Err(end) = link.name.messages(&line.text).try_for_each(|message| link.send(&message)) {
            return end;
        }
    }
}

/// Shows what arrives, and sends codes back, until there is a reason not to.
fn show_datagrams(link: &Link, events: &Sender<Event>) -> Event {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut heard = false;
    let mut challenges = 0;
    loop {
        let message = match link.socket.recv(&mut buffer) {
            Ok(len) => &buffer[..len],
            Err(error) if passes(&error) => continue,
            Err(error) => return Event::of(error),
        };
        match str::from_utf8(message).ok().and_then(challenge_code) {
            Some(code) if challenges < CHALLENGES_MAX => {
                challenges += 1;
                if let Err(end) = link.send(&link.name.says(code)) {
                    return end;
                }
                // The first thread listens as long as there is a chat.
                let _ = events.send(Event::Challenged);
                continue;
            }
            Some(_) => {}
            None => challenges = 0,
        }
        match show(message) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Event::OutputClosed,
            Err(error) => return Event::OutputFailed(error),
        }
        if let Some(why) = str::from_utf8(message).ok().and_then(removal) {
            return Event::Removed(why);
        }
        if !heard {
            heard = events.send(Event::Heard).is_ok();
        }
    }
}

/// Whether the network reports that nothing listens (Windows calls it a reset).
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

/// Whether receiving may go on: the network reports these once each, and a
/// route can come back.
fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
}

fn show(message: &[u8]) -> io::Result<()> {
    if message.is_empty() {
        return Ok(());
    }
    let mut line = one_line(message);
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Makes Ctrl-C and a request to terminate leave as `EXIT` does.
#[cfg(unix)]
fn watch_signals(events: &Sender<Event>) {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
    let events = events.clone();
    thread::spawn(move || signals.forever().try_for_each(|_| events.send(Event::Leave)));
}

#[cfg(not(unix))]
fn watch_signals(_events: &Sender<Event>) {}
