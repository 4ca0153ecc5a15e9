//! Owns what a plain member may send: its name, and typed lines cut into
//! messages. Never sends.

use outcry::config::LINE_BYTES_MAX;
use outcry::wire::plain::{Name, SEPARATOR, WrongName, says_exit};
use std::fmt::{self, Display};
use std::io::{self, BufRead, Read};
use std::str::FromStr;

/// Longest stretch of input taken at once, in bytes: input without line ends
/// must not grow memory.
const STRETCH_BYTES_MAX: usize = 64 << 10;

/// A name, as the messages of its bearer begin with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speaker(Name);

impl FromStr for Speaker {
    type Err = WrongName;

    fn from_str(text: &str) -> Result<Self, WrongName> {
        Name::parse(text).map(Self)
    }
}

impl Display for Speaker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Speaker {
    /// The name of a user who gives none.
    pub(super) fn of_user() -> Self {
        let user = std::env::var("USER").ok().and_then(|user| user.parse().ok());
        user.unwrap_or_else(|| Self(Name::guest()))
    }

    /// The message in which this name says `text`.
    pub(super) fn says(&self, text: &str) -> String {
        format!("{self}{SEPARATOR}{text}")
    }

    /// The messages in which this name says `text`, whatever its length.
    pub(super) fn messages<'a>(&'a self, text: &'a str) -> impl Iterator<Item = String> + 'a {
        pieces(text, LINE_BYTES_MAX - self.0.as_str().len() - SEPARATOR.len()).map(|piece| self.says(piece))
    }
}

/// `text` in pieces of at most `room` bytes, cut at characters; none of them
/// says exit, which only a whole line may.
fn pieces(text: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let fits = (0..=room.min(rest.len())).rev().find(|&at| rest.is_char_boundary(at))?;
        let end = if says_exit(&rest[..fits]) { inside_the_word(rest) } else { fits };
        let (piece, later) = rest.split_at(end);
        rest = later;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Where to cut `text`, which begins with blanks and `exit`, so that neither
/// part says it.
fn inside_the_word(text: &str) -> usize {
    text.len() - text.trim_start().len() + "ex".len()
}

/// A line of input, or a part of one that is very long.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// Without its line end; what was not UTF-8 is U+FFFD.
    pub(super) text: String,
    whole: bool,
}

impl Line {
    /// Whether the user wants to leave.
    pub(super) fn says_exit(&self) -> bool {
        self.whole && says_exit(&self.text)
    }
}

/// Reads lines in bounded memory.
pub(super) struct LineReader<R> {
    input: R,
    bytes: Vec<u8>,
    inside_line: bool,
}

impl<R: BufRead> LineReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, bytes: Vec::with_capacity(STRETCH_BYTES_MAX), inside_line: false }
    }

    /// The next line; `None` at the end of input.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        let room = STRETCH_BYTES_MAX - self.bytes.len();
        self.input.by_ref().take(room as u64).read_until(b'\n', &mut self.bytes)?;
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let complete = self.bytes.ends_with(b"\n") || self.bytes.len() < STRETCH_BYTES_MAX;
        let end = if complete { self.bytes.len() } else { last_char_end(&self.bytes) };
        let text = String::from_utf8_lossy(without_line_end(&self.bytes[..end])).into_owned();
        self.bytes.drain(..end);
        let line = Line { text, whole: complete && !self.inside_line };
        self.inside_line = !complete;
        Ok(Some(line))
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let Some(line) = bytes.strip_suffix(b"\n") else { return bytes };
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The end of the last complete character: reading may have stopped inside one.
fn last_char_end(bytes: &[u8]) -> usize {
    let first = (bytes.len().saturating_sub(3)..bytes.len()).rev().find(|&at| bytes[at] >= 0xC0);
    first.filter(|&at| at + bytes[at].leading_ones() as usize > bytes.len()).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Line> {
        let mut reader = LineReader::new(input);
        std::iter::from_fn(|| reader.next_line().unwrap()).collect()
    }

    fn whole(text: &str) -> Line {
        Line { text: text.to_owned(), whole: true }
    }

    #[test]
    fn a_short_text_is_one_message() {
        let bob: Speaker = "bob".parse().unwrap();
        assert_eq!(bob.messages("hi there").collect::<Vec<_>>(), ["bob : hi there"]);
        assert_eq!(bob.messages("").count(), 0);
    }

    #[test]
    fn a_long_text_is_cut_at_characters() {
        let bob: Speaker = "bob".parse().unwrap();
        let text = "汉x".repeat(1000);
        let messages: Vec<String> = bob.messages(&text).collect();
        assert!(messages.iter().all(|message| message.len() <= LINE_BYTES_MAX));
        assert_eq!(messages.len(), 4);
        let said: String = messages.iter().map(|message| message.strip_prefix("bob : ").unwrap()).collect();
        assert_eq!(said, text);
    }

    #[test]
    fn no_piece_of_a_long_text_says_exit() {
        for text in ["0123456789exit", "0123456789 exit ", "      exit         x", "0123456789EXITexitexit"] {
            let cut: Vec<&str> = pieces(text, 10).collect();
            assert_eq!(cut.concat(), text);
            assert!(!cut.iter().any(|piece| says_exit(piece)), "{cut:?}");
        }
    }

    #[test]
    fn lines_end_with_lf_crlf_or_the_input() {
        assert_eq!(lines(b"a\nb\r\n\nc"), [whole("a"), whole("b"), whole(""), whole("c")]);
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\xFFb\n"), [whole("a\u{FFFD}b")]);
    }

    #[test]
    fn only_a_whole_line_says_exit() {
        assert!(lines(b" Exit \n")[0].says_exit());
        assert!(!lines(b"the exit is over there\n")[0].says_exit());
        let long = format!("{}exit\nexit", "x".repeat(STRETCH_BYTES_MAX));
        let leaves: Vec<bool> = lines(long.as_bytes()).iter().map(Line::says_exit).collect();
        assert_eq!(leaves, [false, false, true]);
    }

    #[test]
    fn a_character_is_never_read_in_two_halves() {
        for shift in 0..4 {
            let text = format!("{}{}", "x".repeat(shift), "𝄞汉é".repeat(20_000));
            let read = lines(text.as_bytes());
            assert!(read.len() > 1);
            assert_eq!(read.iter().map(|line| line.text.as_str()).collect::<String>(), text);
        }
        assert_eq!(lines(&[0xF0; STRETCH_BYTES_MAX + 5]).len(), 2);
    }
}
