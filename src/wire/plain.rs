//! The plain protocol's text: what a datagram says, and the relay's own lines.
//! Never decides what follows from it: the rows of the table are the relay's.

use super::header::Code;
use std::fmt::{self, Write};
use std::str::{self, FromStr};

/// What separates a name from a line in `name : text`.
pub const SEPARATOR: &str = " : ";
/// What begins every line that the relay itself says to a member.
pub const RELAY_PREFIX: &str = "[relay]";
/// The first byte of every native datagram; it cannot occur in UTF-8.
pub const NATIVE_MAGIC: u8 = 0xF7;
/// Bytes of the longest name.
pub const NAME_BYTES_MAX: usize = 64;
/// Characters of a join code.
pub const CODE_LEN: usize = 8;
/// The name of who joins without one.
pub const GUEST: &str = "guest";

/// A datagram's payload, read as plain text. The first variant that fits holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// No bytes: a keep-alive.
    Empty,
    /// Begins with the native magic.
    Native,
    /// Holds a control character other than TAB, CR and LF.
    ControlCharacter,
    /// A line of it begins with `[relay]`: only the relay may say that.
    RelayPrefix,
    /// Not UTF-8.
    NotUtf8,
    /// Says exit, alone or after the name.
    Exit,
    /// `name : text`: what stands before the first separator, and after it.
    Line {
        /// Before the first separator, as it came.
        name: &'a str,
        /// After it, as it came.
        rest: &'a str,
    },
    /// Text without a separator: a name, or chat.
    Bare(&'a str),
}

impl<'a> Text<'a> {
    /// Reads a payload.
    pub fn parse(bytes: &'a [u8]) -> Self {
        match bytes.first() {
            None => return Text::Empty,
            Some(&NATIVE_MAGIC) => return Text::Native,
            Some(_) => {}
        }
        // Folds, not searches: without an early end they run on whole vectors.
        if bytes.iter().fold(false, |found, &byte| found | is_control_byte(byte)) {
            return Text::ControlCharacter;
        }
        if begins_a_line(bytes, RELAY_PREFIX.as_bytes()) {
            return Text::RelayPrefix;
        }
        match str::from_utf8(bytes) {
            Err(_) => Text::NotUtf8,
            Ok(text) if !text.is_ascii() && text.chars().any(is_c1) => Text::ControlCharacter,
            Ok(text) => Self::of(text),
        }
    }

    fn of(text: &'a str) -> Self {
        let split = text.split_once(SEPARATOR);
        let said = split.map_or(text, |(_, rest)| rest);
        match split {
            _ if says_exit(said) => Text::Exit,
            Some((name, rest)) => Text::Line { name, rest },
            None => Text::Bare(text),
        }
    }
}

fn is_control_byte(byte: u8) -> bool {
    ((byte < b' ') | (byte == 0x7F)) & (byte != b'\t') & (byte != b'\r') & (byte != b'\n')
}

fn is_c1(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9F}')
}

/// Whether `bytes`, or what follows a CR or LF in them, begins with `prefix`.
fn begins_a_line(bytes: &[u8], prefix: &[u8]) -> bool {
    let has_line_ends = bytes.iter().fold(false, |found, &byte| found | (byte == b'\r') | (byte == b'\n'));
    bytes.starts_with(prefix)
        || has_line_ends && {
            let line_ends = bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b'\r' | b'\n'));
            line_ends.map(|(at, _)| &bytes[at + 1..]).any(|line| line.starts_with(prefix))
        }
}

/// Whether a text, without the name before it, asks to leave.
pub fn says_exit(said: &str) -> bool {
    said.trim().eq_ignore_ascii_case("exit")
}

/// The text without one line end, as `nc` and terminals add it.
pub fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// A member's name: 1..=64 bytes of UTF-8, kept inline so that a join allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    len: u8,
    bytes: [u8; NAME_BYTES_MAX],
}

