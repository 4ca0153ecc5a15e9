//! The server's process: processor time and memory, from /proc/PID.

use super::threads::schedstat;
use std::fs;

/// What a process has used up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Processor time in ns, user and system together.
    pub cpu_ns: u64,
    /// Clock ticks in user mode: only their share is used.
    pub user_ticks: u64,
    /// Clock ticks in the kernel.
    pub system_ticks: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
}

impl Sample {
    /// Moves on by what was used between two other moments; the memory is the last one's.
    pub fn advance(&mut self, from: &Self, to: &Self) {
        self.cpu_ns += to.cpu_ns.saturating_sub(from.cpu_ns);
        self.user_ticks += to.user_ticks.saturating_sub(from.user_ticks);
        self.system_ticks += to.system_ticks.saturating_sub(from.system_ticks);
        self.rss_bytes = to.rss_bytes;
    }
}

/// Looks at a process; says why when it cannot.
pub fn sample(pid: u32) -> Result<Sample, String> {
    let missing = |what: &str| format!("cannot read {what} of process {pid}: is it running, and yours to look at?");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|_| missing("the times"))?;
    let (user_ticks, system_ticks) = ticks(&stat).ok_or_else(|| missing("the times"))?;
    let rss_bytes = resident(pid).ok_or_else(|| missing("the memory"))?;
    let cpu_ns = exact_cpu(pid).unwrap_or((user_ticks + system_ticks) * 10_000_000);
    Ok(Sample { cpu_ns, user_ticks, system_ticks, rss_bytes })
}

/// Fields 14 and 15; the name in field 2 may hold blanks and brackets.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Nanoseconds on a core, summed over the threads that live; the ticks of
/// stat are 10 ms. A thread that ended takes its time with it.
fn exact_cpu(pid: u32) -> Option<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let paths = tasks.flatten().map(|task| task.path().join("schedstat"));
    let times: Vec<u64> = paths.filter_map(|path| schedstat(path.to_str()?)).map(|(cpu, _)| cpu).collect();
    (!times.is_empty()).then(|| times.iter().sum())
}

/// What was used between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Used {
    /// User and system time in ns.
    pub cpu_ns: u64,
    /// The part of it in user mode, 0..1; `None` when the ticks are too few to tell.
    pub user_share: Option<f64>,
}

/// The difference of two samples.
pub fn used(from: &Sample, to: &Sample) -> Used {
    let user = to.user_ticks.saturating_sub(from.user_ticks);
    let system = to.system_ticks.saturating_sub(from.system_ticks);
    let ticks = user + system;
    Used {
        cpu_ns: to.cpu_ns.saturating_sub(from.cpu_ns),
        user_share: (ticks >= 10).then(|| user as f64 / ticks as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_process() {
        let own = sample(std::process::id()).unwrap();
        assert!(own.rss_bytes > 100_000 && own.cpu_ns > 0);
        assert!(sample(u32::MAX).is_err());
    }

    #[test]
    fn a_name_with_brackets_does_not_mislead() {
        let stat = "1 (a) b) S 1 2 3 4 5 6 7 8 9 10 77 88 0";
        assert_eq!(ticks(stat), Some((77, 88)));
    }
}
