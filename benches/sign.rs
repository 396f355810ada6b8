//! A DKIM signature over the notice of the baseline table: with each kind of key, and all of it but what the key does.

mod claims;

use claims::{Blank, NOTICE, NOW, key, renderer, rows, signer};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::metrics::{Config, Metrics};
use engine::sign::{Algorithm, Signing, Together};
use std::hint::black_box;
use std::sync::Arc;

fn sign(c: &mut Criterion) {
    let content = renderer(NOTICE).render(&rows(NOTICE, 1)[0], NOW).expect("renders");
    let keys = [
        ("sign/canonical", Arc::new(Blank) as _),
        ("sign/rsa-2048", key(Algorithm::Rsa)),
        ("sign/ed25519", key(Algorithm::Ed25519)),
    ];
    for (name, key) in keys {
        let signer = signer(key);
        c.bench_function(name, |b| b.iter(|| signer.sign(black_box(&content), NOW)));
    }
    together(c, &content);
}

/// Eight messages through what signs for an engine, one at a time and together; where the machine can't do that, both are the
/// same. (Not under callgrind: valgrind has no AVX-512, so there they always are.)
fn together(c: &mut Criterion, content: &[u8]) {
    let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread"));
    let metrics = || Arc::new(Metrics::new(Config { providers: 1 }));
    let together = Signing::start(Together::Auto, &threads, metrics()).expect("a thread");
    let signer = signer(key(Algorithm::Rsa));
    let mut group = c.benchmark_group("sign/rsa-2048/of-8");
    group.throughput(Throughput::Elements(8));
    for (name, signing) in [("alone", Signing::singly(metrics())), ("together", together)] {
        let signing = Arc::new(signing);
        group.bench_function(name, |b| {
            b.iter(|| {
                let coming = [(); 8].map(|()| signing.expect());
                for coming in coming {
                    coming.sign(signer.prepare(black_box(content), NOW), |sealed| drop(black_box(sealed)));
                }
            });
        });
    }
}

criterion_group!(benches, sign);
criterion_main!(benches);
