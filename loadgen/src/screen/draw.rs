//! How a [`View`] looks. Every word stands without colour too: colour repeats
//! what the words say.

use super::{Moment, Outline, View};
use crate::check::State;
use crate::units::{show_bytes, show_count, show_ns, show_scaled};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, LineGauge, Paragraph, Sparkline};
use std::time::Duration;

/// Draws the whole screen, whatever its size.
pub fn draw(view: &View, frame: &mut Frame<'_>) {
    let [head, figures, checks, said] =
        Layout::vertical([Constraint::Length(5), Constraint::Length(8), Constraint::Length(8), Constraint::Min(0)])
            .areas(frame.area());
    let halves = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]);
    let ([rates, delivery], [missing, lights]) = (halves.areas(figures), halves.areas(checks));
    draw_head(view, head, frame);
    draw_rates(view, rates, frame);
    draw_delivery(view, delivery, frame);
    draw_missing(view, missing, frame);
    draw_lights(view, lights, frame);
    draw_said(view, said, frame);
}

fn coloured(view: &View, colour: Color) -> Style {
    if view.colour { Style::new().fg(colour) } else { Style::new() }
}

/// A titled block's inside.
fn boxed(title: &str, area: Rect, frame: &mut Frame<'_>) -> Rect {
    let block = Block::bordered().title(format!(" {title} "));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    inside
}

fn draw_head(view: &View, area: Rect, frame: &mut Frame<'_>) {
    let inside = boxed("loadgen", area, frame);
    let [members, workload, progress] = Layout::vertical([Constraint::Length(1); 3]).areas(inside);
    let Some(outline) = &view.outline else {
        let joined = view
            .joined
            .map(|(proven, all)| format!("{} of {} members proven", show_count(proven.into()), show_count(all.into())));
        frame.render_widget(Paragraph::new("getting ready"), members);
        frame.render_widget(Paragraph::new(joined.unwrap_or_default()), workload);
        return;
    };
    frame.render_widget(Paragraph::new(outline.members.as_str()), members);
    frame.render_widget(Paragraph::new(outline.workload.as_str()), workload);
    let (phase, done, whole) = phase(outline, view.elapsed);
    let gauge = LineGauge::default()
        .label(format!("{phase} {:.1} s of {:.1} s", done.as_secs_f64(), whole.as_secs_f64()))
        .filled_symbol("█")
        .unfilled_symbol("░")
        .filled_style(coloured(view, Color::Cyan).add_modifier(Modifier::BOLD))
        .ratio((done.as_secs_f64() / whole.as_secs_f64().max(1e-9)).clamp(0.0, 1.0));
    frame.render_widget(gauge, progress);
}

/// Which part of the run it is, how much of it is over, and how long it is.
fn phase(outline: &Outline, elapsed: Duration) -> (&'static str, Duration, Duration) {
    match elapsed.checked_sub(outline.warmup) {
        None => ("warm-up", elapsed, outline.warmup),
        Some(measured) if measured < outline.duration => ("measuring", measured, outline.duration),
        Some(_) => ("last copies", outline.duration, outline.duration),
    }
}

fn draw_rates(view: &View, area: Rect, frame: &mut Frame<'_>) {
    let inside = boxed("rates", area, frame);
    let [words, chart] = Layout::vertical([Constraint::Length(5), Constraint::Min(0)]).areas(inside);
    let seconds = view.elapsed.as_secs_f64().max(1e-9);
    let rate =
        |count: u64| if count == 0 { "0/s".into() } else { format!("{}/s", show_scaled(count as f64 / seconds)) };
    let server = match view.vitals.server {
        Some((share, rss)) => format!("{:.0} % of a core, RSS {}", share * 100.0, show_bytes(rss as f64)),
        None => "not looked at (--server-pid)".into(),
    };
    let copies = view.seconds.back().map_or(0, |second| second.copies);
    let lines = [
        ("planned", format!("{} {}", show_count(view.vitals.planned), rate(view.vitals.planned))),
        ("sent", format!("{} {}", show_count(view.sent), rate(view.sent))),
        ("delivered", format!("{} of {}", show_count(view.delivered), show_count(view.expected))),
        ("copies", format!("{}/s in the last second", show_scaled(copies as f64))),
        ("server", server),
    ];
    frame.render_widget(table(view, &lines), words);
    spark(view, |second| second.copies, chart, frame);
}

