//! The files of a run: what other programs must be able to read.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use loadgen::benchmark::Benchmark;
use loadgen::lossy::Flaws;
use loadgen::members::{Protocol, Venue};
use loadgen::mock::{Faults, Mock};
use loadgen::scenario::{Scenario, Script};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::relay::Served;
use support::{benchmark, benchmark_of, run};

/// The built program.
fn loadgen(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("loadgen-test-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// A short run into `directory`; its arguments come after those that a test gives.
fn record(directory: &str, more: &[&str]) -> (i32, String, String) {
    let mock = Mock::start(Faults::default()).unwrap();
    let target = mock.address().to_string();
    let own = ["run", "--target", &target, "--clients", "20", "--senders", "4", "--rate", "100", "--duration", "3s"];
    let rest = ["--warmup", "200ms", "--no-calibrate", "--out", directory];
    loadgen(&[&own[..], &rest[..], more].concat())
}

#[test]
fn every_file_is_written_and_reads_back() {
    let directory = scratch("files");
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let (code, stdout, stderr) = record(&path(""), &["-o", "json"]);
    assert!(code == 0 || code == 3, "{stderr}");
    let printed: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(printed["schema"], 1);
    assert_eq!(printed["traffic"]["delivered"], printed["traffic"]["expected"]);
    assert!(stderr.contains("wrote"));

    let log = std::fs::read(path("delivery.hlog")).unwrap();
    let mut copies = 0;
    for entry in IntervalLogIterator::new(&log) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            assert_eq!(interval.tag().unwrap().as_str(), "delivery");
            let bytes =
                base64::Engine::decode(&base64::engine::general_purpose::STANDARD, interval.encoded_histogram());
            let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes.unwrap()[..]).unwrap();
            copies += histogram.len();
        }
    }
    assert_eq!(copies, printed["traffic"]["delivered"].as_u64().unwrap());

    let csv = std::fs::read_to_string(path("seconds.csv")).unwrap();
    let offered: u64 = csv.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(offered, printed["traffic"]["planned"].as_u64().unwrap());
    for name in ["report.html", "percentiles.svg", "percentiles-throughput.svg", "delivery.hgrm"] {
        assert!(std::fs::metadata(path(name)).unwrap().len() > 500, "{name}");
    }

    let (code, text, stderr) = loadgen(&["report", &path("report.json"), "--html", &path("again.html")]);
    assert_eq!(code, 0, "{stderr}");
    assert!(text.contains("verdict") && text.contains("last receiver"));
    let page = |name| std::fs::read_to_string(path(name)).unwrap();
    assert_eq!(page("report.html"), page("again.html"), "a saved run reports like a fresh one");

    let (code, text, stderr) =
        loadgen(&["compare", &path("report.json"), &path("report.json"), "--fail-on-regression"]);
    let is_invalid = printed["verdict"]["state"] == "invalid";
    assert_eq!((code, text.contains("INVALID")), (if is_invalid { 3 } else { 0 }, is_invalid), "{stderr}");
    assert!(text.contains("delivered copies/s") && !text.contains("WORSE"));
    std::fs::remove_dir_all(directory).unwrap();
}

/// Shared sockets and trains received whole are cheaper for a server than what
/// clients usually are, so no output may pass for the usual one.
#[test]
fn how_members_were_made_stands_in_every_output() {
    let directory = scratch("label");
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let special = ["--sockets", "shared:2", "--gro", "-o", "csv"];
    let (code, stdout, stderr) = record(&path(""), &special);
    assert!(code == 0 || code == 3, "{stderr}");
    let (_, text, _) = loadgen(&["report", &path("report.json")]);
    let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|file| (file.display().to_string(), std::fs::read_to_string(&file).unwrap()));
    let mut outputs: Vec<_> = texts.collect();
    assert_eq!(outputs.len(), 7, "{outputs:?}");
    outputs.extend([("csv".into(), stdout), ("text".into(), text)]);
    for (name, output) in outputs {
        assert!(output.contains("SHARED") && output.contains("GRO"), "{name}: {output}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_regression_is_an_exit_code() {
    let directory = scratch("regression");
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    std::fs::create_dir_all(&directory).unwrap();
    let mock = Mock::start(Faults::default()).unwrap();
    let mut report = run(&benchmark(&mock, 10, 2, 50.0, 1));
    std::fs::write(path("base.json"), serde_json::to_string(&report).unwrap()).unwrap();
    for interval in &mut report.intervals {
        interval.mean *= if interval.name.contains("copies/s") { 0.5 } else { 2.0 };
    }
    std::fs::write(path("new.json"), serde_json::to_string(&report).unwrap()).unwrap();
    let (code, text, _) = loadgen(&["compare", &path("base.json"), &path("new.json"), "--fail-on-regression"]);
    assert_eq!(code, 4, "{text}");
    let (code, ..) = loadgen(&["compare", &path("base.json"), &path("new.json"), "-o", "quiet"]);
    assert_eq!(code, 0);
    std::fs::remove_dir_all(directory).unwrap();
}

/// What a real browser makes of a page; `None`: there is no browser here.
fn rendered(page: &Path) -> Option<String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let browser =
        names.iter().find(|name| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success()))?;
    let page = format!("file://{}", page.display());
    let arguments =
        ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom", &page];
    let output = Command::new(browser).args(arguments).output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Each chart must be there, with something drawn in it.
