//! What becomes of a message: accepted as the room's next entry, or not, and
//! then its sender can tell why.

use super::frames::Heard;
use super::room::{LOBBY, Room};
use crate::Time;
use crate::batch::{Outbox, RoomIndex};
use crate::config;
use crate::relay::bucket::Rate;
use crate::relay::history::{Entry, FRESH_COST_MAX, Ring};
use crate::relay::{Mutant, Relay};
use crate::wire::downlink::Frame;
use crate::wire::header::{EntryKind, MSG_PAYLOAD_BYTES_MAX, RefusedCause, SlowCause};
use crate::wire::id::{MemberId, Seq, Sseq};
use crate::wire::plain::SEPARATOR;
use std::cmp::Ordering;

/// What the mirror guard knows native members by: no hash of an address is even.
const NATIVE_ORIGIN: u64 = 4;
/// Casts of a turn that messages leave to what is entered in any case.
const CASTS_SPARED: usize = 64;
/// When it is worth another attempt at a relay that is busy, in ms.
const BUSY_MS: u64 = 10;

impl Relay {
    pub(super) fn hear_msg(
        &mut self,
        now: Time,
        heard: &mut Heard,
        room: RoomIndex,
        (kind, sseq, payload): (EntryKind, Sseq, &[u8]),
        out: &mut Outbox,
    ) {
        self.counters.native.messages_in += 1;
        let native = &self.native;
        let first = native.sessions.session(heard.index).first_membership;
        let Some(at) = native.memberships.find(first, room) else {
            return self.refuse(heard, room, sseq, RefusedCause::NotAMember, out);
        };
        match sseq.cmp(&native.memberships.at(at).next_sseq) {
            Ordering::Less if !self.is_mutant(Mutant::NoDedupe) => {
                self.counters.native.messages_duplicate += 1;
                self.owe_ack(at, Sseq(0));
            }
            Ordering::Greater => {
                self.counters.native.messages_early += 1;
                self.owe_ack(at, sseq);
            }
            Ordering::Equal | Ordering::Less => self.hear_next(now, heard, at, (kind, sseq, payload), out),
        }
    }

    /// The message that is next.
    fn hear_next(
        &mut self,
        now: Time,
        heard: &mut Heard,
        at: u32,
        (kind, sseq, payload): (EntryKind, Sseq, &[u8]),
        out: &mut Outbox,
    ) {
        let room = self.native.memberships.at(at).room;
        if let Some(cause) = self.never(heard, room, kind, payload) {
            return self.refuse(heard, room, sseq, cause, out);
        }
        if let Some(cause) = self.not_now(now, heard, room, kind, payload, out) {
            return self.slow(now, heard, at, (sseq, payload.len()), cause, out);
        }
        if kind == EntryKind::VOID {
            self.counters.native.messages_void += 1;
            self.native.memberships.at_mut(at).next_sseq = Sseq(sseq.0.wrapping_add(1));
            return self.owe_ack(at, Sseq(0));
        }
        self.accept(now, heard, at, (kind, sseq, payload), out);
    }

    fn accept(
        &mut self,
        now: Time,
        heard: &mut Heard,
        at: u32,
        (kind, sseq, payload): (EntryKind, Sseq, &[u8]),
        out: &mut Outbox,
    ) {
        if self.is_mutant(Mutant::AckNotEntered) && sseq.0.is_multiple_of(16) {
            self.counters.native.messages_accepted += 1;
            self.native.memberships.at_mut(at).next_sseq = Sseq(sseq.0.wrapping_add(1));
            return self.owe_ack(at, Sseq(0));
        }
        self.enter_name_of(now, at, out);
        let session = self.native.sessions.session_mut(heard.index);
        let member = session.member;
        session.said.0 += 1;
        session.said.1 += payload.len() as u32;
        self.note_speaker(heard);
        let room = self.native.memberships.at(at).room;
        let seq = self.enter(now, room, (member, sseq, kind), payload, out);
        let membership = self.native.memberships.at_mut(at);
        membership.next_sseq = Sseq(sseq.0.wrapping_add(1));
        membership.acked_seq = seq;
        membership.entered_at = seq;
        // To a live sender the echo is the acknowledgement.
        if !membership.is_live {
            self.owe_ack(at, Sseq(0));
        }
        if room == LOBBY {
            self.tell_plain_line(now, heard, payload, out);
        }
        self.counters.native.messages_accepted += 1;
        heard.relayed = true;
    }

