//! What a datagram from an address that is no member does: it joins, is
//! answered with a code, or is dropped.

use super::{Relay, Verdict};
use crate::Time;
use crate::batch::{Outbox, Path};
use crate::config::{self, PlainPolicy};
use crate::metrics::DropReason;
use crate::wire::plain::{Answer, NAME_BYTES_MAX, Name, Text, without_line_end};

impl Relay {
    pub(super) fn hear_stranger(
        &mut self,
        now: Time,
        path: Path,
        text: Text<'_>,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        match text {
            Text::Empty => Verdict::Dropped(DropReason::Empty),
            // Taken before: whatever begins with the magic is never text.
            Text::Native => Verdict::Dropped(DropReason::NativeSize),
            Text::ControlCharacter => Verdict::Dropped(DropReason::ControlCharacter),
            Text::RelayPrefix => Verdict::Dropped(DropReason::RelayPrefix),
            Text::NotUtf8 => Verdict::Dropped(DropReason::NotUtf8),
            Text::Exit => Verdict::Dropped(DropReason::StrangerExit),
            Text::Bare(text) if without_line_end(text).len() > NAME_BYTES_MAX => {
                Verdict::Dropped(DropReason::StrangerTooLong)
            }
            Text::Line { .. } if bytes.len() > config::LINE_BYTES_MAX => Verdict::Dropped(DropReason::StrangerTooLong),
            Text::Bare(_) | Text::Line { .. } if self.admission.is_refused(path.remote, now) => {
                Verdict::Dropped(DropReason::RefusedAddress)
            }
            Text::Bare(_) | Text::Line { .. } => match self.gate.shuts_out() {
                Some((reason, _)) => Verdict::Dropped(reason),
                None => self.hear_text(now, path, text, bytes, out),
            },
        }
    }

    fn hear_text(&mut self, now: Time, path: Path, text: Text<'_>, bytes: &[u8], out: &mut Outbox) -> Verdict {
        match text {
            Text::Line { name, rest } => self.hear_first_line(now, path, name, rest, bytes, out),
            Text::Bare(text) => self.hear_name(now, path, text, out),
            _ => Verdict::Dropped(DropReason::Empty),
        }
    }

    /// Text without a separator: a name, or the code.
    fn hear_name(&mut self, now: Time, path: Path, text: &str, out: &mut Outbox) -> Verdict {
        match self.limits.plain {
            PlainPolicy::Off => Verdict::Dropped(DropReason::PlainOff),
            PlainPolicy::Open => match Name::parse(text) {
                Ok(name) => self.admit(now, path, name, out),
                Err(_) => Verdict::Dropped(DropReason::InvalidName),
            },
            PlainPolicy::Challenge if self.admission.accepts_code(path.remote, now, text) => {
                self.admit_proven(now, path, Name::guest(), out)
            }
            PlainPolicy::Challenge => self.challenge(now, path, out),
        }
    }

    /// `name : text` from a stranger: its first line, or the code behind its name.
    fn hear_first_line(
        &mut self,
        now: Time,
        path: Path,
        name: &str,
        rest: &str,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        let name = if name.trim().is_empty() { Some(Name::guest()) } else { Name::parse(name).ok() };
        match (self.limits.plain, name) {
            (PlainPolicy::Off, _) => Verdict::Dropped(DropReason::PlainOff),
            (PlainPolicy::Open, None) => Verdict::Dropped(DropReason::InvalidName),
            (PlainPolicy::Open, Some(_)) if self.admission.just_left(path.remote, now) => {
                Verdict::Dropped(DropReason::JustLeft)
            }
            (PlainPolicy::Open, Some(name)) => self.admit_with_line(now, path, name, bytes, out),
            (PlainPolicy::Challenge, _) if !self.admission.accepts_code(path.remote, now, rest) => {
                self.challenge(now, path, out)
            }
            (PlainPolicy::Challenge, Some(name)) => self.admit_proven(now, path, name, out),
            (PlainPolicy::Challenge, None) => Verdict::Dropped(DropReason::InvalidName),
        }
    }

    fn admit(&mut self, now: Time, path: Path, name: Name, out: &mut Outbox) -> Verdict {
        if self.bans.cover_name(name.as_str(), now) {
            return Verdict::Dropped(DropReason::Banned);
        }
        match self.admission.admit(&self.limits, path.remote, self.peers.len(), now) {
            Err(reason) => Verdict::Dropped(reason),
            Ok(()) => {
                self.join(now, path, name, out);
                Verdict::Control
            }
        }
    }

    /// Joins and relays the line that came with it, so that nothing typed
    /// after an expiry or a restart is lost.
    fn admit_with_line(&mut self, now: Time, path: Path, name: Name, bytes: &[u8], out: &mut Outbox) -> Verdict {
        match (self.admit(now, path, name, out), self.peers.find(path.remote)) {
            (Verdict::Control, Some(index)) => self.chat(now, index, bytes, out),
            (verdict, _) => verdict,
        }
    }

    fn admit_proven(&mut self, now: Time, path: Path, name: Name, out: &mut Outbox) -> Verdict {
        let verdict = self.admit(now, path, name, out);
        match verdict {
            Verdict::Control => {
                let members = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
                self.answer(path, Answer::Welcome(members), out);
            }
            Verdict::Dropped(DropReason::Banned) => self.answer(path, Answer::Banned, out),
            _ => {}
        }
        verdict
    }

    fn challenge(&mut self, now: Time, path: Path, out: &mut Outbox) -> Verdict {
        match self.admission.challenge(path.remote, now) {
            None => Verdict::Dropped(DropReason::ChallengeLimit),
            Some(code) => {
                self.answer(path, Answer::Challenge(code.as_str()), out);
                Verdict::Dropped(DropReason::Challenged)
            }
        }
    }
}
