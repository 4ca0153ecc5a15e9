//! Owns descriptors that were numbers before: those of a service manager.
//! Never closes one that it did not make.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A duplicate of descriptor `fd`, which need not be open; it is closed on exec.
pub(in crate::net) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call reads and writes no memory; a number that is no open
    // descriptor is refused with EBADF.
    let new = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if new < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made it for this call: nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}