fn draw_delivery(view: &View, area: Rect, frame: &mut Frame<'_>) {
    let inside = boxed("delivery, last second", area, frame);
    let [words, chart] = Layout::vertical([Constraint::Length(3), Constraint::Min(0)]).areas(inside);
    let shown = |value: fn(&Moment) -> u64| view.seconds.back().map_or("-".into(), |last| show_ns(value(last) as f64));
    let lines =
        [("p50", shown(|second| second.p50)), ("p99", shown(|second| second.p99)), ("max", shown(|second| second.max))];
    frame.render_widget(table(view, &lines), words);
    let [label, chart] = Layout::horizontal([Constraint::Length(11), Constraint::Min(0)]).areas(chart);
    frame.render_widget(Paragraph::new(Span::styled("p99 so far", coloured(view, Color::DarkGray))), label);
    spark(view, |second| second.p99, chart, frame);
}

/// The newest seconds, as many as there is room for.
fn spark(view: &View, value: fn(&Moment) -> u64, area: Rect, frame: &mut Frame<'_>) {
    let room = usize::from(area.width).min(view.seconds.len());
    let values = view.seconds.iter().skip(view.seconds.len() - room).map(value);
    frame.render_widget(Sparkline::default().data(values).style(coloured(view, Color::Cyan)), area);
}

fn draw_missing(view: &View, area: Rect, frame: &mut Frame<'_>) {
    let inside = boxed("missing copies, by cause", area, frame);
    let line = |(cause, copies): &(&str, u64)| {
        let style = if *copies > 0 && *cause != super::UNDER_WAY { coloured(view, Color::Red) } else { Style::new() };
        Line::from(Span::styled(format!("{cause:<25} {:>12}", show_count(*copies)), style))
    };
    frame.render_widget(Paragraph::new(view.vitals.missing.iter().map(line).collect::<Vec<_>>()), inside);
}

fn draw_lights(view: &View, area: Rect, frame: &mut Frame<'_>) {
    let inside = boxed("self-check", area, frame);
    let lines = view.vitals.lights.iter().map(|gate| {
        let (word, colour) = match gate.state {
            State::Ok => ("ok", Color::Green),
            State::Doubtful => ("doubt", Color::Yellow),
            State::Invalid => ("INVALID", Color::Red),
        };
        let light = Span::styled(format!("● {word:<8}"), coloured(view, colour));
        Line::from(vec![light, Span::raw(format!("{:<25}{}", gate.name, gate.value))])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inside);
}

fn draw_said(view: &View, area: Rect, frame: &mut Frame<'_>) {
    const KEYS: &str = "Ctrl-C ends measuring and reports what there is; twice ends at once";
    let inside = boxed(KEYS, area, frame);
    let room = usize::from(inside.height).min(view.said.len());
    let newest = view.said.iter().skip(view.said.len() - room);
    frame.render_widget(Paragraph::new(newest.map(|line| Line::from(line.as_str())).collect::<Vec<_>>()), inside);
}

/// Names and values in two columns.
fn table<'a>(view: &View, lines: &'a [(&'a str, String)]) -> Paragraph<'a> {
    let line = |(name, value): &'a (&'a str, String)| {
        Line::from(vec![
            Span::styled(format!("{name:<11}"), coloured(view, Color::DarkGray)),
            Span::raw(value.as_str()),
        ])
    };
    Paragraph::new(lines.iter().map(line).collect::<Vec<_>>())
}
