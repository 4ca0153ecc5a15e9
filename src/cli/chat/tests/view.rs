//! How the chat looks, drawn on a screen that is only memory.

use super::*;
use crate::cli::chat::pane::{Pane, Zone};
use crate::cli::chat::view::{Places, Theme, draw};
use outcry::client::Lost;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use ratatui::style::Color;

fn terminal(chat: &Chat, columns: u16, rows: u16, has_colours: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(frame, &chat.model, &Zone::utc(), Theme { has_colours })).unwrap();
    terminal
}

/// Its rows, without the blanks at their ends. A wide character has its two columns.
fn screen(chat: &Chat, columns: u16, rows: u16) -> String {
    let terminal = terminal(chat, columns, rows, true);
    let shown = terminal.backend().to_string();
    shown.lines().map(|row| row.split('"').nth(1).unwrap().trim_end().to_owned() + "\n").collect()
}

#[track_caller]
fn shows(chat: &Chat, columns: u16, rows: u16, expected: &str) {
    let shown = screen(chat, columns, rows);
    assert_eq!(shown, expected, "\n{shown}");
}

fn talk() -> Chat {
    let mut chat = Chat::new();
    chat.says(BOB, "bob", "good morning");
    chat.says(ME, "amy", "good morning, bob");
    chat.does(CYD, "cyd", Change::Left { code: Code::Ok });
    chat.says_alone(BOB, "bob", "psst");
    chat.types("shall we begin?");
    chat.model.editor.insert("I think");
    chat
}

#[test]
fn a_screen_with_room_for_everything() {
    shows(
        &talk(),
        70,
        12,
        concat!(
            " lobby\n",
            "                                                  3 here\n",
            "                                                  amy\n",
            "                                                  bob\n",
            "      - this is lobby: 3 are here, you among them\n",
            "08:00 bob: good morning\n",
            "08:01 amy: good morning, bob ✓\n",
            "08:00 - cyd has left\n",
            "      [bob to you alone] psst\n",
            "      amy: shall we begin? (sending)\n",
            " 1 sending | amy | lobby, 3 here | /help\n",
            "> I think\n",
        ),
    );
}

#[test]
fn a_narrow_screen_has_lines_only() {
    shows(
        &talk(),
        40,
        10,
        concat!(
            " lobby\n",
            "      - this is lobby: 3 are here, you\n",
            "      among them\n",
            "08:00 bob: good morning\n",
            "08:01 amy: good morning, bob ✓\n",
            "08:00 - cyd has left\n",
            "      [bob to you alone] psst\n",
            "      amy: shall we begin? (sending)\n",
            " 1 sending | amy | lobby, 3 here | /help\n",
            "> I think\n",
        ),
    );
}

#[test]
fn wide_and_combining_characters_keep_their_columns() {
    let mut chat = Chat::new();
    chat.says(BOB, "王小明", "你好，世界 👩‍💻 cafe\u{301} 一二三四五六七八九十");
    chat.says(CYD, "cyd", "\u{5E9}\u{5DC}\u{5D5}\u{5DD} \u{202E}abc");
    chat.model.editor.insert("汉字");
    shows(
        &chat,
        40,
        8,
        concat!(
            " lobby\n",
            "      - this is lobby: 3 are here, you\n",
            "      among them\n",
            "08:00 王小明: 你好，世界 👩‍💻 cafe\u{301}\n",
            "      一二三四五六七八九十\n",
            "08:01 cyd: \u{5E9}\u{5DC}\u{5D5}\u{5DD} <U+202E>abc\n",
            " amy | lobby, 3 here | /help\n",
            "> 汉字\n",
        ),
    );
    let cursor = terminal(&chat, 40, 8, true).get_cursor_position().unwrap();
    assert_eq!((cursor.x, cursor.y), (6, 7));
}

#[test]
fn a_gap_says_how_many_messages_are_lost() {
    let mut chat = Chat::new();
    let room = chat.room();
    chat.hear(Event::Gap { room, from: Seq(10), to: Seq(21) });
    chat.hear(Event::Undecryptable { room, seq: Seq(22), member: BOB });
    let shown = screen(&chat, 58, 8);
    assert!(shown.contains("! 12 messages lost: the relay does not keep them"), "{shown}");
    assert!(shown.contains("! 1 message that your passphrase does not open"), "{shown}");
}

#[test]
fn a_reconnect_is_shown_with_what_waits_for_it() {
    let mut chat = Chat::new();
    chat.hear(Event::Reconnecting { why: Lost::Silent });
    chat.types("still there?");
    shows(
        &chat,
        66,
        6,
        concat!(
            " lobby\n",
            "      - this is lobby: 3 are here, you among  3 here\n",
            "      them                                    amy\n",
            "      amy: still there? (sending)             and 2 more\n",
            " RECONNECTING: the relay does not answer | 1 sending | amy | lobby\n",
            ">\n",
        ),
    );
}

