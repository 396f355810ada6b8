//! Messages without signatures: the notice of the baseline table and its two bodies alone, the demo's longer one, and a letter
//! with a layout, text made from its HTML, a logo and a file of its own.

mod claims;

use claims::{DEMO, LETTER, NOTICE, NOW, renderer, rows};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn render(c: &mut Criterion) {
    for (name, campaign) in [("render", NOTICE), ("render/demo", DEMO), ("render/letter", LETTER)] {
        let (renderer, row) = (renderer(campaign), rows(campaign, 1).remove(0));
        c.bench_function(name, |b| b.iter(|| renderer.render(black_box(&row), NOW).expect("renders")));
    }
    let (renderer, row) = (renderer(NOTICE), rows(NOTICE, 1).remove(0));
    c.bench_function("render/html", |b| b.iter(|| renderer.html(black_box(&row)).expect("renders")));
    c.bench_function("render/text", |b| b.iter(|| renderer.text(black_box(&row)).expect("renders")));
}

criterion_group!(benches, render);
criterion_main!(benches);
