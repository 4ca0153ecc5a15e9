//! Plain members that share a few sockets: each is an address 127.x.y.z of its
//! own, told apart by IP_PKTINFO when receiving and spoken as by ipi_spec_dst
//! when sending (ip(7)). Up to a million of them; cheaper for the server than
//! sockets of their own, so such results are labelled and compared with their like.

use super::slots::{self, Slots, TrainSlot};
use super::udp::widen;
use super::{Options, Receiver, Sink, Taken, Transport, plain};
use crate::clock::Clock;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::in_pktinfo;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, setsockopt, sockopt};
use outcry::batch::Path;
use outcry::net::Volley;
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// The most members on shared sockets.
pub const MEMBERS_MAX: u32 = 1_000_000;
/// The most sockets to share.
pub const SOCKETS_MAX: u32 = 1024;
/// Datagrams per visit: a socket holds many members' copies.
const BATCH: usize = 64;
/// Batches from one socket before the next one has its turn.
const VISITS: usize = 16;
/// One message for a million members waits here for its reader.
const RECEIVE_BUFFER: usize = 64 << 20;
/// Spoken as any address of the loopback.
const WILDCARD: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
/// 127.1.0.0: the block below stays for ordinary use of the loopback.
const FIRST: u32 = 0x7F01_0000;

/// Datagrams that leave in one system call, at most.
const SENT_AT_ONCE: usize = 64;
/// Members whose turn to join is found out together.
const JOINED_AT_ONCE: usize = 512;

thread_local! {
    /// What is being sent. Kept: it takes its memory once.
    static VOLLEY: RefCell<Volley> = RefCell::new(Volley::new(WILDCARD.into(), SENT_AT_ONCE, 1 << 16));
}

/// Members `m` with address 127.1.0.0 + m / K on socket m % K.
pub struct Shared {
    sockets: Arc<[UdpSocket]>,
    target: SocketAddr,
    members: u32,
    gro: bool,
}

impl Shared {
    /// Opens `sockets` sockets for `members` members of a target on the loopback.
    pub fn open(target: SocketAddr, members: u32, sockets: u32, options: Options) -> Result<Self, String> {
        let SocketAddr::V4(v4) = target else {
            return Err("shared sockets take an IPv4 target on the loopback".into());
        };
        if !v4.ip().is_loopback() {
            return Err(format!("shared sockets speak as 127.x.y.z: {target} is not on this host's loopback"));
        }
        if members > MEMBERS_MAX || !(1..=SOCKETS_MAX).contains(&sockets) {
            return Err(format!("at most {MEMBERS_MAX} members on 1 to {SOCKETS_MAX} shared sockets"));
        }
        let open = |_| open_socket(options);
        let sockets = (0..sockets).map(open).collect::<io::Result<Vec<_>>>();
        let sockets = sockets.map_err(|error| format!("cannot open shared sockets: {error}"))?;
        Ok(Self { sockets: sockets.into(), target, members, gro: options.gro })
    }

    fn count(&self) -> u32 {
        self.sockets.len() as u32
    }

    fn address(&self, member: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(FIRST + member / self.count())
    }

    fn path(&self, member: u32) -> Path {
        Path { remote: self.target, local: Some(self.address(member).into()) }
    }

    /// Names of members whose socket is the first one's.
    fn join_on_one_socket(&self, members: &[u32]) -> io::Result<()> {
        let socket = &self.sockets[(members[0] % self.count()) as usize];
        VOLLEY.with_borrow_mut(|volley| {
            for members in members.chunks(SENT_AT_ONCE) {
                volley.clear();
                for member in members {
                    let mut room = plain::NameBytes::default();
                    assert!(
                        volley.push(self.path(*member), plain::name_in(*member, &mut room)),
                        "invariant: names are short"
                    );
                }
                while !volley.is_empty() {
                    volley.send(socket)?;
                }
            }
            Ok(())
        })
    }
}

