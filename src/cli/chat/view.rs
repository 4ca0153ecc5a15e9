//! Owns how the chat looks: which part of the screen is what, and in which
//! colours. Draws a [`Model`] and never changes it.

use super::model::{Model, Standing};
use super::pane::{Pane, Size, Zone};
use super::tab::Tab;
use super::text::{Part, Row, fitting, shown, width};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// From so many columns on there is a list of members beside the lines.
const COLUMNS_FOR_MEMBERS: u16 = 60;
const MEMBERS_COLUMNS: u16 = 20;
const PROMPT: &str = "> ";

/// Which part of the screen is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    tabs: Rect,
    lines: Rect,
    members: Option<Rect>,
    status: Rect,
    input: Rect,
}

impl Places {
    pub(super) fn of(area: Rect) -> Self {
        // From below: what is typed is seen even where nothing else has a place.
        let row = |from_below: u16| match area.height.checked_sub(from_below) {
            Some(y) => Rect { y: area.y + y, height: 1, ..area },
            None => Rect { height: 0, ..area },
        };
        let tabs = Rect { height: u16::from(area.height >= 4), ..area };
        let middle = Rect { y: area.y + tabs.height, height: area.height.saturating_sub(2 + tabs.height), ..area };
        let has_members = area.width >= COLUMNS_FOR_MEMBERS;
        let beside = if has_members { MEMBERS_COLUMNS } else { 0 };
        let lines = Rect { width: middle.width - beside, ..middle };
        let members = has_members.then_some(Rect { x: lines.right(), width: beside, ..middle });
        Self { tabs, lines, members, status: row(2), input: row(1) }
    }

    /// Room for lines, with a column left free between them and the members.
    pub(super) fn size(&self) -> Size {
        let columns = self.lines.width - u16::from(self.members.is_some());
        Size { columns: columns.into(), rows: self.lines.height.into() }
    }
}

/// How parts look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    /// Whether there are colours, or only weight and reversal.
    pub(super) has_colours: bool,
}

impl Theme {
    fn style(self, part: Part) -> Style {
        let plain = Style::new();
        let (style, colour) = match part {
            Part::Time => (plain.add_modifier(Modifier::DIM), None),
            Part::Name => (plain.add_modifier(Modifier::BOLD), Some(Color::Cyan)),
            Part::OwnName => (plain.add_modifier(Modifier::BOLD), Some(Color::Green)),
            Part::Private => (plain.add_modifier(Modifier::BOLD), Some(Color::Magenta)),
            Part::Said => (plain, None),
            Part::Notice | Part::State => (plain.add_modifier(Modifier::DIM), None),
            Part::Warning => (plain.add_modifier(Modifier::BOLD), Some(Color::Yellow)),
        };
        match colour.filter(|_| self.has_colours) {
            Some(colour) => style.fg(colour),
            None => style,
        }
    }
}

/// Draws the chat.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, zone: &Zone, theme: Theme) {
    let places = Places::of(frame.area());
    draw_tabs(frame, places.tabs, model);
    if let Some(tab) = model.tab() {
        draw_lines(frame, &places, tab, zone, theme);
        if let Some(area) = places.members {
            draw_members(frame, area, tab, model, theme);
        }
    }
    draw_status(frame, places.status, model);
    draw_input(frame, places.input, model);
}

fn put(frame: &mut Frame<'_>, area: Rect, row: u16, line: Line<'_>) {
    if row < area.height {
        frame.render_widget(line, Rect { y: area.y + row, height: 1, ..area });
    }
}

fn draw_tabs(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let titles = model.tabs.iter().enumerate().map(|(at, tab)| {
        let name = shown(tab.name.as_bytes());
        let unread = if tab.unread > 0 { format!(" {}", tab.unread) } else { String::new() };
        let sealed = if tab.is_sealed { " sealed" } else { "" };
        let title = format!(" {name}{sealed}{unread} ");
        let style = if at == model.current { Modifier::REVERSED | Modifier::BOLD } else { Modifier::empty() };
        Span::styled(title, Style::new().add_modifier(style))
    });
    let titles: Vec<Span<'_>> = titles.collect();
    // What is left of the current one gives way, if there is no place for all.
    let needed =
        |from: usize| titles[from..=model.current.max(from)].iter().map(|span| width(&span.content)).sum::<usize>();
    let first = (0..titles.len()).find(|from| needed(*from) <= area.width.into()).unwrap_or(model.current);
    put(frame, area, 0, Line::from(titles.get(first..).unwrap_or_default().to_vec()));
}

