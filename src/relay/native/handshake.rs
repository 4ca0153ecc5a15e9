//! What a HELLO does: nothing is kept for an address until it has sent back
//! what only it was told.

use super::leave::Ending;
use super::session::{NONE, Session, SessionIndex};
use crate::Time;
use crate::batch::{Outbox, Path};
use crate::config;
use crate::metrics::{DropReason, LeaveReason};
use crate::relay::bucket::{Bucket, Rate};
use crate::relay::steering::Gate;
use crate::relay::{Event, Relay, Verdict};
use crate::wire::handshake::{Cookie, Hello, Refuse, Retry, Welcome};
use crate::wire::header::{Code, DATAGRAM_BYTES_MAX};
use crate::wire::id::{PacketNumber, Scid};
use crate::wire::plain::Name;
use constant_time_eq::constant_time_eq;
use std::net::SocketAddr;
use std::sync::Arc;

impl Relay {
    pub(super) fn hear_hello(
        &mut self,
        now: Time,
        path: Path,
        hello: &Hello<'_>,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        let native = &mut self.native;
        if let Some(index) = native.sessions.find_address(path.remote) {
            let session = native.sessions.session(index);
            if (session.ccid, session.nonce) == (hello.ccid, hello.nonce) {
                self.welcome(index, out);
                return Verdict::Control;
            }
        }
        if native.closed.find(&(hello.ccid, hello.nonce), now).is_some() {
            return Verdict::Dropped(DropReason::SessionClosed);
        }
        if !native.cookies.accepts(now, path.remote, hello.ccid.0, hello.nonce.0, &hello.cookie.0) {
            return self.ask_for_cookie(now, path, hello, out);
        }
        self.native.instances.forget_old(now);
        match self.judge_hello(now, path, hello, bytes) {
            Ok(name) => {
                let index = self.begin_session(now, path, hello, name, out);
                self.welcome(index, out);
                Verdict::Control
            }
            Err((reason, code, retry_ms)) => {
                let refuse = Refuse { ccid: hello.ccid, nonce: hello.nonce, code, retry_ms };
                self.tell(path, &refuse.encode(), out);
                Verdict::Dropped(reason)
            }
        }
    }

    fn ask_for_cookie(&mut self, now: Time, path: Path, hello: &Hello<'_>, out: &mut Outbox) -> Verdict {
        // A quarter of a full batch, however small it is in a large relay.
        if self.native.turn.retries >= config::batch_datagrams(self.members()) as u32 / 4 {
            return Verdict::Dropped(DropReason::HelloFlood);
        }
        self.native.turn.retries += 1;
        let cookie = Cookie(self.native.cookies.issue(now, path.remote, hello.ccid.0, hello.nonce.0));
        self.tell(path, &Retry { ccid: hello.ccid, nonce: hello.nonce, cookie }.encode(), out);
        Verdict::Dropped(DropReason::HelloUnproven)
    }

    /// Whether a proven address may have a session, and under which name.
    fn judge_hello(
        &mut self,
        now: Time,
        path: Path,
        hello: &Hello<'_>,
        bytes: &[u8],
    ) -> Result<Name, (DropReason, Code, u32)> {
        let Ok(name) = Name::parse(hello.name) else {
            return Err((DropReason::InvalidName, Code::Protocol, 0));
        };
        if !self.proves_access(hello, bytes) {
            return Err((DropReason::AccessDenied, Code::Access, 0));
        }
        if self.bans.cover_address(path.remote.ip(), now) || self.bans.cover_name(name.as_str(), now) {
            return Err((DropReason::Banned, Code::Banned, 0));
        }
        if let Some((reason, wait_ms)) = self.gate.shuts_out()
            && !self.is_coming_back(hello)
        {
            return Err((reason, Code::Full, wait_ms));
        }
        let known = self.native.instances.find(hello.instance);
        let was_kicked = known.is_some_and(|known| self.native.instances.was_kicked(known, now));
        if was_kicked || self.admission.is_refused(path.remote, now) {
            let wait_ms = u32::try_from(config::REFUSE_MS).unwrap_or(u32::MAX);
            return Err((DropReason::RefusedAddress, Code::Kicked, wait_ms));
        }
        let (ending, sessions) = (self.ended_by(path, hello), self.native.sessions.len());
        match self.admission.admit_session(&self.limits, path.remote, (sessions, ending), now) {
            Ok(()) => Ok(name),
            Err(reason @ DropReason::PeersFull) => Err((reason, Code::Full, 30_000)),
            Err(reason @ DropReason::PrefixFull) => Err((reason, Code::Limit, 30_000)),
            Err(reason) => Err((reason, Code::Rate, 1_000)),
        }
    }

    /// The addresses of the sessions that this one would end: they are no reason to refuse it.
    fn ended_by(&self, path: Path, hello: &Hello<'_>) -> [Option<SocketAddr>; 2] {
        let native = &self.native;
        let instance = native.instances.find(hello.instance);
        let former = instance.and_then(|known| native.instances.at(known).session);
        let other = native.sessions.find_address(path.remote).filter(|&other| Some(other) != former);
        [former, other].map(|ended| ended.map(|index| native.sessions.session(index).path.remote))
    }

