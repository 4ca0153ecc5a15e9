//! Owns the file that keeps plain members and mutes over a restart: who was
//! here, who of them was mute, a version and a checksum. What is wrong or too old with it is said, and then
//! it counts for nothing. Never decides who may come in again.

use super::atomic;
use crate::directory::Directory;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The first words of the file; the checksum of all other lines follows.
const HEAD: &str = "outcry-members 2 ";

/// The second line of the file. Behind it an address and a name a plain
/// member, then an address a mute member, plain or native.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Kept {
    written_unix_s: u64,
    members: usize,
}

/// Who was here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Former {
    /// Plain members: address and name.
    pub members: Vec<(SocketAddr, String)>,
    /// Where those are who were mute, native ones included.
    pub muted: Vec<SocketAddr>,
}

/// Why nobody of before is here again.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file is there and cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is of another version, or no such file at all.
    #[error("it is not one of this version")]
    OtherVersion,
    /// It was changed, or written in part.
    #[error("its checksum is wrong")]
    Corrupt,
    /// Whoever was here would be gone by now.
    #[error("it is {0:?} old, longer than members may be silent")]
    Old(Duration),
}

/// Writes the plain members of `directory`, and all who are mute, to the file at `path`.
pub(super) fn write(path: &Path, directory: &Directory, unix_s: u64) -> io::Result<()> {
    let all = directory.members();
    let members = || all.iter().filter(|member| !member.native);
    let mut body = serde_json::to_string(&Kept { written_unix_s: unix_s, members: members().count() })?;
    body.push('\n');
    for member in members() {
        body += &serde_json::to_string(&(member.remote, &*member.name))?;
        body.push('\n');
    }
    for member in all.iter().filter(|member| member.muted) {
        body += &serde_json::to_string(&member.remote)?;
        body.push('\n');
    }
    let mut text = String::with_capacity(body.len() + 128);
    let _ = writeln!(text, "{HEAD}{}", blake3::hash(body.as_bytes()).to_hex());
    text += &body;
    atomic::replace(path, text.as_bytes())
}

/// Who was here, as the file at `path` says: nobody, where there is no file.
///
/// # Errors
/// It cannot be read, is wrong, or older than `life` (zero: any age will do).
pub fn read(path: &Path, life: Duration, unix_s: u64) -> Result<Former, StateError> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, life, unix_s),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Former::default()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(StateError::OtherVersion),
        Err(error) => Err(error.into()),
    }
}

fn parse(text: &str, life: Duration, unix_s: u64) -> Result<Former, StateError> {
    let (head, body) = text.split_once('\n').ok_or(StateError::OtherVersion)?;
    let sum = head.strip_prefix(HEAD).ok_or(StateError::OtherVersion)?;
    if sum != blake3::hash(body.as_bytes()).to_hex().as_str() {
        return Err(StateError::Corrupt);
    }
    let mut lines = body.lines();
    let kept: Kept = lines.next().and_then(|line| serde_json::from_str(line).ok()).ok_or(StateError::Corrupt)?;
    let age = Duration::from_secs(unix_s.saturating_sub(kept.written_unix_s));
    if !life.is_zero() && age >= life {
        return Err(StateError::Old(age));
    }
    let members: Result<Vec<_>, _> = lines.by_ref().take(kept.members).map(serde_json::from_str).collect();
    let muted: Result<Vec<_>, _> = lines.map(serde_json::from_str).collect();
    match (members, muted) {
        (Ok(members), Ok(muted)) => Ok(Former { members, muted }),
        _ => Err(StateError::Corrupt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_members_are_read_again_and_nothing_that_is_wrong() {
        let path = std::env::temp_dir().join(format!("outcry-state-{}", std::process::id()));
        let (directory, life) = (Directory::new(10), Duration::from_secs(60));
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        directory.insert(at(1), "a \"b\" 小明".into(), false, 10);
        directory.insert(at(2), "native".into(), true, 11);
        directory.insert("[2001:db8::1]:7".parse().unwrap(), "carol".into(), false, 12);
        assert_eq!(read(&path, life, 100).unwrap(), Former::default(), "there is no file yet");
        [1, 2].into_iter().for_each(|port| directory.mute(at(port), true));
        write(&path, &directory, 100).unwrap();
        assert_eq!(read(&path, life, 159).unwrap().muted, [at(1), at(2)]);
        let names = |read: Former| read.members.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(read(&path, life, 159).unwrap()), ["a \"b\" 小明", "carol"]);
        assert!(matches!(read(&path, life, 160), Err(StateError::Old(_))));
        assert_eq!(names(read(&path, Duration::ZERO, 1_000_000).unwrap()).len(), 2, "members never expire");
        let text = fs::read_to_string(&path).unwrap();
        assert!(matches!(parse(&text.replace(" 2 ", " 3 "), life, 100), Err(StateError::OtherVersion)));
        for cut in 0..text.len() {
            let Some(half) = text.get(..cut) else { continue };
            assert!(parse(half, life, 100).is_err(), "{cut} of {} bytes", text.len());
        }
        assert!(matches!(parse(&text.replace("carol", "mallo"), life, 100), Err(StateError::Corrupt)));
        fs::remove_file(&path).unwrap();
    }
}
