//! Who uses whom: the table on the architecture page against the sources.

use crate::source::{Source, enclosed, finds, is_word, word_at};
use std::collections::BTreeMap;

/// A row of the table: what a module may use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    modules: Vec<String>,
    crates: Vec<String>,
}

/// The table, by module.
pub(crate) type Table = BTreeMap<String, Row>;

/// The table in the documentation of `lib`: each row begins with a module.
pub(crate) fn table(lib: &Source) -> Table {
    let rows = lib.text.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let row = |row: &str| {
        let row = format!("`{row}");
        let cells: Vec<&str> = row.split('|').collect();
        let [module, modules, crates, ..] = cells[..] else { panic!("a row has four cells: {row}") };
        (module.trim().trim_matches('`').to_owned(), Row { modules: words(modules), crates: words(crates) })
    };
    rows.map(row).collect()
}

/// The names that the library's root has from elsewhere, like `Time` from `time`.
fn reexports(lib: &Source) -> BTreeMap<&str, &str> {
    let uses = lib.code.lines().filter_map(|line| line.strip_prefix("pub use ")?.strip_suffix(';'));
    uses.filter_map(|path| Some((path.rsplit("::").next()?, path.split("::").next()?))).collect()
}

/// Every use that the table does not allow. `crates` are the dependencies.
pub(crate) fn breaches(lib: &Source, sources: &[Source], crates: &[String]) -> Vec<String> {
    let (table, reexports) = (table(lib), reexports(lib));
    let modules = sources.iter().filter(|source| source.path.starts_with("src/") && source.is_rust());
    let of = |source: &Source| {
        let module = source.modules()[0].to_owned();
        match (module.as_str(), table.get(&module)) {
            ("lib", _) => Vec::new(),
            (_, Some(row)) => breaches_of(source, &module, row, &reexports, crates),
            (_, None) => vec![format!("{}: `{module}` has no row in the table of src/lib.rs", source.path)],
        }
    };
    modules.flat_map(of).collect()
}

fn breaches_of(
    source: &Source,
    module: &str,
    row: &Row,
    reexports: &BTreeMap<&str, &str>,
    crates: &[String],
) -> Vec<String> {
    let mut breaches = Vec::new();
    for (at, used) in modules_used(source) {
        let used = reexports.get(used).copied().unwrap_or(used);
        if used != module && !row.modules.iter().any(|allowed| allowed == used) {
            let place = source.place(at);
            breaches.push(format!("{place}: `{module}` uses `{used}`; its row in src/lib.rs allows {:?}", row.modules));
        }
    }
    for used in crates.iter().filter(|used| !row.crates.contains(used)) {
        let is_path = |at: &usize| {
            let (before, after) = (&source.code[..*at], &source.code[at + used.len()..]);
            !before.ends_with("::") && (after.starts_with("::") || (before.ends_with("use ") && after.starts_with(';')))
        };
        if let Some(at) = finds(&source.code, used).find(is_path) {
            let place = source.place(at);
            breaches.push(format!(
                "{place}: `{module}` uses the crate `{used}`; its row in src/lib.rs allows {:?}",
                row.crates
            ));
        }
    }
    breaches
}

/// The first module of each path that begins at a root: `crate::a::b`,
/// `outcry::{a, b}`, or as many `super::` as lead there.
fn modules_used(source: &Source) -> Vec<(usize, &str)> {
    let code = source.code.as_str();
    let mut used = Vec::new();
    for root in ["crate::", "outcry::"] {
        let starts = finds(code, root).filter(|&at| !code[..at].ends_with("::"));
        starts.for_each(|at| used.extend(first_words(code, at + root.len())));
    }
    for at in finds(code, "super::").filter(|&at| !code[..at].ends_with("super::")) {
        let steps = code.as_bytes()[at..].chunks("super::".len()).take_while(|chunk| chunk == b"super::").count();
        if steps >= depth_at(source, at) {
            used.extend(first_words(code, at + steps * "super::".len()));
        }
    }
    used
}

