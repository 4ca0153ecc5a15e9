//! The table of errors, row by row, for single datagrams.

use super::script::{Script, Turn, at, peer};
use crate::batch::{Inbox, Item, SendDrop};
use crate::net::egress::Flushed;
use crate::net::kernel::{Kernel, QueuedError};
use std::io;

const MEMBERS: usize = 10;

/// Fails the first `times` tries for member 3.
fn failing(errno: i32, mut times: usize) -> impl FnMut(&Item) -> Option<i32> {
    move |item| {
        let fails = item.to.remote == peer(3) && times > 0;
        times -= usize::from(fails);
        fails.then_some(errno)
    }
}

/// Member 3 fails `times` times with `errno`; everyone else must get the
/// message. Returns the turn and what the kernel saw.
fn flush_with(errno: i32, times: usize) -> (Turn, Script<'static>) {
    let mut kernel = Script::new(failing(errno, times));
    let mut turn = Turn::with(MEMBERS, &[b"hello"]);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
    assert!(turn.tally.balances(), "{:?}", turn.tally);
    for index in (0..MEMBERS).filter(|&index| index != 3) {
        assert_eq!(kernel.heard_by(peer(index)), [b"hello"], "errno {errno}, member {index}");
    }
    (turn, kernel)
}

fn assert_survives(errno: i32, times: usize) {
    let (turn, kernel) = flush_with(errno, times);
    assert_eq!(kernel.heard_by(peer(3)), [b"hello"], "errno {errno}");
    assert_eq!(turn.tally.dropped_total(), 0);
}

fn assert_dropped(errno: i32, times: usize, cause: SendDrop) {
    let (turn, kernel) = flush_with(errno, times);
    assert!(kernel.heard_by(peer(3)).is_empty(), "errno {errno}");
    assert_eq!((turn.dropped(cause), turn.tally.dropped_total()), (1, 1), "errno {errno}");
    assert!(kernel.calls < 64, "errno {errno}: {} calls", kernel.calls);
}

#[test]
fn eagain_blocks_and_goes_on_where_it_stopped() {
    let mut kernel = Script::new(failing(libc::EAGAIN, 3));
    let mut turn = Turn::with(MEMBERS, &[b"hello"]);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Blocked);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Blocked);
    assert!(!turn.tally.balances() && turn.outbox.is_flushing());
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
    assert_eq!(kernel.delivered.len(), MEMBERS);
    assert_eq!((turn.tally.sent, turn.tally.offered), (MEMBERS as u64, MEMBERS as u64));
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done, "a flush too many does nothing");
    assert_eq!(kernel.delivered.len(), MEMBERS);
}

#[test]
fn past_its_deadline_a_blocked_flush_is_dropped_and_counted() {
    let mut kernel = Script::new(failing(libc::EAGAIN, usize::MAX));
    let mut turn = Turn::with(3000, &[b"hello", b"longer"]);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Blocked);
    turn.abandon();
    assert!(turn.tally.balances(), "{:?}", turn.tally);
    assert_eq!(
        (turn.tally.sent, turn.dropped(SendDrop::Blocked)),
        (kernel.delivered.len() as u64, 6000 - turn.tally.sent)
    );
    turn.outbox.clear();

    let mut kernel = Script::new(|_| None);
    turn.run(&mut kernel, at(1), &[b"next"]);
    assert_eq!(kernel.delivered.len(), 3000, "nothing old is left behind");
    assert!(kernel.delivered.iter().all(|(_, bytes)| bytes == b"next"));
}

#[test]
fn abandoning_an_outbox_that_was_never_flushed_counts_it_too() {
    let mut turn = Turn::with(MEMBERS, &[b"hello"]);
    turn.abandon();
    assert_eq!((turn.tally.offered, turn.dropped(SendDrop::Blocked)), (10, 10));
}

#[test]
fn enobufs_is_tried_again_a_little() {
    // sendmmsg swallows the first one: it stops there and says how many went.
    assert_survives(libc::ENOBUFS, 4);
    assert_dropped(libc::ENOBUFS, usize::MAX, SendDrop::NoBuffers);
}

#[test]
fn enobufs_for_all_does_not_hold_the_loop() {
    let mut kernel = Script::new(|_| Some(libc::ENOBUFS));
    let mut turn = Turn::with(2000, &[b"hello"]);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
    assert_eq!(turn.dropped(SendDrop::NoBuffers), 2000);
    assert_eq!(kernel.calls, 2000 + 64);
}

#[test]
fn eintr_is_tried_again() {
    assert_survives(libc::EINTR, 20);
    assert_dropped(libc::EINTR, usize::MAX, SendDrop::Other);
}

