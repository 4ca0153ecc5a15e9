//! Owns text as columns and bytes: what is shown of it, where it is wrapped,
//! where it is cut. Never draws, and never decides what is said.

use crate::cli::sanitize::one_line;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Characters that one grapheme is shown with; families of emoji and the
/// scripts of the world have fewer.
const GRAPHEME_CHARS_MAX: usize = 16;
/// What carries a mark that has no letter before it.
const DOTTED_CIRCLE: char = '\u{25CC}';

/// What a part of a line is, which decides how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Time,
    Name,
    OwnName,
    Private,
    Said,
    Notice,
    Warning,
    State,
}

/// A row of the screen: parts from left to right.
pub(super) type Row = Vec<(Part, String)>;

/// Text from elsewhere as it may be shown: harmless, each mark on a letter of
/// its own, and no pile of marks that reaches over other lines.
pub(super) fn shown(text: &[u8]) -> String {
    let line = one_line(text);
    let mut shown = String::with_capacity(line.len());
    for (at, grapheme) in line.graphemes(true).enumerate() {
        if at == 0 && grapheme.width() == 0 {
            shown.push(DOTTED_CIRCLE);
        }
        match grapheme.char_indices().nth(GRAPHEME_CHARS_MAX) {
            Some((end, _)) => {
                let left_out = grapheme[end..].chars().count();
                shown.push_str(&grapheme[..end]);
                shown.push_str(&format!("<+{left_out}>"));
            }
            None => shown.push_str(grapheme),
        }
    }
    shown
}

/// Columns that `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.graphemes(true).map(|grapheme| grapheme.width()).sum()
}

/// The beginning of `text` that fits into `columns`.
pub(super) fn fitting(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let mut graphemes = text.grapheme_indices(true);
    let first_out = graphemes.find(|(_, grapheme)| {
        used += grapheme.width();
        used > columns
    });
    first_out.map_or(text, |(at, _)| &text[..at])
}

/// `parts` as rows of at most `columns`, the later ones indented, broken at
/// blanks where there are some.
pub(super) fn wrap(parts: &[(Part, &str)], columns: usize, indent: usize) -> Vec<Row> {
    let columns = columns.max(2);
    let indent = if indent * 2 > columns { 0 } else { indent };
    let mut wrapping = Wrapping { columns, indent, rows: Vec::new(), row: Row::new(), used: 0, is_empty: true };
    for (part, text) in parts {
        text.split_inclusive(' ').for_each(|word| wrapping.word(*part, word));
    }
    wrapping.rows.push(wrapping.row);
    wrapping.rows
}

struct Wrapping {
    columns: usize,
    indent: usize,
    rows: Vec<Row>,
    row: Row,
    used: usize,
    /// Whether the row holds nothing but its indentation.
    is_empty: bool,
}

impl Wrapping {
    /// Adds a word with the blank behind it, which may hang over the edge.
    fn word(&mut self, part: Part, word: &str) {
        let solid = width(word.trim_end_matches(' '));
        if !self.is_empty && self.used + solid > self.columns && solid <= self.columns - self.indent {
            self.next_row();
        }
        for grapheme in word.graphemes(true) {
            self.grapheme(part, grapheme);
        }
    }

    fn grapheme(&mut self, part: Part, grapheme: &str) {
        let columns = grapheme.width();
        if self.used + columns > self.columns {
            if grapheme == " " {
                return;
            }
            self.next_row();
        }
        match self.row.last_mut() {
            Some((last, text)) if *last == part => text.push_str(grapheme),
            _ => self.row.push((part, grapheme.to_owned())),
        }
        self.used += columns;
        self.is_empty = false;
    }

    fn next_row(&mut self) {
        self.rows.push(std::mem::take(&mut self.row));
        if self.indent > 0 {
            self.row.push((Part::Time, " ".repeat(self.indent)));
        }
        (self.used, self.is_empty) = (self.indent, true);
    }
}

/// What is typed or pasted, as lines to send: control characters are what a
/// room may refuse, and cannot be seen.
pub(super) fn without_controls(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => clean.push_str("    "),
            _ if c.is_control() => clean.push(char::REPLACEMENT_CHARACTER),
            _ => clean.push(c),
        }
    }
    clean
}

