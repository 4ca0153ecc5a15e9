//! The machine a number belongs to, and what it was doing besides.

use serde::{Deserialize, Serialize};
use std::fs;

/// Where and how a run took place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Processor as the kernel names it.
    pub processor: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// The largest receive buffer a socket may ask for.
    pub rmem_max: u64,
    /// This program's version.
    pub version: String,
    /// The command line.
    pub command: String,
    /// When it began, in seconds since 1970.
    pub unix_seconds: f64,
}

impl Environment {
    /// Of this machine and process.
    pub fn here() -> Self {
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory_bytes().unwrap_or(0),
            kernel: trimmed("/proc/sys/kernel/osrelease").unwrap_or_default(),
            rmem_max: trimmed("/proc/sys/net/core/rmem_max").and_then(|text| text.parse().ok()).unwrap_or(0),
            version: env!("CARGO_PKG_VERSION").into(),
            command: command(),
            unix_seconds: crate::clock::unix_seconds().round(),
        }
    }
}

fn command() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default().to_string();
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

fn trimmed(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_string())
}

fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

fn memory_bytes() -> Option<u64> {
    let kib = field("/proc/meminfo", "MemTotal")?;
    Some(kib.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Time of all cores, and the part of it that the host took away.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoreTime {
    total: u64,
    steal: u64,
}

impl CoreTime {
    /// So far, from /proc/stat; zeros where there is none.
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = stat.lines().next().unwrap_or_default();
        let fields: Vec<u64> = first.split_ascii_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        // guest time (fields 9 and 10) is part of user time already: proc_stat(5)
        Self { total: fields.iter().take(8).sum(), steal: fields.get(7).copied().unwrap_or(0) }
    }

    /// Moves on by what passed between two other moments.
    pub fn advance(&mut self, from: &Self, to: &Self) {
        self.total += to.total.saturating_sub(from.total);
        self.steal += to.steal.saturating_sub(from.steal);
    }

    /// Share stolen since `before`, 0..1.
    pub fn stolen_since(&self, before: &Self) -> f64 {
        let total = self.total.saturating_sub(before.total);
        if total == 0 { 0.0 } else { self.steal.saturating_sub(before.steal) as f64 / total as f64 }
    }
}