impl Name {
    /// The name in `text`: line end and outer blanks are trimmed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, WrongName> {
        let name = without_line_end(text).trim();
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(WrongName::Length(name.len()));
        }
        if name.chars().any(char::is_control) {
            return Err(WrongName::Control);
        }
        // At its end, too: in `a :` + ` : text` the first separator is after the `a`.
        if name.contains(SEPARATOR) || name.ends_with(SEPARATOR.trim_end()) {
            return Err(WrongName::Separator);
        }
        if name.starts_with(RELAY_PREFIX) {
            return Err(WrongName::Relay);
        }
        if says_exit(name) { Err(WrongName::Exit) } else { Ok(Self::inline(name)) }
    }

    /// The name of who joins without one.
    pub fn guest() -> Self {
        Self::inline(GUEST)
    }

    /// This name as its `number`th bearer has it, `name#2` and so on: cut at
    /// a character so that it stays within 64 bytes.
    pub fn numbered(&self, number: u32) -> Self {
        let mut suffix = Line::<12>::default();
        suffix.push(format_args!("#{number}"));
        let mut keep = self.as_str().len().min(NAME_BYTES_MAX - suffix.as_bytes().len());
        while !self.as_str().is_char_boundary(keep) {
            keep -= 1;
        }
        let mut name = Self::inline(&self.as_str()[..keep]);
        let end = keep + suffix.as_bytes().len();
        name.bytes[keep..end].copy_from_slice(suffix.as_bytes());
        name.len = u8::try_from(end).expect("invariant: a name is at most 64 bytes");
        name
    }

    fn inline(name: &str) -> Self {
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        let len = u8::try_from(name.len()).expect("invariant: a name is at most 64 bytes");
        Self { len, bytes }
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("invariant: a name is made from whole characters")
    }
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongName {
    /// Empty, or so many bytes that it is too long.
    Length(usize),
    /// Holds a control character.
    Control,
    /// Holds or ends with what separates a name from a line.
    Separator,
    /// Begins with `[relay]`.
    Relay,
    /// Says exit.
    Exit,
}

impl fmt::Display for WrongName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(bytes) => {
                write!(f, "a name has 1 to {NAME_BYTES_MAX} bytes of UTF-8; this one has {bytes}")
            }
            Self::Control => f.write_str("a name has no control characters"),
            Self::Separator => f.write_str("a name does not hold or end with ` : `, which ends the name in a line"),
            Self::Relay => f.write_str("a name does not begin with `[relay]`, which the relay's own lines do"),
            Self::Exit => f.write_str("a name is not `exit`, which leaves"),
        }
    }
}

impl std::error::Error for WrongName {}

impl FromStr for Name {
    type Err = WrongName;

    fn from_str(text: &str) -> Result<Self, WrongName> {
        Self::parse(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A line of text in a fixed buffer of `N` bytes; what does not fit is cut at
/// a character.
#[derive(Clone, Copy)]
pub struct Line<const N: usize> {
    len: usize,
    bytes: [u8; N],
}

impl<const N: usize> Default for Line<N> {
    fn default() -> Self {
        Self { len: 0, bytes: [0; N] }
    }
}

impl<const N: usize> Line<N> {
    /// Adds text at the end.
    pub fn push(&mut self, text: fmt::Arguments<'_>) {
        self.write_fmt(text).expect("invariant: writing to a Line cannot fail");
    }

    /// The line's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> Write for Line<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut keep = text.len().min(N - self.len);
        while !text.is_char_boundary(keep) {
            keep -= 1;
        }
        self.bytes[self.len..self.len + keep].copy_from_slice(&text.as_bytes()[..keep]);
        self.len += keep;
        Ok(())
    }
}

/// The language of notices and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// Chinese, as in the chat room that outcry grows from.
    #[default]
    Zh,
    /// English.
    En,
}

/// Room for the relay's longest line: two names and a sentence.
pub type RelayLine = Line<256>;

/// What a notice tells the room about its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They joined.
    Joined,
    /// They left.
    Left,
}

