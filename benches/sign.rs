//! A DKIM signature over the notice of the baseline table: with each kind of key, and all of it but what the key does.

mod claims;

use claims::{Blank, NOTICE, NOW, key, renderer, rows, signer};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::sign::Algorithm;
use std::hint::black_box;

fn sign(c: &mut Criterion) {
    let content = renderer(NOTICE).render(&rows(NOTICE, 1)[0], NOW).expect("renders");
    let keys = [
        ("sign/canonical", Box::new(Blank) as _),
        ("sign/rsa-2048", key(Algorithm::Rsa)),
        ("sign/ed25519", key(Algorithm::Ed25519)),
    ];
    for (name, key) in keys {
        let signer = signer(key);
        c.bench_function(name, |b| b.iter(|| signer.sign(black_box(&content), NOW)));
    }
}

criterion_group!(benches, sign);
criterion_main!(benches);
