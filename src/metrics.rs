//! Owns what is counted: every datagram in by outcome, every copy out by
//! fate, and three histograms. Never decides anything; one thread writes it.

mod carried;

pub(crate) use carried::Counted;

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
    /// Text from the address of a native session.
    TextFromNative = "text_from_native",
    /// Native: shorter or longer than its type may be, or without the magic's second byte.
    NativeSize = "native_size",
    /// Native: another version.
    NativeVersion = "native_version",
    /// Native: a type that nobody sends.
    NativeType = "native_type",
    /// Native: a type that only relays send.
    NativeFromRelay = "native_from_relay",
    /// Native: a frame runs over the end, or is not what its type says.
    NativeFrame = "native_frame",
    /// Native: a HELLO without a good cookie, which was told one.
    HelloUnproven = "hello_unproven",
    /// Native: a HELLO without a good cookie, over what a batch answers.
    HelloFlood = "hello_flood",
    /// Native: a HELLO without proof that it knows the access key.
    AccessDenied = "access_denied",
    /// Native: a ticket that nobody has.
    NoSession = "no_session",
    /// Native: of a session that its client closed lately.
    SessionClosed = "session_closed",
    /// Native: from another address than the session's, and not newer than what was heard from it.
    StaleAddress = "stale_address",
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
    /// The address or the name is banned.
    Banned = "banned",
    /// A member's line, and it is muted.
    Muted = "muted",
    /// Nobody new is let in.
    Lockdown = "lockdown",
    /// The relay is about to stop, and lets nobody in.
    Draining = "draining",
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
    dropped: PerReason<{ DropReason::ALL.len() }>,
    /// Members that joined.
    pub joined: u64,
    /// Members that left, by [`LeaveReason`].
    left: PerReason<{ LeaveReason::ALL.len() }>,
    /// Joins and leaves told to the room, alone or merged.
    pub notices_told: u64,
    /// Joins and leaves told in a notice for several.
    pub notices_merged: u64,
    /// Joins and leaves not told, because telling would have cost too many copies.
    pub notices_suppressed: u64,
    /// Answers to one address: `[relay] ...`.
    pub answers: u64,
    /// What the native protocol counts beside that.
    pub native: NativeCounters,
}

/// What the native protocol counts, below the level of datagrams.
///
/// `messages_in = accepted + void + duplicate + early + refused + slowed`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeCounters {
    /// Native datagrams among those received.
    pub datagrams_in: u64,
    /// Native datagrams among those passed on.
    pub relayed: u64,
    /// Sessions that began.
    pub sessions_begun: u64,
    /// Sessions that ended.
    pub sessions_ended: u64,
    /// Sessions that moved to another address.
    pub sessions_moved: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Messages that became an entry of their room.
    pub messages_accepted: u64,
    /// Numbers that their sender gave up.
    pub messages_void: u64,
    /// Messages that came before.
    pub messages_duplicate: u64,
    /// Messages that came before one that is still missing.
    pub messages_early: u64,
    /// Messages that can never be accepted; their sender is told why.
    pub messages_refused: u64,
    /// Messages that came too fast; their sender is told when to send them again.
    pub messages_slowed: u64,
    /// Acknowledgements sent.
    pub acks: u64,
    /// HEADs sent to rooms.
    pub heads: u64,
    /// Trains to rooms for which a turn had no place; the members ask again.
    pub casts_dropped: u64,
    /// Requests for what is missing.
    pub nacks: u64,
    /// Datagrams sent again, or fed.
    pub repairs: u64,
    /// Entries in them.
    pub entries_repaired: u64,
    /// Datagrams of repair that were not sent: over what a turn or a member gets.
    pub repairs_dropped: u64,
    /// Times that a member was told that something is gone.
    pub gaps: u64,
    /// Reports of how members receive.
    pub reports: u64,
    /// Members that became too slow to be sent everything at once.
    pub demoted: u64,
    /// Members that caught up again.
    pub promoted: u64,
    /// Private messages passed on.
    pub directs: u64,
    /// Joins, leaves and renames that were not entered.
    pub presence_suppressed: u64,
    /// Requests over the rate, or over one list a datagram.
    pub frames_over_rate: u64,
    /// Frames about a room that their sender is not in.
    pub frames_no_room: u64,
    /// Frames from an address where their session is not served, beside those that are heard from anywhere.
    pub frames_unproven: u64,
    /// Datagrams sent to one client.
    pub answers: u64,
    /// Such datagrams for which a turn had no room.
    pub answers_dropped: u64,
    /// Rooms opened.
    pub rooms_opened: u64,
    /// Rooms ended.
    pub rooms_ended: u64,
}

impl NativeCounters {
    /// Whether every message in is accounted for.
    pub fn balances(&self) -> bool {
        let refused = self.messages_refused + self.messages_slowed;
        let known = self.messages_duplicate + self.messages_early + self.messages_void;
        self.messages_in == self.messages_accepted + known + refused
    }
}

/// A counter for each of `N` reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PerReason<const N: usize>([u64; N]);

impl<const N: usize> Default for PerReason<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl Counters {
    /// Counts a datagram as dropped.
    pub fn drop(&mut self, reason: DropReason) {
        self.dropped.0[reason as usize] += 1;
    }

    /// Counts a member as gone.
    pub fn leave(&mut self, reason: LeaveReason) {
        self.left.0[reason as usize] += 1;
    }

