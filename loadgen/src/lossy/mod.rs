//! A path with known flaws: a UDP proxy between the members and the target
//! that loses, repeats and delays datagrams by a seed. A thread of the
//! generator's own process, so that one command shows what loss costs; it is
//! said in every output, because such results are of another kind.

mod fate;
mod proxy;

use proxy::Proxy;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Members on a lossy path at most: each has a socket of the proxy's too.
pub const MEMBERS_MAX: u32 = 4_000;

/// What the path does to datagrams, each way. Shares, 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flaws {
    /// Lost.
    pub loss: f64,
    /// How many are lost in a row, on average; 1: each for itself.
    pub burst: f64,
    /// Delivered twice.
    pub duplicate: f64,
    /// Held for 1 to 5 ms, so that others overtake them.
    pub reorder: f64,
}

impl Default for Flaws {
    fn default() -> Self {
        Self { loss: 0.0, burst: 1.0, duplicate: 0.0, reorder: 0.0 }
    }
}

impl Flaws {
    /// What is wrong with them, if anything.
    pub fn refuses(&self) -> Option<String> {
        let shares = [self.loss, self.duplicate, self.reorder];
        if shares.iter().any(|share| !(0.0..=0.5).contains(share)) {
            return Some("--loss, --duplicate and --reorder are shares from 0 to 0.5".into());
        }
        let bad_burst = !(1.0..=1000.0).contains(&self.burst);
        bad_burst.then(|| "--loss-burst must be 1 to 1000".into())
    }

    /// For every output.
    pub fn label(&self, seed: u64) -> String {
        let percent = |share: f64| format!("{} %", (share * 1e6).round() / 1e4);
        let bursts = if self.burst > 1.0 { format!(" in bursts of {}", self.burst) } else { String::new() };
        format!(
            "LOSSY: {} of datagrams lost each way{bursts}, {} repeated, {} held 1 to 5 ms, seed {seed}, by a proxy",
            percent(self.loss),
            percent(self.duplicate),
            percent(self.reorder),
        )
    }
}

/// What became of datagrams, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathFigures {
    /// Came to the proxy.
    pub datagrams: u64,
    /// Lost there.
    pub lost: u64,
    /// Sent on twice.
    pub repeated: u64,
    /// Sent on later.
    pub held: u64,
}

/// Shared with the proxy's thread.
#[derive(Default)]
struct Told {
    datagrams: AtomicU64,
    lost: AtomicU64,
    repeated: AtomicU64,
    held: AtomicU64,
    ports: Mutex<Vec<u16>>,
    stop: AtomicBool,
}

/// A running proxy; it ends when dropped.
pub struct Path {
    address: SocketAddr,
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

impl Path {
    /// Starts one towards `target`.
    pub fn start(flaws: Flaws, seed: u64, target: SocketAddr) -> Result<Self, String> {
        let told = Arc::new(Told::default());
        let failed = |error: std::io::Error| format!("cannot start the lossy path: {error}");
        let proxy = Proxy::open(flaws, seed, target, told.clone()).map_err(failed)?;
        let address = proxy.address().map_err(failed)?;
        let thread =
            std::thread::Builder::new().name("loadgen-path".into()).spawn(move || proxy.run()).map_err(failed)?;
        Ok(Self { address, told, thread: Some(thread) })
    }

    /// What members take for the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The ports of its sockets: what the kernel drops there is the generator's fault.
    pub fn ports(&self) -> Vec<u16> {
        self.told.ports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What became of datagrams so far.
    pub fn figures(&self) -> PathFigures {
        let Told { datagrams, lost, repeated, held, .. } = &*self.told;
        PathFigures {
            datagrams: datagrams.load(Relaxed),
            lost: lost.load(Relaxed),
            repeated: repeated.load(Relaxed),
            held: held.load(Relaxed),
        }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.told.stop.store(true, Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

impl PathFigures {
    /// What came since `earlier`.
    #[must_use]
    pub fn since(self, earlier: &Self) -> Self {
        Self {
            datagrams: self.datagrams - earlier.datagrams,
            lost: self.lost - earlier.lost,
            repeated: self.repeated - earlier.repeated,
            held: self.held - earlier.held,
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.datagrams += other.datagrams;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.held += other.held;
    }
}
