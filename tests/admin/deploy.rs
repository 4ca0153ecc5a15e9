//! `deploy/` names only what the relay shows: each metric, each value of a label.

use crate::process::skip;
use crate::web::Watched;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

const ALERTS: &str = "deploy/prometheus-alerts.yml";
const GRAFANA: &str = "deploy/grafana-dashboard.json";

fn file(path: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap()
}

/// Every `outcry_...` in `text`, with the label pairs behind it.
fn used(text: &str) -> BTreeSet<(String, Vec<(String, String)>)> {
    let text = text.replace("\\\"", "\"");
    let starts = text.match_indices("outcry_").map(|(at, _)| at);
    let metric = |at: usize| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let labels = rest[end..].strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
        (rest[..end].to_owned(), pairs(labels))
    };
    starts.map(metric).collect()
}

/// `name="value"` and `name=~"one|two"`: each name with each of its values.
fn pairs(labels: &str) -> Vec<(String, String)> {
    let parts = labels.split(',').filter_map(|part| part.split_once(['=', '!']));
    let values = |(name, value): (&str, &str)| {
        let (name, value) = (name.trim().to_owned(), value.trim_start_matches(['=', '~']).trim().trim_matches('"'));
        value.split('|').map(|value| (name.clone(), value.to_owned())).collect::<Vec<_>>()
    };
    parts.flat_map(values).collect()
}

/// What of `used` is not on `page`.
fn missing(used: &BTreeSet<(String, Vec<(String, String)>)>, page: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, labels) in used {
        let lines: Vec<&str> = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name)).collect();
        if lines.is_empty() {
            missing.push(name.clone());
        }
        // What the scraper adds is not on the page.
        for (label, value) in labels.iter().filter(|(label, value)| label != "instance" && !value.starts_with('$')) {
            let pair = format!("{label}=\"{value}\"");
            if !lines.iter().any(|line| line.contains(&pair)) {
                missing.push(format!("{name}{{{pair}}}"));
            }
        }
    }
    missing
}

#[test]
fn what_alerts_and_the_dashboard_name_is_on_the_page() {
    let page = Watched::start().fetch("/metrics").body;
    for path in [ALERTS, GRAFANA] {
        let used = used(&text(path));
        assert!(used.len() >= 5, "{path}: {used:?}");
        assert_eq!(missing(&used, &page), [""; 0], "{path}");
    }
}

#[test]
fn a_metric_that_is_not_there_would_be_noticed() {
    let page = "outcry_a_total{reason=\"x\"} 1\n";
    let missing = |text: &str| missing(&used(text), page);
    assert_eq!(missing("rate(outcry_a_total{reason=\"x\",instance=\"y\"}[1m])"), [""; 0]);
    assert_eq!(missing("outcry_b_total + outcry_a"), ["outcry_a", "outcry_b_total"]);
    assert_eq!(missing("outcry_a_total{reason=~\"x|y\"}"), ["outcry_a_total{reason=\"y\"}"]);
    assert_eq!(missing("outcry_a_total{reason!=\\\"z\\\"}"), ["outcry_a_total{reason=\"z\"}"]);
}

#[test]
fn the_dashboard_is_one_that_grafana_reads() {
    let dashboard: Value = serde_json::from_str(&text(GRAFANA)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(dashboard["title"].is_string() && panels.len() >= 6);
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["gridPos"].is_object() && panel["type"].is_string(), "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && targets.iter().all(|target| target["expr"].is_string()), "{title}");
    }
}

#[test]
fn prometheus_takes_the_alerts() {
    let checked = Command::new("promtool").args(["check", "rules"]).arg(file(ALERTS)).output();
    let Ok(checked) = checked else { return skip("promtool check rules: no promtool here") };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn prometheus_takes_the_page() {
    use std::io::Write;
    let page = Watched::start().fetch("/metrics").body;
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page.txt");
    std::fs::write(&path, page).unwrap();
    // A second reader of the format, where there is one.
    let reader = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        print(sum(len(family.samples) for family in read(open(sys.argv[1]).read())))";
    let read = Command::new("python3").args(["-c", reader]).arg(&path).output();
    match read {
        Ok(read) if read.status.success() => {
            let samples: usize = String::from_utf8(read.stdout).unwrap().trim().parse().unwrap();
            assert!(samples > 100, "{samples}");
        }
        Ok(read) if !String::from_utf8_lossy(&read.stderr).contains("ModuleNotFoundError") => {
            std::io::stdout().write_all(&read.stderr).unwrap();
            panic!("Python's reader of OpenMetrics refuses the page");
        }
        _ => skip("the page before another reader: no python3 with prometheus_client here"),
    }
}
