//! A recorded arrival process: who sends how many bytes when, read from a CSV
//! file of `milliseconds,sender,bytes` in order of time. Knows nothing of a run.
//!
//! ```text
//! # the first line may name the columns; comments and empty lines are skipped
//! milliseconds,sender,bytes
//! 0,0,64
//! 12.5,3,200
//! 12.5,1,64
//! ```

use crate::payload::{MESSAGE_BYTES_MAX, OVERHEAD_BYTES};
use crate::plan::MESSAGES_MAX;
use std::path::Path;
use std::time::Duration;

/// The first line, where a file has one.
const COLUMNS: &str = "milliseconds,sender,bytes";
/// A day: what a run may take.
const MILLISECONDS_MAX: f64 = 86_400_000.0;
/// Senders a run may have: one per member.
const SENDERS_MAX: u32 = 1_000_000;
/// Two characters of name: `u0`.
const BYTES_MIN: usize = OVERHEAD_BYTES + 2;

/// One message of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// From the beginning of the trace, in ns.
    pub at: u64,
    /// Which sender, from 0.
    pub sender: u32,
    /// Bytes of the message.
    pub bytes: u16,
}

/// The messages of a trace, in order of time; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The file's name.
    pub name: String,
    /// The messages.
    pub rows: Vec<Row>,
}

impl Trace {
    /// Reads a file; says which line is wrong, and what would be right.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads a file's text.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut rows: Vec<Row> = Vec::new();
        for (line, text) in text.lines().enumerate().map(|(at, text)| (at + 1, text.trim())) {
            if text.is_empty() || text.starts_with('#') || (rows.is_empty() && text == COLUMNS) {
                continue;
            }
            let row = Row::parse(text).map_err(|error| format!("line {line}: {error}"))?;
            if rows.last().is_some_and(|last| last.at > row.at) {
                return Err(format!("line {line}: earlier than the line before it; rows go in order of time"));
            }
            if rows.len() == MESSAGES_MAX {
                return Err(format!("line {line}: more than {MESSAGES_MAX} messages"));
            }
            rows.push(row);
        }
        if rows.is_empty() {
            Err(format!("no message in it; a line is {COLUMNS}"))
        } else {
            Ok(Self { name: name.into(), rows })
        }
    }

    /// From its beginning to a millisecond after its last message.
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.rows.last().map_or(0, |row| row.at) + 1_000_000)
    }

    /// Senders it needs: one more than the highest number in it.
    pub fn senders(&self) -> u32 {
        self.rows.iter().map(|row| row.sender + 1).max().unwrap_or(0)
    }

    /// Bytes of its shortest message.
    pub fn least(&self) -> u16 {
        self.rows.iter().map(|row| row.bytes).min().unwrap_or(0)
    }

    /// Messages per second over its first `duration`.
    pub fn rate(&self, duration: Duration) -> f64 {
        let end = duration.as_nanos() as u64;
        self.rows.partition_point(|row| row.at < end) as f64 / duration.as_secs_f64().max(1e-9)
    }
}

impl Row {
    fn parse(text: &str) -> Result<Self, String> {
        let mut fields = text.split(',').map(str::trim);
        let (Some(at), Some(sender), Some(bytes), None) = (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(format!("`{text}`: a line is {COLUMNS}"));
        };
        let milliseconds = at.parse().ok().filter(|ms| (0.0..=MILLISECONDS_MAX).contains(ms));
        let milliseconds: f64 =
            milliseconds.ok_or_else(|| format!("`{at}`: milliseconds are a number from 0 to {MILLISECONDS_MAX}"))?;
        let number = sender.parse().ok().filter(|number| *number < SENDERS_MAX);
        let sender = number.ok_or_else(|| format!("`{sender}`: senders are numbered from 0, below {SENDERS_MAX}"))?;
        let size = bytes.parse().ok().filter(|size| (BYTES_MIN..=MESSAGE_BYTES_MAX).contains(&usize::from(*size)));
        let bytes = size.ok_or_else(|| format!("`{bytes}`: a message has {BYTES_MIN} to {MESSAGE_BYTES_MAX} bytes"))?;
        Ok(Self { at: (milliseconds * 1e6).round() as u64, sender, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_page_shows() {
        let trace =
            Trace::parse("x.csv", "# made by hand\nmilliseconds,sender,bytes\n\n0,0,64\r\n12.5,3,200\n 12.5, 1, 64\n");
        let trace = trace.unwrap();
        let row = |at, sender, bytes| Row { at, sender, bytes };
        assert_eq!(trace.rows, [row(0, 0, 64), row(12_500_000, 3, 200), row(12_500_000, 1, 64)]);
        assert_eq!((trace.senders(), trace.least()), (4, 64));
        assert_eq!(trace.length(), Duration::from_micros(13_500));
        assert_eq!(trace.rate(Duration::from_millis(10)), 100.0);
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        for (text, wanted) in [
            ("0,0,64\n5,0", "line 2: `5,0`: a line is milliseconds,sender,bytes"),
            ("0,0,64,9", "line 1: `0,0,64,9`: a line is"),
            ("0,0,64\n\nsoon,0,64", "line 3: `soon`: milliseconds"),
            ("-1,0,64", "line 1: `-1`: milliseconds"),
            ("NaN,0,64", "line 1: `NaN`: milliseconds"),
            ("0,bob,64", "line 1: `bob`: senders"),
            ("0,1000000,64", "line 1: `1000000`: senders"),
            ("0,0,20", "line 1: `20`: a message has"),
            ("0,0,1025", "line 1: `1025`: a message has"),
            ("5,0,64\n4.999,0,64", "line 2: earlier than"),
            ("0,0,64\nmilliseconds,sender,bytes", "line 2: `milliseconds`"),
            ("# nothing\n", "no message in it"),
        ] {
            let error = Trace::parse("x.csv", text).unwrap_err();
            assert!(error.starts_with(wanted), "{text}: {error}");
        }
    }
}
