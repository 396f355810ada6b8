//! TLS 1.2 and 1.3 towards MX hosts, and the proof that it gives.

use super::Wire;
use crate::mail::{Demand, Level, TlsFault};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore,
    SignatureScheme,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a session's transport has proven. Only this module makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    level: Level,
    version: &'static str,
}

impl Proof {
    /// Nothing is proven: clear text.
    pub(super) fn clear() -> Proof {
        Proof { level: Level::Opportunistic, version: "none" }
    }

    /// What a handshake would have proven.
    #[cfg(test)]
    pub(super) fn of_test(level: Level) -> Proof {
        Proof { level, version: "TLSv1.3" }
    }

    /// Whether a message that demands `demand` may travel here.
    pub fn satisfies(&self, demand: Demand) -> bool {
        self.level >= demand.level()
    }

    /// `TLSv1.3`, `TLSv1.2`, or `none`.
    pub fn version(&self) -> &'static str {
        self.version
    }
}

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
    fn file(path: &Path, cause: &dyn std::fmt::Display) -> RootsError {
        RootsError::File { path: path.to_owned(), cause: cause.to_string() }
    }
}

/// Makes TLS connections; shared by all sessions, whose tickets it keeps.
#[derive(Clone)]
pub struct Connector {
    verifying: Arc<ClientConfig>,
    encrypting: Arc<ClientConfig>,
    identified: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// A connector that trusts `roots` and shows `identity` where a server is entered with a certificate.
    ///
    /// # Errors
    /// A root can't be read, or there is none; the identity can't be read, or its key is another's.
    pub fn new(roots: &[Root], identity: Option<&Identity>) -> Result<Connector, RootsError> {
        let store = roots_of(roots)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
                .expect("aws-lc-rs does both versions")
        };
        let verifying = builder().with_root_certificates(store.clone()).with_no_client_auth();
        let identified = identity.map(|identity| {
            let fail = |cause: &dyn std::fmt::Display| RootsError::file(&identity.certificate, cause);
            let chain = certificates(&identity.certificate)?;
            let key =
                PrivateKeyDer::from_pem_file(&identity.key).map_err(|cause| RootsError::file(&identity.key, &cause))?;
            let config = builder().with_root_certificates(store).with_client_auth_cert(chain, key);
            config.map(Arc::new).map_err(|cause| fail(&cause))
        });
        let verifier = Arc::new(AnyCertificate(provider.clone()));
        let encrypting = builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        let (verifying, encrypting) = (Arc::new(verifying), Arc::new(encrypting));
        Ok(Connector { verifying, encrypting, identified: identified.transpose()? })
    }

    /// Does the handshake with the MX host `name` over `stream`.
    ///
    /// # Errors
    /// How TLS fell short of `demand`.
    pub(super) async fn connect(
        &self,
        stream: Wire,
        name: &str,
        demand: Demand,
        identified: bool,
    ) -> Result<(TlsStream<Wire>, Proof), TlsFault> {
        let verified = demand.level() >= Level::Verified;
        let config = match &self.identified {
            Some(config) if verified && identified => config,
            _ if verified => &self.verifying,
            _ => &self.encrypting,
        };
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsFault::NameMismatch)?;
        let stream = TlsConnector::from(config.clone()).connect(name, stream).await.map_err(|error| fault(&error))?;
        let version = match stream.get_ref().1.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => return Err(TlsFault::NoCommonVersion),
        };
        let level = if verified { Level::Verified } else { Level::Required };
        Ok((stream, Proof { level, version }))
    }
}

fn roots_of(roots: &[Root]) -> Result<RootCertStore, RootsError> {
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

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|cause| RootsError::file(path, &cause))?;
    found.collect::<Result<_, _>>().map_err(|cause| RootsError::file(path, &cause))
}

/// tokio-rustls hands rustls's error over inside an `io::Error`; this is where the fault is born for us.
fn fault(error: &std::io::Error) -> TlsFault {
    let Some(error) = rustls_error(error) else { return TlsFault::HandshakeFailed };
    match error {
        rustls::Error::InvalidCertificate(cause) => match cause {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFault::CertificateExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::NameMismatch
            }
            CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
            _ => TlsFault::CertificateInvalid,
        },
        rustls::Error::AlertReceived(alert) if about_our_certificate(*alert) => TlsFault::ClientCertificate,
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_) => {
            TlsFault::NoCommonVersion
        }
        _ => TlsFault::HandshakeFailed,
    }
}

/// Whether a connection broke because of our own certificate.
pub(super) fn refuses_our_certificate(error: &std::io::Error) -> bool {
    matches!(rustls_error(error), Some(rustls::Error::AlertReceived(alert)) if about_our_certificate(*alert))
}

fn rustls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

/// What a server says that does not like our certificate, or misses one (RFC 8446 section 6.2).
fn about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

/// For `required` and `opportunistic`: encrypted, whoever the peer is. Its signatures are still checked, so that the peer at
/// least holds the key of the certificate it shows.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

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
