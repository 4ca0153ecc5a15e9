//! Owns the sentences of the chat: what happened, and what helps. Never
//! decides anything. Names are harmless when they come here.

use super::tab::Tab;
use outcry::client::{Code, SlowCause, explain};
use std::time::Duration;

pub(super) const NO_LIST: &str = "the relay has not answered: ask again later";
pub(super) const KEYS: &str = "Tab: next room; PageUp, PageDown, Up, Down, End: scroll; Ctrl-C: leave";
pub(super) const TOO_MUCH: &str = "too much is waiting to be sent: wait until some of it is delivered";

/// Names that are shown of a list; the others are counted.
const NAMES_SHOWN_MAX: usize = 200;

/// In whole seconds, and never none.
fn seconds(span: Duration) -> u64 {
    span.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

/// Why there is no session now, and what helps.
pub(super) fn refused(code: Code) -> String {
    match code {
        Code::Protocol => "the relay does not take this name: choose another one with --name".to_owned(),
        Code::Access => "the relay wants its access key: ask its operator for the key file, and give it with \
            --access-key-file FILE"
            .to_owned(),
        Code::Full => "the relay is full".to_owned(),
        Code::Limit => "the relay has enough members from your network".to_owned(),
        Code::Rate => "too many ask the relay at once from your network".to_owned(),
        Code::Kicked => "the relay's operator has removed you: ask them, or wait".to_owned(),
        Code::Banned => "the relay's operator has banned you: only they can change that".to_owned(),
        Code::Taken => "the name is taken: choose another one with --name".to_owned(),
        other => explain(other).to_owned(),
    }
}

/// The same, where it is worth asking again.
pub(super) fn refused_for_now(code: Code, retry: Duration) -> String {
    format!("{}: retry in {} s", refused(code), seconds(retry))
}

/// Why the relay does not let this member into a room.
pub(super) fn shut_out(room: &str, code: Code) -> String {
    let why = match code {
        Code::Full => "it is full: try again later, or join another room",
        Code::Limit => "a limit of rooms is reached: leave one, or try again later",
        Code::Protocol => "it cannot be sealed, or the name is none",
        Code::Banned => "the relay's operator has banned you from it",
        Code::Access => "you have no access to it: ask the relay's operator",
        other => explain(other),
    };
    format!("cannot join {room}: {why}")
}

pub(super) fn joined(tab: &Tab, members: u32) -> String {
    let here = match members {
        0 | 1 => "nobody else is here".to_owned(),
        count => format!("{count} are here, you among them"),
    };
    match (tab.is_sealed, members) {
        (true, 0 | 1) => format!(
            "this is {}, sealed: nobody else is here with this passphrase; a room of this name with another \
            passphrase is another room",
            tab.name
        ),
        (true, _) => format!("this is {}, sealed: {here}", tab.name),
        (false, _) => format!("this is {}: {here}", tab.name),
    }
}

/// The relay does not know what was before.
pub(super) fn begun_anew(has_moved: bool) -> &'static str {
    match has_moved {
        true => "this is another relay: what was said meanwhile may be missing",
        false => "the relay was started anew: what was said meanwhile may be missing",
    }
}

pub(super) fn left(name: &str, code: Code) -> String {
    match code {
        Code::Idle => format!("{name} has left: silent for too long"),
        Code::Kicked => format!("{name} was removed by the operator"),
        Code::Banned => format!("{name} was banned by the operator"),
        Code::Unreachable => format!("{name} has left: cannot be reached any more"),
        _ => format!("{name} has left"),
    }
}

pub(super) fn slow(cause: SlowCause, retry: Duration) -> String {
    let why = match cause {
        SlowCause::Messages => "too many messages a second",
        SlowCause::Bytes => "too many bytes a second",
        _ => "the relay is busy",
    };
    format!("{why}: goes on in {} s", seconds(retry))
}

pub(super) fn nick_failed(name: &str, code: Option<Code>) -> String {
    match code {
        Some(Code::Taken) => format!("{name} is taken: choose another name"),
        Some(Code::Protocol) => format!("the relay does not take {name} as a name: choose another one"),
        Some(other) => format!("you cannot be {name}: {}", explain(other)),
        None => NO_LIST.to_owned(),
    }
}

pub(super) fn nobody(name: &str, is_certain: bool) -> String {
    match is_certain {
        true => format!("not delivered: no such name here: {name}; /who shows all"),
        false => format!("not delivered: the relay has not told who {name} is: try again later"),
    }
}

pub(super) fn members(names: &[&str]) -> String {
    let shown: Vec<String> =
        names.iter().take(NAMES_SHOWN_MAX).map(|name| super::text::shown(name.as_bytes())).collect();
    let more = match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} here: {}{more}", names.len(), shown.join(", "))
}

pub(super) fn rooms(found: &[(String, u32)]) -> String {
    let shown: Vec<String> =
        found.iter().take(NAMES_SHOWN_MAX).map(|(name, members)| format!("{name} ({members})")).collect();
    match found.len().saturating_sub(NAMES_SHOWN_MAX) {
        _ if found.is_empty() => "no room is listed".to_owned(),
        0 => format!("rooms: {}", shown.join(", ")),
        more => format!("rooms: {} and {more} more", shown.join(", ")),
    }
}

pub(super) fn ignored(names: &[&str]) -> String {
    match names {
        [] => "nobody is hidden; /ignore NAME hides what NAME says".to_owned(),
        names => format!(
            "hidden: {}",
            names.iter().map(|name| super::text::shown(name.as_bytes())).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Lines that the relay declared lost.
pub(super) fn lost(count: u64) -> String {
    match count {
        1 => "1 message lost: the relay does not keep it any more".to_owned(),
        count => format!("{count} messages lost: the relay does not keep them any more"),
    }
}

pub(super) fn unreadable(count: u64) -> String {
    let count = if count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
    format!("{count} that your passphrase does not open: made with another one, or forged")
}

pub(super) fn messages(count: usize) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}
