//! Owns the OpenMetrics page: every name on it, none with a label whose
//! values could grow in number. Never counts anything.
//!
//! The names are read by others: `loadgen/src/machine/page.rs`, `deploy/`.

use crate::batch::{SEND_DROPS, SendTally};
use crate::metrics::{DropReason, LeaveReason, NativeCounters, Summary};
use crate::server::Report;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// Of the page.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const NANOS_PER_S: f64 = 1e9;

/// The page for a report.
pub(super) fn write(report: &Report) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("outcry");
    registry.register_collector(Box::new(Page(report.clone())));
    let mut page = String::with_capacity(16 << 10);
    text::encode(&mut page, &registry)?;
    Ok(page)
}

#[derive(Debug)]
struct Page(Report);

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Writer(encoder);
        self.encode_state(&mut out)?;
        self.encode_incoming(&mut out)?;
        self.encode_outgoing(&mut out)?;
        self.encode_shapes(&mut out)?;
        let native = native_counters(&self.0.counters.native);
        native.iter().try_for_each(|&(name, help, count)| out.counter(&format!("native_{name}"), help, count))
    }
}

impl Page {
    fn encode_state(&self, out: &mut Writer<'_>) -> fmt::Result {
        let report = &self.0;
        out.info("build", "What runs here", &[("version", env!("CARGO_PKG_VERSION"))])?;
        let plain = report.members - report.sessions;
        let members = [("plain", plain as u64), ("native", report.sessions as u64)];
        out.gauges("members", "Members now", "protocol", members)?;
        out.gauge("rooms", "Rooms now, the lobby included", None, report.rooms as f64)?;
        out.gauge("uptime", "Since the start", Some(Unit::Seconds), report.uptime_ns as f64 / NANOS_PER_S)?;
        out.gauge("resident_memory", "Resident memory now", Some(Unit::Bytes), report.resident_bytes as f64)?;
        let base = report.base_bytes as f64;
        out.gauge("base_memory", "Resident memory when ready, without members", Some(Unit::Bytes), base)
    }

    fn encode_incoming(&self, out: &mut Writer<'_>) -> fmt::Result {
        let (counters, native) = (&self.0.counters, &self.0.counters.native);
        let split = |all: u64, native: u64| [("plain", all - native), ("native", native)];
        let datagrams = split(counters.datagrams_in, native.datagrams_in);
        out.counters("datagrams_in", "Datagrams received", "protocol", datagrams)?;
        let fates =
            [("relayed", counters.relayed), ("control", counters.control), ("dropped", counters.dropped_total())];
        out.counters("datagrams_handled", "What became of the datagrams received", "outcome", fates)?;
        let drops = DropReason::ALL.iter().map(|&reason| (reason.name(), counters.dropped(reason)));
        out.counters("drops", "Datagrams received and dropped, by cause", "reason", drops)?;
        out.counter(
            "kernel_drops",
            "Datagrams that the kernel dropped: the receive buffer was full",
            self.0.kernel_drops,
        )?;
        let [plain_messages, native_messages] = counters.messages();
        let messages = [("plain", plain_messages), ("native", native_messages)];
        out.counters("messages", "Messages to rooms from members", "protocol", messages)?;
        out.counters("joins", "Members that came", "protocol", split(counters.joined, native.sessions_begun))?;
        let left = LeaveReason::ALL.iter().map(|&reason| (reason.name(), counters.left(reason)));
        out.counters("leaves", "Members that went, by cause", "reason", left)
    }

    fn encode_outgoing(&self, out: &mut Writer<'_>) -> fmt::Result {
        let (counters, copies) = (&self.0.counters, &self.0.copies);
        let dropped = SEND_DROPS.iter().map(|&(cause, name)| (name, copies.dropped[cause as usize]));
        let outcomes = [("offered", copies.offered), ("sent", copies.sent)].into_iter().chain(dropped);
        out.counters(
            "copies",
            "Copies to members, by what became of them; offered is all of them",
            "outcome",
            outcomes,
        )?;
        let offered_to = copies_offered_to(copies);
        out.counters(
            "copies_offered",
            "The same by whom they are for: plain members a message each, native ones a datagram of many, or one address",
            "to",
            offered_to,
        )?;
        out.counter("trains_refused", "Trains (GSO) refused and sent one by one", copies.trains_refused)?;
        let notices = [
            ("told", counters.notices_told),
            ("merged", counters.notices_merged),
            ("suppressed", counters.notices_suppressed),
        ];
        out.counters("notices", "Joins and leaves told to the room; merged ones are told, too", "outcome", notices)?;
        out.counter("answers", "Answers to one address", counters.answers)
    }

    fn encode_shapes(&self, out: &mut Writer<'_>) -> fmt::Result {
        let report = &self.0;
        out.histogram("turn_messages", "Messages taken in at once", None, &report.turn_messages, 1.0)?;
        out.histogram("train_messages", "Messages sent at once to a member", None, &report.train_messages, 1.0)?;
        let help = "From a message's receipt to the last send of its turn";
        out.histogram("sojourn", help, Some(Unit::Seconds), &report.sojourn_ns, NANOS_PER_S)
    }
}

