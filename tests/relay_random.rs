//! Random lives of a relay with few addresses and adversarial texts. After
//! every turn: each line reached exactly those who were there, in its
//! sender's order, and nobody else was sent anything but its due; names are
//! unique, the books and the views agree, and nothing panics.

mod support;

use outcry::config::{Lang, Limits, PlainPolicy};
use outcry::relay::{Command, Event, Target};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;
use support::{Bench, OWN, Sent, addr};

/// Who sends: two hosts, and two addresses that no peer can have.
const ADDRESSES: [&str; 9] = [
    "127.0.0.1:1",
    "127.0.0.1:2",
    "127.0.0.1:3",
    "127.0.0.1:4",
    "127.0.0.2:1",
    "127.0.0.2:2",
    "[2001:db8::1]:1",
    OWN,
    "127.0.0.1:0",
];

/// What is sent; `N` becomes a number that occurs once.
const TEXTS: [&str; 24] = [
    "bob",
    "bob\r\n",
    "bob#2",
    "guest",
    "N",
    "明明明明明明明明明明明明明明明明明明明明明",
    "bob : N",
    "bob : N, which is longer",
    "alice : the exit is over there N",
    " : N",
    "a : : N",
    "a :",
    "ok",
    "bob joined",
    "exit",
    "bob : EXIT\n",
    "",
    " \n",
    "[relay] N",
    "N\n[relay] N",
    "\u{1b}[2J",
    "\u{85}",
    "[relay] send K7M2Q9XD to join",
    "guest, bob and 8 more joined",
];

#[derive(Clone, Debug)]
enum Said {
    Text(usize),
    /// So many bytes of one letter.
    Long(usize),
    Bytes(Vec<u8>),
    /// The code that it was told last, alone or behind a name.
    Code(bool),
    /// What it was sent last.
    Echo,
    /// More than a receive slot holds.
    Cut,
}

#[derive(Clone, Debug)]
enum Step {
    /// Datagrams of one turn.
    Turn(Vec<(usize, Said)>),
    Unreachable(usize),
    Say(usize),
    To(usize),
    KickAddress(usize),
    KickName(usize),
    /// Another relay takes over.
    TakeOver,
    Wait(u64),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        12 => (0..TEXTS.len()).prop_map(Said::Text),
        1 => prop_oneof![Just(64usize), Just(65), Just(1024), Just(1025), Just(2048)].prop_map(Said::Long),
        1 => proptest::collection::vec(any::<u8>(), 0..80).prop_map(Said::Bytes),
        2 => any::<bool>().prop_map(Said::Code),
        4 => Just(Said::Echo),
        1 => Just(Said::Cut),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let datagram = || (0..ADDRESSES.len(), said());
    prop_oneof![
        12 => proptest::collection::vec(datagram(), 1..12).prop_map(Step::Turn),
        1 => proptest::collection::vec(datagram(), 256).prop_map(Step::Turn),
        2 => (0..ADDRESSES.len()).prop_map(Step::Unreachable),
        1 => prop_oneof![Just(0usize), Just(5), Just(1016), Just(1024), Just(1025)].prop_map(Step::Say),
        1 => (0..ADDRESSES.len()).prop_map(Step::To),
        1 => (0..ADDRESSES.len()).prop_map(Step::KickAddress),
        1 => (0..TEXTS.len()).prop_map(Step::KickName),
        1 => Just(Step::TakeOver),
        3 => prop_oneof![0u64..3_000, 0u64..200_000].prop_map(Step::Wait),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let plain =
        prop_oneof![3 => Just(PlainPolicy::Open), 2 => Just(PlainPolicy::Challenge), 1 => Just(PlainPolicy::Off)];
    let idle_ms = prop_oneof![Just(0u64), Just(1_000), Just(60_000), Just(61_000), Just(300_000)];
    let rare = |limit: u32| prop_oneof![2 => Just(0), 1 => Just(limit)];
    let rates = (rare(2), rare(100), rare(2), rare(3), rare(2), prop_oneof![Just(0u32), Just(1), Just(10)], rare(10));
    (plain, idle_ms, rates, 1u32..8, any::<bool>(), any::<bool>()).prop_map(
        |(plain, idle_ms, rates, peers_max, mirror_guard, console)| Limits {
            plain,
            lang: Lang::En,
            peers_max,
            idle_ms,
            msgs_per_s: rates.0,
            bytes_per_s: rates.1,
            joins_per_s_prefix: rates.2,
            joins_per_s_total: rates.3,
            prefix_peers_max: rates.4,
            notices_per_s: rates.5,
            notice_copies_per_s: rates.6,
            mirror_guard,
            console,
            sessions_max: 64,
            ..Limits::for_bind(addr(OWN))
        },
    )
}

/// A relay, and what must be true of it.
struct World {
    bench: Bench,
    limits: Limits,
    serial: usize,
    codes: HashMap<SocketAddr, String>,
    last_heard: HashMap<SocketAddr, Vec<u8>>,
    /// Who is here, by the relay's events.
    here: HashMap<SocketAddr, String>,
    events_seen: usize,
    turn: Turn,
}

/// What one turn must lead to.
#[derive(Default)]
struct Turn {
    /// Lines by receiver and sender, in order.
    owed: HashMap<SocketAddr, HashMap<SocketAddr, Vec<Vec<u8>>>>,
    members: HashSet<SocketAddr>,
    strangers: HashSet<SocketAddr>,
    raw: Option<(SocketAddr, Vec<u8>)>,
}

impl World {
    fn new(limits: &Limits) -> Self {
        Self {
            bench: Bench::new(limits),
            limits: limits.clone(),
            serial: 0,
            codes: HashMap::new(),
            last_heard: HashMap::new(),
            here: HashMap::new(),
            events_seen: 0,
            turn: Turn::default(),
        }
    }

