//! Owns the terminal while the chat fills it: what keys do, when it is drawn,
//! and that it is as before afterwards, whatever ends the chat. Never decides
//! what a line means.

use super::Ending;
use super::editor::Edit;
use super::link::{Input, Link, watch_signals};
use super::model::Model;
use super::pane::{Pane, Zone};
use super::view::{Places, Theme, draw};
use super::words;
use crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, event, execute, terminal};
use outcry::blocking::Speaker;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use std::io::{self, Stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

/// Inputs taken in before the screen is drawn again.
const INPUTS_PER_DRAW: usize = 1000;

/// How long what was said last may take after the end, in ticks.
const LINGER_TICKS: usize = 20;
const LINGER_TICK: Duration = Duration::from_millis(100);

/// Whether the terminal is not as it was.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, as long as the chat fills it.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    fn enter() -> io::Result<Self> {
        restore_on_panic();
        terminal::enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::SeqCst);
        let entered = execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        if entered.is_err() {
            restore();
        }
        Ok(Self { terminal: entered? })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was, once: to leave the other screen a second
/// time would put the cursor back over what was written since. What fails here
/// has nobody to be told.
fn restore() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = terminal::disable_raw_mode();
}

/// A panic's words are to be read: they come after the terminal is back.
fn restore_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        restore();
        tell(info);
    }));
}

/// Chats on the whole screen until the user or the relay ends it.
pub(super) fn run(link: Link, mut model: Model) -> Ending {
    let theme = Theme { has_colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    watch_signals(link.sender());
    let result = Screen::enter().and_then(|screen| {
        read_keys(link.sender());
        chat(screen, &link, &mut model, theme)
    });
    let is_cut_short = matches!(result, Ok(Ending::Done)) && !linger(&link, &mut model);
    link.close();
    match result {
        Ok(_) if is_cut_short => {
            let told = words::messages(model.waiting());
            Ending::Failed(format!("{told} may not have been delivered: the relay has not confirmed in time"))
        }
        Ok(ending) => ending,
        Err(error) => Ending::Failed(format!("cannot use this terminal: {error}; `outcry chat ... | cat` needs none")),
    }
}

/// Gives what was said last a moment to be confirmed; whether it was.
fn linger(link: &Link, model: &mut Model) -> bool {
    for _ in 0..LINGER_TICKS {
        if model.waiting() == 0 || model.end.is_some() {
            break;
        }
        match link.inputs.recv_timeout(LINGER_TICK) {
            Ok(Input::Heard(event)) => model.hear(event, &link.voice),
            Ok(Input::Signal) | Err(RecvTimeoutError::Disconnected) => break,
            _ => {}
        }
    }
    model.waiting() == 0
}

fn chat(mut screen: Screen, link: &Link, model: &mut Model, theme: Theme) -> io::Result<Ending> {
    let zone = Zone::of_system();
    loop {
        screen.terminal.draw(|frame| draw(frame, model, &zone, theme))?;
        model.look();
        let Ok(first) = link.inputs.recv() else { return Ok(Ending::Done) };
        // As it is now: it may have changed since it was drawn.
        let size = screen.terminal.size()?;
        let area = Rect::new(0, 0, size.width, size.height);
        let others = link.inputs.try_iter().take(INPUTS_PER_DRAW);
        for input in std::iter::once(first).chain(others) {
            if let Some(ending) = take(input, model, &link.voice, area, &zone) {
                return Ok(ending);
            }
        }
    }
}

/// Takes one input in; what the chat ends with, if it does.
fn take(input: Input, model: &mut Model, voice: &Speaker, area: Rect, zone: &Zone) -> Option<Ending> {
    match input {
        Input::Heard(event) => model.hear(event, voice),
        Input::Key(Event::Key(key)) if key.kind != KeyEventKind::Release => press(key, model, voice, area, zone),
        Input::Key(Event::Paste(text)) => model.paste(&text, voice),
        Input::Failed(error) => return Some(Ending::Failed(error.to_string())),
        Input::Unreadable(_) | Input::Ended | Input::Signal => return Some(Ending::Done),
        Input::Key(_) | Input::Line(_) => {}
    }
    Ending::of(model)
}

/// What a key does.
fn press(key: KeyEvent, model: &mut Model, voice: &Speaker, area: Rect, zone: &Zone) {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Enter => model.submit(voice),
        KeyCode::Tab => model.turn(1),
        KeyCode::BackTab => model.turn_back(),
        KeyCode::PageUp | KeyCode::PageDown | KeyCode::Up | KeyCode::Down => scroll(key.code, model, area, zone),
        KeyCode::End if model.editor.is_empty() => to_newest(model),
        KeyCode::Char('c') if is_control => model.is_leaving = true,
        KeyCode::Char('d') if is_control && model.editor.is_empty() => model.is_leaving = true,
        KeyCode::Char('n') if is_control => model.turn(1),
        KeyCode::Char('p') if is_control => model.turn_back(),
        _ => edit(key, is_control, model),
    }
}

