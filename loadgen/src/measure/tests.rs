//! Known answers in virtual time: copies are handed to a recorder at times
//! that a server with a known fault would have them arrive at.

use super::recorder::Recorder;
use super::rx::Received;
use super::tx::{self, Sent};
use super::{Board, Collector, Measurement, Settings, ThreadLoad, outcome};
use crate::clock::Clock;
use crate::members::{Options, Receiver, Sink, Sockets, Transport};
use crate::payload::{self, Phase, Stamp};
use crate::plan::{Arrival, Plan, Workload};
use crate::rooms::Rooms;
use outcry::net::Prebuilt;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

const MEMBERS: u32 = 11;
const BASE_NS: u64 = 105_000;

fn workload(rate: f64, seconds: u64) -> Workload {
    let sizes = "64".parse().unwrap();
    let duration = Duration::from_secs(seconds);
    Workload { rate, senders: 1, arrival: Arrival::Fixed, sizes, warmup: Duration::ZERO, duration, seed: 1 }
}

fn settings() -> Settings {
    Settings {
        run: 9,
        senders: 1,
        counted: MEMBERS,
        rooms: Rooms::new(1, MEMBERS),
        reading: MEMBERS,
        disturbance: None,
        tx_threads: 1,
        rx_threads: 1,
        pin: None,
        late: Duration::from_secs(1),
        reflected: false,
        in_flight: None,
        drain_max: Duration::ZERO,
    }
}

/// Plays a plan: `arrival(message, planned, place)` is when a copy comes, if it does.
fn play(plan: &Plan, arrival: impl Fn(usize, u64, u32) -> Option<u64>) -> Measurement {
    let (settings, board) = (settings(), Board::new(plan.slots.len(), MEMBERS - 1));
    let mut collector = Collector::new(1, 0, plan.end_ns);
    let mut recorder = Recorder::new(&board, plan, &settings, 0, collector.port());
    let mut message = Vec::new();
    for (index, slot) in plan.slots.iter().enumerate() {
        let stamp =
            Stamp { phase: plan.phase(index), run: 9, sender: 0, seq: slot.seq, index: index as u32, planned: slot.at };
        payload::encode(&stamp, "u0", 64, &mut message);
        board.count_sent();
        for place in 0..MEMBERS - 1 {
            if let Some(now) = arrival(index, slot.at, place) {
                recorder.tick(now);
                recorder.take(place + 1, now, &message);
            }
        }
    }
    recorder.finish(plan.end_ns);
    let received = Received {
        thread: 0,
        integrity: recorder.integrity,
        first: std::mem::take(&mut recorder.first),
        last: std::mem::take(&mut recorder.last),
        clients: std::mem::take(&mut recorder.clients),
        positions: recorder.positions.clone(),
        load: ThreadLoad { name: "rx0".into(), wall_ns: 1, cpu_ns: 0, waiting_ns: 0 },
    };
    let sent = Sent { until_ns: plan.end_ns, ..Sent::default() };
    outcome::merge(plan, &settings, &board, 0, vec![sent], vec![received], collector)
}

fn within(found: f64, wanted: f64, share: f64) -> bool {
    (found - wanted).abs() <= wanted * share
}

#[test]
fn a_server_that_stops_for_half_a_second_in_thirty() {
    let plan = Plan::new(&workload(100.0, 30)).unwrap();
    let (stopped, again) = (10_000_000_000, 10_500_000_000);
    let run = play(&plan, |_, planned, _| {
        let served = if (stopped..again).contains(&planned) { again } else { planned };
        Some(served + BASE_NS)
    });
    assert_eq!((run.sent, run.complete, run.lost()), (3000, 3000, 0));
    // 50 of 3000 messages waited up to 0.5 s: the worst 30 waited 0.2 s and more.
    let p99 = run.delivery.quantile(0.99).unwrap() as f64;
    assert!(within(p99, 0.2e9, 0.06), "{p99}");
    assert!(within(run.delivery.max() as f64, 0.5e9, 0.01), "{}", run.delivery.max());
    assert!(within(run.delivery.quantile(0.5).unwrap() as f64, BASE_NS as f64, 0.01));
    assert_eq!(run.seconds.iter().map(|second| second.copies).sum::<u64>(), 30_000);
    assert_eq!(run.seconds.iter().map(|second| second.offered).sum::<u64>(), 3_000);
}

