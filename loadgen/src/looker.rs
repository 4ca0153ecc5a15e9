//! Looks at server and kernel from outside, before and after a measurement.

use crate::machine::page::{self, Cause, Counters, Growth};
use crate::machine::{drops, environment::CoreTime, server};
use crate::report::Server;
use crate::stage::Trial;
use std::collections::HashSet;
use std::net::SocketAddr;

/// Knows where to look.
pub struct Looker {
    pid: Option<u32>,
    /// The server's OpenMetrics page.
    page: Option<String>,
    /// The server's port, where the server is on this host.
    server_port: HashSet<u16>,
    own_ports: HashSet<u16>,
    before_join: Option<server::Sample>,
}

/// What was seen at one moment.
pub struct Look {
    sample: Option<server::Sample>,
    counters: Option<Counters>,
    server_drops: u64,
    own_drops: u64,
    cores: CoreTime,
    /// What could be seen before anybody joined, and cannot now.
    pub trouble: Option<String>,
}

impl Looker {
    /// For a server at `target`, with its process and its page where they are known.
    pub fn new(target: SocketAddr, pid: Option<u32>, page: Option<String>) -> Self {
        let local = target.ip().is_loopback() || pid.is_some();
        let server_port = local.then(|| target.port()).into_iter().collect();
        Self { pid, page, server_port, own_ports: HashSet::new(), before_join: None }
    }

    /// Remembers the server as it is with nobody in, and tries what will be looked at.
    pub fn before_join(&mut self) -> Result<(), String> {
        self.before_join = self.sample()?;
        self.counters().map(drop)
    }

    fn counters(&self) -> Result<Option<Counters>, String> {
        self.page.as_deref().map(Counters::fetch).transpose()
    }

    /// The generator's own UDP ports.
    pub fn watch_own(&mut self, ports: HashSet<u16>) {
        self.own_ports = ports;
    }

    fn sample(&self) -> Result<Option<server::Sample>, String> {
        self.pid.map(server::sample).transpose()
    }

    /// The server's process now, if it can be seen.
    pub fn sample_now(&self) -> Option<server::Sample> {
        self.sample().ok().flatten()
    }

    /// Looks now. A server that has ended is no reason to lose what was measured.
    pub fn look(&self) -> Look {
        let (sample, counters) = (self.sample(), self.counters());
        let trouble = sample.as_ref().err().or(counters.as_ref().err()).cloned();
        Look {
            sample: sample.ok().flatten(),
            counters: counters.ok().flatten(),
            server_drops: drops::udp_drops(&self.server_port),
            own_drops: drops::udp_drops(&self.own_ports),
            cores: CoreTime::now(),
            trouble,
        }
    }

    /// What the server used for a measurement; `None` without its process.
    pub fn server(&self, trial: &Trial) -> Option<Server> {
        let (pid, before) = (self.pid?, self.before_join?);
        let (start, end) = (trial.start.sample?, trial.end.sample?);
        let used = server::used(&start, &end);
        let run = &trial.measurement;
        Some(Server {
            pid,
            cpu_ns: used.cpu_ns,
            user_share: used.user_share,
            utilisation: used.cpu_ns as f64 / run.busy_ns().max(1) as f64,
            ns_per_copy: used.cpu_ns as f64 / run.copies_with_warmup.max(1) as f64,
            rss_before: before.rss_bytes,
            rss_joined: start.rss_bytes,
            rss_end: end.rss_bytes,
        })
    }
}

impl Look {
    /// The server's processor time so far.
    pub fn cpu_ns(&self) -> u64 {
        self.sample.map_or(0, |sample| sample.cpu_ns)
    }

    /// Datagrams dropped at the generator's sockets in between.
    pub fn own_drops_since(&self, start: &Self) -> u64 {
        self.own_drops.saturating_sub(start.own_drops)
    }

    /// Datagrams dropped at the server's socket in between.
    pub fn server_drops_since(&self, start: &Self) -> u64 {
        self.server_drops.saturating_sub(start.server_drops)
    }

    /// What grew on the server's page in between; `None` without one.
    pub fn counted_since(&self, start: &Self) -> Option<Vec<Growth>> {
        Some(self.counters.as_ref()?.since(start.counters.as_ref()?))
    }

    /// Of `sent` messages, those that the server says it never read.
    pub fn unheard_since(&self, start: &Self, sent: u64) -> u64 {
        match &self.counters {
            Some(counters) if counters.tells_heard() => {
                let growth = self.counted_since(start).unwrap_or_default();
                sent.saturating_sub(page::sum(&growth, Cause::Heard))
            }
            _ => 0,
        }
    }

    /// Share of processor time stolen in between.
    pub fn stolen_since(&self, start: &Self) -> f64 {
        self.cores.stolen_since(&start.cores)
    }

    /// Moves on by what passed between two other looks, so that differences
    /// to an earlier one add up over several measurements.
    pub fn advance(&mut self, from: &Self, to: &Self) {
        self.trouble = self.trouble.take().or_else(|| to.trouble.clone());
        self.server_drops += to.server_drops_since(from);
        self.own_drops += to.own_drops_since(from);
        self.cores.advance(&from.cores, &to.cores);
        if let (Some(counters), Some(from), Some(to)) = (&mut self.counters, &from.counters, &to.counters) {
            counters.advance(from, to);
        }
        if let (Some(sample), Some(from), Some(to)) = (&mut self.sample, &from.sample, &to.sample) {
            sample.advance(from, to);
        }
    }
}