    fn members(&self) -> impl Iterator<Item = SocketAddr> {
        self.bench.relay.roster().paths().iter().map(|path| path.remote)
    }

    fn step(&mut self, step: &Step) {
        self.turn = Turn { members: self.members().collect(), ..Turn::default() };
        match step {
            Step::Turn(datagrams) => {
                datagrams.iter().for_each(|(from, said)| self.hear(addr(ADDRESSES[*from]), said));
                self.end_turn();
            }
            Step::Unreachable(of) => {
                self.bench.take_unreachable(addr(ADDRESSES[*of]));
                self.end_turn();
            }
            Step::Say(len) => self.command(Command::Say("s".repeat(*len))),
            Step::To(to) => self.command(Command::To(Target::Address(addr(ADDRESSES[*to])), "psst".into())),
            Step::KickAddress(of) => self.command(Command::Kick(Target::Address(addr(ADDRESSES[*of])))),
            Step::KickName(text) => self.command(Command::Kick(Target::Name(TEXTS[*text].into()))),
            Step::TakeOver => self.bench.split(&self.limits),
            Step::Wait(ms) => self.wait(Duration::from_millis(*ms)),
        }
    }

    fn hear(&mut self, from: SocketAddr, said: &Said) {
        let bytes = self.bytes(from, said);
        let before = self.bench.relay.counters().relayed;
        if matches!(said, Said::Cut) {
            self.bench.take_truncated(from);
        } else {
            self.bench.take(from, &bytes);
        }
        let relayed = self.bench.relay.counters().relayed - before;
        let members: Vec<_> = self.members().collect();
        for _ in 0..relayed {
            assert!(members.contains(&from), "only a member is relayed");
            for to in members.iter().filter(|to| **to != from) {
                self.turn.owed.entry(*to).or_default().entry(from).or_default().push(bytes.clone());
            }
        }
        self.turn.members.extend(members);
        self.turn.strangers.insert(from);
    }

    fn bytes(&mut self, from: SocketAddr, said: &Said) -> Vec<u8> {
        self.serial += 1;
        match said {
            Said::Text(text) => TEXTS[*text].replace('N', &self.serial.to_string()).into_bytes(),
            Said::Long(len) => vec![b'x'; *len],
            Said::Bytes(bytes) => bytes.clone(),
            Said::Code(named) => {
                let code = self.codes.get(&from).map_or("ABCDEFGH", String::as_str);
                if *named { format!("bob : {code}").into_bytes() } else { code.to_lowercase().into_bytes() }
            }
            Said::Echo => self.last_heard.get(&from).cloned().unwrap_or_default(),
            Said::Cut => vec![b'x'; 3000],
        }
    }

