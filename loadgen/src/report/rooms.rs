//! Room by room: what each one's members got, and that nobody heard another
//! room's.

use crate::measure::{Latency, Measurement, supported};
use crate::report::Figure;
use crate::units::show_count;
use serde::{Deserialize, Serialize};

/// One room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomFigures {
    /// Messages sent there.
    pub sent: u64,
    /// Messages that everybody there got.
    pub complete: u64,
    /// Copies that should have come.
    pub expected: u64,
    /// Distinct copies that came.
    pub delivered: u64,
    /// Median and 99th percentile of the last receiver, over the room's messages.
    pub last_p50: Figure,
    /// The same at 99 %.
    pub last_p99: Figure,
}

/// All rooms of a run that has several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomsReport {
    /// Members of each.
    pub size: u32,
    /// Copies that reached a member of another room.
    pub leaked: u64,
    /// By number.
    pub rooms: Vec<RoomFigures>,
}

impl RoomsReport {
    /// `None`: there is one room, and the report's own figures are its.
    pub(super) fn of(run: &Measurement) -> Option<Self> {
        let of_room = |room: &crate::measure::RoomCounts| RoomFigures {
            sent: room.sent,
            complete: room.complete,
            expected: room.sent * u64::from(run.receivers),
            delivered: room.delivered,
            last_p50: quantile(&room.last_receiver, 0.5),
            last_p99: quantile(&room.last_receiver, 0.99),
        };
        let rooms: Vec<RoomFigures> = run.rooms.iter().map(of_room).collect();
        (rooms.len() > 1).then(|| Self { size: run.receivers + 1, leaked: run.integrity.leaked, rooms })
    }

    /// `10 of 100 members; ...`
    pub(super) fn sentence(&self) -> String {
        let lost = |room: &RoomFigures| room.expected.saturating_sub(room.delivered);
        let worst = self.rooms.iter().enumerate().max_by_key(|(_, room)| lost(room));
        let (worst, most) = worst.map_or((0, 0), |(at, room)| (at, lost(room)));
        let mut tails: Vec<f64> = self.rooms.iter().filter_map(|room| room.last_p50.ns()).collect();
        tails.sort_by(f64::total_cmp);
        let show = |at: Option<&f64>| at.map_or_else(|| "-".into(), |ns| crate::units::show_ns(*ns));
        format!(
            "{} of {} members each; lost most {} (room {worst}); last receiver p50 of the median room {}, of the slowest {}; heard in another room {}",
            self.rooms.len(),
            self.size,
            show_count(most),
            show(tails.get(tails.len() / 2)),
            show(tails.last()),
            show_count(self.leaked),
        )
    }
}

fn quantile(latency: &Latency, q: f64) -> Figure {
    match latency.quantile(q) {
        Some(ns) if supported(q, latency.count()) => Figure::Ns(ns as f64),
        _ => Figure::Unsupported,
    }
}
