//! Lost copies are put down to what the server's own page says, and to no
//! more of it than was lost.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use loadgen::benchmark::Benchmark;
use loadgen::mock::{Faults, Mock};
use loadgen::stage;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::AtomicBool;
use support::{Silent, benchmark, run};

/// A page that says `before` to the first two who ask (before the joins, before
/// measuring) and `after` to all others; its address.
fn page(before: &str, after: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let (before, after) = (before.to_string(), after.to_string());
    std::thread::spawn(move || {
        for (visit, stream) in listener.incoming().enumerate() {
            let (mut stream, text) = (stream.unwrap(), if visit < 2 { &before } else { &after });
            let asked = stream.read(&mut [0; 4096]).unwrap();
            assert!(asked > 0);
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", text.len());
            stream.write_all((head + text).as_bytes()).unwrap();
        }
    });
    url
}

fn asking(mock: &Mock, url: String) -> Benchmark {
    Benchmark { server_metrics: Some(url), ..benchmark(mock, 11, 2, 200.0, 2) }
}

#[test]
fn messages_that_the_server_refused_are_its_policy() {
    let mock = Mock::start(Faults { refuse: 0.1, ..Faults::default() }).unwrap();
    let url = page(
        "outcry_drops_total{reason=\"message_rate\"} 5\n# EOF\n",
        "outcry_drops_total{reason=\"message_rate\"} 1000005\n# EOF\n",
    );
    let report = run(&asking(&mock, url));
    let loss = &report.loss;
    assert!(loss.lost > 0);
    assert_eq!((loss.server_policy, loss.server_refused, loss.unexplained), (loss.lost, 0, 0), "{loss:?}");
    assert_eq!((loss.server_counters[0].name.as_str(), loss.server_counters[0].count), ("message_rate", 1_000_000));
    let mut text = String::new();
    loadgen::report::print(&report, &mut text).unwrap();
    assert!(text.contains("the server counted message_rate 1,000,000"), "{text}");
}

#[test]
fn messages_that_the_server_never_read_were_dropped_at_its_socket() {
    let mock = Mock::start(Faults { refuse: 0.1, ..Faults::default() }).unwrap();
    // 440 are sent, warm-up included; it says that it read 430 and dropped 3 of those.
    let before = "outcry_datagrams_in_total 100\noutcry_drops_total{reason=\"byte_rate\"} 0\n";
    let after = "outcry_datagrams_in_total 530\noutcry_drops_total{reason=\"byte_rate\"} 3\n";
    let report = run(&asking(&mock, page(before, after)));
    let loss = &report.loss;
    assert_eq!((loss.server_socket, loss.server_policy), (100, 30), "{loss:?}");
    assert_eq!(loss.server_refused, loss.lost - 130);
}

#[test]
fn copies_that_the_servers_kernel_did_not_take_are_its_sending() {
    let mock = Mock::start(Faults { drop: 0.1, ..Faults::default() }).unwrap();
    let count = |blocked, sent| {
        format!(
            "outcry_copies_total{{outcome=\"send_blocked\"}} {blocked}\noutcry_copies_total{{outcome=\"sent\"}} {sent}\n"
        )
    };
    let report = run(&asking(&mock, page(&count(7, 0), &count(107, 9999))));
    let loss = &report.loss;
    assert!(loss.lost > 100);
    assert_eq!((loss.server_sending, loss.unexplained), (100, loss.lost - 100), "{loss:?}");
}

#[test]
fn a_page_that_is_none_is_refused_before_anybody_joins() {
    let mock = Mock::start(Faults::default()).unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, wanted) in [
        (page("go_gc_total 1\n", ""), "none of outcry_drops_total"),
        (format!("http://{nobody}/metrics"), "cannot read the server's counters"),
        ("https://127.0.0.1/metrics".into(), "cannot read the server's counters"),
    ] {
        let error = stage::run(&asking(&mock, url), &AtomicBool::new(false), &mut Silent).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}
