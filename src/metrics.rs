//! Owns what is counted: every datagram in by outcome, every copy out by
//! fate, and three histograms. Never decides anything; one thread writes it.

use hdrhistogram::Histogram;
use std::time::Duration;

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a received datagram was not acted on. Each has its own counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum DropReason { $($(#[doc = $doc])+ $variant,)+ }

        impl DropReason {
            /// Every reason, in the counters' order.
            pub const ALL: &[DropReason] = &[$(DropReason::$variant,)+];

            /// The reason's name in counters and logs.
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)+ }
            }
        }
    };
}

drop_reasons! {
    /// Longer than a receive slot; the kernel cut it.
    Truncated = "truncated",
    /// From an address that no peer can have: port 0, unspecified, multicast, broadcast, or our own.
    BadSource = "bad_source",
    /// An empty datagram from a stranger.
    Empty = "empty",
    /// Begins with the native protocol's magic, which this relay does not speak yet.
    Native = "native",
    /// Holds a control character other than TAB, CR, LF.
    ControlCharacter = "control_character",
    /// A line of it begins with `[relay]`.
    RelayPrefix = "relay_prefix",
    /// Not UTF-8.
    NotUtf8 = "not_utf8",
    /// A stranger said exit.
    StrangerExit = "stranger_exit",
    /// A stranger's text cannot be a name.
    InvalidName = "invalid_name",
    /// A stranger's text is longer than a name or, with ` : `, than a line.
    StrangerTooLong = "stranger_too_long",
    /// A line with ` : ` within 2 s of an exit from the same address.
    JustLeft = "just_left",
    /// A member's line is over 1024 bytes.
    TooLong = "too_long",
    /// A member's line came over its messages a second.
    MessageRate = "message_rate",
    /// A member's line came over its bytes a second.
    ByteRate = "byte_rate",
    /// Plain joins are off.
    PlainOff = "plain_off",
    /// The address was kicked or quarantined less than 60 s ago.
    RefusedAddress = "refused_address",
    /// A member was found to mirror others, and left with this datagram.
    Mirror = "mirror",
    /// The relay is full.
    PeersFull = "peers_full",
    /// The address's prefix has its most members.
    PrefixFull = "prefix_full",
    /// The address's prefix joins too fast.
    PrefixJoinRate = "prefix_join_rate",
    /// All together join too fast.
    TotalJoinRate = "total_join_rate",
    /// A stranger without the code was told it.
    Challenged = "challenged",
    /// A stranger without the code was told nothing: told too often, or too many strangers.
    ChallengeLimit = "challenge_limit",
}

/// Every datagram in and every copy out, counted once.
///
/// `datagrams_in = relayed + control + the sum of dropped`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams passed on to the room.
    pub relayed: u64,
    /// Datagrams that only changed who is here: joins, exits, keep-alives.
    pub control: u64,
    dropped: [u64; DropReason::ALL.len()],
    /// Members that joined.
    pub joined: u64,
    /// Members that left, by [`LeaveReason`].
    left: [u64; LeaveReason::ALL.len()],
    /// Joins and leaves told to the room, alone or merged.
    pub notices_told: u64,
    /// Joins and leaves told in a notice for several.
    pub notices_merged: u64,
    /// Joins and leaves not told, because telling would have cost too many copies.
    pub notices_suppressed: u64,
    /// Answers to one address: `[relay] ...`.
    pub answers: u64,
}

impl Counters {
    /// Counts a datagram as dropped.
    pub fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// Counts a member as gone.
    pub fn leave(&mut self, reason: LeaveReason) {
        self.left[reason as usize] += 1;
    }

    /// Datagrams dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Members gone for `reason`.
    pub fn left(&self, reason: LeaveReason) -> u64 {
        self.left[reason as usize]
    }

    /// Datagrams dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Members gone for any reason.
    pub fn left_total(&self) -> u64 {
        self.left.iter().sum()
    }

    /// Whether every datagram in is accounted for.
    pub fn balances(&self) -> bool {
        self.datagrams_in == self.relayed + self.control + self.dropped_total()
    }
}

