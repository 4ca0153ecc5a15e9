//! Owns how secrets come in: from files, or typed without being shown. Never
//! takes one as an argument, which others on the machine can read.

use super::editor::{Edit, Editor};
use crate::cli::report;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use crossterm::{event, terminal};
use outcry::wire::plain::without_line_end;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a file of a secret holds at most, in bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Why there is no secret.
#[derive(Debug, Error)]
pub(super) enum SecretError {
    #[error("cannot read the {what} file {}: {source}", path.display())]
    Unreadable { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the {what} file {} has more than {SECRET_BYTES_MAX} bytes: is it the right one?", path.display())]
    TooLong { what: &'static str, path: PathBuf },
    #[error("the {what} file {} is empty", path.display())]
    Empty { what: &'static str, path: PathBuf },
    #[error("the passphrase file {} is not UTF-8 text", path.display())]
    NotText { path: PathBuf },
    #[error("there is no terminal to ask for the passphrase on ({0}): give --passphrase-file FILE")]
    NoTerminal(io::Error),
    #[error("no passphrase was given")]
    NoneGiven,
}

/// The bytes of a file.
pub(super) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { what, path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    warn_if_open(what, path, &file.metadata().map_err(unreadable)?);
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 {
        0 => Err(SecretError::Empty { what, path: path.to_owned() }),
        len if len > SECRET_BYTES_MAX => Err(SecretError::TooLong { what, path: path.to_owned() }),
        _ => Ok(bytes),
    }
}

#[cfg(unix)]
fn warn_if_open(what: &str, path: &Path, metadata: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;
    if metadata.is_file() && metadata.permissions().mode() & 0o004 != 0 {
        report(format_args!(
            "warning: everyone on this machine can read the {what} file: `chmod 600 {}` changes that",
            path.display()
        ));
    }
}

#[cfg(not(unix))]
fn warn_if_open(_what: &str, _path: &Path, _metadata: &fs::Metadata) {}

/// The passphrase in a file, or else typed.
pub(super) fn passphrase(room: &str, file: Option<&Path>) -> Result<String, SecretError> {
    let Some(path) = file else { return ask(room) };
    let bytes = read("passphrase", path)?;
    let text = String::from_utf8(bytes).map_err(|_| SecretError::NotText { path: path.to_owned() })?;
    match without_line_end(&text) {
        "" => Err(SecretError::Empty { what: "passphrase", path: path.to_owned() }),
        passphrase => Ok(passphrase.to_owned()),
    }
}

fn ask(room: &str) -> Result<String, SecretError> {
    terminal::enable_raw_mode().map_err(SecretError::NoTerminal)?;
    let _ = write!(io::stderr(), "passphrase of {room} (not shown): ");
    let typed = read_unseen();
    let _ = terminal::disable_raw_mode();
    let _ = writeln!(io::stderr());
    match typed.map_err(SecretError::NoTerminal)? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(SecretError::NoneGiven),
    }
}

/// What is typed up to the end of the line; `None`: the user does not want to.
fn read_unseen() -> io::Result<Option<String>> {
    let mut editor = Editor::default();
    loop {
        let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event::read()? else { continue };
        if kind == event::KeyEventKind::Release {
            continue;
        }
        let is_control = modifiers.contains(KeyModifiers::CONTROL);
        match code {
            KeyCode::Enter => return Ok(Some(editor.take())),
            KeyCode::Char('c' | 'd') if is_control => return Ok(None),
            KeyCode::Char('u') if is_control => editor.apply(Edit::EraseBefore),
            KeyCode::Backspace => editor.apply(Edit::Backspace),
            KeyCode::Char(c) if !is_control => editor.apply(Edit::Insert(c)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("outcry-{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_line_end_is_no_part_of_a_secret() {
        for (name, bytes) in [("lf", &b"open sesame\n"[..]), ("crlf", b"open sesame\r\n"), ("none", b"open sesame")] {
            let path = file(name, bytes);
            assert_eq!(passphrase("den", Some(&path)).unwrap(), "open sesame");
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn what_is_no_secret_says_why() {
        let cases = [("empty", &b"\n"[..], "is empty"), ("bytes", b"\xff\xfe", "not UTF-8")];
        for (name, bytes, hint) in cases {
            let path = file(name, bytes);
            assert!(passphrase("den", Some(&path)).unwrap_err().to_string().contains(hint), "{name}");
            fs::remove_file(path).unwrap();
        }
        let missing = passphrase("den", Some(Path::new("/nowhere/secret"))).unwrap_err();
        assert!(missing.to_string().contains("cannot read the passphrase file /nowhere/secret"), "{missing}");
    }
}
