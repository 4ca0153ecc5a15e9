//! What members do: join, say a line, fall silent, leave.

use super::notices::Room;
use super::{EXPIRIES_PER_CALL, Event, Relay, Verdict};
use crate::Time;
use crate::batch::{MemberIndex, Outbox, Path};
use crate::config;
use crate::metrics::{DropReason, LeaveReason};
use crate::wire::plain::{Answer, Change, Name, Text};
use std::sync::Arc;
use std::time::Duration;

impl Relay {
    pub(super) fn hear_member(
        &mut self,
        now: Time,
        index: MemberIndex,
        path: Path,
        text: Text<'_>,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        self.peers.touch(index, path, now);
        match text {
            Text::RelayPrefix => Verdict::Dropped(DropReason::RelayPrefix),
            Text::Exit => {
                self.leave(now, index, LeaveReason::Exit, out);
                self.admission.exited(path.remote, now);
                Verdict::Control
            }
            // Before the rows that only drop: what was never relayed is no echo, and clears its sender.
            _ if self.is_mirror(now, index, bytes) => {
                self.quarantine(now, index, out);
                Verdict::Dropped(DropReason::Mirror)
            }
            Text::Empty => Verdict::Control,
            // Taken before: whatever begins with the magic is never text.
            Text::Native => Verdict::Dropped(DropReason::NativeSize),
            Text::ControlCharacter => Verdict::Dropped(DropReason::ControlCharacter),
            Text::NotUtf8 => {
                self.explain(now, index, Answer::NotUtf8, out);
                Verdict::Dropped(DropReason::NotUtf8)
            }
            Text::Bare(_) | Text::Line { .. } => self.chat(now, index, bytes, out),
        }
    }

    /// A line of chat: to everyone but who said it, unchanged.
    pub(super) fn chat(&mut self, now: Time, index: MemberIndex, bytes: &[u8], out: &mut Outbox) -> Verdict {
        if self.peers.peer(index).muted {
            self.explain(now, index, Answer::Muted, out);
            return Verdict::Dropped(DropReason::Muted);
        }
        if let Err((reason, answer)) = self.take_rates(now, index, bytes.len()) {
            self.explain(now, index, answer, out);
            return Verdict::Dropped(reason);
        }
        let path = self.peers.path(index);
        out.say(index, path, bytes);
        self.enter_plain_line(now, index, bytes, out);
        if self.limits.mirror_guard {
            self.mirror.relayed(self.mirror.text(bytes), self.origin(path), now);
        }
        Verdict::Relayed
    }

    fn take_rates(
        &mut self,
        now: Time,
        index: MemberIndex,
        line_bytes: usize,
    ) -> Result<(), (DropReason, Answer<'static>)> {
        let cost = u32::try_from(line_bytes).unwrap_or(u32::MAX);
        let peer = self.peers.peer_mut(index);
        if line_bytes > config::LINE_BYTES_MAX {
            return Err((DropReason::TooLong, Answer::TooLong(config::LINE_BYTES_MAX)));
        }
        if !peer.bytes.has(self.rates.bytes, cost, now) {
            return Err((DropReason::ByteRate, Answer::TooFast));
        }
        if !peer.messages.take(self.rates.messages, 1, now) {
            return Err((DropReason::MessageRate, Answer::TooFast));
        }
        peer.bytes.take(self.rates.bytes, cost, now);
        Ok(())
    }

    pub(super) fn join(&mut self, now: Time, path: Path, name: Name, out: &mut Outbox) {
        let name = self.free_name(name);
        let member = self.native.fresh_plain();
        let index = self.peers.insert(path, name, member, now);
        let muted = self.admission.is_muted(path.remote, now);
        self.peers.peer_mut(index).muted = muted;
        out.arrived(index, path);
        self.admission.joined(&self.limits, path.remote);
        self.counters.joined += 1;
        self.notify(now, Change::Joined, &name, Some((index, path)), out);
        self.enter_plain_join(now, index, out);
        let name = Arc::clone(&self.peers.peer(index).name);
        self.events.push_back(Event::Joined { remote: path.remote, name, unix_s: now.unix_s(), native: false });
        self.come_mute(path.remote, muted);
    }

