//! T9: whatever a turn holds, each member gets each message of the others
//! once, whole, and in the order in which its sender said it; equal lengths
//! travel as trains.

use outcry::batch::{Item, MemberIndex, Outbox, Path, Roster, SendTally};
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::SocketAddr;

const DATAGRAMS: usize = 64;

fn path(member: usize) -> Path {
    Path::to(SocketAddr::from(([127, 0, 0, 1], 1000 + u16::try_from(member).expect("few members"))))
}

fn roster(members: usize) -> Roster {
    let mut roster = Roster::new(members + 1);
    for member in 0..members {
        roster.push(path(member));
    }
    roster
}

fn index(member: usize) -> MemberIndex {
    MemberIndex(u32::try_from(member).expect("few members"))
}

/// Message `number` of `sender`: it says so itself, padded to `len` bytes.
fn message(sender: usize, number: usize, len: usize) -> Vec<u8> {
    format!("{sender:02}/{number:03}/{}", "x".repeat(len)).into_bytes()
}

fn sender_and_number(bytes: &[u8]) -> (usize, usize) {
    let text = std::str::from_utf8(bytes).expect("text");
    (text[0..2].parse().expect("a sender"), text[3..6].parse().expect("a number"))
}

/// All items of a turn, through a buffer as small as may be.
fn items(outbox: &mut Outbox, roster: &Roster, tally: &mut SendTally) -> Vec<Item> {
    let (mut all, mut some) = (Vec::new(), Vec::with_capacity(65));
    outbox.begin(roster, tally);
    while {
        let more = outbox.fill(roster, &mut some);
        all.append(&mut some);
        more
    } {}
    all
}

proptest! {
    #[test]
    fn everyone_gets_the_others_messages_once_and_in_order(
        members in 1usize..20,
        turns in proptest::collection::vec(
            proptest::collection::vec((0usize..20, prop_oneof![Just(50usize), Just(60), 0usize..1000]), 0..DATAGRAMS),
            1..4,
        ),
    ) {
        let roster = roster(members);
        let mut outbox = Outbox::new(DATAGRAMS, 1024);
        for said in turns {
            let said: Vec<_> = said.into_iter().map(|(sender, len)| (sender % members, len)).collect();
            let mut tally = SendTally::default();
            let mut expected: HashMap<SocketAddr, Vec<Vec<u8>>> = HashMap::new();
            for (number, &(sender, len)) in said.iter().enumerate() {
                let bytes = message(sender, number, len);
                outbox.say(index(sender), path(sender), &bytes);
                for member in (0..members).filter(|&member| member != sender) {
                    expected.entry(path(member).remote).or_default().push(bytes.clone());
                }
            }
            let mut heard: HashMap<SocketAddr, Vec<Vec<u8>>> = HashMap::new();
            for item in items(&mut outbox, &roster, &mut tally) {
                prop_assert!(item.segments <= 64 && item.range().len() <= 65_507);
                for segment in item.split() {
                    tally.sent += 1;
                    heard.entry(item.to.remote).or_default().push(outbox.arena()[segment.range()].to_vec());
                }
            }
            prop_assert!(tally.balances(), "{:?}", tally);
            for (member, messages) in &mut heard {
                let mut last = HashMap::new();
                for bytes in messages.iter() {
                    let (sender, number) = sender_and_number(bytes);
                    let before = last.insert(sender, number);
                    prop_assert!(before.is_none_or(|before| before < number), "{member}: {sender} out of order");
                }
                messages.sort();
            }
            expected.values_mut().for_each(|messages| messages.sort());
            prop_assert_eq!(heard, expected);
            outbox.clear();
        }
    }
}

#[test]
fn equal_lengths_from_two_up_are_one_train_for_everyone_else() {
    let roster = roster(100);
    let mut outbox = Outbox::new(DATAGRAMS, 1024);
    for number in 0..16 {
        outbox.say(index(7), path(7), &message(7, number, 50));
    }
    let all = items(&mut outbox, &roster, &mut SendTally::default());
    assert_eq!(all.len(), 99, "one item a member, none for the speaker");
    assert!(all.iter().all(|item| item.segments == 16 && item.start == all[0].start));
    outbox.clear();
    outbox.say(index(7), path(7), &message(7, 0, 50));
    outbox.say(index(8), path(8), &message(8, 1, 50));
    let all = items(&mut outbox, &roster, &mut SendTally::default());
    let trains = all.iter().filter(|item| item.segments == 2).count();
    assert_eq!((trains, all.len()), (98, 100), "the two speakers get the other's message alone");
}

#[test]
fn mixed_lengths_still_form_trains() {
    let mut outbox = Outbox::new(DATAGRAMS, 1024);
    for number in 0..30 {
        outbox.say(index(number % 2), path(number % 2), &message(number % 2, number, 10 * (number / 2 % 3)));
    }
    let lengths: Vec<u16> = outbox.train_lengths().collect();
    assert!(lengths.len() < 30, "some travel together: {lengths:?}");
    assert_eq!(lengths.iter().sum::<u16>(), 30);
}

#[test]
fn the_first_member_served_rotates() {
    let roster = roster(10);
    let mut outbox = Outbox::new(DATAGRAMS, 1024);
    let mut firsts: Vec<SocketAddr> = (0..50)
        .map(|_| {
            outbox.announce(None, b"hi");
            let first = items(&mut outbox, &roster, &mut SendTally::default())[0].to.remote;
            outbox.clear();
            first
        })
        .collect();
    firsts.sort();
    firsts.dedup();
    assert_eq!(firsts.len(), 10, "in fifty turns each of ten was first");
}

#[test]
fn a_full_turn_fits() {
    let roster = roster(2);
    let mut outbox = Outbox::new(DATAGRAMS, 1024);
    let line = [b'x'; 1024];
    for number in 0..DATAGRAMS * 3 {
        outbox.say(index(number % 2), path(number % 2), &line[..1024 - number]);
        outbox.unicast(path(0), &line[..1000]);
        if outbox.is_full() {
            break;
        }
    }
    let mut tally = SendTally::default();
    let sent: usize = items(&mut outbox, &roster, &mut tally).iter().map(|item| usize::from(item.segments)).sum();
    assert_eq!(sent as u64, tally.offered);
}

#[test]
fn who_leaves_and_comes_back_within_a_turn_keeps_its_order() {
    let mut roster = roster(2);
    let mut outbox = Outbox::new(DATAGRAMS, 1024);
    for (number, len) in [50, 60].into_iter().enumerate() {
        outbox.say(index(1), path(1), &message(1, number, len));
    }
    roster.swap_remove(index(1));
    outbox.departed(index(1), path(1), None);
    roster.push(path(1));
    outbox.arrived(index(1), path(1));
    outbox.say(index(1), path(1), &message(1, 2, 50));
    let heard: Vec<usize> = items(&mut outbox, &roster, &mut SendTally::default())
        .into_iter()
        .flat_map(Item::split)
        .map(|item| sender_and_number(&outbox.arena()[item.range()]).1)
        .collect();
    assert_eq!(heard, [0, 1, 2]);
}
