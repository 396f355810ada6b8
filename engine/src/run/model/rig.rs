//! What the real parts are made of: a press that nothing is printed with, a route, the inputs.

use super::state::RUNS;
use crate::clock::{Clock, Timestamp};
use crate::mail::{Demand, Level, Mailbox, MxTrust, RunId};
use crate::metrics::{Config, Metrics};
use crate::queue::{Hold, Press, Room, Run};
use crate::render::{MessagePlan, Renderer, Template, Wording};
use crate::resolve::{MxHost, Place};
use crate::route::{Class, ProviderId, Route, SiteId, Word};
use crate::secret::{MasterKey, TokenKey};
use crate::settle::Settle;
use crate::shaping::{Bounds, Shaping};
use crate::sign::Signer;
use crate::smtp::{Access, Fate, Source, Verdict, of_address};
use loader::Batch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Rows of each run, and how many are read together.
pub(super) const ROWS: u64 = 15;
pub(super) const CHUNK: u64 = 5;

/// A clock that goes where it is told to.
pub(super) struct Told(pub(super) AtomicU64);

impl Clock for Told {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// What outlives a crash, or is the same after it.
pub(super) struct Rig {
    pub(super) master: MasterKey,
    pub(super) clock: Arc<Told>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) route: Arc<Route>,
    pub(super) source: Arc<Source>,
    /// Both runs' inputs, batch by batch.
    pub(super) inputs: [Vec<Batch>; 2],
}

impl Rig {
    pub(super) fn new(now: Timestamp, keys: &[u8]) -> Rig {
        let host = MxHost { name: "mx.b.example".into(), preference: 10, place: Place::Named(25) };
        let (hosts, demand, mx_trust) = (vec![host], Demand::new(Level::Opportunistic), MxTrust::Plain);
        let class = Class::of("b.example", &hosts, &demand, mx_trust);
        let (site, provider, access) = (SiteId(1), ProviderId(1), Access::default());
        let (domain, standing) = ("model.example".into(), crate::sts::Standing::NoPolicy);
        let shape = Shaping::none(Bounds::NONE).shape("model.example", &hosts);
        let route =
            Route { domain, standing, site, provider, shape, hosts, demand, mx_trust, word: Word::None, class, access };
        let source = Source { name: "a".into(), ehlo: "out.acme.example".into(), ipv4: None, ipv6: None };
        let of = |run: usize| &keys[run * ROWS as usize..(run + 1) * ROWS as usize];
        Rig {
            master: MasterKey::generate().0,
            clock: Arc::new(Told(AtomicU64::new(now.0))),
            metrics: Arc::new(Metrics::new(Config { providers: 1 })),
            route: Arc::new(route),
            source: Arc::new(source),
            inputs: [input(of(0)), input(of(1))],
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn run(&self, index: usize, settle: Settle) -> Arc<Run> {
        Arc::new(Run {
            id: RUNS[index],
            settle,
            press: press(RUNS[index]),
            exclusive: false,
            weight: 1,
            sources: vec![self.source.clone()],
            tomorrow: AtomicU64::new(0),
            room: Room::new(1000),
            hold: Hold::default(),
        })
    }
}

/// The text of a key by its number.
pub(super) fn key_text(number: u8) -> String {
    format!("k{number}")
}

pub(super) fn verdict(fate: Fate) -> Verdict {
    let mut verdict = of_address("connection_lost", true);
    verdict.fate = fate;
    verdict
}

/// Read once from small files: a batch of the loader can't be made otherwise.
fn input(keys: &[u8]) -> Vec<Batch> {
    let lines = keys.iter().enumerate().map(|(row, key)| format!("{},r{row}@b.example\n", key_text(*key)));
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().expect("a file");
    std::io::Write::write_all(&mut file, format!("id,email\n{}", lines.collect::<String>()).as_bytes())
        .expect("written");
    let chunk = |number: u64| {
        let mut batch =
            loader::open(&loader::Spec::new(file.path())).expect("opens").next().expect("a batch").expect("reads");
        batch.first = 1 + number * CHUNK;
        batch.records = batch.records.slice((number * CHUNK) as usize, CHUNK as usize);
        batch
    };
    (0..ROWS / CHUNK).map(chunk).collect()
}

fn press(run: RunId) -> Press {
    let template = |text: &str| Template { path: "t.hbs".into(), line: 1, text: text.into() };
    let wording =
        Wording { language: None, from_name: None, subject: template("s"), html: None, text: Some(template("t")) };
    let plan = MessagePlan {
        from: Mailbox::parse("Acme <notices@acme.example>").expect("a mailbox"),
        reply_to: None,
        return_path: "bounces.acme.example".into(),
        to_name: None,
        wordings: vec![wording],
        language: None,
        partials: Vec::new(),
        attachments: Vec::new(),
        feedback_id: None,
        auto_submitted: false,
        headers: Vec::new(),
        max_size: 1_000_000,
    };
    let renderer = Renderer::new(plan, &[], &[], TokenKey::new(&[1; 32]), run).expect("a letter without columns");
    Press::new(renderer, Arc::new(Signer::new("acme.example", Vec::new(), Duration::ZERO)))
}
