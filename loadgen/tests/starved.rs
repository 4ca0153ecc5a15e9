//! A generator that is starved of processor time must not blame the server:
//! it is stopped three quarters of the time, while the server is not.

use loadgen::mock::{Faults, Mock};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Command, Stdio};
use std::time::Duration;

const STOPPED: Duration = Duration::from_millis(150);
const RUNNING: Duration = Duration::from_millis(50);

#[test]
fn a_starved_generator_calls_its_run_invalid() {
    let mock = Mock::start(Faults::default()).unwrap();
    let mut generator = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["run", "--target", &mock.address().to_string(), "--no-calibrate", "--progress", "none"])
        .args(["--clients", "50", "--senders", "5", "--rate", "200", "--warmup", "200ms", "--duration", "3s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(generator.id()).unwrap());
    // Not waited for yet, so the id is still its own.
    while generator.try_wait().unwrap().is_none() {
        kill(pid, Signal::SIGSTOP).unwrap();
        std::thread::sleep(STOPPED);
        kill(pid, Signal::SIGCONT).unwrap();
        std::thread::sleep(RUNNING);
    }
    let output = generator.wait_with_output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{report}");
    assert!(report.contains("INVALID sched lag p99"), "{report}");
}
