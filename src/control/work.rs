//! Does what is asked on the control socket, by signals and by the clock:
//! one command for the loop each, lists from the directory. Never reads a
//! flag, a file of settings or the network.

use super::bans::BanBook;
use super::desk::Lines;
use super::protocol::{Answer, Ask, BanRow, PeerRow, RoomRow, Terms};
use super::takeover::{self, Claimant, Luggage, Taken};
use super::{Files, Surroundings, members, unix_now_s};
use crate::config::{self, LogLevel};
use crate::directory::{Directory, Member};
use crate::metrics::human_nanos;
use crate::relay::{Ban, BanTarget, Command, Outcome, RoomView, Target};
use crate::server::{AUDIT, Handle, Report};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Everything that the control thread needs.
pub(super) struct Work {
    pub(super) relay: Handle,
    /// Where it listens.
    pub(super) address: SocketAddr,
    pub(super) directory: Arc<Directory>,
    pub(super) surroundings: Box<dyn Surroundings>,
    pub(super) bans: BanBook,
    pub(super) files: Files,
    /// When a drain ends in any case.
    pub(super) drain_until: Option<Instant>,
    pub(super) kept: Kept,
}

/// What was written to the file of members, and when.
#[derive(Default)]
pub(super) struct Kept {
    changes: Option<u64>,
    at: Option<Instant>,
    /// It could not be written: said once.
    failed: bool,
}

/// What came of a request.
type Done = Result<Value, String>;

impl Work {
    pub(super) fn answer(&mut self, ask: Ask, now: Instant) -> Lines {
        match ask {
            Ask::Peers {} => list(self.directory.members().into_iter().map(peer_row)),
            Ask::Top { count } => list(self.top(count).into_iter().map(peer_row)),
            Ask::Rooms {} => self.rooms(),
            Ask::Bans {} => {
                let rows: Vec<_> = self.bans.holding(unix_now_s()).cloned().collect();
                list(rows.into_iter().map(Answer::row))
            }
            ask => end(self.act(ask, now)),
        }
    }

    fn act(&mut self, ask: Ask, now: Instant) -> Done {
        match ask {
            Ask::Stats {} => Ok(stats(&self.relay.report().ok_or(ENDED)?)),
            Ask::Kick { who, reason } => self.about(Command::Kick(Target::parse(&who)), "kicked", &reason),
            Ask::Mute { who, reason } => self.about(Command::Mute(Target::parse(&who)), "muted", &reason),
            Ask::Unmute { who } => self.about(Command::Unmute(Target::parse(&who)), "unmuted", ""),
            Ask::Ban { target, for_ms, reason } => self.ban(&target, for_ms, reason),
            Ask::Unban { target } => self.unban(&target),
            Ask::Lockdown { on } => self.lock_down(on),
            Ask::Say { line } => self.say(line),
            Ask::Reload {} => self.reload(),
            Ask::Drain { to, deadline_ms } => self.drain(to, deadline_ms, now),
            Ask::Log { level } => self.log(&level),
            Ask::Takeover { version } => self.takeover(version),
            // Taken before: it needs the client's stream.
            Ask::HandOver { .. } => Err("that is no request among others".to_owned()),
            Ask::Peers {} | Ask::Top { .. } | Ask::Rooms {} | Ask::Bans {} => Err("that is a list".to_owned()),
        }
    }

    fn command(&self, command: Command) -> Result<Outcome, String> {
        Ok(self.relay.command(command).ok_or(ENDED)?)
    }

    // ---- members ----------------------------------------------------------------------

    fn about(&self, command: Command, what: &str, reason: &str) -> Done {
        match self.command(command)? {
            Outcome::Kicked(remote) | Outcome::Muted(remote) | Outcome::Unmuted(remote) => {
                tracing::info!(target: AUDIT, %remote, reason, "{what} by the operator");
                Ok(json!({ "address": remote }))
            }
            _ => Err("nobody of that name or address is here: `outcry ctl peers` lists them".to_owned()),
        }
    }

