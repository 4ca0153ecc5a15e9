//! Stands for the operator's thread where there are no unix sockets: there is
//! none. Never does anything.

use super::log::LevelHandle;
use super::service::Manager;
use super::settings::{self, Settings};
use outcry::config::Config;
use outcry::server::Server;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Where settings came from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) flags: Settings,
    pub(super) file: Option<PathBuf>,
    pub(super) handed_over: Option<SocketAddr>,
}

impl Sources {
    pub(super) fn resolve(&self) -> Result<Config, settings::SettingsError> {
        settings::resolve(self.flags.clone(), self.file.as_deref(), self.handed_over)
    }
}

/// Nothing can go wrong.
#[derive(Debug, Error)]
pub(super) enum OperateError {}

impl OperateError {
    pub(super) fn is_configuration(&self) -> bool {
        match *self {}
    }
}

pub(super) struct Prepared;

pub(super) fn prepare(_config: &Config) -> Result<Prepared, OperateError> {
    Ok(Prepared)
}

pub(super) fn restore(_server: &mut Server, _prepared: &Prepared, _config: &Config) {}

pub(super) struct Operating;

impl Operating {
    pub(super) fn start(
        _prepared: Prepared,
        _server: &Server,
        _program: (Sources, Config),
        _around: (LevelHandle, Manager),
    ) -> Result<Self, OperateError> {
        Ok(Self)
    }

    pub(super) fn end(self) {}
}
