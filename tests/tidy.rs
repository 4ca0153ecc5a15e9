//! T34: what a compiler cannot check. Each rule is data or a few lines; each
//! has a test that a made-up breach is caught, because a check that cannot
//! fail is worse than none.

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/readme.rs"]
mod readme;
#[path = "tidy/source.rs"]
mod source;

use outcry::config;
use outcry::metrics::{DropReason, LeaveReason};
use outcry::wire::plain::{self, Answer, Change, Lang, Name};
use source::{Source, finds};
use std::fs;
use std::path::{Path, PathBuf};

// ---- the rules that are words ---------------------------------------------------

/// Words that stand nowhere `within` (path prefixes) `but` there.
struct Ban {
    why: &'static str,
    words: &'static [&'static str],
    within: &'static [&'static str],
    but: &'static [&'static str],
    /// Tests may.
    shipped_only: bool,
}

/// Everything that is not the outer shell: no clock, socket, file, thread or
/// randomness.
const PURE: &[&str] = &[
    "src/relay/",
    "src/client/",
    "src/wire/",
    "src/batch/",
    "src/time.rs",
    "src/config.rs",
    "src/metrics.rs",
    "src/directory.rs",
];
const EVERYWHERE: &[&str] = &["src/", "loadgen/", "benches/", "tests/"];
const SHIPPED: &[&str] = &["src/", "loadgen/src/"];

const BANS: [Ban; 8] = [
    Ban {
        why: "time, randomness and input are parameters of the core",
        words: &[
            "Instant",
            "SystemTime",
            "thread",
            "UdpSocket",
            "TcpStream",
            "mio",
            "libc",
            "socket2",
            "rand",
            "getrandom",
            "std::fs",
            "std::env",
            "std::process",
        ],
        within: PURE,
        but: &[],
        shipped_only: false,
    },
    Ban {
        why: "wire allocates nothing",
        words: &["Vec", "String", "Box", "Arc", "vec!", "format!", "to_owned", "to_string", "to_vec"],
        within: &["src/wire/"],
        but: &[],
        shipped_only: true,
    },
    Ban {
        why: "`unsafe` has one address",
        words: &["unsafe"],
        within: EVERYWHERE,
        but: &["src/net/sys/"],
        shipped_only: false,
    },
    Ban {
        why: "bad input is counted, a broken invariant has its reason: `expect(\"invariant: ...\")`",
        words: &[".unwrap()"],
        within: SHIPPED,
        but: &[],
        shipped_only: true,
    },
    Ban {
        why: "what is there is finished, and its tests run",
        words: &["todo!", "unimplemented!", "dbg!", "#[ignore*"],
        within: EVERYWHERE,
        but: &[],
        shipped_only: false,
    },
    Ban {
        why: "a getter is named for what it gives",
        words: &["fn get_*"],
        within: EVERYWHERE,
        but: &[],
        shipped_only: false,
    },
    Ban {
        why: "the fan-out never meets a lock: only the directory is concurrent",
        words: &["DashMap", "dashmap"],
        within: &["src/"],
        but: &["src/directory.rs"],
        shipped_only: false,
    },
    Ban {
        why: "a library does not print",
        words: &["println!", "print!", "eprintln!", "eprint!"],
        within: &["src/"],
        but: &["src/main.rs", "src/cli/"],
        shipped_only: true,
    },
];

impl Ban {
    fn covers(&self, path: &str) -> bool {
        let under = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
        path.ends_with(".rs") && under(self.within) && !under(self.but)
    }

    fn breaches(&self, source: &Source) -> Vec<String> {
        if !self.covers(&source.path) {
            return Vec::new();
        }
        let code = if self.shipped_only { &source.shipped } else { &source.code };
        let found = self.words.iter().filter_map(|word| finds(code, word).next().map(|at| (word, at)));
        found.map(|(word, at)| format!("{}: `{word}`: {}", source.place(at), self.why)).collect()
    }
}

#[test]
fn no_banned_word() {
    let sources = sources();
    assert_none(BANS.iter().flat_map(|ban| sources.iter().flat_map(|source| ban.breaches(source))));
}

