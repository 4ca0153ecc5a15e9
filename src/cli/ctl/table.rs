//! Owns how lists are shown to people: aligned columns, times in words. Never
//! shows a byte of a member's that was not made harmless.

use crate::cli::sanitize::one_line;
use outcry::control::{BanRow, PeerRow, RoomRow, unix_now_s};
use serde_json::Value;

/// Rows under a head; the last column is as long as it likes.
#[derive(Default)]
pub(super) struct Table {
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn peer(&mut self, peer: &PeerRow) {
        self.head = &["ADDRESS", "PROTOCOL", "HERE", "LINES", "BYTES", "NAME"];
        let here = span(unix_now_s().saturating_sub(peer.since_unix_s));
        let numbers = [peer.lines, peer.bytes].map(|number| number.to_string());
        let [lines, bytes] = numbers;
        let name = one_line(peer.name.as_bytes()).to_string();
        let protocol = if peer.muted { format!("{},mute", peer.protocol) } else { peer.protocol.clone() };
        self.rows.push(vec![peer.address.to_string(), protocol, here, lines, bytes, name]);
    }

    pub(super) fn room(&mut self, room: &RoomRow) {
        self.head = &["MEMBERS", "SLOW", "ENTRIES", "KEPT", "KIND", "NAME"];
        let kind = match (room.sealed, room.unlisted) {
            (true, true) => "sealed,unlisted",
            (true, false) => "sealed",
            (false, true) => "unlisted",
            (false, false) => "open",
        };
        let [head, kept] = [room.head, room.kept].map(|number| number.to_string());
        let [members, slow] = [room.members, room.slow].map(|number| number.to_string());
        self.rows.push(vec![members, slow, head, kept, kind.to_owned(), one_line(room.name.as_bytes()).to_string()]);
    }

    pub(super) fn ban(&mut self, ban: &BanRow) {
        self.head = &["TARGET", "SINCE", "ENDS IN", "REASON"];
        let now = unix_now_s();
        let ends = ban.until_unix_s.map_or("never".to_owned(), |until| span(until.saturating_sub(now)));
        let since = format!("{} ago", span(now.saturating_sub(ban.since_unix_s)));
        let [target, reason] = [&ban.target, &ban.reason].map(|text| one_line(text.as_bytes()).to_string());
        self.rows.push(vec![target, since, ends, reason]);
    }

    /// All of it; `none` where there are no rows.
    pub(super) fn show(&self, none: &str) -> String {
        if self.rows.is_empty() {
            return none.to_owned();
        }
        let head: Vec<String> = self.head.iter().map(|&word| word.to_owned()).collect();
        let all = || std::iter::once(&head).chain(&self.rows);
        let widest = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.head.len()).map(widest).collect();
        let cell = |(text, width): (&String, &usize)| format!("{text:<width$}");
        let lines = all().map(|row| row.iter().zip(&widths).map(cell).collect::<Vec<_>>().join("  "));
        lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }
}

/// `42s`, `3m05s`, `2h07m`, `5d11h`.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// What was added between two moments.
pub(super) fn stats_line(former: &Value, stats: &Value) -> String {
    let sum = |stats: &Value, key: &str| match &stats[key] {
        Value::Object(causes) => causes.values().filter_map(Value::as_u64).sum(),
        value => value.as_u64().unwrap_or(0),
    };
    let added = |key: &str| sum(stats, key).saturating_sub(sum(former, key));
    let p99 = std::time::Duration::from_nanos(stats["inside_ns"]["p99"].as_u64().unwrap_or(0));
    let [datagrams, relayed, dropped, copies, lost] =
        ["datagrams_in", "relayed", "dropped", "copies", "copies_dropped"].map(added);
    let members = sum(stats, "members");
    format!("{members:>7} {datagrams:>9} {relayed:>9} {dropped:>9} {copies:>9} {lost:>9} {p99:>9.1?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_names_are_harmless() {
        let mut table = Table::default();
        assert_eq!(table.show("none"), "none");
        let row = |name: &str, reason: &str| BanRow {
            target: name.to_owned(),
            until_unix_s: None,
            since_unix_s: unix_now_s(),
            reason: reason.to_owned(),
        };
        table.ban(&row("192.0.2.0/24", "flood"));
        table.ban(&row("小明", "a\u{1b}[2Jb"));
        let lines: Vec<_> = table.show("").lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3);
        let at = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count());
        assert_eq!(at(&lines[0], "ENDS IN"), at(&lines[2], "never"));
        assert!(!lines[2].contains('\u{1b}'), "{:?}", lines[2]);
    }

    #[test]
    fn what_is_watched_stands_under_its_head() {
        let stats = |relayed: u64| serde_json::json!({ "members": 7, "relayed": relayed, "dropped": { "a": 1 } });
        let line = stats_line(&stats(2), &stats(40));
        assert_eq!(line, "      7         0        38         0         0         0     0.0ns");
    }

    #[test]
    fn times_are_short() {
        let shown = [0, 59, 61, 3599, 7_620, 90_000].map(span);
        assert_eq!(shown, ["0s", "59s", "1m01s", "59m59s", "2h07m", "1d01h"]);
    }
}
