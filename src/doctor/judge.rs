//! Owns what is good enough, and the command that mends what is not. Pure:
//! facts in, findings out, so that every judgement has a test without a
//! machine that is ill.

use super::facts::{Conntrack, Facts, Outgoing};
use super::{Finding, Level};
use crate::net::Buffer;
use crate::net::probe::{
    Arrival, DISCARD_PORT, DISTANT_BYTES, DISTANT_SEGMENTS, LOCAL_SEGMENTS, Refusal, RefusalCause,
};

/// Files that a relay has open: one socket for all members, and its own.
const FILES_NEEDED: u64 = 32;
/// Files that leave room for an admin face and its scrapers.
const FILES_WANTED: u64 = 1024;
/// The table is as good as full from this part on.
const CONNTRACK_FULL_PERCENT: u64 = 90;
/// Headers of the longest train's datagram: IPv6 and UDP.
const HEADERS: u32 = 48;

/// Clock sources that are read without a system call, or nearly so.
const FAST_CLOCKS: [&str; 5] =
    ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource"];
/// Queues that take a burst as it comes.
const PLAIN_QDISCS: [&str; 8] =
    ["noqueue", "mq", "pfifo_fast", "pfifo", "bfifo", "fq_codel", "pfifo_head_drop", "multiq"];
/// Queues that hold traffic to a rate, or lose it on purpose.
const SHAPING_QDISCS: [&str; 8] = ["tbf", "htb", "hfsc", "cbq", "cake", "netem", "drr", "ets"];

/// What the facts mean, in the order in which an operator needs it.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        files(facts),
        limit("rmem_max", facts.rmem_max, facts.asked.rcvbuf_bytes),
        limit("wmem_max", facts.wmem_max, facts.asked.sndbuf_bytes),
    ];
    findings.extend(buffers(facts));
    findings.extend([v4(facts), v6(facts), mapped(facts), gso(facts), gro(facts), route(facts)]);
    findings.extend(distant(facts));
    findings.extend([qdisc(facts), conntrack(facts), clock(facts)]);
    findings
}

fn ok(check: &'static str, says: impl Into<String>) -> Finding {
    Finding { check, level: Level::Ok, says: says.into(), mend: None }
}

fn warning(check: &'static str, says: impl Into<String>) -> Finding {
    Finding { level: Level::Warning, ..ok(check, says) }
}

fn fault(check: &'static str, says: impl Into<String>) -> Finding {
    Finding { level: Level::Fault, ..ok(check, says) }
}

impl Finding {
    fn mend(self, command: impl Into<String>) -> Self {
        Self { mend: Some(command.into()), ..self }
    }
}

fn files(facts: &Facts) -> Finding {
    let Some(limit) = facts.files else { return ok("files", "the limit of open files is not known here") };
    let mend = format!("ulimit -n {}", FILES_WANTED.min(limit.hard).max(limit.soft));
    let says = format!("{} open files here; the relay has one socket for all its members", limit.soft);
    match limit.soft {
        ..FILES_NEEDED => {
            let raise =
                if limit.hard < FILES_NEEDED { format!("prlimit --pid $$ --nofile={FILES_WANTED}") } else { mend };
            fault("files", format!("{} open files, {FILES_NEEDED} are needed", limit.soft)).mend(raise)
        }
        FILES_NEEDED..FILES_WANTED if limit.hard > limit.soft => {
            warning("files", format!("{says}, {FILES_WANTED} leave room for more")).mend(mend)
        }
        _ => ok("files", says),
    }
}

/// What a process without privilege can ask for.
fn limit(check: &'static str, max: Option<usize>, asked: usize) -> Finding {
    match max {
        None => ok(check, "the kernel's limit is not known here"),
        Some(max) if max >= asked => ok(check, format!("{max} bytes, {asked} are asked for")),
        Some(max) => warning(check, format!("{max} bytes, {asked} are asked for: only root gets more than the limit"))
            .mend(format!("sysctl -w net.core.{check}={asked}")),
    }
}

fn buffers(facts: &Facts) -> Vec<Finding> {
    let buffers = match &facts.buffers {
        Ok(buffers) => *buffers,
        Err(error) => return vec![fault("socket", format!("no socket like the relay's could be opened: {error}"))],
    };
    vec![
        buffer("rcvbuf", buffers.rcv, "bursts beyond it are dropped by the kernel", "rmem_max"),
        buffer("sndbuf", buffers.snd, "large fan-outs stop and wait more often", "wmem_max"),
    ]
}

