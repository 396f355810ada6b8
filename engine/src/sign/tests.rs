//! Signatures made together are those that aws-lc-rs makes, whatever goes wrong on the way.
//!
//! Where the machine can't make them together these tests have nothing to look at, and say so.

use super::desk::FEWEST;
use super::eight::{Lanes, encode, sign};
use super::{Algorithm, Backend, DkimKey, KeyPair, Signer, Signing};
use crate::clock::Timestamp;
use crate::mail::Sealed;
use crate::metrics::{Config, Metrics};
use aws_lc_rs::digest::{SHA256, digest};
use crypto_mb::{Key, LANES, Library, Number};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const PEMS: &str = include_str!("../../../tests/data/dkim-keys.pem");
const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Lanes of which one fails: its result has a bit turned, or there is none.
struct Faulty {
    library: Library,
    lane: usize,
    turned: Option<usize>,
}

/// A machine in which every lane fails: for what does not depend on the arithmetic.
struct Broken;

impl Lanes for Faulty {
    fn private(&self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        let mut results = self.library.private(lanes);
        match (&mut results[self.lane], self.turned) {
            (Some(result), Some(bit)) => result[bit / 8] ^= 1 << (bit % 8),
            (result, _) => *result = None,
        }
        results
    }

    fn public(&self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        self.library.public(lanes)
    }
}

impl Lanes for Broken {
    fn private(&self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        vec![None; lanes.len()]
    }

    fn public(&self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        vec![Some([0; 256]); lanes.len()]
    }
}

fn library() -> Option<Library> {
    Library::open().inspect_err(|why| eprintln!("nothing to look at: {why}")).ok()
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(Config { providers: 1 }))
}

fn pairs(count: usize) -> Vec<KeyPair> {
    let end = "-----END PRIVATE KEY-----";
    let pems = PEMS.split_inclusive(end).filter(|text| text.contains(end)).take(count);
    let pairs: Vec<_> =
        pems.map(|pem| KeyPair::parse(pem.as_bytes(), Algorithm::Rsa).expect("openssl made it")).collect();
    assert_eq!(pairs.len(), count);
    pairs
}

fn together(pair: &KeyPair) -> Arc<Key> {
    pair.together().expect("every test key is of the common kind").clone()
}

/// Octets that look like nothing, and are the same each time.
fn message(number: usize) -> Vec<u8> {
    let octets = digest(&SHA256, &number.to_be_bytes());
    octets.as_ref().iter().copied().cycle().take(1 + number % 1500).collect()
}

fn signer(pair: KeyPair) -> Signer {
    let key = DkimKey { selector: "s1".into(), backend: Arc::new(pair) };
    Signer::new("acme.example", vec![key], Duration::from_secs(3600))
}

/// Signs messages `0..count` through `signing`, which expects them all from the start; gives them back by number.
fn through(signing: &Arc<Signing>, signer: &Signer, count: usize) -> Vec<String> {
    let (done, sealed) = mpsc::channel();
    let coming: Vec<_> = (0..count).map(|_| signing.expect()).collect();
    for (number, coming) in coming.into_iter().enumerate() {
        let done = done.clone();
        coming.sign(signer.prepare(&content(number), NOW), move |sealed| done.send((number, sealed)).expect("heard"));
    }
    drop(done);
    let mut all: Vec<_> = sealed.iter().collect();
    all.sort_by_key(|(number, _)| *number);
    assert!(all.iter().map(|(number, _)| *number).eq(0..count), "each once");
    all.into_iter().map(|(_, sealed)| text(sealed)).collect()
}

fn content(number: usize) -> Vec<u8> {
    format!("From: a@acme.example\r\nTo: b{number}@b.example\r\nSubject: x\r\nDate: y\r\n\r\nbody {number}\r\n").into()
}

fn text(sealed: Sealed) -> String {
    String::from_utf8(sealed.0).expect("ASCII")
}

fn threads() -> Arc<rayon::ThreadPool> {
    Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads"))
}

fn figure(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.exposition();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.expect(series).parse().expect("a number")
}

const TOGETHER: &str = "sealpost_signatures_total{algorithm=\"rsa\",backend=\"crypto_mb\"}";
const ALONE: &str = "sealpost_signatures_total{algorithm=\"rsa\",backend=\"aws_lc\"}";
const BATCHES: &str = "sealpost_signature_batches_total";
const FAULTS: &str = "sealpost_signature_faults_total";

