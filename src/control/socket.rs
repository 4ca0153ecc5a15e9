//! Owns the control socket's place in the file system: where it is when
//! nobody says so, that only its owner can open it from its first moment on,
//! and that it goes with the relay. Never reads a byte from it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in the runtime directory.
const NAME: &str = "ctl.sock";
/// Where services that root starts have their sockets.
const OF_ROOT: &str = "/run/outcry";

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another program listens there.
    #[error(
        "another relay listens at the control socket {0}: give this one its own with --control PATH, or none with --control none"
    )]
    InUse(PathBuf),
    /// What is there is no socket.
    #[error("{0} is there and no socket: remove it, or give another --control PATH")]
    NoSocket(PathBuf),
    /// It cannot be made.
    #[error("cannot make the control socket {0}: {1}; --control PATH names another place, --control none does without")]
    Unmakable(PathBuf, io::Error),
}

/// Where the control socket is if nobody says so: in the service manager's
/// runtime directory, else root's, else the user's; `None` where there is none.
pub fn default_path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // A service may have several, the first of which is its own.
    let service = variable("RUNTIME_DIRECTORY").filter(|path| !path.as_os_str().as_encoded_bytes().contains(&b':'));
    let root = || is_root().then(|| PathBuf::from(OF_ROOT));
    let user = || variable("XDG_RUNTIME_DIR").map(|path| path.join("outcry"));
    service.or_else(root).or_else(user).map(|dir| dir.join(NAME))
}

/// Where a relay may listen, most likely first: for those who ask it.
pub fn likely_paths() -> Vec<PathBuf> {
    let mut paths: Vec<_> = default_path().into_iter().collect();
    let service = Path::new(OF_ROOT).join(NAME);
    if !paths.contains(&service) {
        paths.push(service);
    }
    paths
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The listening socket. Its file is removed with it, if it is ours, unless somebody has put another there.
pub(super) struct Place {
    path: PathBuf,
    inode: (u64, u64),
    is_ours: bool,
}

/// Opens the socket at `path`, of mode 0600.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, Place), SocketError> {
    let unmakable = |error| SocketError::Unmakable(path.to_owned(), error);
    clear(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(unmakable)?;
    }
    let listener = listen_in(parent, path).map_err(unmakable)?;
    listener.set_nonblocking(true).map_err(unmakable)?;
    let inode = inode(path).map_err(unmakable)?;
    Ok((listener, Place { path: path.to_owned(), inode, is_ours: true }))
}

impl Place {
    /// Of a socket at `path` that is somebody else's, so far.
    pub(super) fn of(path: &Path) -> Result<Self, SocketError> {
        let unmakable = |error| SocketError::Unmakable(path.to_owned(), error);
        // A link to it would stay, and it goes.
        let path = fs::canonicalize(path).map_err(unmakable)?;
        let inode = inode(&path).map_err(unmakable)?;
        Ok(Self { path, inode, is_ours: false })
    }

    /// The socket is ours from now on.
    pub(super) fn claim(&mut self) {
        self.is_ours = true;
    }

    /// The socket is somebody else's from now on: its file stays.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }
}

/// A socket is made with the mode of the process's umask. So it is made where
/// nobody else can look, and comes to its place with the mode it shall have.
fn listen_in(parent: &Path, path: &Path) -> io::Result<UnixListener> {
    let hidden = parent.join(format!(".o{}", std::process::id()));
    let _ = fs::remove_dir_all(&hidden);
    DirBuilder::new().mode(0o700).create(&hidden)?;
    let made = hidden.join("s");
    let listener = UnixListener::bind(&made).and_then(|listener| {
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        fs::rename(&made, path)?;
        Ok(listener)
    });
    let _ = fs::remove_dir_all(&hidden);
    listener
}

/// What a relay that crashed has left is no hindrance; a living one is.
fn clear(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(there) if !there.file_type().is_socket() => Err(SocketError::NoSocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(SocketError::InUse(path.to_owned())),
        Ok(_) => Ok(()),
    }
}

/// Whether two paths lead to one socket, however they are spelled.
pub(super) fn are_one(one: &Path, other: &Path) -> bool {
    let at_end = |path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    at_end(one).is_ok_and(|one| at_end(other).is_ok_and(|other| one == other))
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_ours && inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_its_owners_alone_takes_over_from_the_dead_and_from_nobody_else() {
        let dir = std::env::temp_dir().join(format!("outcry-ctl-{}", std::process::id()));
        let path = dir.join("run").join("ctl.sock");
        let (listener, place) = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(listen(&path), Err(SocketError::InUse(_))));
        drop(listener);
        let (_listener, place_2) = listen(&path).expect("a crashed relay's is taken over");
        drop(place);
        assert!(UnixStream::connect(&path).is_ok(), "the dead one's end removes nothing of the living one's");
        drop(Place::of(&path).unwrap());
        assert!(path.exists(), "nor does the end of one that would have listened there");
        drop(place_2);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0, "nothing is left");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(listen(&path), Err(SocketError::NoSocket(_))));
        fs::remove_dir_all(&dir).unwrap();
    }
}
