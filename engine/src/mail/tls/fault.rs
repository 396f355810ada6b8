//! How TLS can fall short of what is demanded.

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

impl TlsFault {
    /// Whether it is the peer that can't do what is demanded. What is wrong with our own certificate is ours, and octets that
    /// somebody put in between are his.
    pub fn is_the_peers(self) -> bool {
        !matches!(self, TlsFault::ClientCertificate | TlsFault::Injection)
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
