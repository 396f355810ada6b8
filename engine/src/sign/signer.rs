//! Puts DKIM signatures over a message.

use super::{Algorithm, DkimKey, canon};
use crate::clock::Timestamp;
use crate::mail::Sealed;
use crypto_mb::Key;
use data_encoding::BASE64;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What fills `b=`.
pub trait Backend: Send + Sync {
    /// The value of `a=`.
    fn algorithm(&self) -> Algorithm;
    /// The signature over canonical header octets.
    fn sign(&self, signed: &[u8]) -> Vec<u8>;
    /// The public key as `p=` publishes it.
    fn public_key(&self) -> Vec<u8>;
    /// The key in the form in which it signs together with others, where it can; the signatures are the same.
    fn together(&self) -> Option<&Arc<Key>> {
        None
    }
}

/// Signs for one domain with all its keys. Parsed once and shared by every rendering thread.
pub struct Signer {
    domain: String,
    keys: Vec<DkimKey>,
    valid: Duration,
}

/// The signature fields of a message, without the signatures.
pub struct Unsigned {
    pub(super) fields: Vec<Field>,
    /// Octets that will follow.
    content: usize,
    /// Time that it took to come this far.
    pub(super) spent: Duration,
}

/// One of them.
pub(super) struct Field {
    /// Up to `b=`.
    head: String,
    /// Canonical octets of what is signed.
    pub(super) signed: Vec<u8>,
    /// Fills `b=`.
    pub(super) backend: Arc<dyn Backend>,
}

/// Signed once more than they occur, so that a second one added on the way breaks the signature (RFC 6376 section 5.4.2).
const OVERSIGNED: [&str; 4] = ["from", "subject", "to", "date"];
/// `x=` lies this far past a message's lifetime, for receivers that verify late.
const GRACE: Duration = Duration::from_secs(7 * 24 * 3600);
const FOLD: usize = 72;

impl Signer {
    /// A signer whose signatures outlive a message's `lifetime`.
    pub fn new(domain: &str, keys: Vec<DkimKey>, lifetime: Duration) -> Signer {
        Signer { domain: domain.to_owned(), keys, valid: lifetime + GRACE }
    }

    /// The DKIM-Signature header fields over `content`, one a key.
    pub fn sign(&self, content: &[u8], now: Timestamp) -> Sealed {
        let unsigned = self.prepare(content, now);
        let signatures: Vec<_> = unsigned.fields.iter().map(|field| field.backend.sign(&field.signed)).collect();
        unsigned.seal(&signatures)
    }

    /// All of [`sign`](Signer::sign) but the use of the keys.
    pub fn prepare(&self, content: &[u8], now: Timestamp) -> Unsigned {
        let since = Instant::now();
        let (fields, body) = canon::split(content);
        let body_hash = BASE64.encode(canon::body_hash(body).as_ref());
        let (names, octets) = signed_fields(&fields);
        let field = |key: &DkimKey| {
            let head = self.head(key, now, &names, &body_hash);
            let mut signed = octets.clone();
            canon::header(head.as_bytes(), &mut signed);
            Field { head, signed, backend: key.backend.clone() }
        };
        let fields = self.keys.iter().map(field).collect();
        Unsigned { fields, content: content.len(), spent: since.elapsed() }
    }

    fn head(&self, key: &DkimKey, now: Timestamp, names: &str, body_hash: &str) -> String {
        format!(
            "DKIM-Signature: v=1; a={}; c=relaxed/relaxed; d={};\r\n\ts={}; t={}; x={};\r\n\th={};\r\n\tbh={};\r\n\tb=",
            key.backend.algorithm().tag(),
            self.domain,
            key.selector,
            now.seconds(),
            now.after(self.valid).seconds(),
            names,
            body_hash,
        )
    }
}

impl Unsigned {
    /// The fields with their signatures, of which there is one for each.
    pub(super) fn seal(self, signatures: &[Vec<u8>]) -> Sealed {
        let mut out = Vec::with_capacity(self.content + 1024 * self.fields.len());
        for (field, signature) in self.fields.iter().zip(signatures) {
            out.extend_from_slice(field.head.as_bytes());
            fold(&BASE64.encode(signature), &mut out);
        }
        Sealed(out)
    }
}

/// The value of `h=`, folded, and the canonical octets of every field, each with CR LF. We sign all fields that stand in the
/// message: we wrote them all.
fn signed_fields(fields: &[&[u8]]) -> (String, Vec<u8>) {
    let mut octets = Vec::with_capacity(fields.iter().map(|field| field.len() + 2).sum());
    let mut names = Vec::with_capacity(fields.len() + OVERSIGNED.len());
    // The last of a name first (section 5.4.2); our fields are all singular, so order only has to agree with `h=`.
    for field in fields.iter().rev() {
        let start = octets.len();
        canon::header(field, &mut octets);
        let name = octets[start..].split(|octet| *octet == b':').next().unwrap_or_default();
        names.push(String::from_utf8_lossy(name).into_owned());
        octets.extend_from_slice(b"\r\n");
    }
    names.extend(OVERSIGNED.map(str::to_owned));
    let mut folded = String::new();
    let mut width = 0;
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            folded.push(':');
        }
        if width + name.len() > FOLD {
            folded.push_str("\r\n\t ");
            width = 0;
        }
        folded.push_str(name);
        width += name.len() + 1;
    }
    (folded, octets)
}

fn fold(signature: &str, out: &mut Vec<u8>) {
    for (at, piece) in signature.as_bytes().chunks(FOLD).enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\r\n\t ");
        }
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::{KeyPair, generate};
    use super::*;

    #[test]
    fn one_field_a_key_over_signed_and_without_length() {
        let keys = [Algorithm::Rsa, Algorithm::Ed25519].map(|algorithm| DkimKey {
            selector: "s".into(),
            backend: Arc::new(KeyPair::parse(generate(algorithm).as_bytes(), algorithm).expect("a key")),
        });
        let signer = Signer::new("acme.example", keys.into(), Duration::from_secs(48 * 3600));
        let content = b"From: a@acme.example\r\nTo: b@b.example\r\nSubject: x\r\nDate: y\r\n\r\nbody\r\n";
        let text = String::from_utf8(signer.sign(content, Timestamp(1_000_000)).0).expect("ASCII");
        assert_eq!(text.matches("DKIM-Signature: ").count(), 2);
        assert!(text.contains("h=date:subject:to:from:from:subject:to:date;"), "{text}");
        assert!(!text.contains(" l="), "{text}");
        let days = 9 * 24 * 3600;
        assert!(text.contains(&format!("t=1000; x={};", 1000 + days)), "{text}");
        assert!(text.split("\r\n").all(|line| line.len() <= 100), "{text}");
    }
}
