//! The result of one measurement: what all threads saw, merged and counted.

use super::rx::Received;
use super::tx::Sent;
use super::{Board, Collector, Integrity, Latency, Positions, Second, Settings, sender_member};
use crate::plan::{Plan, Slot};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What one thread of the generator used while measuring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadLoad {
    /// `rx0`, `rx1`, ...
    pub name: String,
    /// How long it was looked at.
    pub wall_ns: u64,
    /// Processor time used.
    pub cpu_ns: u64,
    /// Time it was ready to run and had no core.
    pub waiting_ns: u64,
}

impl ThreadLoad {
    fn add(&mut self, other: &Self) {
        self.wall_ns += other.wall_ns;
        self.cpu_ns += other.cpu_ns;
        self.waiting_ns += other.waiting_ns;
    }

    /// Share of the time that it was busy or wanted to be, 0..1.
    pub fn share(&self) -> f64 {
        if self.wall_ns == 0 { 0.0 } else { (self.cpu_ns + self.waiting_ns) as f64 / self.wall_ns as f64 }
    }
}

/// One client's 99th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientTail {
    /// The member.
    pub member: u32,
    /// Copies it got.
    pub copies: u64,
    /// Its 99th percentile of delivery, one digit exact.
    pub p99_ns: u64,
}

/// What became of one room's messages.
#[derive(Clone, Debug, Default)]
pub struct RoomCounts {
    /// Messages that the kernel took.
    pub sent: u64,
    /// Messages that everybody in the room got.
    pub complete: u64,
    /// Distinct copies that came.
    pub delivered: u64,
    /// Of the last copy, one value a message that came at all.
    pub last_receiver: Latency,
}

impl RoomCounts {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.complete += other.complete;
        self.delivered += other.delivered;
        self.last_receiver.add(&other.last_receiver);
    }
}

/// What one run measured. Messages are those of the measure phase.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Messages that the plan wanted sent (up to an interrupt).
    pub planned: u64,
    /// Messages that the kernel took.
    pub sent: u64,
    /// Messages that everybody got.
    pub complete: u64,
    /// Messages that nobody got.
    pub unseen: u64,
    /// Copies that should have come: sent messages times receivers.
    pub expected: u64,
    /// Receivers of one message.
    pub receivers: u32,
    /// The part of the measure phase that took place, in ns.
    pub duration_ns: u64,
    /// The same with the warm-up: what the server's processor time belongs to.
    pub sending_ns: u64,
    /// From the beginning of measuring to its end or to the last copy, whichever
    /// is later: what a rate of copies is a rate over. A server that falls
    /// behind delivers long after sending ended.
    pub delivering_ns: u64,
    /// Distinct copies delivered, those of the warm-up included.
    pub copies_with_warmup: u64,
    /// Messages that the kernel took, those of the warm-up included.
    pub sent_with_warmup: u64,
    /// Messages that the kernel handed over at once, on average; 1 without UDP_GRO.
    pub messages_per_datagram: f64,
    /// Messages went out as others were complete, not at planned times.
    pub closed: bool,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Counts of copies.
    pub integrity: Integrity,
    /// Received minus planned time, one value a copy.
    pub delivery: Latency,
    /// Of the last copy, one value a message that came at all.
    pub last_receiver: Latency,
    /// From the first copy to the last, one value a message.
    pub spread: Latency,
    /// Sent minus planned time, one value a message.
    pub lag: Latency,
    /// Position in the fan-out.
    pub positions: Positions,
    /// Room by room, where there are several; else none.
    pub rooms: Vec<RoomCounts>,
    /// Every client's tail, by member.
    pub clients: Vec<ClientTail>,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// The receiving threads.
    pub threads: Vec<ThreadLoad>,
    /// The first error of sending.
    pub send_error: Option<String>,
}

