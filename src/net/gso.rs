//! Owns where trains (UDP GSO) may be sent. Never sends: `egress.rs` reports
//! refusals here and asks before it sends.
//!
//! A probe at the start proves nothing, because the device is chosen per
//! destination; so a train is simply tried, and a refusal remembered for a while.

use crate::Time;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a refusal holds before a train is tried again: routes and devices change.
pub(super) const REFUSAL_HOLDS: Duration = Duration::from_secs(60);
/// Destinations remembered at most; for one more, each train is tried and resent.
const DESTINATIONS_MAX: usize = 1024;

/// The refusals that hold. Memory: 96 KiB, taken in `new`.
pub(super) struct Gso {
    supported: bool,
    off_until: Option<Time>,
    /// By destination, until when. std's hasher is seeded.
    refused: HashMap<SocketAddr, Time>,
    /// No entry of `refused` expires before.
    expiry: Time,
}

impl Gso {
    pub(super) fn new(supported: bool) -> Self {
        Self { supported, off_until: None, refused: HashMap::with_capacity(DESTINATIONS_MAX), expiry: Time::default() }
    }

    /// Whether every train may be tried: the common case, worth no look-ups.
    pub(super) fn is_on_everywhere(&self) -> bool {
        self.supported && self.off_until.is_none() && self.refused.is_empty()
    }

    /// Whether a train to `to` may be tried.
    pub(super) fn is_on_for(&self, to: &SocketAddr) -> bool {
        self.supported && self.off_until.is_none() && !self.refused.contains_key(to)
    }

    /// Forgets the refusals whose time is over.
    pub(super) fn expire(&mut self, now: Time) {
        if self.off_until.is_some_and(|until| until <= now) {
            self.off_until = None;
        }
        if !self.refused.is_empty() && self.expiry <= now {
            self.refused.retain(|_, until| *until > now);
            self.expiry = self.refused.values().min().copied().unwrap_or_default();
        }
    }

    /// No train to `to` for a while.
    pub(super) fn refuse(&mut self, to: SocketAddr, now: Time) {
        if self.refused.is_empty() {
            self.expiry = now + REFUSAL_HOLDS;
        }
        if self.refused.len() < DESTINATIONS_MAX {
            self.refused.insert(to, now + REFUSAL_HOLDS);
        }
    }

    /// No train to anybody for a while.
    pub(super) fn refuse_all(&mut self, now: Time) {
        self.off_until = Some(now + REFUSAL_HOLDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::new(seconds * 1_000_000_000, seconds)
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_refusal_holds_sixty_seconds_for_its_destination_only() {
        let mut gso = Gso::new(true);
        assert!(gso.is_on_everywhere());
        gso.refuse(peer(1), at(10));
        gso.refuse(peer(2), at(40));
        assert!(!gso.is_on_for(&peer(1)) && gso.is_on_for(&peer(3)));
        gso.expire(at(69));
        assert!(!gso.is_on_for(&peer(1)));
        gso.expire(at(70));
        assert!(gso.is_on_for(&peer(1)) && !gso.is_on_for(&peer(2)) && !gso.is_on_everywhere());
        gso.expire(at(100));
        assert!(gso.is_on_everywhere());
    }

    #[test]
    fn the_table_is_bounded() {
        let mut gso = Gso::new(true);
        let capacity = gso.refused.capacity();
        for port in 0..5000 {
            gso.refuse(peer(port), at(1));
        }
        assert_eq!((gso.refused.len(), gso.refused.capacity()), (DESTINATIONS_MAX, capacity));
    }

    #[test]
    fn without_support_it_never_comes_on() {
        let mut gso = Gso::new(false);
        gso.expire(at(1000));
        assert!(!gso.is_on_everywhere() && !gso.is_on_for(&peer(1)));
    }
}