fn draw_lines(frame: &mut Frame<'_>, places: &Places, tab: &Tab, zone: &Zone, theme: Theme) {
    let size = places.size();
    let rows = Pane::new(tab, zone, size).rows();
    let free = size.rows.saturating_sub(rows.len());
    for (at, row) in rows.into_iter().enumerate() {
        put(frame, places.lines, u16::try_from(free + at).unwrap_or(u16::MAX), styled(row, theme));
    }
}

fn styled(row: Row, theme: Theme) -> Line<'static> {
    Line::from(row.into_iter().map(|(part, text)| Span::styled(text, theme.style(part))).collect::<Vec<_>>())
}

fn draw_members(frame: &mut Frame<'_>, area: Rect, tab: &Tab, model: &Model, theme: Theme) {
    let columns = usize::from(area.width);
    let title = format!("{} here", tab.population);
    put(frame, area, 0, Line::styled(title, theme.style(Part::Notice)));
    let names = tab.members.names();
    let rows = usize::from(area.height.saturating_sub(1));
    let fit = if names.len() > rows { rows.saturating_sub(1) } else { rows };
    for (at, name) in names.iter().take(fit).enumerate() {
        let part = match *name {
            name if name == model.name => Part::OwnName,
            name if model.ignored.names.contains(name) => Part::Notice,
            _ => Part::Said,
        };
        let name = shown(name.as_bytes());
        let row = u16::try_from(at + 1).unwrap_or(u16::MAX);
        put(frame, area, row, Line::styled(fitting(&name, columns).to_owned(), theme.style(part)));
    }
    if names.len() > fit {
        let more = format!("and {} more", names.len() - fit);
        put(frame, area, area.height.saturating_sub(1), Line::styled(more, theme.style(Part::Notice)));
    }
}

/// Who, where and how it stands, most important first: what does not fit is cut.
fn draw_status(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let mut facts = Vec::new();
    match &model.standing {
        Standing::Connected => {}
        Standing::Away(why) => facts.push(format!("RECONNECTING: {why}")),
        Standing::Over => facts.push("closed".to_owned()),
    }
    facts.extend(model.slow.clone());
    if let Some(tab) = model.tab() {
        match tab.waiting() {
            0 => {}
            waiting => facts.push(format!("{waiting} sending")),
        }
        if tab.anchor.is_some() {
            let new = if tab.unread > 0 { format!("{} new", tab.unread) } else { "scrolled back".to_owned() };
            facts.push(format!("{new}: End goes to the newest"));
        }
        facts.push(shown(model.name.as_bytes()));
        facts.push(format!("{}, {} here", shown(tab.name.as_bytes()), tab.population));
    }
    if model.standing == Standing::Connected {
        facts.push("/help".to_owned());
    }
    let text = format!(" {}", facts.join(" | "));
    let columns = usize::from(area.width);
    let text = fitting(&text, columns);
    let text = format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))));
    put(frame, area, 0, Line::styled(text, Style::new().add_modifier(Modifier::REVERSED)));
}

fn draw_input(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    if area.height == 0 {
        return;
    }
    let columns = usize::from(area.width).saturating_sub(PROMPT.len());
    let (text, cursor) = model.editor.window(columns);
    put(frame, area, 0, Line::from(format!("{PROMPT}{}", shown(text.as_bytes()))));
    let before = width(&shown(&text.as_bytes()[..cursor]));
    let x = u16::try_from(PROMPT.len() + before).unwrap_or(u16::MAX);
    frame.set_cursor_position(Position { x: area.x.saturating_add(x).min(area.right().saturating_sub(1)), y: area.y });
}
