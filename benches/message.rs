//! One message: rendered from the demo's templates, then signed with each kind of key; and one with a layout, text made from
//! its HTML, a logo and a file of its own.

use criterion::{Criterion, criterion_group, criterion_main};
use engine::clock::Timestamp;
use engine::plan::Campaign;
use engine::run::Blueprint;
use engine::secret::TokenKey;
use engine::sign::{Algorithm, DkimKey, KeyPair, Signer, generate};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn blueprint(campaign: &str) -> Blueprint {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(campaign);
    Blueprint::new(Campaign::read(&path).expect("the demo is good")).expect("its input is there")
}

fn signer(algorithm: Algorithm) -> Signer {
    let pair = KeyPair::parse(generate(algorithm).as_bytes(), algorithm).expect("a new key");
    let key = DkimKey { selector: "s1".into(), backend: Box::new(pair) };
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
}

criterion_group!(benches, message);
criterion_main!(benches);
