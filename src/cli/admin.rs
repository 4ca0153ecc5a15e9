//! Owns the HTTP face's place in `serve`: opened before the relay is, told in
//! the log. Never knows what it shows.

pub(super) use outcry::admin::Face;
use outcry::admin::Serving;
use outcry::config::Config;
use outcry::server::Server;
use std::io;
use std::net::TcpListener;

/// The face that the configuration asks for, on its port: the one that was
/// handed over, where it is that.
pub(super) fn open(config: &Config, handed_over: Option<TcpListener>) -> io::Result<Option<Face>> {
    let open = |admin| match handed_over {
        Some(listener) => Face::adopt(admin, listener),
        None => Face::bind(admin),
    };
    config.admin.as_ref().map(open).transpose().map_err(io::Error::other)
}

/// Its port, for whoever takes over.
#[cfg(unix)]
pub(super) fn share(face: Option<&Face>) -> Option<std::os::fd::OwnedFd> {
    face.and_then(Face::share)
}

/// There is nobody to share it with.
#[cfg(not(unix))]
pub(super) fn share(_face: Option<&Face>) -> Option<std::convert::Infallible> {
    None
}

/// Lets it answer for `server` until what is returned is dropped.
pub(super) fn serve(face: Option<Face>, server: &Server) -> io::Result<Option<Serving>> {
    let Some(face) = face else { return Ok(None) };
    let addr = face.local_addr();
    let serving = face.serve(server.handle(), server.directory()).map_err(io::Error::other)?;
    tracing::info!("admin face at http://{addr}/");
    Ok(Some(serving))
}
