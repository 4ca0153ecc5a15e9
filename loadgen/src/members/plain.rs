//! What a plain member says and hears besides messages: its name, its leave,
//! and the texts a relay writes of its own accord.

/// The name of member `member`: short, so that 64 bytes hold a message.
pub fn name(member: u32) -> String {
    format!("u{member}")
}

/// Room for any member's name.
pub type NameBytes = [u8; 11];

/// [`name`], written into `room`: a storm of joins takes no memory for names.
pub fn name_in(member: u32, room: &mut NameBytes) -> &[u8] {
    let mut at = room.len();
    let mut digits = member;
    loop {
        at -= 1;
        room[at] = b'0' + (digits % 10) as u8;
        digits /= 10;
        if digits == 0 {
            break;
        }
    }
    room[at - 1] = b'u';
    &room[at - 1..]
}

/// The member whose name a message begins with.
pub fn speaker(message: &[u8]) -> Option<u32> {
    let digits = message.strip_prefix(b"u")?;
    let len = digits.iter().position(|byte| !byte.is_ascii_digit()).filter(|len| (1..=8).contains(len))?;
    let number = digits[..len].iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    digits[len..].starts_with(b" : ").then_some(number)
}

/// The text that leaves.
pub fn leave_line(member: u32) -> String {
    format!("u{member} : EXIT")
}

/// The code in a relay's challenge, if `text` is one.
pub fn challenge_code(text: &[u8]) -> Option<&str> {
    outcry::wire::plain::challenge_code(std::str::from_utf8(text).ok()?)
}

/// Whether a relay wrote it: an answer, or a notice that members come and go.
pub fn is_notice(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(outcry::wire::plain::is_relays_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_code_in_both_languages() {
        assert_eq!(challenge_code(b"[relay] send K7M2Q9XD to join"), Some("K7M2Q9XD"));
        assert_eq!(challenge_code("[relay] 输入 K7M2Q9XD".as_bytes()), Some("K7M2Q9XD"));
        assert_eq!(challenge_code(b"[relay] welcome, 3 here"), None);
    }

    #[test]
    fn a_name_is_the_same_wherever_it_is_written() {
        for member in [0, 9, 10, 999_999, 1_000_000, u32::MAX] {
            assert_eq!(name_in(member, &mut NameBytes::default()), name(member).as_bytes());
        }
    }

    #[test]
    fn a_message_names_its_speaker() {
        assert_eq!(speaker(format!("{} : hello", name(9_999_999)).as_bytes()), Some(9_999_999));
        for text in [&b"u : x"[..], b"u17: x", b"bob : x", b"u17", b"", b"u123456789 : x"] {
            assert_eq!(speaker(text), None);
        }
    }

    #[test]
    fn knows_notices() {
        for text in ["u3 进入聊天室...", "alice, bob and 8 more joined", "u3 left", "[relay] too long"] {
            assert!(is_notice(text.as_bytes()), "{text}");
        }
        assert!(!is_notice(b"u3 : hello"));
    }
}
