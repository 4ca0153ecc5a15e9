//! Owns how a file is replaced: whole or not at all, whenever the program or
//! the machine stops. Never knows what is in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What may be interrupted, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Create,
    Write,
    Finish,
    Sync,
    Rename,
    SyncDirectory,
}

/// Makes `bytes` the content of the file at `path`, readable by its owner only.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, |_| Ok(()))
}

/// The same; `before` is called before each step, and its error ends it there, as a crash would.
fn replace_with(path: &Path, bytes: &[u8], mut before: impl FnMut(Step) -> io::Result<()>) -> io::Result<()> {
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    let written = temporary(path);
    before(Step::Create)?;
    let mut file = create(&written)?;
    before(Step::Write)?;
    file.write_all(half)?;
    before(Step::Finish)?;
    file.write_all(rest)?;
    before(Step::Sync)?;
    file.sync_all()?;
    before(Step::Rename)?;
    fs::rename(&written, path)?;
    before(Step::SyncDirectory)?;
    File::open(directory(path))?.sync_all()
}

/// A new file: what a crash left there is removed, and no link is followed.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Beside the file: a rename does not cross file systems.
fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    directory(path).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 6] = [Step::Create, Step::Write, Step::Finish, Step::Sync, Step::Rename, Step::SyncDirectory];

    #[test]
    fn a_crash_at_any_step_leaves_the_old_or_the_new() {
        let dir = std::env::temp_dir().join(format!("outcry-atomic-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("file");
        for (number, end) in STEPS.into_iter().enumerate() {
            let [old, new] = ["old", "new"].map(|word| format!("{word} {number}").repeat(1000));
            replace(&path, old.as_bytes()).unwrap();
            let crash = |step| if step == end { Err(io::Error::other("the lights went out")) } else { Ok(()) };
            replace_with(&path, new.as_bytes(), crash).unwrap_err();
            let expected = if end == Step::SyncDirectory { &new } else { &old };
            assert_eq!(fs::read_to_string(&path).unwrap(), *expected, "{end:?}");
            // What is left there is no hindrance.
            replace(&path, new.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), new, "{end:?}");
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing else stays");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn no_link_is_followed_and_nobody_else_reads_it() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let dir = std::env::temp_dir().join(format!("outcry-links-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (path, victim) = (dir.join("file"), dir.join("victim"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, temporary(&path)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::remove_dir_all(&dir).unwrap();
    }
}
