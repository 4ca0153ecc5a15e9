//! What the README says of memory: on a path without loss a native member
//! neither sends nor receives at the cost of an allocation, once warm.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use loadgen::clock::Clock;
use loadgen::members::native::Native;
use loadgen::members::{Options, Receiver, Sink, Sockets, Transport, Venue};
use std::time::Duration;
use support::relay::Served;

const MEMBERS: u32 = 5;

struct Count(u64);

impl Sink for Count {
    fn take(&mut self, _: u32, _: u64, _: &[u8]) {
        self.0 += 1;
    }
}

/// Says messages one after the other, each when the last one has come everywhere.
fn exchange(native: &Native, receiver: &mut dyn Receiver, messages: u32) {
    let mut sink = Count(0);
    for number in 0..messages {
        native.send(number % MEMBERS, &[b'x'; 64]).unwrap();
        let wanted = u64::from(number + 1) * u64::from(MEMBERS - 1);
        let in_vain = (0..10_000).find(|_| {
            receiver.receive(Duration::from_millis(10), &mut sink).unwrap();
            sink.0 >= wanted
        });
        assert!(in_vain.is_some(), "{} of {wanted} copies came", sink.0);
    }
}

/// Speaks until everybody hears it: who comes later is not owed what was said before.
fn wait_for_all(native: &Native, receiver: &mut dyn Receiver) {
    for _ in 0..100 {
        let mut sink = Count(0);
        native.send(0, b"anybody?").unwrap();
        for _ in 0..30 {
            receiver.receive(Duration::from_millis(10), &mut sink).unwrap();
        }
        if sink.0 == u64::from(MEMBERS - 1) {
            return;
        }
    }
    panic!("not everybody comes in");
}

#[test]
fn a_native_member_allocates_nothing_once_warm() {
    let served = Served::start();
    let wire = Sockets::PerClient.open(served.address(), MEMBERS, Options::default()).unwrap();
    let native = Native::new(wire, &Venue::default());
    let mut receiver = native.receiver(0, 1, MEMBERS, Clock::start()).unwrap();
    (0..MEMBERS).for_each(|member| native.join(member).unwrap());
    wait_for_all(&native, &mut *receiver);
    exchange(&native, &mut *receiver, 500);
    let before = native.native().unwrap();
    let counted = allocation_counter::measure(|| exchange(&native, &mut *receiver, 500));
    let after = native.native().unwrap().since(&before);
    assert_eq!((counted.count_total, after.nacks, after.accepted), (0, 0, 500), "{after:?}");
}
