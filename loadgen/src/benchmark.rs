//! What one benchmark is told, what is refused of it, and what follows from it:
//! plan, settings, the members' kind.

use crate::clock;
use crate::lossy::{self, Flaws};
use crate::machine::threads;
use crate::measure::{self, Measurement, Settings, Watch, sender_member};
use crate::members::{Options, Protocol, Sockets, Transport, Venue, limits, plain};
use crate::payload;
use crate::plan::{MESSAGES_MAX, Plan, Workload};
use crate::report::{Setup, Slo};
use crate::rooms::Rooms;
use crate::scenario::{Scenario, Script};
use crate::screen::{Outline, Vitals};
use crate::units::{show_count, show_scaled};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// More copies a second than any target delivers: sizes what a closed loop may send.
const COPIES_PER_SECOND_MAX: f64 = 20e6;

/// A soak is shorter.
const TIME_MAX: Duration = Duration::from_hours(1000);

/// For each of the two ways of sending.
const CALIBRATION: Duration = Duration::from_millis(400);

/// Everything one benchmark is told.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// The server.
    pub target: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// Members in all.
    pub members: u32,
    /// The server was started for this benchmark and ends with it.
    pub own_relay: bool,
    /// How plain members are made.
    pub sockets: Sockets,
    /// What goes on besides.
    pub script: Script,
    /// What is sent.
    pub workload: Workload,
    /// Closed loop: so many messages outstanding; the rate is then the server's.
    pub in_flight: Option<u32>,
    /// How often the measure phase is repeated, each time with the next seed.
    pub runs: u32,
    /// Whether to find out first what the generator can receive.
    pub calibrate: bool,
    /// The sizes as written, for the report.
    pub size_text: String,
    /// How long copies are waited for.
    pub drain: Duration,
    /// What is late.
    pub late: Duration,
    /// Joins per second.
    pub join_rate: f64,
    /// When to give up joining, if nobody new came in for so long.
    pub join_patience: Duration,
    /// Sending threads.
    pub tx_threads: u32,
    /// Receiving threads.
    pub rx_threads: u32,
    /// First core of the generator.
    pub pin: Option<usize>,
    /// How each socket is set up.
    pub options: Options,
    /// Where native members go.
    pub venue: Venue,
    /// What a proxy on the way does to datagrams, if there is to be one.
    pub flaws: Option<Flaws>,
    /// The server's process.
    pub server_pid: Option<u32>,
    /// The server's OpenMetrics page.
    pub server_metrics: Option<String>,
    /// What must hold.
    pub slos: Vec<Slo>,
}

/// Told what a benchmark is doing.
pub trait Progress: Watch {
    /// One line for people.
    fn say(&mut self, line: &str);

    /// So many of all members are proven.
    fn joined(&mut self, _proven: u32, _all: u32) {}

    /// A measurement begins.
    fn begin(&mut self, _outline: &Outline) {}

    /// Whether [`vitals`](Self::vitals) are worth their trouble.
    fn wants_vitals(&self) -> bool {
        false
    }

    /// How things stand, once a second.
    fn vitals(&mut self, _vitals: &Vitals) {}
}

