//! Ten thousand members, a socket each, in one relay: they chat, cost it
//! little memory, and no CPU time while they are silent.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod process;

use process::books::Books;
use process::{HANG, Serve, skip, until};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const MEMBERS: usize = 10_000;
/// Members that join before the relay is asked whether it has heard them all.
const JOINS: usize = 250;
/// Lines that everybody hears: five speakers in each of three rounds.
const LINES: usize = 15;
/// Long lines at the start, each of another length: as many as fit in the
/// smallest receive buffer that a kernel gives.
const LOUD_LINES: usize = 150;
const BYTES_PER_MEMBER_MAX: u64 = 512;

/// Members by number; some lines of the relay wait in their sockets.
struct Crowd {
    sockets: Vec<UdpSocket>,
    relay: SocketAddr,
}

impl Crowd {
    /// `None` where so many sockets cannot be had.
    fn open(relay: SocketAddr) -> Option<Self> {
        let files = rlimit::increase_nofile_limit(MEMBERS as u64 + 500).unwrap_or(0);
        // Eight addresses, so that they leave ports for others on this machine.
        let socket = |number: usize| UdpSocket::bind((format!("127.31.0.{}", number % 8), 0));
        match (0..MEMBERS).map(socket).collect::<Result<Vec<_>, _>>() {
            Ok(sockets) => Some(Self { sockets, relay }),
            Err(error) => {
                skip(format!("{MEMBERS} members: {error}, {files} files may be open"));
                None
            }
        }
    }

    fn says(&self, number: usize, message: &str) {
        self.sockets[number].send_to(message.as_bytes(), self.relay).unwrap();
    }

    /// All join; what they are told meanwhile is read and forgotten.
    fn join(&self) {
        for number in 0..MEMBERS {
            self.says(number, &format!("m{number}"));
            if number % JOINS == JOINS - 1 {
                self.is_heard(number);
                self.empty();
            }
        }
    }

    /// Waits until the relay has heard `number`, and so all before it.
    fn is_heard(&self, number: usize) {
        self.says(number, &"x".repeat(1025));
        self.hears_until(number, |heard| heard == "[relay] not sent: over 1024 bytes");
    }

    /// `number` hears what fits, and perhaps notices before it.
    #[track_caller]
    fn hears_until(&self, number: usize, fits: impl Fn(&str) -> bool) -> String {
        let socket = &self.sockets[number];
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        let mut buffer = [0; 2048];
        loop {
            let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("member {number}: {error}"));
            let heard = str::from_utf8(&buffer[..len]).unwrap();
            if fits(heard) {
                return heard.to_owned();
            }
            assert!(heard.ends_with(" joined"), "member {number} hears {heard:?}");
        }
    }

    fn empty(&self) {
        let mut buffer = [0; 2048];
        for socket in &self.sockets {
            socket.set_nonblocking(true).unwrap();
            while socket.recv(&mut buffer).is_ok() {}
        }
    }

    /// Each of `speakers` says a line, and each member hears those of the others.
    fn chat(&self, round: usize, speakers: &[usize]) {
        let line = |speaker: usize| format!("m{speaker} : says in round {round}");
        speakers.iter().for_each(|&speaker| self.says(speaker, &line(speaker)));
        for number in 0..MEMBERS {
            let mut lines: Vec<_> =
                speakers.iter().filter(|&&other| other != number).map(|&other| line(other)).collect();
            while !lines.is_empty() {
                let heard = self.hears_until(number, |heard| !heard.ends_with(" joined"));
                let at = lines.iter().position(|line| *line == heard);
                lines.swap_remove(at.unwrap_or_else(|| panic!("member {number} hears {heard:?}")));
            }
        }
    }
}

/// Two members fill the relay's largest turn, and leave: its working memory is
/// in use from now on, whoever is here.
fn make_a_loud_start(relay: &Serve) {
    let crowd = Crowd { sockets: [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).into(), relay: relay.addr };
    crowd.says(0, "amy");
    crowd.says(1, "bob");
    crowd.hears_until(0, |heard| heard == "bob joined");
    relay.process.stands_still();
    (0..LOUD_LINES).for_each(|number| crowd.says(0, &"x".repeat(1000 - number)));
    relay.process.goes_on();
    crowd.is_heard(0);
    [0, 1].iter().for_each(|&number| crowd.says(number, "exit"));
}

/// The next books of `--stats`.
fn stats(relay: &Serve) -> Books {
    until("a line of statistics", || Books::in_line(&relay.process.out.next()?))
}

#[test]
fn ten_thousand_members_chat_in_little_memory() {
    let relay = Serve::start(&["--lang", "en", "--stats", "1s"]);
    let Some(crowd) = Crowd::open(relay.addr) else { return };
    make_a_loud_start(&relay);
    crowd.join();
    (0..LINES / 5).for_each(|round| crowd.chat(round, &[0, 99, 1234, 7 * round + 1, MEMBERS - 1]));
    until("ten thousand members", || (stats(&relay).members() == MEMBERS as u64).then_some(()));

    let before = relay.process.cpu_ticks();
    std::thread::sleep(Duration::from_secs(2));
    let used = relay.process.cpu_ticks() - before;
    assert!(used < 10, "{used} hundredths of a second in two seconds without a datagram");

    let books = relay.end();
    (0..MEMBERS).for_each(|number| _ = crowd.hears_until(number, |heard| heard == "[relay] shutting down"));
    println!("{} B a member", books.bytes_per_member());
    assert!(books.bytes_per_member() <= BYTES_PER_MEMBER_MAX, "{books:?}");
    assert_eq!((books.joined(), books.left("exit")), (MEMBERS as u64 + 2, 2), "{books:?}");
    assert_eq!((books.relayed(), books.kernel_drops()), ((LOUD_LINES + LINES) as u64, 0), "{books:?}");
    assert_eq!((books.copies_dropped(), books.dropped_for("too_long")), (0, (MEMBERS / JOINS + 1) as u64), "{books:?}");
    assert!(books.offered() >= (LINES * (MEMBERS - 1) + LOUD_LINES) as u64);
}