impl Measurement {
    /// Takes another run of the same workload in; of each client the worse tail stays.
    pub fn pool(&mut self, other: &Self) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.complete += other.complete;
        self.unseen += other.unseen;
        self.expected += other.expected;
        self.duration_ns += other.duration_ns;
        self.sending_ns += other.sending_ns;
        self.delivering_ns += other.delivering_ns;
        self.copies_with_warmup += other.copies_with_warmup;
        self.sent_with_warmup += other.sent_with_warmup;
        self.messages_per_datagram = self.messages_per_datagram.max(other.messages_per_datagram);
        self.interrupted |= other.interrupted;
        self.integrity.add(&other.integrity);
        self.delivery.add(&other.delivery);
        self.last_receiver.add(&other.last_receiver);
        self.spread.add(&other.spread);
        self.lag.add(&other.lag);
        self.positions.add(&other.positions);
        self.rooms.iter_mut().zip(&other.rooms).for_each(|(room, more)| room.add(more));
        for (client, more) in self.clients.iter_mut().zip(&other.clients) {
            client.copies += more.copies;
            client.p99_ns = client.p99_ns.max(more.p99_ns);
        }
        let next = self.seconds.last().map_or(0, |second| second.second + 1);
        self.seconds
            .extend(other.seconds.iter().map(|second| Second { second: next + second.second, ..second.clone() }));
        for (thread, more) in self.threads.iter_mut().zip(&other.threads) {
            thread.add(more);
        }
        self.send_error = self.send_error.take().or_else(|| other.send_error.clone());
    }

    /// Copies that did not come.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.integrity.delivered)
    }

    /// The copies in what the kernel counts as `drops`: to it a train is one.
    pub fn copies_in(&self, drops: u64) -> u64 {
        (drops as f64 * self.messages_per_datagram).round() as u64
    }

    /// Lost copies as a share of those expected.
    pub fn loss(&self) -> f64 {
        if self.expected == 0 { 0.0 } else { self.lost() as f64 / self.expected as f64 }
    }

    /// Distinct copies delivered per second.
    pub fn copies_per_second(&self) -> f64 {
        self.integrity.delivered as f64 / (self.delivering_ns.max(1) as f64 / 1e9)
    }

    /// Warm-up, measuring and what of the drain was needed, in ns: what the
    /// server's processor time was used in.
    pub fn busy_ns(&self) -> u64 {
        self.sending_ns - self.duration_ns + self.delivering_ns
    }
}

/// The plan as it was followed: in closed loop the times are those of sending.
pub(super) fn followed<'a>(plan: &'a Plan, settings: &Settings, sent: &[Sent]) -> Cow<'a, Plan> {
    match sent {
        [closed] if settings.in_flight.is_some() => {
            let timed = plan.slots.iter().zip(&closed.times).map(|(slot, at)| Slot { at: *at, ..*slot });
            Cow::Owned(Plan { slots: timed.collect(), measured_from: closed.measured_from, ..*plan })
        }
        _ => Cow::Borrowed(plan),
    }
}

