//! What one receiving thread knows of its members: which copies came, how
//! late, in which order. Takes its memory at start; no lock, no allocation
//! while measuring but for one handed-over interval a second.

use super::collect::{Interval, Port};
use super::{Board, Positions, Settings, sender_member};
use crate::members::{Sink, plain};
use crate::payload::{self, Content, Phase, Stamp};
use crate::plan::Plan;
use crate::rooms::Rooms;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Counts of copies, by what was right or wrong with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integrity {
    /// Distinct copies of measured messages.
    pub delivered: u64,
    /// Copies that a member already had.
    pub duplicate: u64,
    /// Copies that came after a later message of the same sender (RFC 4737).
    pub reordered: u64,
    /// Copies that came later than the bound after their planned time.
    pub late: u64,
    /// Messages of this tool whose checksum fails.
    pub corrupt: u64,
    /// Another run's messages, a member's own, and texts that nobody explains.
    pub unexpected: u64,
    /// The unexpected ones among them that were said in another room.
    #[serde(default)]
    pub leaked: u64,
    /// Texts of the relay: joins, leaves, answers.
    pub notices: u64,
    /// What came to members that are set aside (they churn): not looked at.
    pub aside: u64,
}

impl Integrity {
    /// Adds another thread's counts.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.duplicate += other.duplicate;
        self.reordered += other.reordered;
        self.late += other.late;
        self.corrupt += other.corrupt;
        self.unexpected += other.unexpected;
        self.leaked += other.leaked;
        self.notices += other.notices;
        self.aside += other.aside;
    }
}

/// Above so many members no histogram per client is kept: 1.7 KB each.
const CLIENT_HISTOGRAMS_MAX: u32 = 100_000;

/// The state of one receiving thread.
pub(super) struct Recorder<'a> {
    board: &'a Board,
    thread: u32,
    threads: u32,
    run: u32,
    senders: u32,
    members: u32,
    rooms: Rooms,
    messages: usize,
    late_ns: u64,
    reflected: bool,
    /// A bit per (member, message): it has that copy.
    seen: Vec<u64>,
    words: usize,
    /// Per (member, sender): one above the highest sequence number seen.
    highest: Vec<u32>,
    pub(super) first: Vec<u64>,
    pub(super) last: Vec<u64>,
    pub(super) clients: Vec<Histogram<u32>>,
    pub(super) positions: Positions,
    pub(super) integrity: Integrity,
    /// Distinct copies, those of the warm-up included.
    pub(super) distinct: u64,
    interval: Box<Interval>,
    port: Port,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(board: &'a Board, plan: &Plan, settings: &Settings, thread: u32, port: Port) -> Self {
        let members = settings.counted;
        let own = (thread..members).step_by(settings.rx_threads as usize).count();
        let messages = plan.slots.len();
        let words = messages.div_ceil(64);
        let client = Histogram::new_with_bounds(1_000, 60_000_000_000, 1).expect("invariant: constant bounds are good");
        Self {
            board,
            thread,
            threads: settings.rx_threads,
            run: settings.run,
            senders: settings.senders,
            members,
            rooms: settings.rooms,
            messages,
            late_ns: settings.late.as_nanos() as u64,
            reflected: settings.reflected,
            seen: vec![0; own * words],
            words,
            highest: vec![0; own * settings.senders as usize],
            first: vec![u64::MAX; messages],
            last: vec![0; messages],
            clients: vec![client; if members > CLIENT_HISTOGRAMS_MAX { 0 } else { own }],
            positions: Positions::new(board.expected()),
            integrity: Integrity::default(),
            distinct: 0,
            interval: port.fresh(),
            port,
        }
    }

    /// Hands over the interval when its second is over. Once per wake-up.
    pub(super) fn tick(&mut self, now: u64) {
        if now >= self.interval.until {
            self.hand_over(now);
        }
    }

    /// Hands over what is left.
    pub(super) fn finish(&mut self, now: u64) {
        self.hand_over(now);
    }

    fn hand_over(&mut self, now: u64) {
        let fresh = self.port.after(&self.interval, now);
        let full = std::mem::replace(&mut self.interval, fresh);
        self.port.send(full);
    }

    fn own(&self, member: u32) -> usize {
        ((member - self.thread) / self.threads) as usize
    }

    /// Of this run, or of the joining before it: over a lossy path one may come late.
    fn is_own_probe(&self, stamp: &Stamp) -> bool {
        stamp.phase == Phase::Probe && self.run.wrapping_sub(stamp.run) <= 1
    }

    fn message(&mut self, member: u32, now: u64, stamp: &Stamp) {
        let index = stamp.index as usize;
        if !self.plausible(member, stamp) {
            self.integrity.unexpected += 1;
            self.integrity.leaked += u64::from(self.leaks(member, stamp));
            return;
        }
        let own = self.own(member);
        let word = &mut self.seen[own * self.words + index / 64];
        let bit = 1 << (index % 64);
        let measured = stamp.phase == Phase::Measure;
        if *word & bit != 0 {
            self.integrity.duplicate += u64::from(measured);
            return;
        }
        *word |= bit;
        self.distinct += 1;
        let highest = &mut self.highest[own * self.senders as usize + stamp.sender as usize];
        let reordered = stamp.seq < *highest;
        *highest = (*highest).max(stamp.seq + 1);
        let place = self.board.count_copy(index);
        if measured {
            self.integrity.reordered += u64::from(reordered);
            self.copy(own, index, place, now, now.saturating_sub(stamp.planned));
        }
    }

    /// A first copy of a measured message.
    fn copy(&mut self, own: usize, index: usize, place: u32, now: u64, latency: u64) {
        self.integrity.delivered += 1;
        self.integrity.late += u64::from(latency > self.late_ns);
        self.first[index] = self.first[index].min(now);
        self.last[index] = self.last[index].max(now);
        if let Some(client) = self.clients.get_mut(own) {
            client.saturating_record(latency.max(1_000));
        }
        self.positions.record(place, latency);
        self.interval.latency.record(latency);
    }

    fn plausible(&self, member: u32, stamp: &Stamp) -> bool {
        stamp.run == self.run
            && (stamp.index as usize) < self.messages
            && stamp.sender < self.senders
            && (self.reflected || self.is_for(member, self.speaker(stamp)))
    }

    fn speaker(&self, stamp: &Stamp) -> u32 {
        sender_member(stamp.sender, self.senders, self.members)
    }

    fn is_for(&self, member: u32, speaker: u32) -> bool {
        speaker != member && self.rooms.of(speaker) == self.rooms.of(member)
    }

    /// Whether a message of this run was said in another room.
    fn leaks(&self, member: u32, stamp: &Stamp) -> bool {
        stamp.run == self.run && self.rooms.of(self.speaker(stamp)) != self.rooms.of(member)
    }
}

impl Sink for Recorder<'_> {
    fn take(&mut self, member: u32, now: u64, bytes: &[u8]) {
        if member >= self.members {
            self.integrity.aside += 1;
            return;
        }
        match payload::decode(bytes) {
            Content::Stamped(stamp) if self.is_own_probe(&stamp) => {}
            Content::Stamped(stamp) => self.message(member, now, &stamp),
            Content::Corrupt => self.integrity.corrupt += 1,
            Content::Other if plain::is_notice(bytes) => self.integrity.notices += 1,
            Content::Other => self.integrity.unexpected += 1,
        }
    }
}
