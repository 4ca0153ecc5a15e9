//! The schedule of a run: which member sends which message when. Made from a
//! seed before anything is sent; one seed gives one plan, byte for byte.

use crate::payload::Phase;
use crate::trace::{Row, Trace};
use crate::units;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The most messages a plan may hold: 24 bytes each here and 20 per receiving thread.
pub const MESSAGES_MAX: usize = 20_000_000;

/// When messages come.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrival {
    /// Independent, exponential gaps: how people and services arrive.
    Poisson,
    /// Equal gaps.
    Fixed,
    /// `count` messages at once, every `every`.
    Burst {
        /// Messages of one burst.
        count: u32,
        /// From one burst to the next.
        every: Duration,
    },
    /// As recorded: times, senders and sizes come from it. The warm-up plays
    /// its beginning, measuring all of it.
    Trace(Arc<Trace>),
}

impl FromStr for Arrival {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "poisson" => Ok(Self::Poisson),
            "fixed" => Ok(Self::Fixed),
            _ => parse_burst(text).ok_or_else(|| format!("`{text}`: write poisson, fixed or burst:16@100ms")),
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poisson => out.write_str("poisson"),
            Self::Fixed => out.write_str("fixed"),
            Self::Burst { count, every } => write!(out, "burst:{count}@{}", every.as_millis()),
            Self::Trace(trace) => write!(out, "trace:{}", trace.name),
        }
    }
}

fn parse_burst(text: &str) -> Option<Arrival> {
    let (count, every) = text.strip_prefix("burst:")?.split_once('@')?;
    let every = every.parse::<u32>().ok().map(|ms| Duration::from_millis(u64::from(ms)));
    let every = match every {
        Some(every) => every,
        None => units::parse_duration(text.split_once('@')?.1).ok()?,
    };
    let count = units::parse_count(count).ok()?;
    (count > 0 && !every.is_zero()).then_some(Arrival::Burst { count, every })
}

/// Message sizes and how often each comes: `64`, or `64:9,1000:1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    weighted: Vec<(u16, f64)>,
    total: f64,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let weighted = text.split(',').map(parse_size).collect::<Result<Vec<_>, _>>()?;
        let total = weighted.iter().map(|(_, weight)| weight).sum::<f64>();
        if total > 0.0 { Ok(Self { weighted, total }) } else { Err("the weights of --size add up to nothing".into()) }
    }
}

fn parse_size(text: &str) -> Result<(u16, f64), String> {
    let (size, weight) = text.split_once(':').unwrap_or((text, "1"));
    let bytes = units::parse_count(size)?;
    let weight = units::parse_scaled(weight)?;
    match u16::try_from(bytes) {
        Ok(bytes) if usize::from(bytes) <= crate::payload::MESSAGE_BYTES_MAX => Ok((bytes, weight)),
        _ => Err(format!("a message of {bytes} bytes is longer than the protocol's 1024")),
    }
}

impl Sizes {
    /// The smallest size that may come.
    pub fn least(&self) -> u16 {
        self.weighted.iter().map(|(size, _)| *size).min().unwrap_or(0)
    }

    fn pick(&self, random: &mut Dice) -> u16 {
        if let [(only, _)] = self.weighted[..] {
            return only;
        }
        let mut left = random.unit() * self.total;
        for (size, weight) in &self.weighted {
            left -= weight;
            if left < 0.0 {
                return *size;
            }
        }
        self.weighted.last().map_or(64, |(size, _)| *size)
    }
}

/// What a plan is made from.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Messages per second, of all senders together.
    pub rate: f64,
    /// How many members send: the members `0..senders`, spread by the caller.
    pub senders: u32,
    /// When messages come.
    pub arrival: Arrival,
    /// How long they are.
    pub sizes: Sizes,
    /// Sent before anything counts.
    pub warmup: Duration,
    /// What counts.
    pub duration: Duration,
    /// Of the schedule.
    pub seed: u64,
}

impl Workload {
    /// Bytes of the shortest message that may come.
    pub fn least(&self) -> u16 {
        match &self.arrival {
            Arrival::Trace(trace) => trace.least(),
            _ => self.sizes.least(),
        }
    }
}

