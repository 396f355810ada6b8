//! How a session fell short of a policy, in the words of RFC 8460 section 4.3.

use crate::mail::TlsFault;
use crate::sts;
use serde::{Deserialize, Serialize};

/// `result-type` (RFC 8460 section 4.3, IANA "SMTP TLS Reporting"). `dane-required` is missing: no setting of ours demands DANE
/// of a domain that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultType {
    /// No TLS was to be had.
    #[serde(rename = "starttls-not-supported")]
    StartTlsNotSupported,
    /// The certificate is for another name.
    CertificateHostMismatch,
    /// The certificate is past its time, or before it.
    CertificateExpired,
    /// The certificate leads to nobody we trust.
    CertificateNotTrusted,
    /// Anything else; the reason says what.
    ValidationFailure,
    /// No TLSA record is usable, or none matches.
    TlsaInvalid,
    /// DNSSEC vouches for no TLSA answer.
    DnssecInvalid,
    /// The policy could not be fetched.
    StsPolicyFetchError,
    /// What was fetched is no policy.
    StsPolicyInvalid,
    /// The policy host's certificate proves nothing.
    StsWebpkiInvalid,
}

/// How a session fell short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// TLS did.
    Tls(TlsFault),
    /// The domain's MTA-STS policy could not be had.
    Policy(sts::Fault),
    /// The host has TLSA records, and none that can be used (RFC 7672 section 2.2).
    TlsaUnusable,
    /// What the DNS says of the host or its TLSA records is bogus.
    Bogus,
}

impl Shortfall {
    /// What a report calls it; nothing where it is our own, or of a demand that no policy of theirs makes.
    pub fn result_type(self) -> Option<ResultType> {
        use ResultType::*;
        match self {
            Shortfall::Tls(fault) => match fault {
                TlsFault::NoStartTls | TlsFault::StartTlsRefused | TlsFault::LostStanding => Some(StartTlsNotSupported),
                TlsFault::NameMismatch => Some(CertificateHostMismatch),
                TlsFault::CertificateExpired => Some(CertificateExpired),
                TlsFault::UnknownIssuer | TlsFault::CertificateInvalid => Some(CertificateNotTrusted),
                TlsFault::TlsaMismatch => Some(TlsaInvalid),
                TlsFault::Injection | TlsFault::NoCommonVersion | TlsFault::StsMismatch | TlsFault::HandshakeFailed => {
                    Some(ValidationFailure)
                }
                TlsFault::ClientCertificate | TlsFault::MxUnproven => None,
            },
            Shortfall::Policy(fault) => match fault {
                sts::Fault::Certificate => Some(StsWebpkiInvalid),
                sts::Fault::Invalid(_) => Some(StsPolicyInvalid),
                sts::Fault::Exhausted => None,
                sts::Fault::Record
                | sts::Fault::NoAddress
                | sts::Fault::Unreachable
                | sts::Fault::Handshake
                | sts::Fault::Status(_)
                | sts::Fault::MediaType
                | sts::Fault::TooLarge
                | sts::Fault::TimedOut
                | sts::Fault::Broken => Some(StsPolicyFetchError),
            },
            Shortfall::TlsaUnusable => Some(TlsaInvalid),
            Shortfall::Bogus => Some(DnssecInvalid),
        }
    }

    /// `failure-reason-code`: our own closed label, which tells apart what the RFC has one word for.
    pub fn reason(self) -> &'static str {
        match self {
            Shortfall::Tls(fault) => fault.label(),
            Shortfall::Policy(fault) => fault.label(),
            Shortfall::TlsaUnusable => "tlsa_unusable",
            Shortfall::Bogus => "dnssec_bogus",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sts::{Fault, PolicyFault};

    /// The whole table. A fault that is new to `TlsFault` or `sts::Fault` does not compile without its line in the match above.
    #[test]
    fn what_a_report_calls_each_fault() {
        let tls = [
            (TlsFault::NoStartTls, "starttls-not-supported"),
            (TlsFault::StartTlsRefused, "starttls-not-supported"),
            (TlsFault::LostStanding, "starttls-not-supported"),
            (TlsFault::NameMismatch, "certificate-host-mismatch"),
            (TlsFault::CertificateExpired, "certificate-expired"),
            (TlsFault::UnknownIssuer, "certificate-not-trusted"),
            (TlsFault::CertificateInvalid, "certificate-not-trusted"),
            (TlsFault::TlsaMismatch, "tlsa-invalid"),
            (TlsFault::Injection, "validation-failure"),
            (TlsFault::NoCommonVersion, "validation-failure"),
            (TlsFault::StsMismatch, "validation-failure"),
            (TlsFault::HandshakeFailed, "validation-failure"),
            (TlsFault::ClientCertificate, ""),
            (TlsFault::MxUnproven, ""),
        ];
        let fetch = [
            Fault::Record,
            Fault::NoAddress,
            Fault::Unreachable,
            Fault::Handshake,
            Fault::Status(301),
            Fault::MediaType,
            Fault::TooLarge,
            Fault::TimedOut,
            Fault::Broken,
        ];
        let tls = tls.map(|(fault, word)| (Shortfall::Tls(fault), word));
        let fetch = fetch.map(|fault| (Shortfall::Policy(fault), "sts-policy-fetch-error"));
        let others = [
            (Shortfall::Policy(Fault::Certificate), "sts-webpki-invalid"),
            (Shortfall::Policy(Fault::Invalid(PolicyFault::Mx)), "sts-policy-invalid"),
            (Shortfall::Policy(Fault::Exhausted), ""),
            (Shortfall::TlsaUnusable, "tlsa-invalid"),
            (Shortfall::Bogus, "dnssec-invalid"),
        ];
        for (shortfall, word) in tls.into_iter().chain(fetch).chain(others) {
            let said = shortfall.result_type().map(|result| serde_json::to_value(result).expect("a word"));
            assert_eq!(said.as_ref().and_then(|said| said.as_str()).unwrap_or_default(), word, "{shortfall:?}");
        }
    }
}
