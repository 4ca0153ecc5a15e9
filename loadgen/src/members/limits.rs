//! The file limit: a socket per member needs more than a shell usually allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that are not members': epoll, files, standard streams.
const SPARE: u64 = 64;

/// Raises the file limit so that `sockets` fit; says what to type if it may not.
pub fn allow_sockets(sockets: u64) -> Result<(), String> {
    let needed = sockets + SPARE;
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("cannot read the file limit: {error}"))?;
    if soft >= needed {
        return Ok(());
    }
    let raised = setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed));
    raised.map_err(|error| {
        format!(
            "{sockets} sockets need {needed} open files and this shell allows {hard} ({error}); type\n  \
             ulimit -n {needed}        (as root: sudo sh -c 'ulimit -n {needed}; exec su {user}')\nand start again",
            user = std::env::var("USER").unwrap_or_else(|_| "$USER".into()),
        )
    })
}
