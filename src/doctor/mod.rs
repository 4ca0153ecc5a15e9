//! The doctor: does this machine let the relay do its best, and if not, which
//! command mends it? Facts are gathered in `facts.rs` and judged in `judge.rs`,
//! which is pure. Never changes anything on the machine.

mod facts;
mod judge;
#[cfg(test)]
mod tests;

pub use facts::{Clock, Conntrack, Facts, FileLimit, Outgoing};
pub use judge::findings;

use crate::config::Config;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// What the relay will ask of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where the members are.
    pub to: IpAddr,
    /// The port that it listens on.
    pub port: u16,
    /// Receive buffer, in bytes.
    pub rcvbuf_bytes: usize,
    /// Send buffer, in bytes.
    pub sndbuf_bytes: usize,
    /// Members at most.
    pub peers_max: usize,
}

impl Asked {
    /// What a relay with this configuration asks for, with members at `to`.
    pub fn by(config: &Config, to: Option<IpAddr>) -> Self {
        Self {
            to: to.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            port: config.bind.port(),
            rcvbuf_bytes: config.rcvbuf_bytes as usize,
            sndbuf_bytes: config.sndbuf_bytes as usize,
            peers_max: config.limits.peers_max as usize,
        }
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self::by(&Config::default(), None)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// The relay works, and less well than it could.
    Warning,
    /// The relay, or a part of it, does not work.
    Fault,
}

impl Level {
    /// The level's name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found, and what it means.
    pub says: String,
    /// The command that mends it, where there is one.
    pub mend: Option<String>,
}

/// Looks at this machine.
pub fn examine(asked: Asked) -> Vec<Finding> {
    findings(&Facts::gather(asked))
}
