//! How handshakes fail, in our words.

use super::verifier::NoMatch;
use crate::mail::TlsFault;
use crate::smtp::IoFault;
use rustls::{AlertDescription, CertificateError};
use std::io;

/// Why there is no TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::smtp) enum Trouble {
    /// It fell short of the demand.
    Tls(TlsFault),
    /// The connection broke: that may be anybody's doing, and says nothing of what the peer can.
    Connection(IoFault),
}

impl Trouble {
    /// tokio-rustls hands rustls's error over inside an `io::Error`; this is where the fault is born for us.
    pub(super) fn of(error: io::Error) -> Trouble {
        rustls_error(&error).map_or(Trouble::Connection(IoFault::Lost), |error| Trouble::Tls(fault(error)))
    }
}

pub(super) fn fault(error: &rustls::Error) -> TlsFault {
    match error {
        rustls::Error::InvalidCertificate(cause) => of_certificate(cause),
        rustls::Error::AlertReceived(alert) if about_our_certificate(*alert) => TlsFault::ClientCertificate,
        // Old servers say the one where they miss a version, and the other where they miss a suite.
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity)
        | rustls::Error::PeerIncompatible(_) => TlsFault::NoCommonVersion,
        _ => TlsFault::HandshakeFailed,
    }
}

fn of_certificate(cause: &CertificateError) -> TlsFault {
    match cause {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TlsFault::CertificateExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsFault::NameMismatch,
        CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
        CertificateError::Other(cause) if cause.0.is::<NoMatch>() => TlsFault::TlsaMismatch,
        CertificateError::Other(cause) if is_a_ca(&*cause.0) => TlsFault::UnknownIssuer,
        _ => TlsFault::CertificateInvalid,
    }
}

/// Whether the server shows a certificate of a CA as its own: so `openssl req -x509` makes those that sign themselves, and
/// that is said before any root is looked for.
fn is_a_ca(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whether a connection broke because of our own certificate.
pub(in crate::smtp) fn refuses_our_certificate(error: &io::Error) -> bool {
    matches!(rustls_error(error), Some(rustls::Error::AlertReceived(alert)) if about_our_certificate(*alert))
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
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
