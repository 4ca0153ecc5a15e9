//! No service manager: this system has none that the relay speaks to.

use std::time::Duration;

#[derive(Clone)]
pub(super) struct Manager;

impl Manager {
    pub(super) fn from_env() -> Self {
        Self
    }

    pub(super) fn ready(&self) {}

    pub(super) fn has_started_us(&self) -> bool {
        false
    }

    pub(super) fn status(&self, _text: &str) {}

    pub(super) fn stopping(&self) {}

    pub(super) fn alive(&self) {}

    pub(super) fn alive_every(&self) -> Option<Duration> {
        None
    }
}
