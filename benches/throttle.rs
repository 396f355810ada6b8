//! What a message costs in the throttle: a token and its answer, over many providers by turns.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::clock::Timestamp;
use engine::shaping::{Rate, Terms};
use engine::throttle::{Learned, Throttle};
use std::sync::Arc;
use std::time::Duration;

const START: Timestamp = Timestamp(1_700_000_000_000);

fn terms(rates: &[(u32, u64)]) -> Arc<Terms> {
    let rates =
        rates.iter().map(|(count, seconds)| Rate { count: *count, per: Duration::from_secs(*seconds) }).collect();
    Arc::new(Terms { connections: 20, first_window: 20, messages_per_connection: 100, rates, connection_rate: None })
}

fn throttle(c: &mut Criterion) {
    let learned = Learned { window: Some(5), ceiling: Some(50_000.0), held_until: START, at: START, spent: Vec::new() };
    let free = Throttle::new(terms(&[]), None, START);
    let taught = Throttle::new(terms(&[]), Some(learned), START);
    let rates = [(50_000, 1), (3_000_000, 60), (180_000_000, 3600), (4_000_000_000, 86_400)];
    let configured = Throttle::new(terms(&rates), None, START);
    let mut group = c.benchmark_group("throttle");
    for (name, one) in [("free", free), ("learned", taught), ("four rates", configured)] {
        for providers in [1, 100, 10_000] {
            let mut all = vec![one.clone(); providers];
            let mut message = 0;
            group.bench_function(BenchmarkId::new(name, providers), |b| {
                b.iter(|| {
                    message += 1;
                    // Forty thousand messages a second to each, whoever's turn it is.
                    let now = Timestamp(START.0 + (message / providers / 40) as u64);
                    let throttle = &mut all[message % providers];
                    let token = throttle.take(now);
                    throttle.accepted(20, now);
                    token
                });
            });
        }
    }
}

criterion_group!(benches, throttle);
criterion_main!(benches);
