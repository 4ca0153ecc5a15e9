//! Owns what the relay's datagrams show: every entry once and always the same
//! (I2, I3), nothing that nobody sent (I1), and how far each room is.

use super::holds;
use super::told::{RoomNumber, room_number};
use outcry::wire::downlink::{Batch, Downlink, Frame, Presence};
use outcry::wire::header::Code;
use outcry::wire::uplink::{self, Session};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A ring frees whole pages.
const SLACK_BYTES: u64 = 96 << 10;
const SLACK_MESSAGES: u64 = 64;

/// A room, as its datagrams show it.
#[derive(Default)]
struct Room {
    /// What each entry is, as a hash, and what it costs a ring in bytes at least.
    entries: BTreeMap<u64, (u64, u64)>,
    /// Which entry each author's number has become.
    numbers: BTreeMap<(u32, u32), u64>,
    head: u64,
    /// Nothing is known of what was before.
    floor: u64,
    number: Option<RoomNumber>,
}

/// Everything that the relay has sent.
#[derive(Default)]
pub(super) struct Wire {
    /// Of this relay process, by handle.
    rooms: BTreeMap<u16, Room>,
    handles: BTreeMap<RoomNumber, u16>,
    /// Which client a ticket is of, and what it has asked.
    clients: BTreeMap<u64, u64>,
    asked: BTreeMap<(u64, u16), RoomNumber>,
    /// Hashes of what was said.
    said: BTreeSet<u64>,
    /// The last datagram: a room's members get the same one after another.
    last: Vec<u8>,
    /// Payloads of entries that were not seen before.
    fresh: Vec<Vec<u8>>,
}

/// A hash that is the same in each run.
pub(super) fn digest(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Wire {
    pub(super) fn restarted(&mut self) {
        let said = std::mem::take(&mut self.said);
        *self = Self { said, ..Self::default() };
    }

    pub(super) fn client_sends(&mut self, session: &Session<'_>) {
        for frame in session.frames.clone() {
            if let uplink::Frame::Msg { kind, payload, .. } = frame {
                self.said.insert(digest((kind.0, payload)));
            }
        }
    }

    pub(super) fn plain_sends(&mut self, line: &[u8]) {
        self.said.insert(digest((0u8, line)));
    }

    pub(super) fn relay_hears(&mut self, session: &Session<'_>) {
        let Some(&client) = self.clients.get(&session.scid.0) else { return };
        for frame in session.frames.clone() {
            if let uplink::Frame::Join { req, room, .. } = frame {
                self.asked.insert((client, req.0), room_number(room));
            }
        }
    }

    /// Whether it is the datagram of just now, to another member.
    pub(super) fn is_known(&self, bytes: &[u8]) -> bool {
        self.last == bytes
    }

    pub(super) fn relay_sends(&mut self, bytes: &[u8], datagram: &Downlink<'_>) {
        self.last.clear();
        self.last.extend_from_slice(bytes);
        match datagram {
            Downlink::Welcome(welcome) => _ = self.clients.insert(welcome.scid.0, welcome.ccid.0),
            Downlink::ToClient { ccid, frames } => frames.clone().for_each(|frame| self.frame(Some(ccid.0), &frame)),
            Downlink::ToRoom { frames, .. } => frames.clone().for_each(|frame| self.frame(None, &frame)),
            _ => {}
        }
    }

    fn frame(&mut self, client: Option<u64>, frame: &Frame<'_>) {
        match *frame {
            Frame::Batch(batch) => self.batch(&batch),
            Frame::Head { room, head, .. } => {
                let room = self.rooms.entry(room.0).or_default();
                room.head = room.head.max(head.0);
            }
            // Where nobody is live, only its author is told of an entry at once.
            Frame::Ack { room, seq, .. } => {
                let room = self.rooms.entry(room.0).or_default();
                room.head = room.head.max(seq.0);
            }
            Frame::Joined { req, room, code: Code::Ok, head, .. } => {
                let asked = client.and_then(|client| self.asked.get(&(client, req.0)).copied());
                self.joined(asked, room.0, head.0);
            }
            _ => {}
        }
    }

    fn joined(&mut self, number: Option<RoomNumber>, handle: u16, head: u64) {
        holds!(number.is_some(), "a JOINED that nobody asked for");
        let room = self.rooms.entry(handle).or_default();
        if room.number != number {
            // The handle is another room's now, whose authors have numbers of their own.
            room.numbers.clear();
            room.number = number;
        }
        room.head = room.head.max(head);
        let former = number.and_then(|number| self.handles.insert(number, handle));
        if former != Some(handle) {
            room.floor = head;
        }
    }

    fn batch(&mut self, batch: &Batch<'_>) {
        let room = self.rooms.entry(batch.room.0).or_default();
        for (seq, entry) in batch.numbered() {
            let hash = digest((batch.time_s, entry.member.0, entry.sseq.0, entry.kind.0, entry.payload));
            if let Some(&(known, _)) = room.entries.get(&seq.0) {
                holds!(known == hash, "I3: entry {} of room {} is shown as another: {entry:?}", seq.0, batch.room.0);
                continue;
            }
            room.entries.insert(seq.0, (hash, entry.wire_len() as u64));
            room.head = room.head.max(seq.0);
            if entry.sseq.0 != 0 {
                let place = *room.numbers.entry((entry.member.0, entry.sseq.0)).or_insert(seq.0);
                holds!(place == seq.0, "I2: {entry:?} is entry {place} and entry {}", seq.0);
            }
            match Presence::parse(entry.kind, entry.payload) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let was_said = self.said.contains(&digest((entry.kind.0, entry.payload)));
                    holds!(was_said, "I1: entry {}, which nobody said: {entry:?}", seq.0);
                    self.fresh.push(entry.payload.to_vec());
                }
                Err(wrong) => panic!("I1: entry {} is not what its kind says: {wrong:?} {entry:?}", seq.0),
            }
        }
    }

    /// Payloads that have just become entries.
    pub(super) fn take_fresh(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.fresh)
    }

    /// Whether a ring of so many messages and bytes may have overwritten entry `seq` by now.
    pub(super) fn may_be_gone(&self, room: RoomNumber, seq: u64, (messages, bytes): (u64, u64)) -> bool {
        let Some(room) = self.handles.get(&room).and_then(|handle| self.rooms.get(handle)) else { return false };
        let later = seq + 1..=room.head.max(seq + 1);
        // What was not seen can have been as long as can be.
        let cost = later.clone().map(|seq| room.entries.get(&seq).map_or(1_300, |(_, cost)| *cost)).sum::<u64>();
        seq <= room.floor || room.head - seq + SLACK_MESSAGES >= messages || cost + SLACK_BYTES >= bytes
    }

    /// What a room's entries from `from` on cost, at most.
    pub(super) fn bytes_from(&self, room: RoomNumber, from: u64) -> u64 {
        let Some(room) = self.handles.get(&room).and_then(|handle| self.rooms.get(handle)) else { return 0 };
        let costs = (from..=room.head).map(|seq| room.entries.get(&seq).map_or(1_300, |(_, cost)| *cost));
        costs.sum()
    }

    /// The newest entry of a room.
    pub(super) fn head(&self, room: RoomNumber) -> Option<u64> {
        Some(self.rooms.get(self.handles.get(&room)?)?.head)
    }
}
