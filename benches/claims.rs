//! What the benches of the message path share: the demo's claims, and the campaigns that make messages of them.

#![allow(dead_code, reason = "no bench uses all of it")]

use engine::clock::Timestamp;
use engine::gate::{Seen, Verdict};
use engine::mail::Row;
use engine::plan::Campaign;
use engine::render::Renderer;
use engine::run::Blueprint;
use engine::secret::TokenKey;
use engine::sign::{Algorithm, Backend, DkimKey, KeyPair, Signer, generate};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Text and HTML of about 7 KB together: the message of the baseline table.
pub const NOTICE: &str = "benches/notice/notice.toml";
/// The demo's, three times as long.
pub const DEMO: &str = "config/demo/eob.toml";
/// A layout, text made from its HTML, a logo and a file of its own.
pub const LETTER: &str = "config/statement/statement.toml";

pub fn blueprint(campaign: &str) -> Blueprint {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(campaign);
    Blueprint::new(Campaign::read(&path).expect("it is good")).expect("its input is there")
}

pub fn renderer(campaign: &str) -> Renderer {
    blueprint(campaign).renderer(TokenKey::new(&[1; 32])).expect("the templates are good")
}

/// Up to `most` rows of a campaign's input, past the gate. Their messages differ in length and in what they say.
pub fn rows(campaign: &str, most: usize) -> Vec<Row> {
    let mut blueprint = blueprint(campaign);
    let batch = blueprint.next_batch().expect("it has rows").expect("they can be read");
    let mut gate = blueprint.gate(Box::new(Seen::default()));
    let verdicts = gate.judge(&batch, 0..batch.len().min(most), NOW, |_| false).expect("nothing fails");
    let admitted = verdicts.into_iter().filter_map(|verdict| match verdict {
        Verdict::Admitted(row) => Some(row),
        _ => None,
    });
    admitted.collect()
}

pub fn key(algorithm: Algorithm) -> Arc<dyn Backend> {
    Arc::new(KeyPair::parse(generate(algorithm).as_bytes(), algorithm).expect("a new key"))
}

pub fn signer(backend: Arc<dyn Backend>) -> Signer {
    let key = DkimKey { selector: "s1".into(), backend };
    Signer::new("acme-health.example", vec![key], Duration::from_secs(48 * 3600))
}

/// A key whose signatures cost nothing: what is left is canonical octets, hashes and folding.
pub struct Blank;

impl Backend for Blank {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Rsa
    }

    fn sign(&self, _: &[u8]) -> Vec<u8> {
        vec![0; 256]
    }

    fn public_key(&self) -> Vec<u8> {
        Vec::new()
    }
}