fn shows_every_part(dom: &str) {
    for id in ["percentiles", "heat", "flow", "throughput", "position", "clients", "server"] {
        let figure = dom.split(&format!("<figure id=\"{id}\">")).nth(1).unwrap_or_default();
        let figure = figure.split("</figure>").next().unwrap_or_default();
        assert!(figure.contains("<svg") && figure.contains("<text"), "{id}");
        assert!(!figure.contains("NaN"), "{id}");
    }
    for id in ["particulars", "latency", "self-check", "environment"] {
        assert!(dom.contains(&format!("<table id=\"{id}\">")), "{id}");
    }
    assert!(dom.contains("<th>joined</th>"), "how members came in");
}

#[test]
fn a_browser_shows_every_part() {
    let directory = scratch("browser");
    let (code, _, stderr) = record(&directory.to_string_lossy(), &["-o", "quiet"]);
    assert!(code == 0 || code == 3, "{stderr}");
    match rendered(&directory.join("report.html")) {
        Some(dom) => shows_every_part(&dom),
        None => println!("SKIPPED a_browser_shows_every_part: no Chromium on this machine"),
    }
    std::fs::remove_dir_all(directory).unwrap();
}

/// The lines that only some runs have, each as the text has it.
#[test]
fn a_native_run_over_a_lossy_path_is_told_on_the_page_as_in_the_text() {
    let served = Served::start();
    let venue = Venue { rooms: 2, ..Venue::default() };
    let script = Script { scenario: Scenario::Rooms, ..Script::default() };
    let flaws = Some(Flaws { loss: 0.02, ..Flaws::default() });
    let of = benchmark_of(served.address(), 20, 4, 100.0, 1);
    let native =
        Benchmark { protocol: Protocol::Native, venue, script, flaws, drain: Duration::from_secs(30), runs: 2, ..of };
    let report = run(&native);
    let directory = scratch("native-page");
    std::fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    std::fs::write(path("report.json"), serde_json::to_string(&report).unwrap()).unwrap();
    let (code, text, stderr) = loadgen(&["report", &path("report.json"), "--html", &path("report.html")]);
    assert_eq!(code, 0, "{stderr}");
    let page = std::fs::read_to_string(path("report.html")).unwrap();
    let dom = rendered(&directory.join("report.html"));
    for name in ["joined", "rooms", "path", "senders", "repair"] {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name:<12}"))).unwrap_or_default();
        let row = format!("<th>{name}</th><td class=\"left\">{line}</td>");
        assert!(!line.is_empty() && page.contains(&row), "{row}\n{text}");
        assert!(dom.as_ref().is_none_or(|dom| dom.contains(&row)), "the browser's {name}");
    }
    dom.iter().for_each(|dom| shows_every_part(dom));
    for interval in &report.intervals {
        assert!(page.contains(&format!("<tr><th>{}</th>", interval.name)), "{}", interval.name);
    }
    assert!(page.contains("<table id=\"runs\">"));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn wrong_values_are_refused_before_anything_is_opened() {
    for (arguments, wanted) in [
        (&["run", "--target", "127.0.0.1:9", "--clients", "1"][..], "--clients"),
        (&["run", "--target", "127.0.0.1:9", "--senders", "2000"], "--senders"),
        (&["run", "--target", "127.0.0.1:9", "--size", "20"], "--size must be at least"),
        (&["run", "--target", "127.0.0.1:9", "--scenario", "stall"], "--server-pid"),
        (&["run", "--target", "127.0.0.1:9", "--sockets", "shared:3", "--rx-threads", "2"], "--rx-threads"),
        (&["run", "--protocol", "nats"], "--target"),
        (&["run", "--target", "127.0.0.1:9", "--protocol", "nats", "--gro"], "--gro is for UDP"),
        (&["run", "--rate", "5", "--in-flight", "5"], "cannot be used with"),
        (&["run", "--target", "localhost:9"], "write an address and a port"),
        (&["run", "--duration", "2000h"], "at most 1000h"),
        (&["run", "--aside", "nan", "--scenario", "slow"], "--aside must be"),
        (&["run", "--aside", "99", "--scenario", "slow", "--clients", "20", "--senders", "1"], "lower --aside"),
        (&["sweep", "--runs", "3"], "--runs is for"),
        (&["run", "--pin", "999"], "there is no such core"),
        (&["calibrate", "--pin", "5000"], "there is no such core"),
        (&["run", "--fail-on-regression"], "--baseline"),
        (&["search", "--arrival", "burst:5@1s"], "has its own rate"),
        (&["report", "/nowhere.json"], "cannot read"),
    ] {
        let (code, _, stderr) = loadgen(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(wanted), "{arguments:?}: {stderr}");
    }
}

