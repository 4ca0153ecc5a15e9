//! What a session's datagram does: from which address it may come, and frame
//! by frame who deals with it.

use super::handshake::CHALLENGES;
use super::leave::Ending;
use super::reply::Reply;
use super::session::SessionIndex;
use crate::Time;
use crate::batch::{MemberIndex, Outbox, Path, RoomIndex};
use crate::config;
use crate::metrics::{DropReason, LeaveReason};
use crate::relay::bucket::Rate;
use crate::relay::{Event, Relay, Verdict};
use crate::wire::downlink::{self, Builder};
use crate::wire::handshake::NoSession;
use crate::wire::header::{Code, DirectStatus, ROOM_OVERHEAD};
use crate::wire::id::{Req, Scid, Token};
use crate::wire::plain::Name;
use crate::wire::uplink::{Frame, Session as Datagram, Uplink};
use std::sync::Arc;

/// Bytes of a datagram with nothing but a PATH_CHALLENGE.
const CHALLENGE_BYTES: usize = ROOM_OVERHEAD + 3 + 8;

/// What a session's datagram is made of, beside its frames.
pub(super) struct Heard {
    pub(super) index: SessionIndex,
    /// Where this datagram came from: not always where the session is served.
    pub(super) path: Path,
    /// It came from where the session is served, or has proven its address.
    is_proven: bool,
    pub(super) reply: Reply,
    /// A message of it went to a room.
    pub(super) relayed: bool,
    /// A long answer was given already, and a PONG with its HEADs: one of each a datagram.
    listed: bool,
    ponged: bool,
    /// It was told that a JOIN of it came too fast: once a datagram, for the answer is longer.
    hurried: bool,
}

impl Relay {
    pub(super) fn hear_session(
        &mut self,
        now: Time,
        path: Path,
        index: SessionIndex,
        datagram: Datagram<'_>,
        out: &mut Outbox,
    ) -> Verdict {
        let session = self.native.sessions.session_mut(index);
        session.is_used = true;
        let is_newer = datagram.pn.is_newer_than(session.pn);
        if is_newer {
            session.pn = datagram.pn;
        }
        let (served, ccid) = (session.path, session.ccid);
        if served.remote != path.remote {
            if !is_newer {
                return Verdict::Dropped(DropReason::StaleAddress);
            }
            if session.challenge.take(CHALLENGES, 1, now) {
                self.challenge_path(now, index, path, out);
            }
        } else if served != path {
            self.move_session(index, path);
        }
        // From elsewhere it is no sign of life: else whoever was at an address once
        // could keep traffic going there for ever.
        let is_proven = served.remote == path.remote;
        if is_proven {
            self.native.sessions.touch(index, now);
        }
        let reply = Reply::new(ccid);
        let (relayed, listed, ponged, hurried) = (false, false, false, false);
        let mut heard = Heard { index, path, is_proven, reply, relayed, listed, ponged, hurried };
        let lives = datagram.frames.into_iter().all(|frame| self.hear_frame(now, &mut heard, frame, out));
        if lives {
            self.send_reply(&mut heard, out);
        }
        if heard.relayed { Verdict::Relayed } else { Verdict::Control }
    }

    /// False: the session is no more.
    fn hear_frame(&mut self, now: Time, heard: &mut Heard, frame: Frame<'_>, out: &mut Outbox) -> bool {
        match frame {
            Frame::Msg { room, kind, sseq, payload } => {
                self.hear_msg(now, heard, RoomIndex(room.0), (kind, sseq, payload), out);
            }
            Frame::PathResponse { token } => return self.hear_path_response(now, heard, token, out),
            Frame::Close { .. } => {
                self.end_session(now, heard.index, Ending::SAID, out);
                return false;
            }
            // What asks for an answer, or says how the session's address receives.
            _ if !heard.is_proven => self.counters.native.frames_unproven += 1,
            Frame::Nack { room, ranges } => self.hear_nack(now, heard, RoomIndex(room.0), ranges, out),
            Frame::Report { room, contiguous, highest, lost, kib } => {
                self.hear_report(now, heard.index, RoomIndex(room.0), (contiguous.0, highest.0, lost, kib));
            }
            Frame::Ping { t } => self.hear_ping(heard, t, out),
            asking => self.hear_request(now, heard, asking, out),
        }
        true
    }

