//! The broadcast path: what one delivered copy costs the relay's thread, end
//! to end through the real loop on loopback, beside the floors of the same
//! kernel in the same run.
//!
//! Criterion prints deliveries per second of CPU. The table behind it is the
//! result: relay and floors take turns, and what is quoted is the ratio.
//!
//! CPU, not wall time: the receivers are drained by another thread, which may
//! be slower than the relay and must not count.

mod room;

use criterion::{BenchmarkId, Criterion, Throughput};
use room::native::NativeFanout;
use room::{Fanout, RelayFanout, Room, SendToFanout, TrainFanout};
use std::time::Duration;

/// Members, messages a turn, bytes a message.
#[derive(Clone, Copy)]
struct Shape {
    members: usize,
    messages: usize,
    bytes: usize,
}

impl Shape {
    fn deliveries(self) -> u64 {
        (self.members * self.messages) as u64
    }
}

fn shapes() -> impl Iterator<Item = Shape> {
    let members = [10, 100, 1000, 10_000];
    members.into_iter().flat_map(|members| {
        let pairs = [(1, 64), (16, 64), (1, 1000), (16, 1000)];
        pairs.into_iter().map(move |(messages, bytes)| Shape { members, messages, bytes })
    })
}

/// The relay and its floors, all sending to the same receivers.
fn fanouts(room: &Room, shape: Shape) -> [Box<dyn Fanout>; 3] {
    let Shape { messages, bytes, .. } = shape;
    [
        Box::new(RelayFanout::new(room, messages, bytes)),
        Box::new(TrainFanout::new(room, messages, bytes)),
        Box::new(SendToFanout::new(room, messages, bytes)),
    ]
}

/// One turn: its CPU time, after which all copies have been received.
fn turn(room: &Room, fanout: &mut dyn Fanout, deliveries: u64) -> Duration {
    let cpu = fanout.turn();
    room.drain(deliveries);
    cpu
}

fn criterion_part(criterion: &mut Criterion, room: &Room, shape: Shape) {
    let Shape { members, messages, bytes } = shape;
    let mut group = criterion.benchmark_group("broadcast");
    group.throughput(Throughput::Elements(shape.deliveries()));
    let parameter = format!("{members} members x {messages} messages x {bytes} B");
    for mut fanout in fanouts(room, shape) {
        group.bench_function(BenchmarkId::new(fanout.name(), &parameter), |bencher| {
            let mut turns = |count| (0..count).map(|_| turn(room, fanout.as_mut(), shape.deliveries())).sum();
            bencher.iter_custom(&mut turns);
        });
    }
    group.finish();
}

/// Turns of each in the paired table: enough for about `DELIVERIES_EACH` copies.
const DELIVERIES_EACH: u64 = 1_600_000;

/// Runs the three in turn, again and again, and prints ns a delivery and ratios.
fn paired_part(room: &Room, shape: Shape, is_test: bool) -> [f64; 3] {
    let rounds = if is_test { 2 } else { (DELIVERIES_EACH / shape.deliveries()).clamp(10, 2000) };
    let mut fanouts = fanouts(room, shape);
    let mut ns = fanouts.each_ref().map(|_| Vec::new());
    for _ in 0..rounds {
        for (fanout, ns) in fanouts.iter_mut().zip(&mut ns) {
            let cpu = turn(room, fanout.as_mut(), shape.deliveries());
            ns.push(cpu.as_nanos() as f64 / shape.deliveries() as f64);
        }
    }
    let [relay, train, send_to] = ns.map(median);
    let Shape { members, messages, bytes } = shape;
    println!(
        "{members:>7} {messages:>4} {bytes:>5} {relay:>9.0} {train:>9.0} {send_to:>9.0} {:>12.3} {:>12.3} {rounds:>7}",
        relay / train,
        relay / send_to
    );
    [relay, train, send_to]
}

