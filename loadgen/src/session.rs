//! Membership: brings members in, proves that each one hears the others, asks
//! again at the end, and takes them out. A plain relay confirms nothing, so a
//! probe that everybody must receive is the only proof there is.

use crate::clock::Clock;
use crate::machine::{drops, queue::Queue, server};
use crate::members::{Sink, Transport};
use crate::payload::{self, Content, Phase, Stamp};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const NOBODY_LISTENS: &str = "nothing listens at the target (port unreachable); start the server first";

/// Names that are sent together, between two looks at the server's queue.
const GROUP_MAX: usize = 512;
/// Naps while no name is due: a group's worth at least, and short enough that
/// an interrupt is heeded.
const NAP_NS: Range<u64> = 1_000_000..100_000_000;
/// Bytes at the server's socket, kernel overhead included, above which joining
/// waits: 1400 names, the smallest buffer in use holds more.
const WAITING_MAX: u64 = 1 << 20;

/// The longest wait for a probe to reach everybody, in steps of 10 ms.
const WAIT_STEPS: u32 = 3000;

/// How members are brought in.
#[derive(Clone, Copy, Debug)]
pub struct Joining {
    /// Joins per second.
    pub rate: f64,
    /// When to give up, if nobody new was proven for so long.
    pub patience: Duration,
    /// Receiving threads.
    pub rx_threads: u32,
    /// The server on this host: its queue is looked at, so that a storm is as
    /// fast as the server reads and no faster.
    pub watched: Option<SocketAddr>,
    /// The server's process: what a join costs it is told.
    pub server_pid: Option<u32>,
}

/// What joining took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joined {
    /// Until every name was sent once, and read where the server is watched.
    pub sent: Duration,
    /// Until the last member was proven.
    pub elapsed: Duration,
    /// The server's processor time meanwhile, where its process is known.
    pub server_cpu_ns: Option<u64>,
    /// Names sent again because a member did not hear the probe.
    pub repeated: u64,
}

/// The members of one target under one run id.
pub struct Session {
    /// How they reach the target.
    pub transport: Arc<dyn Transport>,
    /// Marks this session's messages.
    pub run: u32,
    clock: Clock,
    round: AtomicU32,
}

/// Who was heard from, shared with the receiving threads of a roll call.
struct Roll {
    proven: Box<[AtomicBool]>,
    count: AtomicU32,
    heard: AtomicU64,
    refused: AtomicBool,
    stop: AtomicBool,
}

impl Roll {
    fn new(members: u32) -> Self {
        Self {
            proven: (0..members).map(|_| AtomicBool::new(false)).collect(),
            count: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }
    }

    fn complete(&self) -> bool {
        self.count.load(Relaxed) as usize == self.proven.len()
    }

    fn missing(&self) -> impl Iterator<Item = u32> {
        let unproven = self.proven.iter().enumerate().filter(|(_, proven)| !proven.load(Relaxed));
        unproven.map(|(member, _)| member as u32)
    }
}

/// One receiving thread's part in a roll call.
struct Listener<'a> {
    roll: &'a Roll,
    transport: &'a dyn Transport,
    run: u32,
    from_round: u32,
    answering: bool,
}

impl Sink for Listener<'_> {
    fn take(&mut self, member: u32, _now: u64, bytes: &[u8]) {
        match payload::decode(bytes) {
            Content::Stamped(stamp) if self.proves(member, &stamp) => {
                let known = self.roll.proven[member as usize].swap(true, Relaxed);
                self.roll.count.fetch_add(u32::from(!known), Relaxed);
            }
            Content::Other if self.answering => drop(self.transport.answer(member, bytes)),
            _ => {}
        }
    }

    fn refused(&mut self, _member: u32) {
        self.roll.refused.store(true, Relaxed);
    }
}

impl Listener<'_> {
    fn proves(&self, member: u32, stamp: &Stamp) -> bool {
        let rooms = self.transport.rooms();
        let is_here = rooms.of(stamp.sender) == rooms.of(member);
        is_here && stamp.phase == Phase::Probe && stamp.run == self.run && stamp.index >= self.from_round
    }
}

impl Session {
    /// A session over `transport`; nobody has joined yet.
    pub fn new(transport: Arc<dyn Transport>, clock: Clock, run: u32) -> Self {
        Self { transport, run, clock, round: AtomicU32::new(0) }
    }

