//! Takes the terminal of stderr over and gives it back, whatever ends the
//! program: a return, a panic on any thread, a second Ctrl-C.
//!
//! No raw mode: Ctrl-C stays a signal, so that it does here what it does
//! everywhere. Nothing is read; what is typed is not shown and goes nowhere.

use nix::libc::_POSIX_VDISABLE;
use nix::sys::termios::{
    FlushArg, LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcflush, tcgetattr, tcsetattr,
};
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use std::io::{self, IsTerminal};
use std::sync::{Mutex, Once, PoisonError};

/// The terminal as it was, while it is taken.
static TAKEN: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Shows another screen without cursor and echo.
pub(super) fn take_over() -> io::Result<()> {
    if !io::stderr().is_terminal() {
        return Err(io::Error::other("stderr is no terminal"));
    }
    if std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        return Err(io::Error::other("this terminal cannot place text"));
    }
    let before = tcgetattr(io::stderr())?;
    HOOK.call_once(restore_on_panic);
    *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(before.clone());
    tcsetattr(io::stderr(), SetArg::TCSANOW, &quiet(before))?;
    execute!(io::stderr(), EnterAlternateScreen, Hide)
}

/// No echo, no line editing; nothing typed stops the program with the screen up.
fn quiet(mut termios: Termios) -> Termios {
    termios.local_flags -= LocalFlags::ECHO | LocalFlags::ICANON;
    for key in [SpecialCharacterIndices::VSUSP, SpecialCharacterIndices::VQUIT] {
        termios.control_chars[key as usize] = _POSIX_VDISABLE;
    }
    termios
}

/// A message of a panic must be read where it is, not on a screen that vanishes.
fn restore_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        before(panic);
    }));
}

/// Whether the screen is up.
pub(super) fn is_taken() -> bool {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Gives the terminal back; does nothing if it is not taken.
pub fn restore() {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = taken {
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        // What was typed meanwhile was meant for nobody.
        let _ = tcflush(io::stderr(), FlushArg::TCIFLUSH);
        let _ = tcsetattr(io::stderr(), SetArg::TCSANOW, &before);
    }
}
