//! Owns the JSON view: what a program reads of the relay, in pages. Never
//! looks at the relay itself.

use super::metrics_page::{copies_offered_to, native_counters};
use crate::batch::SEND_DROPS;
use crate::directory::Member;
use crate::metrics::{DropReason, LeaveReason, Summary};
use crate::relay::{RoomView, SlowView};
use crate::server::Report;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Rows of a page where nothing is said, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Order {
    /// Longest here first.
    #[default]
    Joined,
    /// Most lines first.
    Lines,
}

/// Which part of a list is asked for: `?offset=0&limit=100&sort=joined|lines`.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
    #[serde(default)]
    sort: Order,
}

impl Asked {
    pub(super) fn by_lines(&self) -> bool {
        self.sort == Order::Lines
    }

    /// The part of `rows`, and how many there are in all.
    pub(super) fn page<T>(&self, name: &str, rows: &[T], total: usize, show: impl Fn(&T) -> Value) -> Value {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
        let part: Vec<Value> = rows.iter().skip(self.offset).take(limit).map(show).collect();
        json!({ "total": total, "offset": self.offset, "limit": limit, name: part })
    }
}

pub(super) fn peer(member: &Member) -> Value {
    json!({
        "address": member.remote.to_string(),
        "name": &*member.name,
        "protocol": if member.native { "native" } else { "plain" },
        "muted": member.muted,
        "since_unix_s": member.since_unix_s,
        "lines": member.lines,
        "bytes": member.bytes,
    })
}

pub(super) fn room(room: &RoomView) -> Value {
    json!({
        "name": &*room.name,
        "members": room.members,
        "slow": room.slow,
        "head": room.head,
        "kept": room.kept,
        "sealed": room.sealed,
        "unlisted": room.unlisted,
    })
}

pub(super) fn slow(member: &SlowView) -> Value {
    json!({
        "name": &*member.name,
        "address": member.remote.to_string(),
        "room": &*member.room,
        "behind": member.behind,
        "lost": member.lost,
    })
}

/// Everything that was counted.
pub(super) fn stats(report: &Report) -> Value {
    let (counters, native) = (&report.counters, &report.counters.native);
    let [plain_messages, native_messages] = counters.messages();
    json!({
        "uptime_s": report.uptime_ns as f64 / 1e9,
        "members": split((report.members - report.sessions) as u64, report.sessions as u64),
        "rooms": report.rooms,
        "datagrams_in": split(counters.datagrams_in - native.datagrams_in, native.datagrams_in),
        "relayed": counters.relayed,
        "control": counters.control,
        "messages": split(plain_messages, native_messages),
        "drops": by_name(DropReason::ALL.iter().map(|&reason| (reason.name(), counters.dropped(reason)))),
        "drops_total": counters.dropped_total(),
        "kernel_drops": report.kernel_drops,
        "joined": split(counters.joined - native.sessions_begun, native.sessions_begun),
        "left": by_name(LeaveReason::ALL.iter().map(|&reason| (reason.name(), counters.left(reason)))),
        "notices": {
            "told": counters.notices_told,
            "merged": counters.notices_merged,
            "suppressed": counters.notices_suppressed,
        },
        "answers": counters.answers,
        "copies": {
            "offered": report.copies.offered,
            "offered_to": by_name(copies_offered_to(&report.copies).into_iter()),
            "sent": report.copies.sent,
            "dropped": by_name(SEND_DROPS.iter().map(|&(cause, name)| (name, report.copies.dropped[cause as usize]))),
            "dropped_total": report.copies.dropped_total(),
            "trains_refused": report.copies.trains_refused,
        },
        "turn_messages": distribution(&report.turn_messages),
        "train_messages": distribution(&report.train_messages),
        "sojourn_ns": distribution(&report.sojourn_ns),
        "native": by_name(native_counters(native).into_iter().map(|(name, _, count)| (name, count))),
        "memory": { "resident_bytes": report.resident_bytes, "base_bytes": report.base_bytes },
    })
}

/// What plain members have of something, native ones, and all.
fn split(plain: u64, native: u64) -> Value {
    json!({ "plain": plain, "native": native, "total": plain + native })
}

fn by_name(counts: impl Iterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    counts.map(|(name, count)| (name.to_owned(), count.into())).collect()
}

fn distribution(summary: &Summary) -> Value {
    json!({
        "count": summary.count,
        "sum": summary.sum,
        "p50": summary.p50,
        "p99": summary.p99,
        "p999": summary.p999,
        "max": summary.max,
        "bounds": summary.buckets.bounds(),
        "counts": summary.buckets.counts(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(offset: usize, limit: Option<usize>) -> Asked {
        Asked { offset, limit, sort: Order::Joined }
    }

    #[test]
    fn a_page_is_as_long_as_asked_for_and_never_longer_than_a_thousand() {
        let rows: Vec<usize> = (0..2500).collect();
        let page = |offset, limit| asked(offset, limit).page("rows", &rows, rows.len(), |row| json!(row));
        for (offset, limit, first, len) in [
            (0, None, 0, 100),
            (100, Some(50), 100, 50),
            (0, Some(1_000_000), 0, 1000),
            (2400, Some(1000), 2400, 100),
            (0, Some(0), 0, 0),
            (usize::MAX, Some(1), 0, 0),
        ] {
            let page = page(offset, limit);
            let shown = page["rows"].as_array().unwrap();
            assert_eq!((shown.len(), shown.first().map_or(0, |row| row.as_u64().unwrap())), (len, first), "{offset}");
            assert_eq!(page["total"], 2500);
        }
    }

    #[test]
    fn everything_counted_is_told() {
        let told = stats(&Report::default());
        assert_eq!(told["drops"].as_object().unwrap().len(), DropReason::ALL.len());
        assert_eq!(told["left"].as_object().unwrap().len(), LeaveReason::ALL.len());
        assert_eq!(told["copies"]["dropped"].as_object().unwrap().len(), SEND_DROPS.len());
        assert_eq!(told["sojourn_ns"]["counts"].as_array().unwrap().len(), 1);
    }
}