#[test]
fn each_banned_word_would_be_caught_in_code_and_nowhere_else() {
    let sources = sources();
    for ban in &BANS {
        let exists = |prefix: &&str| sources.iter().any(|source| source.path.starts_with(*prefix));
        assert!(ban.within.iter().any(exists) && ban.but.iter().all(exists), "{}", ban.why);
        for word in ban.words {
            let word = word.replace('*', "x");
            let breaches = |path: &str, text: &str| ban.breaches(&Source::new(path, text)).len();
            for within in ban.within {
                let file = if within.ends_with('/') { format!("{within}x.rs") } else { (*within).to_owned() };
                assert_eq!(breaches(&file, &format!("fn a() {{ {word} }}")), 1, "{word} in {file}");
                assert_eq!(
                    breaches(&file, &format!("// {word}\nfn a() {{ b(\"{word}\", a_{}) }}", word.len())),
                    0,
                    "{word}"
                );
            }
            for but in ban.but {
                assert_eq!(breaches(&format!("{but}x.rs"), &word), 0, "{word} in {but}");
            }
        }
    }
}

// ---- the rules that take a look ---------------------------------------------------

/// Lines of a file at most, and files that may have more than `LONG_LINES`.
const LINES_MAX: usize = 900;
const LONG_LINES: usize = 600;
const LONG_FILES_MAX: usize = 3;
/// Lines between a comment and the `unsafe` that it is about: a statement may begin before it.
const SAFETY_LINES: usize = 3;

fn undocumented(source: &Source) -> Option<String> {
    (source.is_rust() && !source.text.starts_with("//!"))
        .then(|| format!("{}: opens with `//!`: what it owns, what it never does", source.path))
}

fn too_long(sources: &[Source]) -> Vec<String> {
    let lines = |source: &Source| source.text.lines().count();
    let rust = || sources.iter().filter(|source| source.is_rust());
    let long: Vec<_> = rust().filter(|source| lines(source) > LONG_LINES).map(|source| source.path.as_str()).collect();
    let mut breaches: Vec<_> = rust()
        .filter(|source| lines(source) > LINES_MAX)
        .map(|source| {
            format!("{}: {} lines, at most {LINES_MAX}: split it by what it owns", source.path, lines(source))
        })
        .collect();
    if long.len() > LONG_FILES_MAX {
        breaches.push(format!("more than {LONG_FILES_MAX} files have over {LONG_LINES} lines: {long:?}"));
    }
    breaches
}

/// `expect` in what is shipped gives the invariant that it relies on.
fn bare_expects(source: &Source) -> Vec<String> {
    if !source.is_rust() || !SHIPPED.iter().any(|prefix| source.path.starts_with(prefix)) {
        return Vec::new();
    }
    let reason = |at: &usize| source.text[at + ".expect(".len()..].trim_start();
    let bare = finds(&source.shipped, ".expect(").filter(|at| !reason(at).starts_with("\"invariant: "));
    bare.map(|at| format!("{}: `expect(\"invariant: ...\")`", source.place(at))).collect()
}

