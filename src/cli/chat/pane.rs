//! Owns which rows of a room are in view: how each line looks in so many
//! columns, and where scrolling goes. Never draws.

use super::tab::{Anchor, Delivery, Line, Tab, What};
use super::text::{Part, Row, wrap};
use super::words;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Columns before the names, in later rows of a line as well.
const INDENT: usize = 6;

/// Rows and columns for lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// Where the reader is: what a clock shows there.
pub(super) struct Zone(TimeZone);

impl Zone {
    /// As the system has it.
    pub(super) fn of_system() -> Self {
        Self(TimeZone::system())
    }

    #[cfg(test)]
    pub(super) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Hour and minute; the day as well if that is not `newest`'s.
    fn clock(&self, unix_s: u32, newest: u32) -> String {
        let [time, newest] = [unix_s, newest].map(|unix_s| {
            let moment = Timestamp::from_second(unix_s.into()).unwrap_or(Timestamp::UNIX_EPOCH);
            moment.to_zoned(self.0.clone())
        });
        let format = if time.date() == newest.date() { "%H:%M" } else { "%m-%d %H:%M" };
        time.strftime(format).to_string()
    }
}

/// A room's lines in a certain width.
pub(super) struct Pane<'a> {
    tab: &'a Tab,
    zone: &'a Zone,
    size: Size,
    newest: u32,
}

impl<'a> Pane<'a> {
    pub(super) fn new(tab: &'a Tab, zone: &'a Zone, size: Size) -> Self {
        let newest = tab.lines().rev().find_map(|line| line.time_s).unwrap_or(0);
        Self { tab, zone, size, newest }
    }

    /// The rows in view, from above; fewer than there is place for if there are no more.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let anchor = self.tab.anchor;
        for line in self.tab.lines().rev().skip_while(|line| anchor.is_some_and(|anchor| anchor.line != line.id)) {
            let mut of_line = self.rows_of(line);
            if let Some(anchor) = anchor.filter(|anchor| anchor.line == line.id) {
                of_line.truncate(of_line.len().saturating_sub(anchor.rows_below));
            }
            rows.extend(of_line.into_iter().rev());
            if rows.len() >= self.size.rows {
                break;
            }
        }
        if rows.is_empty() && anchor.is_some() {
            // The anchor is gone with the oldest lines.
            rows = self.tab.lines().take(self.size.rows).flat_map(|line| self.rows_of(line)).collect();
            rows.truncate(self.size.rows);
            return rows;
        }
        rows.truncate(self.size.rows);
        rows.reverse();
        rows
    }

    /// Where the view stands after it was moved up by `by` rows.
    pub(super) fn up(&self, by: usize) -> Option<Anchor> {
        let mut left = by + self.rows_below();
        // The oldest line stays at the upper edge.
        left = left.min(self.rows_in_all().saturating_sub(self.size.rows));
        self.at(left)
    }

    /// Where it stands after it was moved down.
    pub(super) fn down(&self, by: usize) -> Option<Anchor> {
        self.at(self.rows_below().saturating_sub(by))
    }

    /// The place that has so many rows below it; `None`: the newest line is in view.
    fn at(&self, rows_below: usize) -> Option<Anchor> {
        let mut left = rows_below;
        if left == 0 {
            return None;
        }
        for line in self.tab.lines().rev() {
            let rows = self.rows_of(line).len();
            if left < rows {
                return Some(Anchor { line: line.id, rows_below: left });
            }
            left -= rows;
        }
        None
    }

    fn rows_below(&self) -> usize {
        let Some(anchor) = self.tab.anchor else { return 0 };
        let below = self.tab.lines().rev().take_while(|line| line.id != anchor.line);
        below.map(|line| self.rows_of(line).len()).sum::<usize>() + anchor.rows_below
    }

    fn rows_in_all(&self) -> usize {
        self.tab.lines().map(|line| self.rows_of(line).len()).sum()
    }

    fn rows_of(&self, line: &Line) -> Vec<Row> {
        let time = line.time_s.map(|time_s| self.zone.clock(time_s, self.newest));
        let time = format!("{:<INDENT$}", time.map_or(String::new(), |time| time + " "));
        let parts = parts(&line.what);
        let parts =
            std::iter::once((Part::Time, time.as_str())).chain(parts.iter().map(|(part, text)| (*part, text.as_str())));
        wrap(&parts.collect::<Vec<_>>(), self.size.columns, INDENT)
    }
}

/// What a line says, and in which parts.
fn parts(what: &What) -> Vec<(Part, String)> {
    match what {
        What::Said { member, name, text } => {
            let name = name.clone().unwrap_or_else(|| format!("#{}", member.0));
            vec![(Part::Name, name + ": "), (Part::Said, text.clone())]
        }
        What::Own { name, text, delivery } => {
            vec![(Part::OwnName, format!("{name}: ")), (Part::Said, text.clone()), state(delivery)]
        }
        What::PrivateFrom { name, text } => {
            vec![(Part::Private, format!("[{name} to you alone] ")), (Part::Said, text.clone())]
        }
        What::PrivateTo { name, text, delivery } => {
            vec![(Part::Private, format!("[you to {name} alone] ")), (Part::Said, text.clone()), state(delivery)]
        }
        What::Notice(text) => vec![(Part::Notice, format!("- {text}"))],
        What::Warning(text) => vec![(Part::Warning, format!("! {text}"))],
        What::Lost(count) => vec![(Part::Warning, format!("! {}", words::lost(*count)))],
        What::Unreadable(count) => vec![(Part::Warning, format!("! {}", words::unreadable(*count)))],
    }
}

fn state(delivery: &Delivery) -> (Part, String) {
    match delivery {
        Delivery::Sending => (Part::State, " (sending)".to_owned()),
        Delivery::Delivered => (Part::State, " ✓".to_owned()),
        Delivery::Failed(why) => (Part::Warning, format!(" ({why})")),
    }
}
