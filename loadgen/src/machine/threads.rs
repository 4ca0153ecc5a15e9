//! The generator's own threads: where they run and what they use.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::ffi::CString;

/// Processor time of the calling thread so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// On a core.
    pub cpu_ns: u64,
    /// Ready to run, without a core.
    pub waiting_ns: u64,
}

/// Why no thread can be pinned to core `pin`, if so. Tried, because a process may
/// leave the cores that it was started on, but not those of its cpuset.
pub fn refuses(pin: Option<usize>) -> Option<String> {
    let core = pin?;
    let mut set = CpuSet::new();
    set.set(core).ok();
    let trial =
        std::thread::spawn(move || set.is_set(core) == Ok(true) && sched_setaffinity(Pid::from_raw(0), &set).is_ok());
    let works = trial.join().unwrap_or(false);
    (!works).then(|| format!("--pin {core}: there is no such core for this process; `nproc --all` counts them, from 0"))
}

/// Names the calling thread and, if asked, pins it to core `pin + offset`, as far as there
/// are cores.
pub fn settle(name: &str, pin: Option<usize>, offset: u32) {
    if let Ok(name) = CString::new(name) {
        let _ = prctl::set_name(&name);
    }
    let Some(first) = pin else { return };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let core = first + offset as usize % cores.saturating_sub(first).max(1);
    let mut set = CpuSet::new();
    if set.set(core).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

/// Lets the calling thread's sleeps end on time instead of up to 50 us late.
pub fn precise_sleep() {
    let _ = prctl::set_timerslack(1);
}

/// What the calling thread has used.
pub fn usage() -> Usage {
    let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    let cpu_ns = cpu.map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64);
    Usage { cpu_ns, waiting_ns: schedstat("/proc/thread-self/schedstat").map_or(0, |(_, waiting)| waiting) }
}

/// What each of this process's threads has used whose name begins with
/// `prefix`, in an order that stays.
pub fn named(prefix: &str) -> Vec<Usage> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut paths: Vec<_> = tasks.map(|task| task.path()).collect();
    paths.sort();
    let is_named = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with(prefix))
    };
    let usage = |path: std::path::PathBuf| schedstat(path.join("schedstat").to_str()?);
    let used = paths.into_iter().filter(is_named).filter_map(usage);
    used.map(|(cpu_ns, waiting_ns)| Usage { cpu_ns, waiting_ns }).collect()
}

/// Time on a core and time waiting for one, from a schedstat file (proc_pid_schedstat(5)).
pub(super) fn schedstat(path: &str) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut fields = text.split_ascii_whitespace().map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}
