//! Sentences that stand in the text and on the page: how members came in, and
//! what only some runs have (rooms, a lossy path, native clients).

use super::Report;
use crate::lossy::PathFigures;
use crate::members::NativeFigures;
use crate::units::{show_count, show_ns, show_scaled};

/// Name and sentence of each that this run has.
pub(super) fn particulars(report: &Report) -> Vec<(&'static str, String)> {
    let rooms = report.rooms.as_ref().map(|rooms| ("rooms", rooms.sentence()));
    let path = report.path.as_ref().map(|figures| ("path", path(figures)));
    let native = report.native.iter().flat_map(|figures| [("senders", senders(figures)), ("repair", repair(figures))]);
    rooms.into_iter().chain(path).chain(native).collect()
}

/// How members came in: every run has it.
pub(super) fn joined(report: &Report) -> String {
    let join = &report.join;
    format!(
        "all {} names sent in {} ({}), all proven in {}, {} sent again",
        show_count(report.setup.members.into()),
        show_ns(join.sent_ns as f64),
        joins(report),
        show_ns(join.elapsed_ns as f64),
        show_count(join.repeated),
    )
}

/// `220k/s, 2.80 us of server CPU each`.
fn joins(report: &Report) -> String {
    let (join, members) = (&report.join, f64::from(report.setup.members.max(1)));
    let rate = show_scaled(members * 1e9 / join.sent_ns.max(1) as f64);
    match join.server_cpu_ns {
        Some(cpu) => format!("{rate}/s, {} of server CPU each", show_ns(cpu as f64 / members)),
        None => format!("{rate}/s"),
    }
}

fn path(path: &PathFigures) -> String {
    format!(
        "{} datagrams both ways, lost {}, repeated {}, held {}",
        show_count(path.datagrams),
        show_count(path.lost),
        show_count(path.repeated),
        show_count(path.held),
    )
}

fn senders(native: &NativeFigures) -> String {
    format!(
        "accepted {}, not sent {}, still open {}, sent again {}, told to wait {}",
        show_count(native.accepted),
        show_count(native.not_sent),
        show_count(native.open),
        show_count(native.resends),
        show_count(native.slowed),
    )
}

fn repair(native: &NativeFigures) -> String {
    format!(
        "asked for {} times, entries to one member alone {}, again {}, gone for good (GAP) {}, new sessions asked for {}",
        show_count(native.nacks),
        show_count(native.alone),
        show_count(native.again),
        show_count(native.gone),
        show_count(native.reconnects),
    )
}
