//! Signing keys: read, made, published.

use super::Backend;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use crypto_mb::{Key, Library, Parts};
use data_encoding::{BASE64, BASE64_MIME};
use std::sync::Arc;
use x509_cert::der::asn1::{AnyRef, OctetStringRef, UintRef};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use zeroize::Zeroizing;

/// Signature algorithms that receivers verify (RFC 8301, RFC 8463).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `rsa-sha256`.
    Rsa,
    /// `ed25519-sha256`.
    Ed25519,
}

impl Algorithm {
    /// The value of `a=`.
    pub fn tag(self) -> &'static str {
        match self {
            Algorithm::Rsa => "rsa-sha256",
            Algorithm::Ed25519 => "ed25519-sha256",
        }
    }
}

/// A private key, parsed once.
pub enum KeyPair {
    /// RSA of 2048 bits or more, and, where several can sign together on this machine, the same key for that.
    Rsa(RsaKeyPair, Option<Arc<Key>>),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

/// A key with the selector under which it is published.
pub struct DkimKey {
    /// `s=`.
    pub selector: String,
    /// What fills `b=`.
    pub backend: Arc<dyn Backend>,
}

/// A key that can't sign.
#[derive(Debug, thiserror::Error)]
pub enum KeyTrouble {
    /// Not PEM with a PKCS #8 private key in it.
    #[error("is no PKCS #8 private key in PEM (BEGIN PRIVATE KEY)")]
    NotPkcs8,
    /// Some other kind of key.
    #[error("is not an {0} key")]
    OtherKind(&'static str),
    /// RFC 8301 section 3.2.
    #[error("is an RSA key of {0} bits; 2048 are needed")]
    TooShort(usize),
}

impl KeyPair {
    /// Reads a PKCS #8 PEM.
    ///
    /// # Errors
    /// It is none, of another kind, or too short.
    pub fn parse(pem: &[u8], algorithm: Algorithm) -> Result<KeyPair, KeyTrouble> {
        let der = pem_body(pem).ok_or(KeyTrouble::NotPkcs8)?;
        match algorithm {
            Algorithm::Rsa => {
                let pair = RsaKeyPair::from_pkcs8(&der).map_err(|_| KeyTrouble::OtherKind("RSA"))?;
                let bits = pair.public_modulus_len() * 8;
                if bits < 2048 {
                    return Err(KeyTrouble::TooShort(bits));
                }
                let together = Library::open().ok().and_then(|_| key(&der)).map(Arc::new);
                Ok(KeyPair::Rsa(pair, together))
            }
            Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
                .map(KeyPair::Ed25519)
                .map_err(|_| KeyTrouble::OtherKind("Ed25519")),
        }
    }
}

impl Backend for KeyPair {
    fn algorithm(&self) -> Algorithm {
        match self {
            KeyPair::Rsa(..) => Algorithm::Rsa,
            KeyPair::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    fn sign(&self, signed: &[u8]) -> Vec<u8> {
        match self {
            KeyPair::Rsa(pair, _) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature)
                    .expect("a parsed RSA key signs into a buffer of its modulus's length");
                signature
            }
            // RFC 8463 section 3: the SHA-256 of the octets is what Ed25519 signs.
            KeyPair::Ed25519(pair) => {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, signed);
                pair.sign(digest.as_ref()).as_ref().to_vec()
            }
        }
    }

