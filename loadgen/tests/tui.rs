//! The real program on a real terminal, which tmux plays: the screen comes up,
//! follows the terminal's size, ends at Ctrl-C with a report, and leaves the
//! terminal as it was, after a panic too.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use loadgen::mock::{Faults, Mock};
use loadgen::screen::Screen;
use std::process::{Command, Output};
use std::time::Duration;

/// A terminal; it ends with its programs when dropped.
struct Tmux(String);

impl Tmux {
    /// Runs `shell` on a terminal of 100 by 30; `None`, with a word why, without tmux.
    fn start(test: &str, shell: &str) -> Option<Self> {
        if !Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success()) {
            println!("SKIPPED {test}: no tmux on this machine");
            return None;
        }
        let tmux = Self(format!("loadgen-{}-{test}", std::process::id()));
        let started = tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "sh", "-c", shell]);
        if !started.status.success() {
            println!("SKIPPED {test}: tmux does not start: {}", String::from_utf8_lossy(&started.stderr).trim());
            return None;
        }
        Some(tmux)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("tmux").args(["-L", &self.0]).args(arguments).env_remove("TMUX").output().unwrap()
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.run(&["capture-pane", "-p", "-S", "-200"]).stdout).into_owned()
    }

    /// Waits until `wanted` is shown.
    fn wait_for(&self, wanted: &str) -> String {
        const STEPS: u32 = 600;
        for _ in 0..STEPS {
            let shown = self.shown();
            if shown.contains(wanted) {
                return shown;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("`{wanted}` never came:\n{}", self.shown());
    }

    fn is_on_other_screen(&self) -> bool {
        self.run(&["display-message", "-p", "#{alternate_on}"]).stdout.starts_with(b"1")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

/// A run that would take a minute; afterwards its exit code and the terminal's
/// echo. The shell outlives the Ctrl-C that its program gets too.
fn watched(mock: &Mock) -> String {
    format!(
        "trap : INT; {} run --target {} --clients 20 --senders 4 --rate 100 --warmup 200ms --duration 60s --no-calibrate \
         --progress tui; echo \"exit $?\"; stty -a | tr ' ;' '\\n\\n' | grep -x -e -echo -e echo; sleep 60",
        env!("CARGO_BIN_EXE_loadgen"),
        mock.address()
    )
}

#[test]
fn the_screen_follows_its_size_and_ends_at_ctrl_c_with_a_report() {
    let mock = Mock::start(Faults::default()).unwrap();
    let Some(tmux) = Tmux::start("ctrl_c", &watched(&mock)) else { return };
    let shown = tmux.wait_for("sent of planned");
    for wanted in ["measuring", "20 members at", "missing copies, by cause", "self-check", "p99"] {
        assert!(shown.contains(wanted), "{wanted}:\n{shown}");
    }
    assert!(tmux.is_on_other_screen());
    tmux.run(&["resize-window", "-x", "70", "-y", "24"]);
    let right_edge = format!("┌ loadgen {}┐", "─".repeat(59));
    tmux.wait_for(&right_edge);
    tmux.run(&["send-keys", "x", "C-z", "C-\\"]);
    tmux.run(&["send-keys", "C-c"]);
    let shown = tmux.wait_for("exit ");
    let shown = if shown.contains("\necho") { shown } else { tmux.wait_for("\necho") };
    assert!(shown.contains("ended before its time: what there is so far"), "{shown}");
    assert!(!shown.contains("-echo") && !tmux.is_on_other_screen(), "{shown}");
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_gives_the_terminal_back() {
    // Copies that are under way for a second are waited for after the first.
    let mock = Mock::start(Faults { delay: Duration::from_secs(1), ..Faults::default() }).unwrap();
    let Some(tmux) = Tmux::start("twice", &watched(&mock)) else { return };
    tmux.wait_for("sent of planned");
    tmux.run(&["send-keys", "C-c"]);
    // Two that are pending at the same time are one: signal(7).
    std::thread::sleep(Duration::from_millis(100));
    tmux.run(&["send-keys", "C-c"]);
    tmux.wait_for("exit 130");
    let shown = tmux.wait_for("\necho");
    assert!(!shown.contains("-echo") && !tmux.is_on_other_screen(), "{shown}");
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_read() {
    let own = std::env::current_exe().unwrap();
    let shell = format!(
        "{PANICS}=1 {} --exact panics_with_the_screen_up --nocapture; echo \"exit $?\"; \
         stty -a | tr ' ;' '\\n\\n' | grep -x -e -echo -e echo; sleep 60",
        own.display()
    );
    let Some(tmux) = Tmux::start("panic", &shell) else { return };
    let shown = tmux.wait_for("\necho");
    assert!(shown.contains("on purpose") && shown.contains("exit 101"), "{shown}");
    assert!(!shown.contains("-echo") && !tmux.is_on_other_screen(), "{shown}");
}

const PANICS: &str = "LOADGEN_TEST_PANICS";

/// Run by the test above, on a terminal; nothing otherwise.
#[test]
fn panics_with_the_screen_up() {
    if std::env::var_os(PANICS).is_some() {
        let mut screen = Screen::open(true).unwrap();
        screen.view.say("about to panic");
        screen.show();
        std::thread::spawn(|| panic!("on purpose")).join().unwrap();
    }
}

#[test]
fn without_a_terminal_the_screen_is_lines() {
    let mock = Mock::start(Faults::default()).unwrap();
    let target = mock.address().to_string();
    let own = ["run", "--target", &target, "--clients", "5", "--senders", "2", "--duration", "1s", "--warmup", "100ms"];
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(own)
        .args(["--no-calibrate", "--progress", "tui"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("all members proven") && !said.contains('\u{1b}'), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("verdict"));
}
