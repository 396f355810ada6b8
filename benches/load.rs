//! The loader: the claims as CSV and as Parquet, to the JSON objects that templates see.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn rows(name: &str) -> u64 {
    let path = format!("{}/tests/data/eob/{name}", env!("CARGO_MANIFEST_DIR"));
    let reader = loader::open(&loader::Spec::new(path)).expect("the claims are there");
    let mut count = 0;
    for batch in reader {
        let batch = batch.expect("they can be read");
        for index in 0..batch.len() {
            black_box(batch.row(index));
            count += 1;
        }
    }
    count
}

fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    for name in ["eob.csv", "eob.parquet"] {
        group.throughput(Throughput::Elements(rows(name)));
        group.bench_function(name, |b| b.iter(|| rows(name)));
    }
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);
