//! Stands for the HTTP face where it was left out of the build.

use outcry::config::Config;
use outcry::server::Server;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

/// There is none.
pub(super) type Face = Infallible;

/// There is none to open.
pub(super) fn open(config: &Config, _handed_over: Option<TcpListener>) -> io::Result<Option<Infallible>> {
    match config.admin {
        Some(_) => Err(io::Error::other("--admin: this outcry was built without the feature `admin`")),
        None => Ok(None),
    }
}

/// There is none to share.
#[cfg(unix)]
pub(super) fn share(_face: Option<&Face>) -> Option<std::os::fd::OwnedFd> {
    None
}

/// There is none to share.
#[cfg(not(unix))]
pub(super) fn share(_face: Option<&Face>) -> Option<Infallible> {
    None
}

/// There is none to serve.
pub(super) fn serve(face: Option<Infallible>, _server: &Server) -> io::Result<Option<Infallible>> {
    Ok(face)
}
