//! Private messages: passed on to where their target is now, and the target's
//! acknowledgement passed back. Keeps nothing of either.

use super::Native;
use super::frames::Heard;
use super::session::SessionIndex;
use crate::batch::Outbox;
use crate::relay::Relay;
use crate::wire::downlink::{Builder, Frame};
use crate::wire::header::{DATAGRAM_BYTES_MAX, DIRECT_PAYLOAD_BYTES_MAX, DirectStatus, EntryKind};
use crate::wire::id::{Dseq, MemberId};

impl Relay {
    pub(super) fn hear_direct(
        &mut self,
        heard: &mut Heard,
        to: MemberId,
        dseq: Dseq,
        kind: EntryKind,
        payload: &[u8],
        out: &mut Outbox,
    ) {
        let status = match self.native.instances.find_member(to).map(|known| known.session) {
            _ if payload.len() > DIRECT_PAYLOAD_BYTES_MAX => DirectStatus::TooLong,
            _ if self.native.sessions.session(heard.index).muted => DirectStatus::Limit,
            Some(Some(target)) => return self.pass_on(heard.index, target, (dseq, kind, payload), out),
            // One that left lately may be back with its next HELLO: the sender tries again.
            Some(None) => return,
            None if Native::is_plain(to) => DirectStatus::Plain,
            None => DirectStatus::NoSuch,
        };
        self.reply(heard, &Frame::DirectDone { peer: to, dseq, status }, out);
    }

    fn pass_on(
        &mut self,
        from: SessionIndex,
        to: SessionIndex,
        (dseq, kind, payload): (Dseq, EntryKind, &[u8]),
        out: &mut Outbox,
    ) {
        let sessions = &self.native.sessions;
        let (sender, target) = (sessions.session(from), sessions.session(to));
        let frame = Frame::Direct { from: sender.member, dseq, kind, name: &sender.name, payload };
        let mut space = [0; DATAGRAM_BYTES_MAX];
        let mut builder = Builder::to_client(&mut space, target.ccid);
        let fits = builder.push(&frame);
        let (path, len) = (target.path, builder.len());
        assert!(fits, "invariant: a payload of 1143 bytes and a name fit in a datagram");
        self.tell(path, &space[..len], out);
        self.counters.native.directs += 1;
    }

    /// The target has it: its sender, if it is still here, is told so.
    pub(super) fn hear_direct_ack(&mut self, from: SessionIndex, to: MemberId, dseq: Dseq, out: &mut Outbox) {
        let sessions = &self.native.sessions;
        let Some(to) = self.native.instances.find_member(to).and_then(|known| known.session) else { return };
        let (peer, target) = (sessions.session(from).member, sessions.session(to));
        let mut space = [0; 64];
        let mut builder = Builder::to_client(&mut space, target.ccid);
        builder.push(&Frame::DirectDone { peer, dseq, status: DirectStatus::Delivered });
        let (path, len) = (target.path, builder.len());
        self.tell(path, &space[..len], out);
    }
}
