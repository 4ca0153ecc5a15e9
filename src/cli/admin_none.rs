//! Stands for the HTTP face where it was left out of the build.

use outcry::config::Config;
use outcry::server::Server;
use std::convert::Infallible;
use std::io;

/// There is none to open.
pub(super) fn open(config: &Config) -> io::Result<Option<Infallible>> {
    match config.admin {
        Some(_) => Err(io::Error::other("--admin: this outcry was built without the feature `admin`")),
        None => Ok(None),
    }
}

/// There is none to serve.
pub(super) fn serve(face: Option<Infallible>, _server: &Server) -> io::Result<Option<Infallible>> {
    Ok(face)
}
