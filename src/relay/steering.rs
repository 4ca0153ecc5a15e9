//! What the operator steers while the relay runs: who is mute, banned or shut
//! out, when it is to be empty, and its limits. What is about many members is
//! done in steps, so that no turn waits for it.

use super::admission;
use super::bans::{Ban, BanTarget};
use super::native::Ending;
use super::{Event, Outcome, Rates, Relay, Target};
use crate::Time;
use crate::batch::{MemberIndex, Outbox, Path};
use crate::config::{self, Limits, PlainPolicy};
use crate::metrics::{DropReason, LeaveReason};
use crate::wire::header::Code;
use crate::wire::plain::{self, Answer, Name};
use std::net::SocketAddr;
use std::sync::Arc;

/// Members that one step removes at most.
const REMOVED_PER_STEP: usize = 64;
/// Datagrams that a step leaves room for.
const SPARE_MIN: usize = 8;

/// Who may come in at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Gate {
    /// Whoever the limits let in.
    #[default]
    Open,
    /// Nobody new; members stay.
    Lockdown,
    /// Nobody: the relay is to be empty.
    Draining,
}

impl Gate {
    /// Why somebody new is not let in, and when to ask again, in ms.
    pub(super) fn shuts_out(self) -> Option<(DropReason, u32)> {
        match self {
            Gate::Open => None,
            Gate::Lockdown => Some((DropReason::Lockdown, config::LOCKDOWN_RETRY_MS)),
            Gate::Draining => Some((DropReason::Draining, config::DRAINING_RETRY_MS)),
        }
    }
}

/// Members that are still to be looked at for a new ban: those of lower numbers.
pub(super) struct Sweep {
    pub(super) peers: usize,
    pub(super) sessions: u32,
}

impl Relay {
    // ---- mute -----------------------------------------------------------------------

    pub(super) fn mute(&mut self, now: Time, target: &Target, muted: bool) -> Outcome {
        let remote = if let Some(index) = self.find_peer(target) {
            self.peers.peer_mut(index).muted = muted;
            self.peers.path(index).remote
        } else if let Some(remote) = self.native.mute(target, muted) {
            self.admission.mute_client(remote, muted, now);
            remote
        } else if let (false, &Target::Address(remote)) = (muted, target)
            && self.admission.is_muted(remote, now)
        {
            // It has left, and is to be heard when it comes again.
            self.admission.mute(remote, false, now);
            remote
        } else {
            return Outcome::NoSuch;
        };
        self.admission.mute(remote, muted, now);
        self.events.push_back(Event::Muted { remote, muted });
        if muted { Outcome::Muted(remote) } else { Outcome::Unmuted(remote) }
    }

    /// Tells that who has just come is mute, if it is.
    pub(super) fn come_mute(&mut self, remote: SocketAddr, muted: bool) {
        if muted {
            self.events.push_back(Event::Muted { remote, muted });
        }
    }

    pub(super) fn find_peer(&self, target: &Target) -> Option<MemberIndex> {
        match target {
            Target::Address(remote) => self.peers.find(*remote),
            Target::Name(name) => self.peers.find_name(name),
        }
    }

    // ---- bans -----------------------------------------------------------------------

    pub(super) fn ban(&mut self, now: Time, ban: Ban) -> Outcome {
        if !self.bans.insert(ban, now) {
            return Outcome::BansFull;
        }
        self.sweep = Some(Sweep { peers: self.peers.len(), sessions: self.native.sessions.places() });
        Outcome::Banned
    }

    pub(super) fn unban(&mut self, target: &BanTarget) -> Outcome {
        if self.bans.remove(target) { Outcome::Unbanned } else { Outcome::NoSuch }
    }

    fn is_banned(&self, remote: SocketAddr, name: &str, now: Time) -> bool {
        self.bans.cover_address(remote.ip(), now) || self.bans.cover_name(name, now)
    }

    /// Removes some of those that a new ban covers. Downwards: whoever takes
    /// the place of one that goes has been looked at, or has a lower number.
    fn sweep_banned(&mut self, now: Time, out: &mut Outbox) {
        let Some(mut sweep) = self.sweep.take() else { return };
        let mut removed = 0;
        for _ in 0..config::BAN_LOOKS_PER_STEP {
            if removed >= REMOVED_PER_STEP || !has_room(out) {
                break;
            }
            sweep.peers = sweep.peers.min(self.peers.len());
            if sweep.peers > 0 {
                sweep.peers -= 1;
                removed += usize::from(self.remove_banned_peer(now, sweep.peers, out));
            } else if sweep.sessions > 0 {
                sweep.sessions -= 1;
                removed += usize::from(self.remove_banned_session(now, sweep.sessions, out));
            } else {
                return;
            }
        }
        self.sweep = Some(sweep);
    }

    fn remove_banned_peer(&mut self, now: Time, at: usize, out: &mut Outbox) -> bool {
        let index = MemberIndex(u32::try_from(at).expect("invariant: peers_max fits in u32"));
        let (remote, name) = (self.peers.path(index).remote, Arc::clone(&self.peers.peer(index).name));
        let banned = self.is_banned(remote, &name, now);
        if banned {
            self.dismiss(now, index, LeaveReason::Banned, Answer::Banned, out);
        }
        banned
    }

