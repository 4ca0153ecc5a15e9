//! T25: trains that are refused are sent again plain, at once; nothing is
//! lost; and trains stay off exactly where and as long as they should.

use super::script::{Script, Turn, at, peer};
use crate::batch::{Item, SendDrop};
use crate::net::egress::{Egress, Flushed};

const LINES: [&[u8]; 4] = [b"one.", b"two.", b"tree", b"four"];

fn is_train(item: &Item) -> bool {
    item.segments > 1
}

/// Each member heard each line once, in order.
fn assert_all_heard(kernel: &Script<'_>, members: usize) {
    for index in 0..members {
        assert_eq!(kernel.heard_by(peer(index)), LINES, "member {index}");
    }
}

#[test]
fn a_train_is_one_item() {
    let mut kernel = Script::new(|_| None);
    let mut turn = Turn::with(5, &LINES);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Done);
    assert_eq!((kernel.calls, kernel.taken), (1, vec![4; 5]));
    assert_eq!((turn.tally.sent, turn.tally.trains_refused), (20, 0));
}

#[test]
fn a_device_without_trains_turns_them_off_for_all() {
    for errno in [libc::EIO, libc::EINVAL] {
        let mut kernel = Script::new(|item: &Item| is_train(item).then_some(errno));
        let mut turn = Turn::new(2000);
        turn.run(&mut kernel, at(10), &LINES);
        assert_all_heard(&kernel, 2000);
        assert_eq!((turn.tally.sent, turn.tally.trains_refused), (8000, 1), "errno {errno}");
        assert!(kernel.calls <= 2 + 9 + 5, "{} calls", kernel.calls);

        let mut silent = Script::new(|item: &Item| is_train(item).then(|| panic!("trains are off")));
        turn.run(&mut silent, at(69), &LINES);
        assert_all_heard(&silent, 2000);

        let mut again = Script::new(|_| None);
        turn.run(&mut again, at(70), &LINES);
        assert_eq!(again.taken, vec![4; 2000], "tried again after 60 s");

        let mut still = Script::new(|item: &Item| is_train(item).then_some(errno));
        turn.run(&mut still, at(71), &LINES);
        assert_all_heard(&still, 2000);
        assert_eq!(turn.tally.trains_refused, 2);
    }
}

#[test]
fn a_long_path_turns_trains_off_for_its_destination() {
    let long = |item: &Item| (is_train(item) && item.to.remote == peer(3)).then_some(libc::EMSGSIZE);
    let mut kernel = Script::new(long);
    let mut turn = Turn::new(8);
    turn.run(&mut kernel, at(10), &LINES);
    assert_all_heard(&kernel, 8);
    assert_eq!(kernel.taken.iter().filter(|&&segments| segments == 4).count(), 7);
    assert_eq!(turn.tally.trains_refused, 1);

    let mut silent = Script::new(|item| long(item).map(|_| panic!("trains are off for it")));
    turn.run(&mut silent, at(69), &LINES);
    assert_all_heard(&silent, 8);
    assert_eq!((silent.calls, silent.taken.len()), (1, 7 + 4));

    let mut again = Script::new(|_| None);
    turn.run(&mut again, at(70), &LINES);
    assert_eq!(again.taken, vec![4; 8]);
}

#[test]
fn a_bad_destination_does_not_turn_trains_off_for_the_good() {
    for errno in [libc::EIO, libc::EINVAL] {
        let bad = |item: &Item| (item.to.remote == peer(3)).then_some(errno);
        let mut kernel = Script::new(bad);
        let mut turn = Turn::new(8);
        for _ in 0..2 {
            turn.run(&mut kernel, at(10), &LINES);
        }
        assert_eq!(kernel.taken, vec![4; 14], "errno {errno}");
        let cause = if errno == libc::EIO { SendDrop::Other } else { SendDrop::Refused };
        assert_eq!((turn.tally.sent, turn.dropped(cause)), (56, 8));
    }
}

#[test]
fn a_partly_bad_train_proves_nothing() {
    // Of the messages sent again, one fails: that is not the train's fault.
    let mut plain = 0;
    let mut kernel = Script::new(|item: &Item| {
        plain += usize::from(!is_train(item));
        (is_train(item) || plain == 2 || plain == 3).then_some(libc::EINVAL)
    });
    let mut turn = Turn::new(1);
    turn.run(&mut kernel, at(0), &LINES);
    assert_eq!((turn.tally.sent, turn.dropped(SendDrop::Refused)), (3, 1));
    let mut kernel = Script::new(|_| None);
    turn.run(&mut kernel, at(1), &LINES);
    assert_eq!(kernel.taken, [4]);
}

#[test]
fn a_resend_may_block_and_goes_on() {
    let mut plain = 0;
    let mut kernel = Script::new(|item: &Item| {
        plain += usize::from(!is_train(item));
        if is_train(item) { Some(libc::EIO) } else { (plain % 3 == 1).then_some(libc::EAGAIN) }
    });
    let mut turn = Turn::with(3, &LINES);
    let mut blocked = 0;
    while turn.flush(&mut kernel, at(0)) == Flushed::Blocked {
        blocked += 1;
    }
    assert!(blocked > 1);
    assert_all_heard(&kernel, 3);
    assert!(turn.tally.balances() && turn.tally.trains_refused == 1);
}

#[test]
fn an_abandoned_resend_is_counted_and_forgotten() {
    let mut kernel = Script::new(|item: &Item| Some(if is_train(item) { libc::EIO } else { libc::EAGAIN }));
    let mut turn = Turn::with(3, &LINES);
    assert_eq!(turn.flush(&mut kernel, at(0)), Flushed::Blocked);
    turn.abandon();
    assert_eq!((turn.tally.balances(), turn.dropped(SendDrop::Blocked)), (true, 12));
    turn.outbox.clear();
    let mut kernel = Script::new(|_| None);
    turn.run(&mut kernel, at(1), &LINES);
    assert_eq!(kernel.taken, [4; 3], "it was never proven that the train was at fault");
}

#[test]
fn without_support_no_train_is_ever_tried() {
    let mut kernel = Script::new(|item: &Item| is_train(item).then(|| panic!("no trains")));
    let mut turn = Turn::with(600, &LINES);
    turn.egress = Egress::new(false);
    assert_eq!(turn.flush(&mut kernel, at(1000)), Flushed::Done);
    assert_all_heard(&kernel, 600);
    assert_eq!(kernel.calls, 3, "2400 datagrams, 1024 a call");
}