#[test]
fn a_slope_and_a_spread_are_exact() {
    let plan = Plan::new(&workload(100.0, 10)).unwrap();
    let run = play(&plan, |_, planned, place| Some(planned + BASE_NS + 203 * u64::from(place)));
    let fit = run.positions.fit().unwrap();
    assert!(within(fit.slope_ns, 203.0, 0.001) && within(fit.base_ns, BASE_NS as f64, 0.001), "{fit:?}");
    assert!(within(run.spread.quantile(0.5).unwrap() as f64, 9.0 * 203.0, 0.01));
    let last = run.last_receiver.quantile(0.5).unwrap() as f64;
    assert!(within(last, (BASE_NS + 9 * 203) as f64, 0.01), "{last}");
}

#[test]
fn five_milliseconds_shift_every_percentile_by_five() {
    let plan = Plan::new(&workload(1000.0, 10)).unwrap();
    let arrive = |index: usize, planned: u64| planned + BASE_NS + (index as u64 * 7919 % 1000) * 1000;
    let before = play(&plan, |index, planned, _| Some(arrive(index, planned)));
    let after = play(&plan, |index, planned, _| Some(arrive(index, planned) + 5_000_000));
    for q in [0.5, 0.9, 0.99, 0.999] {
        let shift = after.delivery.quantile(q).unwrap() - before.delivery.quantile(q).unwrap();
        assert!(within(shift as f64, 5e6, 0.002), "{q}: {shift}");
    }
}

#[test]
fn a_lost_copy_is_counted_and_infinitely_late() {
    let plan = Plan::new(&workload(1000.0, 10)).unwrap();
    let run = play(&plan, |index, planned, place| {
        let lost = index % 100 == 7 && place == 3;
        (!lost).then_some(planned + BASE_NS)
    });
    assert_eq!((run.lost(), run.unseen, run.complete), (100, 0, 9_900));
    assert!(run.delivery.quantile_with_loss(0.99, run.expected).is_finite());
    assert!(run.delivery.quantile_with_loss(0.9995, run.expected).is_infinite());
    assert_eq!(run.clients.iter().filter(|client| client.copies == 9_900).count(), 1, "one member lost them all");
}

#[test]
fn a_server_that_falls_behind_is_not_credited_with_the_rate_offered() {
    let plan = Plan::new(&workload(100.0, 10)).unwrap();
    let run = play(&plan, |_, planned, _| Some(planned * 2 + BASE_NS));
    assert_eq!((run.lost(), run.duration_ns), (0, 10_000_000_000));
    assert!(within(run.copies_per_second(), 500.0, 0.01), "{}", run.copies_per_second());
}

#[test]
fn a_probe_that_comes_late_is_no_surprise_and_a_strangers_is() {
    let plan = Plan::new(&workload(10.0, 1)).unwrap();
    let (settings, board) = (settings(), Board::new(plan.slots.len(), MEMBERS - 1));
    let mut collector = Collector::new(1, 0, plan.end_ns);
    let mut recorder = Recorder::new(&board, &plan, &settings, 0, collector.port());
    let mut message = Vec::new();
    for (run, unexpected) in [(settings.run, 0), (settings.run - 1, 0), (settings.run - 2, 1), (settings.run + 1, 2)] {
        let stamp = Stamp { phase: Phase::Probe, run, sender: 0, seq: 0, index: 0, planned: 0 };
        payload::encode(&stamp, "u0", 0, &mut message);
        recorder.take(1, 0, &message);
        assert_eq!(recorder.integrity.unexpected, unexpected, "run {run}");
    }
}