    fn top(&self, count: usize) -> Vec<Member> {
        let mut members = self.directory.members();
        members.sort_by_key(|member| std::cmp::Reverse((member.lines, member.bytes)));
        members.truncate(count);
        members
    }

    fn rooms(&self) -> Lines {
        let relay = self.relay.clone();
        let mut next = Some(0);
        // A page at a time, as the client reads them: each is one entry of the loop's queue.
        let pages = std::iter::from_fn(move || {
            let (page, after) = relay.rooms(next?)?;
            next = after;
            Some(page)
        });
        list(pages.flatten().map(room_row))
    }

    fn say(&self, line: String) -> Done {
        match self.command(Command::Announce(line))? {
            Outcome::SentToAll(members) => Ok(json!({ "members": members })),
            Outcome::NobodyHere => Ok(json!({ "members": 0 })),
            _ => Err("a line has 1 to 1016 bytes".to_owned()),
        }
    }

    // ---- bans -------------------------------------------------------------------------

    fn ban(&mut self, target: &str, for_ms: Option<u64>, reason: String) -> Done {
        let since_unix_s = unix_now_s();
        let target: BanTarget = target.parse().map_err(|error| format!("{target:?}: {error}"))?;
        let until_unix_s = for_ms.map(|ms| since_unix_s.saturating_add(ms.div_ceil(1000)));
        let covered = self.directory.members();
        let covered = covered.iter().filter(|member| target.covers(member.remote.ip(), &member.name)).count();
        if self.command(Command::Ban(Ban { target: target.clone(), until_unix_s }))? != Outcome::Banned {
            return Err(format!("there are {} bans, which is all there can be: lift some", config::BANS_MAX));
        }
        tracing::info!(target: AUDIT, ban = %target, until_unix_s, reason, members = covered, "banned");
        self.bans.insert(BanRow { target: target.to_string(), until_unix_s, since_unix_s, reason }, since_unix_s);
        let kept = self.keep_bans()?;
        Ok(json!({ "target": target.to_string(), "until_unix_s": until_unix_s, "members": covered, "kept": kept }))
    }

    fn unban(&mut self, target: &str) -> Done {
        let target: BanTarget = target.parse().map_err(|error| format!("{target:?}: {error}"))?;
        let was = self.bans.remove(&target);
        if self.command(Command::Unban(target.clone()))? != Outcome::Unbanned && !was {
            return Err(format!("{target} is not banned: `outcry ctl ban list` shows who is"));
        }
        tracing::info!(target: AUDIT, ban = %target, "ban lifted");
        Ok(json!({ "target": target.to_string(), "kept": self.keep_bans()? }))
    }

    pub(super) fn keep_bans(&self) -> Result<bool, String> {
        let place = || self.files.bans.clone().unwrap_or_default();
        self.bans.write(unix_now_s()).map_err(|error| {
            tracing::error!(file = %place().display(), %error, "bans are in force, and not in their file");
            format!("it is in force until the relay ends: cannot write the ban file {}: {error}", place().display())
        })
    }

    /// Bans as the file has them by now.
    fn take_bans(&mut self, has_file: bool, read: BanBook) -> Result<(), String> {
        let now = unix_now_s();
        // Without a file the list is nowhere else.
        if !has_file {
            self.bans.forget_file();
            return Ok(());
        }
        let former = std::mem::replace(&mut self.bans, read);
        let wanted = self.bans.bans(now);
        for ban in former.bans(now) {
            if !wanted.iter().any(|other| other.target == ban.target) {
                self.command(Command::Unban(ban.target))?;
            }
        }
        for ban in wanted {
            self.command(Command::Ban(ban))?;
        }
        Ok(())
    }

    // ---- the relay --------------------------------------------------------------------

    fn lock_down(&self, on: bool) -> Done {
        let Outcome::LockedDown(locked) = self.command(Command::Lockdown(on))? else { return Err(ENDED.to_owned()) };
        if locked != on {
            return Err("the relay drains: it lets nobody in any more".to_owned());
        }
        tracing::info!(target: AUDIT, on, "lockdown");
        Ok(json!({ "lockdown": on }))
    }

