//! How TLS can fall short of what is demanded.

use serde::{Deserialize, Serialize};

/// How TLS with a peer fell short. The names are what reports and, later, TLS-RPT count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// STARTTLS was not offered.
    NoStartTls,
    /// STARTTLS was offered and then refused.
    StartTlsRefused,
    /// Octets followed the reply to STARTTLS in clear (CVE-2011-0411).
    Injection,
    /// No version of TLS 1.2 or above in common.
    NoCommonVersion,
    /// The certificate is past its time, or before it.
    CertificateExpired,
    /// The certificate is for another name.
    NameMismatch,
    /// The certificate leads to no root we trust.
    UnknownIssuer,
    /// Any other fault of the certificate.
    CertificateInvalid,
    /// The server refused our certificate, or asked for one that we have not.
    ClientCertificate,
    /// No certificate and no key of the chain is one that the TLSA records name.
    TlsaMismatch,
    /// The domain's MTA-STS policy names no host of its MX records.
    StsMismatch,
    /// Nothing proves that the domain's mail goes to this host: neither DNSSEC nor a policy, and no fixed route.
    MxUnproven,
    /// It had TLS before and now has not: somebody may be in between.
    LostStanding,
    /// Any other fault of the handshake.
    HandshakeFailed,
}

/// Who has to mend a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// The host, which can't do what is demanded.
    #[default]
    Host,
    /// The domain, whose policy or MX records don't vouch for the host.
    Domain,
    /// Ourselves, whose certificate is refused, or nobody: somebody is in between.
    Nobody,
}

impl TlsFault {
    /// Who has to mend it.
    pub fn whose(self) -> Whose {
        match self {
            TlsFault::StsMismatch | TlsFault::MxUnproven => Whose::Domain,
            TlsFault::ClientCertificate | TlsFault::Injection => Whose::Nobody,
            _ => Whose::Host,
        }
    }

    /// Whether the peer, host or domain, can't do what is demanded.
    pub fn is_the_peers(self) -> bool {
        self.whose() != Whose::Nobody
    }

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
            TlsFault::TlsaMismatch => "tlsa_mismatch",
            TlsFault::StsMismatch => "sts_mismatch",
            TlsFault::MxUnproven => "mx_unproven",
            TlsFault::LostStanding => "lost_standing",
            TlsFault::HandshakeFailed => "handshake_failed",
        }
    }
}

impl std::fmt::Display for TlsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}
