//! What the operator does: speak to one or all, remove a member, stop. Keeps
//! the addresses heard from lately that are no members, so that they can be
//! answered; nothing is kept while the console is off.

use super::hash::SeededHash;
use super::native::Ending;
use super::recent::RecentTable;
use super::{Command, Event, Outcome, Relay, Target};
use crate::Time;
use crate::batch::{Outbox, Path};
use crate::config;
use crate::metrics::LeaveReason;
use crate::wire::header::Code;
use crate::wire::plain::{self, Answer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Strangers heard from within the idle time.
pub(super) struct Console {
    heard: RecentTable<SocketAddr, Path>,
    life: Duration,
}

impl Console {
    pub(super) fn new(idle_ms: u64, hash: SeededHash) -> Self {
        let life = if idle_ms == 0 { Duration::MAX } else { Duration::from_millis(idle_ms) };
        Self { heard: RecentTable::new(config::STRANGERS_HEARD_MAX, hash), life }
    }

    /// The strangers, for a snapshot.
    pub(super) fn heard(&self) -> &RecentTable<SocketAddr, Path> {
        &self.heard
    }

    pub(super) fn heard_mut(&mut self) -> &mut RecentTable<SocketAddr, Path> {
        &mut self.heard
    }

    /// Takes note of who spoke.
    pub(super) fn note(&mut self, now: Time, path: Path, is_member: bool) {
        if is_member {
            self.heard.remove(&path.remote);
        } else {
            self.heard.insert(path.remote, path, now, self.life);
        }
    }
}

impl Relay {
    /// Does what the operator wants.
    pub fn handle_command(&mut self, now: Time, command: Command, out: &mut Outbox) -> Outcome {
        match command {
            Command::Say(line) | Command::Announce(line) if !is_sendable(&line) => Outcome::BadLength,
            Command::Announce(line) => self.say_to_all(now, &line, out),
            Command::To(_, line) if !is_sendable(&line) => Outcome::BadLength,
            Command::Say(line) => match self.only_peer(now) {
                Some(path) => send_raw(path, &line, out),
                None => self.say_to_all(now, &line, out),
            },
            Command::To(target, line) => match self.path_of(now, &target) {
                Some(path) => send_raw(path, &line, out),
                None => Outcome::NoSuch,
            },
            Command::Kick(target) => self.kick(now, &target, out),
            Command::Mute(target) => self.mute(now, &target, true),
            Command::Unmute(target) => self.mute(now, &target, false),
            Command::Ban(ban) => self.ban(now, ban),
            Command::Unban(target) => self.unban(&target),
            Command::Lockdown(on) => self.lock_down(on),
            Command::Drain(to) => self.drain(now, to, out),
            Command::Reconfigure(limits) => self.reconfigure(&limits),
            Command::Shutdown => self.shut_down(out),
        }
    }

    /// The one peer, if there is exactly one: a member, or a stranger heard lately.
    fn only_peer(&mut self, now: Time) -> Option<Path> {
        let strangers = self.console.iter().flat_map(|console| console.heard.live(now));
        let strangers = strangers.filter(|(remote, _)| self.peers.find(**remote).is_none()).map(|(_, path)| path);
        let mut peers = self.peers.roster().paths().iter().chain(strangers);
        let only = peers.next().copied();
        only.filter(|_| peers.next().is_none() && self.native.sessions.len() == 0)
    }

    fn path_of(&mut self, now: Time, target: &Target) -> Option<Path> {
        match (self.find_peer(target), target, &mut self.console) {
            (Some(index), _, _) => Some(self.peers.path(index)),
            (None, Target::Address(remote), Some(console)) => console.heard.find(remote, now).copied(),
            _ => None,
        }
    }

    fn say_to_all(&mut self, now: Time, line: &str, out: &mut Outbox) -> Outcome {
        if self.members() == 0 {
            return Outcome::NobodyHere;
        }
        // With what the relay puts before it: nothing is cut in silence.
        if line.len() + plain::RELAY_PREFIX.len() + 1 > config::LINE_BYTES_MAX {
            return Outcome::BadLength;
        }
        let line = plain::answer(self.lang, Answer::Operator(line));
        out.announce(None, line.as_bytes());
        self.enter_relay_line(now, line.as_bytes(), out);
        Outcome::SentToAll(self.members())
    }

    fn kick(&mut self, now: Time, target: &Target, out: &mut Outbox) -> Outcome {
        let Some(index) = self.find_peer(target) else { return self.kick_session(now, target, out) };
        let remote = self.peers.path(index).remote;
        self.admission.refuse(remote, now);
        self.dismiss(now, index, LeaveReason::Kicked, Answer::Kicked, out);
        Outcome::Kicked(remote)
    }

    fn kick_session(&mut self, now: Time, target: &Target, out: &mut Outbox) -> Outcome {
        let Some(index) = self.native.sessions.find_target(target) else { return Outcome::NoSuch };
        let remote = self.native.sessions.session(index).path.remote;
        self.admission.refuse(remote, now);
        self.native.note_kick(index);
        self.renew_tags(now, index);
        self.end_session(now, index, Ending::told(LeaveReason::Kicked, Code::Kicked), out);
        Outcome::Kicked(remote)
    }

    fn shut_down(&mut self, out: &mut Outbox) -> Outcome {
        out.announce(None, plain::answer(self.lang, Answer::Shutdown).as_bytes());
        for (peer, path) in self.peers.all() {
            self.counters.leave(LeaveReason::Shutdown);
            let (remote, name) = (path.remote, Arc::clone(&peer.name));
            self.events.push_back(Event::Left { remote, name, reason: LeaveReason::Shutdown });
        }
        self.shut_some_sessions(out);
        Outcome::ShutDown
    }
}

fn is_sendable(line: &str) -> bool {
    (1..=config::LINE_BYTES_MAX).contains(&line.len())
}

fn send_raw(path: Path, line: &str, out: &mut Outbox) -> Outcome {
    out.unicast(path, line.as_bytes());
    Outcome::SentTo(path.remote)
}
