//! What the screen shows, as text, at usual and at silly sizes.

use super::*;
use crate::check::{SoFar, so_far};
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

fn view() -> View {
    let mut view = View::new(true);
    view.say("joining 1,000 members at 127.0.0.1:9999");
    view.say("all members proven in 1.20 s");
    view.begin(&Outline {
        members: "1,000 members at 127.0.0.1:9999 (plain), one UDP socket per member".into(),
        workload: "50 senders, 200 msg/s poisson, 64 bytes, steady".into(),
        warmup: Duration::from_secs(1),
        duration: Duration::from_secs(8),
    });
    view.elapsed = Duration::from_secs(5);
    (view.sent, view.delivered, view.expected) = (1000, 998_900, 999_000);
    for second in 0..4 {
        view.add(Moment { copies: 199_800, p50: 105_000, p99: 1_230_000 * (second + 1), max: 9_000_000 });
    }
    let seen = SoFar {
        planned: 1000,
        sent: 1000,
        lag_ns: Some(61_000),
        p50_ns: 105_000,
        drops: 60,
        missing: 100,
        busiest: 0.42,
        stolen: 0.0,
        copies: 199_800,
        ceiling: Some(900_000.0),
    };
    let missing = vec![("generator socket", 60), ("server socket", 0), (UNDER_WAY, 40)];
    view.vitals = Vitals { planned: 1000, missing, server: Some((0.31, 14 << 20)), lights: so_far(&seen) };
    view
}

fn drawn(view: &View, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let row = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_string();
    (0..buffer.area.height).map(row).collect()
}

#[test]
fn a_run_looks_like_this() {
    let wanted = include_str!("snapshot.txt");
    let found = lines(&drawn(&view(), 100, 24)).join("\n");
    assert_eq!(found.trim_end(), wanted.trim_end(), "\n{found}");
}

#[test]
fn before_the_first_measurement_it_says_who_is_in() {
    let mut view = View::new(false);
    view.say("joining 1,000 members at 127.0.0.1:9999");
    view.joined = Some((512, 1000));
    let text = lines(&drawn(&view, 100, 26)).join("\n");
    for wanted in ["getting ready", "512 of 1,000 members proven", "joining 1,000 members", "Ctrl-C ends measuring"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn without_colour_every_word_stands_and_no_cell_is_coloured() {
    let coloured = drawn(&view(), 100, 26);
    let plain = drawn(&View { colour: false, ..view() }, 100, 26);
    assert_eq!(lines(&coloured), lines(&plain));
    let has_colour = |buffer: &Buffer| buffer.content.iter().any(|cell| cell.fg != Color::Reset);
    assert!(has_colour(&coloured) && !has_colour(&plain));
}

#[test]
fn no_size_is_too_small_or_too_large() {
    for (width, height) in [(0, 0), (1, 1), (2, 40), (200, 2), (20, 5), (80, 24), (400, 120)] {
        drawn(&view(), width, height);
        drawn(&View::new(true), width, height);
    }
}

#[test]
fn the_parts_of_a_run_follow_each_other() {
    let mut view = view();
    for (seconds, wanted) in [(0.5, "warm-up 0.5 s of 1.0 s"), (4.0, "measuring 3.0 s of 8.0 s"), (9.5, "last copies")]
    {
        view.elapsed = Duration::from_secs_f64(seconds);
        let text = lines(&drawn(&view, 100, 26)).join("\n");
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn what_was_of_another_measurement_goes_and_what_was_said_stays() {
    let mut view = view();
    let outline = view.outline.clone().unwrap();
    (0..500).for_each(|_| view.add(Moment::default()));
    assert_eq!(view.seconds.len(), HISTORY);
    view.begin(&outline);
    assert_eq!((view.sent, view.seconds.len(), view.said.len()), (0, 0, 2));
    assert!(view.colour && view.vitals == Vitals::default());
}