fn buffer(check: &'static str, buffer: Buffer, meaning: &str, limit: &str) -> Finding {
    let Buffer { asked_bytes, obtained_bytes } = buffer;
    if obtained_bytes >= asked_bytes {
        return ok(check, format!("{obtained_bytes} bytes obtained"));
    }
    warning(check, format!("{obtained_bytes} bytes obtained of {asked_bytes}: {meaning}"))
        .mend(format!("sysctl -w net.core.{limit}={asked_bytes}"))
}

fn v4(facts: &Facts) -> Finding {
    match &facts.v4 {
        Ok(()) => ok("ipv4", "a socket on 127.0.0.1 opens"),
        Err(error) => fault("ipv4", format!("no socket on 127.0.0.1: {error}")).mend("ip link set dev lo up"),
    }
}

fn v6(facts: &Facts) -> Finding {
    match &facts.v6 {
        Ok(()) => ok("ipv6", "a socket on [::1] opens"),
        Err(error) => warning("ipv6", format!("no socket on [::1] ({error}): bind an IPv4 address"))
            .mend("sysctl -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0"),
    }
}

fn mapped(facts: &Facts) -> Finding {
    match &facts.mapped {
        Ok(true) => ok("v4-mapped", "a socket on [::] hears IPv4"),
        Ok(false) => {
            warning("v4-mapped", "a socket on [::] does not hear IPv4: members of IPv4 need a relay on 0.0.0.0")
                .mend("nft list ruleset")
        }
        Err(error) => warning("v4-mapped", format!("no socket on [::] ({error}): listen on 0.0.0.0")),
    }
}

fn gso(facts: &Facts) -> Finding {
    match &facts.train {
        Ok(Arrival { datagrams: LOCAL_SEGMENTS, .. }) => {
            ok("gso", format!("a train of {LOCAL_SEGMENTS} over loopback arrived as {LOCAL_SEGMENTS} datagrams"))
        }
        Ok(arrival) => {
            fault("gso", format!("of a train of {LOCAL_SEGMENTS} over loopback {} arrived", arrival.datagrams))
                .mend("nft list ruleset")
        }
        Err(refusal) => refused("gso", "over loopback", refusal, "lo"),
    }
}

fn gro(facts: &Facts) -> Finding {
    match &facts.coalesced {
        Ok(arrival) if arrival.datagrams == LOCAL_SEGMENTS && arrival.reads < LOCAL_SEGMENTS => {
            ok("gro", format!("a train over loopback was taken in {} read(s)", arrival.reads))
        }
        Ok(arrival) => {
            warning("gro", format!("a train over loopback took {} reads: it is cut before it arrives", arrival.reads))
                .mend("ethtool -K lo gro on")
        }
        Err(refusal) => refused("gro", "to a socket that takes it whole", refusal, "lo"),
    }
}

/// A refused train: the relay sends its messages one by one, which costs up to
/// twice as much a copy, unless nothing goes that way at all.
fn refused(check: &'static str, way: &str, refusal: &Refusal, interface: &str) -> Finding {
    let Refusal { cause, error } = refusal;
    let one_by_one = "messages go one by one there";
    match cause {
        RefusalCause::NoChecksums => {
            warning(check, format!("{interface} does no checksums, so no trains {way} ({error}): {one_by_one}"))
                .mend(format!("ethtool -K {interface} tx on"))
        }
        RefusalCause::Unknown => warning(
            check,
            format!("the kernel knows no trains {way} ({error}): {one_by_one}; Linux 4.18 is the first that does"),
        )
        .mend("uname -r"),
        RefusalCause::TooLong => {
            warning(check, format!("a train {way} is too long for {interface} ({error}): {one_by_one}"))
                .mend(format!("ip link set dev {interface} mtu {}", u32::from(DISTANT_BYTES) + HEADERS))
        }
        RefusalCause::Unreachable => fault(check, format!("nothing leaves {way}: {error}; a firewall, or no route"))
            .mend("nft list ruleset; ip route"),
        RefusalCause::Other => fault(check, format!("a train {way} was refused: {error}")),
    }
}

fn route(facts: &Facts) -> Finding {
    let to = facts.asked.to;
    match &facts.outgoing {
        Err(error) => fault("route", format!("no way to {to}: {error}")).mend(format!("ip route get {to}")),
        Ok(Outgoing { interface, mtu: Some(mtu), .. }) if *mtu < u32::from(DISTANT_BYTES) + HEADERS => warning(
            "route",
            format!("{to} is reached by {interface}, whose MTU is {mtu}: long lines are cut into fragments"),
        )
        .mend(format!("ip link set dev {interface} mtu {}", u32::from(DISTANT_BYTES) + HEADERS)),
        Ok(Outgoing { interface, mtu, .. }) => {
            let mtu = mtu.map_or(String::new(), |mtu| format!(", MTU {mtu}"));
            ok("route", format!("{to} is reached by {interface}{mtu}"))
        }
    }
}

