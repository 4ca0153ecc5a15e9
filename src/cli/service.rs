//! Owns what is said to the service manager that started us (sd_notify(3)):
//! ready, alive, stopping. Never waits for it: what it cannot take is lost.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// Signs of life in the time after which the manager takes us for dead: one may get lost.
const BEATS: u32 = 3;

/// The service manager, if there is one.
#[derive(Clone)]
pub(super) struct Manager {
    ear: Option<Arc<(UnixDatagram, SocketAddr)>>,
    dead_after: Option<Duration>,
    has_started_us: bool,
}

impl Manager {
    /// The one that the environment names.
    pub(super) fn from_env() -> Self {
        let variable = |name| std::env::var(name).ok();
        let ear = variable("NOTIFY_SOCKET").and_then(|path| open(&path).map(Arc::new).ok());
        let dead_after = dead_after(variable("WATCHDOG_PID"), variable("WATCHDOG_USEC"), std::process::id());
        // It listens to us, or has given us a socket.
        let is_ours = |pid: String| pid.parse() == Ok(std::process::id());
        let has_started_us = variable("NOTIFY_SOCKET").is_some() || variable("LISTEN_PID").is_some_and(is_ours);
        Self { ear, dead_after, has_started_us }
    }

    /// The relay listens.
    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    /// Whether our end is to it the relay's, whoever else goes on.
    pub(super) fn has_started_us(&self) -> bool {
        self.has_started_us
    }

    /// What people are shown about it.
    pub(super) fn status(&self, text: &str) {
        self.say(&format!("STATUS={text}"));
    }

    /// The relay is about to end.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// The relay's loop turns.
    pub(super) fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// How often it wants to hear that we are alive.
    pub(super) fn alive_every(&self) -> Option<Duration> {
        self.ear.as_ref().and(self.dead_after).map(|dead_after| dead_after / BEATS)
    }

    fn say(&self, text: &str) {
        if let Some((socket, manager)) = self.ear.as_deref() {
            let _ = socket.send_to_addr(text.as_bytes(), manager);
        }
    }
}

/// A socket and the manager's address: a path, or a name that begins with `@`.
fn open(path: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let manager = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, manager))
}

/// sd_watchdog_enabled(3): no process id means ours.
fn dead_after(pid: Option<String>, micros: Option<String>, own: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let micros = micros.filter(|_| is_ours)?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_ours_if_it_says_so() {
        let after = |pid: Option<&str>, micros: &str| dead_after(pid.map(str::to_owned), Some(micros.to_owned()), 7);
        let second = Some(Duration::from_secs(1));
        assert_eq!((after(None, "1000000"), after(Some("7"), "1000000")), (second, second));
        assert_eq!((after(Some("8"), "1000000"), after(None, "0"), after(None, "soon")), (None, None, None));
        assert_eq!(dead_after(None, None, 7), None);
    }

    #[test]
    fn a_manager_is_told_by_path_or_by_name_and_never_waited_for() {
        let name = format!("outcry-test-{}", std::process::id());
        let hears = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let ear = open(&format!("@{name}")).map(Arc::new).ok();
        let manager = Manager { ear, dead_after: None, has_started_us: true };
        manager.ready();
        let mut text = [0; 64];
        let len = hears.recv(&mut text).unwrap();
        assert_eq!(&text[..len], b"READY=1");
        // More than its queue takes: what is not taken is lost.
        (0..10_000).for_each(|_| manager.alive());
        drop(hears);
        manager.stopping();
    }
}
