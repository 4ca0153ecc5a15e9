//! The plain protocol's codec: what it costs to read a datagram.

use criterion::{BenchmarkId, Criterion, Throughput};
use outcry::wire::plain::{Change, Lang, Name, Text, notice};
use std::hint::black_box;

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

criterion::criterion_group!(benches, parse, write);
criterion::criterion_main!(benches);