/// The first word of each path that goes on at `at`.
fn first_words(code: &str, at: usize) -> Vec<(usize, &str)> {
    if !code[at..].starts_with('{') {
        return vec![(at, word_at(code, at))];
    }
    let mut words = Vec::new();
    let inside = enclosed(code, at);
    let mut next = inside.start;
    while next < inside.end {
        match code.as_bytes()[next] {
            b'{' => next = enclosed(code, next).end,
            byte if is_word(byte) && begins_an_item(&code[inside.start..next]) => {
                words.push((next, word_at(code, next)))
            }
            _ => {}
        }
        next += 1;
    }
    words
}

fn begins_an_item(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with(',')
}

/// How many modules deep the code at `at` is.
fn depth_at(source: &Source, at: usize) -> usize {
    let code = source.code.as_str();
    let inline = finds(code, "mod ").filter(|&start| {
        let open = start + "mod ".len() + word_at(code, start + "mod ".len()).len() + 1;
        code[..open].ends_with(' ') && code[open..].starts_with('{') && enclosed(code, open).contains(&at)
    });
    source.modules().len() + inline.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! | module | uses | crates | never |\n//! |---|---|---|---|\n\
        //! | `time` | | | reads a clock |\n//! | `relay` | `time` `wire` | `blake3` | x |\n\
        //! | `net` | | `libc` `mio` | y |\nmod time;\npub use time::Time;\n";

    fn breaches_in(path: &str, code: &str) -> Vec<String> {
        let crates = ["blake3", "libc", "mio"].map(str::to_owned);
        breaches(&Source::new("src/lib.rs", LIB), &[Source::new(path, code)], &crates)
    }

    #[track_caller]
    fn caught(path: &str, code: &str, told: &str) {
        let breaches = breaches_in(path, code);
        assert!(breaches.len() == 1 && breaches[0].contains(told), "{code}: {breaches:?}");
    }

    #[test]
    fn the_table_is_read() {
        let table = table(&Source::new("src/lib.rs", LIB));
        assert_eq!(table.keys().collect::<Vec<_>>(), ["net", "relay", "time"]);
        assert_eq!(table["relay"], Row { modules: vec!["time".into(), "wire".into()], crates: vec!["blake3".into()] });
    }

    #[test]
    fn a_use_that_is_not_in_the_row_is_caught_however_it_is_written() {
        for code in [
            "use crate::net;",
            "fn a() { crate::net::b(); }",
            "use crate::{Time, net::Socket, wire};",
            "use crate::{\n    wire::{net, b},\n    net,\n};",
            "use outcry::net::Socket;",
            "use super::super::net::Socket;",
            "mod tests { use super::super::super::net::Socket; }",
            "use super::super::{wire, net};",
        ] {
            caught("src/relay/x.rs", code, "`relay` uses `net`; its row in src/lib.rs allows [\"time\", \"wire\"]");
        }
        caught("src/relay/mod.rs", "use super::net;", "`relay` uses `net`");
        caught("src/net/x.rs", "use crate::Time;", "`net` uses `time`");
        caught("src/relay/x.rs", "\nfn a() { mio::b() }", "src/relay/x.rs:2: `relay` uses the crate `mio`");
        caught("src/relay/x.rs", "use libc;", "the crate `libc`");
        caught("src/other.rs", "", "`other` has no row");
    }

    #[test]
    fn what_the_row_allows_is_not() {
        for code in [
            "use crate::{Time, wire::plain::net};",
            "use super::net;",
            "use super::super::relay::net;",
            "mod tests { use super::*; use super::super::net; }",
            "// use crate::net;\nfn a() { b(\"crate::net\"); }",
            "pub(in crate::relay) fn a() { blake3::b() }",
            "use wire::mio::A;",
        ] {
            assert_eq!(breaches_in("src/relay/x.rs", code), [""; 0], "{code}");
        }
    }
}
