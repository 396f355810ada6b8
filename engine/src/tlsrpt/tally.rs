//! Counts of sessions by policy, in the form of a report's `policies` (RFC 8460 section 4.4); so they rest in the store too.

use super::result::{ResultType, Shortfall};
use crate::mail::{MxPattern, TlsaRecord};
use crate::sts::{Mode, Policy};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Sessions with a domain's hosts that were held to one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counted {
    pub(super) policy: Held,
    pub(super) summary: Summary,
    pub(super) failure_details: Vec<Failure>,
}

/// The policy, as it was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Held {
    policy_type: PolicyType,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    policy_string: Vec<String>,
    policy_domain: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mx_host: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PolicyType {
    Tlsa,
    Sts,
    NoPolicyFound,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Summary {
    total_successful_session_count: u64,
    total_failure_session_count: u64,
}

/// Sessions that failed in one way, at one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Failure {
    result_type: ResultType,
    #[serde(flatten)]
    at: At,
    failed_session_count: u64,
    failure_reason_code: String,
}

/// Between whom a session was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct At {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sending_mta_ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) receiving_mx_hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) receiving_ip: Option<IpAddr>,
}

/// Places told apart in one report: a site with more of them is broken as a whole, and says so by the sum.
const MOST_FAILURES: usize = 200;

impl Held {
    /// None.
    pub(super) fn none(domain: &str) -> Held {
        Held::of(PolicyType::NoPolicyFound, Vec::new(), domain, Vec::new())
    }

    /// An MTA-STS policy; `None` is one that could not be had.
    pub(super) fn sts(domain: &str, policy: Option<&Policy>) -> Held {
        let Some(policy) = policy else { return Held::of(PolicyType::Sts, Vec::new(), domain, Vec::new()) };
        let mode = match policy.mode() {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let hosts: Vec<_> = policy.mx().iter().map(MxPattern::to_string).collect();
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {mode}")];
        lines.extend(hosts.iter().map(|host| format!("mx: {host}")));
        lines.push(format!("max_age: {}", policy.max_age().as_secs()));
        Held::of(PolicyType::Sts, lines, domain, hosts)
    }

    /// The TLSA records of `host`, if any could be had.
    pub(super) fn tlsa(domain: &str, host: &str, records: &[TlsaRecord]) -> Held {
        let line = |record: &TlsaRecord| {
            let TlsaRecord { usage, selector, matching, data } = record;
            format!("{usage} {selector} {matching} {}", HEXLOWER.encode(data))
        };
        Held::of(PolicyType::Tlsa, records.iter().map(line).collect(), domain, vec![host.to_owned()])
    }

    fn of(policy_type: PolicyType, policy_string: Vec<String>, domain: &str, mx_host: Vec<String>) -> Held {
        Held { policy_type, policy_string, policy_domain: domain.to_owned(), mx_host }
    }
}

impl Counted {
    /// One session that was held to `policy`. Nothing, where it fell short by our own fault.
    pub(super) fn one(policy: Held, shortfall: Option<Shortfall>, at: At) -> Option<Counted> {
        let mut counted = Counted { policy, summary: Summary::default(), failure_details: Vec::new() };
        match shortfall {
            None => counted.summary.total_successful_session_count = 1,
            Some(shortfall) => {
                counted.summary.total_failure_session_count = 1;
                counted.failure_details.push(Failure {
                    result_type: shortfall.result_type()?,
                    at,
                    failed_session_count: 1,
                    failure_reason_code: shortfall.reason().to_owned(),
                });
            }
        }
        Some(counted)
    }

    /// Adds `more` to the counts of a domain's day.
    pub(super) fn add(all: &mut Vec<Counted>, more: Counted) {
        match all.iter_mut().find(|counted| counted.policy == more.policy) {
            Some(counted) => {
                counted.summary.total_successful_session_count += more.summary.total_successful_session_count;
                counted.summary.total_failure_session_count += more.summary.total_failure_session_count;
                more.failure_details.into_iter().for_each(|failure| counted.fail(failure));
            }
            None => all.push(more),
        }
    }

    fn fail(&mut self, failure: Failure) {
        let full = self.failure_details.len() >= MOST_FAILURES;
        let alike = |known: &&mut Failure| {
            let same =
                (known.result_type, &known.failure_reason_code) == (failure.result_type, &failure.failure_reason_code);
            same && (full || known.at == failure.at)
        };
        match self.failure_details.iter_mut().find(alike) {
            Some(known) if known.at == failure.at => known.failed_session_count += failure.failed_session_count,
            Some(known) => {
                // Too many places to tell apart.
                known.at = At::default();
                known.failed_session_count += failure.failed_session_count;
            }
            None => self.failure_details.push(failure),
        }
    }
}
