//! What one copy costs a server beside the kernel's floor: the same message to
//! the same addresses, sent by the server, then by prepared sendmmsg calls with
//! the same socket options, in turns.
//!
//! Copies are taken out of the sockets between the turns, not during them: a
//! thread that sleeps on a socket makes each copy pay for waking it, which is
//! the receivers' cost and would hide the server's.

use crate::clock::Clock;
use crate::machine::{server, threads};
use crate::members::{Receiver, Sink, Transport};
use outcry::net::Prebuilt;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// The member that speaks; all others hear.
const SPEAKER: u32 = 0;
/// A server that hardly uses the processor for so many steps has sent everything.
const IDLE_STEPS: u32 = 10;
const STEP: Duration = Duration::from_millis(5);
/// What timers and polling may use of a step: a twentieth.
const IDLE_NS: u64 = STEP.as_nanos() as u64 / 20;
/// The longest wait for a server to become idle, in steps.
const STEPS_MAX: u32 = 24_000;

/// One turn of each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The server's processor time per copy, in ns.
    pub server_ns: f64,
    /// That of prepared sendmmsg calls.
    pub floor_ns: f64,
    /// Copies that did not come, of both.
    pub lost: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// How members were made.
    pub members_made: String,
    /// Copies of one message.
    pub copies: u64,
    /// Bytes of the message.
    pub size: usize,
    /// In the order they were measured.
    pub rounds: Vec<Round>,
    /// Median of the server's.
    pub server_ns: f64,
    /// Median of the floor's.
    pub floor_ns: f64,
    /// The first of them divided by the second.
    pub ratio: f64,
}

/// Counts one message's copies.
struct Tally<'a> {
    wanted: &'a [u8],
    copies: u64,
}

impl Sink for Tally<'_> {
    fn take(&mut self, _member: u32, _now: u64, bytes: &[u8]) {
        self.copies += u64::from(bytes == self.wanted);
    }
}

/// Measures `rounds` rounds after one that does not count. Every member has
/// joined the server, whose process is `pid` and whose address is `target`.
pub fn floor(
    transport: &dyn Transport,
    target: SocketAddr,
    pid: u32,
    size: usize,
    rounds: u32,
    told: &mut dyn FnMut(&Round),
) -> Result<Floor, String> {
    let message = message(&transport.name(SPEAKER), size);
    let mut trial = Trial::prepare(transport, target, pid, &message)?;
    trial.round()?;
    let mut found = Vec::new();
    for _ in 0..rounds {
        let round = trial.round()?;
        told(&round);
        found.push(round);
    }
    let of = |value: fn(&Round) -> f64| median(found.iter().map(value).collect());
    let (server_ns, floor_ns) = (of(|round| round.server_ns), of(|round| round.floor_ns));
    Ok(Floor {
        members_made: transport.label(),
        copies: trial.copies,
        size: message.len(),
        server_ns,
        floor_ns,
        ratio: server_ns / floor_ns,
        rounds: found,
    })
}

/// A line of chat of `size` bytes, or the least possible.
fn message(name: &str, size: usize) -> Vec<u8> {
    let mut text = format!("{name} : ").into_bytes();
    let size = size.max(text.len() + 1);
    text.resize(size, b'x');
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

struct Trial<'a> {
    transport: &'a dyn Transport,
    receiver: Box<dyn Receiver>,
    prebuilt: Prebuilt,
    pid: u32,
    message: &'a [u8],
    /// Of one message.
    copies: u64,
}

impl<'a> Trial<'a> {
    fn prepare(transport: &'a dyn Transport, target: SocketAddr, pid: u32, message: &'a [u8]) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot prepare the floor: {error}");
        let addresses = transport.addresses();
        let others = addresses.get(1..).filter(|others| !others.is_empty()).ok_or("the floor is for UDP members")?;
        // Bound as the server is, so that the kernel looks up the same routes.
        let own: IpAddr = target.ip();
        let socket = UdpSocket::bind((own, 0)).map_err(failed)?;
        let prebuilt = Prebuilt::new(&socket, others, message, None).map_err(failed)?;
        let receiver = transport.receiver(0, 1, u32::MAX, Clock::start()).map_err(failed)?;
        Ok(Self { transport, receiver, prebuilt, pid, message, copies: others.len() as u64 })
    }

    fn round(&mut self) -> Result<Round, String> {
        let (server_cpu, by_server) = (self.serve()?, self.empty()?);
        let before = threads::usage().cpu_ns;
        self.prebuilt.send_all().map_err(|error| format!("the floor cannot send: {error}"))?;
        let floor_cpu = threads::usage().cpu_ns - before;
        let by_floor = self.empty()?;
        let each = |cpu: u64| cpu as f64 / self.copies as f64;
        let lost = 2 * self.copies - by_server.min(self.copies) - by_floor.min(self.copies);
        Ok(Round { server_ns: each(server_cpu), floor_ns: each(floor_cpu), lost })
    }

    /// Has the server send one message to everybody; its processor time until it is idle.
    fn serve(&self) -> Result<u64, String> {
        let cpu = || server::sample(self.pid).map(|sample| sample.cpu_ns);
        let before = cpu()?;
        self.transport.send(SPEAKER, self.message).map_err(|error| format!("cannot send to the target: {error}"))?;
        let (mut last, mut still) = (before, 0);
        for _ in 0..STEPS_MAX {
            std::thread::sleep(STEP);
            let now = cpu()?;
            still = if now - last.min(now) <= IDLE_NS { still + 1 } else { 0 };
            last = now;
            if still >= IDLE_STEPS && now > before {
                return Ok(now - before);
            }
        }
        Err("the server was not idle within two minutes: does anybody else use it?".into())
    }

    /// Takes all copies out of the sockets; how many of the message there were.
    fn empty(&mut self) -> Result<u64, String> {
        const QUIET: Duration = Duration::from_millis(50);
        let mut tally = Tally { wanted: self.message, copies: 0 };
        loop {
            let taken = self.receiver.receive(QUIET, &mut tally).map_err(|error| format!("cannot receive: {error}"))?;
            if taken.messages == 0 {
                return Ok(tally.copies);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_the_size_asked_for() {
        assert_eq!(message("u0", 64).len(), 64);
        assert!(message("u0", 64).starts_with(b"u0 : xxx"));
        assert_eq!(message("u0", 0), b"u0 : x");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
    }
}
