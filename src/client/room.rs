//! Owns one room of the client: its place at the relay, what comes in and goes
//! out there, and what an entry means to the program. Never writes a datagram.

use super::Counts;
use super::chance::Chance;
use super::event::{BESIDE, BYTES_BESIDE, Change, Event, Events, Message, Presence, RoomId};
use super::names::{Names, without_author};
use super::options::RoomSpec;
use super::receiving::{Next, Receiving, Taken, Told};
use super::rtt::Rtt;
use super::seal::{Note, RoomKey, SealError};
use super::sending::{Resume, Sending};
use crate::Time;
use crate::wire::downlink::{self, Batch};
use crate::wire::header::EntryKind;
use crate::wire::id::{MemberId, RoomHandle, RoomTag, Seq, Sseq};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a room's former tag is good.
const FORMER_TAG_FOR: Duration = Duration::from_secs(2);
/// A HEAD that comes so long after the last BATCH says that the room is quiet ...
const HEAD_AFTER: Duration = Duration::from_millis(500);
/// ... and when none has come by then, the relay is asked.
const HEAD_WITHIN: Duration = Duration::from_millis(1500);
/// Senders in a sealed room whose newest message is remembered.
const SEALED_SENDERS_MAX: usize = 1024;

/// The client's place in a room, in one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) handle: RoomHandle,
    tag: RoomTag,
    former: Option<(RoomTag, Time)>,
    pub(super) since: Time,
    /// The newest entry when the client came: what it said then is above.
    head: Seq,
}

/// What a sealed room needs beside its key.
struct Sealing {
    sender_tag: u64,
    counter: u64,
    /// The newest number of each sender, and when it was used last.
    heard: BTreeMap<u64, (u64, u64)>,
    uses: u64,
    scratch: Vec<u8>,
}

/// How entries have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// With what goes to the whole room.
    Room,
    /// To this client alone, because it asked or cannot follow.
    Repair,
}

/// A room that the client is in, or wants into.
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) spec: RoomSpec,
    pub(super) place: Option<Place>,
    pub(super) is_leaving: bool,
    /// What the next JOINED means.
    pub(super) resume: Resume,
    pub(super) receiving: Option<Receiving>,
    pub(super) sending: Sending,
    pub(super) names: Names,
    sealing: Sealing,
    was_in: bool,
    members: u32,
    /// The newest entry when the client came for the first time: the others are history.
    history: Seq,
    /// The last BATCH, until a HEAD has come a while after it.
    batch_at: Option<Time>,
}

/// What is told of entries needs of the client.
pub(super) struct Telling<'a> {
    pub(super) me: MemberId,
    pub(super) names: bool,
    pub(super) rtt: &'a mut Rtt,
    pub(super) chance: &'a mut Chance,
    pub(super) events: &'a mut Events,
    pub(super) counts: &'a mut Counts,
    /// Somebody whose name should be asked for.
    pub(super) unknown: Option<MemberId>,
}

impl Room {
    pub(super) fn new(id: RoomId, spec: RoomSpec, chance: &mut Chance) -> Self {
        let sender_tag = chance.number();
        Self {
            id,
            spec,
            place: None,
            is_leaving: false,
            resume: Resume::NewEpoch,
            receiving: None,
            sending: Sending::new(id),
            names: Names::default(),
            sealing: Sealing { sender_tag, counter: 0, heard: BTreeMap::new(), uses: 0, scratch: Vec::new() },
            was_in: false,
            members: 0,
            history: Seq(0),
            batch_at: None,
        }
    }

    // ---- the place -------------------------------------------------------------------

    /// Whether entries and messages may pass.
    pub(super) fn is_joined(&self) -> bool {
        self.place.is_some() && !self.is_leaving
    }

    pub(super) fn has_handle(&self, handle: RoomHandle) -> bool {
        self.place.is_some_and(|place| place.handle == handle)
    }

    /// Whether what goes to a whole room is for this one.
    pub(super) fn has_tag(&self, now: Time, tag: RoomTag) -> bool {
        let is_former = |place: &Place| place.former.is_some_and(|(former, until)| former == tag && now <= until);
        self.place.is_some_and(|place| place.tag == tag || is_former(&place))
    }

    /// The session is over; `resume`: what the next JOINED will mean.
    pub(super) fn lose_place(&mut self, resume: Resume) {
        self.place = None;
        self.batch_at = None;
        if self.resume != Resume::NewEpoch {
            self.resume = resume;
        }
    }

    /// The relay's state is new: seqs and names mean nothing any more.
    pub(super) fn forget_epoch(&mut self) {
        self.receiving = None;
        self.resume = Resume::NewEpoch;
        self.names.clear();
    }

