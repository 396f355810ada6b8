//! Why a policy could not be had.

use super::PolicyFault;

/// Why a policy could not be fetched, or whether there is one could not be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nobody said whether there is a TXT record.
    #[error("the look-up of its TXT record did not get through")]
    Record,
    /// The policy host has no address that we may connect to, or nobody said which.
    #[error("the policy host has no address")]
    NoAddress,
    /// No address of the policy host takes a connection.
    #[error("the policy host can't be reached")]
    Unreachable,
    /// Its certificate does not prove its name to a root that we trust (RFC 8461 section 3.3).
    #[error("the policy host's certificate proves nothing")]
    Certificate,
    /// TLS failed in any other way.
    #[error("the TLS handshake with the policy host failed")]
    Handshake,
    /// It answered something other than 200. A redirect is not followed.
    #[error("the policy host answered {0}")]
    Status(u16),
    /// What it sent is not `text/plain`.
    #[error("the policy is not text/plain")]
    MediaType,
    /// What it sent is longer than 64 KiB.
    #[error("the policy is longer than 64 KiB")]
    TooLarge,
    /// It took too long.
    #[error("the policy host took too long")]
    TimedOut,
    /// It spoke no HTTP, or broke off.
    #[error("the policy host broke off")]
    Broken,
    /// What it sent is no policy.
    #[error("what the policy host sent is no policy: {0}")]
    Invalid(PolicyFault),
    /// Our own machine has no descriptors, ports or memory left.
    #[error("out of resources")]
    Exhausted,
}

impl Fault {
    /// The closed label that logs and reports show.
    pub fn label(self) -> &'static str {
        match self {
            Fault::Record => "sts_record_unknown",
            Fault::NoAddress => "sts_host_not_found",
            Fault::Unreachable => "sts_host_unreachable",
            Fault::Certificate => "sts_certificate_invalid",
            Fault::Handshake => "sts_handshake_failed",
            Fault::Status(_) => "sts_http_status",
            Fault::MediaType => "sts_media_type",
            Fault::TooLarge => "sts_too_large",
            Fault::TimedOut => "sts_timed_out",
            Fault::Broken => "sts_broken_off",
            Fault::Invalid(_) => "sts_policy_invalid",
            Fault::Exhausted => "out_of_resources",
        }
    }
}