/// Why a member left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveReason {
    /// It said exit.
    Exit,
    /// It was silent for too long.
    Idle,
    /// Its port answers that nobody is there.
    Unreachable,
    /// The operator removed it.
    Kicked,
    /// It sent back what others had said.
    Mirror,
    /// The relay stopped.
    Shutdown,
}

impl LeaveReason {
    /// Every reason, in the counters' order.
    pub const ALL: &[LeaveReason] = &[
        LeaveReason::Exit,
        LeaveReason::Idle,
        LeaveReason::Unreachable,
        LeaveReason::Kicked,
        LeaveReason::Mirror,
        LeaveReason::Shutdown,
    ];

    /// The reason's name in counters and logs.
    pub const fn name(self) -> &'static str {
        match self {
            LeaveReason::Exit => "exit",
            LeaveReason::Idle => "idle",
            LeaveReason::Unreachable => "unreachable",
            LeaveReason::Kicked => "kicked",
            LeaveReason::Mirror => "mirror",
            LeaveReason::Shutdown => "shutdown",
        }
    }
}

/// A histogram with a fixed range: it never grows, and what lies beyond its
/// range counts as its end. Memory: about 30 KB at 2 digits over 10 decades.
pub struct Distribution(Histogram<u64>);

impl Distribution {
    /// Values of `1..=highest`, kept to two significant digits.
    pub fn new(highest: u64) -> Self {
        Self(Histogram::new_with_bounds(1, highest, 2).expect("invariant: the bounds are constants"))
    }

    /// Counts `value`, `times` over.
    pub fn record(&mut self, value: u64, times: u64) {
        let value = value.clamp(1, self.0.high());
        self.0.record_n(value, times).expect("invariant: the value is within the bounds");
    }

    /// What it shows.
    pub fn summary(&self) -> Summary {
        let histogram = &self.0;
        Summary {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

/// How the loop has worked: what a turn holds, and how long a message stays.
pub struct Histograms {
    /// Messages to the room a turn, of turns with any.
    pub turn_messages: Distribution,
    /// Messages a train.
    pub train_messages: Distribution,
    /// Nanoseconds from a turn's start, when a message is received, to the
    /// last send of that turn.
    pub sojourn_ns: Distribution,
}

impl Default for Histograms {
    fn default() -> Self {
        Self {
            turn_messages: Distribution::new(100_000),
            train_messages: Distribution::new(1_000),
            sojourn_ns: Distribution::new(100_000_000_000),
        }
    }
}

/// A distribution in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Values counted.
    pub count: u64,
    /// The value half of them do not exceed.
    pub p50: u64,
    /// The value 99 % do not exceed.
    pub p99: u64,
    /// The value 99.9 % do not exceed.
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

impl Summary {
    /// `p50 1 p99 3 p99.9 7 max 9`, each value as `unit` writes it.
    pub fn show(&self, unit: impl Fn(u64) -> String) -> String {
        if self.count == 0 {
            return "none yet".to_owned();
        }
        let [p50, p99, p999, max] = [self.p50, self.p99, self.p999, self.max].map(unit);
        format!("p50 {p50} p99 {p99} p99.9 {p999} max {max}")
    }
}

/// A number of nanoseconds as people write it: `850ns`, `12.5us`, `3.1ms`, `2.00s`.
pub fn human_nanos(nanos: u64) -> String {
    format!("{:.1?}", Duration::from_nanos(nanos)).replace('µ', "u")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let mut counters = Counters::default();
        for (number, &reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, number);
            counters.drop(reason);
            assert_eq!(counters.dropped(reason), 1);
        }
        assert_eq!(counters.dropped_total(), DropReason::ALL.len() as u64);
        let mut names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::ALL.len());
        for (number, &reason) in LeaveReason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }

    #[test]
    fn a_distribution_holds_what_lies_beyond_its_range() {
        let mut distribution = Distribution::new(1000);
        distribution.record(0, 1);
        distribution.record(u64::MAX, 1);
        let summary = distribution.summary();
        assert_eq!(summary.count, 2);
        assert!((1000..1010).contains(&summary.max), "{summary:?}");
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(human_nanos(850), "850.0ns");
        assert_eq!(human_nanos(12_500), "12.5us");
    }
}
