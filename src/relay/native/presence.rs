//! Who came, went and is called how, entered in a room like messages: ordered
//! and repaired like them, but limited, because N joins to N members are N²
//! copies.

use crate::Time;
use crate::batch::{MemberIndex, Outbox, RoomIndex};
use crate::config;
use crate::metrics::LeaveReason;
use crate::relay::Relay;
use crate::relay::bucket::Rate;
use crate::relay::native::room::LOBBY;
use crate::wire::downlink::{PRESENCE_BYTES_MAX, Presence};
use crate::wire::header::{Code, EntryKind};
use crate::wire::id::{MemberId, Seq, Sseq};

const RATE: Rate = Rate { per_s: config::PRESENCE_PER_S, burst: config::PRESENCE_BURST };

impl Relay {
    /// Enters what a member did, unless the room is too large for that or too
    /// busy with it. `always`: an entry of it is there, which must be answered.
    pub(super) fn enter_presence(
        &mut self,
        now: Time,
        room: RoomIndex,
        member: MemberId,
        presence: &Presence<'_>,
        always: bool,
        out: &mut Outbox,
    ) -> Option<Seq> {
        let small = self.members_of(room) <= self.limits.presence_members_max;
        let allowed = small && self.native.rooms.at_mut(room).presence.take(RATE, 1, now);
        if !allowed && !always {
            self.counters.native.presence_suppressed += 1;
            return None;
        }
        let mut space = [0; PRESENCE_BYTES_MAX];
        let len = presence.write(&mut space);
        Some(self.enter(now, room, (member, Sseq(0), presence.kind()), &space[..len], out))
    }

    /// A member of a room has another name by now.
    pub(super) fn enter_rename(&mut self, now: Time, at: u32, name: &str, out: &mut Outbox) {
        let membership = self.native.memberships.at(at);
        let member = self.native.sessions.session(membership.session).member;
        let presence = Presence::Renamed { name };
        // Not entered: then it is before its next message.
        let named_at = self.enter_presence(now, membership.room, member, &presence, false, out).unwrap_or(Seq(0));
        let membership = self.native.memberships.at_mut(at);
        membership.named_at = named_at;
        membership.entered_at = membership.entered_at.max(named_at);
    }

    /// Enters the author's present name before its message, if it does not
    /// stand in the ring: every author in a ring can be named.
    pub(super) fn enter_name_of(&mut self, now: Time, at: u32, out: &mut Outbox) {
        let membership = self.native.memberships.at(at);
        let (room, named_at) = (membership.room, membership.named_at);
        if named_at != Seq(0) && named_at.0 >= self.native.rooms.at(room).ring.tail() {
            return;
        }
        let session = self.native.sessions.session(membership.session);
        let (member, name) = (session.member, std::sync::Arc::clone(&session.name));
        let entry = (member, Sseq(0), EntryKind::RENAMED);
        let seq = self.enter(now, room, entry, name.as_bytes(), out);
        self.native.memberships.at_mut(at).named_at = seq;
    }

    // ---- plain members, in the lobby ---------------------------------------------------

    /// A plain member has come.
    pub(in crate::relay) fn enter_plain_join(&mut self, now: Time, index: MemberIndex, out: &mut Outbox) {
        let peer = self.peers.peer(index);
        let (member, name) = (peer.member, std::sync::Arc::clone(&peer.name));
        if let Some(seq) = self.enter_presence(now, LOBBY, member, &Presence::Joined { name: &name }, false, out) {
            let peer = self.peers.peer_mut(index);
            peer.named_at = seq.0 as u32;
            peer.entered_at = seq.0 as u32;
        }
    }

    /// A plain member, whose newest entry is `entered_at`, has gone.
    pub(in crate::relay) fn enter_plain_leave(
        &mut self,
        now: Time,
        (member, name, entered_at): (MemberId, &str, u32),
        reason: LeaveReason,
        out: &mut Outbox,
    ) {
        let code = match reason {
            LeaveReason::Exit => Code::Ok,
            LeaveReason::Idle => Code::Idle,
            LeaveReason::Unreachable => Code::Unreachable,
            LeaveReason::Kicked | LeaveReason::Mirror => Code::Kicked,
            LeaveReason::Banned => Code::Banned,
            LeaveReason::Moved => Code::Moved,
            LeaveReason::Replaced => Code::Replaced,
            LeaveReason::Shutdown => Code::Shutdown,
        };
        let always = self.is_kept(entered_at);
        self.enter_presence(now, LOBBY, member, &Presence::Left { code, name }, always, out);
    }

    /// A plain member's line: entered as it was sent.
    pub(in crate::relay) fn enter_plain_line(&mut self, now: Time, index: MemberIndex, line: &[u8], out: &mut Outbox) {
        let peer = self.peers.peer(index);
        let member = peer.member;
        if !self.is_kept(peer.named_at) {
            let name = std::sync::Arc::clone(&peer.name);
            let entry = (member, Sseq(0), EntryKind::RENAMED);
            let seq = self.enter(now, LOBBY, entry, name.as_bytes(), out);
            self.peers.peer_mut(index).named_at = seq.0 as u32;
        }
        let seq = self.enter(now, LOBBY, (member, Sseq(0), EntryKind::TEXT), line, out);
        self.peers.peer_mut(index).entered_at = seq.0 as u32;
    }

    /// What the relay itself says: member 0 is nobody else.
    pub(in crate::relay) fn enter_relay_line(&mut self, now: Time, line: &[u8], out: &mut Outbox) {
        self.enter(now, LOBBY, (MemberId(0), Sseq(0), EntryKind::TEXT), line, out);
    }

    /// Whether the lobby's ring still has the entry whose number ends in these
    /// 32 bits; 0 is none. A plain member's numbers are kept in half the space.
    fn is_kept(&self, low: u32) -> bool {
        let ring = &self.native.rooms.at(LOBBY).ring;
        let back = (ring.head() as u32).wrapping_sub(low);
        low != 0 && u64::from(back) < ring.len()
    }
}