impl Benchmark {
    /// Refuses what cannot be measured, with what would be right.
    pub fn validate(&self) -> Result<(), String> {
        let workload = &self.workload;
        let needed = plain::name(self.members.saturating_sub(1)).len() + payload::OVERHEAD_BYTES;
        let refused = self.protocol.refuses(self.sockets, self.options.gro, self.members, self.rx_threads);
        let pin = threads::refuses(self.pin);
        let wrong = [
            (pin.is_some(), pin.unwrap_or_default()),
            (self.members < 2, "--clients must be at least 2: one speaks, one hears".into()),
            (
                self.counted() < 2,
                "fewer than 2 members are left to measure: lower --aside, or take more --clients".into(),
            ),
            (
                !(1..=self.counted()).contains(&workload.senders),
                format!("--senders must be 1 to {} (--clients, less those set aside)", self.counted()),
            ),
            (
                self.script.scenario == Scenario::Stall && self.server_pid.is_none(),
                "--scenario stall needs --server-pid: that process is stopped".into(),
            ),
            (refused.is_some(), refused.unwrap_or_default()),
            self.wrong_rooms(),
            self.wrong_path(),
            (workload.rate <= 0.0, "--rate must be above 0".into()),
            (self.join_rate <= 0.0, "--join-rate must be above 0".into()),
            (workload.duration.is_zero(), "--duration must be above 0".into()),
            (
                [workload.duration, workload.warmup, self.drain, self.late].iter().any(|time| *time > TIME_MAX),
                "--duration, --warmup, --drain and --late must be at most 1000h".into(),
            ),
            (!(1..=1000).contains(&self.runs), "--runs must be 1 to 1000".into()),
            (
                !(1..=64).contains(&self.rx_threads) || !(1..=64).contains(&self.tx_threads),
                "--tx-threads and --rx-threads must be 1 to 64".into(),
            ),
            (self.in_flight.is_some_and(|depth| !(1..=4096).contains(&depth)), "--in-flight must be 1 to 4096".into()),
            (
                self.in_flight.is_some() && self.tx_threads > 1,
                "--in-flight takes one sending thread: leave --tx-threads at 1".into(),
            ),
            (
                usize::from(workload.least()) < needed,
                format!("--size must be at least {needed}: name, time stamp and checksum need that"),
            ),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, message)) => Err(message),
            None => Ok(()),
        }
    }

    /// Rooms are of one size, and somebody speaks in each.
    fn wrong_rooms(&self) -> (bool, String) {
        let (rooms, members, senders) = (self.venue.rooms, self.members, self.workload.senders);
        let even = rooms > 0 && members.is_multiple_of(rooms) && members / rooms >= 2 && senders >= rooms;
        match (rooms, self.script.scenario, self.protocol) {
            (1, Scenario::Rooms, _) => (true, "--scenario rooms needs --rooms of at least 2".into()),
            (1, ..) => (false, String::new()),
            (_, Scenario::Rooms, Protocol::Native) => (
                !even,
                "--clients must be a multiple of --rooms, at least twice as many, and --senders no fewer".into(),
            ),
            _ => (true, "--rooms is for --scenario rooms --protocol native".into()),
        }
    }

    fn wrong_path(&self) -> (bool, String) {
        let Some(flaws) = &self.flaws else { return (false, String::new()) };
        let refused = if !self.protocol.is_udp() {
            Some(format!("a lossy path is for UDP; --protocol {} is over TCP", self.protocol))
        } else if self.sockets.shared(self.members).is_some() || self.members > lossy::MEMBERS_MAX {
            Some(format!("a lossy path takes up to {} members with a socket each", lossy::MEMBERS_MAX))
        } else {
            flaws.refuses()
        };
        (refused.is_some(), refused.unwrap_or_default())
    }

    /// What a measurement under run id `run` is told.
    pub(crate) fn settings(&self, run: u32) -> Settings {
        Settings {
            run,
            senders: self.workload.senders,
            counted: self.counted(),
            rooms: self.rooms(),
            reading: self.script.reading(self.members),
            disturbance: self.script.disturbance(self.server_pid, self.workload.duration),
            tx_threads: self.tx_threads,
            rx_threads: self.rx_threads,
            pin: self.pin,
            late: self.late,
            reflected: false,
            in_flight: self.in_flight,
            drain_max: self.drain,
        }
    }

    /// The plan of one run.
    pub fn plan(&self, seed: u64) -> Result<Plan, String> {
        let arrival = self.script.arrival(&self.workload.arrival, self.workload.rate);
        let workload = Workload { seed, arrival, ..self.workload.clone() };
        if self.in_flight.is_none() {
            return Plan::new(&workload);
        }
        let seconds = (workload.warmup + workload.duration).as_secs_f64();
        let messages =
            COPIES_PER_SECOND_MAX * seconds / f64::from(self.rooms().size().min(self.counted()) - 1) + 4096.0;
        Ok(Plan::closed(&workload, (messages as usize).min(MESSAGES_MAX / 4)))
    }

    /// The server, where its queue is to be watched: the members of shared
    /// sockets are so many that a storm of them would overrun it.
    pub(crate) fn watched(&self) -> Option<SocketAddr> {
        let shared = self.sockets.shared(self.members).is_some();
        (shared && self.target.ip().is_loopback()).then_some(self.target)
    }

    /// Members whose copies count.
    fn counted(&self) -> u32 {
        self.script.counted(self.members)
    }

    /// Opens members of this benchmark's kind towards `target`.
    pub fn open(&self, target: SocketAddr) -> Result<Arc<dyn Transport>, String> {
        self.protocol.open(self.sockets, target, self.members, &self.speakers(), self.options, &self.venue)
    }

    fn rooms(&self) -> Rooms {
        Rooms::new(self.venue.rooms, self.members)
    }

    /// Starts the lossy path, if there is to be one.
    pub(crate) fn path(&self) -> Result<Option<lossy::Path>, String> {
        let start = |flaws| lossy::Path::start(flaws, self.workload.seed, self.target);
        let Some(flaws) = self.flaws else { return Ok(None) };
        // A socket of the proxy's beside each member's own.
        limits::allow_sockets(2 * u64::from(self.members))?;
        start(flaws).map(Some)
    }

    /// The members that send: the plan's, and those that probe.
    fn speakers(&self) -> Vec<u32> {
        let senders = self.workload.senders;
        let planned = (0..senders).map(|sender| sender_member(sender, senders, self.counted()));
        let mut speakers: Vec<u32> = planned.chain(self.rooms().probers(self.members)).collect();
        speakers.sort_unstable();
        speakers.dedup();
        speakers
    }

    /// For the report.
    pub(crate) fn setup(&self, made: String, run: &Measurement) -> Setup {
        Setup {
            target: if self.own_relay {
                format!("{}, a relay started for this run", self.target)
            } else {
                self.target.to_string()
            },
            protocol: self.protocol.to_string(),
            members: self.members,
            members_made: self
                .flaws
                .map_or(made.clone(), |flaws| format!("{made}; {}", flaws.label(self.workload.seed))),
            senders: self.workload.senders,
            rate: self.in_flight.is_none().then_some(self.workload.rate),
            in_flight: self.in_flight,
            arrival: self.script.arrival(&self.workload.arrival, self.workload.rate).to_string(),
            scenario: self.script.label(self.members),
            size: self.size_text.clone(),
            seed: self.workload.seed,
            warmup_ns: self.workload.warmup.as_nanos() as u64,
            duration_ns: run.duration_ns,
            late_ns: self.late.as_nanos() as u64,
        }
    }

    /// For those who watch: what is measured, on two lines.
    pub(crate) fn outline(&self, made: &str) -> Outline {
        let (workload, members) = (&self.workload, show_count(self.members.into()));
        let arrival = self.script.arrival(&workload.arrival, workload.rate);
        let pace = match self.in_flight {
            Some(depth) => format!("{depth} messages in flight"),
            None => format!("{} msg/s {arrival}", show_scaled(workload.rate)),
        };
        let scenario = self.script.label(self.members);
        Outline {
            members: format!("{members} members at {} ({}), {made}", self.target, self.protocol),
            workload: format!(
                "{} senders, {pace}, {} bytes, {scenario}",
                show_count(workload.senders.into()),
                self.size_text
            ),
            warmup: workload.warmup,
            duration: workload.duration,
        }
    }

    /// What the generator can receive, unless that is not wanted.
    pub fn ceiling(&self, progress: &mut dyn Progress) -> Result<Option<f64>, String> {
        if !self.calibrate {
            return Ok(None);
        }
        progress.say("calibrating: what can this generator receive here?");
        let size = self.workload.least();
        let found = measure::calibrate(
            self.protocol,
            &|target| self.open(target),
            size,
            &self.settings(run_id()),
            CALIBRATION,
        )?;
        let best = found.iter().map(|ceiling| ceiling.copies_per_second).fold(0.0, f64::max);
        progress.say(&format!("this generator can receive about {} copies/s here", show_scaled(best)));
        Ok(Some(best))
    }
}

/// A run id that another run on the same server will not have.
pub(crate) fn run_id() -> u32 {
    let bits = clock::entropy();
    (bits ^ (bits >> 32)) as u32
}
