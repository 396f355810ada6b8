//! The store's writes for one message: `started`, then its outcome; and a deferral, sealed.

use criterion::{Criterion, criterion_group, criterion_main};
use engine::clock::Timestamp;
use engine::mail::{Address, Fields, Kind, Origin, Outcome, Row, RunId};
use engine::secret::DataKey;
use engine::store::{Change, Leave, Settings, Store};

fn store(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), &Settings::default()).expect("a store");
    let key = DataKey::new(&[1; 32]);
    let mut row = Row {
        ordinal: 0,
        to: Address::parse("ann@mail.example").expect("an address"),
        fields: Fields::default(),
        attempts: 1,
        first_attempt: Some(Timestamp(1)),
        doubted: false,
        origin: Origin::Input,
    };
    row.fields.0.insert("description".into(), "Encounter for problem".repeat(20).into());
    c.bench_function("store/started and delivered", |b| {
        b.iter(|| {
            row.ordinal += 1;
            store.start(&Leave::of(RunId(1), &row, Timestamp(1)), Timestamp(1)).expect("written");
            let outcome = Outcome::new(Kind::Delivered, Timestamp(2), 1, "");
            store.settle(RunId(1), &row, &Change::Ended(&outcome), &key).expect("written");
        });
    });
    c.bench_function("store/deferred", |b| {
        b.iter(|| {
            row.ordinal += 1;
            store
                .settle(RunId(2), &row, &Change::Deferred { due: Timestamp(row.ordinal), why: "450 4.2.1" }, &key)
                .expect("written");
        });
    });
}

criterion_group!(benches, store);
criterion_main!(benches);
