//! Objectives: `p99=2ms`, `last.p99=5ms`, `loss=0`, `loss=0.1%`.

use crate::measure::{Measurement, needed, supported};
use crate::units::{parse_duration, show_count, show_ns};
use std::str::FromStr;

/// A bound that a run must keep.
#[derive(Clone, Debug, PartialEq)]
pub enum Slo {
    /// Percentile of delivery, lost copies being infinitely late.
    Delivery {
        /// As written.
        text: String,
        /// 0..1.
        quantile: f64,
        /// The bound.
        ns: f64,
    },
    /// Percentile of the last receiver.
    LastReceiver {
        /// As written.
        text: String,
        /// 0..1.
        quantile: f64,
        /// The bound.
        ns: f64,
    },
    /// Share of copies lost.
    Loss(f64),
}

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}`: write for example p99=2ms, last.p99=5ms, loss=0 or loss=0.1%");
        let (what, bound) = text.split_once('=').ok_or_else(wrong)?;
        if what == "loss" {
            return parse_share(bound).map(Self::Loss).ok_or_else(wrong);
        }
        let ns = parse_duration(bound)?.as_nanos() as f64;
        let text = what.to_string();
        match what.strip_prefix("last.") {
            Some(rest) => Ok(Self::LastReceiver { text, quantile: parse_quantile(rest).ok_or_else(wrong)?, ns }),
            None => Ok(Self::Delivery { text, quantile: parse_quantile(what).ok_or_else(wrong)?, ns }),
        }
    }
}

fn parse_share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

fn parse_quantile(text: &str) -> Option<f64> {
    let percent: f64 = text.strip_prefix('p')?.parse().ok()?;
    (0.0..100.0).contains(&percent).then_some(percent / 100.0)
}

impl Slo {
    /// Messages without which it cannot be told.
    pub fn needs(&self) -> u64 {
        match self {
            Self::Loss(_) => 1,
            Self::Delivery { quantile, .. } | Self::LastReceiver { quantile, .. } => needed(*quantile),
        }
    }

    /// What was missed; `None` when the bound was kept.
    pub fn missed(&self, run: &Measurement) -> Option<String> {
        match self {
            Self::Loss(most) => {
                let loss = if run.planned == 0 { 1.0 } else { 1.0 - delivered_share(run) };
                (loss > *most).then(|| format!("loss {:.4} % is above {:.4} %", loss * 100.0, most * 100.0))
            }
            Self::Delivery { text, quantile, ns } => {
                let found = run.delivery.quantile_with_loss(*quantile, run.planned * u64::from(run.receivers));
                missed_quantile(text, found, *ns, *quantile, run.planned)
            }
            Self::LastReceiver { text, quantile, ns } => {
                let found = run.last_receiver.quantile_with_loss(*quantile, run.planned);
                missed_quantile(text, found, *ns, *quantile, run.planned)
            }
        }
    }
}

/// Unsent messages count as lost.
fn delivered_share(run: &Measurement) -> f64 {
    run.integrity.delivered as f64 / (run.planned * u64::from(run.receivers)).max(1) as f64
}

fn missed_quantile(text: &str, found: f64, bound: f64, quantile: f64, messages: u64) -> Option<String> {
    if !supported(quantile, messages) {
        let (messages, needed) = (show_count(messages), show_count(needed(quantile)));
        return Some(format!("{text} cannot be told from {messages} messages: it takes {needed}"));
    }
    let shown = if found.is_finite() { show_ns(found) } else { "lost".into() };
    (found > bound).then(|| format!("{text} {shown} is above {}", show_ns(bound)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_objectives() {
        assert_eq!("loss=0.1%".parse(), Ok(Slo::Loss(0.001)));
        let p99 = Slo::Delivery { text: "p99".into(), quantile: 0.99, ns: 2e6 };
        assert_eq!("p99=2ms".parse(), Ok(p99));
        assert!(matches!("last.p50=1s".parse(), Ok(Slo::LastReceiver { .. })));
        for wrong in ["p99", "p100=1ms", "q99=1ms", "loss=2", "p99=fast"] {
            assert!(wrong.parse::<Slo>().is_err(), "{wrong}");
        }
    }
}
