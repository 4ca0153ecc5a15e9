//! The codec: what it costs to read and write a datagram of either protocol.

use criterion::{BenchmarkId, Criterion, Throughput};
use outcry::wire::downlink::{self, Downlink, Entry};
use outcry::wire::header::{DATAGRAM_BYTES_MAX, EntryKind};
use outcry::wire::id::{MemberId, PacketNumber, RoomHandle, RoomTag, Scid, Seq, Sseq};
use outcry::wire::plain::{Change, Lang, Name, Text, notice};
use outcry::wire::uplink::{self, Frame, Uplink};
use std::hint::black_box;

const ROOM: RoomHandle = RoomHandle(3);
/// What fills a room's datagram.
const MESSAGES: u32 = 16;
const MESSAGE: [u8; 64] = [b'x'; 64];

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let ascii = |len: usize| format!("alice : {}", "x".repeat(len - 8));
    let chinese = format!("小明 : {}", "你好".repeat(8));
    for (name, text) in [("64 B", ascii(64)), ("1000 B", ascii(1000)), ("Chinese, 57 B", chinese)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| black_box(Text::parse(black_box(text.as_bytes()))));
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let name = Name::parse("小明").expect("a name");
    criterion.bench_function("notice", |bencher| {
        bencher.iter(|| black_box(notice(Lang::Zh, Change::Joined, black_box(&name))));
    });
}

/// A session datagram with sixteen messages, as a busy client packs them.
fn session(buffer: &mut [u8]) -> usize {
    let mut builder = uplink::Builder::session(buffer, Scid(7), PacketNumber(1));
    for sseq in (1..=MESSAGES).map(Sseq) {
        assert!(builder.push(&Frame::Msg { room: ROOM, kind: EntryKind::TEXT, sseq, payload: &MESSAGE }));
    }
    builder.finish()
}

/// What the relay does with each datagram of a member.
fn read_session(criterion: &mut Criterion) {
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    let len = session(&mut buffer);
    let mut group = criterion.benchmark_group("native");
    group.throughput(Throughput::Elements(MESSAGES.into()));
    group.bench_function("read a session datagram, 16 MSG of 64 B", |bencher| {
        bencher.iter(|| {
            let Ok(Uplink::Session(session)) = Uplink::parse(black_box(&buffer[..len])) else { panic!("a session") };
            for frame in session.frames {
                black_box(frame);
            }
        });
    });
    group.finish();
}

/// What the relay does once a turn and room, and each member's client with it.
fn write_and_read_batch(criterion: &mut Criterion) {
    let mut raw = Vec::new();
    for number in 1..=MESSAGES {
        let (member, sseq) = (MemberId(number), Sseq(number));
        let mut entry = [0; 75];
        Entry { member, sseq, kind: EntryKind::TEXT, payload: &MESSAGE }.write(&mut entry);
        raw.extend(entry);
    }
    let write = |buffer: &mut [u8]| {
        let mut builder = downlink::Builder::to_room(buffer, RoomTag(9));
        assert!(builder.batch(ROOM, 1_800_000_000, Seq(4712), 16, black_box(&raw)));
        builder.len()
    };
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    let len = write(&mut buffer);
    let datagram = buffer;

    let mut group = criterion.benchmark_group("native");
    group.throughput(Throughput::Elements(MESSAGES.into()));
    group.bench_function("write a BATCH of 16 entries of 64 B", |bencher| {
        bencher.iter(|| write(black_box(&mut buffer)));
    });
    group.bench_function("read a BATCH of 16 entries of 64 B", |bencher| {
        bencher.iter(|| {
            let Ok(Downlink::ToRoom { mut frames, .. }) = Downlink::parse(black_box(&datagram[..len])) else {
                panic!("a room's")
            };
            let Some(downlink::Frame::Batch(batch)) = frames.next() else { panic!("a BATCH") };
            for entry in batch.numbered() {
                black_box(entry);
            }
        });
    });
    group.finish();
}

criterion::criterion_group!(benches, parse, write, read_session, write_and_read_batch);
criterion::criterion_main!(benches);
