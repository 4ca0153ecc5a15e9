//! How members reach the target: sockets, joining, leaving, sending and
//! receiving. Knows bytes and members, not what a message means.

pub mod limits;
pub mod plain;
pub mod udp;

use crate::clock::Clock;
use std::io;
use std::time::Duration;

/// Takes what a member received. Called on the receiving thread, once per copy.
pub trait Sink {
    /// `bytes` reached `member` at `now` (ns of the run's clock).
    fn take(&mut self, member: u32, now: u64, bytes: &[u8]);

    /// `member` learnt that nobody listens at the target.
    fn refused(&mut self, _member: u32) {}
}

/// All members of a run, shared by sending and receiving threads.
pub trait Transport: Send + Sync {
    /// How many members there are.
    fn members(&self) -> u32;

    /// The name of a member, as it stands before ` : ` in its messages.
    fn name(&self, member: u32) -> String;

    /// Asks the target to let a member in. May be repeated.
    fn join(&self, member: u32) -> io::Result<()>;

    /// Takes a member out; best effort.
    fn leave(&self, member: u32) -> io::Result<()>;

    /// Sends one message as `member`.
    fn send(&self, member: u32, message: &[u8]) -> io::Result<()>;

    /// Answers a text that asks for something before it lets a member in.
    /// Called for texts that are no message of ours, while joining only.
    fn answer(&self, _member: u32, _text: &[u8]) -> io::Result<()> {
        Ok(())
    }

    /// The receiving half for the members `thread`, `thread + threads`, ...
    fn receiver(&self, thread: u32, threads: u32, clock: Clock) -> io::Result<Box<dyn Receiver>>;

    /// The local UDP ports, by which /proc tells what the kernel dropped here.
    fn udp_ports(&self) -> Vec<u16>;

    /// What a report must say about how members were made.
    fn label(&self) -> String;
}

/// One thread's receiving half, made and used on that thread.
pub trait Receiver {
    /// Waits up to `wait` for anything, hands it to `sink`, and returns how
    /// many datagrams there were.
    fn receive(&mut self, wait: Duration, sink: &mut dyn Sink) -> io::Result<u64>;
}
