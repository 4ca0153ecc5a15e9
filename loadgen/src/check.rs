//! The self-check: was it the server that was measured, or this tool?

use crate::measure::Measurement;
use crate::units::{show_count, show_ns};
use serde::{Deserialize, Serialize};

/// How a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Neither good nor disqualifying: read the numbers with it in mind.
    Doubtful,
    /// The numbers say nothing about the server.
    Invalid,
}

/// One condition that a run must meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What is looked at.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// The value found.
    pub value: String,
    /// What would be good, and what would not.
    pub bounds: String,
}

/// What the gates need besides the measurement itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// Copies dropped at the generator's own sockets.
    pub generator_drops: u64,
    /// Share of processor time that the host took away.
    pub stolen: f64,
    /// Members that still hear the others after the run.
    pub alive: u32,
    /// Members there should be.
    pub members: u32,
    /// Copies per second that this generator can receive on this machine.
    pub ceiling: Option<f64>,
}

/// Looks at every gate.
///
/// In closed loop the generator's share limits what may be said of rates (they
/// are "at least") and nothing else, so it is a doubt there at most.
pub fn gates(run: &Measurement, around: &Surroundings) -> Vec<Gate> {
    let mut gates = open_loop_gates(run, around);
    if run.closed {
        for gate in gates.iter_mut().filter(|gate| RATE_GATES.contains(&gate.name.as_str())) {
            gate.state = gate.state.min(State::Doubtful);
            gate.bounds.push_str("; closed loop: rates are \"at least\"");
        }
    }
    gates
}

/// What makes a run with these gates invalid, in one sentence.
pub fn why_invalid(gates: &[Gate]) -> &'static str {
    if gates.iter().any(|gate| gate.value == NOTHING) {
        "no message was due while measuring: --rate times --duration is too small, or it was ended"
    } else if gates.iter().all(|gate| gate.state != State::Invalid || gate.name == ALIVE) {
        "members were gone at the end: the server dropped them, or ended"
    } else {
        "the generator or the machine was the limit, not the server"
    }
}

/// Whether members are missing.
pub fn members_are_gone(gates: &[Gate]) -> bool {
    gates.iter().any(|gate| gate.name == ALIVE && gate.state == State::Invalid)
}

const SENT: &str = "sent of planned";
const NOTHING: &str = "nothing was planned";
const ALIVE: &str = "members alive at the end";
const BUSIEST: &str = "busiest receiving thread";
const CEILING: &str = "rate of own ceiling";
const RATE_GATES: [&str; 2] = [BUSIEST, CEILING];

fn open_loop_gates(run: &Measurement, around: &Surroundings) -> Vec<Gate> {
    let mut gates = vec![
        sent(run.sent, run.planned),
        lag(run),
        drops(around.generator_drops, run.lost()),
        busiest(run.threads.iter().map(|thread| thread.share()).fold(0.0, f64::max)),
        stolen(around.stolen),
        alive(around.alive, around.members),
    ];
    if let Some(ceiling) = around.ceiling {
        gates.push(share_of_ceiling(run.copies_per_second(), ceiling));
    }
    gates
}

/// What can be judged while a run goes on: of the last second, or so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoFar {
    /// Messages planned until now.
    pub planned: u64,
    /// Messages sent.
    pub sent: u64,
    /// The latest that a message of the last second went out, in ns; `None` in closed loop.
    pub lag_ns: Option<u64>,
    /// Median of delivery in the last second, in ns.
    pub p50_ns: u64,
    /// Copies dropped at the generator's own sockets.
    pub drops: u64,
    /// Copies not there yet.
    pub missing: u64,
    /// Share of the last second that the busiest receiving thread used or waited for.
    pub busiest: f64,
    /// Share of processor time stolen.
    pub stolen: f64,
    /// Copies of the last second.
    pub copies: u64,
    /// Copies per second that this generator can receive.
    pub ceiling: Option<f64>,
}

/// The gates that need no finished run. A doubt here may be none in the end.
pub fn so_far(seen: &SoFar) -> Vec<Gate> {
    let mut gates = vec![
        sent(seen.sent, seen.planned),
        drops(seen.drops, seen.missing),
        busiest(seen.busiest),
        stolen(seen.stolen),
    ];
    if let Some(lag) = seen.lag_ns {
        let ok = lag < 50_000 || lag * 10 < seen.p50_ns;
        gates.insert(1, gate("sched lag, worst", ok, false, show_ns(lag as f64), ""));
    }
    if let Some(ceiling) = seen.ceiling {
        gates.push(share_of_ceiling(seen.copies as f64, ceiling));
    }
    gates
}

/// The worst state of all.
pub fn worst(gates: &[Gate]) -> State {
    gates.iter().map(|gate| gate.state).max().unwrap_or(State::Ok)
}

fn gate(name: &str, ok: bool, invalid: bool, value: String, bounds: &str) -> Gate {
    let state = match (ok, invalid) {
        (_, true) => State::Invalid,
        (true, _) => State::Ok,
        _ => State::Doubtful,
    };
    Gate { name: name.into(), state, value, bounds: bounds.into() }
}

fn sent(sent: u64, planned: u64) -> Gate {
    let bounds = "ok >= 99.5 %, invalid < 99 %";
    if planned == 0 {
        return gate(SENT, false, true, NOTHING.into(), bounds);
    }
    let ratio = sent as f64 / planned as f64;
    gate(SENT, ratio >= 0.995, ratio < 0.99, percent(ratio), bounds)
}

fn lag(run: &Measurement) -> Gate {
    let bounds = "ok < 10 % of delivery p50 or < 50 us, invalid > half of delivery p99";
    if run.closed {
        return gate("sched lag p99", true, false, "-".into(), "closed loop: nothing is planned");
    }
    let Some(lag) = run.lag.quantile(0.99) else {
        return gate("sched lag p99", false, true, "nothing was sent".into(), bounds);
    };
    let value = show_ns(lag as f64);
    let (Some(p50), Some(p99)) = (run.delivery.quantile(0.5), run.delivery.quantile(0.99)) else {
        return gate("sched lag p99", lag < 50_000, false, value, bounds);
    };
    let ok = lag < 50_000 || lag * 10 < p50;
    gate("sched lag p99", ok, !ok && lag * 2 > p99, value, bounds)
}

fn drops(drops: u64, lost: u64) -> Gate {
    let bounds = "ok 0, invalid > 10 % of the loss";
    let invalid = drops > 0 && drops * 10 > lost;
    gate("generator socket drops", drops == 0, invalid, show_count(drops), bounds)
}

fn busiest(share: f64) -> Gate {
    gate(BUSIEST, share < 0.80, share > 0.95, percent(share), "ok < 80 %, invalid > 95 %")
}

fn stolen(share: f64) -> Gate {
    gate("steal", true, share > 0.01, percent(share), "invalid > 1 %")
}

fn alive(alive: u32, members: u32) -> Gate {
    let value = format!("{} of {}", show_count(alive.into()), show_count(members.into()));
    gate(ALIVE, alive >= members, alive < members, value, "ok all, invalid any missing")
}

fn share_of_ceiling(rate: f64, ceiling: f64) -> Gate {
    let share = rate / ceiling.max(1.0);
    gate(CEILING, share < 0.70, share > 0.90, percent(share), "ok < 70 %, invalid > 90 %")
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
