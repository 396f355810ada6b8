//! Who a peer is: nobody asks, a root vouches for it (rustls does that), or TLSA records do.

use crate::mail::{Peer, TlsaRecord};
use aws_lc_rs::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Asks no root. Signatures are checked whatever else is asked, so that the peer at least holds the key of the certificate it
/// shows.
#[derive(Debug)]
pub(super) struct Unrooted {
    crypto: Arc<CryptoProvider>,
    records: Option<Arc<[TlsaRecord]>>,
}

/// No certificate is one that the TLSA records name.
#[derive(Debug, thiserror::Error)]
#[error("no TLSA record matches")]
pub(super) struct NoMatch;

impl Unrooted {
    /// For `required` and `opportunistic`: encrypted, whoever the peer is.
    pub(super) fn anybody(crypto: Arc<CryptoProvider>) -> Unrooted {
        Unrooted { crypto, records: None }
    }

    /// The peer's certificate, or one above it, is as `records` say (RFC 7672 section 3).
    pub(super) fn named_by(records: Arc<[TlsaRecord]>, crypto: Arc<CryptoProvider>) -> Unrooted {
        Unrooted { crypto, records: Some(records) }
    }
}

/// How a peer with this certificate, which got through, was proven by `records`.
pub(super) fn proven_by(records: &[TlsaRecord], certificate: &CertificateDer<'_>) -> Peer {
    if is_named(records, 3, certificate) { Peer::DaneEe } else { Peer::DaneTa }
}

fn is_named(records: &[TlsaRecord], usage: u8, certificate: &CertificateDer<'_>) -> bool {
    records.iter().any(|record| record.usage == usage && matches(record, certificate))
}

/// Certificates that the records make roots of: those of the chain that they name, or that stand in the zone in whole.
fn anchors(records: &[TlsaRecord], chain: &[CertificateDer<'_>]) -> RootCertStore {
    let mut anchors = RootCertStore::empty();
    let named = chain.iter().filter(|certificate| is_named(records, 2, certificate)).cloned();
    let whole = |record: &&TlsaRecord| (record.usage, record.selector, record.matching) == (2, 0, 0);
    let published = records.iter().filter(whole).map(|record| CertificateDer::from(record.data.as_slice()));
    anchors.add_parsable_certificates(named.chain(published).map(CertificateDer::into_owned));
    anchors
}

/// Whether `certificate` is what `record` names (RFC 6698 section 2.1).
fn matches(record: &TlsaRecord, certificate: &CertificateDer<'_>) -> bool {
    let key;
    let selected = match record.selector {
        0 => certificate.as_ref(),
        _ => match ParsedCertificate::try_from(certificate) {
            Ok(parsed) => {
                key = parsed.subject_public_key_info();
                key.as_ref()
            }
            Err(_) => return false,
        },
    };
    match record.matching {
        0 => selected == record.data,
        1 => digest::digest(&digest::SHA256, selected).as_ref() == record.data,
        2 => digest::digest(&digest::SHA512, selected).as_ref() == record.data,
        _ => false,
    }
}

impl ServerCertVerifier for Unrooted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        status: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(records) = &self.records else { return Ok(ServerCertVerified::assertion()) };
        // RFC 7672 section 3.1.1: neither names nor dates in the certificate count beside the record.
        if is_named(records, 3, certificate) {
            return Ok(ServerCertVerified::assertion());
        }
        let anchors = anchors(records, chain);
        if anchors.is_empty() {
            return Err(no_match());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), self.crypto.clone())
            .build()
            .map_err(|cause| rustls::Error::General(cause.to_string()))?;
        verifier.verify_server_cert(certificate, chain, host, status, now).map_err(|error| match error {
            // The records name an authority, and nothing leads there.
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => no_match(),
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.crypto.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}

fn no_match() -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NoMatch))))
}
