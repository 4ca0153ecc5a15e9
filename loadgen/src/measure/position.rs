//! Latency by position in the fan-out: which place a copy had among the copies
//! of its message, in a hundred classes, and a straight line through them.

use serde::{Deserialize, Serialize};

const CLASSES: u64 = 100;

/// Sums by class of position, for one thread or for all.
#[derive(Clone, Debug)]
pub struct Positions {
    receivers: u64,
    classes: Vec<Class>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Class {
    copies: u64,
    places: u64,
    latency: u64,
}

/// The mean of one class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PositionPoint {
    /// Mean place among the copies of a message, from 0.
    pub place: f64,
    /// Mean latency in ns.
    pub latency_ns: f64,
}

/// `base + slope * place`, by least squares over the classes' means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Latency of the first place, in ns.
    pub base_ns: f64,
    /// What each further place adds, in ns.
    pub slope_ns: f64,
    /// Share of the variation that the line explains.
    pub r2: f64,
}

impl Positions {
    /// For messages with `receivers` copies each.
    pub fn new(receivers: u32) -> Self {
        let receivers = u64::from(receivers).max(1);
        Self { receivers, classes: vec![Class::default(); CLASSES.min(receivers) as usize] }
    }

    /// Adds a copy that `place` others came before.
    pub fn record(&mut self, place: u32, latency: u64) {
        let place = u64::from(place).min(self.receivers - 1);
        let class = place * self.classes.len() as u64 / self.receivers;
        let class = &mut self.classes[class as usize];
        class.copies += 1;
        class.places += place;
        class.latency += latency;
    }

    /// Adds another thread's sums.
    pub fn add(&mut self, other: &Self) {
        for (class, more) in self.classes.iter_mut().zip(&other.classes) {
            class.copies += more.copies;
            class.places += more.places;
            class.latency += more.latency;
        }
    }

    /// The classes that hold anything.
    pub fn points(&self) -> Vec<PositionPoint> {
        let used = self.classes.iter().filter(|class| class.copies > 0);
        used.map(|class| PositionPoint {
            place: class.places as f64 / class.copies as f64,
            latency_ns: class.latency as f64 / class.copies as f64,
        })
        .collect()
    }

    /// The line through the classes; `None` with fewer than three.
    pub fn fit(&self) -> Option<Fit> {
        fit_line(&self.points())
    }
}

fn fit_line(points: &[PositionPoint]) -> Option<Fit> {
    if points.len() < 3 {
        return None;
    }
    let n = points.len() as f64;
    let mean_x = points.iter().map(|point| point.place).sum::<f64>() / n;
    let mean_y = points.iter().map(|point| point.latency_ns).sum::<f64>() / n;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for point in points {
        let (x, y) = (point.place - mean_x, point.latency_ns - mean_y);
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    let slope_ns = xy / xx;
    let r2 = if yy > 0.0 { xy * xy / (xx * yy) } else { 1.0 };
    (xx > 0.0).then_some(Fit { base_ns: mean_y - slope_ns * mean_x, slope_ns, r2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovers_a_line() {
        let mut positions = Positions::new(999);
        for _ in 0..10 {
            (0..999).for_each(|place| positions.record(place, 105_000 + 203 * u64::from(place)));
        }
        let fit = positions.fit().unwrap();
        assert!((fit.base_ns - 105_000.0).abs() < 1.0, "{fit:?}");
        assert!((fit.slope_ns - 203.0).abs() < 0.01 && fit.r2 > 0.999, "{fit:?}");
        assert_eq!(positions.points().len(), 100);
    }

    #[test]
    fn few_receivers_have_few_classes() {
        let mut positions = Positions::new(2);
        positions.record(0, 5);
        positions.record(7, 5);
        assert_eq!((positions.points().len(), positions.fit()), (2, None));
    }
}
