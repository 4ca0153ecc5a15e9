//! How sessions end: said, silent, removed, or replaced.

use super::session::{Session, SessionIndex};
use crate::Time;
use crate::batch::{Outbox, Path};
use crate::config;
use crate::metrics::LeaveReason;
use crate::relay::snapshot::ClosingRow;
use crate::relay::{EXPIRIES_PER_CALL, Event, Relay};
use crate::wire::downlink::{Builder, Frame};
use crate::wire::header::Code;
use crate::wire::id::{Ccid, RoomTag};
use std::net::SocketAddr;
use std::time::Duration;

/// Bytes of a datagram with nothing but a CLOSE: prefix, ccid, frame and the longest reason.
const CLOSE_BYTES_MAX: usize = 4 + 8 + 3 + 2 + 64;

/// Why a session ends, and what its client is told.
#[derive(Clone, Copy)]
pub(in crate::relay) struct Ending {
    reason: LeaveReason,
    /// `None`: it knows, and is told nothing.
    code: Option<Code>,
}

impl Ending {
    pub(in crate::relay) const fn told(reason: LeaveReason, code: Code) -> Self {
        Self { reason, code: Some(code) }
    }

    /// The client has another session already, and is told nothing.
    pub(super) const fn untold(self) -> Self {
        Self { code: None, ..self }
    }

    /// The client closed it.
    pub(super) const SAID: Self = Self { reason: LeaveReason::Exit, code: None };
}

/// A CLOSE that is to be sent again.
pub(super) struct Closing {
    pub(super) due: Time,
    began: Time,
    path: Path,
    ccid: Ccid,
    code: Code,
    /// How often it was sent.
    sent: usize,
}

impl Closing {
    pub(super) fn row(&self) -> ClosingRow {
        ClosingRow {
            due_ns: self.due.nanos(),
            began_ns: self.began.nanos(),
            path: self.path.into(),
            ccid: self.ccid.0,
            code: self.code.to_wire(),
            sent: self.sent.try_into().unwrap_or(u8::MAX),
        }
    }

    pub(super) fn of(row: &ClosingRow) -> Self {
        Self {
            due: Time::new(row.due_ns, 0),
            began: Time::new(row.began_ns, 0),
            path: row.path.into(),
            ccid: Ccid(row.ccid),
            code: Code::from_wire(row.code),
            sent: row.sent.into(),
        }
    }
}

impl Relay {
    /// Ends a session and all its memberships.
    pub(in crate::relay) fn end_session(&mut self, now: Time, index: SessionIndex, ending: Ending, out: &mut Outbox) {
        while let Some(at) = self.first_membership(index) {
            self.leave_room(now, at, ending.code.unwrap_or(Code::Ok), out);
        }
        let native = &mut self.native;
        let session = native.sessions.remove(index);
        native.turn.spoke.retain(|&other| other != index);
        native.instances.end(session.instance, now);
        let life = Duration::from_millis(config::CLOSED_REMEMBERED_MS);
        // Whose WELCOME was lost still asks for the session, and may have it.
        if session.is_used {
            native.closed.insert((session.ccid, session.nonce), (), now, life);
        }
        if ending.code.is_none() {
            native.ended.insert(session.scid, (), now, life);
        }
        self.admission.session_ended(session.path.remote);
        if session.muted {
            self.admission.mute_client(session.path.remote, true, now);
        }
        self.counters.leave(ending.reason);
        self.counters.native.sessions_ended += 1;
        let (remote, reason) = (session.path.remote, ending.reason);
        self.events.push_back(Event::Left { remote, name: session.name, reason });
        if let Some(code) = ending.code {
            self.close(now, session.path, session.ccid, code, out);
        }
    }

    fn close(&mut self, now: Time, path: Path, ccid: Ccid, code: Code, out: &mut Outbox) {
        self.tell_close(path, ccid, code, out);
        if self.native.closing.len() < config::CLOSING_MAX {
            let due = now + Duration::from_millis(config::CLOSE_AFTER_MS[1]);
            self.keep_closing(Closing { due, began: now, path, ccid, code, sent: 1 });
        }
    }

    fn tell_close(&mut self, path: Path, ccid: Ccid, code: Code, out: &mut Outbox) {
        let mut space = [0; CLOSE_BYTES_MAX];
        let mut builder = Builder::to_client(&mut space, ccid);
        let reason = self.native.moved_to.as_deref().filter(|_| code == Code::Moved).unwrap_or_default();
        builder.push(&Frame::Close { code, reason });
        let len = builder.len();
        self.tell(path, &space[..len], out);
    }

