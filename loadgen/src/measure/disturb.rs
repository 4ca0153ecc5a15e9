//! What is done while a measurement runs: members that come and go, or a
//! server that is stopped and continued.

use super::Board;
use crate::clock::Clock;
use crate::members::Transport;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ops::Range;
use std::time::Duration;

/// Something that goes on beside the messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Disturbance {
    /// Members that are set aside leave and join, so many a second.
    Churn {
        /// Leaves plus joins per second.
        per_second: f64,
    },
    /// The server's process is stopped (SIGSTOP) once, and continued.
    Stall {
        /// The server.
        pid: u32,
        /// From the beginning of measuring.
        after: Duration,
        /// How long.
        length: Duration,
    },
}

impl Disturbance {
    /// Goes on until sending ends. `aside` are the members it may use.
    pub(super) fn run(&self, transport: &dyn Transport, aside: Range<u32>, board: &Board, clock: Clock, begin: u64) {
        match self {
            Self::Churn { per_second } => churn(transport, aside, board, clock, begin, *per_second),
            Self::Stall { pid, after, length } => stall(*pid, begin + after.as_nanos() as u64, *length, board, clock),
        }
    }
}

/// Every member is in again when it ends.
fn churn(transport: &dyn Transport, aside: Range<u32>, board: &Board, clock: Clock, begin: u64, per_second: f64) {
    let (mut steps, mut gone) = (0u64, None);
    let members = u64::from(aside.end - aside.start).max(1);
    while !board.sending_over() {
        let due = begin + (steps as f64 * 1e9 / per_second) as u64;
        if clock.now() < due {
            std::thread::sleep(Duration::from_nanos((due - clock.now().min(due)).min(20_000_000)));
            continue;
        }
        let member = aside.start + (steps / 2 % members) as u32;
        gone = match gone {
            None => transport.leave(member).ok().map(|()| member),
            Some(left) => transport.join(left).err().map(|_| left),
        };
        steps += 1;
    }
    if let Some(left) = gone {
        let _ = transport.join(left);
    }
}

fn stall(pid: u32, due: u64, length: Duration, board: &Board, clock: Clock) {
    while clock.now() < due {
        if board.sending_over() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let server = Pid::from_raw(pid as i32);
    // Continued even if stopping failed: a stopped server must not be left behind.
    let _ = kill(server, Signal::SIGSTOP);
    std::thread::sleep(length);
    let _ = kill(server, Signal::SIGCONT);
}