    pub(super) fn reload(&mut self) -> Done {
        let reloaded = self.surroundings.read()?;
        let files = Files::of(&reloaded.config);
        // All that can be wrong is found before anything is changed.
        let bans = BanBook::read(files.bans.clone()).map_err(|error| format!("nothing was changed: {error}"))?;
        self.relay.reconfigure(reloaded.config.clone()).ok_or(ENDED)?;
        self.take_bans(files.bans.is_some(), bans)?;
        self.files = files;
        self.kept = Kept::default();
        self.surroundings.changed(&reloaded.config);
        let (changed, restart) = (reloaded.changed, reloaded.restart);
        tracing::info!(target: AUDIT, changed = changed.join(" "), restart = restart.join(" "), "reloaded");
        Ok(json!({ "changed": changed, "restart": restart }))
    }

    fn log(&mut self, level: &str) -> Done {
        let level: LogLevel = level.parse().map_err(|error| format!("{level:?}: {error}"))?;
        self.surroundings.log(level);
        Ok(json!({ "log": level.name() }))
    }

    // ---- another process --------------------------------------------------------------

    /// Whether the relay would hand over.
    fn takeover(&self, version: u32) -> Done {
        self.objection(version).map_or_else(|| Ok(json!(Terms { address: self.address })), Err)
    }

    fn objection(&self, version: u32) -> Option<String> {
        let drains = self.drain_until.map(|_| "the relay drains, and is about to end".to_owned());
        let watched = self.surroundings.is_watched().then(|| {
            "a service manager has started the relay that runs, and would take its end for the service's: restart \
             the unit instead (systemctl restart outcry)"
                .to_owned()
        });
        takeover::other_version(version).or(watched).or(drains)
    }

    /// Hands the relay over, if `claimant` takes it.
    pub(super) fn hand_over(&mut self, claimant: Claimant, control: BorrowedFd<'_>) -> Option<Taken> {
        let (pid, version, members) = (claimant.pid, claimant.version, self.directory.len());
        let bans = self.bans.holding(unix_now_s()).cloned().collect();
        let admin = self.surroundings.admin();
        let luggage = Luggage { control, admin: admin.as_ref().map(AsFd::as_fd), bans };
        let objection = self.objection(version);
        match takeover::hand_over(claimant, objection, &self.relay, luggage) {
            Ok(taken) => {
                let stood = human_nanos(taken.stood_ns);
                tracing::info!(target: AUDIT, pid, version, members, stood, "handed over to another process");
                // Its members are written by whoever has them.
                self.files.state = None;
                Some(taken)
            }
            Err(why) => {
                tracing::warn!(target: AUDIT, pid, version, why, "not handed over: the relay goes on");
                None
            }
        }
    }

    // ---- the end ----------------------------------------------------------------------

    pub(super) fn drain(&mut self, to: Option<String>, deadline_ms: Option<u64>, now: Instant) -> Done {
        if let Some(to) = to.as_deref().filter(|to| !is_alternate(to)) {
            return Err(format!("{to:?}: expected HOST:PORT of at most {} bytes", config::ALTERNATE_BYTES_MAX));
        }
        let deadline = Duration::from_millis(deadline_ms.unwrap_or(config::DRAIN_DEADLINE_MS_DEFAULT));
        let members = self.directory.len();
        self.command(Command::Drain(to.clone().map(String::into_boxed_str)))?;
        self.drain_until = now.checked_add(deadline);
        tracing::info!(target: AUDIT, to, members, ?deadline, "draining");
        self.surroundings.draining(members);
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        Ok(json!({ "members": members, "to": to, "deadline_ms": deadline_ms }))
    }

