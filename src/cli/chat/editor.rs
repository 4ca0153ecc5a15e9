//! Owns the line being typed: its text, and a cursor that stands between
//! graphemes. Never knows what a line means.

use super::text::{fitting, width};
use unicode_segmentation::UnicodeSegmentation;

/// What is typed at most, in bytes; more is dropped.
const TYPED_BYTES_MAX: usize = 64 << 10;

/// A change of the line or a move in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    Insert(char),
    Backspace,
    Delete,
    EraseWord,
    EraseBefore,
    EraseAfter,
    Left,
    Right,
    Start,
    End,
}

/// A line being typed.
#[derive(Debug, Default)]
pub(super) struct Editor {
    text: String,
    /// In bytes, between two graphemes.
    cursor: usize,
}

impl Editor {
    pub(super) fn apply(&mut self, edit: Edit) {
        match edit {
            Edit::Insert(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Edit::Backspace => self.erase(self.before(), self.cursor),
            Edit::Delete => self.erase(self.cursor, self.after()),
            Edit::EraseWord => self.erase(self.word_before(), self.cursor),
            Edit::EraseBefore => self.erase(0, self.cursor),
            Edit::EraseAfter => self.erase(self.cursor, self.text.len()),
            Edit::Left => self.cursor = self.before(),
            Edit::Right => self.cursor = self.after(),
            Edit::Start => self.cursor = 0,
            Edit::End => self.cursor = self.text.len(),
        }
    }

    /// Adds text at the cursor.
    pub(super) fn insert(&mut self, text: &str) {
        if self.text.len() + text.len() > TYPED_BYTES_MAX {
            return;
        }
        self.text.insert_str(self.cursor, text);
        // A mark joins the letter before it, so the next border may be further on.
        let end = self.cursor + text.len();
        let mut borders = self.text.grapheme_indices(true).map(|(at, _)| at);
        self.cursor = borders.find(|at| *at >= end).unwrap_or(self.text.len());
    }

    /// What was typed; the line is empty then.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The part around the cursor that fits into `columns`, and where in it the cursor is, in bytes.
    pub(super) fn window(&self, columns: usize) -> (&str, usize) {
        let columns = columns.max(1);
        let mut start = 0;
        let mut before = width(&self.text[..self.cursor]);
        let mut graphemes = self.text[..self.cursor].graphemes(true);
        // The cursor itself takes a column.
        while before + 1 > columns {
            let Some(grapheme) = graphemes.next() else { break };
            start += grapheme.len();
            before -= width(grapheme);
        }
        (fitting(&self.text[start..], columns), self.cursor - start)
    }

    fn before(&self) -> usize {
        let last = self.text[..self.cursor].grapheme_indices(true).next_back();
        last.map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let next = self.text[self.cursor..].graphemes(true).next();
        self.cursor + next.map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let text = self.text[..self.cursor].trim_end();
        text.rfind(char::is_whitespace).map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8))
    }

    fn erase(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
        // What was apart may be one grapheme now.
        let mut borders = self.text.grapheme_indices(true).map(|(at, _)| at);
        self.cursor = borders.find(|at| *at >= from).unwrap_or(self.text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str, edits: &[Edit]) -> (String, usize) {
        let mut editor = Editor::default();
        text.chars().for_each(|c| editor.apply(Edit::Insert(c)));
        edits.iter().for_each(|edit| editor.apply(*edit));
        (editor.text, editor.cursor)
    }

    #[test]
    fn editing_goes_by_grapheme() {
        use Edit::*;
        let cases: [(&str, &[Edit], &str, usize); 10] = [
            ("ab", &[Backspace], "a", 1),
            ("ae\u{301}", &[Backspace], "a", 1),
            ("a👩‍💻b", &[Left, Backspace], "ab", 1),
            ("汉字", &[Left, Left, Delete], "字", 0),
            ("汉字", &[Left, Left, Left, Insert('x')], "x汉字", 1),
            ("one two  ", &[EraseWord], "one ", 4),
            ("one", &[EraseWord, Backspace, Delete], "", 0),
            ("abc", &[Start, Right, EraseAfter], "a", 1),
            ("abc", &[Left, EraseBefore], "c", 0),
            ("abc", &[Start, End, Right], "abc", 3),
        ];
        for (text, edits, left, cursor) in cases {
            assert_eq!(typed(text, edits), (left.to_owned(), cursor), "{text} {edits:?}");
        }
    }

    #[test]
    fn the_cursor_is_never_inside_a_grapheme() {
        use Edit::*;
        let (text, cursor) = typed("👩💻", &[Left, Insert('\u{200D}')]);
        assert_eq!((text.as_str(), cursor), ("👩\u{200D}💻", text.len()));
        let (text, cursor) = typed("ax\u{301}", &[Start, Right, Insert('-'), Backspace]);
        assert_eq!((text.as_str(), cursor), ("ax\u{301}", 1));
    }

    #[test]
    fn the_window_follows_the_cursor() {
        let mut editor = Editor::default();
        editor.insert("汉字汉字abc");
        assert_eq!(editor.window(80), ("汉字汉字abc", 15));
        assert_eq!(editor.window(6), ("字abc", 6));
        editor.apply(Edit::Start);
        assert_eq!(editor.window(6), ("汉字汉", 0));
        assert_eq!(editor.window(0), ("", 0));
        assert_eq!(editor.take(), "汉字汉字abc");
        assert_eq!(editor.window(6), ("", 0));
    }

    #[test]
    fn what_is_typed_has_a_limit() {
        let mut editor = Editor::default();
        editor.insert(&"x".repeat(TYPED_BYTES_MAX));
        editor.insert("y");
        assert_eq!(editor.take().len(), TYPED_BYTES_MAX);
    }
}
