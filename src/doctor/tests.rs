//! Each judgement from made-up facts, and the probes on the live machine.

use super::*;
use crate::net::probe::{Arrival, Refusal, RefusalCause};
use crate::net::route::Qdisc;
use crate::net::{Buffer, Buffers};

const ASKED: usize = 8 << 20;

/// A machine with nothing wrong.
fn healthy() -> Facts {
    let buffer = Buffer { asked_bytes: ASKED, obtained_bytes: ASKED };
    Facts {
        asked: Asked::default(),
        files: Some(FileLimit { soft: 1024, hard: 524_288 }),
        rmem_max: Some(ASKED),
        wmem_max: Some(ASKED),
        buffers: Ok(Buffers { rcv: buffer, snd: buffer }),
        train: Ok(Arrival { datagrams: 16, reads: 16 }),
        coalesced: Ok(Arrival { datagrams: 16, reads: 1 }),
        distant_train: None,
        outgoing: Ok(way("noqueue")),
        conntrack: None,
        v4: Ok(()),
        v6: Ok(()),
        mapped: Ok(true),
        clock: Some(Clock { current: "tsc".into(), available: vec!["tsc".into(), "hpet".into()] }),
    }
}

fn way(qdisc: &str) -> Outgoing {
    let qdiscs = vec![Qdisc { kind: qdisc.into(), is_root: true }];
    Outgoing { interface: "eth0".into(), mtu: Some(1500), qdiscs }
}

fn refusal<T>(cause: RefusalCause) -> Result<T, Refusal> {
    Err(Refusal { cause, error: "as the kernel puts it".into() })
}

/// The one finding that a change to a healthy machine makes.
#[track_caller]
fn found(change: impl FnOnce(&mut Facts)) -> Finding {
    let mut facts = healthy();
    change(&mut facts);
    let bad: Vec<_> = findings(&facts).into_iter().filter(|finding| finding.level != Level::Ok).collect();
    assert_eq!(bad.len(), 1, "{bad:?}");
    bad.into_iter().next().unwrap()
}

/// It is of this level, about this, and mended by this.
#[track_caller]
fn is(finding: &Finding, level: Level, check: &str, mend: &str) {
    assert_eq!((finding.level, finding.check), (level, check), "{finding:?}");
    assert_eq!(finding.mend.as_deref().unwrap_or_default(), mend, "{finding:?}");
}

#[test]
fn a_healthy_machine_has_nothing_to_mend() {
    let findings = findings(&healthy());
    assert!(findings.iter().all(|finding| finding.level == Level::Ok && finding.mend.is_none()), "{findings:?}");
    let checks: std::collections::BTreeSet<_> = findings.iter().map(|finding| finding.check).collect();
    assert_eq!(checks.len(), findings.len(), "each has its name: {findings:?}");
}

#[test]
fn what_is_not_known_is_not_bad() {
    let facts = Facts { files: None, rmem_max: None, wmem_max: None, clock: None, ..healthy() };
    let facts = Facts { outgoing: Ok(Outgoing { qdiscs: vec![], mtu: None, ..way("") }), ..facts };
    assert!(findings(&facts).iter().all(|finding| finding.level == Level::Ok));
}

#[test]
fn few_files() {
    let few = |soft, hard| found(|facts| facts.files = Some(FileLimit { soft, hard }));
    is(&few(256, 4096), Level::Warning, "files", "ulimit -n 1024");
    is(&few(256, 512), Level::Warning, "files", "ulimit -n 512");
    is(&few(16, 4096), Level::Fault, "files", "ulimit -n 1024");
    is(&few(16, 16), Level::Fault, "files", "prlimit --pid $$ --nofile=1024");
}

#[test]
fn small_buffers() {
    let max = found(|facts| facts.rmem_max = Some(212_992));
    is(&max, Level::Warning, "rmem_max", "sysctl -w net.core.rmem_max=8388608");
    let max = found(|facts| facts.wmem_max = Some(212_992));
    is(&max, Level::Warning, "wmem_max", "sysctl -w net.core.wmem_max=8388608");
    let small = Buffer { asked_bytes: ASKED, obtained_bytes: 212_992 };
    let full = Buffer { asked_bytes: ASKED, obtained_bytes: ASKED };
    let obtained = found(|facts| facts.buffers = Ok(Buffers { rcv: small, snd: full }));
    is(&obtained, Level::Warning, "rcvbuf", "sysctl -w net.core.rmem_max=8388608");
    let obtained = found(|facts| facts.buffers = Ok(Buffers { rcv: full, snd: small }));
    is(&obtained, Level::Warning, "sndbuf", "sysctl -w net.core.wmem_max=8388608");
    is(&found(|facts| facts.buffers = Err("no".into())), Level::Fault, "socket", "");
}

#[test]
fn families() {
    let no = || "Address family not supported".to_owned();
    is(&found(|facts| facts.v4 = Err(no())), Level::Fault, "ipv4", "ip link set dev lo up");
    let v6 = found(|facts| facts.v6 = Err(no()));
    is(&v6, Level::Warning, "ipv6", "sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0");
    is(&found(|facts| facts.mapped = Ok(false)), Level::Warning, "v4-mapped", "nft list ruleset");
    is(&found(|facts| facts.mapped = Err(no())), Level::Warning, "v4-mapped", "");
}

