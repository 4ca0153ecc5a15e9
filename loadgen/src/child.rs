//! A relay of this workspace as a child process, for runs that name no target.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outcry::config::SESSIONS_MAX_DEFAULT;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The process of the relay that runs; 0: none.
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// Ends the relay that was started, where nothing will be dropped any more.
pub fn end_running() {
    let pid = RUNNING.swap(0, Relaxed);
    if pid > 0 {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// A running relay; it ends when dropped.
pub struct Relay {
    child: Child,
    address: SocketAddr,
}

impl Relay {
    /// Starts `outcry serve` on a free port of the loopback, with room for
    /// `members` of either kind, and with further `flags`.
    pub fn start(members: u32, flags: &[String]) -> Result<Self, String> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), members, flags)
    }

    /// The same at an address that is wanted.
    pub fn start_at(address: SocketAddr, members: u32, flags: &[String]) -> Result<Self, String> {
        let program = find()?;
        let mut command = Command::new(&program);
        let room = members.saturating_add(64);
        command.args(["serve", "--log", "warn", "--bind", &address.to_string(), "--max-peers", &room.to_string()]);
        if room > SESSIONS_MAX_DEFAULT {
            command.args(["--max-sessions", &room.to_string()]);
        }
        command.args(flags);
        // A group of its own: Ctrl-C ends the run, and the run ends the relay.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        RUNNING.store(child.id() as i32, Relaxed);
        let address = child.stdout.take().and_then(announced);
        match address {
            Some(address) => Ok(Self { child, address }),
            None => {
                RUNNING.store(0, Relaxed);
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{} did not say where it listens; give --target", program.display()))
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let pid = self.child.id() as i32;
        let _ = RUNNING.compare_exchange(pid, 0, Relaxed, Relaxed);
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// The relay's program: beside this one, as cargo builds them, or on the path.
///
/// # Errors
/// There is none.
pub fn find() -> Result<PathBuf, String> {
    let own = std::env::current_exe().ok();
    let beside = own.iter().flat_map(|own| own.ancestors().skip(1).take(2)).map(|directory| directory.join("outcry"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("outcry"));
    beside.chain(on_path).find(|program| program.is_file()).ok_or_else(|| {
        "no relay to start: build one with `cargo build --release --workspace`, or give --target ADDR".into()
    })
}

/// The address in `listening on ADDR`; the rest of the output is read away, so
/// that the relay never waits for a reader.
fn announced(stdout: std::process::ChildStdout) -> Option<SocketAddr> {
    let mut lines = BufReader::new(stdout).lines();
    let found =
        lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("listening on ")?.trim().parse().ok());
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    found
}
