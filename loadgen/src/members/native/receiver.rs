//! One thread's native members: what their datagrams and their deadlines do.
//! A pass is what the kernel has, then what is due, then what is to be sent.

use super::Crowd;
use super::deadlines::Deadlines;
use super::member::Member;
use crate::clock::Clock;
use crate::members::{Receiver, Sink, Taken};
use outcry::Time;
use outcry::client::DATAGRAM_BYTES;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What the kernel's waiting is exact to.
const TICK: Duration = Duration::from_millis(1);

/// Drives the members `thread`, `thread + threads`, ...
pub(super) struct Driver {
    wire: Box<dyn Receiver>,
    crowd: Arc<Crowd>,
    agenda: Agenda,
}

/// What a thread has to do with whom, and when.
struct Agenda {
    thread: u32,
    threads: u32,
    deadlines: Deadlines,
    /// Members that took something in during this pass, each once.
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    notes: Vec<u32>,
    datagram: Box<[u8; DATAGRAM_BYTES]>,
    /// What the clients' clock is ahead of the run's, in ns.
    ahead: i64,
}

impl Driver {
    /// Members at or above `reading` are left alone.
    pub(super) fn new(
        wire: Box<dyn Receiver>,
        crowd: Arc<Crowd>,
        clock: Clock,
        (thread, threads): (u32, u32),
        reading: u32,
    ) -> Self {
        let own: Vec<u32> = (thread..reading).step_by(threads as usize).collect();
        let mut agenda = Agenda {
            deadlines: Deadlines::new(own.len() as u32),
            touched: Vec::with_capacity(own.len()),
            is_touched: vec![false; own.len()],
            notes: Vec::with_capacity(own.len()),
            datagram: Box::new([0; DATAGRAM_BYTES]),
            ahead: crowd.clock.now() as i64 - clock.now() as i64,
            thread,
            threads,
        };
        agenda.begin(&crowd, &own);
        Self { wire, crowd, agenda }
    }
}

impl Receiver for Driver {
    fn receive(&mut self, wait: Duration, sink: &mut dyn Sink) -> io::Result<Taken> {
        let Self { wire, crowd, agenda } = self;
        let wait = agenda.wait_at_most(crowd, wait);
        let mut intake = Intake { crowd, agenda, sink, entries: 0 };
        let taken = wire.receive(wait, &mut intake)?;
        let entries = intake.entries;
        agenda.read_notes(crowd);
        let due = agenda.do_what_is_due(crowd, sink);
        agenda.send_what_follows(crowd, sink);
        Ok(Taken { messages: entries + due, ..taken })
    }
}

/// Takes datagrams and hands over messages.
struct Intake<'a> {
    crowd: &'a Crowd,
    agenda: &'a mut Agenda,
    sink: &'a mut dyn Sink,
    entries: u64,
}

impl Sink for Intake<'_> {
    fn take(&mut self, number: u32, now: u64, bytes: &[u8]) {
        let mut member = self.crowd.member(number);
        member.take(self.agenda.client_time(now), bytes);
        // A datagram without entries is one message of the relay's own.
        self.entries += hand_over(self.crowd, number, &mut member, now, self.sink).max(1);
        self.agenda.touch(number);
    }

    fn refused(&mut self, member: u32) {
        self.sink.refused(member);
    }
}

/// Tells of a member, and remembers why it has ended if it has. Returns the entries told.
fn hand_over(crowd: &Crowd, number: u32, member: &mut Member, at: u64, sink: &mut dyn Sink) -> u64 {
    let (entries, complaint) = member.tell(number, at, sink);
    complaint.into_iter().for_each(|complaint| crowd.complain(complaint));
    entries
}

impl Agenda {
    /// Looks at everybody once: nobody did since the thread before this one ended.
    fn begin(&mut self, crowd: &Crowd, own: &[u32]) {
        let mut noted = super::lock(&crowd.notes[self.thread as usize].members);
        noted.clear();
        noted.reserve(own.len());
        drop(noted);
        for number in own {
            let mut member = crowd.member(*number);
            member.noted = false;
            self.schedule(*number, &mut member);
        }
    }

    fn client_time(&self, now: u64) -> Time {
        Time::new(now.saturating_add_signed(self.ahead), 0)
    }

    fn key(&self, number: u32) -> u32 {
        (number - self.thread) / self.threads
    }

    fn schedule(&mut self, number: u32, member: &mut Member) {
        member.scheduled = member.due();
        self.deadlines.set(self.key(number), member.scheduled);
    }

    fn touch(&mut self, number: u32) {
        let key = self.key(number) as usize;
        if !std::mem::replace(&mut self.is_touched[key], true) {
            self.touched.push(number);
        }
    }

    /// Until the next deadline, in whole ticks: a wait of less would not be one.
    fn wait_at_most(&self, crowd: &Crowd, wait: Duration) -> Duration {
        let left = Duration::from_nanos(self.deadlines.next().saturating_sub(crowd.clock.now()));
        let ticks = left.as_nanos().div_ceil(TICK.as_nanos());
        u32::try_from(ticks).map_or(wait, |ticks| wait.min(TICK * ticks))
    }

    /// Learns of deadlines that other threads have made earlier.
    fn read_notes(&mut self, crowd: &Crowd) {
        let notes = &crowd.notes[self.thread as usize];
        if !notes.any.swap(false, Relaxed) {
            return;
        }
        std::mem::swap(&mut *super::lock(&notes.members), &mut self.notes);
        while let Some(number) = self.notes.pop() {
            let mut member = crowd.member(number);
            member.noted = false;
            // One that is set aside and not read keeps its deadlines to itself.
            if self.key(number) < self.is_touched.len() as u32 {
                self.schedule(number, &mut member);
            }
        }
    }

    /// Returns the entries that were handed over by it.
    fn do_what_is_due(&mut self, crowd: &Crowd, sink: &mut dyn Sink) -> u64 {
        let now = crowd.now();
        let mut entries = 0;
        while let Some(key) = self.deadlines.due_by(now.nanos()) {
            let number = self.thread + key * self.threads;
            let mut member = crowd.member(number);
            // The time that was known may have moved on meanwhile.
            if member.due() > now.nanos() {
                self.schedule(number, &mut member);
                continue;
            }
            member.do_what_is_due(now);
            entries += hand_over(crowd, number, &mut member, now.nanos().saturating_add_signed(-self.ahead), sink);
            self.flush(crowd, number, &mut member, now, sink);
            // What is due again at once waits for the next pass, so that a pass ends.
            member.scheduled = member.due().max(now.nanos() + 1);
            self.deadlines.set(key, member.scheduled);
        }
        entries
    }

    fn send_what_follows(&mut self, crowd: &Crowd, sink: &mut dyn Sink) {
        let now = crowd.now();
        while let Some(number) = self.touched.pop() {
            let key = self.key(number) as usize;
            self.is_touched[key] = false;
            let mut member = crowd.member(number);
            self.flush(crowd, number, &mut member, now, sink);
            // One that moved on is found when its old time comes: most do with every datagram.
            if member.due() < member.scheduled {
                self.schedule(number, &mut member);
            }
        }
    }

    fn flush(&mut self, crowd: &Crowd, number: u32, member: &mut Member, now: Time, sink: &mut dyn Sink) {
        if !crowd.flush(number, member, now, &mut self.datagram) {
            sink.refused(number);
        }
    }
}
