//! Stands for the operator's thread where there are no unix sockets: there is
//! none. Never does anything.

use super::log::LevelHandle;
use super::service::Manager;
use super::settings::Sources;
use outcry::config::Config;
use outcry::server::Server;
use std::convert::Infallible;

/// There is nothing to make ready.
pub(super) struct Prepared;

/// Never fails.
pub(super) fn prepare(_config: &Config) -> Result<Prepared, OperateError> {
    Ok(Prepared)
}

/// No files are kept.
pub(super) fn restore(_server: &mut Server, _prepared: &Prepared, _config: &Config) {}

/// Nothing can go wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum OperateError {}

impl OperateError {
    pub(super) fn is_configuration(&self) -> bool {
        match *self {}
    }
}

/// There is no thread.
pub(super) struct Operating;

impl Operating {
    pub(super) fn start(
        _prepared: Prepared,
        _server: &Server,
        _program: (Sources, Config),
        _around: (LevelHandle, Manager, Option<Infallible>),
    ) -> Self {
        Self
    }

    pub(super) fn end(self) {}
}
