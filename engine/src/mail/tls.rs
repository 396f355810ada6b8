//! What a campaign demands of TLS, and how TLS can fall short of it.

use serde::{Deserialize, Serialize};

/// Levels of transport security, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// TLS where it works, clear text where it doesn't.
    Opportunistic,
    /// Encrypted, whoever the peer is.
    Required,
    /// Encrypted, and the peer's certificate proves the MX host's name.
    Verified,
}

/// What must hold before MAIL FROM. Nothing lowers it once it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand(Level);

impl Demand {
    /// A demand for `level`.
    pub fn new(level: Level) -> Demand {
        Demand(level)
    }

    /// `self`, and `level` at least.
    #[must_use]
    pub fn raise(self, level: Level) -> Demand {
        Demand(self.0.max(level))
    }

    /// What is demanded.
    pub fn level(self) -> Level {
        self.0
    }
}

/// How TLS with a peer fell short. The names are what reports and, later, TLS-RPT count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// STARTTLS was not offered.
    #[error("no_starttls")]
    NoStartTls,
    /// STARTTLS was offered and then refused.
    #[error("starttls_refused")]
    StartTlsRefused,
    /// Octets followed the reply to STARTTLS in clear (CVE-2011-0411).
    #[error("starttls_injection")]
    Injection,
    /// No version of TLS 1.2 or above in common.
    #[error("no_common_version")]
    NoCommonVersion,
    /// The certificate is past its time, or before it.
    #[error("certificate_expired")]
    CertificateExpired,
    /// The certificate is for another name.
    #[error("name_mismatch")]
    NameMismatch,
    /// The certificate leads to no root we trust.
    #[error("unknown_issuer")]
    UnknownIssuer,
    /// Any other fault of the certificate.
    #[error("certificate_invalid")]
    CertificateInvalid,
    /// The server refused our certificate, or asked for one that we have not.
    #[error("client_certificate_refused")]
    ClientCertificate,
    /// Any other fault of the handshake.
    #[error("handshake_failed")]
    HandshakeFailed,
}

impl TlsFault {
    /// The closed label that reports show.
    pub fn label(self) -> &'static str {
        match self {
            TlsFault::NoStartTls => "no_starttls",
            TlsFault::StartTlsRefused => "starttls_refused",
            TlsFault::Injection => "starttls_injection",
            TlsFault::NoCommonVersion => "no_common_version",
            TlsFault::CertificateExpired => "certificate_expired",
            TlsFault::NameMismatch => "name_mismatch",
            TlsFault::UnknownIssuer => "unknown_issuer",
            TlsFault::CertificateInvalid => "certificate_invalid",
            TlsFault::ClientCertificate => "client_certificate_refused",
            TlsFault::HandshakeFailed => "handshake_failed",
        }
    }
}