/// Members of each kind towards a socket that is there and says nothing.
fn kinds() -> Vec<(UdpSocket, Arc<dyn Transport>)> {
    let kinds = [
        (Sockets::PerClient, false),
        (Sockets::PerClient, true),
        (Sockets::Shared(2), false),
        (Sockets::Shared(2), true),
    ];
    let open = |(sockets, gro): (Sockets, bool)| {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let options = Options { receive_buffer: Some(1 << 20), gro };
        let transport = sockets.open(server.local_addr().unwrap(), MEMBERS, options).unwrap();
        (server, transport)
    };
    kinds.into_iter().map(open).collect()
}

#[test]
fn sending_allocates_nothing_while_measuring() {
    let plan = Plan::new(&Workload { senders: 4, ..workload(10_000.0, 1) }).unwrap();
    let plan = Plan { slots: plan.slots[..500].to_vec(), ..plan };
    for (server, transport) in kinds() {
        let settings = Settings { senders: 4, ..settings() };
        let (board, clock) = (Board::new(plan.slots.len(), MEMBERS - 1), Clock::start());
        let (transport, start) = (&*transport, clock.now());
        // As in a run, where members have joined: a thread's first send warms it up.
        transport.join(0).unwrap();
        let job = tx::Job { transport, plan: &plan, settings: &settings, board: &board, clock, start, thread: 0 };
        let mut sending = tx::Sending::new(job);
        let counted = allocation_counter::measure(|| sending.follow_plan());
        assert_eq!((counted.count_total, board.sent()), (0, 500), "{}", transport.label());
        assert_eq!((sending.sent.lag.count(), sending.sent.failed.len()), (500, 0));
        drop(server);
    }
}

/// Messages of a plan, one after the other, as a train holds them.
fn train(plan: &Plan, from: usize) -> Vec<u8> {
    let (mut bytes, mut message) = (Vec::new(), Vec::new());
    for (index, slot) in plan.slots.iter().enumerate().skip(from).take(10) {
        let (phase, run, index) = (plan.phase(index), settings().run, index as u32);
        let stamp = Stamp { phase, run, sender: 0, seq: slot.seq, index, planned: slot.at };
        payload::encode(&stamp, "u0", 64, &mut message);
        bytes.extend_from_slice(&message);
    }
    bytes
}

fn take_all(receiver: &mut dyn Receiver, recorder: &mut Recorder<'_>, wanted: u64) {
    let mut taken = 0;
    while taken < wanted {
        let more = receiver.receive(Duration::from_secs(1), recorder).unwrap().messages;
        assert!(more > 0, "{taken} of {wanted}");
        taken += more;
        recorder.tick(taken);
    }
}

#[test]
fn receiving_over_udp_allocates_nothing_while_measuring() {
    let plan = Plan::new(&workload(100.0, 1)).unwrap();
    for (server, transport) in kinds() {
        let settings = Settings { reflected: true, ..settings() };
        let board = Board::new(plan.slots.len(), MEMBERS);
        // An origin that far back that the first second never ends.
        let mut collector = Collector::new(1, u64::MAX / 2, u64::MAX / 2 + plan.end_ns);
        let mut recorder = Recorder::new(&board, &plan, &settings, 0, collector.port());
        let mut receiver = transport.receiver(0, 1, MEMBERS, Clock::start()).unwrap();
        let trains = (0..10).map(|ten| train(&plan, ten * 10));
        let prebuilt = |train: Vec<u8>| Prebuilt::new(&server, &transport.addresses(), &train, Some(64)).unwrap();
        let mut trains: Vec<_> = trains.map(prebuilt).collect();
        let counted = allocation_counter::measure(|| {
            for train in &mut trains {
                let copies = train.send_all().unwrap();
                take_all(&mut *receiver, &mut recorder, copies);
            }
        });
        assert_eq!(counted.count_total, 0, "{}", transport.label());
        assert_eq!(recorder.integrity.delivered, u64::from(MEMBERS) * 100, "{:?}", recorder.integrity);
    }
}