pub(super) fn merge(
    plan: &Plan,
    settings: &Settings,
    board: &Board,
    start: u64,
    sent: Vec<Sent>,
    received: Vec<Received>,
    mut collector: Collector,
) -> Measurement {
    collector.finish();
    let sending = Sending::merge(plan, sent);
    let mut result = Measurement {
        planned: 0,
        sent: 0,
        complete: 0,
        unseen: 0,
        expected: 0,
        receivers: board.expected(),
        duration_ns: sending.until_ns.saturating_sub(plan.warmup_ns),
        sending_ns: sending.until_ns,
        delivering_ns: sending.until_ns.saturating_sub(plan.warmup_ns),
        copies_with_warmup: (0..plan.slots.len()).map(|index| u64::from(board.copies(index))).sum(),
        sent_with_warmup: board.sent(),
        messages_per_datagram: board.messages_per_datagram(),
        closed: settings.in_flight.is_some(),
        interrupted: sending.until_ns < plan.end_ns,
        integrity: Integrity::default(),
        delivery: std::mem::take(&mut collector.total),
        last_receiver: Latency::default(),
        spread: Latency::default(),
        lag: sending.lag,
        positions: Positions::new(board.expected()),
        rooms: rooms_of(settings),
        clients: Vec::new(),
        seconds: Vec::new(),
        threads: Vec::new(),
        send_error: sending.error,
    };
    let times = arrival_times(plan.slots.len(), &received);
    let last = times[plan.measured_from..].iter().map(|(_, last)| *last).max().unwrap_or(0);
    result.delivering_ns = result.delivering_ns.max(last.saturating_sub(start + plan.warmup_ns));
    for (index, slot) in plan.slots.iter().enumerate().skip(plan.measured_from) {
        if slot.at > sending.until_ns {
            break;
        }
        result.planned += 1;
        let sent = sending.failed.binary_search(&(index as u32)).is_err();
        collector.count_message(slot.at - plan.warmup_ns.min(slot.at), sent);
        if sent {
            result.sent += 1;
            count_message(&mut result, board.copies(index), start + slot.at, times[index]);
            count_in_room(&mut result, settings, slot, board.copies(index), start, times[index].1);
        }
    }
    result.seconds = collector.seconds;
    result.expected = result.sent * u64::from(result.receivers);
    received.into_iter().for_each(|thread| add_thread(&mut result, settings, thread));
    result.clients.sort_by_key(|client| client.member);
    result
}

/// What the sending threads did, together.
struct Sending {
    lag: Latency,
    failed: Vec<u32>,
    error: Option<String>,
    until_ns: u64,
}

impl Sending {
    fn merge(plan: &Plan, sent: Vec<Sent>) -> Self {
        let mut all = Self { lag: Latency::default(), failed: Vec::new(), error: None, until_ns: plan.end_ns };
        all.until_ns = sent.iter().map(|sent| sent.until_ns).min().unwrap_or(plan.end_ns);
        for sent in sent {
            all.lag.add(&sent.lag);
            all.failed.extend(sent.failed);
            all.error = all.error.or(sent.error);
        }
        all.failed.sort_unstable();
        all
    }
}

/// First and last arrival of each message over all threads.
fn arrival_times(messages: usize, received: &[Received]) -> Vec<(u64, u64)> {
    let mut times = vec![(u64::MAX, 0); messages];
    for thread in received {
        for (time, (first, last)) in times.iter_mut().zip(thread.first.iter().zip(&thread.last)) {
            *time = (time.0.min(*first), time.1.max(*last));
        }
    }
    times
}

fn count_message(result: &mut Measurement, copies: u32, planned: u64, (first, last): (u64, u64)) {
    if copies == 0 {
        result.unseen += 1;
        return;
    }
    result.complete += u64::from(copies >= result.receivers);
    result.last_receiver.record(last.saturating_sub(planned));
    result.spread.record(last.saturating_sub(first));
}

/// One for each room; a single one is told by the rest.
fn rooms_of(settings: &Settings) -> Vec<RoomCounts> {
    let rooms = settings.rooms.count();
    vec![RoomCounts::default(); if rooms > 1 { rooms as usize } else { 0 }]
}

fn count_in_room(result: &mut Measurement, settings: &Settings, slot: &Slot, copies: u32, start: u64, last: u64) {
    let room = settings.rooms.of(sender_member(slot.sender, settings.senders, settings.counted));
    let Some(room) = result.rooms.get_mut(room as usize) else { return };
    room.sent += 1;
    room.delivered += u64::from(copies);
    room.complete += u64::from(copies >= result.receivers);
    if copies > 0 {
        room.last_receiver.record(last.saturating_sub(start + slot.at));
    }
}

fn add_thread(result: &mut Measurement, settings: &Settings, thread: Received) {
    result.integrity.add(&thread.integrity);
    result.positions.add(&thread.positions);
    result.threads.push(thread.load);
    for (own, client) in thread.clients.iter().enumerate() {
        let member = thread.thread + own as u32 * settings.rx_threads;
        result.clients.push(ClientTail { member, copies: client.len(), p99_ns: client.value_at_quantile(0.99) });
    }
}