fn open_socket(options: Options) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(WILDCARD)?;
    widen(&socket, options.receive_buffer.unwrap_or(RECEIVE_BUFFER))?;
    if options.gro {
        slots::receive_trains(&socket)?;
    }
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Transport for Shared {
    fn members(&self) -> u32 {
        self.members
    }

    fn send(&self, member: u32, message: &[u8]) -> io::Result<()> {
        VOLLEY.with_borrow_mut(|volley| {
            volley.clear();
            if !volley.push(self.path(member), message) {
                return Err(Errno::EMSGSIZE.into());
            }
            volley.send(&self.sockets[(member % self.count()) as usize]).map(drop)
        })
    }

    fn join_all(&self, members: &[u32]) -> io::Result<()> {
        members.chunks(JOINED_AT_ONCE).try_for_each(|members| {
            let mut order = [0; JOINED_AT_ONCE];
            let order = &mut order[..members.len()];
            order.copy_from_slice(members);
            order.sort_unstable_by_key(|member| member % self.count());
            let same_socket = |one: &u32, other: &u32| one % self.count() == other % self.count();
            order.chunk_by(same_socket).try_for_each(|members| self.join_on_one_socket(members))
        })
    }

    fn receiver(&self, thread: u32, threads: u32, reading: u32, clock: Clock) -> io::Result<Box<dyn Receiver>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for socket in (thread..self.count()).step_by(threads as usize) {
            let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, u64::from(socket));
            epoll.add(&self.sockets[socket as usize], event)?;
        }
        Ok(Box::new(SharedReceiver {
            sockets: self.sockets.clone(),
            members: reading.min(self.members),
            epoll,
            events: vec![EpollEvent::empty(); self.sockets.len()],
            readable: vec![false; self.sockets.len()],
            headers: MultiHeaders::preallocate(BATCH, Some(cmsg_space!(in_pktinfo))),
            slots: Slots::new(),
            train: self.gro.then(TrainSlot::new),
            clock,
        }))
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let ports: Vec<u16> =
            self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).map(|at| at.port()).collect();
        let address = |member| (self.address(member), ports[(member % self.count()) as usize]).into();
        if ports.len() == self.sockets.len() { (0..self.members).map(address).collect() } else { Vec::new() }
    }

    fn label(&self) -> String {
        let trains = if self.gro { format!("; {}", slots::LABEL) } else { String::new() };
        format!("SHARED: {} UDP sockets, an address 127.x.y.z per member{trains}", self.count())
    }
}

struct SharedReceiver {
    sockets: Arc<[UdpSocket]>,
    members: u32,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    /// Sockets that were not read empty: an edge comes once, and a socket of
    /// thousands of members may never be empty while messages come.
    readable: Vec<bool>,
    headers: MultiHeaders<()>,
    slots: Slots<BATCH>,
    /// Where trains are received.
    train: Option<TrainSlot>,
    clock: Clock,
}

impl Receiver for SharedReceiver {
    fn receive(&mut self, wait: Duration, sink: &mut dyn Sink) -> io::Result<Taken> {
        let wait = if self.readable.contains(&true) { Duration::ZERO } else { wait };
        let wait = EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::ZERO);
        match self.epoll.wait(&mut self.events, wait) {
            Ok(ready) => self.events[..ready].iter().for_each(|event| self.readable[event.data() as usize] = true),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut taken = Taken::default();
        for socket in 0..self.readable.len() {
            if self.readable[socket] {
                taken += self.take_turn(socket, sink);
            }
        }
        Ok(taken)
    }
}

impl SharedReceiver {
    /// Up to [`VISITS`] batches from one socket.
    fn take_turn(&mut self, socket: usize, sink: &mut dyn Sink) -> Taken {
        let mut taken = Taken::default();
        for _ in 0..VISITS {
            let visit = self.visit(socket as u32, sink).unwrap_or_default();
            taken += visit;
            if visit.datagrams < BATCH as u64 {
                self.readable[socket] = false;
                break;
            }
        }
        taken
    }

