//! Certificates, good and bad, with what TLSA records say of them.

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// A CA.
pub struct Issuer {
    issuer: rcgen::Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with what leads to its issuer, and its key.
pub struct Papers {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    pem: String,
}

impl Issuer {
    pub fn new(name: &str) -> Issuer {
        let key = KeyPair::generate().expect("a key");
        let params = authority(name);
        let certificate = params.self_signed(&key).expect("a CA");
        Issuer { issuer: rcgen::Issuer::new(params, key), certificate }
    }

    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.certificate.pem()).expect("written");
    }

    /// For these names, until the beginning of a year; the issuer goes along.
    pub fn papers(&self, names: &[String], until: i32) -> Papers {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names");
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Papers::of(&[&certificate, &self.certificate], key)
    }

    /// SHA-256 of the whole certificate: what `TLSA 2 0 1` wants.
    pub fn digest(&self) -> Vec<u8> {
        digest(&SHA256, self.certificate.der()).as_ref().to_vec()
    }
}

impl Papers {
    /// As `openssl req -x509` makes them: a CA that serves.
    pub fn self_signed(name: &str) -> Papers {
        let key = KeyPair::generate().expect("a key");
        let mut params = authority(name);
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().expect("a name"))];
        let certificate = params.self_signed(&key).expect("a certificate");
        Papers::of(&[&certificate], key)
    }

    fn of(chain: &[&rcgen::Certificate], key: KeyPair) -> Papers {
        let pem = chain.iter().map(|certificate| certificate.pem()).chain([key.serialize_pem()]).collect();
        Papers { chain: chain.iter().map(|certificate| certificate.der().clone()).collect(), key, pem }
    }

    /// SHA-256 of the public key: what `TLSA 3 1 1` wants.
    pub fn key_digest(&self) -> Vec<u8> {
        digest(&SHA256, &self.key.subject_public_key_info()).as_ref().to_vec()
    }

    /// What a server needs.
    pub fn server(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("they fit").with_no_client_auth();
        Arc::new(builder.with_single_cert(self.chain.clone(), key).expect("they fit"))
    }

    /// All in one PEM file.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).expect("written");
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
