//! The native half of a snapshot: sessions, rooms with what they keep, and who
//! is where. Never trusts what it reads: each list is held against the others.

use super::join::ring_limits;
use super::leave::Closing;
use super::room::{LOBBY, LOBBY_NAME, Pools, Room};
use super::session::{NONE, Session, SessionIndex};
use super::{Native, instance::InstanceIndex};
use crate::Time;
use crate::batch::{Path, RoomIndex};
use crate::config::{self, Limits};
use crate::relay::admission::Prefix;
use crate::relay::bucket::Bucket;
use crate::relay::history::{RING_PAGES_MIN, Ring};
use crate::relay::snapshot::{
    MembershipRow, NativeRows, RoomRow, SessionRow, Unfit, fits, holds, is_countable, name_of, names_each,
};
use crate::wire::id::{Ccid, Epoch, MemberId, Nonce, PacketNumber, Scid, Seq};
use std::sync::Arc;

/// Bytes of a room's name at most.
const ROOM_NAME_BYTES_MAX: usize = 64;

impl Native {
    pub(in crate::relay) fn rows(&self) -> NativeRows<'_> {
        let (instances, ended_instances) = self.instances.rows();
        let (sessions, silent) = self.sessions.rows(|session| self.session_row(session));
        let mut rooms = self.rooms.rows(&self.pools);
        for (at, row) in (0..).zip(&mut rooms.slots) {
            if let Some(row) = row {
                row.reports = self.membership_links.places(&self.rooms.at(RoomIndex(at)).reports);
            }
        }
        NativeRows {
            epoch: self.epoch.0,
            drawn: self.secrets.drawn,
            moved_to: self.moved_to.as_deref(),
            next_member: self.next_member.0,
            next_plain: self.next_plain.0,
            version_answers: self.version_answers.full_at_ns(),
            no_session_answers: self.no_session_answers.full_at_ns(),
            instances,
            ended_instances,
            sessions,
            silent,
            memberships: self.memberships.rows(),
            feeding: self.membership_links.places(&self.feeding),
            feed_due_ns: self.feed_due.map(Time::nanos),
            rooms,
            empty_rooms: self.rooms.empty_places(),
            highest_ended: self.rooms.highest_ended.0,
            room_timers: self.room_timers.rows(),
            closed: self.closed.rows(|(ccid, nonce)| (ccid.0, nonce.0), |&()| ()),
            ended: self.ended.rows(|scid| scid.0, |&()| ()),
            closing: self.closing.iter().map(Closing::row).collect(),
            probed: self.probed.iter().map(|(due, scid)| (due.nanos(), scid.0)).collect(),
        }
    }

    fn session_row<'s>(&'s self, session: &'s Session) -> SessionRow<'s> {
        SessionRow {
            scid: session.scid.0,
            ccid: session.ccid.0,
            nonce: session.nonce.0,
            instance: session.instance.0,
            name: &session.name,
            path: session.path.into(),
            challenge: session.challenge.full_at_ns(),
            heard_ns: session.heard_ns,
            unreachable_ns: session.unreachable_ns,
            pn: session.pn.0,
            is_used: session.is_used,
            muted: session.muted,
            memberships: self.memberships.of(session.first_membership).collect(),
        }
    }

    /// Takes the native half of a snapshot; there is nothing yet, not even the lobby.
    pub(in crate::relay) fn refill(&mut self, limits: &Limits, rows: &NativeRows<'_>) -> Result<(), Unfit> {
        check_lists(rows)?;
        fits("memberships (--max-sessions)", rows.memberships.taken(), self.membership_links.capacity())?;
        self.membership_links.grow(rows.memberships.len());
        self.refill_numbers(rows)?;
        self.instances.refill(&rows.instances, &rows.ended_instances)?;
        let instances = &self.instances;
        self.sessions.refill(&rows.sessions, &rows.silent, |row| {
            let known = instances.at(InstanceIndex(row.instance));
            // One name for both, as it was.
            let name = if *known.name == *row.name { Arc::clone(&known.name) } else { name_of(row.name)? };
            Ok(session_of(row, name, known.member))
        })?;
        self.memberships.refill(&rows.memberships)?;
        self.refill_rooms(limits, rows)?;
        self.refill_places(rows);
        self.refill_memory(rows)
    }

    fn refill_numbers(&mut self, rows: &NativeRows<'_>) -> Result<(), Unfit> {
        let are_apart = rows.next_member % 2 == 1 && rows.next_plain.is_multiple_of(2) && rows.next_plain > 0;
        holds(are_apart && is_countable(rows.drawn), "numbers of members")?;
        let to_bytes = rows.moved_to.map_or(0, str::len);
        holds(to_bytes <= config::ALTERNATE_BYTES_MAX, "where members are sent")?;
        self.epoch = Epoch(rows.epoch);
        self.secrets.drawn = rows.drawn;
        self.moved_to = rows.moved_to.map(Box::from);
        (self.next_member, self.next_plain) = (MemberId(rows.next_member), MemberId(rows.next_plain));
        self.version_answers = Bucket::full_from(rows.version_answers);
        self.no_session_answers = Bucket::full_from(rows.no_session_answers);
        self.feed_due = rows.feed_due_ns.map(|due_ns| Time::new(due_ns, 0));
        Ok(())
    }

    fn refill_rooms(&mut self, limits: &Limits, rows: &NativeRows<'_>) -> Result<(), Unfit> {
        let is_lobby = |row: &RoomRow<'_>| row.name == LOBBY_NAME && row.key_id == 0 && !row.sealed;
        holds(rows.rooms.at(0).is_some_and(is_lobby), "the lobby")?;
        holds(is_countable(rows.highest_ended), "the numbers of rooms that ended")?;
        fit_pools(&self.pools, rows)?;
        let pools = &mut self.pools;
        self.rooms.refill(&rows.rooms, &rows.empty_rooms, |index, row, key| {
            check_room(row, &rows.memberships.slots)?;
            Ok(Room::of(row, key, Ring::of(&row.ring, pools.of_mut(index), ring_limits(limits))?))
        })?;
        self.rooms.highest_ended = Seq(rows.highest_ended);
        for prefix in rows.rooms.all().filter_map(|(_, row)| row.creator) {
            *self.rooms_by_prefix.entry(Prefix::from_row(prefix)).or_insert(0) += 1;
        }
        self.room_timers.grow(rows.rooms.len());
        for &(key, due_ns) in &rows.room_timers {
            holds(rows.rooms.has(key as usize), "when rooms are looked at")?;
            self.room_timers.set(key, Time::new(due_ns, 0));
        }
        Ok(())
    }

    /// Puts every membership on its lists, which were checked.
    fn refill_places(&mut self, rows: &NativeRows<'_>) {
        for (session, row) in rows.sessions.all() {
            let session = self.sessions.session_mut(SessionIndex(session));
            session.memberships = row.memberships.len() as u8;
            let nexts = row.memberships.iter().skip(1).copied().chain([NONE]);
            for (&at, next) in row.memberships.iter().zip(nexts) {
                self.memberships.at_mut(at).next = next;
            }
            session.first_membership = row.memberships.first().copied().unwrap_or(NONE);
        }
        for (room, row) in rows.rooms.all() {
            let room = self.rooms.at_mut(RoomIndex(room as u16));
            for (place, &at) in (0..).zip(&row.all) {
                room.members.all.push(at);
                self.memberships.at_mut(at).place = place;
            }
            for &at in row.live.iter().chain(&row.fed) {
                let path = self.sessions.session(self.memberships.at(at).session).path;
                self.memberships.enter_roster(at, &mut room.members, path);
            }
            for &at in &row.reports {
                self.membership_links.push_back(&mut room.reports, at);
            }
        }
        for &at in &rows.feeding {
            self.membership_links.push_back(&mut self.feeding, at);
        }
    }

    /// What is remembered of those that are gone, or soon may be.
    fn refill_memory(&mut self, rows: &NativeRows<'_>) -> Result<(), Unfit> {
        self.closed.refill(&rows.closed, |&(ccid, nonce), &()| ((Ccid(ccid), Nonce(nonce)), ()))?;
        self.ended.refill(&rows.ended, |&scid, &()| (Scid(scid), ()))?;
        holds(rows.closing.len().max(rows.probed.len()) <= config::CLOSING_MAX, "sessions about to end")?;
        self.closing.extend(rows.closing.iter().map(Closing::of));
        self.probed.extend(rows.probed.iter().map(|&(due_ns, scid)| (Time::new(due_ns, 0), Scid(scid))));
        Ok(())
    }
}

