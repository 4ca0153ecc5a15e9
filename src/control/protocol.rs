//! Owns what is said on the control socket: a JSON object a line, both ways.
//! Never does what is asked.

use crate::relay::{Ban, NotBannable};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::SocketAddr;

/// What an operator asks for. `{"do":"kick","who":"bob"}`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Who is here, longest here first.
    Peers {},
    /// Who has said most, most first.
    Top {
        /// How many of them.
        count: usize,
    },
    /// Which rooms there are.
    Rooms {},
    /// What was counted so far.
    Stats {},
    /// Removes a member and refuses its address for a minute.
    Kick {
        /// Its address or name.
        who: String,
        /// For the log.
        #[serde(default)]
        reason: String,
    },
    /// Drops what a member says.
    Mute {
        /// Its address or name.
        who: String,
        /// For the log.
        #[serde(default)]
        reason: String,
    },
    /// Drops it no longer.
    Unmute {
        /// Its address or name.
        who: String,
    },
    /// Bans an address, a network or a name.
    Ban {
        /// Which.
        target: String,
        /// For how long, in ms; not said: for ever.
        #[serde(default)]
        for_ms: Option<u64>,
        /// Why.
        #[serde(default)]
        reason: String,
    },
    /// Lifts a ban.
    Unban {
        /// Of whom.
        target: String,
    },
    /// Which bans there are, oldest first.
    Bans {},
    /// Lets nobody new in, or lets the limits decide again.
    Lockdown {
        /// Which of both.
        on: bool,
    },
    /// Sends a line to all as `[relay] ...`.
    Say {
        /// The line.
        line: String,
    },
    /// Reads the configuration file and the bans again.
    Reload {},
    /// Lets nobody in, sends members elsewhere, and ends when empty.
    Drain {
        /// Where they are sent, `host:port`.
        #[serde(default)]
        to: Option<String>,
        /// After how long it ends in any case, in ms.
        #[serde(default)]
        deadline_ms: Option<u64>,
    },
    /// Whether the relay would hand over to another process that speaks this version.
    Takeover {
        /// Of what is handed over.
        version: u32,
    },
    /// Hands over: no more lines follow on this connection than these two sides agree about.
    HandOver {
        /// Of what is handed over.
        version: u32,
        /// The process that takes over.
        pid: u32,
    },
    /// What is logged from now on.
    Log {
        /// The least severe event.
        level: String,
    },
}

/// What a relay that would hand over says of itself.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Terms {
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// What comes with the descriptors: socket, control socket, and the admin
/// face's if there is one. So many bytes of image follow.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Goods {
    pub(super) bytes: u64,
    pub(super) admin: bool,
    pub(super) bans: Vec<BanRow>,
}

/// The new process could go on.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Taking {
    /// It listens at the control socket that was handed over.
    pub(super) keeps_socket: bool,
}

/// It goes on, and its clock shows this.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Yours {
    pub(super) now_ns: u64,
}

/// A line of an answer: rows first, if it is a list, then one of the others.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// One of a list.
    Row(Value),
    /// It is done, and this is what came of it.
    Done(Value),
    /// It was not done, and why.
    Failed(String),
}

impl Answer {
    pub(super) fn row(row: impl Serialize) -> Self {
        serde_json::to_value(row).map_or_else(|error| Self::Failed(error.to_string()), Self::Row)
    }

    /// As it is sent.
    pub(super) fn line(&self) -> String {
        let text = serde_json::to_string(self).expect("invariant: an answer is JSON");
        text + "\n"
    }
}

/// A member.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct PeerRow {
    /// Where it is.
    pub address: SocketAddr,
    /// Its name.
    pub name: String,
    /// `plain` or `native`.
    pub protocol: String,
    /// Whether nobody hears it.
    pub muted: bool,
    /// When it came, in seconds of Unix time.
    pub since_unix_s: u64,
    /// Lines it has said.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A room.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct RoomRow {
    /// Its name.
    pub name: String,
    /// Members, plain ones included.
    pub members: u32,
    /// Those of them that are too slow to be sent everything at once.
    pub slow: u32,
    /// The number of its latest entry.
    pub head: u64,
    /// Entries that it keeps.
    pub kept: u64,
    /// Whether the relay cannot read its messages.
    pub sealed: bool,
    /// Whether it is on no list.
    pub unlisted: bool,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BanRow {
    /// An address, a network or a name.
    pub target: String,
    /// Until when, in seconds of Unix time; `null`: for ever.
    #[serde(default)]
    pub until_unix_s: Option<u64>,
    /// Since when.
    pub since_unix_s: u64,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl BanRow {
    /// What the core needs of it.
    pub(super) fn ban(&self) -> Result<Ban, NotBannable> {
        Ok(Ban { target: self.target.parse()?, until_unix_s: self.until_unix_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_are_read_as_the_page_of_the_program_says_and_nothing_else() {
        let ask = |text: &str| serde_json::from_str::<Ask>(text).ok();
        let kick = Ask::Kick { who: "bob".into(), reason: String::new() };
        assert_eq!(ask(r#"{"do":"kick","who":"bob"}"#), Some(kick));
        assert_eq!(ask(r#"{"do":"peers"}"#), Some(Ask::Peers {}));
        assert_eq!(ask(r#"{"do":"drain"}"#), Some(Ask::Drain { to: None, deadline_ms: None }));
        for wrong in [r#"{"do":"kick"}"#, r#"{"do":"peers","x":1}"#, r#"{"do":"fly"}"#, "[]", "", r#"{"who":"bob"}"#] {
            assert_eq!(ask(wrong), None, "{wrong}");
        }
    }
}
