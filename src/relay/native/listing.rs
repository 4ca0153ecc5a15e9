//! Who is in a room, which rooms there are: a datagram's worth an answer. A
//! list is read from its end, so that who comes or goes meanwhile makes nobody
//! be missed: the last one takes the place of one that goes.

use super::Relay;
use super::frames::Heard;
use super::room::{LOBBY, Room};
use crate::batch::{Outbox, RoomIndex};
use crate::config;
use crate::wire::downlink::ListBuilder;
use crate::wire::id::{MemberId, Req, Seq};

/// Set in a cursor that goes on with plain members.
const PLAIN: u32 = 1 << 31;

impl Relay {
    pub(super) fn hear_who(
        &mut self,
        heard: &mut Heard,
        req: Req,
        (room, cursor, member): (RoomIndex, u32, MemberId),
        out: &mut Outbox,
    ) {
        self.send_reply(heard, out);
        let first = self.native.sessions.session(heard.index).first_membership;
        let is_here = self.native.memberships.find(first, room).is_some();
        let at = if is_here { self.native.rooms.at(room).ring.head() } else { 0 };
        heard.reply.push_with(|builder| {
            let Some(mut list) = builder.members(req, Room::handle(room), Seq(at)) else { return false };
            let next = match member {
                _ if !is_here => 0,
                MemberId(0) => self.list_members(&mut list, room, cursor),
                only => {
                    self.list_member(&mut list, room, only);
                    0
                }
            };
            list.finish(next);
            true
        });
    }

    /// Adds members until the datagram is full. Returns where to go on.
    fn list_members(&self, list: &mut ListBuilder<'_, '_>, room: RoomIndex, cursor: u32) -> u32 {
        let all = &self.native.rooms.at(room).members.all;
        let native = if cursor == 0 { all.len() } else { (cursor as usize).min(all.len()) };
        if cursor & PLAIN == 0 {
            for place in (0..native).rev() {
                let session = self.native.memberships.at(all[place]).session;
                let session = self.native.sessions.session(session);
                if !list.add(session.member.0, &session.name) {
                    return place as u32 + 1;
                }
            }
        }
        let plain = if room == LOBBY { self.peers.len() } else { 0 };
        let from = if cursor & PLAIN == 0 { plain } else { plain.min((cursor & !PLAIN) as usize) };
        for place in (0..from).rev() {
            let peer = self.peers.peer(crate::batch::MemberIndex(place as u32));
            if !list.add(peer.member.0, &peer.name) {
                return PLAIN | (place as u32 + 1);
            }
        }
        0
    }

    /// Adds one member, if it is here.
    fn list_member(&self, list: &mut ListBuilder<'_, '_>, room: RoomIndex, member: MemberId) {
        let session = self.native.instances.find_member(member).and_then(|known| known.session);
        let session = session.map(|index| self.native.sessions.session(index));
        let is_here =
            session.is_some_and(|session| self.native.memberships.find(session.first_membership, room).is_some());
        let native = session.filter(|_| is_here).map(|session| &session.name);
        let plain = || self.peers.find_member(member).filter(|_| room == LOBBY);
        let plain = || plain().map(|index| &self.peers.peer(index).name);
        if let Some(name) = native.or_else(plain) {
            list.add(member.0, name);
        }
    }

    pub(super) fn hear_list(&mut self, heard: &mut Heard, req: Req, cursor: u32, out: &mut Outbox) {
        self.send_reply(heard, out);
        heard.reply.push_with(|builder| {
            let Some(mut list) = builder.rooms(req) else { return false };
            let (mut next, from, places) = (0, cursor as usize, self.native.rooms.places());
            for place in from..places {
                // Whoever does not want to be found costs a look, too.
                if place - from == config::ROOMS_PER_LIST {
                    next = place as u32;
                    break;
                }
                let index = RoomIndex(place as u16);
                let Some(room) = self.native.rooms.get(index).filter(|room| !room.unlisted) else { continue };
                if !list.add(self.members_of(index), &room.name) {
                    next = place as u32;
                    break;
                }
            }
            list.finish(next);
            true
        });
    }
}
