//! RSASSA-PKCS1-v1_5 signatures (RFC 8017 section 8.2) with SHA-256, up to eight at a time.
//!
//! A fault in a private operation by the Chinese remainder theorem (a bit that flips in memory or in the CPU) gives the key
//! away to whoever sees the result. So every result is raised to the public exponent before anybody sees it, and what does not
//! come out as it went in is thrown away: the caller signs that message alone, with aws-lc-rs.

use crate::metrics::Metrics;
use aws_lc_rs::digest::{SHA256, digest};
use crypto_mb::{Key, LANES, Library, Number, OCTETS};
use std::sync::Arc;

/// What does the arithmetic.
pub(super) trait Lanes: Send + Sync {
    /// Raises each number to its key's private exponent; see [`Library::private`].
    fn private(&self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>>;
    /// Raises each number to its key's public exponent.
    fn public(&self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>>;
}

impl Lanes for Library {
    fn private(&self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        Library::private(*self, lanes)
    }

    fn public(&self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        Library::public(*self, lanes)
    }
}

/// DER of `DigestInfo` for SHA-256 up to the digest (RFC 8017 section 9.2, note 1).
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// Octets before it.
const PADDING: usize = OCTETS - DIGEST_INFO.len() - 32;

/// EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) of `signed` for a key of 2048 bits.
pub(super) fn encode(signed: &[u8]) -> Number {
    let mut encoded = [0xff; OCTETS];
    let (padding, rest) = encoded.split_at_mut(PADDING);
    let (info, hash) = rest.split_at_mut(DIGEST_INFO.len());
    padding[..2].copy_from_slice(&[0, 1]);
    padding[PADDING - 1] = 0;
    info.copy_from_slice(&DIGEST_INFO);
    hash.copy_from_slice(digest(&SHA256, signed).as_ref());
    encoded
}

/// Signs what was [`encode`]d, each with its key. `None` where there is no signature that verifies: the message is to be signed
/// in another way, and the fault was counted.
pub(super) fn sign(lanes: &dyn Lanes, batch: &[(Arc<Key>, Number)], metrics: &Metrics) -> Vec<Option<Number>> {
    assert!(batch.len() <= LANES, "batches are made of eight");
    let inputs: Vec<(&Key, &Number)> = batch.iter().map(|(key, encoded)| (key.as_ref(), encoded)).collect();
    let results = metrics.signing.signed_together(batch.len(), || lanes.private(&inputs));
    // A lane that was refused is verified all the same, as zero: so that lanes keep their numbers.
    let results: Vec<Number> = results.into_iter().map(|result| result.unwrap_or([0; OCTETS])).collect();
    let outputs: Vec<_> = inputs.iter().zip(&results).map(|((key, _), result)| (*key, result)).collect();
    let opened = metrics.signing.verified(|| lanes.public(&outputs));
    let believed = results.into_iter().zip(opened).zip(batch);
    believed
        .map(|((result, opened), (_, encoded))| {
            let holds = opened.is_some_and(|opened| opened == *encoded);
            if !holds {
                note_fault(metrics);
            }
            holds.then_some(result)
        })
        .collect()
}

/// Says it the first time, the second, the fourth and so on: a machine that is broken would fill the disk.
fn note_fault(metrics: &Metrics) {
    metrics.signing.faults.inc();
    let faults = metrics.signing.faults.get();
    if faults.is_power_of_two() {
        tracing::error!(
            faults,
            "a signature made with others does not verify; it was made again by itself: is this machine sound?"
        );
    }
}
