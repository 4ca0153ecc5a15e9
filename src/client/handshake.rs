//! Owns one HELLO under way: its repeats, its cookie, what answers it. Never
//! decides what follows from the answer.

use super::chance::Chance;
use super::options::Options;
use super::rtt::Rtt;
use crate::Time;
use crate::wire::handshake::{Cookie, Hello, PROOF_BYTES, Retry};
use crate::wire::id::{Ccid, Instance, Nonce};
use std::time::Duration;

/// From the first HELLO to the second one; each later span is twice as long ...
const REPEAT_FIRST: Duration = Duration::from_millis(250);
/// ... up to this.
const REPEAT_MAX: Duration = Duration::from_secs(1);
/// The first attempt is given up after this; a reconnecting client takes a new nonce.
const ATTEMPT: Duration = Duration::from_secs(15);

/// What a deadline means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    UnderWay,
    GivenUp,
}

/// An attempt at a session.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) ccid: Ccid,
    pub(super) nonce: Nonce,
    cookie: Cookie,
    /// Whether there was never a session: then it ends some time.
    is_first: bool,
    began: Time,
    sent_at: Time,
    /// Times that it was sent with this cookie.
    sent: u32,
    due: Time,
    wait: Duration,
}

impl Handshake {
    pub(super) fn new(chance: &mut Chance, now: Time, is_first: bool) -> Self {
        Self {
            ccid: Ccid(chance.number()),
            nonce: Nonce(chance.number()),
            cookie: Cookie::default(),
            is_first,
            began: now,
            sent_at: now,
            sent: 0,
            due: now,
            wait: REPEAT_FIRST,
        }
    }

    /// Writes the HELLO if it is due, and says how many bytes that are.
    pub(super) fn write(&mut self, now: Time, options: &Options, instance: Instance, out: &mut [u8]) -> Option<usize> {
        if self.due > now {
            return None;
        }
        let len = self.encode(options, instance, out);
        self.sent_at = now;
        self.sent += 1;
        self.due = now + self.wait;
        self.wait = (self.wait * 2).min(REPEAT_MAX);
        Some(len)
    }

    fn encode(&self, options: &Options, instance: Instance, out: &mut [u8]) -> usize {
        let proof = options.access_key.is_some().then_some([0; PROOF_BYTES]);
        let (ccid, nonce, cookie) = (self.ccid, self.nonce, self.cookie);
        let mut hello = Hello { ccid, nonce, cookie, instance, proof, name: &options.name };
        let len = hello.encode(out);
        if let Some(key) = &options.access_key {
            let proven = Hello::proven_bytes(&out[..len]).expect("invariant: this is a HELLO");
            hello.proof = Some(key.prove(proven));
            hello.encode(out);
        }
        len
    }

    /// Whether an answer is one to this attempt.
    pub(super) fn is_answered_by(&self, ccid: Ccid, nonce: Nonce) -> bool {
        (self.ccid, self.nonce) == (ccid, nonce)
    }

    /// Comes again with the cookie: at once, but for a second cookie not
    /// before the usual span is over, so that no two programs chase each other.
    pub(super) fn retry(&mut self, now: Time, retry: &Retry, rtt: &mut Rtt) {
        if self.cookie == retry.cookie {
            return;
        }
        self.measure(now, rtt);
        let is_first = self.cookie == Cookie::default();
        self.due = if is_first { now } else { self.due.min(self.sent_at + REPEAT_FIRST) };
        (self.cookie, self.wait, self.sent) = (retry.cookie, REPEAT_FIRST, 0);
    }

    /// Takes the time that an answer took.
    pub(super) fn measure(&self, now: Time, rtt: &mut Rtt) {
        if self.sent == 1 {
            rtt.sample(now.since(self.sent_at));
        }
    }

    pub(super) fn handle_deadline(&mut self, now: Time, chance: &mut Chance) -> Outcome {
        if now.since(self.began) < ATTEMPT {
            return Outcome::UnderWay;
        }
        if self.is_first {
            return Outcome::GivenUp;
        }
        *self = Self { ccid: self.ccid, ..Self::new(chance, now, false) };
        Outcome::UnderWay
    }

    /// When it is to be sent again or ends.
    pub(super) fn due(&self) -> Time {
        self.due.min(self.began + ATTEMPT)
    }
}
