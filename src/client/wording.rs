//! Owns how ends and outcomes read to people. Never decides one.

use super::event::{DirectOutcome, End, Lost, NotSent};
use crate::wire::header::{Code, DirectStatus, RefusedCause};
use std::fmt;

/// What a code means, and what helps.
pub fn explain(code: Code) -> &'static str {
    match code {
        Code::Ok => "the relay said goodbye",
        Code::Idle => "silent for too long",
        Code::Kicked => "removed by the operator",
        Code::Protocol => "the relay did not understand: update the client or the relay, or choose a plain name",
        Code::Shutdown => "the relay is shutting down",
        Code::Full => "the relay is full: try again later",
        Code::Rate => "too many requests: try again later",
        Code::Replaced => "another connection of the same instance has taken over",
        Code::Version => "the relay speaks another version: update the client or the relay",
        Code::Access => "the access key is missing or wrong: ask the operator for the key file",
        Code::Unreachable => "the relay could not reach this address",
        Code::Moved => "the relay has moved",
        Code::Muted => "muted by the operator",
        Code::NoSuch => "no such room or member",
        Code::Taken => "the name is taken: choose another one",
        Code::Banned => "banned by the operator",
        Code::Limit => "a limit of the relay is reached: try again later, or leave something first",
        Code::Unknown(_) => "for a reason that this version does not know",
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("closed"),
            Self::NoAnswer => f.write_str("no relay answers: is it running, and are address and port right?"),
            Self::Code(Code::Unknown(code)) => write!(f, "{} (code {code})", explain(Code::Unknown(*code))),
            Self::Code(code) => f.write_str(explain(*code)),
            Self::OtherVersion(versions) => {
                f.write_str("the relay speaks another version (")?;
                let mut spoken = versions.iter().enumerate().filter(|(_, version)| **version != 0);
                spoken.try_for_each(|(at, version)| write!(f, "{}{version}", if at > 0 { ", " } else { "" }))?;
                f.write_str("): update the client or the relay")
            }
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => f.write_str(explain(*code)),
            Self::Silent => f.write_str("the relay does not answer"),
            Self::Unknown => f.write_str("the relay was started anew"),
            Self::Stuck => f.write_str("the relay takes no messages"),
        }
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(RefusedCause::Muted) => "not sent: muted by the operator",
            Self::Refused(RefusedCause::NotAMember) => "not sent: not in that room",
            Self::Refused(RefusedCause::TooLong) => "not sent: too long for this room with this name",
            Self::Refused(RefusedCause::Kind) => {
                "not sent: this room does not take that, or there are control characters"
            }
            Self::Refused(RefusedCause::Unknown(_)) => "not sent: refused by the relay",
            Self::Expired => "not sent: the connection was away for too long",
            Self::Ended => "not sent: closed before",
            Self::Unknown => "perhaps not sent: the connection was lost before the answer",
        })
    }
}

impl fmt::Display for DirectOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered(DirectStatus::Delivered) => "delivered",
            Self::Answered(DirectStatus::NoSuch) => "not delivered: no such member",
            Self::Answered(DirectStatus::Plain) => "not delivered: a plain member takes no private messages",
            Self::Answered(DirectStatus::Limit) => "not delivered: over a limit, try again later",
            Self::Answered(DirectStatus::TooLong) => "not delivered: too long",
            Self::Answered(DirectStatus::Unknown(_)) => "not delivered: refused by the relay",
            Self::NotConfirmed => "not confirmed: perhaps it arrived",
            Self::NewEpoch => "not confirmed: the relay was started anew",
            Self::Ended => "not confirmed: closed before",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_say_what_helps() {
        let shown = |end: End| end.to_string();
        assert_eq!(
            shown(End::OtherVersion([2, 3, 0, 0, 0, 0, 0, 0])),
            "the relay speaks another version (2, 3): update the client or the relay"
        );
        assert!(shown(End::Code(Code::Access)).contains("key file"));
        assert!(shown(End::Code(Code::Unknown(77))).ends_with("(code 77)"));
        assert!(Code::ALL.iter().all(|code| explain(*code) != explain(Code::Unknown(0))));
    }
}