    /// Whether a message can never be accepted: whoever sends it again gets the same answer.
    fn never(&self, heard: &Heard, room: RoomIndex, kind: EntryKind, payload: &[u8]) -> Option<RefusedCause> {
        let session = self.native.sessions.session(heard.index);
        let sealed = self.native.rooms.at(room).sealed;
        let is_allowed = match kind {
            EntryKind::VOID => return None,
            EntryKind::TEXT => !sealed,
            EntryKind::SEALED => sealed,
            application => application.0 >= EntryKind::APPLICATION.0 && !sealed && room != LOBBY,
        };
        if session.muted {
            Some(RefusedCause::Muted)
        } else if !is_allowed {
            Some(RefusedCause::Kind)
        } else if payload.len() > MSG_PAYLOAD_BYTES_MAX {
            Some(RefusedCause::TooLong)
        } else if room == LOBBY {
            let line_bytes = session.name.len() + SEPARATOR.len() + payload.len();
            let is_line = str::from_utf8(payload).is_ok_and(|text| !text.chars().any(char::is_control));
            if line_bytes > config::LINE_BYTES_MAX {
                Some(RefusedCause::TooLong)
            } else {
                (!is_line).then_some(RefusedCause::Kind)
            }
        } else {
            None
        }
    }

    /// Whether a message comes too fast: it is not consumed, and may come again.
    fn not_now(
        &mut self,
        now: Time,
        heard: &Heard,
        room: RoomIndex,
        kind: EntryKind,
        payload: &[u8],
        out: &Outbox,
    ) -> Option<SlowCause> {
        let (lines, _) = out.spare();
        // Each room that is due takes one more at the end of the turn.
        let casts = out.spare_casts().0.saturating_sub(self.native.turn.rooms.len());
        let full = self.native.turn.entry_bytes + payload.len() > config::ENTRY_BYTES_PER_TURN;
        if full || casts < CASTS_SPARED || (room == LOBBY && kind != EntryKind::VOID && lines < 2) {
            return Some(SlowCause::Busy);
        }
        let cost = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let rate = self.byte_rate();
        let spent = self.native.spent(heard.index);
        if !spent.bytes.has(rate, cost, now) {
            return Some(SlowCause::Bytes);
        }
        if !spent.messages.take(self.rates.messages, 1, now) {
            return Some(SlowCause::Messages);
        }
        spent.bytes.take(rate, cost, now);
        None
    }

    /// The longest message passes every rate of bytes in the end.
    fn byte_rate(&self) -> Rate {
        let Rate { per_s, burst } = self.rates.bytes;
        Rate { per_s, burst: burst.max(MSG_PAYLOAD_BYTES_MAX as u32) }
    }

    fn refuse(&mut self, heard: &mut Heard, room: RoomIndex, sseq: Sseq, cause: RefusedCause, out: &mut Outbox) {
        self.counters.native.messages_refused += 1;
        self.reply(heard, &Frame::Refused { room: Room::handle(room), sseq, cause }, out);
    }

