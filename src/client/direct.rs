//! Owns private messages, both ways: one on its way per target, repeated until
//! it is confirmed; what came before is told apart from what is new. Never
//! knows a name.

use super::event::{DirectOutcome, Event, Events, Ticket};
use super::options::{DIRECTS_MAX, Unfit};
use super::rtt::Rtt;
use crate::Time;
use crate::wire::header::{DirectStatus, EntryKind};
use crate::wire::id::{Dseq, MemberId};
use crate::wire::uplink::Frame;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long a private message is repeated.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);
/// Senders of whom the newest number is remembered.
const SENDERS_MAX: usize = 1024;
/// Confirmations that wait to be sent; the sender of one that finds no place repeats.
const ACKS_MAX: usize = 64;

/// A private message on its way.
#[derive(Debug)]
struct Outgoing {
    ticket: Ticket,
    to: MemberId,
    kind: EntryKind,
    payload: Box<[u8]>,
    queued_at: Time,
    /// Its number, once it is on its way.
    number: Option<Dseq>,
    first_sent: Time,
    /// Times that it was sent.
    sent: u32,
    due: Time,
}

/// What became of one that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    /// It came before.
    Known,
    /// A newer one came before.
    Old,
}

/// All of this client's private messages.
#[derive(Debug)]
pub(super) struct Directs {
    out: Vec<Outgoing>,
    next: u32,
    /// The newest number of each sender, and when it was used last.
    heard: BTreeMap<MemberId, (Dseq, u64)>,
    uses: u64,
    acks: VecDeque<(MemberId, Dseq)>,
}

impl Directs {
    pub(super) fn new() -> Self {
        Self { out: Vec::new(), next: 1, heard: BTreeMap::new(), uses: 0, acks: VecDeque::new() }
    }

    /// Takes a message over.
    pub(super) fn push(
        &mut self,
        now: Time,
        ticket: Ticket,
        to: MemberId,
        kind: EntryKind,
        payload: &[u8],
    ) -> Result<(), Unfit> {
        if self.out.len() >= DIRECTS_MAX {
            return Err(Unfit::Full);
        }
        let payload = payload.into();
        let (queued_at, first_sent, due) = (now, now, now);
        self.out.push(Outgoing { ticket, to, kind, payload, queued_at, number: None, first_sent, sent: 0, due });
        Ok(())
    }

    // ---- out ---------------------------------------------------------------------

