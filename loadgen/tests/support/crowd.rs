//! Native members of a test, driven by a thread, with a log of what each of
//! them was told; and the checks of that log (I1 to I6 of the promises).

use super::relay::Served;
use loadgen::clock::Clock;
use loadgen::members::native::Native;
use loadgen::members::{NativeFigures, Options, Sink, Sockets, Transport, Venue};
use loadgen::payload::{self, Content, Phase, Stamp};
use outcry::client::{Event, MemberId, Seq, Sseq};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const RUN: u32 = 77;
/// Only keeps a failure from hanging.
const HANG: Duration = Duration::from_secs(120);

/// Looks again and again until it is so; false when that takes for ever.
pub(crate) fn until(look: impl Fn() -> bool) -> bool {
    let clock = Clock::start();
    while clock.now() < HANG.as_nanos() as u64 {
        if look() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// A message as a member was told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub seq: Seq,
    pub author: MemberId,
    pub sseq: Sseq,
    pub payload: Vec<u8>,
    pub mine: bool,
}

impl Heard {
    fn stamp(&self) -> Stamp {
        match payload::decode(&self.payload) {
            Content::Stamped(stamp) => stamp,
            other => panic!("I1: something was delivered that nobody sent: {other:?}"),
        }
    }
}

/// What one member was told, in order.
#[derive(Default)]
pub(crate) struct Log {
    pub heard: Vec<Heard>,
    /// Numbers accounted for, presence included, in the order they were told.
    pub told: Vec<Seq>,
    pub gaps: Vec<(Seq, Seq)>,
    pub not_sent: usize,
    pub joined: usize,
    pub sessions: usize,
}

impl Log {
    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Message(message) => {
                self.told.push(message.seq);
                self.heard.push(Heard {
                    seq: message.seq,
                    author: message.member,
                    sseq: message.sseq,
                    payload: message.payload.to_vec(),
                    mine: message.mine,
                });
            }
            Event::Presence(presence) => self.told.push(presence.seq),
            Event::Gap { from, to, .. } => self.gaps.push((*from, *to)),
            Event::NotSent { .. } => self.not_sent += 1,
            Event::Joined { .. } => self.joined += 1,
            Event::Connected { .. } => self.sessions += 1,
            _ => {}
        }
    }
}

struct Writer(Arc<Vec<Mutex<Log>>>, Arc<AtomicUsize>);

impl Sink for Writer {
    fn take(&mut self, _: u32, _: u64, _: &[u8]) {}

    fn event(&mut self, member: u32, _: u64, event: &Event<'_>) {
        if matches!(event, Event::Message(_)) {
            self.1.fetch_add(1, Relaxed);
        }
        self.0[member as usize].lock().unwrap().take(event);
    }
}

/// Members that are driven until this is dropped.
pub(crate) struct Crowd {
    pub native: Arc<Native>,
    pub logs: Arc<Vec<Mutex<Log>>>,
    /// Messages told to all members together.
    told: Arc<AtomicUsize>,
    pub sent: Vec<Vec<u8>>,
    seqs: Vec<u32>,
    stop: Arc<AtomicBool>,
    driver: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Members towards `target` that have not asked to be let in yet.
    pub(crate) fn towards(target: SocketAddr, members: u32) -> Self {
        let wire = Sockets::PerClient.open(target, members, Options { receive_buffer: Some(1 << 20), gro: false });
        let native = Arc::new(Native::new(wire.unwrap(), &Venue::default()));
        let logs: Arc<Vec<Mutex<Log>>> = Arc::new((0..members).map(|_| Mutex::default()).collect());
        let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (driven, writer, stopped) = (native.clone(), Writer(logs.clone(), told.clone()), stop.clone());
        let driver = std::thread::spawn(move || {
            let (mut receiver, mut writer) = (driven.receiver(0, 1, u32::MAX, Clock::start()).unwrap(), writer);
            while !stopped.load(Relaxed) {
                receiver.receive(Duration::from_millis(10), &mut writer).unwrap();
            }
        });
        let seqs = vec![0; members as usize];
        Self { native, logs, told, sent: Vec::new(), seqs, stop, driver: Some(driver) }
    }

    /// The same, and all of them are in.
    pub(crate) fn of(served: &Served, members: u32) -> Self {
        let crowd = Self::towards(served.address(), members);
        crowd.join(0..members);
        assert!(until(|| crowd.joined(0..members) == members as usize), "all come in");
        crowd
    }

    pub(crate) fn join(&self, members: std::ops::Range<u32>) {
        members.for_each(|member| self.native.join(member).unwrap());
    }

    /// How many of them are in.
    pub(crate) fn joined(&self, members: std::ops::Range<u32>) -> usize {
        self.logs[members.start as usize..members.end as usize]
            .iter()
            .filter(|log| log.lock().unwrap().joined > 0)
            .count()
    }

