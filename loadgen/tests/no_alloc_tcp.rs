//! Receiving over TCP takes no memory: once warm, nothing is allocated
//! between the kernel and the sink.

#![allow(clippy::unwrap_used, reason = "a test")]

use loadgen::clock::Clock;
use loadgen::members::tcp::codec::Codec;
use loadgen::members::tcp::{Connections, mqtt::Mqtt, nats::Nats, redis::Redis};
use loadgen::members::{Sink, Transport};
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

struct Count(u64);

impl Sink for Count {
    fn take(&mut self, _: u32, _: u64, _: &[u8]) {
        self.0 += 1;
    }
}

fn allocations<C: Codec>() -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let transport = Connections::<C>::open(listener.local_addr().unwrap(), 2, &[], None).unwrap();
    let mut server = listener.accept().unwrap().0;
    let mut stream = Vec::new();
    (0..100).for_each(|_| C::copy(&[b'x'; 64], &mut stream));
    let mut receiver = transport.receiver(0, 1, 2, Clock::start()).unwrap();
    let mut sink = Count(0);
    let counted = allocation_counter::measure(|| {
        for piece in stream.chunks(500) {
            server.write_all(piece).unwrap();
            receiver.receive(Duration::from_secs(1), &mut sink).unwrap();
        }
    });
    assert_eq!(sink.0, 100);
    counted.count_total
}

#[test]
fn receiving_over_tcp_allocates_nothing() {
    assert_eq!([allocations::<Nats>(), allocations::<Redis>(), allocations::<Mqtt>()], [0; 3]);
}