#[test]
fn several_rooms_are_tabs_with_what_is_unread() {
    let mut chat = Chat::new();
    let lobby = chat.room();
    chat.types("/join den");
    chat.is_in(1);
    let message = Message { room: lobby, ..chat.message(BOB, Some("bob"), "hi") };
    chat.hear(Event::Message(message));
    assert!(screen(&chat, 40, 6).starts_with(" lobby 1  den\n"));
    assert!(screen(&chat, 8, 6).starts_with(" den\n"), "the current one is always in view");
}

#[test]
fn another_day_is_told() {
    let mut chat = Chat::new();
    let message = Message { time_s: EIGHT - 86_400, ..chat.message(BOB, Some("bob"), "old") };
    chat.hear(Event::Message(message));
    chat.says(BOB, "bob", "new");
    let shown = screen(&chat, 40, 8);
    assert!(shown.contains("\n11-22 08:00 bob: old\n08:01 bob: new\n"), "{shown}");
}

#[test]
fn no_size_is_too_small() {
    let chat = talk();
    for columns in 1..=70 {
        for rows in 1..=8 {
            terminal(&chat, columns, rows, true);
        }
    }
    assert_eq!(screen(&chat, 20, 1), "> I think\n");
}

#[test]
fn without_colours_there_are_none() {
    let chat = talk();
    let coloured = |has_colours| {
        let terminal = terminal(&chat, 70, 12, has_colours);
        let cells = terminal.backend().buffer().content().to_vec();
        cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(coloured(true) && !coloured(false));
}

// ---- scrolling -------------------------------------------------------------------------------

const TEXTS: [&str; 6] = ["line 0", "line 1", "line 2", "line 3", "line 4", "line 5"];

fn scrolled(chat: &mut Chat, columns: u16, rows: u16, up: bool, by: usize) {
    let (zone, size) = (Zone::utc(), Places::of(Rect::new(0, 0, columns, rows)).size());
    let tab = chat.model.tab_mut().unwrap();
    let pane = Pane::new(tab, &zone, size);
    let anchor = if up { pane.up(by) } else { pane.down(by) };
    tab.anchor = anchor;
}

#[test]
fn scrolling_back_stays_where_it_is_when_lines_come() {
    let mut chat = Chat::new();
    TEXTS.iter().for_each(|text| chat.says(BOB, "bob", text));
    scrolled(&mut chat, 40, 6, true, 2);
    let before = screen(&chat, 40, 6);
    assert!(before.contains("line 1") && before.contains("line 3") && !before.contains("line 4"), "{before}");
    chat.says(BOB, "bob", "news");
    let after = screen(&chat, 40, 6);
    assert_eq!(after.lines().nth(3), before.lines().nth(3));
    assert!(after.contains("1 new: End goes to the newest"), "{after}");
    scrolled(&mut chat, 40, 6, false, 99);
    assert!(chat.model.tab().unwrap().anchor.is_none() && screen(&chat, 40, 6).contains("news"));
}

#[test]
fn scrolling_ends_at_the_oldest_line() {
    let mut chat = Chat::new();
    TEXTS.iter().for_each(|text| chat.says(BOB, "bob", text));
    scrolled(&mut chat, 40, 6, true, 999);
    let shown = screen(&chat, 40, 6);
    assert_eq!(shown.lines().nth(1), Some("      - this is lobby: 3 are here, you"), "{shown}");
    let mut short = Chat::new();
    scrolled(&mut short, 40, 10, true, 999);
    assert_eq!(short.model.tab().unwrap().anchor, None);
}

#[test]
fn a_line_longer_than_the_screen_is_read_row_by_row() {
    let mut chat = Chat::new();
    let text: &'static str = String::leak((0..60).map(|word| format!("w{word:02} ")).collect());
    chat.says(BOB, "bob", text);
    assert!(screen(&chat, 30, 5).contains("w59") && !screen(&chat, 30, 5).contains("w00"));
    let mut seen = String::new();
    for _ in 0..12 {
        seen += &screen(&chat, 30, 5);
        scrolled(&mut chat, 30, 5, true, 1);
    }
    (0..60).for_each(|word| assert!(seen.contains(&format!("w{word:02}")), "w{word:02}"));
}

#[test]
fn another_size_keeps_the_place() {
    let mut chat = Chat::new();
    TEXTS.iter().for_each(|text| chat.says(BOB, "bob", text));
    scrolled(&mut chat, 40, 6, true, 2);
    for (columns, rows) in [(20, 5), (80, 24), (40, 6)] {
        let shown = screen(&chat, columns, rows);
        assert!(shown.contains("line 3") && !shown.contains("line 4"), "{shown}");
    }
}
