//! Owns the socket that the server uses: one face for all backends. Never
//! decides when to read or write; the server's loop does.

use super::bind::{self, BindError, Buffers};
use super::egress::{Egress, Flushed};
use super::errno::Fault;
use super::kernel::{Kernel, QueuedError};
use super::sys::addr::{Family, canonical};
#[cfg(target_os = "linux")]
use super::sys::linux::{self, Linux};
use super::sys::portable::Portable;
use crate::Time;
use crate::batch::{Inbox, Item, Outbox, Rosters, SendTally};
use mio::event::Source;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::{AsFd, OwnedFd};

/// How to talk to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// The fastest that this system has: `linux` on Linux, `portable` elsewhere.
    #[default]
    Auto,
    /// One system call a datagram, on any system. It names no unreachable
    /// peers, and answers from the address that the kernel picks.
    Portable,
}

/// What to open a socket with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// How to talk to the kernel.
    pub io: Io,
    /// Receive buffer to ask for; 0: the kernel's default.
    pub rcvbuf_bytes: usize,
    /// Send buffer to ask for; 0: the kernel's default.
    pub sndbuf_bytes: usize,
}

/// How a receive ended.
#[derive(Debug)]
pub enum Received {
    /// Datagrams are in the inbox, and more may be waiting.
    Filled,
    /// Nothing is waiting: the next datagram brings an event.
    Drained,
    /// An ICMP error was reported instead. Not drained: drain the error queue and receive again.
    Pending,
    /// The socket is of no use any more.
    Failed(io::Error),
}

enum Backend {
    #[cfg(target_os = "linux")]
    Linux(Box<Linux>),
    Portable(Portable),
}

/// A non-blocking UDP socket for a fan-out.
///
/// Register it with a mio `Poll` for `READABLE`; ask for `WRITABLE` with
/// [`watch_writable`](Self::watch_writable), only while a flush is blocked.
pub struct Socket {
    backend: Backend,
    egress: Egress,
    local_addr: SocketAddr,
    buffers: Buffers,
    /// The kernel's 32-bit counter, widened.
    drops: Cell<u64>,
    /// Whether the next flush finds the send buffer full.
    #[cfg(test)]
    is_clogged: Box<dyn FnMut() -> bool + Send>,
}

impl Socket {
    /// Opens a socket on `addr`. On `[::]` it speaks IPv4 as well.
    ///
    /// # Errors
    /// The address cannot be had, or the kernel lacks a feature; the message says what to do.
    pub fn bind(addr: SocketAddr, options: &SocketOptions) -> Result<Self, BindError> {
        let linux = cfg!(target_os = "linux") && options.io == Io::Auto;
        let (socket, buffers) = bind::open(addr, options, linux)?;
        Self::opened(addr, socket, buffers, linux)
    }

    /// Takes over a bound socket, with the datagrams that wait in it.
    ///
    /// # Errors
    /// The kernel lacks a feature; the message says what to do.
    pub fn adopt(socket: std::net::UdpSocket, options: &SocketOptions) -> Result<Self, BindError> {
        let linux = cfg!(target_os = "linux") && options.io == Io::Auto;
        let (socket, buffers) = bind::adopt(socket, options, linux)?;
        Self::opened(bind::UNKNOWN, socket, buffers, linux)
    }

    fn opened(addr: SocketAddr, socket: std::net::UdpSocket, buffers: Buffers, linux: bool) -> Result<Self, BindError> {
        let local_addr = socket.local_addr().map_err(|source| BindError::Other { addr, source })?;
        let backend = Backend::new(UdpSocket::from_std(socket), local_addr, linux);
        let egress = Egress::new(backend.sends_trains());
        Ok(Self {
            backend,
            egress,
            local_addr: canonical(local_addr),
            buffers,
            drops: Cell::new(0),
            #[cfg(test)]
            is_clogged: Box::new(|| false),
        })
    }

    /// The address it is bound to, canonical, with the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The kernel's buffers: asked for and obtained.
    pub fn buffers(&self) -> Buffers {
        self.buffers
    }

