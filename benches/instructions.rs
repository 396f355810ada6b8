//! One stage of a message's way, done over and over and nothing else: `make instructions` runs it under valgrind, which counts
//! instructions, allocations and octets allocated. A loaded machine changes nothing about those.
//!
//! `instructions STAGE COUNT`; without arguments it prints the stages, with `size` the octets that a message has on average.

mod claims;

use claims::{Blank, DEMO, LETTER, NOTICE, NOW, blueprint, key, renderer, rows, signer};
use engine::gate::Seen;
use engine::mail::{Message, Row, RunId};
use engine::render::Renderer;
use engine::secret::DataKey;
use engine::sign::Algorithm;
use engine::store::{Settings, Store};
use std::hint::black_box;
use std::sync::Arc;

/// A stage by name, and what prepares it: what that gives does one message.
type Stage = (&'static str, fn() -> Box<dyn FnMut()>);

const STAGES: [Stage; 10] = [
    ("load", load),
    ("gate", gate),
    ("open", open),
    ("html", || over_rows(NOTICE, |renderer, row| drop(black_box(renderer.html(row).expect("renders"))))),
    ("text", || over_rows(NOTICE, |renderer, row| drop(black_box(renderer.text(row).expect("renders"))))),
    ("render", || over_rows(NOTICE, render)),
    ("sign", sign),
    ("press", press),
    ("demo", || over_rows(DEMO, render)),
    ("letter", || over_rows(LETTER, render)),
];

/// Rows that are gone over: the script counts hundreds of them.
const ROWS: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(name) = arguments.next() else {
        println!("{}", STAGES.map(|(name, _)| name).join(" "));
        return;
    };
    if name == "size" {
        let (renderer, rows) = (renderer(NOTICE), rows(NOTICE, ROWS));
        let octets: usize = rows.iter().map(|row| renderer.render(row, NOW).expect("renders").len()).sum();
        return println!("{}", octets / rows.len());
    }
    let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1);
    let (_, prepare) = STAGES.iter().find(|(stage, _)| *stage == name).expect("a stage");
    let mut stage = prepare();
    for _ in 0..count {
        stage();
    }
}

/// A row of the input as the JSON object that templates see.
fn load() -> Box<dyn FnMut()> {
    let batch = blueprint(NOTICE).next_batch().expect("it has rows").expect("they can be read");
    let mut at = 0;
    Box::new(move || {
        at = (at + 1) % ROWS;
        black_box(batch.row(at));
    })
}

/// The same, and the gate's judgement, without the store that knows which keys were taken.
fn gate() -> Box<dyn FnMut()> {
    let mut blueprint = blueprint(NOTICE);
    let batch = blueprint.next_batch().expect("it has rows").expect("they can be read");
    let mut gate = blueprint.gate(Box::new(Seen::default()));
    let mut at = 0;
    Box::new(move || {
        at = (at + 1) % ROWS;
        black_box(gate.judge(&batch, at..at + 1, NOW, |_| false).expect("nothing fails"));
    })
}

/// A row out of the sealed backlog: the store's iterator, AES-256-GCM, JSON.
fn open() -> Box<dyn FnMut()> {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), &Settings::default()).expect("a store");
    let key = DataKey::new(&[1; 32]);
    store.spill(RunId(1), 1, &mut rows(NOTICE, ROWS), &key).expect("written");
    let mut opened = Vec::new();
    Box::new(move || {
        let _ = &folder;
        if opened.is_empty() {
            opened = store.unspill(RunId(1), 1, 0, ROWS, &key).expect("they open");
        }
        black_box(opened.pop());
    })
}

/// The whole message without signatures: templates, header fields, MIME.
fn render(renderer: &Renderer, row: &Row) {
    drop(black_box(renderer.render(row, NOW).expect("renders")));
}

/// All of a DKIM signature but what the key does.
fn sign() -> Box<dyn FnMut()> {
    let signer = signer(Arc::new(Blank));
    let content = renderer(NOTICE).render(&rows(NOTICE, 1)[0], NOW).expect("renders");
    Box::new(move || drop(black_box(signer.sign(&content, NOW))))
}

/// From a row to a signed message: what one rendering thread does, with the cheaper of the keys.
fn press() -> Box<dyn FnMut()> {
    let signer = signer(key(Algorithm::Ed25519));
    over_rows(NOTICE, move |renderer, row| {
        let content = renderer.render(row, NOW).expect("renders");
        drop(black_box(Message::sealed(signer.sign(&content, NOW), &content)));
    })
}

fn over_rows(campaign: &str, mut each: impl FnMut(&Renderer, &Row) + 'static) -> Box<dyn FnMut()> {
    let (renderer, rows) = (renderer(campaign), rows(campaign, ROWS));
    let mut at = 0;
    Box::new(move || {
        at = (at + 1) % rows.len();
        each(&renderer, &rows[at]);
    })
}
