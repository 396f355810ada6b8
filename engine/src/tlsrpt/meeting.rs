//! A session with an MX host, as far as reports look at it.

use super::result::Shortfall;
use super::tally::{At, Counted, Held};
use crate::mail::{TlsFault, Tlsa};
use crate::sts::{Fault, Mode, Policy, Source, Standing};
use std::net::IpAddr;

/// A session, or an attempt at one.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// The MX host's name.
    pub host: String,
    /// Where it is, if it came to that.
    pub receiving_ip: Option<IpAddr>,
    /// Our address, where configuration names it.
    pub sending_ip: Option<IpAddr>,
    /// What its TLSA records say.
    pub tlsa: Records,
    /// How it ended.
    pub ending: Ending,
}

/// What is known of a host's TLSA records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// This.
    Known(Tlsa),
    /// DNSSEC vouches for no answer.
    Bogus,
}

/// How an attempt at a session ended, as far as TLS goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// TLS came up, and all that was demanded is proven. The fault is what keeps the certificate from proving the host's name to
    /// a root, where that was only looked at.
    Encrypted(Option<TlsFault>),
    /// It went on in clear, since nothing was demanded.
    Clear,
    /// TLS fell short of the demand, which may be more than the domain's own.
    FellShort(TlsFault),
    /// There was no session, since nothing vouches for what the DNS says of the host.
    Bogus,
}

impl Ending {
    /// How TLS itself fell short, whatever the certificate is worth.
    fn shortfall(self) -> Option<Shortfall> {
        match self {
            Ending::Encrypted(_) => None,
            Ending::Clear => Some(Shortfall::Tls(TlsFault::NoStartTls)),
            Ending::FellShort(fault) => Some(Shortfall::Tls(fault)),
            Ending::Bogus => Some(Shortfall::Bogus),
        }
    }
}

impl Meeting {
    /// What it counts for, held to each policy of `domain`, which stands so to MTA-STS.
    pub(super) fn counted(&self, domain: &str, standing: &Standing) -> Vec<Counted> {
        let mut held: Vec<_> = self.held_to_tlsa(domain).into_iter().collect();
        held.extend(self.held_to_sts(domain, standing));
        if held.is_empty() {
            held.push((Held::none(domain), self.ending.shortfall()));
        }
        let at = At {
            sending_mta_ip: self.sending_ip,
            receiving_mx_hostname: Some(self.host.clone()),
            receiving_ip: self.receiving_ip,
        };
        held.into_iter().filter_map(|(policy, shortfall)| Counted::one(policy, shortfall, at.clone())).collect()
    }

    fn held_to_tlsa(&self, domain: &str) -> Option<(Held, Option<Shortfall>)> {
        let shortfall = self.ending.shortfall();
        match &self.tlsa {
            Records::Bogus => Some((Held::tlsa(domain, &self.host, &[]), Some(Shortfall::Bogus))),
            // The policy's word on the host is not the records'.
            Records::Known(_) if self.ending == Ending::FellShort(TlsFault::StsMismatch) => None,
            Records::Known(Tlsa::Usable(records)) => Some((Held::tlsa(domain, &self.host, records), shortfall)),
            Records::Known(Tlsa::Unusable) => {
                Some((Held::tlsa(domain, &self.host, &[]), shortfall.or(Some(Shortfall::TlsaUnusable))))
            }
            Records::Known(Tlsa::Absent) => None,
        }
    }

    /// MTA-STS is not asked of a host that TLSA records prove (RFC 8461 section 2), but for its name.
    fn held_to_sts(&self, domain: &str, standing: &Standing) -> Vec<(Held, Option<Shortfall>)> {
        let by_records = matches!(&self.tlsa, Records::Known(Tlsa::Usable(_)) | Records::Bogus);
        if by_records && self.ending != Ending::FellShort(TlsFault::StsMismatch) {
            return Vec::new();
        }
        let unfetched = |fault| (Held::sts(domain, None), Some(Shortfall::Policy(fault)));
        match standing {
            Standing::Policy(known) if known.policy().mode() != Mode::None => {
                let mut held = vec![(Held::sts(domain, Some(known.policy())), self.short_of(known.policy()))];
                if let Source::KeptDespite(fault) = known.source {
                    held.push(unfetched(fault));
                }
                held
            }
            // Whether there is a policy at all nobody knows.
            Standing::Unknown { why: Fault::Record, lapsed: None } => Vec::new(),
            Standing::Unknown { why, .. } => vec![unfetched(*why)],
            Standing::Policy(_) | Standing::NoPolicy => Vec::new(),
        }
    }