    fn remove_banned_session(&mut self, now: Time, place: u32, out: &mut Outbox) -> bool {
        let Some(index) = self.native.sessions.at_place(place) else { return false };
        let session = self.native.sessions.session(index);
        let banned = self.is_banned(session.path.remote, &session.name, now);
        if banned {
            self.renew_tags(now, index);
            self.end_session(now, index, Ending::told(LeaveReason::Banned, Code::Banned), out);
        }
        banned
    }

    // ---- the gate -------------------------------------------------------------------

    pub(super) fn lock_down(&mut self, on: bool) -> Outcome {
        // A relay that is to be empty does not open again.
        self.gate = match (self.gate, on) {
            (Gate::Draining, _) => Gate::Draining,
            (_, true) => Gate::Lockdown,
            (_, false) => Gate::Open,
        };
        Outcome::LockedDown(self.gate != Gate::Open)
    }

    /// Lets nobody in any more and tells who is here where to go.
    pub(super) fn drain(&mut self, now: Time, to: Option<Box<str>>, out: &mut Outbox) -> Outcome {
        self.gate = Gate::Draining;
        let line = plain::answer(self.lang, Answer::Draining(to.as_deref()));
        out.announce(None, line.as_bytes());
        self.enter_relay_line(now, line.as_bytes(), out);
        self.native.moved_to = to;
        Outcome::Draining
    }

    /// Sends some of the native members to the alternate address.
    fn move_some(&mut self, now: Time, out: &mut Outbox) {
        for _ in 0..REMOVED_PER_STEP {
            match self.native.sessions.longest_silent() {
                Some(index) if self.is_moving() && has_room(out) => {
                    self.end_session(now, index, Ending::told(LeaveReason::Moved, Code::Moved), out);
                }
                _ => return,
            }
        }
    }

    fn is_moving(&self) -> bool {
        self.native.moved_to.is_some() && self.native.sessions.len() > 0
    }

    // ---- steps ----------------------------------------------------------------------

    /// Does the next part of what is about many members.
    pub(super) fn handle_steps(&mut self, now: Time, out: &mut Outbox) {
        self.sweep_banned(now, out);
        self.move_some(now, out);
    }

    /// At once, while there is something to do.
    pub(super) fn next_step(&self) -> Option<Time> {
        (self.sweep.is_some() || self.is_moving()).then(Time::default)
    }

    // ---- limits ---------------------------------------------------------------------

    /// Takes over of `wanted` what can change while the relay runs.
    pub(super) fn reconfigure(&mut self, wanted: &Limits) -> Outcome {
        let limits = self.limits.changed_to(wanted);
        self.rates = Rates::of(&limits);
        self.lang = plain_lang(limits.lang);
        self.notices.reconfigure(self.lang, limits.notices_per_s, limits.notice_copies_per_s);
        self.native.set_access_key(limits.access_key.as_ref());
        self.limits = limits;
        self.arm_rooms();
        Outcome::Reconfigured
    }

    // ---- members of before ------------------------------------------------------------

    /// Lets a plain member in that was here before the relay was started anew,
    /// without telling anyone. Returns whether it may come.
    pub fn restore(&mut self, now: Time, remote: SocketAddr, name: &str) -> bool {
        let Ok(name) = Name::parse(name) else { return false };
        let path = Path::to(remote);
        let fits = self.limits.plain != PlainPolicy::Off
            && self.peers.len() < self.limits.peers_max as usize
            && admission::is_possible_peer(&path, self.own)
            && self.peers.find(remote).is_none()
            && self.native.sessions.find_address(remote).is_none()
            && !self.is_banned(remote, name.as_str(), now);
        if !fits {
            return false;
        }
        let name = self.free_name(name);
        let member = self.native.fresh_plain();
        let index = self.peers.insert(path, name, member, now);
        self.admission.joined(&self.limits, remote);
        self.counters.joined += 1;
        let name = Arc::clone(&self.peers.peer(index).name);
        self.events.push_back(Event::Restored { remote, name, unix_s: now.unix_s() });
        true
    }

    /// Whoever is at this address, or comes from it within the hour, is mute:
    /// so it was before the relay was started anew.
    pub fn restore_mute(&mut self, now: Time, remote: SocketAddr) {
        self.admission.mute(remote, true, now);
        self.mute(now, &Target::Address(remote), true);
    }
}

fn has_room(out: &Outbox) -> bool {
    let (messages, datagrams) = out.spare();
    let (casts, _) = out.spare_casts();
    messages >= SPARE_MIN && datagrams >= SPARE_MIN && casts >= SPARE_MIN * config::ROOMS_PER_SESSION_MAX
}

pub(super) fn plain_lang(lang: config::Lang) -> plain::Lang {
    match lang {
        config::Lang::Zh => plain::Lang::Zh,
        config::Lang::En => plain::Lang::En,
    }
}