    /// The name of what talks to the kernel: `linux` or `portable`.
    pub fn backend(&self) -> &'static str {
        match self.backend {
            #[cfg(target_os = "linux")]
            Backend::Linux(_) => "linux",
            Backend::Portable(_) => "portable",
        }
    }

    /// Asks for an event when the socket is writable, or no longer. With it
    /// always on, every datagram that leaves the send buffer would be one.
    ///
    /// # Errors
    /// The socket is not registered, or the registry is not the one it is registered with.
    pub fn watch_writable(&mut self, registry: &Registry, token: Token, on: bool) -> io::Result<()> {
        let interests = if on { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.reregister(registry, token, interests)
    }

    /// Clears `inbox` and receives into it, once.
    pub fn receive(&mut self, inbox: &mut Inbox) -> Received {
        inbox.clear();
        received(self.backend.receive(inbox))
    }

    /// Sends what is in `outbox` to `rosters`, or goes on where the last flush
    /// was blocked. After [`Flushed::Done`] every copy is sent or dropped, and
    /// counted as such in `tally`; clearing the outbox is the caller's.
    pub fn flush(&mut self, now: Time, outbox: &mut Outbox, rosters: &dyn Rosters, tally: &mut SendTally) -> Flushed {
        #[cfg(test)]
        if (self.is_clogged)() {
            return self.egress.flush(&mut Clogged, now, outbox, rosters, tally);
        }
        self.egress.flush(&mut self.backend, now, outbox, rosters, tally)
    }

    /// Drops what a blocked flush has left, counted as
    /// [`SendDrop::Blocked`](crate::batch::SendDrop::Blocked).
    pub fn abandon(&mut self, outbox: &mut Outbox, rosters: &dyn Rosters, tally: &mut SendTally) {
        self.egress.abandon(outbox, rosters, tally);
    }

    /// Leaves the socket without errors. Who shares it may wait at it once we are
    /// gone, and would take what ICMP says about our members for the socket's end.
    pub fn release(&mut self) {
        #[cfg(target_os = "linux")]
        if let Backend::Linux(linux) = &self.backend {
            linux::forget_errors(linux.socket());
        }
        let _ = self.backend.socket_mut().take_error();
    }

    /// The same socket, for another process.
    #[cfg(unix)]
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.backend.socket().as_fd().try_clone_to_owned()
    }

    /// It was shared with a process that has nothing to do with it any more, and
    /// may have set it up for another backend.
    ///
    /// # Errors
    /// An option that this backend relies on cannot be set again.
    #[cfg(unix)]
    pub fn reclaim(&self) -> Result<(), BindError> {
        let socket = self.backend.socket();
        let addr = socket.local_addr().map_err(|source| BindError::Other { addr: self.local_addr, source })?;
        bind::settle(&socket2::SockRef::from(socket), addr, self.backend() != "portable")
    }

    /// The drops that were counted by whoever had this socket before.
    pub fn set_kernel_drops(&mut self, counted: u64) {
        self.drops.set(counted);
    }

    /// Reads the error queue; [`next_unreachable`](Self::next_unreachable)
    /// names the peers found in it. Until it is read, epoll reports an error.
    pub fn drain_errors(&mut self) {
        self.egress.unreachable().drain(&mut self.backend);
    }

    /// The next peer (canonical) that ICMP named as unreachable, in order of
    /// report. Repeats in a row are one.
    pub fn next_unreachable(&mut self) -> Option<SocketAddr> {
        self.egress.unreachable().pop()
    }

    /// Whether [`next_unreachable`](Self::next_unreachable) would name a peer.
    pub fn has_unreachable(&self) -> bool {
        self.egress.has_unreachable()
    }

    /// Unreachable peers that were not remembered, because 1024 were waiting to be read.
    pub fn unreachable_overflowed(&self) -> u64 {
        self.egress.unreachable_overflowed()
    }

    /// Datagrams that the kernel dropped at this socket so far, mostly for a
    /// full receive buffer. Exact if asked at least once in 2^32 drops; 0
    /// where the system does not tell.
    pub fn kernel_drops(&self) -> u64 {
        self.drops.set(widened(self.drops.get(), self.backend.kernel_drops()));
        self.drops.get()
    }
}

#[cfg(all(test, target_os = "linux"))]
impl Socket {
    /// Makes the kernel refuse trains, without fault injection.
    pub(super) fn forbid_checksums(&mut self) {
        linux::forbid_checksums(self.backend.socket_mut()).expect("invariant: any socket may go without");
    }
}

