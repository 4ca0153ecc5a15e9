//! What is installed: the units under systemd's own checks, the files that are
//! generated, and, when `scripts/package --test` names a package, that package:
//! unpacked, started as its unit says by a user without privilege, chatted through.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod process;

use process::{HANG, Running, Serve, skip};
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The user `nobody`, which has no rights anywhere.
const NOBODY: &str = "65534";
/// Exposure that `systemd-analyze security` may find at most, in tenths.
const EXPOSURE_MAX: &str = "20";

/// A directory that every user can read, removed with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outcry-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn file(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

/// What a program says, or `None` if there is no such program.
fn output(program: &str, args: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(args).output();
    if output.is_err() {
        skip(format_args!("{program} {}: there is no {program} here", args.join(" ")));
    }
    output.ok()
}

/// It ends well.
#[track_caller]
fn succeeds(program: &str, args: &[&str]) {
    let Some(output) = output(program, args) else { return };
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{program} {args:?}: {}\n{}", said[0], said[1]);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

// ---- without a package -----------------------------------------------------------

#[test]
fn systemd_finds_no_fault_in_the_units() {
    let scratch = Scratch::new("units");
    let service = fs::read_to_string(packaging("outcry.service")).unwrap();
    // It looks for the program, and for the manual page where there is a `man`.
    let service = service.replace("/usr/bin/outcry", env!("CARGO_BIN_EXE_outcry"));
    fs::write(scratch.file("outcry.service"), service).unwrap();
    fs::copy(packaging("outcry.socket"), scratch.file("outcry.socket")).unwrap();
    let units = ["outcry.service", "outcry.socket"].map(|unit| scratch.file(unit));
    let Some(verified) = output("systemd-analyze", &["verify", "--man=no", text(&units[0]), text(&units[1])]) else {
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("outcry")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_service_is_exposed_to_little() {
    let unit = packaging("outcry.service");
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let args = ["security", "--no-pager", "--offline=true", &threshold, text(&unit)];
    match output("systemd-analyze", &["security", "--help"]) {
        Some(help) if String::from_utf8_lossy(&help.stdout).contains("--offline") => {
            succeeds("systemd-analyze", &args);
        }
        Some(_) => skip("systemd-analyze security: it knows no --offline here"),
        None => {}
    }
}

#[test]
fn the_user_and_the_scripts_are_well_formed() {
    succeeds("systemd-sysusers", &["--dry-run", text(&packaging("sysusers.d/outcry.conf"))]);
    succeeds("sh", &["-n", text(&packaging("debian/postinst"))]);
}

#[test]
fn pages_and_completions_tell_of_every_subcommand() {
    let scratch = Scratch::new("generated");
    for what in ["man", "completions", "config"] {
        succeeds(env!("CARGO_BIN_EXE_outcry"), &["generate", what, text(&scratch.0)]);
    }
    for page in
        ["outcry.1", "outcry-serve.1", "outcry-chat.1", "outcry-ctl.1", "outcry-ctl-ban-add.1", "outcry-doctor.1"]
    {
        assert!(fs::read_to_string(scratch.file(page)).unwrap().contains(".SH NAME"), "{page}");
    }
    for completions in ["outcry.bash", "_outcry", "outcry.fish"] {
        let text = fs::read_to_string(scratch.file(completions)).unwrap();
        assert!(
            ["serve", "chat", "ctl", "lockdown", "doctor", "max-peers"].iter().all(|word| text.contains(word)),
            "{completions}"
        );
        assert!(!text.contains("generate"), "{completions}: what is hidden is not offered");
    }
    succeeds("bash", &["-n", text(&scratch.file("outcry.bash"))]);
    let config = scratch.file("outcry.toml");
    let serve = ["serve", "--print-config", "--config", text(&config)];
    let with = output(env!("CARGO_BIN_EXE_outcry"), &serve).unwrap();
    let without = output(env!("CARGO_BIN_EXE_outcry"), &serve[..2]).unwrap();
    let files = ["ban-file = ", "state = "];
    let lines =
        |output: Output| String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let (with, without) = (lines(with), lines(without));
    let set: Vec<_> = with.iter().filter(|line| !line.starts_with('#') && !without.contains(line)).collect();
    let is_file = set.iter().zip(files).all(|(line, file)| line.starts_with(file) && line.contains("/var/lib/outcry/"));
    assert!(set.len() == files.len() && is_file, "the default file sets where the service may write: {set:?}");
}

// ---- the package -------------------------------------------------------------------

const FILES: [&str; 15] = [
    "/usr/bin/outcry",
    "/etc/outcry/outcry.toml",
    "/usr/lib/systemd/system/outcry.service",
    "/usr/lib/systemd/system/outcry.socket",
    "/usr/lib/sysusers.d/outcry.conf",
    "/usr/share/man/man1/outcry.1.gz",
    "/usr/share/man/man1/outcry-serve.1.gz",
    "/usr/share/man/man1/outcry-chat.1.gz",
    "/usr/share/man/man1/outcry-doctor.1.gz",
    "/usr/share/bash-completion/completions/outcry",
    "/usr/share/zsh/vendor-completions/_outcry",
    "/usr/share/fish/vendor_completions.d/outcry.fish",
    "/usr/share/doc/outcry/README.md",
    "/usr/share/doc/outcry/copyright",
    "/usr/share/doc/outcry/LICENSE-MIT",
];

/// The package, unpacked.
fn unpacked(name: &str) -> Option<(Scratch, PathBuf)> {
    let Some(package) = std::env::var_os("OUTCRY_DEB").map(PathBuf::from) else {
        skip(format_args!("the package's {name}: scripts/package --test builds one and runs this"));
        return None;
    };
    let scratch = Scratch::new(name);
    succeeds("dpkg-deb", &["-x", text(&package), text(&scratch.0)]);
    Some((scratch, package))
}

#[test]
fn the_package_holds_what_an_operator_looks_for() {
    let Some((scratch, package)) = unpacked("files") else { return };
    for file in FILES {
        assert!(scratch.file(file).is_file(), "{file}");
    }
    for (file, mode) in [("/usr/bin/outcry", 0o755), ("/etc/outcry/outcry.toml", 0o644)] {
        assert_eq!(fs::metadata(scratch.file(file)).unwrap().permissions().mode() & 0o7777, mode, "{file}");
    }
    let control = scratch.file("control");
    succeeds("dpkg-deb", &["-e", text(&package), text(&control)]);
    for script in ["postinst", "prerm", "postrm"] {
        let path = control.join(script);
        let script_text = fs::read_to_string(&path).unwrap();
        assert!(!script_text.contains("#DEBHELPER#"), "{script}");
        let users = script_text.lines().filter(|line| line.trim().starts_with("systemd-sysusers "));
        assert!(users.into_iter().all(|line| line.ends_with(" outcry.conf")), "{script} names a file that is there");
        succeeds("sh", &["-n", text(&path)]);
    }
    assert_eq!(fs::read_to_string(control.join("conffiles")).unwrap().trim(), "/etc/outcry/outcry.toml");
}

/// `ExecStart` of the installed unit, with its paths below the scratch root.
fn command_line(scratch: &Scratch) -> Vec<String> {
    let unit = fs::read_to_string(scratch.file("/usr/lib/systemd/system/outcry.service")).unwrap();
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let place = |word: &str| if word.starts_with('/') { text(&scratch.file(word)).to_owned() } else { word.to_owned() };
    start.split(' ').map(place).collect()
}

/// A command line as a user who may do nothing.
fn without_privilege(words: &[String]) -> Command {
    let is_root = output("id", &["-u"]).is_some_and(|id| id.stdout == b"0\n");
    let (program, args) = words.split_first().unwrap();
    if !is_root {
        let mut command = Command::new(program);
        command.args(args);
        return command;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs"]);
    command.args(["--inh-caps=-all", "--bounding-set=-all", "--", program]).args(args);
    command
}

fn member(name: &str, relay: &Serve) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket.send_to(name.as_bytes(), relay.addr).unwrap();
    socket
}

#[track_caller]
fn hears(socket: &UdpSocket, expected: &str) {
    let mut bytes = [0; 2048];
    let len = socket.recv(&mut bytes).unwrap();
    assert_eq!(std::str::from_utf8(&bytes[..len]), Ok(expected));
}

#[test]
fn two_people_chat_through_the_package() {
    let Some((scratch, _)) = unpacked("chat") else { return };
    let mut words = command_line(&scratch);
    // The port of the kernel's choice; everything else as installed.
    words.extend(["--bind", "127.0.0.1:0", "--lang", "en"].map(str::to_owned));
    let relay = Serve::from(Running::start(&mut without_privilege(&words)));
    let alice = member("alice", &relay);
    let bob = member("bob", &relay);
    hears(&alice, "bob joined");
    bob.send_to("bob : 你好".as_bytes(), relay.addr).unwrap();
    hears(&alice, "bob : 你好");
    alice.send_to(b"alice : EXIT", relay.addr).unwrap();
    hears(&bob, "alice left");
    // Whoever stays holds up the end: the unit drains.
    bob.send_to(b"bob : EXIT", relay.addr).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", relay.process.id())).unwrap();
    let row = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(row("CapEff:"), "0000000000000000");
    assert_ne!(row("Uid:").split_whitespace().next(), Some("0"));
    relay.end();
}