    /// Datagrams dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.0[reason as usize]
    }

    /// Members gone for `reason`.
    pub fn left(&self, reason: LeaveReason) -> u64 {
        self.left.0[reason as usize]
    }

    /// Datagrams dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.0.iter().sum()
    }

    /// Members gone for any reason.
    pub fn left_total(&self) -> u64 {
        self.left.0.iter().sum()
    }

    /// Messages to rooms from members: plain lines, native messages.
    pub fn messages(&self) -> [u64; 2] {
        [self.relayed - self.native.relayed, self.native.messages_accepted]
    }

    /// Whether every datagram in is accounted for.
    pub fn balances(&self) -> bool {
        self.datagrams_in == self.relayed + self.control + self.dropped_total() && self.native.balances()
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
    /// The operator banned it.
    Banned,
    /// It was sent to another relay, because this one is about to stop.
    Moved,
    /// It sent back what others had said.
    Mirror,
    /// Its address, or its client, has another session.
    Replaced,
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
        LeaveReason::Banned,
        LeaveReason::Moved,
        LeaveReason::Mirror,
        LeaveReason::Replaced,
        LeaveReason::Shutdown,
    ];

    /// The reason's name in counters and logs.
    pub const fn name(self) -> &'static str {
        match self {
            LeaveReason::Exit => "exit",
            LeaveReason::Idle => "idle",
            LeaveReason::Unreachable => "unreachable",
            LeaveReason::Kicked => "kicked",
            LeaveReason::Banned => "banned",
            LeaveReason::Moved => "moved",
            LeaveReason::Mirror => "mirror",
            LeaveReason::Replaced => "replaced",
            LeaveReason::Shutdown => "shutdown",
        }
    }
}

/// Buckets of a distribution at most, the one beyond all bounds included.
pub const BUCKETS_MAX: usize = 24;

/// How many values lie up to each of a few bounds, and behind the one before:
/// the same bounds for as long as the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    bounds: &'static [u64],
    counts: [u64; BUCKETS_MAX],
}

impl Buckets {
    fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() < BUCKETS_MAX && bounds.is_sorted(), "bounds rise, and leave one bucket for the rest");
        Self { bounds, counts: [0; BUCKETS_MAX] }
    }

    fn record(&mut self, value: u64, times: u64) {
        self.counts[self.bounds.partition_point(|bound| *bound < value)] += times;
    }

    /// The highest value of each bucket but the last, which has none.
    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// Values in each bucket, the last one included.
    pub fn counts(&self) -> &[u64] {
        &self.counts[..=self.bounds.len()]
    }
}

/// A histogram with a fixed range: it never grows, and what lies beyond its
/// range counts as its end. Memory: about 30 KB at 2 digits over 10 decades.
pub struct Distribution {
    histogram: Histogram<u64>,
    buckets: Buckets,
    sum: u64,
}

impl Distribution {
    /// Values of `1..=highest`, kept to two significant digits, and in buckets up to each of `bounds`.
    pub fn new(highest: u64, bounds: &'static [u64]) -> Self {
        let histogram = Histogram::new_with_bounds(1, highest, 2).expect("invariant: the bounds are constants");
        Self { histogram, buckets: Buckets::new(bounds), sum: 0 }
    }

    /// Counts `value`, `times` over.
    pub fn record(&mut self, value: u64, times: u64) {
        let value = value.clamp(1, self.histogram.high());
        self.histogram.record_n(value, times).expect("invariant: the value is within the bounds");
        self.buckets.record(value, times);
        // After centuries it begins again, as counters do at a restart.
        self.sum = self.sum.wrapping_add(value.wrapping_mul(times));
    }

    /// What it shows.
    pub fn summary(&self) -> Summary {
        let histogram = &self.histogram;
        Summary {
            count: histogram.len(),
            sum: self.sum,
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
            buckets: self.buckets,
        }
    }
}

const TURN_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const TRAIN_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128];
/// 1, 2, 5 of each decade from 1 us to 10 s.
const SOJOURN_BOUNDS: &[u64] = &{
    let mut bounds = [0; 22];
    let (mut at, mut decade) = (0, 1_000);
    while at < bounds.len() {
        bounds[at] = decade * [1, 2, 5][at % 3];
        decade *= [1, 1, 10][at % 3];
        at += 1;
    }
    bounds
};

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
            turn_messages: Distribution::new(100_000, TURN_BOUNDS),
            train_messages: Distribution::new(1_000, TRAIN_BOUNDS),
            sojourn_ns: Distribution::new(100_000_000_000, SOJOURN_BOUNDS),
        }
    }
}

/// A distribution in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Values counted.
    pub count: u64,
    /// All of them added up.
    pub sum: u64,
    /// The value half of them do not exceed.
    pub p50: u64,
    /// The value 99 % do not exceed.
    pub p99: u64,
    /// The value 99.9 % do not exceed.
    pub p999: u64,
    /// The largest.
    pub max: u64,
    /// How many there are of which size.
    pub buckets: Buckets,
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
        let mut distribution = Distribution::new(1000, &[1, 10]);
        distribution.record(0, 1);
        distribution.record(u64::MAX, 1);
        let summary = distribution.summary();
        assert_eq!(summary.count, 2);
        assert!((1000..1010).contains(&summary.max), "{summary:?}");
    }

    #[test]
    fn a_value_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let mut distribution = Distribution::new(1000, &[1, 10]);
        [(1, 2), (2, 1), (10, 1), (11, 5)].into_iter().for_each(|(value, times)| distribution.record(value, times));
        let summary = distribution.summary();
        assert_eq!((summary.buckets.counts(), summary.count, summary.sum), (&[2, 2, 5][..], 9, 69));
        let last = SOJOURN_BOUNDS.last().copied();
        assert_eq!(
            (SOJOURN_BOUNDS[0], SOJOURN_BOUNDS[1], SOJOURN_BOUNDS[2], last),
            (1000, 2000, 5000, Some(10_000_000_000))
        );
    }

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(human_nanos(850), "850.0ns");
        assert_eq!(human_nanos(12_500), "12.5us");
    }
}
