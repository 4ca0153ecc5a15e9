//! Receivers on loopback, drained by a thread, and the ways to send to them.
#![allow(unreachable_pub, reason = "a bench is no library")]

pub mod native;

use cpu_time::ThreadTime;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use outcry::config::Config;
use outcry::net::Prebuilt;
use outcry::server::Server;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// How often the drain thread looks for what has not arrived before it gives up.
const SWEEPS_MAX: usize = 10_000;

/// `members` sockets and the thread that empties them between turns.
///
/// Between, not during: while a thread sleeps on a socket, every copy pays for
/// waking it, and two threads fight for the same cache lines. That is the
/// receivers' cost. What is measured here is the lowest floor there is, so the
/// relay's own share shows most.
pub struct Room {
    sockets: Arc<Vec<UdpSocket>>,
    addresses: Vec<SocketAddr>,
    /// Copies to take out; the answer says how many came.
    drain: SyncSender<u64>,
    drained: Receiver<u64>,
}

impl Room {
    /// `None`, with a word why, where so many sockets cannot be had.
    pub fn open(members: usize) -> Option<Self> {
        let files = rlimit::increase_nofile_limit(members as u64 + 1000).unwrap_or(0);
        let sockets: std::io::Result<Vec<_>> =
            (0..members).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))).collect();
        let Ok(sockets) = sockets else {
            println!("SKIPPED {members} members: only {files} files may be open: ulimit -n {}", members * 2);
            return None;
        };
        for socket in &sockets {
            socket.set_nonblocking(true).expect("a socket can be non-blocking");
        }
        let addresses = sockets.iter().map(|socket| socket.local_addr().expect("bound")).collect();
        let sockets = Arc::new(sockets);
        let (drain, drained) = start_drain(Arc::clone(&sockets));
        Some(Self { sockets, addresses, drain, drained })
    }

    pub fn members(&self) -> usize {
        self.sockets.len()
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether receivers take a train whole (udp(7) `UDP_GRO`). `false`: this kernel has no such thing.
    pub fn set_gro(&self, on: bool) -> bool {
        self.sockets.iter().all(|socket| setsockopt(socket, sockopt::UdpGroSegment, &on).is_ok())
    }

    /// Takes `copies` copies out of the sockets.
    pub fn drain(&self, copies: u64) {
        self.drain.send(copies).expect("the drain thread runs");
        let came = self.drained.recv().expect("the drain thread runs");
        assert_eq!(came, copies, "every copy arrives on loopback");
    }
}

fn start_drain(sockets: Arc<Vec<UdpSocket>>) -> (SyncSender<u64>, Receiver<u64>) {
    let (drain, wanted) = sync_channel(1);
    let (done, drained) = sync_channel(1);
    std::thread::spawn(move || {
        for copies in wanted {
            let mut came = 0;
            for _ in 0..SWEEPS_MAX {
                came += sockets.iter().map(empty).sum::<u64>();
                if came >= copies {
                    break;
                }
            }
            if done.send(came).is_err() {
                return;
            }
        }
    });
    (drain, drained)
}

/// Receives until nothing waits.
fn empty(socket: &UdpSocket) -> u64 {
    let mut copies = 0;
    receive_all(socket, |_| copies += 1);
    copies
}

/// Hands over each datagram that waits at the socket, those of a train that came whole as well.
fn receive_all(socket: &UdpSocket, mut datagram: impl FnMut(&[u8])) {
    let (mut buffer, mut control) = ([0; 65_536], cmsg_space!(i32));
    loop {
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let (len, segment) = match recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty())
        {
            Ok(received) => (received.bytes, segment_len(received.cmsgs().expect("control messages are whole"))),
            Err(Errno::EAGAIN) => return,
            Err(error) => panic!("a receiver failed: {error}"),
        };
        buffer[..len].chunks(segment.unwrap_or(len.max(1))).for_each(&mut datagram);
    }
}

/// The length of a train's datagrams, where the kernel tells it.
fn segment_len(mut control: impl Iterator<Item = ControlMessageOwned>) -> Option<usize> {
    control.find_map(|message| match message {
        ControlMessageOwned::UdpGroSegments(len) => usize::try_from(len).ok(),
        _ => None,
    })
}