    pub(super) fn leave(&mut self, now: Time, index: MemberIndex, reason: LeaveReason, out: &mut Outbox) {
        let path = self.peers.path(index);
        let (peer, moved) = self.peers.remove(index);
        out.departed(index, path, moved);
        self.admission.left(path.remote);
        if peer.muted {
            self.admission.mute(path.remote, true, now);
        }
        self.counters.leave(reason);
        let name = Name::parse(&peer.name).expect("invariant: a member's name is a name");
        self.notify(now, Change::Left, &name, None, out);
        self.enter_plain_leave(now, (peer.member, &peer.name, peer.entered_at), reason, out);
        self.events.push_back(Event::Left { remote: path.remote, name: peer.name, reason });
    }

    /// Removes a member that did not ask to leave, and tells it.
    pub(super) fn dismiss(
        &mut self,
        now: Time,
        index: MemberIndex,
        reason: LeaveReason,
        answer: Answer<'_>,
        out: &mut Outbox,
    ) {
        let path = self.peers.path(index);
        self.leave(now, index, reason, out);
        self.answer(path, answer, out);
    }

    pub(super) fn notify(
        &mut self,
        now: Time,
        change: Change,
        name: &Name,
        about: Option<(MemberIndex, Path)>,
        out: &mut Outbox,
    ) {
        let members = self.peers.len();
        let mut room = Room { members, mirror: &mut self.mirror, counters: &mut self.counters, out };
        self.notices.change(now, change, name, about, &mut room);
    }

    /// Counts echoes in a row: whether this was one too many.
    fn is_mirror(&mut self, now: Time, index: MemberIndex, bytes: &[u8]) -> bool {
        if !self.limits.mirror_guard {
            return false;
        }
        let origin = self.origin(self.peers.path(index));
        let echo = self.mirror.is_echo(self.mirror.text(bytes), origin, now);
        let peer = self.peers.peer_mut(index);
        peer.echoes = if echo { peer.echoes.saturating_add(1) } else { 0 };
        peer.echoes >= config::MIRROR_RUN
    }

    /// What the mirror guard knows a member by: odd, so that it is nobody else's.
    fn origin(&self, path: Path) -> u64 {
        self.hash.of(&path.remote) | 1
    }

    fn quarantine(&mut self, now: Time, index: MemberIndex, out: &mut Outbox) {
        self.admission.refuse(self.peers.path(index).remote, now);
        self.leave(now, index, LeaveReason::Mirror, out);
    }

    /// Warns and expires members that were silent for long.
    pub(super) fn handle_silence(&mut self, now: Time, out: &mut Outbox) {
        for _ in 0..EXPIRIES_PER_CALL {
            let expired = self.next_expiry().is_some_and(|due| due <= now);
            let warned = self.next_warning().is_some_and(|due| due <= now);
            let longest = [expired, warned].into_iter().any(|due| due);
            if !longest || out.is_full() {
                return;
            }
            self.handle_longest_silent(now, expired, out);
        }
    }

    fn handle_longest_silent(&mut self, now: Time, expired: bool, out: &mut Outbox) {
        let warned = self.peers.longest_silent(true);
        match warned.or_else(|| self.peers.longest_silent(false)) {
            Some((index, _)) if expired => self.dismiss(now, index, LeaveReason::Idle, Answer::Idle, out),
            _ => {
                let Some((index, _)) = self.peers.longest_silent(false) else { return };
                self.peers.mark_warned(index);
                self.answer(self.peers.path(index), Answer::IdleWarning(config::IDLE_WARNING_MS / 1000), out);
            }
        }
    }

    /// When the longest silent member leaves. Members are warned in the order
    /// in which they expire, so those warned come first.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        let longest = self.peers.longest_silent(true).or_else(|| self.peers.longest_silent(false));
        self.silent_for(longest, self.limits.idle_ms)
    }

    /// When the next member is to be warned. Short idle times are not warned of.
    pub(super) fn next_warning(&self) -> Option<Time> {
        let warn_after = self.limits.idle_ms.checked_sub(config::IDLE_WARNING_MS).filter(|&after| after > 0)?;
        self.silent_for(self.peers.longest_silent(false), warn_after)
    }

    fn silent_for(&self, longest: Option<(MemberIndex, u64)>, after_ms: u64) -> Option<Time> {
        let (_, heard_ns) = longest?;
        (self.limits.idle_ms != 0).then(|| Time::new(heard_ns, 0) + Duration::from_millis(after_ms))
    }
}