/// One message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// From the beginning of the plan, in ns.
    pub at: u64,
    /// Which sender, from 0.
    pub sender: u32,
    /// The sender's own count.
    pub seq: u32,
    /// Bytes of the message.
    pub size: u16,
}

/// All messages of a run in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The messages; a message's index is its place here.
    pub slots: Vec<Slot>,
    /// The first message that counts.
    pub measured_from: usize,
    /// When the warm-up ends and measuring begins, in ns.
    pub warmup_ns: u64,
    /// When measuring ends, in ns.
    pub end_ns: u64,
}

impl Plan {
    /// Lays out a workload.
    pub fn new(workload: &Workload) -> Result<Self, String> {
        let warmup_ns = workload.warmup.as_nanos() as u64;
        let end_ns = warmup_ns + workload.duration.as_nanos() as u64;
        if let Arrival::Trace(trace) = &workload.arrival {
            return Ok(Self::of_trace(trace, warmup_ns, end_ns));
        }
        let mut random = Dice::new(workload.seed);
        let mut seqs = vec![0u32; workload.senders as usize];
        let mut slots = Vec::new();
        let mut times = Times::new(workload);
        loop {
            let at = times.next(&mut random);
            if at >= end_ns {
                break;
            }
            if slots.len() >= MESSAGES_MAX {
                return Err(format!("more than {MESSAGES_MAX} messages; lower --rate or --duration"));
            }
            let sender = random.below(workload.senders);
            let seq = &mut seqs[sender as usize];
            slots.push(Slot { at, sender, seq: *seq, size: workload.sizes.pick(&mut random) });
            *seq += 1;
        }
        let measured_from = slots.partition_point(|slot| slot.at < warmup_ns);
        Ok(Self { slots, measured_from, warmup_ns, end_ns })
    }

    /// A trace's beginning as warm-up, then the trace.
    fn of_trace(trace: &Trace, warmup_ns: u64, end_ns: u64) -> Self {
        let mut seqs = vec![0u32; trace.senders() as usize];
        let warmup = trace.rows.iter().filter(|row| row.at < warmup_ns).map(|row| (row.at, row));
        let measured = trace.rows.iter().map(|row| (warmup_ns + row.at, row)).filter(|(at, _)| *at < end_ns);
        let slot = |(at, row): (u64, &Row)| {
            let next = &mut seqs[row.sender as usize];
            let seq = *next;
            *next += 1;
            Slot { at, sender: row.sender, seq, size: row.bytes }
        };
        let slots: Vec<Slot> = warmup.chain(measured).map(slot).collect();
        Self { measured_from: slots.partition_point(|slot| slot.at < warmup_ns), slots, warmup_ns, end_ns }
    }

    /// What a closed loop sends: `messages` with the seed's senders and sizes; the times are made by sending.
    pub fn closed(workload: &Workload, messages: usize) -> Self {
        let mut random = Dice::new(workload.seed);
        let mut seqs = vec![0u32; workload.senders as usize];
        let mut slots = Vec::with_capacity(messages);
        for _ in 0..messages {
            let sender = random.below(workload.senders);
            let seq = &mut seqs[sender as usize];
            slots.push(Slot { at: 0, sender, seq: *seq, size: workload.sizes.pick(&mut random) });
            *seq += 1;
        }
        let warmup_ns = workload.warmup.as_nanos() as u64;
        let end_ns = warmup_ns + workload.duration.as_nanos() as u64;
        Self { slots, measured_from: 0, warmup_ns, end_ns }
    }

    /// A plan whose times nobody follows: `messages` that all count, from now to `end_ns`.
    pub fn untimed(messages: usize, size: u16, end_ns: u64) -> Self {
        let slot = |index| Slot { at: 0, sender: 0, seq: index as u32, size };
        Self { slots: (0..messages).map(slot).collect(), measured_from: 0, warmup_ns: 0, end_ns }
    }

    /// Which part of the run message `index` belongs to.
    pub fn phase(&self, index: usize) -> Phase {
        if index < self.measured_from { Phase::Warmup } else { Phase::Measure }
    }

    /// How many messages count.
    pub fn measured(&self) -> usize {
        self.slots.len() - self.measured_from
    }
}

/// The points in time of an arrival process.
struct Times {
    arrival: Arrival,
    gap_ns: f64,
    count: u64,
    poisson_ns: f64,
}