    /// How it falls short of `policy`, whether that is enforced or not (RFC 8461 section 4).
    fn short_of(&self, policy: &Policy) -> Option<Shortfall> {
        let shortfall = self.ending.shortfall();
        if shortfall.is_some() {
            return shortfall;
        }
        if !policy.permits(&self.host) {
            return Some(Shortfall::Tls(TlsFault::StsMismatch));
        }
        match self.ending {
            Ending::Encrypted(fault) => fault.map(Shortfall::Tls),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::mail::TlsaRecord;
    use crate::sts::{Kept, Known};
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn policy(mode: &str, source: Source) -> Standing {
        let kept = json!({
            "version": 1, "id": "1", "mode": mode, "mx": ["*.mx.example"], "max_age": 86400,
            "fetched": Timestamp(0), "last_tried": Timestamp(0),
        });
        let kept = Kept::decode(kept.to_string().as_bytes()).expect("as it is kept");
        Standing::Policy(Known { kept: Arc::new(kept), source })
    }

    /// Host, records, ending, how the domain stands, and what comes of it: policy type and result.
    type Case<'a> = (&'a str, &'a Records, Ending, Standing, &'a [(&'a str, &'a str)]);

    /// Policy type and result of each thing that a meeting with `host` counts for.
    fn results(host: &str, tlsa: Records, ending: Ending, standing: &Standing) -> Vec<(String, String)> {
        let meeting = Meeting { host: host.into(), receiving_ip: None, sending_ip: None, tlsa, ending };
        let counted = serde_json::to_value(meeting.counted("a.example", standing)).expect("plain values");
        let word = |value: &Value| value.as_str().unwrap_or("success").to_owned();
        let of = |one: &Value| (word(&one["policy"]["policy-type"]), word(&one["failure-details"][0]["result-type"]));
        counted.as_array().expect("a list").iter().map(of).collect()
    }

    #[test]
    fn which_policies_a_session_is_held_to() {
        let records: Arc<[_]> = [TlsaRecord { usage: 3, selector: 1, matching: 1, data: vec![1; 32] }].into();
        let (absent, dane) = (Records::Known(Tlsa::Absent), Records::Known(Tlsa::Usable(records)));
        let (good, bad) = (Ending::Encrypted(None), Ending::Encrypted(Some(TlsFault::UnknownIssuer)));
        let short = Ending::FellShort;
        let (testing, enforce) = (policy("testing", Source::Kept), policy("enforce", Source::Kept));
        let despite = policy("enforce", Source::KeptDespite(Fault::Certificate));
        let unknown = |why| Standing::Unknown { why, lapsed: None };
        let (tlsa, sts, none) = ("tlsa", "sts", "no-policy-found");
        let (host, other) = ("a.mx.example", "mx.other.example");
        let trust = "certificate-not-trusted";
        let cases: [Case<'_>; 19] = [
            (host, &absent, good, Standing::NoPolicy, &[(none, "success")]),
            (host, &absent, Ending::Clear, Standing::NoPolicy, &[(none, "starttls-not-supported")]),
            (host, &absent, short(TlsFault::UnknownIssuer), Standing::NoPolicy, &[(none, trust)]),
            (host, &absent, bad, Standing::NoPolicy, &[(none, "success")]),
            (host, &absent, good, policy("none", Source::Kept), &[(none, "success")]),
            (host, &absent, good, testing.clone(), &[(sts, "success")]),
            (host, &absent, bad, testing.clone(), &[(sts, trust)]),
            (host, &absent, Ending::Clear, testing.clone(), &[(sts, "starttls-not-supported")]),
            (other, &absent, good, testing.clone(), &[(sts, "validation-failure")]),
            (host, &absent, short(TlsFault::CertificateExpired), enforce.clone(), &[(sts, "certificate-expired")]),
            (host, &absent, good, despite, &[(sts, "success"), (sts, "sts-webpki-invalid")]),
            (host, &absent, good, unknown(Fault::Status(404)), &[(sts, "sts-policy-fetch-error")]),
            (host, &absent, good, unknown(Fault::Record), &[(none, "success")]),
            (host, &dane, good, enforce.clone(), &[(tlsa, "success")]),
            (host, &dane, short(TlsFault::TlsaMismatch), testing.clone(), &[(tlsa, "tlsa-invalid")]),
            (other, &dane, short(TlsFault::StsMismatch), enforce, &[(sts, "validation-failure")]),
            (host, &Records::Known(Tlsa::Unusable), good, testing, &[(tlsa, "tlsa-invalid"), (sts, "success")]),
            (host, &Records::Bogus, Ending::Bogus, Standing::NoPolicy, &[(tlsa, "dnssec-invalid")]),
            (host, &absent, short(TlsFault::MxUnproven), Standing::NoPolicy, &[]),
        ];
        for (host, tlsa, ending, standing, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(results(host, tlsa.clone(), ending, &standing), expected, "{host} {tlsa:?} {ending:?}");
        }
    }
}
