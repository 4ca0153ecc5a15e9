//! What the server has counted, and how it is shown to people.

use crate::batch::{SEND_DROPS, SendTally};
use crate::metrics::{Counters, DropReason, LeaveReason, Summary, human_nanos};
use std::fmt;
use std::fs;

/// Members from which on memory a member says something.
const MEMBERS_FOR_MEMORY: usize = 1000;

/// What a server has counted so far. [`Display`](fmt::Display) writes it for
/// people: one line, or with `{:#}` one fact a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Nanoseconds since the server's start.
    pub uptime_ns: u64,
    /// Members now, plain and native.
    pub members: usize,
    /// Native members now.
    pub sessions: usize,
    /// Rooms now.
    pub rooms: usize,
    /// Datagrams in, joins and leaves.
    pub counters: Counters,
    /// Copies out.
    pub copies: SendTally,
    /// Datagrams that the kernel dropped because the receive buffer was full.
    pub kernel_drops: u64,
    /// Notices that an observer was too slow for.
    pub notices_lost: u64,
    /// Messages a turn.
    pub turn_messages: Summary,
    /// Messages a train.
    pub train_messages: Summary,
    /// Nanoseconds from receive to last send.
    pub sojourn_ns: Summary,
    /// Resident memory when the server was ready, without members and without
    /// the program's file, whose pages come as code is used.
    pub base_bytes: u64,
    /// The same now.
    pub resident_bytes: u64,
}

impl Report {
    /// Whether every datagram in and every copy out is accounted for.
    pub fn balances(&self) -> bool {
        self.counters.balances() && self.copies.balances()
    }

    /// Memory beyond the base a member, in bytes. `None` for fewer than a
    /// thousand members: what the first traffic touches would be taken for theirs.
    pub fn bytes_per_member(&self) -> Option<u64> {
        let beyond = self.resident_bytes.saturating_sub(self.base_bytes);
        (self.members >= MEMBERS_FOR_MEMORY).then(|| beyond / self.members as u64)
    }

    /// The same with the memory resident now: what the loop need not find out.
    pub(super) fn with_memory(self) -> Self {
        Self { resident_bytes: resident_bytes(), ..self }
    }

    fn drops(&self) -> Vec<(&'static str, u64)> {
        let reasons = DropReason::ALL.iter().map(|&reason| (reason.name(), self.counters.dropped(reason)));
        reasons.filter(|&(_, count)| count > 0).collect()
    }

    fn leaves(&self) -> Vec<(&'static str, u64)> {
        let reasons = LeaveReason::ALL.iter().map(|&reason| (reason.name(), self.counters.left(reason)));
        reasons.filter(|&(_, count)| count > 0).collect()
    }

    fn send_drops(&self) -> Vec<(&'static str, u64)> {
        let causes = SEND_DROPS.iter().map(|&(cause, name)| (name, self.copies.dropped[cause as usize]));
        causes.filter(|&(_, count)| count > 0).collect()
    }

    /// Trains that the kernel refused tell that GSO is off somewhere.
    fn refused_trains(&self) -> String {
        match self.copies.trains_refused {
            0 => String::new(),
            trains => format!("; {trains} trains refused and sent one by one"),
        }
    }

    fn facts(&self) -> [(&'static str, String); 8] {
        let counters = &self.counters;
        let memory = self.bytes_per_member().map_or(String::new(), |bytes| format!(", {bytes} B a member beyond base"));
        [
            (
                "members",
                format!(
                    "{} (joined {}, left {}{})",
                    self.members,
                    counters.joined,
                    counters.left_total(),
                    causes(&self.leaves())
                ),
            ),
            (
                "in",
                format!(
                    "{} datagrams = {} relayed + {} control + {} dropped{}; kernel dropped {}",
                    counters.datagrams_in,
                    counters.relayed,
                    counters.control,
                    counters.dropped_total(),
                    causes(&self.drops()),
                    self.kernel_drops
                ),
            ),
            (
                "out",
                format!(
                    "{} copies = {} sent + {} dropped{}{}",
                    self.copies.offered,
                    self.copies.sent,
                    self.copies.dropped_total(),
                    causes(&self.send_drops()),
                    self.refused_trains()
                ),
            ),
            (
                "notices",
                format!(
                    "{} told ({} of them merged), {} suppressed; {} answers",
                    counters.notices_told, counters.notices_merged, counters.notices_suppressed, counters.answers
                ),
            ),
            ("turn", format!("{} messages", self.turn_messages.show(|messages| messages.to_string()))),
            ("train", format!("{} messages", self.train_messages.show(|messages| messages.to_string()))),
            ("inside", self.sojourn_ns.show(human_nanos)),
            ("memory", format!("{} KiB, base {} KiB{memory}", self.resident_bytes / 1024, self.base_bytes / 1024)),
        ]
    }
}

fn causes(causes: &[(&'static str, u64)]) -> String {
    if causes.is_empty() {
        return String::new();
    }
    let parts: Vec<_> = causes.iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!(" ({})", parts.join(", "))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.facts();
        if f.alternate() {
            return facts.iter().try_for_each(|(name, fact)| writeln!(f, "{name:>8}  {fact}"));
        }
        let parts: Vec<_> = facts.iter().map(|(name, fact)| format!("{name}: {fact}")).collect();
        f.write_str(&parts.join(" | "))
    }
}

/// Resident memory that this process has written, in bytes (proc(5), `RssAnon`:
/// pages of the program's file are not its members'); 0 where the system does not tell.
pub(super) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
