//! What goes on during a run besides messages by a schedule, and which members
//! are set aside for it.

use crate::measure::Disturbance;
use crate::plan::Arrival;
use clap::ValueEnum;
use std::time::Duration;

/// The kinds of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Members join, then messages come by the schedule.
    Steady,
    /// Members join as fast as they can; the time until all are proven is the result.
    Storm,
    /// Some members leave and join all the time; the others are measured.
    Churn,
    /// A second's messages come at once, every second.
    Burst,
    /// Some members stop reading; the others are measured.
    Slow,
    /// The server's process is stopped once, and continued.
    Stall,
    /// Churn for a long time; the growth of the server's memory is reported.
    Soak,
    /// Members are spread over rooms (--rooms); what is said in one must be heard there only.
    Rooms,
}

/// A scenario with its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Which.
    pub scenario: Scenario,
    /// Share of the members that is set aside, where some are (0..1).
    pub aside: f64,
    /// Leaves plus joins per second, where members churn.
    pub churn_rate: f64,
    /// How long the server is stopped.
    pub stall: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self { scenario: Scenario::Steady, aside: 0.1, churn_rate: 50.0, stall: Duration::from_millis(500) }
    }
}

impl Script {
    /// Members whose copies count: all but those set aside.
    pub fn counted(&self, members: u32) -> u32 {
        match self.scenario {
            Scenario::Churn | Scenario::Slow | Scenario::Soak => {
                let aside = (f64::from(members) * self.aside).ceil() as u32;
                members.saturating_sub(aside.max(1))
            }
            _ => members,
        }
    }

    /// Members that read.
    pub fn reading(&self, members: u32) -> u32 {
        if self.scenario == Scenario::Slow { self.counted(members) } else { members }
    }

    /// The arrival process that the scenario wants in place of `asked`.
    pub fn arrival(&self, asked: &Arrival, rate: f64) -> Arrival {
        match (self.scenario, asked) {
            (Scenario::Burst, Arrival::Poisson) => {
                Arrival::Burst { count: rate.ceil().max(1.0) as u32, every: Duration::from_secs(1) }
            }
            _ => asked.clone(),
        }
    }

    /// Joins per second where the user set none.
    pub fn join_rate(&self) -> f64 {
        if self.scenario == Scenario::Storm { 200_000.0 } else { 5_000.0 }
    }

    /// What goes on beside the messages.
    pub fn disturbance(&self, server_pid: Option<u32>, duration: Duration) -> Option<Disturbance> {
        match (self.scenario, server_pid) {
            (Scenario::Churn | Scenario::Soak, _) => Some(Disturbance::Churn { per_second: self.churn_rate }),
            (Scenario::Stall, Some(pid)) => Some(Disturbance::Stall { pid, after: duration / 3, length: self.stall }),
            _ => None,
        }
    }

    /// What a report says about it.
    pub fn label(&self, members: u32) -> String {
        let aside = members - self.counted(members);
        match self.scenario {
            Scenario::Steady => "steady".into(),
            Scenario::Storm => "storm".into(),
            Scenario::Burst => "burst".into(),
            Scenario::Rooms => "rooms".into(),
            Scenario::Churn => {
                format!("churn: {aside} members set aside, {} leaves and joins a second", self.churn_rate)
            }
            Scenario::Soak => format!("soak: {aside} members set aside, {} leaves and joins a second", self.churn_rate),
            Scenario::Slow => format!("slow: {aside} members do not read"),
            Scenario::Stall => format!("stall: server stopped once for {} ms", self.stall.as_millis()),
        }
    }
}
