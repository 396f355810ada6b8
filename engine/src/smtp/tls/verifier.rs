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
use std::sync::atomic::{AtomicBool, Ordering};

/// For `required` and `opportunistic`: encrypted, whoever the peer is.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

/// The peer's certificate, or one above it, is as the TLSA records say (RFC 7672 section 3).
#[derive(Debug)]
pub(super) struct DaneCertificate {
    crypto: Arc<CryptoProvider>,
    records: Arc<[TlsaRecord]>,
    /// Whether the last peer was proven by a certificate above its own.
    by_anchor: AtomicBool,
}

/// No certificate is one that the TLSA records name.
#[derive(Debug, thiserror::Error)]
#[error("no TLSA record matches")]
pub(super) struct NoMatch;

impl DaneCertificate {
    pub(super) fn new(crypto: Arc<CryptoProvider>, records: Arc<[TlsaRecord]>) -> DaneCertificate {
        DaneCertificate { crypto, records, by_anchor: AtomicBool::new(false) }
    }

    /// How the last peer was proven.
    pub(super) fn peer(&self) -> Peer {
        if self.by_anchor.load(Ordering::SeqCst) { Peer::DaneTa } else { Peer::DaneEe }
    }

    fn matches(&self, usage: u8, certificate: &CertificateDer<'_>) -> bool {
        self.records.iter().any(|record| record.usage == usage && matches(record, certificate))
    }

    /// Certificates that the records make roots of: those of the chain that they name, or that stand in the zone in whole.
    fn anchors(&self, chain: &[CertificateDer<'_>]) -> RootCertStore {
        let mut anchors = RootCertStore::empty();
        let named = chain.iter().filter(|certificate| self.matches(2, certificate)).cloned();
        let whole = |record: &&TlsaRecord| (record.usage, record.selector, record.matching) == (2, 0, 0);
        let published = self.records.iter().filter(whole).map(|record| CertificateDer::from(record.data.as_slice()));
        anchors.add_parsable_certificates(named.chain(published).map(CertificateDer::into_owned));
        anchors
    }
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

impl ServerCertVerifier for DaneCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        status: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // RFC 7672 section 3.1.1: neither names nor dates in the certificate count beside the record.
        if self.matches(3, certificate) {
            self.by_anchor.store(false, Ordering::SeqCst);
            return Ok(ServerCertVerified::assertion());
        }
        let anchors = self.anchors(chain);
        if anchors.is_empty() {
            let cause = CertificateError::Other(OtherError(Arc::new(NoMatch)));
            return Err(rustls::Error::InvalidCertificate(cause));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), self.crypto.clone())
            .build()
            .map_err(|cause| rustls::Error::General(cause.to_string()))?;
        let verified = verifier.verify_server_cert(certificate, chain, host, status, now)?;
        self.by_anchor.store(true, Ordering::SeqCst);
        Ok(verified)
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

/// Its signatures are still checked, so that the peer at least holds the key of the certificate it shows.
impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