    /// What counts against the messages a second.
    fn hear_request(&mut self, now: Time, heard: &mut Heard, frame: Frame<'_>, out: &mut Outbox) {
        if !self.native.spent(heard.index).messages.take(self.rates.messages, 1, now) {
            self.counters.native.frames_over_rate += 1;
            match frame {
                Frame::Direct { to, dseq, .. } => {
                    let status = DirectStatus::Limit;
                    self.reply(heard, &downlink::Frame::DirectDone { peer: to, dseq, status }, out);
                }
                Frame::Join { req, .. } if !std::mem::replace(&mut heard.hurried, true) => {
                    self.reply(heard, &super::join::refused(req, Code::Rate), out);
                }
                // They are repeated.
                _ => {}
            }
            return;
        }
        match frame {
            Frame::Join { req, sealed, unlisted, key_id, room } => {
                self.hear_join(now, heard, req, (room, key_id, sealed, unlisted), out);
            }
            Frame::Leave { req, room } => {
                let code = self.hear_leave(now, heard.index, RoomIndex(room.0), out);
                self.reply(heard, &downlink::Frame::Result { req, code }, out);
            }
            Frame::Nick { req, name } => self.hear_nick(now, heard, req, name, out),
            Frame::Direct { to, dseq, kind, payload } => self.hear_direct(heard, to, dseq, kind, payload, out),
            Frame::DirectAck { to, dseq } => self.hear_direct_ack(heard.index, to, dseq, out),
            Frame::Who { .. } | Frame::List { .. } if heard.listed => self.counters.native.frames_over_rate += 1,
            Frame::Who { req, room, cursor, member } => {
                heard.listed = true;
                self.hear_who(heard, req, (RoomIndex(room.0), cursor, member), out);
            }
            Frame::List { req, cursor } => {
                heard.listed = true;
                self.hear_list(heard, req, cursor, out);
            }
            Frame::Msg { .. }
            | Frame::Nack { .. }
            | Frame::Report { .. }
            | Frame::Ping { .. }
            | Frame::PathResponse { .. }
            | Frame::Close { .. } => {}
        }
    }

    /// Answers a session, in one datagram with its other answers where they fit.
    pub(super) fn reply(&mut self, heard: &mut Heard, frame: &downlink::Frame<'_>, out: &mut Outbox) {
        if !heard.reply.push(frame) {
            self.send_reply(heard, out);
            heard.reply.push(frame);
        }
    }

    pub(super) fn send_reply(&mut self, heard: &mut Heard, out: &mut Outbox) {
        let path = self.native.sessions.session(heard.index).path;
        if let Some(datagram) = heard.reply.take() {
            self.tell(path, datagram, out);
        }
    }

    pub(super) fn tell_no_session(
        &mut self,
        now: Time,
        path: Path,
        scid: Scid,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        let rate = Rate::per_second(config::NO_SESSION_ANSWERS_PER_S, 0);
        if self.native.ended.find(&scid, now).is_some() {
            return Verdict::Dropped(DropReason::SessionClosed);
        }
        if !is_goodbye(bytes) && self.native.no_session_answers.take(rate, 1, now) {
            let answer = NoSession { scid, epoch: self.native.epoch };
            self.tell(path, &answer.encode(), out);
        }
        Verdict::Dropped(DropReason::NoSession)
    }

    /// PONG, and the HEADs of all the session's rooms, in one datagram.
    fn hear_ping(&mut self, heard: &mut Heard, t: u64, out: &mut Outbox) {
        if std::mem::replace(&mut heard.ponged, true) {
            self.counters.native.frames_over_rate += 1;
            return;
        }
        self.send_reply(heard, out);
        heard.reply.push(&downlink::Frame::Pong { t });
        let native = &self.native;
        let session = native.sessions.session(heard.index);
        for at in native.memberships.of(session.first_membership) {
            let room = native.memberships.at(at).room;
            let fits = heard.reply.push(&self.head_of(room));
            assert!(fits, "invariant: the HEADs of 32 rooms fit in a datagram");
        }
    }

