//! Owns the HTTP face's place in `serve`: opened before the relay is, told in
//! the log. Never knows what it shows.

use outcry::admin::{Face, Serving};
use outcry::config::Config;
use outcry::server::Server;
use std::io;

/// The face that the configuration asks for, on its port.
pub(super) fn open(config: &Config) -> io::Result<Option<Face>> {
    config.admin.as_ref().map(Face::bind).transpose().map_err(io::Error::other)
}

/// Lets it answer for `server` until what is returned is dropped.
pub(super) fn serve(face: Option<Face>, server: &Server) -> io::Result<Option<Serving>> {
    let Some(face) = face else { return Ok(None) };
    let addr = face.local_addr();
    let serving = face.serve(server.handle(), server.directory()).map_err(io::Error::other)?;
    tracing::info!("admin face at http://{addr}/");
    Ok(Some(serving))
}