/// `<name> 进入聊天室...`, `<name> joined`, and the same for leaving.
pub fn notice(lang: Lang, change: Change, name: &Name) -> RelayLine {
    let mut line = RelayLine::default();
    match (lang, change) {
        (Lang::Zh, Change::Joined) => line.push(format_args!("{name} 进入聊天室...")),
        (Lang::Zh, Change::Left) => line.push(format_args!("{name} 离开了聊天室...")),
        (Lang::En, Change::Joined) => line.push(format_args!("{name} joined")),
        (Lang::En, Change::Left) => line.push(format_args!("{name} left")),
    }
    line
}

/// One notice for several members: `alice, bob and 8 more joined`. `others`
/// is how many there are beyond the two named.
pub fn merged_notice(lang: Lang, change: Change, first: &Name, second: &Name, others: u32) -> RelayLine {
    let mut line = RelayLine::default();
    let all = others.saturating_add(2);
    match (lang, others) {
        (Lang::Zh, 0) => line.push(format_args!("{first}、{second} ")),
        (Lang::Zh, _) => line.push(format_args!("{first}、{second} 等 {all} 人")),
        (Lang::En, 0) => line.push(format_args!("{first} and {second} ")),
        (Lang::En, _) => line.push(format_args!("{first}, {second} and {others} more ")),
    }
    match (lang, change) {
        (Lang::Zh, Change::Joined) => line.push(format_args!("进入聊天室...")),
        (Lang::Zh, Change::Left) => line.push(format_args!("离开了聊天室...")),
        (Lang::En, Change::Joined) => line.push(format_args!("joined")),
        (Lang::En, Change::Left) => line.push(format_args!("left")),
    }
    line
}