    fn public_key(&self) -> Vec<u8> {
        match self {
            KeyPair::Rsa(pair, _) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a parsed RSA key has a public key");
                der.as_ref().to_vec()
            }
            KeyPair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    fn together(&self) -> Option<&Arc<Key>> {
        match self {
            KeyPair::Rsa(_, together) => together.as_ref(),
            KeyPair::Ed25519(_) => None,
        }
    }
}

/// The parts of an RSA key in PKCS #8 (RFC 5208) as PKCS #1 (RFC 8017 appendix A.1.2) lists them; `None` where it is a key that
/// only signs by itself.
pub(super) fn key(der: &[u8]) -> Option<Key> {
    let mut outer = SliceReader::new(der).ok()?;
    let pkcs1 = outer.sequence(|info| {
        UintRef::decode(info)?;
        AnyRef::decode(info)?;
        let pkcs1 = OctetStringRef::decode(info)?;
        // Attributes may follow; they say nothing of the key.
        while !info.is_finished() {
            AnyRef::decode(info)?;
        }
        Ok(pkcs1)
    });
    let mut inner = SliceReader::new(pkcs1.ok()?.as_bytes()).ok()?;
    inner
        .sequence(|numbers| {
            UintRef::decode(numbers)?;
            let mut next = || UintRef::decode(numbers).map(|number| number.as_bytes());
            let [modulus, public_exponent, _, prime_1, prime_2] = [next()?, next()?, next()?, next()?, next()?];
            let [exponent_1, exponent_2, coefficient] = [next()?, next()?, next()?];
            let parts = Parts { modulus, public_exponent, prime_1, prime_2, exponent_1, exponent_2, coefficient };
            Ok(Key::new(parts))
        })
        .ok()?
}

/// A new key as PKCS #8 PEM.
pub fn generate(algorithm: Algorithm) -> Zeroizing<String> {
    let der = match algorithm {
        Algorithm::Rsa => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("the random source answers");
            let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("a new key serialises");
            Zeroizing::new(der.as_ref().to_vec())
        }
        Algorithm::Ed25519 => {
            let pair = Ed25519KeyPair::generate().expect("the random source answers");
            Zeroizing::new(pair.to_pkcs8v1().expect("a new key serialises").as_ref().to_vec())
        }
    };
    let body = Zeroizing::new(BASE64_MIME.encode(&der).replace('\r', ""));
    Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", body.as_str()))
}

/// The TXT record to publish at `<selector>._domainkey.<domain>` (RFC 6376 section 3.6.1, RFC 8463 section 4).
pub fn dns_record(backend: &dyn Backend) -> String {
    let kind = match backend.algorithm() {
        Algorithm::Rsa => "rsa",
        Algorithm::Ed25519 => "ed25519",
    };
    format!("v=DKIM1; k={kind}; p={}", BASE64.encode(&backend.public_key()))
}

fn pem_body(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    BASE64.decode(body.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_keys_are_read_back_and_others_refused() {
        for (algorithm, other) in [(Algorithm::Rsa, Algorithm::Ed25519), (Algorithm::Ed25519, Algorithm::Rsa)] {
            let pem = generate(algorithm);
            let pair = KeyPair::parse(pem.as_bytes(), algorithm).expect("its own kind");
            assert_eq!(pair.algorithm(), algorithm);
            assert!(matches!(KeyPair::parse(pem.as_bytes(), other), Err(KeyTrouble::OtherKind(_))));
            assert!(dns_record(&pair).starts_with("v=DKIM1; k="));
        }
        assert!(matches!(KeyPair::parse(b"hello", Algorithm::Rsa), Err(KeyTrouble::NotPkcs8)));
    }

    #[test]
    fn what_is_no_rsa_key_of_the_common_kind_signs_by_itself() {
        let der = pem_body(generate(Algorithm::Rsa).as_bytes()).expect("PEM");
        assert!(key(&der).is_some());
        for length in 0..der.len() {
            assert!(key(&der[..length]).is_none(), "{length} octets of {}", der.len());
        }
        let other = pem_body(generate(Algorithm::Ed25519).as_bytes()).expect("PEM");
        assert!(key(&other).is_none());
        let [short, long] = [KeySize::Rsa2048, KeySize::Rsa3072].map(|size| RsaKeyPair::generate(size).expect("a key"));
        let der = |pair: &RsaKeyPair| {
            let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("serialises");
            der.as_ref().to_vec()
        };
        assert!(key(&der(&short)).is_some() && key(&der(&long)).is_none());
    }
}