    /// Ends the relay when it is empty, or its time is over.
    pub(super) fn end_drain(&mut self, now: Instant) {
        if self.drain_until.is_some_and(|until| until <= now || self.directory.is_empty()) {
            self.drain_until = None;
            self.surroundings.stopping();
            self.relay.shut_down();
        }
    }

    // ---- members of before ------------------------------------------------------------

    /// Writes who is here, if it is time to and there is a file for it.
    pub(super) fn keep_members(&mut self, now: Instant, at_the_end: bool) {
        let Some(path) = self.files.state.clone() else { return };
        let changes = self.directory.changes();
        let every = Duration::from_millis(config::STATE_EVERY_MS);
        let span = if self.kept.changes == Some(changes) { self.files.refresh } else { every };
        let is_due = self.kept.at.is_none_or(|at| now.duration_since(at) >= span);
        if !is_due && !at_the_end {
            return;
        }
        let written = members::write(&path, &self.directory, unix_now_s());
        if let (Err(error), false) = (&written, self.kept.failed) {
            tracing::error!(file = %path.display(), %error, "members are not kept: a restart will not know them");
        }
        let changes = written.is_ok().then_some(changes);
        self.kept = Kept { changes, at: Some(now), failed: written.is_err() };
    }
}

const ENDED: &str = "the relay has ended";

fn is_alternate(to: &str) -> bool {
    let parts = to.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    to.len() <= config::ALTERNATE_BYTES_MAX && parts.is_some() && !to.chars().any(|c| c.is_control() || c == ' ')
}

fn list(rows: impl Iterator<Item = Answer> + Send + 'static) -> Lines {
    let mut count = 0_u64;
    let mut rows = rows.map(Some).chain(std::iter::once(None));
    Box::new(std::iter::from_fn(move || match rows.next()? {
        Some(row) => {
            count += 1;
            Some(row)
        }
        None => Some(Answer::Done(json!({ "rows": count }))),
    }))
}

fn end(done: Done) -> Lines {
    Box::new(std::iter::once(done.map_or_else(Answer::Failed, Answer::Done)))
}

fn peer_row(member: Member) -> Answer {
    let Member { remote: address, name, native, muted, since_unix_s, lines, bytes } = member;
    let (name, protocol) = (name.to_string(), if native { "native" } else { "plain" }.to_owned());
    Answer::row(PeerRow { address, name, protocol, muted, since_unix_s, lines, bytes })
}

fn room_row(room: RoomView) -> Answer {
    let RoomView { name, sealed, unlisted, members, slow, head, kept } = room;
    Answer::row(RoomRow { name: name.into(), members, slow, head, kept, sealed, unlisted })
}

fn stats(report: &Report) -> Value {
    let counters = &report.counters;
    let [plain_messages, native_messages] = counters.messages();
    let drops = crate::metrics::DropReason::ALL.iter();
    let drops: serde_json::Map<_, _> =
        drops.map(|&reason| (reason.name().to_owned(), counters.dropped(reason).into())).collect();
    let leaves = crate::metrics::LeaveReason::ALL.iter();
    let leaves: serde_json::Map<_, _> =
        leaves.map(|&reason| (reason.name().to_owned(), counters.left(reason).into())).collect();
    json!({
        "members": report.members,
        "joined": counters.joined,
        "left": leaves,
        "datagrams_in": counters.datagrams_in,
        "relayed": counters.relayed,
        "control": counters.control,
        "dropped": drops,
        "kernel_drops": report.kernel_drops,
        "messages": { "plain": plain_messages, "native": native_messages },
        "copies": report.copies.offered,
        "copies_to": {
            "plain": report.copies.offered_plain(),
            "native": report.copies.offered_cast,
            "single": report.copies.offered_single,
        },
        "sent": report.copies.sent,
        "copies_dropped": report.copies.dropped_total(),
        "inside_ns": { "p50": report.sojourn_ns.p50, "p99": report.sojourn_ns.p99, "p999": report.sojourn_ns.p999 },
        "resident_bytes": report.resident_bytes,
        "text": format!("{report:#}"),
    })
}