#[test]
fn an_unreachable_peer_is_tried_once_more_then_skipped() {
    for errno in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EHOSTDOWN, libc::EPERM] {
        assert_survives(errno, 2);
        let (_, kernel) = flush_with(errno, usize::MAX);
        assert_eq!(kernel.calls, 4, "to it, it, it again, behind it");
        assert_dropped(errno, usize::MAX, SendDrop::Unreachable);
    }
}

#[test]
fn what_the_kernel_never_takes_is_skipped() {
    for errno in [libc::EMSGSIZE, libc::EACCES, libc::EINVAL, libc::EAFNOSUPPORT] {
        assert_dropped(errno, usize::MAX, SendDrop::Refused);
        let (_, kernel) = flush_with(errno, usize::MAX);
        assert_eq!(kernel.calls, 3, "to it, it, behind it");
    }
    for errno in [libc::EIO, libc::ENOMEM, libc::EOPNOTSUPP, libc::EBADF, 9999] {
        assert_dropped(errno, usize::MAX, SendDrop::Other);
    }
}

#[test]
fn another_peers_icmp_is_not_blamed_on_the_next_one() {
    for errno in [libc::ECONNREFUSED, libc::EMSGSIZE, libc::EACCES, libc::EPROTO] {
        let mut kernel = Script::new(failing(errno, 5));
        kernel.new_error = Some(QueuedError::Unreachable(peer(7)));
        let mut turn = Turn::with(4, &[b"hello"]);
        assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
        assert_eq!((turn.tally.sent, turn.tally.dropped_total()), (4, 0), "errno {errno}");
        assert_eq!(turn.egress.unreachable().pop(), Some(peer(7)));
    }
}

#[test]
fn endless_icmp_ends_in_a_drop() {
    let mut kernel = Script::new(failing(libc::ECONNREFUSED, usize::MAX));
    kernel.new_error = Some(QueuedError::Unreachable(peer(7)));
    let mut turn = Turn::with(4, &[b"hello"]);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
    assert_eq!((turn.tally.sent, turn.dropped(SendDrop::Unreachable)), (3, 1));
}

#[test]
fn errors_of_our_own_are_not_taken_for_icmp() {
    let mut kernel = Script::new(failing(libc::EMSGSIZE, usize::MAX));
    kernel.errors.extend([QueuedError::Local; 8]);
    let mut turn = Turn::with(MEMBERS, &[b"hello"]);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
    assert_eq!((turn.dropped(SendDrop::Refused), kernel.calls), (1, 3));
}

#[test]
fn a_kernel_that_takes_nothing_does_not_loop() {
    let mut kernel = Script::new(|_| None);
    kernel.takes_nothing = true;
    let mut turn = Turn::with(MEMBERS, &[b"hello"]);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
    assert_eq!((kernel.calls, turn.dropped(SendDrop::Other)), (MEMBERS, MEMBERS as u64));
}

#[test]
fn an_endless_error_queue_does_not_hold_the_loop() {
    struct Flood(usize);
    impl Kernel for Flood {
        fn sends_trains(&self) -> bool {
            true
        }
        fn receive(&mut self, _: &mut Inbox) -> io::Result<()> {
            Err(io::ErrorKind::WouldBlock.into())
        }
        fn send(&mut self, _: &[u8], items: &[Item]) -> io::Result<usize> {
            Ok(items.len())
        }
        fn next_error(&mut self) -> QueuedError {
            self.0 += 1;
            QueuedError::Unreachable(peer(self.0))
        }
    }
    let mut turn = Turn::new(1);
    turn.egress.unreachable().drain(&mut Flood(0));
    assert!(turn.egress.unreachable_overflowed() > 0);
}

#[test]
fn one_bad_item_in_thousands_costs_few_calls() {
    let mut kernel = Script::new(|item: &Item| (item.to.remote == peer(1500)).then_some(libc::EINVAL));
    let mut turn = Turn::with(3000, &[b"hello"]);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
    assert_eq!((kernel.delivered.len(), turn.dropped(SendDrop::Refused)), (2999, 1));
    assert!(kernel.calls <= 3 + 2 + 5, "{} calls", kernel.calls);
}

#[test]
fn thousands_of_bad_items_are_not_offered_over_and_over() {
    let mut odd = false;
    let mut kernel = Script::new(move |_| {
        odd = !odd;
        odd.then_some(libc::EINVAL)
    });
    let mut turn = Turn::with(2000, &[b"hello"]);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
    assert!(kernel.offered <= kernel.calls * 32 + 1024, "{} in {} calls", kernel.offered, kernel.calls);
}