fn edit(key: KeyEvent, is_control: bool, model: &mut Model) {
    let edit = match key.code {
        KeyCode::Backspace => Edit::Backspace,
        KeyCode::Delete => Edit::Delete,
        KeyCode::Left => Edit::Left,
        KeyCode::Right => Edit::Right,
        KeyCode::Home => Edit::Start,
        KeyCode::End => Edit::End,
        KeyCode::Char('a') if is_control => Edit::Start,
        KeyCode::Char('e') if is_control => Edit::End,
        KeyCode::Char('d') if is_control => Edit::Delete,
        KeyCode::Char('h') if is_control => Edit::Backspace,
        KeyCode::Char('k') if is_control => Edit::EraseAfter,
        KeyCode::Char('u') if is_control => Edit::EraseBefore,
        KeyCode::Char('w') if is_control => Edit::EraseWord,
        KeyCode::Char(c) if !is_control && !c.is_control() => Edit::Insert(c),
        _ => return,
    };
    model.editor.apply(edit);
}

fn scroll(code: KeyCode, model: &mut Model, area: Rect, zone: &Zone) {
    let size = Places::of(area).size();
    let Some(tab) = model.tab_mut() else { return };
    let pane = Pane::new(tab, zone, size);
    let page = size.rows.saturating_sub(1).max(1);
    let anchor = match code {
        KeyCode::PageUp => pane.up(page),
        KeyCode::Up => pane.up(1),
        KeyCode::PageDown => pane.down(page),
        _ => pane.down(1),
    };
    tab.anchor = anchor;
}

fn to_newest(model: &mut Model) {
    if let Some(tab) = model.tab_mut() {
        tab.anchor = None;
    }
}

fn read_keys(inputs: SyncSender<Input>) {
    thread::spawn(move || {
        loop {
            let input = event::read().map_or_else(Input::Unreadable, Input::Key);
            let is_last = matches!(input, Input::Unreadable(_));
            if inputs.send(input).is_err() || is_last {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Set in the terminal in which the test runs itself.
    const INSIDE: &str = "OUTCRY_TEST_PANICS";

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if std::env::var_os(INSIDE).is_some() {
            let _screen = Screen::enter().unwrap();
            panic!("as the test wants");
        }
        let socket = format!("outcry-panic-{}", std::process::id());
        let tmux = |args: &[&str]| Command::new("tmux").args(["-u", "-L", &socket]).args(args).output();
        let this = std::env::current_exe().unwrap();
        let test = "cli::chat::screen::tests::a_panic_gives_the_terminal_back";
        let modes = "stty -a | tr ' ' '\\n' | grep -x -e '-*icanon' -e '-*echo'";
        let command =
            format!("{INSIDE}=1 RUST_BACKTRACE=0 '{}' --exact {test} --nocapture; {modes}; sleep 600", this.display());
        let started = tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "160", "-y", "50", &command]);
        if !started.is_ok_and(|output| output.status.success()) {
            println!("SKIPPED a panic on the screen: no tmux here");
            return;
        }
        let mut looks = (0..600).map(|_| {
            thread::sleep(Duration::from_millis(100));
            String::from_utf8(tmux(&["capture-pane", "-p"]).unwrap().stdout).unwrap()
        });
        let shown = looks.find(|screen| screen.contains("icanon\necho\n"));
        let is_on_other_screen = tmux(&["display-message", "-p", "#{alternate_on}"]).unwrap().stdout;
        let path = tmux(&["display-message", "-p", "#{socket_path}"]).unwrap().stdout;
        let _ = tmux(&["kill-server"]);
        let _ = std::fs::remove_file(String::from_utf8(path).unwrap().trim());
        let shown = shown.expect("the shell goes on");
        assert!(shown.contains("as the test wants") && !shown.contains("-icanon"), "{shown}");
        assert_eq!(is_on_other_screen, b"0\n");
    }
}