/// The train that left the host, where one did: says what was sent.
fn distant(facts: &Facts) -> Option<Finding> {
    let to = facts.asked.to;
    let interface = facts.outgoing.as_ref().map_or("the interface", |way| way.interface.as_str());
    Some(match facts.distant_train.as_ref()? {
        Ok(()) => ok(
            "gso-route",
            format!(
                "a train towards {to} left: {DISTANT_SEGMENTS} datagrams of {DISTANT_BYTES} zeros to port {DISCARD_PORT} \
                 with one hop to live, so no router passes them on"
            ),
        ),
        Err(refusal) => refused("gso-route", &format!("towards {to}"), refusal, interface),
    })
}

fn qdisc(facts: &Facts) -> Finding {
    let Ok(Outgoing { interface, qdiscs, .. }) = &facts.outgoing else {
        return ok("qdisc", "no interface, no queue");
    };
    let Some(root) = qdiscs.iter().find(|qdisc| qdisc.is_root) else {
        return ok("qdisc", format!("the queue of {interface} is not known here"));
    };
    let has = |names: &[&str]| qdiscs.iter().find(|qdisc| names.contains(&qdisc.kind.as_str()));
    let says = format!("{} on {interface}", root.kind);
    let replace = format!("tc qdisc replace dev {interface} root");
    if has(&["noop"]).is_some() {
        return fault("qdisc", format!("{says} drops everything")).mend(format!("ip link set dev {interface} up"));
    }
    if let Some(shaping) = has(&SHAPING_QDISCS) {
        let says = format!("{says} ({}) holds traffic to a rate or loses it: meant for this host?", shaping.kind);
        return warning("qdisc", says).mend(format!("{replace} fq_codel"));
    }
    if has(&["fq"]).is_some() {
        // tc-fq(8): a flow is a socket, and the relay has one; more than
        // flow_limit packets of it (100) are dropped.
        let says =
            format!("{says} (fq) takes the relay's one socket for one flow and drops what is beyond 100 packets of it");
        return warning("qdisc", says).mend(if root.kind == "fq" {
            format!("{replace} fq limit 100000 flow_limit 100000")
        } else {
            format!("sysctl -w net.core.default_qdisc=fq_codel && {replace} {}", root.kind)
        });
    }
    let known = has(&PLAIN_QDISCS).is_some();
    ok("qdisc", if known { says } else { format!("{says}: nothing is known against it") })
}

fn conntrack(facts: &Facts) -> Finding {
    let Some(table) = facts.conntrack else { return ok("conntrack", "not loaded") };
    let Conntrack { count, max, tracks_us } = table;
    let is_full = count.saturating_mul(100) >= max.saturating_mul(CONNTRACK_FULL_PERCENT);
    let in_the_path = tracks_us.unwrap_or(count > 0);
    let says = format!("{count} of {max} entries");
    match (in_the_path, is_full) {
        (true, true) => fault("conntrack", format!("{says}: a full table drops what is new, joins first"))
            .mend(notrack(facts.asked.port)),
        (true, false) => {
            let sure = if tracks_us.is_some() { "every datagram is" } else { "it seems that datagrams are" };
            let few =
                if max < facts.asked.peers_max as u64 { "; each member is an entry, so there are too few" } else { "" };
            warning("conntrack", format!("{says}: {sure} looked up in the table{few}")).mend(notrack(facts.asked.port))
        }
        (false, _) => ok("conntrack", format!("loaded, and not in the path ({says})")),
    }
}

/// Rules that keep the relay's port out of the table (nft(8)).
fn notrack(port: u16) -> String {
    format!(
        "nft 'table inet outcry {{ chain in {{ type filter hook prerouting priority raw; udp dport {port} notrack; }} \
         chain out {{ type filter hook output priority raw; udp sport {port} notrack; }} }}'"
    )
}

fn clock(facts: &Facts) -> Finding {
    let Some(clock) = &facts.clock else { return ok("clock", "its source is not known here") };
    if FAST_CLOCKS.contains(&clock.current.as_str()) {
        return ok("clock", clock.current.clone());
    }
    let slow =
        warning("clock", format!("{} is slow to read: the relay looks at it several times a turn", clock.current));
    match clock.available.iter().find(|name| FAST_CLOCKS.contains(&name.as_str())) {
        Some(fast) => {
            slow.mend(format!("echo {fast} > /sys/devices/system/clocksource/clocksource0/current_clocksource"))
        }
        None => slow,
    }
}
