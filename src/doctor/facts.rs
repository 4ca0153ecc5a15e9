//! Owns what is asked of the machine: files under /proc and /sys, and the
//! probes of `net`. Never says whether an answer is good.

use super::Asked;
use crate::net::probe::{self, Arrival, Refusal};
use crate::net::route::{self, Qdisc};
use crate::net::{Buffers, Io, Socket, SocketOptions};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::str::FromStr;

/// Files that a process may have open (getrlimit(2) `RLIMIT_NOFILE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimit {
    /// What holds.
    pub soft: u64,
    /// How far it can be raised without privilege.
    pub hard: u64,
}

/// The interface that a destination is reached by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its name.
    pub interface: String,
    /// The longest packet that it takes, in bytes, where it is known.
    pub mtu: Option<u32>,
    /// Its queueing disciplines; empty where they are not known.
    pub qdiscs: Vec<Qdisc>,
}

/// The connection table of netfilter, where it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conntrack {
    /// Entries now.
    pub count: u64,
    /// Entries at most.
    pub max: u64,
    /// Whether a datagram of ours became an entry; `None`: the table cannot be read.
    pub tracks_us: Option<bool>,
}

/// What the kernel reads the time from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The source in use.
    pub current: String,
    /// The ones that could be.
    pub available: Vec<String>,
}

/// Everything that is judged. What could not be found out is `None`, or an
/// error in the kernel's words.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the relay will want.
    pub asked: Asked,
    /// Of this process.
    pub files: Option<FileLimit>,
    /// `net.core.rmem_max`.
    pub rmem_max: Option<usize>,
    /// `net.core.wmem_max`.
    pub wmem_max: Option<usize>,
    /// The buffers of a socket that asked for them.
    pub buffers: Result<Buffers, String>,
    /// A train over loopback to a socket like most members'.
    pub train: Result<Arrival, Refusal>,
    /// A train over loopback to a socket that takes it coalesced.
    pub coalesced: Result<Arrival, Refusal>,
    /// A train towards where the members are; `None` where that is loopback.
    pub distant_train: Option<Result<(), Refusal>>,
    /// The way to the members.
    pub outgoing: Result<Outgoing, String>,
    /// `None` where netfilter tracks nothing.
    pub conntrack: Option<Conntrack>,
    /// Whether an IPv4 socket can be had.
    pub v4: Result<(), String>,
    /// Whether an IPv6 socket can be had.
    pub v6: Result<(), String>,
    /// Whether a socket on `[::]` hears IPv4.
    pub mapped: Result<bool, String>,
    /// `None` where the system does not tell.
    pub clock: Option<Clock>,
}

impl Facts {
    /// Asks the machine.
    pub fn gather(asked: Asked) -> Self {
        let distant = (!asked.to.is_loopback()).then(|| probe::train_towards(asked.to));
        Self {
            files: fs::read_to_string("/proc/self/limits").ok().and_then(|limits| file_limit(&limits)),
            rmem_max: number("/proc/sys/net/core/rmem_max"),
            wmem_max: number("/proc/sys/net/core/wmem_max"),
            buffers: buffers(asked),
            train: probe::train_over_loopback(false),
            coalesced: probe::train_over_loopback(true),
            outgoing: outgoing(asked.to).map_err(|error| error.to_string()),
            conntrack: conntrack(distant.as_ref().and_then(|train| train.as_ref().ok().copied())),
            distant_train: distant.map(|train| train.map(drop)),
            v4: opens(Ipv4Addr::LOCALHOST.into()),
            v6: opens(Ipv6Addr::LOCALHOST.into()),
            mapped: probe::v4_reaches_v6().map_err(|error| error.to_string()),
            clock: clock(),
            asked,
        }
    }
}

/// The number in a file of one.
fn number<N: FromStr>(path: impl AsRef<Path>) -> Option<N> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The row of /proc/self/limits about open files (proc(5)).
fn file_limit(limits: &str) -> Option<FileLimit> {
    let row = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers = row.split_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some(FileLimit { soft: numbers.next()??, hard: numbers.next()?? })
}

fn buffers(asked: Asked) -> Result<Buffers, String> {
    let options = SocketOptions { io: Io::Auto, rcvbuf_bytes: asked.rcvbuf_bytes, sndbuf_bytes: asked.sndbuf_bytes };
    let socket = Socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &options);
    socket.map(|socket| socket.buffers()).map_err(|error| error.to_string())
}

fn opens(ip: IpAddr) -> Result<(), String> {
    UdpSocket::bind((ip, 0)).map(drop).map_err(|error| error.to_string())
}

fn outgoing(to: IpAddr) -> std::io::Result<Outgoing> {
    let index = route::interface_to(to)?;
    let interface = interface_name(index).unwrap_or(format!("number {index}"));
    Ok(Outgoing {
        mtu: number(Path::new("/sys/class/net").join(&interface).join("mtu")),
        qdiscs: route::qdiscs(index).unwrap_or_default(),
        interface,
    })
}

fn interface_name(index: u32) -> Option<String> {
    let interfaces = fs::read_dir("/sys/class/net").ok()?.filter_map(Result::ok);
    let mut names = interfaces.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| number(Path::new("/sys/class/net").join(name).join("ifindex")) == Some(index))
}

/// The table, where its module is loaded. `port`: our datagrams left from it.
fn conntrack(port: Option<u16>) -> Option<Conntrack> {
    let max = number("/proc/sys/net/netfilter/nf_conntrack_max")?;
    let count = number("/proc/sys/net/netfilter/nf_conntrack_count").unwrap_or(0);
    let tracks_us = match port {
        Some(port) => fs::read_to_string("/proc/net/nf_conntrack").ok().map(|table| is_tracked(&table, port)),
        None => tracks_loopback(),
    };
    Some(Conntrack { count, max, tracks_us })
}

/// Looks for a datagram over loopback while the socket that it left from is open.
fn tracks_loopback() -> Option<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let own = socket.local_addr().ok()?;
    socket.send_to(&[0], own).ok()?;
    Some(is_tracked(&fs::read_to_string("/proc/net/nf_conntrack").ok()?, own.port()))
}

fn is_tracked(table: &str, port: u16) -> bool {
    let port = format!("sport={port}");
    table.lines().any(|line| line.contains(" udp ") && line.split_whitespace().any(|word| word == port))
}

fn clock() -> Option<Clock> {
    let read = |name: &str| {
        let path = Path::new("/sys/devices/system/clocksource/clocksource0").join(name);
        Some(fs::read_to_string(path).ok()?.trim().to_owned())
    };
    let available = read("available_clocksource")?.split_whitespace().map(str::to_owned).collect();
    Some(Clock { current: read("current_clocksource")?, available })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_limit_is_read_from_its_row() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max processes             63288                63288                processes \n\
            Max open files            1024                 unlimited            files     \n";
        assert_eq!(file_limit(limits), Some(FileLimit { soft: 1024, hard: u64::MAX }));
        assert_eq!(file_limit("Max open files            many\n"), None);
        assert_eq!(file_limit(""), None);
    }

    #[test]
    fn an_entry_of_the_table_is_ours_by_its_port() {
        let table = "ipv4     2 udp      17 29 src=127.0.0.1 dst=127.0.0.1 sport=4000 dport=9 [UNREPLIED]\n\
            ipv4     2 tcp      6 29 src=127.0.0.1 dst=127.0.0.1 sport=4001 dport=9\n";
        assert!(is_tracked(table, 4000));
        assert!(!is_tracked(table, 400) && !is_tracked(table, 4001) && !is_tracked("", 4000));
    }
}