#[test]
fn trains_that_the_kernel_refuses() {
    let over_loopback = |cause| found(|facts| facts.train = refusal(cause));
    is(&over_loopback(RefusalCause::NoChecksums), Level::Warning, "gso", "ethtool -K lo tx on");
    is(&over_loopback(RefusalCause::Unknown), Level::Warning, "gso", "uname -r");
    is(&over_loopback(RefusalCause::Other), Level::Fault, "gso", "");
    let towards = |cause| {
        found(|facts| {
            facts.asked.to = "192.0.2.1".parse().unwrap();
            facts.distant_train = Some(refusal(cause));
        })
    };
    is(&towards(RefusalCause::NoChecksums), Level::Warning, "gso-route", "ethtool -K eth0 tx on");
    is(&towards(RefusalCause::TooLong), Level::Warning, "gso-route", "ip link set dev eth0 mtu 1280");
    is(&towards(RefusalCause::Unreachable), Level::Fault, "gso-route", "nft list ruleset; ip route");
    assert!(towards(RefusalCause::Unreachable).says.contains("towards 192.0.2.1: as the kernel puts it"));
}

#[test]
fn trains_that_do_not_arrive() {
    let lost = found(|facts| facts.train = Ok(Arrival { datagrams: 3, reads: 3 }));
    is(&lost, Level::Fault, "gso", "nft list ruleset");
    let cut = found(|facts| facts.coalesced = Ok(Arrival { datagrams: 16, reads: 16 }));
    is(&cut, Level::Warning, "gro", "ethtool -K lo gro on");
}

#[test]
fn what_left_the_host_is_told() {
    let to = "192.0.2.1".parse().unwrap();
    let facts = Facts { distant_train: Some(Ok(())), asked: Asked { to, ..Asked::default() }, ..healthy() };
    let told = findings(&facts).into_iter().find(|finding| finding.check == "gso-route").unwrap();
    assert!(told.level == Level::Ok && told.says.contains("2 datagrams of 1232 zeros to port 9"), "{told:?}");
}

#[test]
fn ways_out() {
    let none = found(|facts| facts.outgoing = Err("Network is unreachable".into()));
    is(&none, Level::Fault, "route", "ip route get 127.0.0.1");
    let narrow = found(|facts| facts.outgoing = Ok(Outgoing { mtu: Some(576), ..way("noqueue") }));
    is(&narrow, Level::Warning, "route", "ip link set dev eth0 mtu 1280");
}

#[test]
fn queues() {
    let on = |qdisc: &str| found(|facts| facts.outgoing = Ok(way(qdisc)));
    is(&on("fq"), Level::Warning, "qdisc", "tc qdisc replace dev eth0 root fq limit 100000 flow_limit 100000");
    is(&on("tbf"), Level::Warning, "qdisc", "tc qdisc replace dev eth0 root fq_codel");
    is(&on("noop"), Level::Fault, "qdisc", "ip link set dev eth0 up");
    let below = found(|facts| {
        let mut way = way("mq");
        way.qdiscs.push(Qdisc { kind: "fq".into(), is_root: false });
        facts.outgoing = Ok(way);
    });
    let mend = "sysctl -w net.core.default_qdisc=fq_codel && tc qdisc replace dev eth0 root mq";
    is(&below, Level::Warning, "qdisc", mend);
    for fine in ["mq", "pfifo_fast", "fq_codel", "one_of_tomorrow"] {
        let facts = Facts { outgoing: Ok(way(fine)), ..healthy() };
        assert!(findings(&facts).iter().all(|finding| finding.level == Level::Ok), "{fine}");
    }
}

#[test]
fn a_connection_table_in_the_path() {
    let table = |count, max, tracks_us| Some(Conntrack { count, max, tracks_us });
    let tracked = found(|facts| facts.conntrack = table(10, 262_144, Some(true)));
    assert!(tracked.level == Level::Warning && !tracked.says.contains("too few"), "{tracked:?}");
    let mend = tracked.mend.unwrap();
    assert!(mend.contains("udp dport 9999 notrack") && mend.contains("udp sport 9999 notrack"), "{mend}");
    assert!(found(|facts| facts.conntrack = table(10, 1000, Some(true))).says.contains("too few"));
    assert!(found(|facts| facts.conntrack = table(10, 262_144, None)).says.contains("it seems"));
    assert_eq!(found(|facts| facts.conntrack = table(950, 1000, Some(true))).level, Level::Fault);
    for fine in [table(0, 1000, None), table(950, 1000, Some(false))] {
        assert!(findings(&Facts { conntrack: fine, ..healthy() }).iter().all(|finding| finding.level == Level::Ok));
    }
}

#[test]
fn slow_clocks() {
    let clock = |current: &str, available: &[&str]| {
        let available = available.iter().map(|name| (*name).to_owned()).collect();
        found(|facts| facts.clock = Some(Clock { current: current.into(), available }))
    };
    let mend = "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource";
    is(&clock("hpet", &["hpet", "tsc"]), Level::Warning, "clock", mend);
    is(&clock("acpi_pm", &["acpi_pm"]), Level::Warning, "clock", "");
}

// ---- the live machine ----------------------------------------------------------

/// What must hold wherever the other tests of the relay pass.
#[test]
fn trains_pass_over_this_machines_loopback() {
    let findings = examine(Asked { rcvbuf_bytes: 4096, sndbuf_bytes: 4096, ..Asked::default() });
    for check in ["ipv4", "rmem_max", "wmem_max", "rcvbuf", "sndbuf", "gso", "gro", "route"] {
        let finding = findings.iter().find(|finding| finding.check == check).expect(check);
        assert_eq!(finding.level, Level::Ok, "{finding:?}");
    }
    let route = findings.iter().find(|finding| finding.check == "route").unwrap();
    assert!(route.says.starts_with("127.0.0.1 is reached by lo"), "{route:?}");
    assert!(!findings.iter().any(|finding| finding.check == "gso-route"), "nothing leaves the host unasked");
}