fn session_of(row: &SessionRow<'_>, name: Arc<str>, member: MemberId) -> Session {
    Session {
        scid: Scid(row.scid),
        ccid: Ccid(row.ccid),
        nonce: Nonce(row.nonce),
        instance: InstanceIndex(row.instance),
        member,
        name,
        path: Path::from(row.path),
        challenge: Bucket::full_from(row.challenge),
        heard_ns: row.heard_ns,
        unreachable_ns: row.unreachable_ns,
        pn: PacketNumber(row.pn),
        first_membership: NONE,
        memberships: 0,
        is_used: row.is_used,
        muted: row.muted,
        repairs: 0,
        spoke: false,
        said: (0, 0),
    }
}

// ---- what each snapshot that a relay has made agrees about -----------------------------

/// Every session has its instance, every membership is on the lists that it belongs on, and on no other.
fn check_lists(rows: &NativeRows<'_>) -> Result<(), Unfit> {
    let NativeRows { instances, sessions, memberships, rooms, .. } = rows;
    let of_session = |(at, row): (u32, &SessionRow<'_>)| {
        let knows = instances.at(row.instance).is_some_and(|instance| instance.session == Some(at));
        let are_its = row.memberships.iter().all(|&of| memberships.at(of).is_some_and(|of| of.session == at));
        knows && are_its && row.memberships.len() <= config::ROOMS_PER_SESSION_MAX
    };
    holds(sessions.all().all(of_session), "sessions and what they are in")?;
    let with_session = instances.all().filter(|(_, row)| row.session.is_some()).count();
    holds(with_session == sessions.all().count(), "instances and their sessions")?;
    let places = memberships.len();
    let of_sessions = sessions.all().flat_map(|(_, row)| row.memberships.iter().copied());
    names_each(of_sessions, places, |at| memberships.has(at), "memberships of sessions")?;
    let of_room = |(at, row): (u32, &RoomRow<'_>)| {
        let is_here = |of: &u32| memberships.at(*of).is_some_and(|of| u32::from(of.room) == at);
        [&row.all, &row.live, &row.fed, &row.reports].into_iter().flatten().all(is_here)
    };
    holds(rooms.all().all(of_room), "rooms and who is in them")?;
    let is_live = |live: bool| move |at: usize| memberships.at(at as u32).is_some_and(|of| of.is_live == live);
    names_each(rooms.all().flat_map(|(_, row)| row.all.iter().copied()), places, |at| memberships.has(at), "members")?;
    names_each(rooms.all().flat_map(|(_, row)| row.live.iter().copied()), places, is_live(true), "live members")?;
    names_each(rooms.all().flat_map(|(_, row)| row.reports.iter().copied()), places, is_live(true), "who reports")?;
    names_each(rooms.all().flat_map(|(_, row)| row.fed.iter().copied()), places, is_live(false), "slow members")?;
    names_each(rows.feeding.iter().copied(), places, is_live(false), "who is fed")
}

