//! One message: rendered from the demo's templates, then signed with each kind of key; and one with a layout, text made from
//! its HTML, a logo and a file of its own.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::clock::Timestamp;
use engine::metrics::{Config, Metrics};
use engine::plan::Campaign;
use engine::run::Blueprint;
use engine::secret::TokenKey;
use engine::sign::{Algorithm, DkimKey, KeyPair, Signer, Signing, Together, generate};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn blueprint(campaign: &str) -> Blueprint {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(campaign);
    Blueprint::new(Campaign::read(&path).expect("the demo is good")).expect("its input is there")
}

fn signer(algorithm: Algorithm) -> Signer {
    let pair = KeyPair::parse(generate(algorithm).as_bytes(), algorithm).expect("a new key");
    let key = DkimKey { selector: "s1".into(), backend: Arc::new(pair) };
    Signer::new("acme-health.example", vec![key], Duration::from_secs(48 * 3600))
}

fn message(c: &mut Criterion) {
    for (name, campaign) in [("render/letter", "statement/statement.toml"), ("render", "demo/eob.toml")] {
        let renderer = blueprint(campaign).renderer(TokenKey::new(&[1; 32])).expect("the templates are good");
        let row = blueprint(campaign).find(1, NOW).expect("there").expect("admitted");
        c.bench_function(name, |b| b.iter(|| renderer.render(black_box(&row), NOW).expect("renders")));
    }
    let renderer = blueprint("demo/eob.toml").renderer(TokenKey::new(&[1; 32])).expect("the templates are good");
    let row = blueprint("demo/eob.toml").find(1, NOW).expect("there").expect("admitted");
    let content = renderer.render(&row, NOW).expect("renders");
    for (name, algorithm) in [("sign/rsa-2048", Algorithm::Rsa), ("sign/ed25519", Algorithm::Ed25519)] {
        let signer = signer(algorithm);
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
    let signer = signer(Algorithm::Rsa);
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

criterion_group!(benches, message);
criterion_main!(benches);