    /// `member` says the next message.
    pub(crate) fn say(&mut self, member: u32) {
        let index = self.sent.len() as u32;
        let seq = &mut self.seqs[member as usize];
        let stamp = Stamp { phase: Phase::Measure, run: RUN, sender: member, seq: *seq, index, planned: 0 };
        *seq += 1;
        let mut message = Vec::new();
        payload::encode(&stamp, &self.native.name(member), 64, &mut message);
        self.native.send(member, &message).unwrap();
        self.sent.push(message);
    }

    /// Says `count` messages, each member in turn, `per_second` of them.
    pub(crate) fn chat(&mut self, count: usize, per_second: f64) {
        let clock = Clock::start();
        for number in 0..count {
            clock.wait_until((number as f64 * 1e9 / per_second) as u64, 0);
            let members = self.logs.len();
            self.say((self.sent.len() % members) as u32);
        }
    }

    /// Waits until everybody was told of everything that was said.
    #[track_caller]
    pub(crate) fn settle(&self) {
        let wanted = self.sent.len() * self.logs.len();
        let all_told = until(|| self.told.load(Relaxed) >= wanted);
        let lagging: Vec<_> = self.lagging();
        assert!(
            all_told,
            "{} of {wanted} copies came; {:?}; lagging {lagging:?}",
            self.told.load(Relaxed),
            self.figures()
        );
        assert!(until(|| self.figures().open == 0), "every sender learns what became of its messages");
    }

    /// Who was not told of everything: member, messages, the newest number, sessions, gaps.
    fn lagging(&self) -> Vec<(usize, usize, u64, usize, usize)> {
        let of = |(member, log): (usize, &Mutex<Log>)| {
            let log = log.lock().unwrap();
            let newest = log.told.last().map_or(0, |seq| seq.0);
            (log.heard.len() < self.sent.len()).then_some((
                member,
                log.heard.len(),
                newest,
                log.sessions,
                log.gaps.len(),
            ))
        };
        self.logs.iter().enumerate().filter_map(of).collect()
    }

    pub(crate) fn figures(&self) -> NativeFigures {
        self.native.native().unwrap()
    }

    /// Places of the messages that a sender knows to be entered: it was told of its own.
    pub(crate) fn acknowledged(&self) -> HashSet<u32> {
        let own = |log: &Mutex<Log>| -> Vec<u32> {
            let log = log.lock().unwrap();
            log.heard.iter().filter(|heard| heard.mine).map(|heard| heard.stamp().index).collect()
        };
        self.logs.iter().flat_map(own).collect()
    }

    /// Places of the messages that `member` was told of.
    pub(crate) fn heard_by(&self, member: usize) -> HashSet<u32> {
        self.logs[member].lock().unwrap().heard.iter().map(|heard| heard.stamp().index).collect()
    }

    /// I1 to I6, at rest, within one epoch.
    #[track_caller]
    pub(crate) fn check(&self) {
        let mut by_seq: HashMap<Seq, Heard> = HashMap::new();
        let mut by_number: HashMap<(MemberId, Sseq), Seq> = HashMap::new();
        let mut heads = HashSet::new();
        for (member, log) in self.logs.iter().enumerate() {
            let log = log.lock().unwrap();
            assert!(log.told.is_sorted_by(|one, next| one < next), "I2: u{member} is told each number once, in order");
            heads.insert(log.told.last().copied());
            assert_eq!(log.gaps, [], "I5: nothing that was accepted is lost to u{member}");
            let holes = log.told.windows(2).filter(|pair| pair[0].0 + 1 != pair[1].0).count();
            assert_eq!(holes, 0, "I6: u{member} knows of every number");
            self.check_messages(member, &log, &mut by_seq, &mut by_number);
        }
        assert_eq!(heads.len(), 1, "I6: everybody is at the head: {heads:?}");
        assert_eq!(by_seq.len(), self.sent.len());
    }

    fn check_messages(
        &self,
        member: usize,
        log: &Log,
        by_seq: &mut HashMap<Seq, Heard>,
        by_number: &mut HashMap<(MemberId, Sseq), Seq>,
    ) {
        let mut newest: HashMap<u32, u32> = HashMap::new();
        for heard in &log.heard {
            let stamp = heard.stamp();
            assert!(stamp.run == RUN && self.sent[stamp.index as usize] == heard.payload, "I1: it was sent");
            let number = *by_number.entry((heard.author, heard.sseq)).or_insert(heard.seq);
            assert_eq!(number, heard.seq, "I2: each message has one number");
            let same = by_seq.entry(heard.seq).or_insert_with(|| heard.clone());
            assert_eq!(same.payload, heard.payload, "I3: the same number is the same message for all");
            let before = newest.insert(stamp.sender, stamp.seq);
            assert!(before.is_none_or(|before| before < stamp.seq), "I4: u{member} hears each sender in its order");
        }
        assert_eq!(log.heard.len(), self.sent.len(), "every message reaches u{member}");
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.driver.take().map(JoinHandle::join);
    }
}
