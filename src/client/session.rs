//! Owns a session: its ticket, its numbers, and the question whether the relay
//! is still there (PING). Never looks into a room.

use super::rtt::Rtt;
use crate::Time;
use crate::wire::handshake::Welcome;
use crate::wire::id::{Ccid, MemberId, PacketNumber, Scid, Token};
use std::time::Duration;

/// A PING without answer is sent again so many times.
const PING_REPEATS: u32 = 3;
/// Between two PINGs because of something that cannot be believed.
const DOUBT_EVERY: Duration = Duration::from_secs(1);
/// How long after a question the relay must have said anything at all.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);

/// A PING without answer so far.
#[derive(Clone, Copy, Debug)]
struct Ping {
    first_at: Time,
    sent: u32,
    due: Time,
}

/// What a relay has given this client.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) scid: Scid,
    pub(super) ccid: Ccid,
    pub(super) member: MemberId,
    pub(super) pn: PacketNumber,
    /// Bytes of payload that may be unacknowledged.
    pub(super) window: usize,
    /// What a path challenge asked back, until it is answered.
    pub(super) token: Option<Token>,
    keepalive: Duration,
    sent_at: Time,
    /// When something was asked that was answered by nothing since.
    asked_at: Option<Time>,
    ping: Option<Ping>,
    doubted_at: Option<Time>,
}

impl Session {
    pub(super) fn new(welcome: &Welcome, now: Time) -> Self {
        Self {
            scid: welcome.scid,
            ccid: welcome.ccid,
            member: welcome.member,
            pn: PacketNumber(0),
            window: welcome.window_bytes as usize,
            token: None,
            keepalive: Duration::from_secs(welcome.keepalive_s.max(1).into()),
            sent_at: now,
            asked_at: None,
            ping: None,
            doubted_at: None,
        }
    }

    /// A datagram went out.
    pub(super) fn sent(&mut self, now: Time) {
        self.pn = self.pn.next();
        self.sent_at = now;
    }

    /// Something went out that the relay answers if it is there.
    pub(super) fn asked(&mut self, now: Time) {
        self.asked_at.get_or_insert(now);
    }

    /// A datagram came.
    pub(super) fn heard(&mut self) {
        self.asked_at = None;
    }

    /// Asks whether the relay is there, unless that is asked already.
    pub(super) fn want_ping(&mut self, now: Time) {
        self.ping.get_or_insert(Ping { first_at: now, sent: 0, due: now });
    }

    /// Something cannot be believed: the relay is asked how things are, but
    /// not more than once a second.
    pub(super) fn doubt(&mut self, now: Time) {
        if self.doubted_at.is_none_or(|at| now.since(at) >= DOUBT_EVERY) {
            self.doubted_at = Some(now);
            self.want_ping(now);
        }
    }

    /// Whether a PING is due; what it says.
    pub(super) fn due_ping(&self, now: Time) -> Option<u64> {
        self.ping.filter(|ping| ping.due <= now && ping.sent <= PING_REPEATS).map(|_| now.nanos())
    }

    pub(super) fn ping_sent(&mut self, now: Time, rtt: &Rtt) {
        if let Some(ping) = &mut self.ping {
            ping.due = now + rtt.timeout(ping.sent);
            ping.sent += 1;
        }
    }

    /// The answer to a PING that was sent when `t` says. `false`: to none of this session.
    pub(super) fn pong(&mut self, now: Time, t: u64, rtt: &mut Rtt) -> bool {
        let Some(ping) = self.ping.filter(|ping| ping.sent > 0 && (ping.first_at.nanos()..=now.nanos()).contains(&t))
        else {
            return false;
        };
        debug_assert!(ping.sent > 0);
        self.ping = None;
        rtt.sample(Duration::from_nanos(now.nanos() - t));
        true
    }

    /// Asks for a sign of life where it is time; `false`: there was none.
    pub(super) fn handle_deadline(&mut self, now: Time) -> bool {
        if self.quiet_until() <= now {
            self.asked_at = None;
            self.want_ping(now);
        }
        self.ping.is_none_or(|ping| ping.sent <= PING_REPEATS || ping.due > now)
    }

    /// The relay did not answer; a new session is on its way, and this one waits for it.
    pub(super) fn stop_pinging(&mut self, now: Time) {
        self.ping = None;
        self.sent_at = now;
    }

    pub(super) fn due(&self) -> Time {
        let quiet = self.quiet_until();
        self.ping.map_or(quiet, |ping| ping.due)
    }

    fn quiet_until(&self) -> Time {
        let keepalive = self.sent_at + self.keepalive;
        self.asked_at.map_or(keepalive, |at| keepalive.min(at + ANSWER_WITHIN))
    }
}