/// `MESSAGES` a key, 128 unless told otherwise: eight keys a batch, each message with another key beside it.
#[test]
fn sixty_four_keys_sign_as_aws_lc_does() {
    let Some(library) = library() else { return };
    let messages = std::env::var("MESSAGES").map_or(128, |text| text.parse().expect("a number"));
    let (pairs, metrics) = (pairs(64), metrics());
    let keys: Vec<_> = pairs.iter().map(together).collect();
    for batch in 0..messages * 8 {
        // Lanes go on with steps of their own, so that keys meet in many ways, some of them twice in a batch.
        let chosen: Vec<_> = (0..LANES).map(|lane| (lane * 8 + batch * (lane / 2 + 1)) % 64).collect();
        let octets: Vec<_> = (0..LANES).map(|lane| message(batch * LANES + lane)).collect();
        let lanes: Vec<_> =
            chosen.iter().zip(&octets).map(|(key, octets)| (keys[*key].clone(), encode(octets))).collect();
        for ((signature, key), octets) in sign(&library, &lanes, &metrics).iter().zip(chosen).zip(&octets) {
            let signature = signature.expect("a good lane");
            assert_eq!(signature.as_slice(), pairs[key].sign(octets), "key {key}, batch {batch}");
        }
    }
    assert_eq!(figure(&metrics, FAULTS), 0.0);
    assert_eq!(figure(&metrics, TOGETHER), (messages * 64) as f64);
}

#[test]
fn batches_need_not_be_full() {
    let Some(library) = library() else { return };
    let (pairs, metrics) = (pairs(LANES), metrics());
    for count in 1..=LANES {
        for first in 0..LANES {
            let keys: Vec<_> = (0..count).map(|lane| &pairs[(first + lane * lane) % LANES]).collect();
            let lanes: Vec<_> = keys.iter().zip(0..).map(|(pair, at)| (together(pair), encode(&message(at)))).collect();
            let signatures = sign(&library, &lanes, &metrics);
            assert_eq!(signatures.len(), count);
            for ((signature, pair), at) in signatures.into_iter().zip(keys).zip(0..) {
                assert_eq!(signature.expect("a good lane").as_slice(), pair.sign(&message(at)), "{count} lanes");
            }
        }
    }
}

#[test]
fn a_fault_in_one_lane_costs_that_lane_its_signature_and_no_other() {
    let Some(library) = library() else { return };
    let pairs = pairs(LANES);
    let lanes: Vec<_> = pairs.iter().zip(0..).map(|(pair, at)| (together(pair), encode(&message(at)))).collect();
    for lane in 0..LANES {
        for turned in [Some(0), Some(7), Some(1000), Some(2047), None] {
            let metrics = metrics();
            let signatures = sign(&Faulty { library, lane, turned }, &lanes, &metrics);
            for (at, (signature, pair)) in signatures.into_iter().zip(&pairs).enumerate() {
                let good = pair.sign(&message(at));
                assert_eq!(signature.map(|octets| octets.to_vec()), (at != lane).then_some(good), "{lane} {turned:?}");
            }
            assert_eq!(figure(&metrics, FAULTS), 1.0);
        }
    }
}

/// The same at the other end: what leaves with a message is a signature that verifies, made by aws-lc-rs.
#[test]
fn a_faulty_signature_never_leaves_with_a_message() {
    let Some(library) = library() else { return };
    let signer = signer(pairs(1).remove(0));
    let expected: Vec<_> = (0..LANES).map(|number| text(signer.sign(&content(number), NOW))).collect();
    for turned in [Some(5), None] {
        let metrics = metrics();
        let lanes = Faulty { library, lane: 3, turned };
        let signing = Arc::new(Signing::over(Box::new(lanes), threads(), metrics.clone()).expect("a thread"));
        assert_eq!(through(&signing, &signer, LANES), expected);
        assert_eq!([FAULTS, ALONE].map(|series| figure(&metrics, series)), [1.0, 1.0]);
    }
}

