//! Owns what the operator's thread needs of this program: settings read again
//! as they were read first, the log's level, the service manager's ear. Never
//! does what an operator asks: the library's `control` does.

use super::log::LevelHandle;
use super::service::Manager;
use super::settings::{self, Sources};
use outcry::config::{Config, ControlAt, LogLevel};
pub(super) use outcry::control::Prepared;
use outcry::control::{self, Control, ControlError, Former, Orders, Reloaded, SocketError, Standing, Surroundings};
use outcry::server::Server;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;

/// Why there is no operator's thread.
#[derive(Debug, Error)]
pub(super) enum OperateError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl OperateError {
    /// Whether another start would not mend it.
    pub(super) fn is_configuration(&self) -> bool {
        matches!(self, Self::Control(ControlError::Bans(_)))
    }
}

/// Reads the bans and opens the socket.
pub(super) fn prepare(config: &Config) -> Result<Prepared, OperateError> {
    let mut prepared = Prepared::new(config)?;
    match &config.control {
        ControlAt::None => {}
        ControlAt::Path(path) => prepared.listen(path)?,
        ControlAt::Auto => match control::default_path().map(|path| prepared.listen(&path)) {
            Some(Err(error)) => tracing::info!("`outcry ctl` cannot reach this relay: {error}"),
            Some(Ok(())) => {}
            None => tracing::info!("no runtime directory: `outcry ctl` reaches this relay with --control PATH only"),
        },
    }
    Ok(prepared)
}

/// Gives a relay that has not turned yet its bans, and its members of before.
pub(super) fn restore(server: &mut Server, prepared: &Prepared, config: &Config) {
    for ban in prepared.bans() {
        server.ban(ban);
    }
    let Some(path) = &config.state_file else { return };
    let life = Duration::from_millis(config.limits.idle_ms);
    match control::read_members(path, life, control::unix_now_s()) {
        Ok(former) if former == Former::default() => {}
        Ok(Former { members, muted }) => {
            let restored = server.restore(members.iter().map(|(remote, name)| (*remote, name.as_str())));
            muted.iter().for_each(|remote| server.restore_mute(*remote));
            tracing::info!(restored, of = members.len(), muted = muted.len(), "members of before are here again");
        }
        Err(error) => tracing::warn!("nobody of before is here again: the file {}: {error}", path.display()),
    }
}

/// Gives a relay that was taken over the bans of our file, too; its members it
/// has. Takes what else the other process leaves behind.
pub(super) fn take_over(
    server: &mut Server,
    prepared: &mut Prepared,
    config: &Config,
    standing: &mut Standing,
) -> Result<(), SocketError> {
    for ban in prepared.bans() {
        server.ban(ban);
    }
    prepared.take_over(&config.control, standing)
}

/// The operator's thread.
pub(super) struct Operating {
    control: Control,
    drains: Drains,
}

/// Whether SIGTERM drains.
#[derive(Clone)]
pub(super) struct Drains(Arc<AtomicBool>);

impl Drains {
    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Operating {
    pub(super) fn start(
        prepared: Prepared,
        server: &Server,
        program: (Sources, Config),
        (log, manager, admin): (LevelHandle, Manager, Option<OwnedFd>),
    ) -> Self {
        let (sources, running) = program;
        let drains = Drains(Arc::new(AtomicBool::new(running.drain_on_term)));
        let surroundings = Program { sources, running, log, manager, admin, drains: drains.clone() };
        Self { control: prepared.start(server, Box::new(surroundings)), drains }
    }

    pub(super) fn orders(&self) -> Orders {
        self.control.orders()
    }

    pub(super) fn drains_on_term(&self) -> Drains {
        self.drains.clone()
    }

    /// The relay has ended: members are written a last time.
    pub(super) fn end(self) {
        self.control.end();
    }
}

/// This program, as the operator's thread sees it.
struct Program {
    sources: Sources,
    running: Config,
    log: LevelHandle,
    manager: Manager,
    admin: Option<OwnedFd>,
    drains: Drains,
}

impl Surroundings for Program {
    fn read(&mut self) -> Result<Reloaded, String> {
        if self.sources.file.is_none() {
            return Err("there is nothing to read again: the relay was started without --config FILE".to_owned());
        }
        let wanted = self.sources.resolve().map_err(|error| format!("nothing was changed: {error}"))?;
        let config = self.running.changed_to(&wanted);
        let different = |one: &Config, other: &Config| settings::differences(one, other).map_err(|e| e.to_string());
        let (changed, restart) = (different(&self.running, &config)?, different(&config, &wanted)?);
        Ok(Reloaded { config, changed, restart })
    }

    fn changed(&mut self, config: &Config) {
        if self.running.log != config.log {
            self.log.set(config.log);
        }
        self.drains.0.store(config.drain_on_term, Ordering::Relaxed);
        self.running = config.clone();
    }

    fn log(&mut self, level: LogLevel) {
        self.log.set(level);
        self.running.log = level;
    }

    fn draining(&mut self, members: usize) {
        self.manager.status(&format!("draining: {members} members were here when it began"));
    }

    fn stopping(&mut self) {
        self.manager.stopping();
    }

    fn is_watched(&self) -> bool {
        self.manager.has_started_us()
    }

    fn admin(&self) -> Option<OwnedFd> {
        self.admin.as_ref()?.try_clone().ok()
    }
}