/// `text` in pieces of at most `bytes`, cut between graphemes, or within one
/// that is longer than that.
pub(super) fn cut(text: &str, bytes: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > bytes {
        let fits = |at: &usize| (1..=bytes).contains(at);
        let borders = rest.grapheme_indices(true).map(|(at, _)| at).take_while(|at| *at <= bytes);
        let end = borders.filter(fits).last();
        let end = end.or_else(|| (1..=bytes).rev().find(|at| rest.is_char_boundary(*at)));
        let Some(end) = end else { break };
        let (piece, later) = rest.split_at(end);
        pieces.push(piece);
        rest = later;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(parts: &[(Part, &str)], columns: usize, indent: usize) -> Vec<String> {
        let text = |row: Row| row.into_iter().map(|(_, text)| text).collect::<String>();
        wrap(parts, columns, indent).into_iter().map(text).collect()
    }

    #[test]
    fn lines_are_broken_at_blanks_and_indented() {
        let parts = [(Part::Name, "amy: "), (Part::Said, "the quick brown fox")];
        assert_eq!(rows(&parts, 16, 2), ["amy: the quick ", "  brown fox"]);
        assert_eq!(rows(&parts, 40, 2), ["amy: the quick brown fox"]);
        assert_eq!(rows(&[], 40, 2), [""]);
    }

    #[test]
    fn a_word_that_fits_nowhere_is_broken_anywhere() {
        assert_eq!(rows(&[(Part::Said, "abcdefghij")], 4, 0), ["abcd", "efgh", "ij"]);
        assert_eq!(rows(&[(Part::Said, "abcdefghij")], 4, 2), ["abcd", "  ef", "  gh", "  ij"]);
    }

    #[test]
    fn wide_characters_are_not_halved() {
        assert_eq!(rows(&[(Part::Said, "汉字汉字")], 5, 0), ["汉字", "汉字"]);
        assert_eq!(rows(&[(Part::Said, "👩‍💻👩‍💻")], 3, 0), ["👩‍💻", "👩‍💻"]);
        assert_eq!(rows(&[(Part::Said, "汉字")], 1, 6), ["汉", "字"]);
    }

    #[test]
    fn rows_never_exceed_the_width() {
        let text = "e\u{301}e\u{301} 汉字 the👩‍💻quick   \u{5D0}\u{5D1} x".repeat(9);
        for columns in 2..40 {
            for row in rows(&[(Part::Name, "amy: "), (Part::Said, &text)], columns, 6) {
                assert!(width(&row) <= columns, "{columns}: {row:?}");
            }
        }
    }

    #[test]
    fn marks_stay_on_letters_and_do_not_pile_up() {
        assert_eq!(shown("\u{301}a".as_bytes()), "\u{25CC}\u{301}a");
        let pile = format!("a{}b", "\u{301}".repeat(100));
        let safe = shown(pile.as_bytes());
        assert_eq!(safe, format!("a{}<+85>b", "\u{301}".repeat(15)));
        assert_eq!(shown("👨‍👩‍👧‍👦 e\u{301}".as_bytes()), "👨‍👩‍👧‍👦 e\u{301}");
        assert_eq!(shown(b"\x1b[2J"), "␛[2J");
    }

    #[test]
    fn what_fits_is_measured_in_columns() {
        assert_eq!((fitting("汉字", 3), fitting("abc", 3), fitting("abc", 0)), ("汉", "abc", ""));
    }

    #[test]
    fn pieces_are_cut_between_graphemes() {
        assert_eq!(cut("hello", 5), ["hello"]);
        assert_eq!(cut("", 5), [""; 0]);
        assert_eq!(cut("ae\u{301}b", 3), ["a", "e\u{301}", "b"]);
        let long = format!("e{}", "\u{301}".repeat(10));
        let pieces = cut(&long, 4);
        assert!(pieces.iter().all(|piece| piece.len() <= 4) && pieces.concat() == long, "{pieces:?}");
        let mixed = "汉字e\u{301}👩‍💻x".repeat(99);
        let pieces = cut(&mixed, 1191);
        assert!(pieces.iter().all(|piece| piece.len() <= 1191) && pieces.concat() == mixed);
    }

    #[test]
    fn controls_do_not_leave() {
        assert_eq!(without_controls("a\tb\u{7}\u{9b}汉"), "a    b\u{FFFD}\u{FFFD}汉");
    }
}