/// Numbers and keys are real, the machine is not: runs everywhere keys for several at a time are read.
#[test]
fn a_machine_whose_every_lane_fails_still_sends_good_signatures() {
    if library().is_none() {
        return;
    }
    let (signer, metrics) = (signer(pairs(1).remove(0)), metrics());
    let signing = Arc::new(Signing::over(Box::new(Broken), threads(), metrics.clone()).expect("a thread"));
    let count = 2 * LANES + FEWEST;
    let expected: Vec<_> = (0..count).map(|number| text(signer.sign(&content(number), NOW))).collect();
    assert_eq!(through(&signing, &signer, count), expected);
    let count = count as f64;
    assert_eq!([FAULTS, ALONE, BATCHES].map(|series| figure(&metrics, series)), [count, count, 3.0]);
}

/// Nobody else comes: without the thread that watches, the last ones would wait for ever and this would hang.
#[test]
fn whoever_nobody_joins_is_signed_all_the_same() {
    let Some(library) = library() else { return };
    let (signer, metrics) = (signer(pairs(1).remove(0)), metrics());
    let signing = Arc::new(Signing::over(Box::new(library), threads(), metrics.clone()).expect("a thread"));
    let expected: Vec<_> = (0..LANES).map(|number| text(signer.sign(&content(number), NOW))).collect();
    for count in 1..LANES {
        assert_eq!(through(&signing, &signer, count), expected[..count]);
    }
    // Few are signed one by one, more of them together.
    let few: usize = (1..FEWEST).sum();
    let more: usize = (FEWEST..LANES).sum();
    assert_eq!([ALONE, TOGETHER].map(|series| figure(&metrics, series)), [few as f64, more as f64]);
}

/// A row that can't be rendered, and one whose key signs by itself, are not waited for.
#[test]
fn those_who_do_not_come_after_all_hold_nobody_up() {
    let Some(library) = library() else { return };
    let (signer, alone) = (signer(pairs(1).remove(0)), Signer::new("acme.example", Vec::new(), Duration::ZERO));
    let signing = Arc::new(Signing::over(Box::new(library), threads(), metrics()).expect("a thread"));
    let (done, sealed) = mpsc::channel();
    let [first, second, third] = [0, 1, 2].map(|_| signing.expect());
    let heard = done.clone();
    first.sign(signer.prepare(&content(1), NOW), move |sealed| heard.send(text(sealed)).expect("heard"));
    drop(second);
    third.sign(alone.prepare(&content(2), NOW), move |sealed| done.send(text(sealed)).expect("heard"));
    assert_eq!(sealed.recv().expect("at once"), "");
    assert_eq!(sealed.recv().expect("soon"), text(signer.sign(&content(1), NOW)));
}

#[test]
fn what_waits_when_the_engine_ends_is_not_lost() {
    let Some(library) = library() else { return };
    let (signer, threads) = (signer(pairs(1).remove(0)), threads());
    let signing = Arc::new(Signing::over(Box::new(library), threads.clone(), metrics()).expect("a thread"));
    let signed = Arc::new(AtomicUsize::new(0));
    let (done, heard) = mpsc::channel();
    let counted = signed.clone();
    signing.expect().sign(signer.prepare(&content(1), NOW), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        done.send(()).expect("heard");
    });
    drop(signing);
    heard.recv().expect("it is signed");
    assert_eq!(signed.load(Ordering::SeqCst), 1);
}

#[test]
fn many_threads_get_every_message_back_once() {
    let Some(library) = library() else { return };
    let (metrics, threads) = (metrics(), threads());
    let signing = Arc::new(Signing::over(Box::new(library), threads.clone(), metrics.clone()).expect("a thread"));
    let signers: Vec<_> = pairs(4).into_iter().map(|pair| Arc::new(signer(pair))).collect();
    let (done, sealed) = mpsc::channel();
    for number in 0..400 {
        let (signer, done, coming) = (signers[number % 4].clone(), done.clone(), signing.expect());
        threads.spawn(move || {
            let unsigned = signer.prepare(&content(number), NOW);
            coming.sign(unsigned, move |sealed| done.send((number, text(sealed))).expect("heard"));
        });
    }
    drop(done);
    let mut all: Vec<_> = sealed.iter().collect();
    all.sort_by_key(|(number, _)| *number);
    assert!(all.iter().map(|(number, _)| *number).eq(0..400), "each once");
    for (number, sealed) in &all {
        assert_eq!(*sealed, text(signers[number % 4].sign(&content(*number), NOW)));
    }
    // All were expected from the start, so no batch left before it was full.
    assert_eq!([TOGETHER, BATCHES].map(|series| figure(&metrics, series)), [400.0, 50.0]);
}
