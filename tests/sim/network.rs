//! Owns what the network does to a datagram: when it arrives, and how often.
//! Never looks into one.

use crate::chance::{Chance, MS, SECOND};

/// Bursts of loss (Gilbert, Elliott): a link is good or bad, and stays so for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bursts {
    /// Good to bad, at each datagram.
    pub(crate) enter_ppm: u32,
    /// Bad to good, at each datagram.
    pub(crate) leave_ppm: u32,
    /// What is lost while it is bad.
    pub(crate) loss_ppm: u32,
}

/// A receiver that takes so much and no more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bottleneck {
    pub(crate) bytes_per_s: u64,
    /// What waits before it at most; more is dropped.
    pub(crate) queue_bytes: u64,
}

/// How one direction of a path behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    pub(crate) loss_ppm: u32,
    pub(crate) bursts: Option<Bursts>,
    pub(crate) duplicate_ppm: u32,
    pub(crate) delay_ns: u64,
    /// At most so much more; it keeps the order.
    pub(crate) jitter_ns: u64,
    /// Held back by up to `reorder_ns`, and so overtaken.
    pub(crate) reorder_ppm: u32,
    pub(crate) reorder_ns: u64,
    pub(crate) bottleneck: Option<Bottleneck>,
}

impl Conditions {
    /// A path that only takes its time.
    pub(crate) const fn clean(delay_ns: u64) -> Self {
        Self {
            loss_ppm: 0,
            bursts: None,
            duplicate_ppm: 0,
            delay_ns,
            jitter_ns: 0,
            reorder_ppm: 0,
            reorder_ns: 0,
            bottleneck: None,
        }
    }

    /// The same, and so much is lost.
    pub(crate) const fn lossy(delay_ns: u64, loss_ppm: u32) -> Self {
        Self { loss_ppm, ..Self::clean(delay_ns) }
    }

    /// Something a seed comes up with; `worst_ppm` is the highest loss.
    pub(crate) fn drawn(chance: &mut Chance, worst_ppm: u32) -> Self {
        let bursts = Bursts { enter_ppm: 10_000, leave_ppm: chance.between(50_000, 400_000) as u32, loss_ppm: 900_000 };
        Self {
            loss_ppm: chance.pick(&[0, worst_ppm / 30, worst_ppm / 6, worst_ppm]),
            bursts: chance.happens(250_000).then_some(bursts),
            duplicate_ppm: chance.pick(&[0, 0, 10_000, 100_000]),
            delay_ns: chance.between(MS / 10, 80 * MS),
            jitter_ns: chance.pick(&[0, MS, 20 * MS]),
            reorder_ppm: chance.pick(&[0, 0, 20_000, 200_000]),
            reorder_ns: chance.between(MS, 60 * MS),
            bottleneck: None,
        }
    }
}

/// One direction of somebody's path to or from the relay.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) conditions: Conditions,
    /// Nothing passes until then.
    pub(crate) cut_until: u64,
    /// Bytes that were to pass.
    pub(crate) carried: u64,
    is_bad: bool,
    /// When the bottleneck is free again.
    free_at: u64,
    last_arrival: u64,
    chance: Chance,
}

impl Link {
    pub(crate) fn new(conditions: Conditions, chance: Chance) -> Self {
        Self { conditions, cut_until: 0, carried: 0, is_bad: false, free_at: 0, last_arrival: 0, chance }
    }

    /// When copies of a datagram arrive that leaves now.
    pub(crate) fn pass(&mut self, now: u64, bytes: usize) -> [Option<u64>; 2] {
        self.carried += bytes as u64;
        if now < self.cut_until || self.is_lost() {
            return [None; 2];
        }
        let Some(leaves) = self.through_bottleneck(now, bytes as u64) else { return [None; 2] };
        let again = self.chance.happens(self.conditions.duplicate_ppm);
        let first = self.arrival(leaves);
        [Some(first), again.then(|| self.arrival(leaves))]
    }

    fn is_lost(&mut self) -> bool {
        let lost = self.chance.happens(self.conditions.loss_ppm);
        let Some(bursts) = self.conditions.bursts else { return lost };
        let turns = if self.is_bad { bursts.leave_ppm } else { bursts.enter_ppm };
        self.is_bad ^= self.chance.happens(turns);
        lost || (self.is_bad && self.chance.happens(bursts.loss_ppm))
    }

    fn through_bottleneck(&mut self, now: u64, bytes: u64) -> Option<u64> {
        let Some(bottleneck) = self.conditions.bottleneck else { return Some(now) };
        let begins = self.free_at.max(now);
        let waiting = (begins - now).saturating_mul(bottleneck.bytes_per_s) / SECOND;
        if waiting + bytes > bottleneck.queue_bytes {
            return None;
        }
        // What UDP, IP and the wire add.
        self.free_at = begins + (bytes + 42) * SECOND / bottleneck.bytes_per_s;
        Some(self.free_at)
    }

    fn arrival(&mut self, leaves: u64) -> u64 {
        let Conditions { delay_ns, jitter_ns, reorder_ppm, reorder_ns, .. } = self.conditions;
        let jitter = if jitter_ns > 0 { self.chance.below(jitter_ns) } else { 0 };
        let arrives = (leaves + delay_ns + jitter).max(self.last_arrival);
        if self.chance.happens(reorder_ppm) {
            return arrives + self.chance.below(reorder_ns.max(1));
        }
        self.last_arrival = arrives;
        arrives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_loses_what_it_is_told_to() {
        let mut link = Link::new(Conditions::lossy(MS, 200_000), Chance::new(1));
        let passed = (0..10_000).filter(|at| link.pass(at * MS, 100)[0].is_some()).count();
        assert!((7_800..8_200).contains(&passed), "{passed}");
    }

    #[test]
    fn a_bottleneck_takes_its_rate_and_no_more() {
        let bottleneck = Some(Bottleneck { bytes_per_s: 10_000, queue_bytes: 20_000 });
        let mut link = Link::new(Conditions { bottleneck, ..Conditions::clean(0) }, Chance::new(1));
        let arrivals: Vec<u64> = (0..10_000).filter_map(|at| link.pass(at * MS, 958)[0]).collect();
        assert!((115..125).contains(&arrivals.len()), "{}", arrivals.len());
        assert!(arrivals.windows(2).all(|pair| pair[1] - pair[0] == SECOND / 10));
    }
}
