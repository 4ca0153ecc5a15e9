//! Owns what each datagram and frame of a relay does. Never writes one.

use super::direct::Arrival;
use super::event::{BESIDE, BYTES_BESIDE, Direct, Event};
use super::requests::{Ask, Request, Whom};
use super::room::{Origin, Room, Telling};
use super::{Client, Code, MemberId, RefusedCause, Seq, SlowCause};
use crate::Time;
use crate::wire::downlink::{Batch, Downlink, Frame, Frames, Members, Rooms};
use crate::wire::header::EntryKind;
use crate::wire::id::{Ccid, Dseq, Req, RoomHandle, RoomTag, Sseq};
use std::time::Duration;

/// A JOIN that the relay's rates did not allow is asked again after this.
const JOIN_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Members whose names are asked for at once; in a larger room, as they speak.
const NAMES_ASKED_MAX: u32 = 256;

impl Client {
    pub(super) fn arrive(&mut self, now: Time, datagram: &[u8]) {
        match Downlink::parse(datagram) {
            Err(_) => self.counts.malformed += 1,
            Ok(Downlink::ToRoom { tag, frames }) => self.take_for_room(now, tag, frames),
            Ok(Downlink::ToClient { ccid, frames }) => self.take_for_client(now, ccid, frames),
            Ok(answer) => {
                if !self.take_answer(now, &answer) {
                    self.counts.foreign += 1;
                }
            }
        }
    }

    /// What is said outside of a session. `false`: it is not for this client.
    fn take_answer(&mut self, now: Time, answer: &Downlink<'_>) -> bool {
        let hello = self.hello.as_mut();
        match *answer {
            Downlink::Retry(retry) => {
                let hello = hello.filter(|hello| hello.is_answered_by(retry.ccid, retry.nonce));
                hello.map(|hello| hello.retry(now, &retry, &mut self.rtt)).is_some()
            }
            Downlink::Welcome(welcome) => {
                let is_ours = hello.is_some_and(|hello| hello.is_answered_by(welcome.ccid, welcome.nonce));
                is_ours.then(|| self.welcome(now, &welcome)).is_some()
            }
            Downlink::Refuse(refuse) => {
                let is_ours = hello.is_some_and(|hello| hello.is_answered_by(refuse.ccid, refuse.nonce));
                is_ours.then(|| self.refused(now, &refuse)).is_some()
            }
            Downlink::OtherVersion(answer) => {
                let is_ours = hello.is_some_and(|hello| hello.ccid == answer.ccid);
                is_ours.then(|| self.other_version(&answer)).is_some()
            }
            Downlink::NoSession(hint) => {
                let is_ours = self.session.as_ref().is_some_and(|session| session.scid == hint.scid);
                is_ours.then(|| self.session_unknown(now)).is_some()
            }
            Downlink::ToClient { .. } | Downlink::ToRoom { .. } => false,
        }
    }

    // ---- for a whole room -----------------------------------------------------------------

    fn take_for_room(&mut self, now: Time, tag: RoomTag, frames: Frames<'_>) {
        let at = self.rooms.iter().position(|room| room.has_tag(now, tag));
        match (at, &mut self.session) {
            (Some(at), Some(session)) => {
                session.heard();
                frames.for_each(|frame| self.take_room_frame(now, at, &frame));
            }
            (None, Some(session)) => {
                self.counts.foreign += 1;
                session.doubt(now);
            }
            (_, None) => self.counts.foreign += 1,
        }
    }

    fn take_room_frame(&mut self, now: Time, at: usize, frame: &Frame<'_>) {
        let (handle, reaches) = match *frame {
            Frame::Batch(batch) => (batch.room, batch.base),
            Frame::Head { room, head, .. } => (room, head),
            _ => return,
        };
        if !self.rooms[at].has_handle(handle) {
            self.counts.unexpected += 1;
        } else if self.rooms[at].receiving.as_ref().is_some_and(|receiving| !receiving.believes(reaches)) {
            self.counts.unbelievable += 1;
            self.session.iter_mut().for_each(|session| session.doubt(now));
        } else {
            match *frame {
                Frame::Batch(batch) => self.take_batch(now, at, &batch, Origin::Room),
                Frame::Head { members, head, .. } => self.take_head(now, at, None, members, head),
                _ => {}
            }
        }
    }

