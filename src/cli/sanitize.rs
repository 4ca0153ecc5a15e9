//! Owns what a stranger's bytes look like on a terminal: text, and nothing
//! that moves a cursor, sets a title, starts a line or turns text around.
//! Never drops a character in silence: each harmful one leaves a visible trace.

/// What a TAB becomes: it may stand in a line, but not reach the terminal.
const TAB_SHOWN: &str = "    ";

/// One message as one line of harmless text. A line end at its end belongs to
/// the message and is not shown; bytes that are not UTF-8 become U+FFFD.
pub(super) fn one_line(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut shown = String::with_capacity(line.len());
    line.chars().for_each(|c| push_harmless(c, &mut shown));
    shown
}

fn push_harmless(c: char, shown: &mut String) {
    match c {
        '\t' => shown.push_str(TAB_SHOWN),
        // The Control Pictures block repeats C0 in its order.
        '\0'..='\x1F' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER)),
        '\x7F' => shown.push('\u{2421}'),
        _ if is_harmful(c) => shown.push_str(&format!("<U+{:04X}>", u32::from(c))),
        _ => shown.push(c),
    }
}

/// C1 controls, marks that turn text around, what some terminals take for a
/// line end, and what nobody sees: names that differ in it alone look the same.
/// Joiners stay, since scripts and emoji need them.
fn is_harmful(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9F}'
        | '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        | '\u{2028}' | '\u{2029}'
        | '\u{AD}' | '\u{115F}' | '\u{1160}' | '\u{180E}' | '\u{200B}' | '\u{2060}'..='\u{2064}'
        | '\u{206A}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_left_alone() {
        for text in ["alice : 你好，世界", "naïve — €", "👩‍💻 e\u{301}", ""] {
            assert_eq!(one_line(text.as_bytes()), text);
        }
    }

    #[test]
    fn a_line_end_at_the_end_is_not_shown() {
        for message in ["hi", "hi\n", "hi\r\n", "hi\r"] {
            assert_eq!(one_line(message.as_bytes()), "hi");
        }
        assert_eq!(one_line(b"hi\n\n"), "hi␊");
    }

    #[test]
    fn escape_sequences_become_visible() {
        assert_eq!(one_line(b"\x1b[2J\x1b]0;gotcha\x07"), "␛[2J␛]0;gotcha␇");
        assert_eq!(one_line("\u{9b}31m".as_bytes()), "<U+009B>31m");
        assert_eq!(one_line(b"\x9b31m"), "\u{FFFD}31m");
    }

    #[test]
    fn one_message_is_one_line() {
        assert_eq!(one_line("a\nbob : b\r\u{2028}c\u{2029}\u{85}".as_bytes()), "a␊bob : b␍<U+2028>c<U+2029><U+0085>");
        assert_eq!(one_line(b"a\tb"), "a    b");
    }

    #[test]
    fn text_cannot_be_turned_around() {
        assert_eq!(one_line("a\u{202E}b\u{2066}\u{200F}\u{61C}".as_bytes()), "a<U+202E>b<U+2066><U+200F><U+061C>");
    }

    #[test]
    fn what_nobody_sees_becomes_visible() {
        assert_eq!(one_line("bo\u{200B}b \u{FEFF}\u{3164}".as_bytes()), "bo<U+200B>b <U+FEFF><U+3164>");
    }

    #[test]
    fn no_control_character_is_left() {
        for code in 0..=0x10FFFF {
            let Some(c) = char::from_u32(code) else { continue };
            let shown = one_line(format!("a{c}b").as_bytes());
            assert!(!shown.chars().any(|c| c.is_control() || is_harmful(c)), "U+{code:04X}");
            assert!(shown.len() > 2, "U+{code:04X} is dropped");
        }
    }
}