/// `| head` is no failure, a full disk is one.
#[test]
fn a_reader_that_leaves_early_is_no_failure_and_a_full_disk_is_one() {
    let start = |to: Stdio| {
        let calibrate = ["calibrate", "--clients", "2", "--duration", "50ms", "-o", "json"];
        let program = env!("CARGO_BIN_EXE_loadgen");
        Command::new(program).args(calibrate).stdout(to).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut left = start(Stdio::piped());
    drop(left.stdout.take());
    let left = left.wait_with_output().unwrap();
    assert_eq!((left.status.code(), left.stderr), (Some(0), Vec::new()));
    let full = start(std::fs::File::create("/dev/full").unwrap().into()).wait_with_output().unwrap();
    assert_eq!(full.status.code(), Some(2));
    assert!(String::from_utf8(full.stderr).unwrap().contains("cannot write the results: No space left"));
}

#[test]
fn a_trace_is_sent_as_it_stands_and_a_wrong_one_is_refused_by_line() {
    let directory = scratch("trace");
    std::fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let rows: String = (0..200).map(|at| format!("{},{},{}\n", at * 5, at % 3, 64 + at % 100)).collect();
    std::fs::write(path("room.csv"), format!("milliseconds,sender,bytes\n{rows}")).unwrap();
    std::fs::write(path("wrong.csv"), "0,0,64\n1,0,64\n0.5,0,64\n").unwrap();
    let mock = Mock::start(Faults::default()).unwrap();
    let target = mock.address().to_string();
    let run = |file: &str, more: &[&str]| {
        let own = ["run", "--target", &target, "--warmup", "100ms", "--no-calibrate", "-o", "json"];
        let clients: &[&str] = if more.contains(&"--clients") { &[] } else { &["--clients", "10"] };
        loadgen(&[&own[..], &["--trace", &path(file)], clients, more].concat())
    };
    let (code, stdout, stderr) = run("room.csv", &[]);
    assert!(code == 0 || code == 3, "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["traffic"]["sent"], &report["traffic"]["delivered"]), (&200.into(), &1800.into()));
    assert_eq!((&report["setup"]["arrival"], &report["setup"]["senders"]), (&"trace:room.csv".into(), &3.into()));
    assert_eq!(report["setup"]["duration_ns"], 996_000_000);

    for (file, more, wanted) in [
        ("wrong.csv", &[][..], "wrong.csv: line 3: earlier than"),
        ("none.csv", &[], "cannot read"),
        ("room.csv", &["--rate", "5"], "cannot be used with"),
        ("room.csv", &["--clients", "2"], "names sender 2"),
    ] {
        let (code, _, stderr) = run(file, more);
        assert_eq!(code, 2, "{file}: {stderr}");
        assert!(stderr.contains(wanted), "{file}: {stderr}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_sweep_has_a_point_per_depth_and_reports_again() {
    let directory = scratch("sweep");
    std::fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let mock = Mock::start(Faults::default()).unwrap();
    let target = mock.address().to_string();
    let own =
        ["sweep", "--target", &target, "--clients", "10", "--senders", "2", "--in-flight", "1,4,8", "--duration", "1s"];
    let rest = ["--warmup", "100ms", "--no-calibrate", "-o", "csv", "--curve", &path("curve.json")];
    let (code, stdout, stderr) = loadgen(&[&own[..], &rest[..]].concat());
    assert!(code == 0 || code == 3, "{stderr}");
    assert_eq!(stdout.lines().count(), 4, "{stdout}");
    let (code, _, stderr) = loadgen(&["report", &path("curve.json"), "--html", &path("curve.html"), "-o", "quiet"]);
    assert_eq!(code, 0, "{stderr}");
    let page = std::fs::read_to_string(path("curve.html")).unwrap();
    assert!(page.contains("Points of the curve") && page.contains("8 in flight"));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_search_finds_no_rate_where_every_rate_loses() {
    let mock = Mock::start(Faults { drop: 0.2, ..Faults::default() }).unwrap();
    let target = mock.address().to_string();
    let own = ["search", "--target", &target, "--clients", "10", "--senders", "2", "--from", "50", "--to", "100"];
    let rest = ["--duration", "1s", "--warmup", "100ms", "--no-calibrate", "-o", "json"];
    let (code, stdout, stderr) = loadgen(&[&own[..], &rest[..]].concat());
    assert!(code == 1 || code == 3, "{stderr}");
    let found: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert!(found["rate"].is_null() && !found["reasons"].as_array().unwrap().is_empty(), "{stdout}");
}
