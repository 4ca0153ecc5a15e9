//! T23: a relay whose link is slower than its fan-out, in a network namespace
//! of the test's own. Whatever the kernel does not take is counted by its
//! cause, what it took arrives, and waiting for it costs no CPU time.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod process;
mod room;

use process::books::Books;
use process::{Running, Serve, Stopwatch, skip, until};
use room::Member;
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

const MEMBERS: usize = 20;
const LINES: usize = 1200;
const LINE_BYTES: usize = 1000;

/// A network namespace, one wire from here: 10.x.y.1 here, 10.x.y.2 there.
/// Removed when dropped, and the wire with it.
struct SlowLink {
    namespace: String,
    network: String,
}

impl SlowLink {
    /// What is sent from there goes through `tbf` (tc-tbf(8)).
    fn open(number: u32, tbf: &str) -> Result<Self, String> {
        let id = std::process::id();
        let link =
            Self { namespace: format!("outcry-{id}-{number}"), network: format!("10.{}.{}", 200 + number, id % 256) };
        let Self { namespace, network } = &link;
        let (here, there) = (format!("oc{id}-{number}"), format!("oc{id}-{number}r"));
        run(&format!("ip netns add {namespace}"))?;
        run(&format!("ip link add {here} type veth peer name {there} netns {namespace}"))?;
        run(&format!("ip addr add {network}.1/30 dev {here}"))?;
        run(&format!("ip link set {here} up"))?;
        run(&format!("ip -n {namespace} addr add {network}.2/30 dev {there}"))?;
        run(&format!("ip -n {namespace} link set {there} up"))?;
        run(&format!("tc -n {namespace} qdisc add dev {there} root tbf {tbf}"))?;
        Ok(link)
    }

    /// A relay at the far end of the wire, without limits of its own.
    fn relay(&self, sndbuf: &str) -> Serve {
        let bind = format!("{}.2:0", self.network);
        let serve = process::outcry(&["serve", "--bind", &bind, "--plain", "open", "--sndbuf", sndbuf]);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(serve.get_program()).args(serve.get_args());
        command.args(["--msg-rate=0", "--byte-rate=0", "--join-rate=0", "--join-rate-total=0", "--prefix-peers=0"]);
        Serve::from(Running::start(command.args(["--log=debug", "--stats=100ms"])))
    }

    fn member(&self, relay: &Serve, number: usize) -> Member {
        let name = format!("m{number:02}");
        let here = format!("{}.1", self.network).parse().unwrap();
        let member = Member::joins_from(here, relay.addr, &name);
        relay.logs("joined", &name);
        member
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        let _ = run(&format!("ip netns del {}", self.namespace));
    }
}

fn run(command: &str) -> Result<(), String> {
    let mut words = command.split(' ').map(OsStr::new);
    let output =
        Command::new(words.next().unwrap()).args(words).output().map_err(|error| format!("{command}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command}: {}", said.trim())) }
}

/// What became of lines that came faster than they could go out.
struct Outcome {
    books: Books,
    /// Copies that the members got.
    arrived: u64,
}

/// Says [`LINES`] lines within three seconds. `None` where there are no namespaces.
fn overloaded(number: u32, tbf: &str, sndbuf: &str) -> Option<Outcome> {
    let link = SlowLink::open(number, tbf).map_err(|reason| skip(format!("a slow link: {reason}"))).ok()?;
    let relay = link.relay(sndbuf);
    let members: Vec<_> = (0..MEMBERS).map(|number| link.member(&relay, number)).collect();
    let (before, stopwatch) = (relay.process.cpu_ticks(), Stopwatch::start());
    for number in 0..LINES {
        members[0].says(format!("m00 : {number:05} {}", "x".repeat(LINE_BYTES - 12)));
        if number % 20 == 19 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let said = (MEMBERS + LINES) as u64;
    until("all to be read", || Books::in_line(&relay.process.out.next()?).filter(|books| books.datagrams_in() == said));
    let (used, passed) = (relay.process.cpu_ticks() - before, stopwatch.ticks());
    assert!(used < passed / 2, "waiting used {used} of {passed} hundredths of a second");
    let books = relay.end();
    let arrived = settled(|| members.iter().map(|member| member.has_heard().len() as u64).sum());
    Some(Outcome { books, arrived })
}

/// Adds up what `count` finds, until the wire has brought nothing for a while.
fn settled(mut count: impl FnMut() -> u64) -> u64 {
    let mut total = 0;
    let mut quiet = 0;
    while quiet < 10 {
        std::thread::sleep(Duration::from_millis(50));
        let more = count();
        quiet = if more == 0 { quiet + 1 } else { 0 };
        total += more;
    }
    total
}

/// Copies that the room made: of each join to those before, of each line and the last word.
fn offered(books: &Books) -> u64 {
    let others = MEMBERS as u64 - 1;
    assert_eq!(books.relayed(), LINES as u64);
    (0..=others).sum::<u64>() + books.relayed() * others + MEMBERS as u64
}

#[test]
fn a_small_send_buffer_before_a_slow_link_drops_by_the_deadline() {
    let Some(Outcome { books, arrived }) = overloaded(0, "rate 8mbit burst 20kb limit 4mb", "8K") else { return };
    assert_eq!(books.offered(), offered(&books));
    assert!(books.copies_dropped_for("send_blocked") > 0, "{books:?}");
    assert_eq!(books.copies_dropped(), books.copies_dropped_for("send_blocked"), "{books:?}");
    assert_eq!(arrived, books.sent(), "what the kernel took, arrives");
}

#[test]
fn a_full_queue_of_the_device_drops_at_once() {
    let Some(Outcome { books, arrived }) = overloaded(1, "rate 8mbit burst 20kb limit 60kb", "8M") else { return };
    assert_eq!(books.offered(), offered(&books));
    assert!(books.copies_dropped_for("send_no_buffers") > 0, "{books:?}");
    assert_eq!(books.copies_dropped(), books.copies_dropped_for("send_no_buffers"), "{books:?}");
    assert!(arrived > 0 && arrived <= books.sent(), "{arrived} of {books:?}");
}
