//! Certificates on the spot: a CA made at start, and a leaf for whatever name a client asks for.

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// The sandbox's own CA.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    leaf_key: KeyPair,
    certificate: Vec<u8>,
    pem: String,
    address: IpAddr,
    leaves: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A new CA for a server at `address`.
    pub(super) fn new(address: IpAddr) -> Result<Authority, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "Sealpost sandbox");
        params.distinguished_name = name;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let (der, pem) = (certificate.der().to_vec(), certificate.pem());
        let issuer = Issuer::new(params, key);
        Ok(Authority {
            issuer,
            leaf_key: KeyPair::generate()?,
            certificate: der,
            pem,
            address,
            leaves: Mutex::default(),
        })
    }

    /// Its certificate in DER.
    pub(super) fn der(&self) -> &[u8] {
        &self.certificate
    }

    /// Its certificate in PEM.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    fn leaf(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let mut leaves = self.leaves.lock().expect("no holder panics");
        if let Some(leaf) = leaves.get(name) {
            return Some(leaf.clone());
        }
        let params = CertificateParams::new(vec![name.to_owned()]).ok()?;
        let certificate = params.signed_by(&self.leaf_key, &self.issuer).ok()?;
        let key = PrivateKeyDer::try_from(self.leaf_key.serialize_der()).ok()?;
        let key = aws_lc_rs::sign::any_supported_type(&key).ok()?;
        let leaf = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key));
        leaves.insert(name.to_owned(), leaf.clone());
        Some(leaf)
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name() {
            Some(name) => self.leaf(name),
            // Clients that connect to an address send no name (RFC 6066 section 3).
            None => self.leaf(&self.address.to_string()),
        }
    }
}