#[cfg(test)]
impl Socket {
    /// Makes the flushes for which `is_clogged` says so find the send buffer full.
    pub(crate) fn clog(&mut self, is_clogged: impl FnMut() -> bool + Send + 'static) {
        self.is_clogged = Box::new(is_clogged);
    }
}

/// A kernel whose send buffer is full. Nothing on loopback can make it so.
#[cfg(test)]
struct Clogged;

#[cfg(test)]
impl Kernel for Clogged {
    fn sends_trains(&self) -> bool {
        true
    }

    fn receive(&mut self, _: &mut Inbox) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn send(&mut self, _: &[u8], _: &[Item]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    fn next_error(&mut self) -> QueuedError {
        QueuedError::Empty
    }
}

/// `total` moved forwards to the next number whose low half is `counter`.
fn widened(total: u64, counter: u32) -> u64 {
    #[allow(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    let passed = counter.wrapping_sub(total as u32);
    total + u64::from(passed)
}

fn received(result: io::Result<()>) -> Received {
    let Err(error) = result else { return Received::Filled };
    match Fault::of(&error) {
        Fault::WouldBlock => Received::Drained,
        // Neither is what ICMP leads to: this would come back for ever.
        Fault::Broken | Fault::Invalid => Received::Failed(error),
        _ => Received::Pending,
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.backend.socket_mut().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.backend.socket_mut().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.backend.socket_mut().deregister(registry)
    }
}

impl Backend {
    #[cfg(target_os = "linux")]
    fn new(socket: UdpSocket, local_addr: SocketAddr, linux: bool) -> Self {
        let family = Family::of(&local_addr);
        if linux {
            let wildcard = local_addr.ip().is_unspecified();
            Self::Linux(Box::new(Linux::new(socket, family, wildcard)))
        } else {
            Self::Portable(Portable::new(socket, family))
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn new(socket: UdpSocket, local_addr: SocketAddr, _: bool) -> Self {
        Self::Portable(Portable::new(socket, Family::of(&local_addr)))
    }

    #[cfg(unix)]
    fn socket(&self) -> &UdpSocket {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(linux) => linux.socket(),
            Self::Portable(portable) => portable.socket(),
        }
    }

    fn socket_mut(&mut self) -> &mut UdpSocket {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(linux) => linux.socket_mut(),
            Self::Portable(portable) => portable.socket_mut(),
        }
    }

    fn kernel_drops(&self) -> u32 {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(linux) => linux::kernel_drops(linux.socket()).unwrap_or(0),
            Self::Portable(_) => 0,
        }
    }
}

impl Kernel for Backend {
    fn sends_trains(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(linux) => linux.sends_trains(),
            Self::Portable(portable) => portable.sends_trains(),
        }
    }

    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(linux) => linux.receive(inbox),
            Self::Portable(portable) => portable.receive(inbox),
        }
    }

    fn send(&mut self, arena: &[u8], items: &[Item]) -> io::Result<usize> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(linux) => linux.send(arena, items),
            Self::Portable(portable) => portable.send(arena, items),
        }
    }

    fn next_error(&mut self) -> QueuedError {
        match self {
            #[cfg(target_os = "linux")]
            Self::Linux(linux) => linux.next_error(),
            Self::Portable(portable) => portable.next_error(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drop_counter_is_widened_over_its_wrap() {
        let total = [10, u32::MAX, 3, 3, 7].into_iter().fold(0, widened);
        assert_eq!(total, (1 << 32) + 7);
    }

    #[cfg(unix)]
    #[test]
    fn only_would_block_means_drained() {
        let of = |errno| received(Err(io::Error::from_raw_os_error(errno)));
        assert!(matches!(received(Ok(())), Received::Filled));
        assert!(matches!(of(libc::EAGAIN), Received::Drained));
        let icmp = [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EMSGSIZE, libc::EPROTO];
        for errno in icmp.into_iter().chain([libc::EINTR, libc::ENOMEM, libc::ENOBUFS]) {
            assert!(matches!(of(errno), Received::Pending), "{errno}");
        }
        for errno in [libc::EBADF, libc::EFAULT, libc::EINVAL, libc::ENOSYS] {
            assert!(matches!(of(errno), Received::Failed(_)), "{errno}");
        }
    }

    #[test]
    fn a_socket_may_move_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Socket>();
    }
}
