//! What a relay printed about what it counted, read back.

use std::collections::HashMap;

/// A printed report: one line of `--stats`, or the facts at the end.
#[derive(Debug)]
pub struct Books {
    facts: HashMap<String, String>,
}

impl Books {
    /// The report that ends a relay's output. It balances.
    #[track_caller]
    pub fn at_end(output: &str) -> Self {
        let start = output.rfind(" members  ").unwrap_or_else(|| panic!("no counters in {output:?}"));
        let facts = output[start..].lines().filter_map(|line| line.trim_start().split_once("  "));
        Self::of(facts).balanced()
    }

    /// A line of `--stats`, if it is one. It balances.
    #[track_caller]
    pub fn in_line(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok().filter(|line| line.starts_with("members: "))?;
        Some(Self::of(line.split(" | ").filter_map(|fact| fact.split_once(": "))).balanced())
    }

    fn of<'a>(facts: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        Self { facts: facts.map(|(name, fact)| (name.to_owned(), fact.to_owned())).collect() }
    }

    #[track_caller]
    fn balanced(self) -> Self {
        assert_eq!(self.datagrams_in(), self.relayed() + self.control() + self.dropped(), "{self:?}");
        assert_eq!(self.offered(), self.sent() + self.copies_dropped(), "{self:?}");
        self
    }

    #[track_caller]
    fn fact(&self, name: &str) -> &str {
        self.facts.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn members(&self) -> u64 {
        before(self.fact("members"), " (joined")
    }

    pub fn joined(&self) -> u64 {
        after(self.fact("members"), "(joined ")
    }

    /// Members gone, for a reason.
    pub fn left(&self, reason: &str) -> u64 {
        cause(self.fact("members"), reason)
    }

    pub fn datagrams_in(&self) -> u64 {
        before(self.fact("in"), " datagrams")
    }

    pub fn relayed(&self) -> u64 {
        before(self.fact("in"), " relayed")
    }

    pub fn control(&self) -> u64 {
        before(self.fact("in"), " control")
    }

    pub fn dropped(&self) -> u64 {
        before(self.fact("in"), " dropped")
    }

    /// Datagrams dropped, for a reason.
    pub fn dropped_for(&self, reason: &str) -> u64 {
        cause(self.fact("in"), reason)
    }

    pub fn kernel_drops(&self) -> u64 {
        after(self.fact("in"), "; kernel dropped ")
    }

    pub fn offered(&self) -> u64 {
        before(self.fact("out"), " copies")
    }

    pub fn sent(&self) -> u64 {
        before(self.fact("out"), " sent")
    }

    pub fn copies_dropped(&self) -> u64 {
        before(self.fact("out"), " dropped")
    }

    /// Copies dropped, for a cause.
    pub fn copies_dropped_for(&self, cause: &str) -> u64 {
        self::cause(self.fact("out"), cause)
    }

    /// Memory beyond the base, in bytes a member.
    pub fn bytes_per_member(&self) -> u64 {
        before(self.fact("memory"), " B a member")
    }
}

/// The number that ends where `word` begins.
fn before(fact: &str, word: &str) -> u64 {
    let head = fact.find(word).map_or("", |at| &fact[..at]);
    let digits = head.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    head[digits..].parse().unwrap_or_else(|_| panic!("no number before {word:?} in {fact:?}"))
}

/// The number that begins where `word` ends.
fn after(fact: &str, word: &str) -> u64 {
    let tail = fact.find(word).map_or("", |at| &fact[at + word.len()..]);
    let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    tail[..digits].parse().unwrap_or_else(|_| panic!("no number after {word:?} in {fact:?}"))
}

/// The number of a cause in `(this 1, that 2)`; only what happened is printed.
fn cause(fact: &str, name: &str) -> u64 {
    let number = |part: &str| part.trim().strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    fact.split(['(', ',', ')']).find_map(number).unwrap_or(0)
}