    fn visit(&mut self, socket: u32, sink: &mut dyn Sink) -> nix::Result<Taken> {
        if self.train.is_some() {
            return self.visit_trains(socket, sink);
        }
        let (sockets, members) = (self.sockets.len() as u32, self.members);
        let mut slices = self.slots.slices();
        let fd = self.sockets[socket as usize].as_raw_fd();
        let received = recvmmsg(fd, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let now = self.clock.now();
        let mut taken = Taken::default();
        for datagram in received {
            let (address, _) = datagram.cmsgs().map(slots::destination).unwrap_or_default();
            let member = address.and_then(|at| member_at(at, socket, sockets, members));
            let bytes = datagram.iovs().next().unwrap_or_default();
            taken += take_for(member, now, bytes, None, sink);
        }
        Ok(taken)
    }

    fn visit_trains(&mut self, socket: u32, sink: &mut dyn Sink) -> nix::Result<Taken> {
        let (sockets, members) = (self.sockets.len() as u32, self.members);
        let (fd, mut taken) = (self.sockets[socket as usize].as_raw_fd(), Taken::default());
        let Some(slot) = &mut self.train else { return Ok(taken) };
        while taken.datagrams < BATCH as u64 {
            match slot.receive(fd) {
                Ok((bytes, address, segment)) => {
                    let member = address.and_then(|at| member_at(at, socket, sockets, members));
                    taken += take_for(member, self.clock.now(), bytes, segment, sink);
                }
                Err(_) if taken.datagrams > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }
}

/// Whose address it is, if it is one of ours.
fn member_at(address: u32, socket: u32, sockets: u32, members: u32) -> Option<u32> {
    let number = u64::from(address.wrapping_sub(FIRST)) * u64::from(sockets) + u64::from(socket);
    u32::try_from(number).ok().filter(|number| *number < members)
}

/// What has no address, or none of ours, is counted, and nobody's.
fn take_for(member: Option<u32>, now: u64, bytes: &[u8], segment: Option<usize>, sink: &mut dyn Sink) -> Taken {
    slots::take_each(bytes, segment, |message| {
        if let Some(member) = member {
            sink.take(member, now, message);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn everybody_joins_at_once_from_an_address_of_its_own_and_takes_no_memory() {
        const MEMBERS: u32 = 1500;
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        widen(&server, 16 << 20).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let options = Options { receive_buffer: Some(1 << 16), gro: false };
        let shared = Shared::open(server.local_addr().unwrap(), MEMBERS, 7, options).unwrap();
        shared.join(0).unwrap();
        let members: Vec<u32> = (1..MEMBERS).rev().collect();
        let counted = allocation_counter::measure(|| shared.join_all(&members).unwrap());
        assert_eq!(counted.count_total, 0);
        let addresses = shared.addresses();
        let expected: HashMap<_, _> =
            (0..MEMBERS).map(|member| (addresses[member as usize], plain::name(member))).collect();
        let mut bytes = [0; 64];
        let mut hear = |_| {
            let (len, from) = server.recv_from(&mut bytes).unwrap();
            (from, String::from_utf8(bytes[..len].to_vec()).unwrap())
        };
        let heard: HashMap<_, _> = (0..MEMBERS).map(&mut hear).collect();
        assert!(heard == expected, "{} heard of {MEMBERS}", heard.len());
    }

    #[test]
    fn a_message_that_is_too_long_is_an_error_and_the_next_one_goes() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let shared = Shared::open(server.local_addr().unwrap(), 2, 1, Options::default()).unwrap();
        assert!(shared.send(0, &[0; 65_508]).is_err() && shared.send(0, &[0; 70_000]).is_err());
        shared.send(1, b"u1 : hello").unwrap();
        assert_eq!(server.recv(&mut [0; 64]).unwrap(), 10);
    }
}
