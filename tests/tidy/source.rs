//! A source file as the rules see it: with and without comments, literals and
//! tests, byte for byte at the same places, so that a find has a line.

use std::ops::Range;

/// One text file of the repository.
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` with comments and literals blanked.
    pub(crate) code: String,
    /// `code` with everything blanked that only tests are built from.
    pub(crate) shipped: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { without_comments_and_literals(text) } else { text.to_owned() };
        let mut shipped = without_tests(&code);
        if is_test_file(path) {
            blank(&mut shipped, 0..code.len());
        }
        Self { path: path.to_owned(), text: text.to_owned(), code, shipped }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// `path:line` of a byte of the text.
    pub(crate) fn place(&self, at: usize) -> String {
        let line = 1 + self.text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
        format!("{}:{line}", self.path)
    }

    /// The modules that the file is: `src/relay/peers.rs` is `relay`, `peers`.
    pub(crate) fn modules(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        path.strip_suffix("/mod").unwrap_or(path).split('/').collect()
    }
}

fn is_test_file(path: &str) -> bool {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    file == "tests.rs" || folders.split('/').any(|folder| ["tests", "benches", "examples"].contains(&folder))
}

/// Where `pattern` stands in `code`, as whole words: `thread` is not in
/// `threads`. A `*` at its end stands for the rest of a word.
pub(crate) fn finds<'a>(code: &'a str, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
    let (needle, whole) = pattern.strip_suffix('*').map_or((pattern, true), |prefix| (prefix, false));
    code.match_indices(needle).map(|(at, _)| at).filter(move |&at| {
        let before = !is_word(needle.as_bytes()[0]) || at == 0 || !is_word(code.as_bytes()[at - 1]);
        let end = at + needle.len();
        let word_end = is_word(needle.as_bytes()[needle.len() - 1]);
        before && !(whole && word_end && code.as_bytes().get(end).copied().is_some_and(is_word))
    })
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The word that begins at `at`.
pub(crate) fn word_at(code: &str, at: usize) -> &str {
    let rest = &code[at..];
    &rest[..rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len())]
}

/// What the bracket at `open` encloses.
pub(crate) fn enclosed(code: &str, open: usize) -> Range<usize> {
    let mut depth = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return open + 1..offset;
        }
    }
    open + 1..code.len()
}

/// Blanks whole characters: the length stays.
fn blank(code: &mut String, range: Range<usize>) {
    let mut bytes = std::mem::take(code).into_bytes();
    bytes[range].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    *code = String::from_utf8(bytes).expect("whole characters are blanked");
}

fn without_comments_and_literals(text: &str) -> String {
    let mut code = text.to_owned();
    let mut at = 0;
    while at < text.len() {
        match skipped(text.as_bytes(), at) {
            Some(end) => {
                blank(&mut code, at..end);
                at = end;
            }
            None => at += 1,
        }
    }
    code
}

/// The end of the comment or literal that begins at `at`.
fn skipped(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let after_word = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => Some(at + position(rest, b"\n").unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(at + block_comment_len(rest)),
        [b'"', ..] => Some(at + string_len(rest)),
        [b'r', b'"' | b'#', ..] if !after_word => raw_string_len(rest).map(|len| at + len),
        [b'b', b'r', b'"' | b'#', ..] if !after_word => raw_string_len(&rest[1..]).map(|len| at + 1 + len),
        [b'\'', b'\\', _, later @ ..] => Some(at + 4 + position(later, b"'").unwrap_or(0)),
        [b'\'', first, later @ ..] => {
            // Else it is a lifetime.
            let len = if *first < 0x80 { 1 } else { first.leading_ones() as usize };
            (later.get(len - 1) == Some(&b'\'')).then_some(at + len + 2)
        }
        _ => None,
    }
}

fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn block_comment_len(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn raw_string_len(bytes: &[u8]) -> Option<usize> {
    let hashes = bytes[1..].iter().take_while(|&&byte| byte == b'#').count();
    let open = bytes.get(1 + hashes)?;
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    (*open == b'"').then(|| 2 + hashes + position(&bytes[2 + hashes..], &end).map_or(0, |at| at + end.len()))
}

/// Blanks every item under `#[cfg(test)]`, or under a `cfg` that needs it.
fn without_tests(code: &str) -> String {
    let mut shipped = code.to_owned();
    for (at, _) in code.match_indices("#[cfg(") {
        let condition = &code[enclosed(code, at + "#[cfg".len())];
        if finds(condition, "test").next().is_some() && finds(condition, "not").next().is_none() {
            blank(&mut shipped, at..item_end(code, at));
        }
    }
    shipped
}

/// The end of the item whose attributes begin at `at`.
fn item_end(code: &str, at: usize) -> usize {
    let mut at = at;
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b'{' => return enclosed(code, at).end + 1,
            b';' => return at + 1,
            b'(' | b'[' => at = enclosed(code, at).end + 1,
            _ => at += 1,
        }
    }
    code.len()
}

#[test]
fn comments_and_literals_are_not_code() {
    let text = r##"a "b\"c" 'd' '\'' 'e: &'f x; // g
/* h /* i */ j */ k r#"l"m"# b"n" 'é' br"o" for"##;
    let code = Source::new("src/x.rs", text).code;
    let words: Vec<_> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "'e:", "&'f", "x;", "k", "b", "for"]);
    assert_eq!(code.len(), text.len());
}

#[test]
fn tests_are_not_shipped() {
    let text = "fn a() {}\n#[cfg(all(test, unix))]\nimpl B { fn c(d: [u8; 2]) { e } }\nfn f() {}\n#[cfg(test)]\nmod g;\nfn h() {}\n#[cfg(not(test))]\nfn i() {}";
    let shipped = Source::new("src/x.rs", text).shipped;
    let kept: Vec<_> = shipped.match_indices("fn ").map(|(at, _)| word_at(&shipped, at + 3)).collect();
    assert_eq!(kept, ["a", "f", "h", "i"]);
    for path in ["src/net/tests/x.rs", "src/a/tests.rs", "tests/x.rs", "loadgen/benches/x.rs"] {
        assert!(Source::new(path, text).shipped.trim().is_empty(), "{path}");
    }
}
