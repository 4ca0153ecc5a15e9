//! Owns the list of bans with their reasons, and the file it is kept in: a
//! JSON object a line, so that people can read and change it. Never decides
//! whom a ban covers: the core does.

use super::atomic;
use super::protocol::BanRow;
use crate::config;
use crate::relay::{Ban, BanTarget};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The first line of the file.
const HEAD: &str = "# outcry bans, version 1: a ban a line; `outcry ctl reload` reads it again";

/// Why the list of bans cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BansError {
    /// The file is there and cannot be read.
    #[error("cannot read the ban file {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of it is no ban.
    #[error("ban file {}, line {line}: {why}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// All bans, oldest first.
#[derive(Default)]
pub(super) struct BanBook {
    rows: Vec<BanRow>,
    path: Option<PathBuf>,
}

impl BanBook {
    /// The bans in the file at `path`: none, where there is no file yet.
    pub(super) fn read(path: Option<PathBuf>) -> Result<Self, BansError> {
        let Some(file) = path.as_deref() else { return Ok(Self::default()) };
        match fs::read_to_string(file) {
            Ok(text) => Ok(Self { rows: parse(file, &text)?, path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { rows: Vec::new(), path }),
            Err(source) => Err(BansError::Unreadable { path: file.to_owned(), source }),
        }
    }

    /// From now on the list is nowhere else.
    pub(super) fn forget_file(&mut self) {
        self.path = None;
    }

    /// The bans that hold at `unix_s`.
    pub(super) fn holding(&self, unix_s: u64) -> impl Iterator<Item = &BanRow> {
        self.rows.iter().filter(move |row| row.ban().is_ok_and(|ban| ban.holds(unix_s)))
    }

    /// For the core.
    pub(super) fn bans(&self, unix_s: u64) -> Vec<Ban> {
        self.holding(unix_s).filter_map(|row| row.ban().ok()).collect()
    }

    /// Adds a ban, instead of a former one of the same target.
    pub(super) fn insert(&mut self, row: BanRow, unix_s: u64) {
        self.rows.retain(|other| other.target != row.target && other.ban().is_ok_and(|ban| ban.holds(unix_s)));
        self.rows.push(row);
    }

    /// Adds a ban of another list, unless this one knows its target.
    pub(super) fn add(&mut self, row: BanRow, unix_s: u64) {
        if !self.rows.iter().any(|other| other.target == row.target) && row.ban().is_ok() {
            self.insert(row, unix_s);
        }
    }

    /// Lifts a ban. Returns whether there was one.
    pub(super) fn remove(&mut self, target: &BanTarget) -> bool {
        let (before, target) = (self.rows.len(), target.to_string());
        self.rows.retain(|row| row.target != target);
        self.rows.len() < before
    }

    /// Writes the list to its file; without one that is done already. Returns
    /// whether it will be there after a restart.
    pub(super) fn write(&self, unix_s: u64) -> io::Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        let mut text = format!("{HEAD}\n");
        for row in self.holding(unix_s) {
            text += &serde_json::to_string(row)?;
            text.push('\n');
        }
        atomic::replace(path, text.as_bytes()).map(|()| true)
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<BanRow>, BansError> {
    let wrong = |at: usize, why: String| BansError::Wrong { path: path.to_owned(), line: at + 1, why };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut rows = Vec::new();
    for (at, line) in lines {
        let row: BanRow = serde_json::from_str(line).map_err(|error| wrong(at, in_its_line(&error)))?;
        let ban = row.ban().map_err(|error| wrong(at, format!("{:?}: {error}", row.target)))?;
        if rows.len() >= config::BANS_MAX {
            return Err(wrong(at, format!("more than {} bans", config::BANS_MAX)));
        }
        rows.push(BanRow { target: ban.target.to_string(), ..row });
    }
    Ok(rows)
}

/// What is wrong with a line of JSON: there, every line is the first one.
fn in_its_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{what} at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: &str, until_unix_s: Option<u64>) -> BanRow {
        BanRow { target: target.to_owned(), until_unix_s, since_unix_s: 1, reason: "spam \"and\"\nmore".to_owned() }
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_over_is_not_written() {
        let dir = std::env::temp_dir().join(format!("outcry-bans-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = Some(dir.join("bans"));
        let mut book = BanBook::read(path.clone()).unwrap();
        for (target, until) in [("192.0.2.0/24", None), ("name:10.0.0.1", Some(20)), ("mallory", Some(10))] {
            book.insert(row(target, until), 5);
        }
        assert!(book.write(5).unwrap());
        assert_eq!(BanBook::read(path.clone()).unwrap().rows, book.rows);
        book.insert(row("192.0.2.0/24", Some(30)), 15);
        assert_eq!((book.rows.len(), book.bans(15).len()), (2, 2), "mallory's is over, the network's was set anew");
        assert!(book.remove(&"name:10.0.0.1".parse().unwrap()) && !book.remove(&"bob".parse().unwrap()));
        assert!(book.write(15).unwrap());
        assert_eq!(BanBook::read(path).unwrap().rows, [row("192.0.2.0/24", Some(30))]);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_bad_file_says_where_it_is_bad() {
        let path = Path::new("bans");
        let good = "{\"target\":\"bob\",\"since_unix_s\":1}\n";
        for (text, line, word) in [
            ("# head\n\n{\"target\":\"192.0.2.0/33\",\"since_unix_s\":1}\n", 3, "192.0.2.0/33"),
            ("nonsense\n", 1, "expected"),
            ("{\"target\":\"bob\",\"since_unix_s\":1,\"untill\":5}\n", 1, "untill"),
        ] {
            let error = parse(path, text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}:")) && error.contains(word), "{error}");
            assert_eq!(error.matches("line").count(), 1, "{error}");
        }
        assert_eq!(parse(path, good).unwrap().len(), 1, "what says no reason needs none");
        assert!(parse(path, &good.repeat(config::BANS_MAX + 1)).is_err());
    }
}