/// What a room says of itself and of its members can be reckoned with.
fn check_room(row: &RoomRow<'_>, memberships: &[Option<MembershipRow>]) -> Result<(), Unfit> {
    let head = row.ring.head;
    let members = || row.all.iter().filter_map(|&at| memberships.get(at as usize)?.as_ref());
    let is_past = |of: &MembershipRow| {
        of.report.contiguous <= head && of.report.cast_bytes <= row.cast_bytes && of.feed.next <= head + 1
    };
    let counts = is_countable(head) && is_countable(row.cast_bytes) && members().all(is_past);
    holds(counts, "what a room's members have reported")?;
    let is_named = (1..=ROOM_NAME_BYTES_MAX).contains(&row.name.len()) && row.sealed == (row.key_id != 0);
    holds(is_named, "a room's name")?;
    let may_end = row.empty_since_ns.is_none() || row.all.is_empty();
    holds(may_end && usize::from(row.heads_sent) <= config::HEAD_AFTER_MS.len(), "a room's times")
}

/// Whether the pools have the pages that the rings need.
fn fit_pools(pools: &Pools, rows: &NativeRows<'_>) -> Result<(), Unfit> {
    let pages = |row: &RoomRow<'_>| row.ring.pages.len();
    let lobby = rows.rooms.at(0).map_or(0, pages);
    let others = rows.rooms.all().skip(1).map(|(_, row)| pages(row)).sum();
    let free = |room| pools.of(room).free_pages();
    fits("pages of the lobby's history (--history-bytes)", lobby, free(LOBBY))?;
    fits("pages of history (--history-bytes-total)", others, free(RoomIndex(LOBBY.0 + 1)))?;
    holds(rows.rooms.all().all(|(_, row)| pages(row) >= RING_PAGES_MIN), "how much a room keeps")
}
