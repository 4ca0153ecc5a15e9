//! What the README says, against the program.

use crate::{repository, text_of};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The flags of clap itself.
const NOT_OURS: [&str; 1] = ["--help"];

/// The part of the README under the heading `title`.
fn section(title: &str) -> String {
    let readme = text_of("README.md");
    let start = readme.find(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("the README has a part {title}"));
    let part = &readme[start + 1..];
    part.find("\n## ").map_or(part, |end| &part[..end]).to_owned()
}

/// Every `--flag` in `text`.
fn flags(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("--").filter(|(at, _)| !text[..*at].ends_with(['-', '|']));
    let name = |at: usize| {
        let rest = &text[at + 2..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
        rest[..end].to_owned()
    };
    starts.map(|(at, _)| name(at)).filter(|name| !name.is_empty()).map(|name| format!("--{name}")).collect()
}

fn outcry(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_outcry")).args(args).output().expect("outcry runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_readme_has_the_flags_of_serve_and_no_others() {
    let help = outcry(&["serve", "--help"]);
    // What stands before the examples: those use other flags, too.
    let help = help.split("\nExamples:").next().expect("the first part");
    let ours = |flag: &String| !NOT_OURS.contains(&flag.as_str());
    let (told, real): (BTreeSet<_>, BTreeSet<_>) =
        (flags(&section("Flags")).into_iter().filter(ours).collect(), flags(help).into_iter().filter(ours).collect());
    let missing: Vec<_> = real.difference(&told).collect();
    let invented: Vec<_> = told.difference(&real).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing in README.md: {missing:?}; only there: {invented:?}");
}

/// Rows of the flags table whose default, in column `column`, is not `config`'s.
fn wrong_defaults(flags_table: &str, column: usize, config: &str) -> Vec<String> {
    let value = |key: &str| {
        let value = config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let rows = flags_table.lines().filter_map(|line| line.strip_prefix("| `--"));
    let wrong = |row: &str| {
        let cells: Vec<&str> = row.split(" | ").map(|cell| cell.trim_matches(['`', ' '])).collect();
        let key = cells[0].split([' ', '[', '=', '`']).next()?;
        let value = value(key)?;
        (cells.get(column) != Some(&value.as_str())).then(|| format!("--{key} is {value}, README.md: {cells:?}"))
    };
    rows.filter_map(wrong).collect()
}

#[test]
fn the_readme_has_the_defaults() {
    let table = section("Flags");
    for (column, bind) in [(1, "127.0.0.1:9999"), (2, "0.0.0.0:9999")] {
        let config = outcry(&["serve", "--bind", bind, "--print-config"]);
        let config: String =
            config.lines().filter(|line| !line.starts_with("bind")).map(|line| format!("{line}\n")).collect();
        assert_eq!(wrong_defaults(&table, column, &config), [""; 0]);
    }
}

#[test]
fn a_wrong_default_would_be_noticed() {
    let table = "| flag | a | b | c |\n| `--msg-rate COUNT` | 0 | 20 | x |\n| `--lang zh\\|en` | zh | zh | x |\n";
    let config = "# help\nmsg-rate = 20\nlang = \"zh\"\n";
    assert_eq!(wrong_defaults(table, 2, config), [""; 0]);
    assert_eq!(wrong_defaults(table, 1, config).len(), 1);
    assert_eq!(flags("`--a-b X`, --c=on|off\n|---|--").len(), 2);
}

// ---- the Python client --------------------------------------------------------

/// The README's Python client, as a file.
fn client() -> Option<std::path::PathBuf> {
    let readme = text_of("README.md");
    let code = readme.split("```python\n").nth(1).expect("the README has a Python client");
    let code = code.split("```").next().expect("the first part");
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED the README's Python client: no python3 here");
        return None;
    }
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("chat.py");
    std::fs::write(&path, code).expect("a file in target");
    Some(path)
}

#[test]
fn the_python_client_is_python_in_ten_lines() {
    let Some(path) = client() else { return };
    let compiled = Command::new("python3").args(["-m", "py_compile"]).arg(&path).current_dir(repository()).output();
    let compiled = compiled.expect("python3 runs");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let code = std::fs::read_to_string(&path).expect("just written");
    assert!(code.lines().count() <= 10, "{code}");
}

/// A program that is killed with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> (Self, BufReader<ChildStdout>) {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).env("PYTHONUTF8", "1");
        let mut child = command.spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        (Self(child), output)
    }
}

fn next_line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("text");
    line.trim_end().to_owned()
}

#[test]
fn two_python_clients_talk() {
    let Some(path) = client() else { return };
    let (_relay, mut said) =
        Running::start(Command::new(env!("CARGO_BIN_EXE_outcry")).args(["serve", "--bind", "127.0.0.1:0"]));
    let listening = next_line(&mut said);
    let addr = listening.strip_prefix("listening on ").expect("the first line").to_owned();
    let (host, port) = addr.split_once(':').expect("an IPv4 address");
    let python = |name: &str| Running::start(Command::new("python3").arg(&path).args([host, port, name]));

    let watcher = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    watcher.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    watcher.send_to(b"watcher", &addr).expect("loopback");
    let (_alice, mut heard) = python("alice");
    let mut notice = [0; 100];
    let len = watcher.recv(&mut notice).expect("alice joins");
    assert_eq!(std::str::from_utf8(&notice[..len]), Ok("alice 进入聊天室..."));

    let (mut bob, _) = python("bob");
    bob.0.stdin.take().expect("piped").write_all("你好\n".as_bytes()).expect("bob reads");
    let expected = ["bob 进入聊天室...", "bob : 你好", "bob 离开了聊天室..."];
    assert_eq!(expected.map(|_| next_line(&mut heard)), expected);
}