    /// The client is in, by what JOINED says.
    pub(super) fn joined(&mut self, now: Time, joined: &downlink::Frame<'_>, events: &mut Events) {
        let downlink::Frame::Joined { room, tag, members, head, tail, next_sseq, name, .. } = *joined else { return };
        if let Some(receiving) = &mut self.receiving {
            receiving.resume(head, now);
        } else {
            let first = self.first_wanted(head, tail);
            self.receiving = Some(Receiving::new(first, head, now));
            self.history = head;
        }
        let first = self.receiving.as_ref().map_or(head, Receiving::next);
        self.place = Some(Place { handle: room, tag, former: None, since: now, head });
        self.sending.resume(now, next_sseq, self.resume, events);
        (self.resume, self.was_in, self.members, self.batch_at) = (Resume::SameSession, true, members, None);
        events.add(Event::Joined { room: self.id, name: BESIDE, members, first, head }, name, b"");
    }

    /// The first entry that a client wants that has none: as much history as it
    /// asks for; after a new epoch everything, because all of it is new.
    fn first_wanted(&self, head: Seq, tail: Seq) -> Seq {
        let above = head.0.saturating_add(1);
        let tail = tail.0.clamp(1, above);
        let wanted = if self.was_in { tail } else { above.saturating_sub(self.spec.history.into()) };
        Seq(wanted.max(tail))
    }

    /// The relay says how far the room is; `tag`: what its datagrams bear, if that is told.
    pub(super) fn take_head(
        &mut self,
        now: Time,
        tag: Option<RoomTag>,
        members: u32,
        head: Seq,
        tell: &mut Telling<'_>,
    ) {
        if let Some(place) = &mut self.place
            && let Some(tag) = tag.filter(|tag| *tag != place.tag)
        {
            place.former = Some((place.tag, now + FORMER_TAG_FOR));
            place.tag = tag;
        }
        if self.batch_at.is_some_and(|at| now.since(at) >= HEAD_AFTER) {
            self.batch_at = None;
        }
        if let Some(receiving) = &mut self.receiving {
            receiving.take_head(now, head, tell.chance);
        }
        if members != self.members {
            self.members = members;
            tell.events.push(Event::Population { room: self.id, members });
        }
    }

    /// When the relay should have said how far the room is.
    pub(super) fn head_due(&self) -> Option<Time> {
        self.batch_at.map(|at| at + HEAD_WITHIN)
    }

    /// The relay is asked instead.
    pub(super) fn head_missed(&mut self) {
        self.batch_at = None;
    }

    // ---- entries ---------------------------------------------------------------------

    /// Takes entries in: those of this client acknowledge what it said, and what is in its turn is told.
    pub(super) fn take_batch(&mut self, now: Time, batch: &Batch<'_>, origin: Origin, tell: &mut Telling<'_>) {
        let (Some(place), false) = (self.place, self.is_leaving) else { return };
        self.acknowledge_own(now, place.head, batch, origin, tell);
        let Some(mut receiving) = self.receiving.take() else { return };
        let timing = receiving.timing(batch.base, tell.rtt, tell.chance);
        let taken = receiving.take_batch(now, batch, timing, &mut |next| self.tell(next, tell));
        self.receiving = Some(receiving);
        self.count(taken, tell.counts);
        let newest = batch.base.0.saturating_add(batch.entries.len() as u64);
        if newest > place.head.0.saturating_add(1) {
            self.batch_at = Some(now);
        }
    }

    fn count(&self, taken: Taken, counts: &mut Counts) {
        counts.entries += u64::from(taken.new);
        counts.known_entries += u64::from(taken.known);
        counts.dropped_entries += u64::from(taken.dropped);
    }

    /// What came of this client's own messages since it joined shows that the relay has them.
    fn acknowledge_own(&mut self, now: Time, head: Seq, batch: &Batch<'_>, origin: Origin, tell: &mut Telling<'_>) {
        for (seq, entry) in batch.numbered() {
            if entry.member == tell.me && entry.sseq != Sseq(0) && seq > head {
                if origin == Origin::Room {
                    self.sending.measure(now, entry.sseq, tell.rtt);
                }
                self.sending.acknowledge(now, entry.sseq, seq, tell.rtt, tell.events);
            }
        }
    }

    /// The relay says that entries are gone.
    pub(super) fn take_gap(&mut self, now: Time, from: Seq, to: Seq, tell: &mut Telling<'_>) {
        let Some(mut receiving) = self.receiving.take().filter(|_| !self.is_leaving) else { return };
        let timing = receiving.timing(from, tell.rtt, tell.chance);
        receiving.take_gap(now, from, to, timing, &mut |next| self.tell(next, tell));
        self.receiving = Some(receiving);
    }