    /// Brings every member in and proves it. `progress` is told how many are
    /// proven. Fails with what to look at when some cannot be brought in.
    pub fn join(
        &self,
        joining: &Joining,
        interrupt: &AtomicBool,
        mut progress: impl FnMut(u32),
    ) -> Result<Joined, String> {
        let began = self.clock.now();
        self.listening(joining.rx_threads, true, |roll| {
            let everybody: Vec<u32> = (0..self.transport.members()).collect();
            let cpu = || joining.server_pid.and_then(|pid| server::sample(pid).ok()).map(|sample| sample.cpu_ns);
            let watch = joining.watched.map(Watched::new);
            let cpu_before = cpu();
            self.send_names(&everybody, joining.rate, watch.as_ref(), interrupt)?;
            watch.iter().for_each(|watch| watch.wait_until(0));
            let sent = Duration::from_nanos(self.clock.now() - began);
            let server_cpu_ns = cpu_before.and_then(|before| Some(cpu()?.saturating_sub(before)));
            let (mut repeated, mut best, mut best_at) = (0, 0, self.clock.now());
            while !roll.complete() {
                self.probe(roll, interrupt)?;
                let count = roll.count.load(Relaxed);
                if count == 0 && roll.refused.load(Relaxed) {
                    return Err(NOBODY_LISTENS.into());
                }
                progress(count);
                if count > best {
                    (best, best_at) = (count, self.clock.now());
                }
                if self.clock.now() - best_at > joining.patience.as_nanos() as u64 {
                    return Err(self.explain_missing(count));
                }
                if !roll.complete() {
                    let missing: Vec<u32> = roll.missing().collect();
                    repeated += missing.len() as u64;
                    self.send_names(&missing, joining.rate, watch.as_ref(), interrupt)?;
                }
            }
            // Notices and repeated names may still be on their way: not into the measurement.
            wait_quiet(roll, 10, WAIT_STEPS, || false);
            Ok(Joined { sent, elapsed: Duration::from_nanos(self.clock.now() - began), server_cpu_ns, repeated })
        })
    }

    /// How many members still hear the others.
    pub fn count_alive(&self, rx_threads: u32) -> Result<u32, String> {
        const ROUNDS: u32 = 3;
        let never = AtomicBool::new(false);
        self.listening(rx_threads, false, |roll| {
            for _ in 0..ROUNDS {
                if !roll.complete() {
                    self.probe(roll, &never)?;
                }
            }
            Ok(roll.count.load(Relaxed))
        })
    }

    /// Takes every member out, at a pace that leaves the target room to follow.
    pub fn leave(&self, rate: f64) {
        const GROUP: u32 = 64;
        let pause = Duration::from_secs_f64(f64::from(GROUP) / rate.max(32_000.0));
        for member in 0..self.transport.members() {
            let _ = self.transport.leave(member);
            if member % GROUP == GROUP - 1 {
                std::thread::sleep(pause);
            }
        }
    }

    /// Runs `work` while the receiving threads keep the roll.
    fn listening<T>(
        &self,
        threads: u32,
        answering: bool,
        work: impl FnOnce(&Roll) -> Result<T, String>,
    ) -> Result<T, String> {
        let roll = Roll::new(self.transport.members());
        let from_round = self.round.load(Relaxed);
        std::thread::scope(|scope| {
            let roll = &roll;
            let listen = |thread| {
                let transport = &*self.transport;
                let mut listener = Listener { roll, transport, run: self.run, from_round, answering };
                let mut receiver = transport.receiver(thread, threads, u32::MAX, self.clock)?;
                while !roll.stop.load(Relaxed) {
                    let taken = receiver.receive(Duration::from_millis(10), &mut listener)?;
                    roll.heard.fetch_add(taken.messages, Relaxed);
                }
                io::Result::Ok(())
            };
            let listeners: Vec<_> = (0..threads).map(|thread| scope.spawn(move || listen(thread))).collect();
            let result = work(roll);
            roll.stop.store(true, Relaxed);
            for listener in listeners {
                let ended = listener.join().map_err(|_| "a thread of the generator panicked".to_string())?;
                ended.map_err(|error| format!("cannot receive: {error}"))?;
            }
            result
        })
    }