impl Times {
    fn new(workload: &Workload) -> Self {
        Self { arrival: workload.arrival.clone(), gap_ns: 1e9 / workload.rate, count: 0, poisson_ns: 0.0 }
    }

    fn next(&mut self, random: &mut Dice) -> u64 {
        let count = self.count;
        self.count += 1;
        match &self.arrival {
            Arrival::Fixed => (count as f64 * self.gap_ns) as u64,
            Arrival::Burst { count: size, every } => count / u64::from(*size) * every.as_nanos() as u64,
            Arrival::Trace(trace) => trace.rows.get(count as usize).map_or(u64::MAX, |row| row.at),
            Arrival::Poisson => {
                self.poisson_ns += -(1.0 - random.unit()).ln() * self.gap_ns;
                self.poisson_ns as u64
            }
        }
    }
}

/// Seeded randomness.
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// The same seed rolls the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In 0..limit; 0 when the limit is 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        (((self.0.next_u64() >> 32) * u64::from(limit)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(arrival: Arrival) -> Workload {
        Workload {
            rate: 1000.0,
            senders: 10,
            arrival,
            sizes: "64:9,1000:1".parse().unwrap(),
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(9),
            seed: 7,
        }
    }

    #[test]
    fn one_seed_gives_one_plan() {
        let one = Plan::new(&workload(Arrival::Poisson)).unwrap();
        assert_eq!(one, Plan::new(&workload(Arrival::Poisson)).unwrap());
        assert_ne!(one, Plan::new(&Workload { seed: 8, ..workload(Arrival::Poisson) }).unwrap());
        assert!((9_000..11_000).contains(&one.slots.len()));
        assert!(one.slots.is_sorted_by_key(|slot| slot.at));
        let large = one.slots.iter().filter(|slot| slot.size == 1000).count();
        assert!((800..1200).contains(&large));
    }

    #[test]
    fn fixed_and_burst_are_exact() {
        let fixed = Plan::new(&workload(Arrival::Fixed)).unwrap();
        assert_eq!((fixed.slots.len(), fixed.measured()), (10_000, 9_000));
        let burst = Plan::new(&workload("burst:16@100".parse().unwrap())).unwrap();
        assert_eq!(burst.slots.len(), 16 * 100);
        assert_eq!(burst.slots[31].at, 100_000_000);
        assert_eq!("burst:2@1s".parse(), Ok(Arrival::Burst { count: 2, every: Duration::from_secs(1) }));
    }

    #[test]
    fn a_trace_is_played_as_it_stands_after_its_own_beginning() {
        let trace = Trace::parse("x.csv", "0,0,64\n300,1,100\n300,0,64\n900,2,80\n2000,0,64").unwrap();
        let arrival = Arrival::Trace(Arc::new(trace));
        let warmup = Duration::from_millis(500);
        let asked = Workload { warmup, duration: Duration::from_secs(1), ..workload(arrival) };
        let plan = Plan::new(&asked).unwrap();
        let found: Vec<_> =
            plan.slots.iter().map(|slot| (slot.at / 1_000_000, slot.sender, slot.seq, slot.size)).collect();
        let warm = [(0, 0, 0, 64), (300, 1, 0, 100), (300, 0, 1, 64)];
        let measured = [(500, 0, 2, 64), (800, 1, 1, 100), (800, 0, 3, 64), (1400, 2, 0, 80)];
        assert_eq!(found, [&warm[..], &measured].concat());
        assert_eq!((plan.measured_from, plan.measured()), (3, 4));
        assert_eq!(plan, Plan::new(&Workload { seed: 8, ..asked }).unwrap(), "no seed changes a trace");
    }

    #[test]
    fn each_sender_counts_from_zero() {
        let plan = Plan::new(&workload(Arrival::Poisson)).unwrap();
        let mut next = [0; 10];
        for slot in &plan.slots {
            assert_eq!(slot.seq, next[slot.sender as usize]);
            next[slot.sender as usize] += 1;
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        assert!("burst:0@10".parse::<Arrival>().is_err());
        assert!("sometimes".parse::<Arrival>().is_err());
        assert!("1025".parse::<Sizes>().is_err());
        assert!("64:0".parse::<Sizes>().is_err());
    }
}
