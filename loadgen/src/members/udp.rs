//! Plain members with a UDP socket each, connected to the target: what real
//! clients are, and what costs the server what real clients cost.

use super::slots::{self, Slots, TrainSlot};
use super::{Options, Receiver, Sink, Taken, Transport, limits};
use crate::clock::Clock;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// The most members with a socket each: beyond it ports and kernel memory run out.
pub const MEMBERS_MAX: u32 = 16_000;

const EVENTS: usize = 1024;
/// Datagrams per visit: one is usual, a few come when the target coalesces.
const BATCH: usize = 16;

/// One connected socket per member.
pub struct PerClient {
    sockets: Arc<[UdpSocket]>,
    gro: bool,
}

impl PerClient {
    /// Opens `members` sockets towards `target`.
    pub fn open(target: SocketAddr, members: u32, options: Options) -> Result<Self, String> {
        if members > MEMBERS_MAX {
            return Err(format!("{members} members with a socket each: the most is {MEMBERS_MAX}"));
        }
        limits::allow_sockets(u64::from(members))?;
        let open = |_| open_socket(target, options);
        let sockets = (0..members).map(open).collect::<io::Result<Vec<_>>>();
        let sockets = sockets.map_err(|error| format!("cannot open {members} sockets towards {target}: {error}"))?;
        Ok(Self { sockets: sockets.into(), gro: options.gro })
    }

    fn socket(&self, member: u32) -> &UdpSocket {
        &self.sockets[member as usize]
    }
}

fn open_socket(target: SocketAddr, options: Options) -> io::Result<UdpSocket> {
    let local: SocketAddr = match target {
        SocketAddr::V4(v4) if v4.ip().is_loopback() => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local)?;
    if let Some(bytes) = options.receive_buffer {
        widen(&socket, bytes)?;
    }
    if options.gro {
        slots::receive_trains(&socket)?;
    }
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Asks for a receive buffer, past the system's limit where that is allowed.
pub fn widen(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &bytes)?;
    }
    Ok(())
}

impl Transport for PerClient {
    fn members(&self) -> u32 {
        self.sockets.len() as u32
    }

    fn send(&self, member: u32, message: &[u8]) -> io::Result<()> {
        self.socket(member).send(message).map(drop)
    }

    fn receiver(&self, thread: u32, threads: u32, reading: u32, clock: Clock) -> io::Result<Box<dyn Receiver>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for member in (thread..reading.min(self.members())).step_by(threads as usize) {
            epoll.add(
                self.socket(member),
                EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, u64::from(member)),
            )?;
        }
        Ok(Box::new(EpollReceiver {
            sockets: self.sockets.clone(),
            epoll,
            events: vec![EpollEvent::empty(); EVENTS],
            headers: MultiHeaders::preallocate(BATCH, None),
            slots: Slots::new(),
            train: self.gro.then(TrainSlot::new),
            clock,
        }))
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    fn label(&self) -> String {
        let trains = if self.gro { format!("; {}", slots::LABEL) } else { String::new() };
        format!("one UDP socket per member{trains}")
    }
}

/// Edge-triggered epoll over one thread's sockets, up to [`BATCH`] datagrams
/// and one look at the clock per visit. Fewer than asked for means that the
/// queue was empty, so what comes later is a new edge.
struct EpollReceiver {
    sockets: Arc<[UdpSocket]>,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    headers: MultiHeaders<()>,
    slots: Slots<BATCH>,
    /// Where trains are received.
    train: Option<TrainSlot>,
    clock: Clock,
}

impl Receiver for EpollReceiver {
    fn receive(&mut self, wait: Duration, sink: &mut dyn Sink) -> io::Result<Taken> {
        let wait = EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::ZERO);
        let ready = match self.epoll.wait(&mut self.events, wait) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut taken = Taken::default();
        for at in 0..ready {
            taken += self.empty(self.events[at].data() as u32, sink);
        }
        Ok(taken)
    }
}

impl EpollReceiver {
    /// Reads until nothing is left. An error other than EAGAIN is a pending
    /// one of the ICMP kind, taken off by reading it: a target that is gone
    /// shows in what does not arrive.
    fn empty(&mut self, member: u32, sink: &mut dyn Sink) -> Taken {
        let (mut taken, mut errors) = (Taken::default(), 0);
        loop {
            match self.visit(member, sink) {
                Ok(visit) => {
                    taken += visit;
                    if visit.datagrams < BATCH as u64 {
                        return taken;
                    }
                }
                Err(Errno::EAGAIN) => return taken,
                Err(Errno::ECONNREFUSED) if errors < BATCH => {
                    sink.refused(member);
                    errors += 1;
                }
                Err(_) if errors == BATCH => return taken,
                Err(_) => errors += 1,
            }
        }
    }

    fn visit(&mut self, member: u32, sink: &mut dyn Sink) -> nix::Result<Taken> {
        if self.train.is_some() {
            return self.visit_trains(member, sink);
        }
        let mut slices = self.slots.slices();
        let fd = self.sockets[member as usize].as_raw_fd();
        let received = recvmmsg(fd, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let now = self.clock.now();
        let mut taken = Taken::default();
        for datagram in received {
            let bytes = datagram.iovs().next().unwrap_or_default();
            taken += slots::take_each(bytes, None, |message| sink.take(member, now, message));
        }
        Ok(taken)
    }

    fn visit_trains(&mut self, member: u32, sink: &mut dyn Sink) -> nix::Result<Taken> {
        let (fd, mut taken) = (self.sockets[member as usize].as_raw_fd(), Taken::default());
        let Some(slot) = &mut self.train else { return Ok(taken) };
        while taken.datagrams < BATCH as u64 {
            match slot.receive(fd) {
                Ok((bytes, _, segment)) => {
                    let now = self.clock.now();
                    taken += slots::take_each(bytes, segment, |message| sink.take(member, now, message));
                }
                Err(Errno::ECONNREFUSED) if taken.datagrams > 0 => sink.refused(member),
                Err(_) if taken.datagrams > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }
}