    /// Says that a message came too fast.
    fn slow(
        &mut self,
        now: Time,
        heard: &mut Heard,
        at: u32,
        (sseq, payload_bytes): (Sseq, usize),
        cause: SlowCause,
        out: &mut Outbox,
    ) {
        self.counters.native.messages_slowed += 1;
        let bytes = self.byte_rate();
        let messages = self.rates.messages;
        let spent = self.native.spent(heard.index);
        let wait_ms = match cause {
            SlowCause::Messages => spent.messages.wait_ms(messages, 1, now),
            SlowCause::Bytes => spent.bytes.wait_ms(bytes, payload_bytes as u32, now),
            _ => BUSY_MS,
        };
        self.tell_slow(heard, at, (sseq, cause, wait_ms), out);
    }

    /// The same, and of what was asked for: once a turn and room of each.
    pub(super) fn tell_slow(
        &mut self,
        heard: &mut Heard,
        at: u32,
        (first_dropped, cause, wait_ms): (Sseq, SlowCause, u64),
        out: &mut Outbox,
    ) {
        let membership = self.native.memberships.at_mut(at);
        let room = membership.room;
        if membership.slowed == [false; 2] {
            self.native.turn.slowed.push(at);
        }
        if std::mem::replace(&mut membership.slowed[usize::from(cause == SlowCause::Repair)], true) {
            return;
        }
        let frame = Frame::Slow {
            room: Room::handle(room),
            cause,
            msgs_s: self.rates.messages.per_s,
            bytes_s: self.rates.bytes.per_s,
            retry_ms: u16::try_from(wait_ms.max(1)).unwrap_or(u16::MAX),
            first_dropped,
        };
        self.reply(heard, &frame, out);
    }

    /// Puts a session on the list of those whose turn's marks are to be cleared.
    pub(super) fn note_speaker(&mut self, heard: &Heard) {
        let session = self.native.sessions.session_mut(heard.index);
        if !std::mem::replace(&mut session.spoke, true) {
            self.native.turn.spoke.push(heard.index);
        }
    }

    /// `early`: the number that came too early, if one did.
    fn owe_ack(&mut self, at: u32, early: Sseq) {
        let membership = self.native.memberships.at_mut(at);
        membership.early = membership.early.max(early);
        if !std::mem::replace(&mut membership.owes_ack, true) {
            self.native.turn.acks.push(at);
        }
    }

    /// Plain members hear a native line as if its author were plain.
    fn tell_plain_line(&mut self, now: Time, heard: &Heard, text: &[u8], out: &mut Outbox) {
        if self.peers.len() == 0 {
            return;
        }
        let name = &self.native.sessions.session(heard.index).name;
        let mut line = [0; config::LINE_BYTES_MAX];
        let mut len = 0;
        for part in [name.as_bytes(), SEPARATOR.as_bytes(), text] {
            line[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        out.announce(None, &line[..len]);
        if self.limits.mirror_guard {
            self.mirror.relayed(self.mirror.text(&line[..len]), NATIVE_ORIGIN, now);
        }
    }

    /// Enters something as a room's next entry, to be cast at the end of the turn.
    pub(super) fn enter(
        &mut self,
        now: Time,
        index: RoomIndex,
        (member, sseq, kind): (MemberId, Sseq, EntryKind),
        payload: &[u8],
        out: &mut Outbox,
    ) -> Seq {
        let native = &mut self.native;
        let room = native.rooms.at_mut(index);
        let time_s = u32::try_from(now.unix_s()).unwrap_or(u32::MAX);
        let entry = Entry { member: member.0, sseq: sseq.0, kind: kind.0, payload };
        let cost = Ring::cost(payload.len());
        if room.uncast_cost + cost > FRESH_COST_MAX {
            // Sent before the ring can overwrite it.
            self.counters.native.casts_dropped +=
                u64::from(!native.packer.cast(index, room, native.pools.of(index), out));
        }
        let seq = room.ring.append(native.pools.of_mut(index), time_s, entry);
        room.uncast_cost += cost;
        room.last_entry_ns = now.nanos();
        room.heads_sent = 0;
        native.turn.entry_bytes += cost;
        if !std::mem::replace(&mut room.is_due, true) {
            native.turn.rooms.push(index);
        }
        Seq(seq)
    }
}