    fn tell(&mut self, next: Next<'_>, tell: &mut Telling<'_>) {
        match next {
            Next::Gone { from, to } => tell.events.push(Event::Gap { room: self.id, from, to }),
            Next::Entry(told) => match downlink::Presence::parse(told.kind, told.payload) {
                Ok(None) => self.tell_message(&told, tell),
                Ok(Some(presence)) => self.tell_presence(&told, presence, tell),
                Err(_) => tell.counts.malformed_entries += 1,
            },
        }
    }

    fn tell_presence(&mut self, told: &Told<'_>, presence: downlink::Presence<'_>, tell: &mut Telling<'_>) {
        let (change, name) = match presence {
            downlink::Presence::Joined { name } => (Change::Joined, name),
            downlink::Presence::Left { code, name } => (Change::Left { code }, name),
            downlink::Presence::Renamed { name } => (Change::Renamed, name),
        };
        if tell.names {
            let is_here = !matches!(change, Change::Left { .. });
            self.names.learn(told.member, name, told.seq, is_here);
        }
        let event = Event::Presence(Presence {
            room: self.id,
            seq: told.seq,
            member: told.member,
            name: BESIDE,
            time_s: told.time_s,
            change,
            history: told.seq <= self.history,
        });
        tell.events.add(event, name, b"");
    }

    fn tell_message(&mut self, told: &Told<'_>, tell: &mut Telling<'_>) {
        if self.spec.key.is_some() {
            return self.tell_sealed(told, tell);
        }
        let name = self.names.name(told.member);
        let mut payload = told.payload;
        if let Some(name) = name
            && self.spec.is_lobby()
            && told.sseq == Sseq(0)
        {
            payload = without_author(payload, name);
        }
        let event = Event::Message(self.message(told, name.is_some(), tell.me));
        tell.events.add(event, name.unwrap_or(""), payload);
        if name.is_none() && tell.names && self.names.wants(told.member) {
            tell.unknown = Some(told.member);
        }
    }

    fn message(&self, told: &Told<'_>, has_name: bool, me: MemberId) -> Message<'static> {
        Message {
            room: self.id,
            seq: told.seq,
            member: told.member,
            sseq: told.sseq,
            name: has_name.then_some(Cow::Borrowed("")),
            time_s: told.time_s,
            kind: told.kind,
            mine: told.member == me,
            history: told.seq <= self.history,
            payload: BYTES_BESIDE,
        }
    }

    // ---- sealing -----------------------------------------------------------------------

    fn tell_sealed(&mut self, told: &Told<'_>, tell: &mut Telling<'_>) {
        let mut scratch = std::mem::take(&mut self.sealing.scratch);
        let key = self.spec.key.as_ref().filter(|_| told.kind == EntryKind::SEALED);
        match key.and_then(|key| key.open(told.payload, &mut scratch)) {
            Some(note) if self.sealing.is_new(&note) => {
                let event = Event::Message(self.message(told, true, tell.me));
                tell.events.add(event, note.name, note.text);
            }
            Some(_) => tell.counts.sealed_repeats += 1,
            None => {
                tell.counts.undecryptable += 1;
                tell.events.push(Event::Undecryptable { room: self.id, seq: told.seq, member: told.member });
            }
        }
        self.sealing.scratch = scratch;
    }

    /// What goes over the wire for `text` in a sealed room.
    pub(super) fn seal(
        &mut self,
        key: &RoomKey,
        name: &str,
        text: &[u8],
        chance: &mut Chance,
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let Sealing { sender_tag, counter, .. } = self.sealing;
        let note = Note { sender_tag, counter: counter + 1, name, text };
        key.seal(chance.bytes(), &note, out)?;
        self.sealing.counter += 1;
        Ok(())
    }
}

impl Sealing {
    /// Whether a message was not there before. Its sender's come in their order, so a lower number is a repeat too.
    fn is_new(&mut self, note: &Note<'_>) -> bool {
        self.uses += 1;
        let newest = self.heard.get(&note.sender_tag).map_or(0, |(newest, _)| *newest);
        if note.counter <= newest {
            return false;
        }
        if self.heard.len() >= SEALED_SENDERS_MAX && newest == 0 {
            let longest_ago = self.heard.iter().min_by_key(|(_, (_, used))| *used).map(|(sender, _)| *sender);
            longest_ago.map(|sender| self.heard.remove(&sender));
        }
        self.heard.insert(note.sender_tag, (note.counter, self.uses));
        true
    }
}