/// What is said in a turn of native members: how it is called, and the messages' lengths.
fn native_turns() -> Vec<(&'static str, Vec<usize>)> {
    // Lengths as people type them, which plain trains cannot group.
    let mixed = |count: usize| (0..count).map(|number| 10 + number * 73 % 191).collect();
    vec![
        ("1 x 64", vec![64]),
        ("16 x 64", vec![64; 16]),
        ("64 x 64", vec![64; 64]),
        ("16 x 10..200", mixed(16)),
        ("64 x 10..200", mixed(64)),
    ]
}

/// Native turns, the same datagrams prebuilt, and a bare datagram for each message, in turn.
fn native_part(room: &Room, name: &str, lens: &[usize], gro: bool, is_test: bool) {
    let deliveries = (room.members() * lens.len()) as u64;
    let rounds = if is_test { 2 } else { (DELIVERIES_EACH / deliveries).clamp(10, 300) };
    let mut native = NativeFanout::new(room, lens);
    let (datagrams, datagram_bytes) = native.train;
    let mut packed = TrainFanout::of(room, &vec![0xF7; datagrams * datagram_bytes], datagram_bytes);
    if !room.set_gro(gro) {
        println!("SKIPPED {name} with UDP_GRO: this kernel has none");
        return;
    }
    let mean = lens.iter().sum::<usize>() / lens.len();
    let mut bare = TrainFanout::new(room, 1, mean);
    let mut ns = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        ns[0].push(native.turn().as_nanos() as f64 / deliveries as f64);
        native.drain();
        let datagrams = (native.train.0 * room.members()) as u64;
        ns[1].push(turn(room, &mut packed, datagrams).as_nanos() as f64 / deliveries as f64);
        let members = room.members() as u64;
        ns[2].push(turn(room, &mut bare, members).as_nanos() as f64 / members as f64);
    }
    room.set_gro(false);
    let [native_ns, packed_ns, bare_ns] = ns.map(median);
    let (datagrams, bytes) = native.train;
    println!(
        "{:>7} {name:>12} {datagrams:>4} x {bytes:>4} {native_ns:>9.1} {packed_ns:>9.1} {bare_ns:>9.0} {:>13.3} {:>11.1} {:>4} {rounds:>7}",
        room.members(),
        native_ns / packed_ns,
        bare_ns / native_ns,
        if gro { "gro" } else { "-" },
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let is_test = std::env::args().any(|arg| arg == "--test");
    // `cargo bench --bench broadcast -- native`: that table alone.
    let only_native = std::env::args().any(|arg| arg == "native");
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1500))
        .configure_from_args();
    let wanted = |shape: &Shape| !only_native && (!is_test || shape.members <= 100);
    let rooms: Vec<Room> =
        [10, 100, 1000, 10_000].into_iter().filter(|&n| !is_test || n <= 100).filter_map(Room::open).collect();
    let room = |shape: &Shape| rooms.iter().find(|room| room.members() == shape.members);
    for shape in shapes().filter(wanted) {
        if let Some(room) = room(&shape) {
            criterion_part(&mut criterion, room, shape);
        }
    }
    println!("\nMedian ns of sending CPU a delivery; relay, floor and sendto take turns in one process.");
    println!("floor: prebuilt sendmmsg headers (1 message) or prebuilt GSO trains (16), no relay logic.\n");
    println!("members msgs bytes  relay ns  floor ns sendto ns  relay/floor relay/sendto  rounds");
    for shape in shapes().filter(wanted) {
        if let Some(room) = room(&shape) {
            paired_part(room, shape, is_test);
        }
    }
    println!("\nNative members, each with its client. packed: the same datagrams prebuilt, no relay logic.");
    println!("bare: one prebuilt datagram a message. gro: receivers take trains whole (UDP_GRO).\n");
    println!("members     messages   datagrams native ns packed ns   bare ns native/packed bare/native  gro  rounds");
    for room in rooms.iter().filter(|room| room.members() != 10_000) {
        for (name, lens) in native_turns() {
            native_part(room, name, &lens, false, is_test);
            if lens.len() > 1 {
                native_part(room, name, &lens, true, is_test);
            }
        }
    }
    criterion.final_summary();
}