/// Writes families whose numbers are known.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str); 1]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'l str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let mut values = values.into_iter();
        values.try_for_each(|(of, value)| family.encode_family(&[(label, of)])?.encode_gauge(&(value as f64)))
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, u64, u64>(&count, None)
    }

    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counts: impl IntoIterator<Item = (&'l str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        counts.into_iter().try_for_each(|(of, count)| {
            family.encode_family(&[(label, of)])?.encode_counter::<NoLabelSet, u64, u64>(&count, None)
        })
    }

    /// Values in `per_unit`ths of the unit.
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        summary: &Summary,
        per_unit: f64,
    ) -> fmt::Result {
        let bounds = summary.buckets.bounds().iter().map(|&bound| bound as f64 / per_unit).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(summary.buckets.counts().iter().copied()).collect();
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(summary.sum as f64 / per_unit, summary.count, &buckets, None)
    }
}

/// For whom copies are: members of each protocol, which get what their room
/// gets, or one address: answers, acknowledgements, repairs.
pub(super) fn copies_offered_to(copies: &SendTally) -> [(&'static str, u64); 3] {
    [("plain", copies.offered_plain()), ("native", copies.offered_cast), ("single", copies.offered_single)]
}

/// What is counted of the native protocol: name, meaning, count.
pub(super) fn native_counters(native: &NativeCounters) -> [(&'static str, &'static str, u64); 28] {
    [
        ("sessions_ended", "Sessions that ended", native.sessions_ended),
        ("sessions_moved", "Sessions that moved to another address", native.sessions_moved),
        ("messages_in", "Messages received", native.messages_in),
        ("messages_accepted", "Messages that became an entry of their room", native.messages_accepted),
        ("messages_void", "Numbers that their sender gave up", native.messages_void),
        ("messages_duplicate", "Messages that came before", native.messages_duplicate),
        ("messages_early", "Messages that came before one that is missing", native.messages_early),
        ("messages_refused", "Messages that can never be accepted", native.messages_refused),
        ("messages_slowed", "Messages that came too fast", native.messages_slowed),
        ("acks", "Acknowledgements sent", native.acks),
        ("heads", "HEADs sent to rooms", native.heads),
        ("nacks", "Requests for what is missing", native.nacks),
        ("repairs", "Datagrams sent again, or fed", native.repairs),
        ("entries_repaired", "Entries in them", native.entries_repaired),
        ("repairs_dropped", "Repairs over what a turn or a member gets", native.repairs_dropped),
        ("gaps", "Times that a member was told that something is gone", native.gaps),
        ("reports", "Reports of how members receive", native.reports),
        ("demoted", "Members that became too slow", native.demoted),
        ("promoted", "Members that caught up again", native.promoted),
        ("directs", "Private messages passed on", native.directs),
        ("presence_suppressed", "Joins, leaves and renames not entered", native.presence_suppressed),
        ("frames_over_rate", "Requests over the rate", native.frames_over_rate),
        ("frames_no_room", "Frames about a room that their sender is not in", native.frames_no_room),
        ("frames_unproven", "Frames from where their session is not served", native.frames_unproven),
        ("answers", "Datagrams sent to one client", native.answers),
        ("answers_dropped", "Such datagrams for which a turn had no room", native.answers_dropped),
        ("rooms_opened", "Rooms opened", native.rooms_opened),
        ("rooms_ended", "Rooms ended", native.rooms_ended),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histograms;

    fn page(change: impl FnOnce(&mut Report)) -> String {
        let mut histograms = Histograms::default();
        histograms.sojourn_ns.record(1_500_000, 3);
        histograms.sojourn_ns.record(u64::MAX, 1);
        let mut report = Report { sojourn_ns: histograms.sojourn_ns.summary(), ..Report::default() };
        change(&mut report);
        write(&report).unwrap()
    }

    #[test]
    fn counts_stand_under_their_names() {
        let page = page(|report| {
            (report.members, report.sessions) = (5, 2);
            report.counters.datagrams_in = 7;
            report.counters.native.datagrams_in = 3;
            report.counters.drop(DropReason::Mirror);
            report.kernel_drops = 9;
            (report.copies.offered, report.copies.offered_cast, report.copies.offered_single) = (10, 5, 1);
        });
        for line in [
            "outcry_members{protocol=\"plain\"} 3.0",
            "outcry_members{protocol=\"native\"} 2.0",
            "outcry_datagrams_in_total{protocol=\"plain\"} 4",
            "outcry_datagrams_in_total{protocol=\"native\"} 3",
            "outcry_drops_total{reason=\"mirror\"} 1",
            "outcry_kernel_drops_total 9",
            "outcry_copies_total{outcome=\"sent\"} 0",
            "outcry_copies_offered_total{to=\"plain\"} 4",
            "outcry_copies_offered_total{to=\"native\"} 5",
            "outcry_copies_offered_total{to=\"single\"} 1",
            "outcry_native_repairs_total 0",
        ] {
            assert!(page.lines().any(|on_page| on_page == line), "{line} is not in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_histogram_adds_up_and_is_in_seconds() {
        let page = page(|_| {});
        for line in [
            "# UNIT outcry_sojourn_seconds seconds",
            "outcry_sojourn_seconds_count 4",
            "outcry_sojourn_seconds_bucket{le=\"0.001\"} 0",
            "outcry_sojourn_seconds_bucket{le=\"0.002\"} 3",
            "outcry_sojourn_seconds_bucket{le=\"10.0\"} 3",
            "outcry_sojourn_seconds_bucket{le=\"+Inf\"} 4",
        ] {
            assert!(page.lines().any(|on_page| on_page == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn nothing_makes_the_page_longer() {
        let lines = |page: String| page.lines().count();
        let busy = page(|report| {
            (report.members, report.rooms) = (100_000, 4096);
            DropReason::ALL.iter().for_each(|&reason| report.counters.drop(reason));
        });
        assert_eq!(lines(busy), lines(page(|_| {})));
    }
}