    /// Runs `what` on a room with all that telling its entries needs.
    fn tell(&mut self, now: Time, at: usize, what: impl FnOnce(&mut Room, &mut Telling<'_>)) {
        let Some(session) = &self.session else { return };
        let mut telling = Telling {
            me: session.member,
            names: self.options.names,
            rtt: &mut self.rtt,
            chance: &mut self.chance,
            events: &mut self.events,
            counts: &mut self.counts,
            unknown: None,
        };
        what(&mut self.rooms[at], &mut telling);
        if let Some(member) = telling.unknown {
            let who = Ask::Who { room: self.rooms[at].id, cursor: 0, whom: Whom::One(member) };
            // With too many questions open, it has no name.
            _ = self.requests.ask(now, who);
        }
    }

    fn take_batch(&mut self, now: Time, at: usize, batch: &Batch<'_>, origin: Origin) {
        self.tell(now, at, |room, telling| room.take_batch(now, batch, origin, telling));
    }

    fn take_head(&mut self, now: Time, at: usize, tag: Option<RoomTag>, members: u32, head: Seq) {
        self.tell(now, at, |room, telling| room.take_head(now, tag, members, head, telling));
    }

    // ---- for this client ------------------------------------------------------------------

    fn take_for_client(&mut self, now: Time, ccid: Ccid, frames: Frames<'_>) {
        let Some(session) = self.session.as_mut().filter(|session| session.ccid == ccid) else {
            self.counts.foreign += 1;
            return;
        };
        session.heard();
        let mut asked_at = None;
        for frame in frames.clone() {
            match frame {
                Frame::Pong { t } => asked_at = asked_at.or(self.take_pong(now, t)),
                frame => self.take_frame(now, &frame),
            }
            if self.session.is_none() {
                return;
            }
        }
        if let Some(asked_at) = asked_at {
            let has = |handle| frames.clone().any(|frame| matches!(frame, Frame::Head { room, .. } if room == handle));
            self.join_what_is_missing(now, asked_at, has);
        }
    }

    fn take_frame(&mut self, now: Time, frame: &Frame<'_>) {
        match *frame {
            Frame::Batch(batch) => self.in_room(batch.room, |client, at| {
                let before = client.counts.entries;
                client.take_batch(now, at, &batch, Origin::Repair);
                client.counts.entries_alone += client.counts.entries - before;
            }),
            Frame::Ack { room, cumulative, seq, missing } => {
                self.in_room(room, |client, at| client.take_ack(now, at, cumulative, seq, missing));
            }
            Frame::Gap { room, from, to } => self.in_room(room, |client, at| {
                client.tell(now, at, |room, telling| room.take_gap(now, from, to, telling));
            }),
            Frame::Head { room, tag, members, head, .. } => self.take_own_head(now, room, tag, members, head),
            Frame::Slow { .. } => self.take_slow(now, frame),
            Frame::Refused { room, sseq, cause } => {
                self.in_room(room, |client, at| client.take_refused(now, at, sseq, cause));
            }
            Frame::PathChallenge { token } => self.session.iter_mut().for_each(|session| session.token = Some(token)),
            Frame::Joined { req, .. } => self.take_joined(now, req, frame),
            Frame::Result { req, code } => self.take_result(now, req, code),
            Frame::Members(members) => self.take_members(now, &members),
            Frame::Rooms(rooms) => self.take_rooms(now, &rooms),
            Frame::Direct { from, dseq, kind, name, payload } => self.take_direct(from, dseq, kind, name, payload),
            Frame::DirectDone { peer, dseq, status } => {
                self.directs.done(now, peer, dseq, status, &mut self.rtt, &mut self.events);
            }
            Frame::Close { code, reason } => self.closed_by_relay(now, code, reason),
            Frame::Pong { .. } => {}
        }
    }

    /// Does something with the room of that handle.
    fn in_room(&mut self, handle: RoomHandle, what: impl FnOnce(&mut Self, usize)) {
        match self.rooms.iter().position(|room| room.has_handle(handle)) {
            Some(at) => what(self, at),
            None => self.counts.unexpected += 1,
        }
    }

    // ---- messages --------------------------------------------------------------------------

    fn take_ack(&mut self, now: Time, at: usize, cumulative: Sseq, seq: Seq, missing: bool) {
        let sending = &mut self.rooms[at].sending;
        sending.acknowledge(now, cumulative, seq, &self.rtt, &mut self.events);
        if missing {
            sending.handle_missing(now, cumulative, &self.rtt);
        }
    }

    fn take_slow(&mut self, now: Time, frame: &Frame<'_>) {
        let Frame::Slow { room, cause, msgs_s, bytes_s, retry_ms, first_dropped } = *frame else { return };
        let retry = Duration::from_millis(retry_ms.into());
        self.in_room(room, |client, at| {
            let room = &mut client.rooms[at];
            let counts = if cause == SlowCause::Repair {
                room.receiving.as_mut().map(|receiving| receiving.pause_asks(now, retry)).is_some()
            } else {
                room.sending.slow(now, first_dropped, retry, msgs_s, bytes_s)
            };
            if counts {
                client.events.push(Event::Slow { room: room.id, cause, retry });
            }
        });
    }

    fn take_refused(&mut self, now: Time, at: usize, sseq: Sseq, cause: RefusedCause) {
        let room = &mut self.rooms[at];
        if cause == RefusedCause::NotAMember {
            // The number is not consumed: what is open goes out once the room is joined again.
            let id = room.id;
            room.place = None;
            self.ask_to_join(now, id);
        } else if !room.sending.refuse(now, sseq, cause, &mut self.events) {
            self.counts.unexpected += 1;
        }
    }

    // ---- rooms -------------------------------------------------------------------------------

    /// When the PING that this answers was sent, if it is one of ours.
    fn take_pong(&mut self, now: Time, t: u64) -> Option<Time> {
        let is_ours = self.session.as_mut().is_some_and(|session| session.pong(now, t, &mut self.rtt));
        if !is_ours {
            self.counts.unexpected += 1;
        }
        is_ours.then(|| Time::new(t, 0))
    }

    /// A HEAD for this client alone is believed. One of a room that it is not in is answered by LEAVE.
    fn take_own_head(&mut self, now: Time, handle: RoomHandle, tag: RoomTag, members: u32, head: Seq) {
        if let Some(at) = self.rooms.iter().position(|room| room.has_handle(handle)) {
            return self.take_head(now, at, Some(tag), members, head);
        }
        // The answer to a JOIN may have been lost: then it is that room.
        let is_open = |ask: &Ask| matches!(ask, Ask::Join(_)) || matches!(ask, Ask::Leave(_, room) if *room == handle);
        if !self.requests.any(is_open) {
            _ = self.requests.ask(now, Ask::Leave(None, handle));
        }
    }

    /// The relay told all the rooms that it has the client in, asked at `asked_at`.
    fn join_what_is_missing(&mut self, now: Time, asked_at: Time, has: impl Fn(RoomHandle) -> bool) {
        for at in 0..self.rooms.len() {
            let room = &mut self.rooms[at];
            let is_missing = room.place.is_some_and(|place| place.since < asked_at && !has(place.handle));
            if is_missing && !room.is_leaving {
                room.place = None;
                let id = room.id;
                self.ask_to_join(now, id);
            }
        }
    }

    fn take_joined(&mut self, now: Time, req: Req, frame: &Frame<'_>) {
        let Frame::Joined { code, .. } = *frame else { return };
        let is_so = |ask: &Ask| matches!(ask, Ask::Join(_));
        let Some(request) = self.requests.answered(now, req, is_so, &mut self.rtt) else {
            self.counts.unexpected += 1;
            return;
        };
        let Ask::Join(id) = request.ask else { return };
        let Some(at) = self.find_room(id) else { return };
        match code {
            Code::Ok => self.enter(now, at, frame),
            Code::Rate => self.requests.ask_later(now, request, JOIN_AGAIN_AFTER),
            code => {
                self.rooms[at].sending.end(&mut self.events);
                self.rooms.remove(at);
                self.events.push(Event::JoinFailed { room: id, code });
            }
        }
    }

    /// The client is in a room; if it is new there, it asks who is there, unless they are many.
    fn enter(&mut self, now: Time, at: usize, joined: &Frame<'_>) {
        let (Frame::Joined { members, head, name, .. }, Some(session)) = (*joined, &self.session) else { return };
        let room = &mut self.rooms[at];
        let is_new = room.receiving.is_none();
        room.joined(now, joined, &mut self.events);
        if self.options.names && is_new {
            room.names.learn(session.member, name, head, true);
            if (2..=NAMES_ASKED_MAX).contains(&members) {
                // With too many questions open, names come as people speak.
                _ = self.requests.ask(now, Ask::Who { room: room.id, cursor: 0, whom: Whom::Names });
            }
        }
    }

    fn take_result(&mut self, now: Time, req: Req, code: Code) {
        let is_so = |ask: &Ask| matches!(ask, Ask::Leave(..) | Ask::Nick(_));
        let Some(request) = self.requests.answered(now, req, is_so, &mut self.rtt) else {
            self.counts.unexpected += 1;
            return;
        };
        match request.ask {
            Ask::Leave(Some(id), _) => self.forget_room(id),
            Ask::Nick(name) => {
                if code == Code::Ok {
                    self.options.name = name;
                }
                self.events.push(Event::Nick { request: request.id, code: Some(code) });
            }
            _ => {}
        }
    }

    // ---- lists -------------------------------------------------------------------------------

    fn take_members(&mut self, now: Time, members: &Members<'_>) {
        let is_so = |ask: &Ask| matches!(ask, Ask::Who { .. });
        let Some(request) = self.requests.answered(now, members.req, is_so, &mut self.rtt) else {
            self.counts.unexpected += 1;
            return;
        };
        let Ask::Who { room: id, whom, .. } = request.ask else { return };
        let Some(at) = self.find_room(id) else { return self.list_failed(&request) };
        for (member, name) in members.iter() {
            let names = &mut self.rooms[at].names;
            if self.options.names && names.learn(member, name, members.at, true) {
                self.events.add(Event::Named { room: id, member, name: BESIDE }, name, b"");
            }
            if whom == Whom::All {
                let event = Event::Member { request: request.id, room: id, member, name: BESIDE, at: members.at };
                self.events.add(event, name, b"");
            }
        }
        match (whom, members.next) {
            (Whom::One(_), _) | (Whom::Names, 0) => {}
            (Whom::All, 0) => self.events.push(Event::ListEnd { request: request.id, complete: true }),
            (_, cursor) => self.requests.ask_as(now, request.id, Ask::Who { room: id, cursor, whom }),
        }
    }

    fn take_rooms(&mut self, now: Time, rooms: &Rooms<'_>) {
        let is_so = |ask: &Ask| matches!(ask, Ask::List { .. });
        let Some(request) = self.requests.answered(now, rooms.req, is_so, &mut self.rtt) else {
            self.counts.unexpected += 1;
            return;
        };
        for (members, name) in rooms.iter() {
            self.events.add(Event::Room { request: request.id, members, name: BESIDE }, name, b"");
        }
        match rooms.next {
            0 => self.events.push(Event::ListEnd { request: request.id, complete: true }),
            cursor => self.requests.ask_as(now, request.id, Ask::List { cursor }),
        }
    }

    /// A question that nobody answered.
    pub(super) fn request_failed(&mut self, request: &Request) {
        match request.ask {
            Ask::Nick(_) => self.events.push(Event::Nick { request: request.id, code: None }),
            Ask::Who { .. } | Ask::List { .. } => self.list_failed(request),
            Ask::Join(_) | Ask::Leave(..) => {}
        }
    }

    pub(super) fn list_failed(&mut self, request: &Request) {
        if !matches!(request.ask, Ask::Who { whom: Whom::Names | Whom::One(_), .. }) {
            self.events.push(Event::ListEnd { request: request.id, complete: false });
        }
    }

    // ---- private messages ----------------------------------------------------------------------

    fn take_direct(&mut self, from: MemberId, dseq: Dseq, kind: EntryKind, name: &str, payload: &[u8]) {
        if self.directs.arrive(from, dseq) == Arrival::New {
            let event = Event::Direct(Direct { from, name: BESIDE, dseq, kind, payload: BYTES_BESIDE });
            self.events.add(event, name, payload);
        } else {
            self.counts.known_directs += 1;
        }
    }
}