    /// Sends again the CLOSEs that are due.
    pub(super) fn repeat_closes(&mut self, now: Time, out: &mut Outbox) {
        for _ in 0..self.native.closing.len() {
            let is_due = |closing: &mut Closing| closing.due <= now;
            let Some(mut closing) = self.native.closing.pop_front_if(is_due) else { break };
            // Whoever is there again is not told that it ended.
            let remote = closing.path.remote;
            if self.native.sessions.find_address(remote).is_none() && self.peers.find(remote).is_none() {
                self.tell_close(closing.path, closing.ccid, closing.code, out);
            }
            closing.sent += 1;
            if let Some(&after_ms) = config::CLOSE_AFTER_MS.get(closing.sent) {
                closing.due = closing.began + Duration::from_millis(after_ms);
                self.keep_closing(closing);
            }
        }
    }

    /// The queue is short where it is not empty: those with 150 ms to go are behind those with 50.
    fn keep_closing(&mut self, closing: Closing) {
        let queue = &mut self.native.closing;
        let at = queue.iter().rposition(|other| other.due <= closing.due).map_or(0, |before| before + 1);
        queue.insert(at, closing);
    }

    /// Ends sessions that were silent for too long, or did not answer a probe.
    pub(super) fn expire_sessions(&mut self, now: Time, out: &mut Outbox) {
        for _ in 0..EXPIRIES_PER_CALL {
            let longest = self.native.sessions.longest_silent();
            let Some(index) = longest.filter(|_| self.next_session_expiry().is_some_and(|due| due <= now)) else {
                break;
            };
            self.end_session(now, index, Ending::told(LeaveReason::Idle, Code::Idle), out);
        }
        while let Some((_, scid)) = self.native.probed.pop_front_if(|(due, _)| *due <= now) {
            let Some(index) = self.native.sessions.find_scid(scid) else { continue };
            let since_ns = self.native.sessions.session(index).unreachable_ns;
            // Heard meanwhile, and probed anew: that probe has its own time.
            if since_ns != 0 && now.since(Time::new(since_ns, 0)) >= Duration::from_millis(config::PROBE_MS) {
                self.end_session(now, index, Ending::told(LeaveReason::Unreachable, Code::Unreachable), out);
            }
        }
        self.native.instances.forget_old(now);
    }

    pub(super) fn next_session_expiry(&self) -> Option<Time> {
        let index = self.native.sessions.longest_silent()?;
        let heard = Time::new(self.native.sessions.session(index).heard_ns, 0);
        Some(heard + Duration::from_secs(u64::from(config::SESSION_IDLE_S)))
    }

    /// The port of a session is said to be closed: it is probed, because that
    /// can be forged, and has 3 s to be heard.
    pub(in crate::relay) fn probe(&mut self, now: Time, remote: SocketAddr, out: &mut Outbox) {
        let Some(index) = self.native.sessions.find_address(remote) else { return };
        let (path, session) = {
            let session = self.native.sessions.session_mut(index);
            (session.path, session)
        };
        if session.unreachable_ns != 0 || self.native.probed.len() >= config::CLOSING_MAX {
            return;
        }
        session.unreachable_ns = now.nanos().max(1);
        let scid = session.scid;
        self.native.probed.push_back((now + Duration::from_millis(config::PROBE_MS), scid));
        self.challenge_path(now, index, path, out);
    }

    /// Tells some of the sessions that the relay stops, without telling the
    /// rooms. Returns whether there are more, for whom the outbox must be flushed first.
    pub fn shut_some_sessions(&mut self, out: &mut Outbox) -> bool {
        self.native.turn.acks.clear();
        self.native.turn.spoke.clear();
        while let Some(index) = self.native.sessions.longest_silent() {
            if out.spare().1 == 0 {
                return true;
            }
            let Session { path, ccid, name, .. } = self.native.sessions.remove(index);
            self.tell_close(path, ccid, Code::Shutdown, out);
            self.counters.leave(LeaveReason::Shutdown);
            self.counters.native.sessions_ended += 1;
            self.events.push_back(Event::Left { remote: path.remote, name, reason: LeaveReason::Shutdown });
        }
        false
    }

    /// What a kicked member knew of its rooms is worth nothing any more.
    pub(in crate::relay) fn renew_tags(&mut self, now: Time, index: SessionIndex) {
        let native = &mut self.native;
        let first = native.sessions.session(index).first_membership;
        for at in native.memberships.of(first) {
            let room = native.memberships.at(at).room;
            native.rooms.at_mut(room).renew(now, RoomTag(native.secrets.next()));
        }
    }
}