/// A comment that says why stands before each `unsafe`.
fn unexplained_unsafe(source: &Source) -> Vec<String> {
    if !source.is_rust() {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let explained = |at: &usize| {
        let line = source.text.as_bytes()[..*at].iter().filter(|&&byte| byte == b'\n').count();
        let comment = (line.saturating_sub(SAFETY_LINES)..line).rev().find(|&above| lines[above].starts_with("//"));
        let comments = |from: usize| lines[..=from].iter().rev().take_while(|line| line.starts_with("//"));
        comment.is_some_and(|from| comments(from).any(|line| line.contains("SAFETY:")))
    };
    let bare = finds(&source.code, "unsafe").filter(|at| !explained(at));
    bare.map(|at| format!("{}: a `SAFETY:` comment just before", source.place(at))).collect()
}

/// Places that exist on one machine only.
fn private_paths(source: &Source) -> Vec<String> {
    let places = ["home", "root", "work", "Users"].map(|folder| format!("/{folder}/"));
    let found = places.iter().filter_map(|place| source.text.find(place.as_str()).map(|at| (place, at)));
    found.map(|(place, at)| format!("{}: `{place}` is a place on one machine", source.place(at))).collect()
}

/// Bad input is counted under a reason of its own, and each has its test.
fn untested_reasons(tests: &[&Source]) -> Vec<String> {
    let named = |reason: &DropReason| {
        let name = format!("DropReason::{reason:?}");
        tests.iter().any(|test| finds(&test.code, &name).next().is_some())
    };
    DropReason::ALL.iter().filter(|reason| !named(reason)).map(|reason| format!("no test names {reason:?}")).collect()
}

#[test]
fn every_file_says_what_it_owns() {
    assert_none(sources().iter().filter_map(undocumented));
    assert!(undocumented(&Source::new("src/x.rs", "use std::fmt;\n//! late")).is_some());
}

#[test]
fn no_file_explodes() {
    assert_none(too_long(&sources()));
    let file = |lines: usize| Source::new("src/x.rs", &"//! x\n".repeat(lines));
    assert_eq!(too_long(&[file(LINES_MAX)]).len(), 0);
    assert_eq!(too_long(&[file(LINES_MAX + 1)]).len(), 1);
    assert_eq!(too_long(&[file(601), file(601), file(601), file(601)]).len(), 1);
}

#[test]
fn every_expect_names_its_invariant() {
    assert_none(sources().iter().flat_map(bare_expects));
    let breaches = |text: &str| bare_expects(&Source::new("src/x.rs", text)).len();
    assert_eq!(breaches("fn a() { b.expect(\"it works\"); c\n.expect(\n why); }"), 2);
    assert_eq!(
        breaches("fn a() { b.expect(\n\"invariant: c\"); }\n#[cfg(test)]\nmod d { fn e() { f.expect(\"g\") } }"),
        0
    );
}

#[test]
fn every_unsafe_says_why_it_is_safe() {
    assert_none(sources().iter().flat_map(unexplained_unsafe));
    let breaches = |text: &str| unexplained_unsafe(&Source::new("src/net/sys/x.rs", text)).len();
    assert_eq!(breaches("fn a() {\n    unsafe { b() }\n}"), 1);
    assert_eq!(breaches("// SAFETY: c\n\n\n\nfn a() {\n    unsafe { b() }\n}"), 1);
    assert_eq!(breaches("fn a() {\n    // d\n    unsafe { b() }\n}"), 1);
    assert_eq!(breaches("fn a() {\n    // SAFETY: c\n    // d\n    let e =\n        unsafe { b() };\n}"), 0);
}

#[test]
fn no_place_of_one_machine_is_named() {
    assert_none(sources().iter().flat_map(private_paths));
    assert_eq!(private_paths(&Source::new("a.md", &format!("see {}home{}me", '/', '/'))).len(), 1);
}

#[test]
fn every_drop_reason_has_a_test() {
    let sources = sources();
    let tests: Vec<_> = sources.iter().filter(|source| source.path.starts_with("tests/")).collect();
    assert_none(untested_reasons(&tests));
    assert_eq!(untested_reasons(&[&Source::new("tests/x.rs", "// DropReason::Empty")]).len(), DropReason::ALL.len());
    assert_eq!(untested_reasons(&[&Source::new("tests/x.rs", "DropReason::Empty")]).len(), DropReason::ALL.len() - 1);
}

// ---- who uses whom ------------------------------------------------------------------

#[test]
fn imports_follow_the_table() {
    let (sources, lib) = (sources(), Source::new("src/lib.rs", &text_of("src/lib.rs")));
    let modules = imports::table(&lib).len();
    let manifest: toml::Table = toml::from_str(&text_of("Cargo.toml")).expect("a manifest");
    let crates: Vec<_> = manifest["dependencies"].as_table().expect("a table").keys().collect();
    let crates: Vec<_> = crates.iter().map(|name| name.replace('-', "_")).collect();
    assert!(modules >= 10 && crates.len() >= 10, "the table and the manifest are read: {modules} {crates:?}");
    assert_none(imports::breaches(&lib, &sources, &crates));
    let made_up = Source::new("src/relay/made_up.rs", "use crate::net::Socket;\nuse mio::Poll;");
    assert_eq!(imports::breaches(&lib, &[made_up], &crates).len(), 2);
}

// ---- what is never shipped ----------------------------------------------------------

/// Where the relay's deliberate faults could get into a build that is used.
fn shipped_mutants(manifest: &str, scripts: &[Source]) -> Vec<String> {
    let manifest: toml::Table = toml::from_str(manifest).expect("a manifest");
    let features = manifest["features"].as_table().expect("a table");
    let enables = |name: &&String| features[*name].to_string().contains("mutants");
    let enabling = features.keys().filter(enables).map(|name| format!("the feature `{name}` enables `mutants`"));
    let calls = scripts.iter().filter(|script| script.text.contains("mutants") && script.path != "scripts/check");
    enabling.chain(calls.map(|script| format!("{} asks for `mutants`", script.path))).collect()
}

#[test]
fn no_build_that_is_used_has_mutants() {
    let manifest = text_of("Cargo.toml");
    let is_script = |source: &Source| source.path.starts_with("scripts/") || source.path == ".ci/run";
    let scripts: Vec<_> = sources().into_iter().filter(is_script).collect();
    assert_none(shipped_mutants(&manifest, &scripts));
    assert!(text_of("src/relay/mutants.rs").contains("not(debug_assertions)))]\ncompile_error!"));
    assert_eq!(shipped_mutants("[features]\ndefault = [\"mutants\"]", &[]).len(), 1);
    assert_eq!(shipped_mutants(&manifest, &[Source::new("scripts/x", "cargo build --features mutants")]).len(), 1);
}

// ---- the protocol's page --------------------------------------------------------------

/// Everything that the relay can say, as the page's examples say it.
fn every_text() -> Vec<String> {
    let [first, second] = ["小明", "bob"].map(|name| Name::parse(name).expect("a name"));
    let answers = [
        Answer::Challenge("K7M2Q9XD"),
        Answer::Welcome(3),
        Answer::TooLong(config::LINE_BYTES_MAX),
        Answer::TooFast,
        Answer::NotUtf8,
        Answer::IdleWarning(config::IDLE_WARNING_MS / 1000),
        Answer::Idle,
        Answer::Kicked,
        Answer::Banned,
        Answer::Muted,
        Answer::Draining(None),
        Answer::Draining(Some("192.0.2.7:9999")),
        Answer::Shutdown,
        Answer::Operator(""),
    ];
    let mut texts = Vec::new();
    for lang in [Lang::Zh, Lang::En] {
        let said = answers.map(|answer| plain::answer(lang, answer));
        texts.extend(said.iter().map(|line| text(line.as_bytes())));
        for change in [Change::Joined, Change::Left] {
            texts.push(text(plain::notice(lang, change, &first).as_bytes()));
            texts.extend(
                [0, 8].map(|others| text(plain::merged_notice(lang, change, &first, &second, others).as_bytes())),
            );
        }
    }
    texts
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the relay speaks UTF-8")
}

/// What the protocol's page does not say.
fn missing_on(page: &str) -> Vec<String> {
    let drops = DropReason::ALL.iter().map(|reason| format!("| `{}` |", reason.name()));
    let leaves = LeaveReason::ALL.iter().map(|reason| format!("| `{}` |", reason.name()));
    let sends = outcry::batch::SEND_DROPS.iter().map(|(_, name)| format!("| `{name}` |"));
    let texts = every_text().into_iter().map(|text| format!("`{text}`"));
    let all = drops.chain(leaves).chain(sends).chain(texts);
    all.filter(|wanted| !page.contains(wanted.as_str())).map(|wanted| format!("PROTOCOL.md lacks {wanted}")).collect()
}

#[test]
fn the_protocols_page_says_what_the_code_does() {
    let page = text_of("src/wire/PROTOCOL.md");
    assert_none(missing_on(&page));
    assert!(text_of("src/wire/mod.rs").contains("#![doc = include_str!(\"PROTOCOL.md\")]"), "it is the documentation");
    assert_eq!(missing_on(&page.replace("发言太快", "太快")).len(), 1);
    assert_eq!(missing_on(&page.replace("| `just_left` |", "")).len(), 1);
}

// ---- the repository -------------------------------------------------------------------

#[track_caller]
fn assert_none(breaches: impl IntoIterator<Item = String>) {
    let breaches: Vec<_> = breaches.into_iter().collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file but those that tools write.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(repository(), &mut files);
    assert!(files.len() > 50, "the repository is read: {files:?}");
    let source = |file: PathBuf| {
        let path = file.strip_prefix(repository()).ok()?.to_str()?.replace('\\', "/");
        Some(Source::new(&path, &fs::read_to_string(&file).ok()?))
    };
    files.into_iter().filter_map(source).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, name) = (entry.path(), entry.file_name().into_string().expect("a name in UTF-8"));
        let ours = !name.starts_with('.') || [".ci", ".gitignore"].contains(&name.as_str());
        if path.is_dir() && ours && name != "target" {
            collect(&path, files);
        } else if path.is_file() && ours && name != "Cargo.lock" {
            files.push(path);
        }
    }
}