    fn command(&mut self, command: Command) {
        let raw = match &command {
            Command::Say(line) | Command::To(_, line) => line.clone().into_bytes(),
            _ => Vec::new(),
        };
        let (outcome, sent) = self.bench.command(command);
        if let outcry::relay::Outcome::SentTo(to) = outcome {
            self.turn.raw = Some((to, raw));
        }
        self.check(&sent);
    }

    fn wait(&mut self, span: Duration) {
        let sent = self.bench.run(span);
        self.check(&sent);
    }

    fn end_turn(&mut self) {
        let sent = self.bench.flush();
        self.check(&sent);
    }

    fn check(&mut self, sent: &[Sent]) {
        self.check_views();
        let mut heard: HashMap<SocketAddr, Vec<&[u8]>> = HashMap::new();
        sent.iter().for_each(|Sent { to, bytes }| heard.entry(*to).or_default().push(bytes));
        for (to, by_sender) in &self.turn.owed {
            let heard = heard.entry(*to).or_default();
            for lines in by_sender.values() {
                let mut order = heard.iter();
                assert!(lines.iter().all(|line| order.any(|heard| heard == line)), "{to}: lost or out of order");
            }
            for line in by_sender.values().flatten() {
                let at = heard.iter().position(|heard| heard == line).expect("each copy is another datagram");
                heard.remove(at);
            }
        }
        heard.iter().for_each(|(to, rest)| rest.iter().for_each(|bytes| self.check_own(*to, bytes)));
        for Sent { to, bytes } in sent {
            assert!((1..=1024).contains(&bytes.len()));
            self.last_heard.insert(*to, bytes.clone());
            let code = std::str::from_utf8(bytes).ok().and_then(outcry::wire::plain::challenge_code);
            code.map(|code| self.codes.insert(*to, code.to_owned()));
        }
    }

    /// What is no line of another was the relay's own, or its operator's.
    fn check_own(&self, to: SocketAddr, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("the relay speaks UTF-8");
        let raw = self.turn.raw.as_ref().is_some_and(|(of, line)| *of == to && line == bytes);
        let answer =
            text.starts_with("[relay] ") && (self.turn.members.contains(&to) || self.turn.strangers.contains(&to));
        let notice = (text.ends_with(" joined") || text.ends_with(" left")) && self.turn.members.contains(&to);
        assert!(raw || answer || notice, "{to} was sent {text:?}");
    }

    fn check_views(&mut self) {
        for event in &self.bench.events[self.events_seen..] {
            match event {
                Event::Joined { remote, name, .. } => assert_eq!(self.here.insert(*remote, name.to_string()), None),
                Event::Left { remote, name, .. } => assert_eq!(self.here.remove(remote).as_deref(), Some(&**name)),
                Event::Muted { remote, .. } => assert!(self.here.contains_key(remote), "who is muted is here"),
                Event::Moved { .. } | Event::Renamed { .. } | Event::Restored { .. } | Event::Heard { .. } => {}
            }
        }
        self.events_seen = self.bench.events.len();
        let (relay, counters) = (&self.bench.relay, self.bench.relay.counters());
        let members: HashSet<_> = self.members().collect();
        assert_eq!(members, self.here.keys().copied().collect());
        assert_eq!((relay.members(), relay.roster().len()), (members.len(), members.len()));
        assert_eq!(counters.joined - counters.left_total(), members.len() as u64);
        assert_eq!(self.here.values().collect::<HashSet<_>>().len(), members.len(), "names are unique");
        let changes = counters.notices_told + counters.notices_suppressed;
        assert!(changes <= counters.joined + counters.left_total());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_copy_is_due_and_every_due_copy_is_sent(
        limits in limits(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(&limits);
        steps.iter().for_each(|step| world.step(step));
        world.step(&Step::Wait(700_000));
        let counters = world.bench.relay.counters();
        let changes = counters.notices_told + counters.notices_suppressed;
        assert_eq!(changes, counters.joined + counters.left_total(), "each change was told or counted as not");
    }
}
