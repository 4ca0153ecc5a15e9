//! The server's own counters, from its OpenMetrics page: what it dropped, and
//! why. One table here knows the names, and nothing else does.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a counter says about lost copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Messages that the server read and did not relay: limits, rates, bad text.
    Policy,
    /// Datagrams that the kernel dropped at the server's socket.
    Socket,
    /// Copies that the kernel did not take from the server.
    Sending,
    /// Datagrams that the server read: what was sent and is not among them never reached it.
    Heard,
}

/// A family of counters.
struct Family {
    name: &'static str,
    /// Its label, whose values are told apart; empty: none.
    label: &'static str,
    /// Values of the label that are no loss.
    harmless: &'static [&'static str],
    cause: Cause,
}

/// The counters that are known, outcry's.
const TABLE: [Family; 4] = [
    Family { name: "outcry_drops_total", label: "reason", harmless: &[], cause: Cause::Policy },
    Family { name: "outcry_kernel_drops_total", label: "", harmless: &[], cause: Cause::Socket },
    Family { name: "outcry_copies_total", label: "outcome", harmless: &["sent", "offered"], cause: Cause::Sending },
    Family { name: "outcry_datagrams_in_total", label: "", harmless: &[], cause: Cause::Heard },
];

/// A page that does not come in so many seconds is not there.
const TIMEOUT_S: u64 = 2;

/// Counters by cause and by the value of their label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<(Cause, String), u64>);

/// One counter's growth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// What it says about lost copies.
    pub cause: Cause,
    /// The reason or outcome, as the server names it.
    pub name: String,
    /// By how much it grew.
    pub count: u64,
}

impl Counters {
    /// Reads the page at `url`; fails where it has none of the known counters.
    pub fn fetch(url: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("cannot read the server's counters at {url}: {what}");
        let answer = minreq::get(url).with_timeout(TIMEOUT_S).send().map_err(|error| wrong(error.to_string()))?;
        if answer.status_code != 200 {
            return Err(wrong(format!("it answers {}", answer.status_code)));
        }
        let found = Self::parse(answer.as_str().map_err(|error| wrong(error.to_string()))?);
        if found.0.is_empty() {
            let known = TABLE.map(|family| family.name).join(", ");
            return Err(wrong(format!("none of {known} is there")));
        }
        Ok(found)
    }

    /// Reads a page's text; what is not in the table is passed over.
    fn parse(page: &str) -> Self {
        let mut found = Self::default();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            if let Some((family, name, value)) = sample(line)
                && !family.harmless.contains(&name.as_str())
            {
                *found.0.entry((family.cause, name)).or_insert(0) += value;
            }
        }
        found
    }

    /// What grew since `before`.
    pub fn since(&self, before: &Self) -> Vec<Growth> {
        let growth = self.0.iter().map(|((cause, name), count)| {
            let before = before.0.get(&(*cause, name.clone())).copied().unwrap_or(0);
            Growth { cause: *cause, name: name.clone(), count: count.saturating_sub(before) }
        });
        growth.filter(|growth| growth.count > 0).collect()
    }

    /// Adds what grew between two other moments.
    pub fn advance(&mut self, from: &Self, to: &Self) {
        for growth in to.since(from) {
            *self.0.entry((growth.cause, growth.name)).or_insert(0) += growth.count;
        }
    }

    /// Whether the server counts what it reads.
    pub fn tells_heard(&self) -> bool {
        self.0.keys().any(|(cause, _)| *cause == Cause::Heard)
    }
}

/// The names of the counters that are known.
pub fn known() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|family| family.name)
}

/// The growth of one cause, of all its counters.
pub fn sum(growth: &[Growth], cause: Cause) -> u64 {
    growth.iter().filter(|one| one.cause == cause).map(|one| one.count).sum()
}

/// `name{label="value",...} count [time]`, if the table knows the name.
fn sample(line: &str) -> Option<(&'static Family, String, u64)> {
    let end = line.find(['{', ' '])?;
    let family = TABLE.iter().find(|family| family.name == &line[..end])?;
    let (labels, rest) = match line[end..].strip_prefix('{') {
        Some(rest) => rest.rsplit_once('}')?,
        None => ("", &line[end..]),
    };
    let count: f64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    let value = if family.label.is_empty() { "" } else { label(labels, family.label)? };
    (count.is_finite() && count >= 0.0).then(|| (family, value.to_string(), count as u64))
}

/// The value of one label. Values with quotes or commas in them are nobody's here.
fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    let value = pairs.map(|(name, value)| (name.trim(), value)).find(|(name, _)| *name == key)?.1;
    value.trim().strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE outcry_drops counter\n\
        outcry_drops_total{reason=\"message_rate\"} 10\n\
        outcry_drops_total{ reason=\"too_long\", room=\"a\" } 2 1700000000.0\n\
        outcry_copies_total{outcome=\"sent\"} 1e6\noutcry_copies_total{outcome=\"send_blocked\"} 5\n\
        outcry_copies_total{outcome=\"offered\"} 1000005\noutcry_datagrams_in_total 1234\n\
        go_gc_total 7\noutcry_drops_total{reason=} x\noutcry_drops_total_more 1\n# EOF\n";

    #[test]
    fn reads_the_counters_that_it_knows() {
        let all = Counters::parse(PAGE);
        let wanted = [
            (Cause::Policy, "message_rate", 10),
            (Cause::Policy, "too_long", 2),
            (Cause::Sending, "send_blocked", 5),
            (Cause::Heard, "", 1234),
        ];
        let wanted = wanted.map(|(cause, name, count)| Growth { cause, name: name.into(), count });
        assert_eq!(all.since(&Counters::default()), wanted);
        assert!(all.tells_heard() && !Counters::parse("outcry_drops_total{reason=\"x\"} 1").tells_heard());
    }

    #[test]
    fn differences_add_up_and_a_restart_is_no_loss() {
        let (before, after) = (Counters::parse(PAGE), Counters::parse(&PAGE.replace("} 10", "} 17")));
        let growth = after.since(&before);
        assert_eq!((sum(&growth, Cause::Policy), sum(&growth, Cause::Sending)), (7, 0));
        assert!(before.since(&after).is_empty());
        let mut end = after.clone();
        end.advance(&before, &after);
        assert_eq!(sum(&end.since(&before), Cause::Policy), 14);
    }
}
