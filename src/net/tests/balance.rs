//! Whatever the kernel answers: every copy is sent once or counted as dropped,
//! and the flush ends.

use super::script::{Script, Turn, at, peer};
use crate::batch::{Item, MemberIndex, Path};
use crate::net::egress::Flushed;
use crate::net::kernel::QueuedError;
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};

const ERRNOS: [i32; 13] = [
    libc::EAGAIN,
    libc::ENOBUFS,
    libc::EINTR,
    libc::ECONNREFUSED,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
    libc::EHOSTDOWN,
    libc::EPERM,
    libc::EMSGSIZE,
    libc::EACCES,
    libc::EINVAL,
    libc::EIO,
    libc::EPROTO,
];

/// What the kernel says to the items it looks at, in order; then yes to all.
fn answers() -> impl Strategy<Value = VecDeque<Option<i32>>> {
    let answer = prop_oneof![
        3 => Just(None),
        1 => proptest::sample::select(&ERRNOS[..]).prop_map(Some),
    ];
    proptest::collection::vec(answer, 0..200).prop_map(VecDeque::from)
}

#[derive(Clone, Debug)]
struct Plan {
    members: usize,
    /// Who says it (beyond the members: a notice), and its length.
    lines: Vec<(usize, usize)>,
    unicasts: usize,
    answers: VecDeque<Option<i32>>,
    /// Members to whom every train is refused.
    no_trains_below: usize,
    icmp: usize,
    patience: usize,
    now: u64,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let line = (0usize..60, prop_oneof![Just(20usize), Just(20), 8usize..40]);
    let lines = proptest::collection::vec(line, 0..30);
    let plan = (1usize..50, lines, 0usize..5, answers(), 0usize..10, 0usize..6, 0usize..6, 0u64..100);
    let plan = plan.prop_map(|(members, lines, unicasts, answers, no_trains_below, icmp, patience, now)| Plan {
        members,
        lines,
        unicasts,
        answers,
        no_trains_below,
        icmp,
        patience,
        now,
    });
    proptest::collection::vec(plan, 1..4)
}

/// Bytes that occur once in a turn.
fn line(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = format!("{number:08}").into_bytes();
    bytes.resize(len.max(8), b'.');
    bytes
}

/// Records the plan's turn. Returns who must hear each datagram at most once.
fn record(turn: &mut Turn, plan: &Plan) -> u64 {
    let mut copies = 0;
    for (number, &(speaker, len)) in plan.lines.iter().enumerate() {
        let bytes = line(number, len);
        if speaker < plan.members {
            turn.outbox.say(MemberIndex(speaker as u32), Path::to(peer(speaker)), &bytes);
            copies += plan.members - 1;
        } else {
            turn.outbox.announce(None, &bytes);
            copies += plan.members;
        }
    }
    for number in 0..plan.unicasts {
        turn.outbox.unicast(Path::to(peer(number)), &line(1000 + number, 12));
    }
    (copies + plan.unicasts) as u64
}

fn flush_or_abandon(turn: &mut Turn, kernel: &mut Script<'_>, plan: &Plan) -> usize {
    for round in 0..=plan.patience {
        if turn.flush(kernel, at(plan.now)) == Flushed::Done {
            return round;
        }
    }
    turn.abandon();
    plan.patience
}

fn check(turn: &Turn, kernel: &Script<'_>, plan: &Plan, offered: u64) {
    assert!(turn.tally.balances(), "{:?}", turn.tally);
    assert_eq!((turn.tally.offered, turn.tally.sent), (offered, kernel.delivered.len() as u64));
    let mut seen = HashMap::new();
    for copy in &kernel.delivered {
        *seen.entry(copy).or_insert(0) += 1;
    }
    assert!(seen.values().all(|&times| times == 1), "nothing is sent twice");
    for ((to, bytes), _) in seen {
        let number: usize = std::str::from_utf8(&bytes[..8]).unwrap().parse().unwrap();
        if let Some(&(speaker, len)) = plan.lines.get(number) {
            assert_eq!(bytes, &line(number, len));
            assert!(speaker >= plan.members || peer(speaker) != *to, "nobody hears itself");
        }
    }
    // Each answer costs a call or two, and each destination at most its own train's.
    let most = 200 * 40 + plan.members * plan.lines.len() * 40 + 100;
    assert!(kernel.calls <= most, "{} calls", kernel.calls);
}

proptest! {
    #[test]
    fn every_copy_is_sent_once_or_counted(plans in plans()) {
        let members = plans[0].members;
        let mut turn = Turn::new(members);
        for mut plan in plans {
            plan.members = members;
            turn.tally = Default::default();
            let offered = record(&mut turn, &plan);
            let (mut answers, below) = (plan.answers.clone(), plan.no_trains_below);
            let mut kernel = Script::new(move |item: &Item| {
                let refused = item.segments > 1 && (0..below).any(|index| item.to.remote == peer(index));
                answers.pop_front().unwrap_or(None).or(refused.then_some(libc::EMSGSIZE))
            });
            kernel.errors.extend((0..plan.icmp).map(|index| QueuedError::Unreachable(peer(index))));
            flush_or_abandon(&mut turn, &mut kernel, &plan);
            check(&turn, &kernel, &plan, offered);
            turn.outbox.clear();
        }
    }

    #[test]
    fn a_kernel_that_only_fails_ends_too(errno in proptest::sample::select(&ERRNOS[..]), members in 1usize..300) {
        let mut turn = Turn::with(members, &[b"one.", b"two.", b"longer"]);
        let mut kernel = Script::new(|_| Some(errno));
        let flushed = turn.flush(&mut kernel, at(0));
        prop_assert_eq!(flushed == Flushed::Blocked, errno == libc::EAGAIN);
        turn.abandon();
        prop_assert!(turn.tally.balances());
        prop_assert_eq!((turn.tally.sent, turn.tally.offered), (0, members as u64 * 3));
    }
}
