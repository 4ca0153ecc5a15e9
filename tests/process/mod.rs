//! Child processes for tests: the relay's own binary and other people's
//! clients, each with its output read line by line. Every wait has an end,
//! which only keeps a failure from hanging; every child is ended with its test.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

pub mod books;

use books::Books;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How long anything may take before it counts as never.
pub const HANG: Duration = Duration::from_secs(60);

/// An address of loopback that no other program uses, in Linux, where a host
/// has 16 million of them. On a busy machine late datagrams come to any port of
/// 127.0.0.1 that somebody had before: this keeps them out of exact counts.
pub fn host(number: u8) -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let octets = if cfg!(target_os = "linux") { [127, 64 + number, high, low] } else { [127, 0, 0, 1] };
    IpAddr::from(octets)
}

/// Says, past the test harness, that a test had to be left out.
pub fn skip(reason: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "\nSKIPPED {reason}");
}

/// The moment at which waiting is given up.
#[derive(Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "a test that hangs has to notice it")]
    pub fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    #[expect(clippy::disallowed_methods, reason = "a test that hangs has to notice it")]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Wall time since it was started.
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "CPU time is compared with wall time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// In hundredths of a second, as CPU time.
    pub fn ticks(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap() / 10
    }
}

/// Looks again and again until there is something to see.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(HANG);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(!deadline.left().is_zero(), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a child writes, line by line, as it comes.
pub struct Lines(Receiver<Vec<u8>>);

impl Lines {
    fn of(output: impl Read + Send + 'static) -> Self {
        let (lines, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                let whole = std::mem::take(&mut line);
                if lines.send(whole.strip_suffix(b"\n").unwrap_or(&whole).to_vec()).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// The next line, without its end; `None` when the child has closed it.
    #[track_caller]
    pub fn next(&self) -> Option<Vec<u8>> {
        match self.0.recv_timeout(HANG) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line came"),
        }
    }

    /// The next line within `wait`, if there is one.
    pub fn next_within(&self, wait: Duration) -> Option<Vec<u8>> {
        self.0.recv_timeout(wait).ok()
    }

    /// Reads on until a line holds `text`; returns that line.
    #[track_caller]
    pub fn until(&self, text: &str) -> String {
        let (mut seen, deadline) = (Vec::new(), Deadline::after(HANG));
        while let Ok(line) = self.0.recv_timeout(deadline.left()) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("{text:?} is not among {seen:?}");
    }

    /// All that is left, up to the child's end.
    #[track_caller]
    pub fn rest(&self) -> String {
        let lines = std::iter::from_fn(|| self.next());
        lines.map(|line| String::from_utf8_lossy(&line).into_owned() + "\n").collect()
    }
}

/// The binary under test, to be started.
pub fn outcry(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcry"));
    command.args(args).env("NO_COLOR", "1");
    command
}

/// A child process; it is ended when dropped.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    pub out: Lines,
    pub err: Lines,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let (mut running, output) = Self::start_unread(command);
        running.out = Lines::of(output);
        running
    }

    /// Its standard streams are as `command` has them: an output that is a pipe, and an input that is not.
    pub fn start_with(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (output, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { stdin: None, out: Lines::of(output), err: Lines::of(err), child }
    }

    /// Its output is only read as far as the test does so.
    pub fn start_unread(command: &mut Command) -> (Self, ChildStdout) {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let (output, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        (Self { stdin: child.stdin.take(), out: Lines::of(std::io::empty()), err: Lines::of(err), child }, output)
    }

    /// The binary under test.
    pub fn outcry(args: &[&str]) -> Self {
        Self::start(&mut outcry(args))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types a line.
    #[track_caller]
    pub fn types(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Ends its input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The next line it shows is this.
    #[track_caller]
    pub fn shows(&self, expected: &str) {
        let line = self.out.next().unwrap_or_else(|| panic!("it ended instead of showing {expected:?}"));
        assert_eq!(line, expected.as_bytes(), "{:?}", String::from_utf8_lossy(&line));
    }

    /// Sends a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// Ends it without a chance to say anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; the exit code, if it had one.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        until("the child's end", || self.child.try_wait().unwrap()).code()
    }

    /// CPU time that all its threads have used, in hundredths of a second
    /// (proc(5): `utime` and `stime`, in `USER_HZ`).
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// The letter of its state (proc(5)): `T` stopped.
    pub fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        stat[stat.rfind(')').unwrap() + 2..].chars().next().unwrap()
    }

    /// Stops it where it is, until [`goes_on`](Self::goes_on).
    pub fn stands_still(&self) {
        self.signal("STOP");
        until("the child to stop", || (self.state() == 'T').then_some(()));
    }

    pub fn goes_on(&self) {
        self.signal("CONT");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a relay's first line.
#[track_caller]
pub fn listening_on(line: &str) -> SocketAddr {
    let addr = line.trim_end().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
    addr.unwrap_or_else(|| panic!("{line:?}"))
}

/// A running `outcry serve`.
pub struct Serve {
    pub process: Running,
    pub addr: SocketAddr,
}

impl Serve {
    /// A relay on loopback, on a port of the kernel's choice.
    pub fn start(args: &[&str]) -> Self {
        Self::at(&format!("{}:0", host(0)), args)
    }

    #[track_caller]
    pub fn at(bind: &str, args: &[&str]) -> Self {
        Self::from(Running::outcry(&[&["serve", "--bind", bind], args].concat()))
    }

    /// The relay that `process` is: its first line says where it listens.
    #[track_caller]
    pub fn from(process: Running) -> Self {
        let Some(line) = process.out.next() else { panic!("no relay: {}", process.err.rest()) };
        Self { addr: listening_on(&String::from_utf8_lossy(&line)), process }
    }

    /// Waits until its log says that a member joined or left.
    #[track_caller]
    pub fn logs(&self, event: &str, name: &str) {
        let name = format!("name={name:?}");
        while !self.process.err.until(event).contains(&name) {}
    }

    /// Ends it by SIGTERM: its books, which balance.
    #[track_caller]
    pub fn end(mut self) -> Books {
        self.process.signal("TERM");
        assert_eq!(self.process.exit_code(), Some(0), "{}", self.process.err.rest());
        Books::at_end(&self.process.out.rest())
    }
}
