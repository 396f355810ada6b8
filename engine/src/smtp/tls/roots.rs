//! Whom we trust, and who we are.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};

/// Where trusted certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The system's store.
    System,
    /// A PEM file.
    File(PathBuf),
    /// A certificate in DER: a rehearsal's own.
    Der(Vec<u8>),
}

/// Our own certificate, for a smarthost that asks for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and what leads to its issuer, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM, readable by its owner only.
    pub key: PathBuf,
}

/// Roots or a certificate of our own that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A file without certificates.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Nothing to trust: every certificate would be refused.
    #[error("[tls] roots names no certificate at all")]
    None,
}

impl RootsError {
    pub(super) fn file(path: &Path, cause: &dyn std::fmt::Display) -> RootsError {
        RootsError::File { path: path.to_owned(), cause: cause.to_string() }
    }
}

/// The certificates that `roots` name.
///
/// # Errors
/// One of them can't be read, or there is none.
pub fn trusted(roots: &[Root]) -> Result<RootCertStore, RootsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        match root {
            Root::System => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Root::Der(der) => {
                store.add_parsable_certificates([CertificateDer::from(der.clone())]);
            }
            Root::File(path) => {
                if store.add_parsable_certificates(certificates(path)?).0 == 0 {
                    return Err(RootsError::file(path, &"holds no certificate that can be used"));
                }
            }
        }
    }
    if store.is_empty() { Err(RootsError::None) } else { Ok(store) }
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|cause| RootsError::file(path, &cause))?;
    found.collect::<Result<_, _>>().map_err(|cause| RootsError::file(path, &cause))
}