/// A way to send a turn's messages to everyone.
pub trait Fanout {
    fn name(&self) -> &'static str;
    /// Sends one turn to all members; returns the CPU time that the sending thread took.
    fn turn(&mut self) -> Duration;
}

/// The relay itself: its real loop, on this thread.
pub struct RelayFanout {
    server: Server,
    speaker: UdpSocket,
    lines: Vec<Vec<u8>>,
    copies_expected: u64,
}

impl RelayFanout {
    pub fn new(room: &Room, messages: usize, bytes: usize) -> Self {
        let mut config = Config::for_bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        // Nothing but the turn's own messages may reach the receivers.
        config.limits.notice_copies_per_s = 1;
        let mut server = Server::bind(&config).expect("a free port on loopback");
        for (number, socket) in room.sockets.iter().enumerate() {
            socket.send_to(format!("m{number}").as_bytes(), server.local_addr()).expect("loopback");
            if number % 100 == 99 {
                settle(&mut server);
            }
        }
        let speaker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        speaker.connect(server.local_addr()).expect("loopback");
        speaker.send(b"speaker").expect("loopback");
        settle(&mut server);
        let report = server.report();
        assert_eq!(report.members, room.members() + 1, "everyone has joined");
        // A notice within the first second's budget must not be taken for a message.
        room.drain(report.copies.sent);
        let line = |number| line(number, bytes);
        let lines = (0..messages).map(line).collect();
        Self { server, speaker, lines, copies_expected: (room.members() * messages) as u64 }
    }
}

/// A message of exactly `bytes` bytes.
fn line(number: usize, bytes: usize) -> Vec<u8> {
    format!("speaker : {number:0>width$}", width = bytes - "speaker : ".len()).into_bytes()
}

fn settle(server: &mut Server) {
    loop {
        server.turn(Some(Duration::from_millis(1))).expect("the loop runs");
        if server.is_idle() {
            return;
        }
    }
}

impl Fanout for RelayFanout {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn turn(&mut self) -> Duration {
        for line in &self.lines {
            self.speaker.send(line).expect("loopback");
        }
        let before = self.server.copies();
        let start = ThreadTime::now();
        loop {
            self.server.turn(Some(Duration::ZERO)).expect("the loop runs");
            if self.server.is_idle() && self.server.copies().sent > before.sent {
                break;
            }
        }
        let cpu = start.elapsed();
        let after = self.server.copies();
        assert_eq!(after.sent - before.sent, self.copies_expected, "a whole turn was sent");
        cpu
    }
}

/// The floor: prebuilt `sendmmsg`, as trains when there are several messages.
pub struct TrainFanout(Prebuilt);

impl TrainFanout {
    pub fn new(room: &Room, messages: usize, bytes: usize) -> Self {
        let payload: Vec<u8> = (0..messages).flat_map(|number| line(number, bytes)).collect();
        Self::of(room, &payload, bytes)
    }

    /// Sends `payload` in datagrams of `bytes` bytes.
    pub fn of(room: &Room, payload: &[u8], bytes: usize) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let segment = (payload.len() > bytes).then(|| u16::try_from(bytes).expect("a datagram is short"));
        Self(Prebuilt::new(&socket, room.addresses(), payload, segment).expect("a prebuilt fan-out"))
    }
}

impl Fanout for TrainFanout {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn turn(&mut self) -> Duration {
        let start = ThreadTime::now();
        self.0.send_all().expect("loopback");
        start.elapsed()
    }
}

/// What everyone writes first: a system call a copy.
pub struct SendToFanout {
    socket: UdpSocket,
    addresses: Vec<SocketAddr>,
    lines: Vec<Vec<u8>>,
}

impl SendToFanout {
    pub fn new(room: &Room, messages: usize, bytes: usize) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let lines = (0..messages).map(|number| line(number, bytes)).collect();
        Self { socket, addresses: room.addresses().to_vec(), lines }
    }
}

impl Fanout for SendToFanout {
    fn name(&self) -> &'static str {
        "sendto"
    }

    fn turn(&mut self) -> Duration {
        let start = ThreadTime::now();
        for line in &self.lines {
            for address in &self.addresses {
                self.socket.send_to(line, address).expect("loopback");
            }
        }
        start.elapsed()
    }
}