    fn send_names(
        &self,
        members: &[u32],
        rate: f64,
        watch: Option<&Watched>,
        interrupt: &AtomicBool,
    ) -> Result<(), String> {
        let (began, mut sent) = (self.clock.now(), 0);
        while sent < members.len() {
            stop_if(interrupt)?;
            let elapsed = self.clock.now() - began;
            let due = (elapsed as f64 * rate / 1e9) as usize + 1;
            let until = due.min(sent + GROUP_MAX).min(members.len());
            if until == sent {
                let next = (sent as f64 * 1e9 / rate) as u64;
                std::thread::sleep(Duration::from_nanos(
                    (next.saturating_sub(elapsed)).clamp(NAP_NS.start, NAP_NS.end),
                ));
                continue;
            }
            if let Some(watch) = watch {
                watch.wait_until(WAITING_MAX);
            }
            self.transport.join_all(&members[sent..until]).map_err(|error| self.explain(&error))?;
            sent = until;
        }
        Ok(())
    }

    /// Two members of each room speak, so that each of them hears the other; then waits
    /// until all have heard, or nothing has come for a while.
    fn probe(&self, roll: &Roll, interrupt: &AtomicBool) -> Result<(), String> {
        wait_quiet(roll, 3, WAIT_STEPS, || false);
        let round = self.round.fetch_add(1, Relaxed);
        for sender in self.transport.rooms().probers(self.transport.members()) {
            let stamp = Stamp { phase: Phase::Probe, run: self.run, sender, seq: round, index: round, planned: 0 };
            let mut message = Vec::new();
            payload::encode(&stamp, &self.transport.name(sender), 0, &mut message);
            self.transport.send(sender, &message).map_err(|error| self.explain(&error))?;
        }
        wait_quiet(roll, 20, WAIT_STEPS, || roll.complete() || interrupt.load(Relaxed));
        stop_if(interrupt)
    }

    fn explain(&self, error: &io::Error) -> String {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            NOBODY_LISTENS.into()
        } else {
            format!("cannot send to the target: {error}{}", self.explain_complaint())
        }
    }

    fn explain_complaint(&self) -> String {
        self.transport.complaint().map_or(String::new(), |said| format!("; the server's answer: {said}"))
    }

    fn explain_missing(&self, proven: u32) -> String {
        let members = self.transport.members();
        let hint = if proven == 0 {
            "nobody hears anybody: is this the right address and protocol, and may these addresses join?"
        } else {
            "look at the server's limits (peers, peers per prefix, join rate) and at its receive buffer"
        };
        format!("only {proven} of {members} members were brought in; {hint}{}", self.explain_complaint())
    }
}

/// The server's queue, as the kernel tells it best.
struct Watched {
    address: SocketAddr,
    queue: Option<Queue>,
}

impl Watched {
    fn new(address: SocketAddr) -> Self {
        Self { address, queue: Queue::at(address) }
    }

    fn waiting(&self) -> u64 {
        let told = self.queue.as_ref().and_then(Queue::waiting_bytes);
        told.unwrap_or_else(|| drops::udp_waiting(self.address.port()))
    }

    /// Waits until no more than `bytes` wait at the server's socket.
    fn wait_until(&self, bytes: u64) {
        const STEP: Duration = Duration::from_micros(100);
        const STEPS: u32 = 50_000;
        for _ in 0..STEPS {
            if self.waiting() <= bytes {
                return;
            }
            std::thread::sleep(STEP);
        }
    }
}

fn stop_if(interrupt: &AtomicBool) -> Result<(), String> {
    if interrupt.load(Relaxed) { Err("interrupted before anything was measured".into()) } else { Ok(()) }
}

/// Waits until `done`, or until nothing was heard for `quiet` steps of 10 ms,
/// or for `most` steps.
fn wait_quiet(roll: &Roll, quiet: u32, most: u32, done: impl Fn() -> bool) {
    let (mut still, mut seen) = (0, roll.heard.load(Relaxed));
    for _ in 0..most {
        if done() || still >= quiet {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
        let heard = roll.heard.load(Relaxed);
        still = if heard == seen { still + 1 } else { 0 };
        seen = heard;
    }
}
