//! Certificates on the spot: a CA made at start or kept from an earlier one, and a leaf for whatever name a client asks for.

use super::SandboxError;
use crate::secret::write_owner_only;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
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
    pub(super) fn new(address: IpAddr) -> Result<Authority, SandboxError> {
        let key = KeyPair::generate()?;
        let pem = params().self_signed(&key)?.pem();
        Authority::of(address, key, pem)
    }

    /// The CA of an earlier server, kept in the file at `path`; a new one is made and kept where there is none.
    pub(super) fn kept(address: IpAddr, path: &Path) -> Result<Authority, SandboxError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                let text = key.serialize_pem() + &params().self_signed(&key)?.pem();
                write_owner_only(path, text.as_bytes())?;
                text
            }
            Err(error) => return Err(error.into()),
        };
        let certificate = text.find(CERTIFICATE).map(|at| text[at..].to_owned());
        let pem = certificate.ok_or_else(|| std::io::Error::other(format!("{}: no certificate", path.display())))?;
        Authority::of(address, KeyPair::from_pem(&text)?, pem)
    }

    fn of(address: IpAddr, key: KeyPair, pem: String) -> Result<Authority, SandboxError> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(std::io::Error::other)?.to_vec();
        // What clients trust is the name and the key: issuing needs no more of the certificate.
        let issuer = Issuer::new(params(), key);
        let leaf_key = KeyPair::generate()?;
        Ok(Authority { issuer, leaf_key, certificate, pem, address, leaves: Mutex::default() })
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

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Sealpost sandbox");
    params.distinguished_name = name;
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_kept_authority_stays_the_same_and_is_nobody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("identity");
        let open = || Authority::kept(Ipv4Addr::LOCALHOST.into(), &path).expect("an authority");
        let (first, second) = (open(), open());
        assert_eq!((first.der(), first.pem()), (second.der(), second.pem()));
        assert!(second.leaf("mx.b.example").is_some());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("there").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
