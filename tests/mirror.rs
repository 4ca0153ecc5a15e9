//! The mirror guard's row: which datagram is the one too many, what counts it,
//! and what the address gets afterwards.

mod support;

use outcry::config::MIRROR_RUN;
use outcry::metrics::{DropReason, LeaveReason};
use std::time::Duration;
use support::{Bench, peer};

/// Alice says `lines` lines, never one twice, and the mirror, member 2, sends each one back.
fn mirrored(bench: &mut Bench, lines: u8) {
    for _ in 0..lines {
        let line = format!("alice : line {}", bench.relay.counters().datagrams_in);
        bench.hear(peer(1), line.as_bytes());
        bench.hear(peer(2), line.as_bytes());
    }
}

fn room() -> Bench {
    let mut bench = Bench::with(|_| {});
    bench.hear(peer(1), b"alice");
    bench.hear(peer(2), b"mirror");
    bench
}

#[test]
fn the_last_of_a_run_is_counted_as_a_mirrors_and_its_sender_is_out() {
    let mut bench = room();
    mirrored(&mut bench, MIRROR_RUN - 1);
    assert_eq!((bench.relay.members(), bench.relay.counters().dropped(DropReason::Mirror)), (2, 0));
    mirrored(&mut bench, 1);
    let counters = bench.relay.counters();
    assert_eq!((counters.dropped(DropReason::Mirror), counters.left(LeaveReason::Mirror)), (1, 1));
    assert_eq!(bench.relay.members(), 1);

    bench.hear(peer(2), b"mirror");
    assert_eq!(bench.relay.counters().dropped(DropReason::RefusedAddress), 1);
    bench.wait(Duration::from_secs(60));
    bench.hear(peer(2), b"mirror");
    assert_eq!(bench.relay.members(), 2);
}

#[test]
fn one_line_of_its_own_clears_a_member() {
    let mut bench = room();
    for _ in 0..3 {
        mirrored(&mut bench, MIRROR_RUN - 1);
        bench.hear(peer(2), b"mirror : my own");
    }
    assert_eq!(bench.relay.counters().dropped(DropReason::Mirror), 0);
}