/// What the relay itself says to one member or to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The code that a stranger must send back to join.
    Challenge(&'a str),
    /// The code came back: welcome, with the number of members.
    Welcome(u32),
    /// The line was over this many bytes.
    TooLong(usize),
    /// The line came over the rate.
    TooFast,
    /// The line was not UTF-8.
    NotUtf8,
    /// Silent for so long that it leaves in this many seconds.
    IdleWarning(u64),
    /// Left because it was silent.
    Idle,
    /// Removed by the operator.
    Kicked,
    /// Banned by the operator.
    Banned,
    /// The line was a muted member's.
    Muted,
    /// The relay is about to stop; where to go, if there is another.
    Draining(Option<&'a str>),
    /// The relay stops.
    Shutdown,
    /// The operator speaks.
    Operator(&'a str),
}

/// Bytes of the relay's longest answer: an operator's line.
pub type AnswerLine = Line<1024>;

/// The answer's bytes: `[relay] ...`.
pub fn answer(lang: Lang, answer: Answer<'_>) -> AnswerLine {
    let mut line = AnswerLine::default();
    line.push(format_args!("{RELAY_PREFIX} "));
    match lang {
        Lang::Zh => push_zh(&mut line, answer),
        Lang::En => push_en(&mut line, answer),
    }
    line
}

fn push_zh(line: &mut AnswerLine, answer: Answer<'_>) {
    match answer {
        Answer::Challenge(code) => line.push(format_args!("输入 {code}")),
        Answer::Welcome(members) => line.push(format_args!("欢迎, {members} 人在线")),
        Answer::TooLong(max) => line.push(format_args!("未发送: 超过 {max} 字节")),
        Answer::TooFast => line.push(format_args!("未发送: 发言太快")),
        Answer::NotUtf8 => line.push(format_args!("未发送: 不是 UTF-8 文本")),
        Answer::IdleWarning(seconds) => line.push(format_args!("长时间未发言, {seconds} 秒后将离开")),
        Answer::Idle => line.push(format_args!("长时间未发言, 已离开")),
        Answer::Kicked => line.push(format_args!("已被管理员移出")),
        Answer::Banned => line.push(format_args!("已被管理员封禁")),
        Answer::Muted => line.push(format_args!("未发送: 已被禁言")),
        Answer::Draining(None) => line.push(format_args!("服务器即将关闭")),
        Answer::Draining(Some(to)) => line.push(format_args!("服务器即将关闭, 请转到 {to}")),
        Answer::Shutdown => line.push(format_args!("服务器关闭")),
        Answer::Operator(text) => line.push(format_args!("{text}")),
    }
}

fn push_en(line: &mut AnswerLine, answer: Answer<'_>) {
    match answer {
        Answer::Challenge(code) => line.push(format_args!("send {code} to join")),
        Answer::Welcome(members) => line.push(format_args!("welcome, {members} here")),
        Answer::TooLong(max) => line.push(format_args!("not sent: over {max} bytes")),
        Answer::TooFast => line.push(format_args!("not sent: too fast")),
        Answer::NotUtf8 => line.push(format_args!("not sent: not UTF-8 text")),
        Answer::IdleWarning(seconds) => line.push(format_args!("you were silent for long, leaving in {seconds} s")),
        Answer::Idle => line.push(format_args!("you were silent for too long and have left")),
        Answer::Kicked => line.push(format_args!("you were removed by the operator")),
        Answer::Banned => line.push(format_args!("you were banned by the operator")),
        Answer::Muted => line.push(format_args!("not sent: you are muted")),
        Answer::Draining(None) => line.push(format_args!("shutting down soon")),
        Answer::Draining(Some(to)) => line.push(format_args!("shutting down soon, go to {to}")),
        Answer::Shutdown => line.push(format_args!("shutting down")),
        Answer::Operator(text) => line.push(format_args!("{text}")),
    }
}

/// The code in a challenge that the relay sent, in either language.
pub fn challenge_code(text: &str) -> Option<&str> {
    let said = without_line_end(text).strip_prefix(RELAY_PREFIX)?.trim_start();
    let code = said.strip_prefix("输入 ").or_else(|| said.strip_prefix("send ")?.strip_suffix(" to join"))?;
    (code.len() == CODE_LEN && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}

/// Why the relay's line says that it has removed the member that reads it, in either language.
pub fn removal(text: &str) -> Option<Code> {
    let text = without_line_end(text);
    if !text.starts_with(RELAY_PREFIX) {
        return None;
    }
    let says = |what| [Lang::Zh, Lang::En].iter().any(|&lang| answer(lang, what).as_bytes() == text.as_bytes());
    let removals = [(Answer::Kicked, Code::Kicked), (Answer::Banned, Code::Banned)];
    removals.into_iter().find(|&(what, _)| says(what)).map(|(_, code)| code)
}

/// Whether the relay wrote it: an answer, or a notice in either language. A
/// member can write what looks like a notice, so this is for statistics only.
pub fn is_relays_own(text: &str) -> bool {
    const NOTICE_ENDS: [&str; 4] = ["进入聊天室...", "离开了聊天室...", " joined", " left"];
    let text = without_line_end(text);
    text.starts_with(RELAY_PREFIX) || NOTICE_ENDS.iter().any(|end| text.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_row_that_fits_counts() {
        let rows: [(&[u8], Text<'_>); 20] = [
            (b"", Text::Empty),
            (b"\xF7\x4F\x01\x01", Text::Native),
            (b"a\x07b", Text::ControlCharacter),
            (b"\x7f", Text::ControlCharacter),
            ("a\u{85}b".as_bytes(), Text::ControlCharacter),
            (b"[relay] exit", Text::RelayPrefix),
            (b"hi\n[relay] x", Text::RelayPrefix),
            (b"hi\r[relay]", Text::RelayPrefix),
            (b"a \xFF", Text::NotUtf8),
            (b"EXIT", Text::Exit),
            (b" eXit \r\n", Text::Exit),
            (b"bob : exit\n", Text::Exit),
            (b"the exit is over there", Text::Bare("the exit is over there")),
            (b"bob : the exit is over there", Text::Line { name: "bob", rest: "the exit is over there" }),
            (b"bob : a : exit", Text::Line { name: "bob", rest: "a : exit" }),
            (b"say [relay]", Text::Bare("say [relay]")),
            (b"bob : ", Text::Line { name: "bob", rest: "" }),
            (b" : hi", Text::Line { name: "", rest: "hi" }),
            (b"a\tb", Text::Bare("a\tb")),
            ("小明".as_bytes(), Text::Bare("小明")),
        ];
        for (bytes, expected) in rows {
            assert_eq!(Text::parse(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        let name = |text: &str| Name::parse(text).ok().map(|name| name.as_str().to_owned());
        assert_eq!(name(" 小明 \r\n").as_deref(), Some("小明"));
        assert_eq!(name(&"x".repeat(64)).map(|n| n.len()), Some(64));
        for refused in ["", " \n", "a\tb", "a : b", "a :", "[relay]", " [relay] x", "Exit", &"x".repeat(65)] {
            assert_eq!(name(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn numbered_names_stay_within_64_bytes() {
        assert_eq!(Name::parse("bob").unwrap().numbered(2).as_str(), "bob#2");
        let long = Name::parse(&"明".repeat(21)).unwrap();
        assert_eq!(long.numbered(10).as_str(), format!("{}#10", "明".repeat(20)));
    }

    #[test]
    fn notices_are_the_chat_rooms_own() {
        let (a, b) = (Name::parse("小明").unwrap(), Name::parse("bob").unwrap());
        let zh = notice(Lang::Zh, Change::Joined, &a);
        assert_eq!(zh.as_bytes(), "小明 进入聊天室...".as_bytes());
        let zh = notice(Lang::Zh, Change::Left, &a);
        assert_eq!(zh.as_bytes(), "小明 离开了聊天室...".as_bytes());
        for lang in [Lang::Zh, Lang::En] {
            for change in [Change::Joined, Change::Left] {
                for line in [notice(lang, change, &a), merged_notice(lang, change, &a, &b, 0)] {
                    assert!(is_relays_own(str::from_utf8(line.as_bytes()).unwrap()));
                }
            }
        }
        let en = merged_notice(Lang::En, Change::Joined, &a, &b, 8);
        assert_eq!(en.as_bytes(), "小明, bob and 8 more joined".as_bytes());
        let zh = merged_notice(Lang::Zh, Change::Left, &a, &b, 8);
        assert_eq!(zh.as_bytes(), "小明、bob 等 10 人离开了聊天室...".as_bytes());
    }

    #[test]
    fn a_challenge_is_short_and_read_back() {
        for lang in [Lang::Zh, Lang::En] {
            let line = answer(lang, Answer::Challenge("K7M2Q9XD"));
            assert!(line.as_bytes().len() <= 40);
            assert_eq!(challenge_code(str::from_utf8(line.as_bytes()).unwrap()), Some("K7M2Q9XD"));
        }
        for other in ["[relay] welcome, 3 here", "bob : [relay] send K7M2Q9XD to join", "[relay] send K7M2Q9X to join"]
        {
            assert_eq!(challenge_code(other), None, "{other}");
        }
    }

    #[test]
    fn a_removal_is_read_back_and_no_other_line() {
        let read = |lang, what| removal(str::from_utf8(answer(lang, what).as_bytes()).unwrap());
        for lang in [Lang::Zh, Lang::En] {
            assert_eq!(read(lang, Answer::Kicked), Some(Code::Kicked));
            assert_eq!(read(lang, Answer::Banned), Some(Code::Banned));
            assert_eq!(read(lang, Answer::Muted), None);
        }
        assert_eq!(removal("bob : [relay] you were banned by the operator"), None);
    }

    #[test]
    fn the_longest_names_fit_in_a_notice() {
        let long = Name::parse(&"x".repeat(64)).unwrap();
        let line = merged_notice(Lang::En, Change::Joined, &long, &long, u32::MAX - 2);
        assert!(line.as_bytes().ends_with(b" more joined"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_accepts_only_harmless_text(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Text::Line { .. } | Text::Bare(_) = Text::parse(&bytes) {
                let text = str::from_utf8(&bytes).unwrap();
                prop_assert!(text.chars().all(|c| !c.is_control() || "\t\r\n".contains(c)));
                prop_assert!(!text.split(['\r', '\n']).any(|line| line.starts_with(RELAY_PREFIX)));
            }
        }

        #[test]
        fn a_name_is_its_own_name(text in "\\PC{0,80}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(Name::parse(name.as_str()), Ok(name));
                prop_assert!(name.numbered(u32::MAX).as_str().len() <= NAME_BYTES_MAX);
            }
        }
    }
}