    /// Whether this client has a session, and asks for another one: that is
    /// nobody new, unless all are to go.
    fn is_coming_back(&self, hello: &Hello<'_>) -> bool {
        let known = self.native.instances.find(hello.instance);
        self.gate != Gate::Draining && known.is_some_and(|known| self.native.instances.at(known).session.is_some())
    }

    fn proves_access(&self, hello: &Hello<'_>, bytes: &[u8]) -> bool {
        let Some(key) = &self.native.access_key else { return true };
        let (Some(proof), Some(parts)) = (hello.proof, Hello::proven_bytes(bytes)) else { return false };
        let mut hasher = blake3::Hasher::new_keyed(key);
        parts.iter().for_each(|part| _ = hasher.update(part));
        constant_time_eq(&proof, &hasher.finalize().as_bytes()[..proof.len()])
    }

    fn begin_session(
        &mut self,
        now: Time,
        path: Path,
        hello: &Hello<'_>,
        name: Name,
        out: &mut Outbox,
    ) -> SessionIndex {
        let known = self.native.instances.find(hello.instance);
        let former = known.and_then(|known| self.native.instances.at(known).session);
        if let Some(former) = former {
            // The same attempt with a new nonce: a CLOSE would be taken for the new session's.
            let is_same = self.native.sessions.session(former).ccid == hello.ccid;
            let replaced = Ending::told(LeaveReason::Replaced, Code::Replaced);
            self.end_session(now, former, if is_same { replaced.untold() } else { replaced }, out);
        }
        self.clear_address(now, path, out);
        let known = self.native.instances.find(hello.instance);
        let kept = known.map(|known| Arc::clone(&self.native.instances.at(known).name));
        let name = match kept {
            Some(kept) if !self.is_name_taken(&kept) && !self.bans.cover_name(&kept, now) => kept,
            _ => Arc::from(self.free_name(name).as_str()),
        };
        let native = &mut self.native;
        let instance = known.unwrap_or_else(|| {
            let member = native.fresh_member();
            native.instances.insert(hello.instance, member, Arc::clone(&name))
        });
        let remembered = native.instances.at_mut(instance);
        remembered.name = Arc::clone(&name);
        remembered.muted |= self.admission.is_muted(path.remote, now);
        let member = native.instances.at(instance).member;
        let scid = Scid(native.secrets.next());
        let index = native.sessions.insert(Session {
            scid,
            ccid: hello.ccid,
            nonce: hello.nonce,
            instance,
            member,
            name: Arc::clone(&name),
            path,
            challenge: Bucket::default(),
            heard_ns: now.nanos(),
            unreachable_ns: 0,
            pn: PacketNumber(0),
            first_membership: NONE,
            memberships: 0,
            is_used: false,
            muted: native.instances.at(instance).muted,
            repairs: 0,
            spoke: false,
            said: (0, 0),
        });
        native.instances.begin(instance, index);
        self.admission.session_began(&self.limits, path.remote);
        self.counters.joined += 1;
        self.counters.native.sessions_begun += 1;
        self.events.push_back(Event::Joined { remote: path.remote, name, unix_s: now.unix_s(), native: true });
        let muted = self.native.instances.at(instance).muted;
        self.come_mute(path.remote, muted);
        index
    }

    /// Ends whatever membership an address has: it has proven to be somebody else's now.
    pub(super) fn clear_address(&mut self, now: Time, path: Path, out: &mut Outbox) {
        if let Some(peer) = self.peers.find(path.remote) {
            self.leave(now, peer, LeaveReason::Replaced, out);
        }
        if let Some(other) = self.native.sessions.find_address(path.remote) {
            self.end_session(now, other, Ending::told(LeaveReason::Unreachable, Code::Unreachable), out);
        }
    }

    fn welcome(&mut self, index: SessionIndex, out: &mut Outbox) {
        let session = self.native.sessions.session(index);
        let welcome = Welcome {
            ccid: session.ccid,
            nonce: session.nonce,
            scid: session.scid,
            epoch: self.native.epoch,
            member: session.member,
            max_dgram: DATAGRAM_BYTES_MAX as u16,
            idle_s: config::SESSION_IDLE_S,
            keepalive_s: config::SESSION_KEEPALIVE_S,
            flags: 0,
            msgs_per_s: self.rates.messages.per_s,
            bytes_per_s: self.rates.bytes.per_s,
            window_bytes: config::SESSION_WINDOW_BYTES,
        };
        let path = session.path;
        self.tell(path, &welcome.encode(), out);
    }

    /// Whether somebody here has this name.
    pub(in crate::relay) fn is_name_taken(&self, name: &str) -> bool {
        self.peers.find_name(name).is_some() || self.native.sessions.find_name(name).is_some()
    }

    /// `name`, or with a number behind it if another bears it.
    pub(in crate::relay) fn free_name(&mut self, name: Name) -> Name {
        let (peers, sessions) = (&self.peers, &self.native.sessions);
        self.names.free(name, |name| peers.find_name(name).is_some() || sessions.find_name(name).is_some())
    }
}

/// How often a session's new address is challenged.
pub(super) const CHALLENGES: Rate = Rate { per_s: (1_000 / config::PATH_CHALLENGE_EVERY_MS) as u32, burst: 1 };