    /// Writes what is due through `push`, until something does not fit: `None`.
    pub(super) fn write(&mut self, now: Time, rtt: &Rtt, mut push: impl FnMut(&Frame<'_>) -> bool) -> Option<()> {
        while let Some(&(to, dseq)) = self.acks.front() {
            push(&Frame::DirectAck { to, dseq }).then_some(())?;
            self.acks.pop_front();
        }
        while let Some(at) = (0..self.out.len()).find(|&at| self.out[at].due <= now && self.is_first(at)) {
            let outgoing = &mut self.out[at];
            let number = outgoing.number.unwrap_or(Dseq(self.next));
            let Outgoing { to, kind, ref payload, .. } = *outgoing;
            push(&Frame::Direct { to, dseq: number, kind, payload }).then_some(())?;
            if outgoing.number.replace(number).is_none() {
                self.next = self.next.wrapping_add(1);
                outgoing.first_sent = now;
            }
            outgoing.due = now + rtt.timeout(outgoing.sent);
            outgoing.sent += 1;
        }
        Some(())
    }

    /// Whether no earlier one goes to the same target.
    fn is_first(&self, at: usize) -> bool {
        self.out[..at].iter().all(|earlier| earlier.to != self.out[at].to)
    }

    /// When something must be sent, or is given up.
    pub(super) fn due(&self, has_session: bool) -> Option<Time> {
        let on_its_way = |at: &usize| self.is_first(*at) && (has_session || self.out[*at].number.is_some());
        let times = (0..self.out.len()).filter(on_its_way).map(|at| {
            let outgoing = &self.out[at];
            let end = outgoing.first_sent + GIVEN_UP_AFTER;
            if !has_session { end } else { outgoing.number.map_or(outgoing.due, |_| end.min(outgoing.due)) }
        });
        times.min()
    }

    /// Gives up what was repeated for too long.
    pub(super) fn handle_deadline(&mut self, now: Time, events: &mut Events) {
        let is_over = |out: &Outgoing| out.number.is_some() && now.since(out.first_sent) >= GIVEN_UP_AFTER;
        self.end_those(is_over, DirectOutcome::NotConfirmed, events);
    }

    // ---- in ----------------------------------------------------------------------

    /// The relay tells what became of a message.
    pub(super) fn done(
        &mut self,
        now: Time,
        to: MemberId,
        dseq: Dseq,
        status: DirectStatus,
        rtt: &mut Rtt,
        events: &mut Events,
    ) {
        let is_it = |out: &Outgoing| out.to == to && out.number == Some(dseq);
        if let Some(outgoing) = self.out.iter().find(|out| is_it(out))
            && outgoing.sent == 1
        {
            rtt.sample(now.since(outgoing.first_sent));
        }
        self.end_those(is_it, DirectOutcome::Answered(status), events);
    }

    /// A message came; unless it is old its sender is told so.
    pub(super) fn arrive(&mut self, from: MemberId, dseq: Dseq) -> Arrival {
        self.uses += 1;
        let arrival = match self.heard.get(&from) {
            Some((newest, _)) if dseq < *newest => return Arrival::Old,
            Some((newest, _)) if dseq == *newest => Arrival::Known,
            _ => Arrival::New,
        };
        if self.heard.len() >= SENDERS_MAX && !self.heard.contains_key(&from) {
            let longest_ago = self.heard.iter().min_by_key(|(_, (_, used))| *used).map(|(sender, _)| *sender);
            longest_ago.map(|sender| self.heard.remove(&sender));
        }
        self.heard.insert(from, (dseq, self.uses));
        if self.acks.len() < ACKS_MAX && !self.acks.contains(&(from, dseq)) {
            self.acks.push_back((from, dseq));
        }
        arrival
    }

    // ---- ends ----------------------------------------------------------------------

    /// There is a new session: what is open goes out there, but for what is too old.
    pub(super) fn resume(&mut self, now: Time, events: &mut Events) {
        let is_old = |out: &Outgoing| out.number.is_none() && now.since(out.queued_at) >= GIVEN_UP_AFTER;
        self.end_those(is_old, DirectOutcome::NotConfirmed, events);
        self.out.iter_mut().for_each(|out| out.due = now);
    }

    /// The relay's members are others.
    pub(super) fn forget(&mut self, events: &mut Events) {
        self.end_those(|_| true, DirectOutcome::NewEpoch, events);
        self.heard.clear();
        self.acks.clear();
    }

    /// The client closes.
    pub(super) fn end(&mut self, events: &mut Events) {
        self.end_those(|_| true, DirectOutcome::Ended, events);
        self.acks.clear();
    }

    fn end_those(&mut self, which: impl Fn(&Outgoing) -> bool, outcome: DirectOutcome, events: &mut Events) {
        self.out.retain(|out| {
            let ends = which(out);
            if ends {
                events.push(Event::DirectDone { ticket: out.ticket, to: out.to, outcome });
            }
            !ends
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: MemberId = MemberId(7);

    fn ms(ms: u64) -> Time {
        Time::new(ms * 1_000_000, 0)
    }

    fn written(directs: &mut Directs, now: Time) -> Vec<(u32, u32, Vec<u8>)> {
        let mut frames = Vec::new();
        let whole = directs.write(now, &Rtt::default(), |frame| {
            if let Frame::Direct { to, dseq, payload, .. } = *frame {
                frames.push((to.0, dseq.0, payload.to_vec()));
            }
            true
        });
        assert!(whole.is_some());
        frames
    }

    fn ended(events: &mut Events) -> Vec<(u64, DirectOutcome)> {
        std::iter::from_fn(|| match events.poll()? {
            Event::DirectDone { ticket, outcome, .. } => Some((ticket.0, outcome)),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    fn with(to: &[u32]) -> Directs {
        let mut directs = Directs::new();
        for (n, to) in to.iter().enumerate() {
            directs.push(ms(0), Ticket(n as u64), MemberId(*to), EntryKind::TEXT, b"x").unwrap();
        }
        directs
    }

    #[test]
    fn one_per_target_and_the_numbers_rise_over_all() {
        let (mut directs, mut events, mut rtt) = (with(&[7, 7, 8]), Events::default(), Rtt::default());
        let numbers = |frames: Vec<(u32, u32, Vec<u8>)>| frames.iter().map(|f| (f.0, f.1)).collect::<Vec<_>>();
        assert_eq!(numbers(written(&mut directs, ms(0))), [(7, 1), (8, 2)]);
        directs.done(ms(5), BOB, Dseq(9), DirectStatus::Delivered, &mut rtt, &mut events);
        directs.done(ms(5), MemberId(9), Dseq(1), DirectStatus::Delivered, &mut rtt, &mut events);
        assert_eq!(ended(&mut events), []);
        directs.done(ms(5), BOB, Dseq(1), DirectStatus::Delivered, &mut rtt, &mut events);
        assert_eq!(ended(&mut events), [(0, DirectOutcome::Answered(DirectStatus::Delivered))]);
        assert_eq!(numbers(written(&mut directs, ms(5))), [(7, 3)]);
    }

    #[test]
    fn it_is_repeated_with_its_number_for_thirty_seconds() {
        let (mut directs, mut events) = (with(&[7]), Events::default());
        let mut times = Vec::new();
        for at in (0..40_000).step_by(500) {
            directs.handle_deadline(ms(at), &mut events);
            times.extend(written(&mut directs, ms(at)).iter().map(|(_, number, _)| (at, *number)));
        }
        let after = [0, 1000, 3000, 7000, 11_000, 15_000, 19_000, 23_000, 27_000];
        assert_eq!(times, after.map(|at| (at, 1)));
        assert_eq!(ended(&mut events), [(0, DirectOutcome::NotConfirmed)]);
        assert_eq!(directs.due(true), None);
    }

    #[test]
    fn what_came_before_is_confirmed_again_and_what_is_older_is_not() {
        let mut directs = Directs::new();
        let arrivals = [5, 5, 4, 6].map(|n| directs.arrive(BOB, Dseq(n)));
        assert_eq!(arrivals, [Arrival::New, Arrival::Known, Arrival::Old, Arrival::New]);
        let mut acks = Vec::new();
        directs.write(ms(0), &Rtt::default(), |frame| {
            acks.push(format!("{frame:?}"));
            true
        });
        assert_eq!(acks.len(), 2, "{acks:?}");
    }

    #[test]
    fn the_last_thousand_senders_are_remembered() {
        let mut directs = Directs::new();
        (0..SENDERS_MAX as u32).for_each(|from| _ = directs.arrive(MemberId(from), Dseq(1)));
        assert_eq!(directs.arrive(MemberId(0), Dseq(1)), Arrival::Known);
        assert_eq!(directs.arrive(MemberId(5000), Dseq(1)), Arrival::New);
        assert_eq!(directs.arrive(MemberId(0), Dseq(1)), Arrival::Known, "used lately");
        assert_eq!(directs.arrive(MemberId(1), Dseq(1)), Arrival::New, "forgotten");
        assert_eq!((directs.heard.len(), directs.acks.len()), (SENDERS_MAX, ACKS_MAX));
    }

    #[test]
    fn a_new_epoch_ends_all_and_a_new_session_repeats_at_once() {
        let (mut directs, mut events) = (with(&[7, 8]), Events::default());
        written(&mut directs, ms(0));
        directs.resume(ms(10), &mut events);
        assert_eq!(written(&mut directs, ms(10)).len(), 2);
        directs.forget(&mut events);
        assert_eq!(ended(&mut events), [(0, DirectOutcome::NewEpoch), (1, DirectOutcome::NewEpoch)]);
    }

    #[test]
    fn there_is_a_limit() {
        let mut directs = with(&vec![7; DIRECTS_MAX]);
        assert_eq!(directs.push(ms(0), Ticket(0), BOB, EntryKind::TEXT, b""), Err(Unfit::Full));
    }
}