    // ---- addresses -------------------------------------------------------------------

    /// Asks whoever is at `path` to prove that it holds the session.
    pub(super) fn challenge_path(&mut self, now: Time, index: SessionIndex, path: Path, out: &mut Outbox) {
        let session = self.native.sessions.session(index);
        let token = Token(self.native.cookies.path_token(now, path.remote, session.scid.0));
        let mut space = [0; CHALLENGE_BYTES];
        let mut builder = Builder::to_client(&mut space, session.ccid);
        builder.push(&downlink::Frame::PathChallenge { token });
        self.tell(path, &space, out);
    }

    /// False: the session is no more.
    fn hear_path_response(&mut self, now: Time, heard: &mut Heard, token: Token, out: &mut Outbox) -> bool {
        let session = self.native.sessions.session(heard.index);
        let (scid, former, remote) = (session.scid, session.path.remote, heard.path.remote);
        let proven = self.native.cookies.accepts_path_token(now, remote, scid.0, token.0);
        if !proven || former == remote {
            return true;
        }
        if self.bans.cover_address(remote.ip(), now) {
            self.renew_tags(now, heard.index);
            self.end_session(now, heard.index, Ending::told(LeaveReason::Banned, Code::Banned), out);
            return false;
        }
        if !self.admission.may_move(&self.limits, former, remote, now) {
            self.counters.native.frames_unproven += 1;
            return true;
        }
        self.clear_address(now, heard.path, out);
        self.move_session(heard.index, heard.path);
        self.native.sessions.touch(heard.index, now);
        heard.is_proven = true;
        self.admission.session_ended(former);
        self.admission.session_began(&self.limits, remote);
        self.counters.native.sessions_moved += 1;
        self.events.push_back(Event::Moved { from: former, to: remote });
        true
    }

    fn move_session(&mut self, index: SessionIndex, path: Path) {
        let native = &mut self.native;
        native.sessions.set_path(index, path);
        let mut next = native.sessions.session(index).first_membership;
        while next != super::session::NONE {
            let membership = native.memberships.at(next);
            let (_, roster) = native.rooms.at_mut(membership.room).members.side(membership.is_live);
            roster.set_path(MemberIndex(membership.roster_place), path);
            next = membership.next;
        }
    }

    // ---- names -----------------------------------------------------------------------

    fn hear_nick(&mut self, now: Time, heard: &mut Heard, req: Req, name: &str, out: &mut Outbox) {
        let code = match Name::parse(name) {
            Err(_) => Code::Protocol,
            Ok(name) if *self.native.sessions.session(heard.index).name == *name.as_str() => Code::Ok,
            Ok(name) if self.bans.cover_name(name.as_str(), now) => Code::Banned,
            Ok(name) if self.is_name_taken(name.as_str()) => Code::Taken,
            Ok(name) => {
                self.rename(now, heard.index, Arc::from(name.as_str()), out);
                Code::Ok
            }
        };
        self.reply(heard, &downlink::Frame::Result { req, code }, out);
    }

    fn rename(&mut self, now: Time, index: SessionIndex, name: Arc<str>, out: &mut Outbox) {
        let native = &mut self.native;
        native.sessions.rename(index, Arc::clone(&name));
        let session = native.sessions.session(index);
        let (remote, mut next) = (session.path.remote, session.first_membership);
        native.instances.at_mut(session.instance).name = Arc::clone(&name);
        while next != super::session::NONE {
            self.enter_rename(now, next, &name, out);
            next = self.native.memberships.at(next).next;
        }
        self.events.push_back(Event::Renamed { remote, name });
    }
}

/// Whether a session's datagram ends it: then nothing is answered.
fn is_goodbye(bytes: &[u8]) -> bool {
    let Ok(Uplink::Session(session)) = Uplink::parse(bytes) else { return false };
    session.frames.into_iter().any(|frame| matches!(frame, Frame::Close { .. }))
}
