//! Owns what a signal does to a running relay: SIGHUP reloads, SIGINT and
//! SIGTERM make it tell its members and end, where it is set so after a drain;
//! a second one of those ends the process at once.

use super::operate::Operating;
use super::service::Manager;
use outcry::server::Handle;

/// The exit code of a process that a second signal ended: 128 + SIGINT.
#[cfg(unix)]
const EXIT_SIGNAL: i32 = 130;

/// Watches for them, of the end of which the service manager hears, too, from a thread of its own.
#[cfg(unix)]
pub(super) fn watch(relay: Handle, manager: Manager, operating: &Operating) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: at the first signal the flag is not set yet.
        let ends = signal_hook::flag::register_conditional_shutdown(signal, EXIT_SIGNAL, Arc::clone(&stopping));
        let notes = signal_hook::flag::register(signal, Arc::clone(&stopping));
        if let Err(error) = ends.and(notes) {
            tracing::warn!(%error, "a second signal will not end the relay at once");
        }
    }
    let (orders, drains) = (operating.orders(), operating.drains_on_term());
    match signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]) {
        Ok(mut signals) => {
            std::thread::spawn(move || {
                signals.forever().for_each(|signal| match signal {
                    SIGHUP => orders.reload(),
                    SIGTERM if drains.is_on() && relay.is_ready() => orders.drain(),
                    _ => {
                        manager.stopping();
                        relay.shut_down();
                    }
                });
            });
        }
        Err(error) => tracing::warn!(%error, "signals will end the relay without telling its members"),
    }
}

/// There is nothing to watch: the system ends the process.
#[cfg(not(unix))]
pub(super) fn watch(_relay: Handle, _manager: Manager, _operating: &Operating) {}
