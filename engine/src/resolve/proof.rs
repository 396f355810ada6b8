//! What an answer of the DNS is worth.
//!
//! Comes in: what hickory gives for a question. Comes out: the records at the end of the name's CNAMEs, with what DNSSEC says of
//! the way there; or a denial; or why nobody can say.
//!
//! Where hickory 0.26 validates, it has proven by then each RRset of an answer apart. One that is bogus, or whose keys could not be
//! fetched, makes the answer `DnssecBogus`; an indeterminate one is nothing that was asked for. Denials it holds against their
//! NSEC or NSEC3 records. What it leaves to us:
//!
//! - where a server leaves CNAMEs to us it follows them, and puts the answer together: signatures are left out, CNAMEs too if the
//!   rest was in its cache. Such an answer is not *whole*, and says nothing of security;
//! - an answer may hold RRsets of other names, genuine ones: only what stands on the way from the name asked counts;
//! - where *every* authority record is provably unsigned it looks no further, whosever zone they are of. That would believe a
//!   denial that comes with some unsigned zone's SOA, and an answer expanded from a wildcard beside a name that exists. So an
//!   unsigned denial must come with an unsigned record at or above the name, and a wildcard with a signed denial of the name;
//! - signed denials must be signed by a zone that the name is in.

use super::{Dnssec, NoRoute, Security};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError as Said, NetError, NoRecords};
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::time::Instant;

/// What a name has.
#[derive(Debug)]
pub(super) struct Found {
    /// Records of the kind that was asked for; at least one.
    pub(super) records: Vec<RData>,
    /// The name that they stand at: the one asked, or the end of its CNAMEs.
    pub(super) name: String,
    /// Of the records and every CNAME on the way.
    pub(super) security: Security,
    /// Of what stands at the name that was asked.
    pub(super) first: Security,
    pub(super) valid_until: Instant,
}

impl Found {
    /// What was found at the end of a way.
    pub(super) fn after(way: Option<Found>, end: Found) -> Found {
        let Some(way) = way else { return end };
        let valid_until = way.valid_until.min(end.valid_until);
        Found { security: way.security.and(end.security), first: way.first, valid_until, ..end }
    }
}

/// Why a name has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// The DNS says so.
    Denied {
        /// The name may have records of other kinds.
        exists: bool,
        /// Of the denial.
        security: Security,
    },
    /// Nobody can say.
    Unknown(NoRoute),
}

impl Nothing {
    /// None is an answer.
    pub(super) fn or_none<T: Default>(self) -> Result<T, NoRoute> {
        match self {
            Nothing::Denied { .. } => Ok(T::default()),
            Nothing::Unknown(trouble) => Err(trouble),
        }
    }
}

impl From<Nothing> for NoRoute {
    fn from(nothing: Nothing) -> NoRoute {
        match nothing {
            Nothing::Denied { exists: true, .. } => NoRoute::NoMailHost,
            Nothing::Denied { exists: false, .. } => NoRoute::NoSuchDomain,
            Nothing::Unknown(trouble) => trouble,
        }
    }
}

/// CNAMEs that are followed; hickory follows no more.
pub(super) const MOST_CNAMES: usize = 8;

/// Reads the answer to the question for `kind` at `asked`; `None` where it is not whole.
pub(super) fn found(lookup: &Lookup, asked: &Name, kind: RecordType, dnssec: Dnssec) -> Result<Option<Found>, Nothing> {
    let (mut name, mut first, mut security) = (asked.clone(), None, Security::Secure);
    for _ in 0..=MOST_CNAMES {
        let here = records_of(lookup, &name, kind);
        let (is_end, step) = if here.is_empty() { (false, RecordType::CNAME) } else { (true, kind) };
        let here = if is_end { here } else { records_of(lookup, &name, step) };
        let here_is = match dnssec {
            Dnssec::Validate => match proven(lookup, &name, step, &here)? {
                Some(security) => security,
                None => return Ok(None),
            },
            // Of an answer that was put together the AD bit is one part's alone.
            Dnssec::TrustAd => of(lookup.message().metadata.authentic_data && lookup.query().name() == asked),
            Dnssec::Off => Security::Insecure,
        };
        (first, security) = (first.or(Some(here_is)), security.and(here_is));
        if is_end {
            let records = here.into_iter().map(|record| record.data.clone()).collect();
            let (name, first) = (plain(&name), first.unwrap_or(security));
            return Ok(Some(Found { records, name, security, first, valid_until: lookup.valid_until() }));
        }
        match here.first().map(|record| &record.data) {
            Some(RData::CNAME(next)) => name = next.0.clone(),
            _ => break,
        }
    }
    Ok(None)
}

/// Why there is no answer.
pub(super) fn nothing(error: &NetError, dnssec: Dnssec) -> Nothing {
    let trouble = match error {
        NetError::Dns(Said::NoRecordsFound(none)) => return denied(none, dnssec),
        // Its NSEC3 records cost more iterations than RFC 9276 lets a validator spend: as good as unsigned.
        NetError::Dns(Said::Nsec { query, response, proof, .. })
            if proof.is_insecure()
                && response.answers.is_empty()
                && is_signed_denial(&response.authorities, query.name()) =>
        {
            return Nothing::Denied { exists: exists(response.response_code), security: Security::Insecure };
        }
        NetError::Dns(Said::Nsec { .. } | Said::DnssecBogus) => NoRoute::Bogus,
        NetError::Timeout => NoRoute::TimedOut,
        NetError::Io(error) if crate::mail::is_exhausted(error) => NoRoute::Exhausted,
        _ => NoRoute::Failed,
    };
    Nothing::Unknown(trouble)
}

fn denied(none: &NoRecords, dnssec: Dnssec) -> Nothing {
    let exists = exists(none.response_code);
    // RFC 2308 section 2.2: name servers and no SOA is a referral, by a server that does not look up for us.
    if exists && none.soa.is_none() && none.ns.is_some() {
        return Nothing::Unknown(NoRoute::Failed);
    }
    // The AD bit of a denial does not come through hickory; nothing rests on it but whether a domain without MX is secure.
    if dnssec != Dnssec::Validate {
        return Nothing::Denied { exists, security: Security::Insecure };
    }
    let name = none.query.name();
    let authorities = none.authorities.as_deref().unwrap_or_default();
    let soa = none.soa.as_ref().is_some_and(|soa| soa.proof.is_insecure() && soa.name.zone_of(name));
    let unsigned = soa || authorities.iter().any(|record| record.proof.is_insecure() && record.name.zone_of(name));
    match is_signed_denial(authorities, name) {
        true => Nothing::Denied { exists, security: Security::Secure },
        false if unsigned || is_special(name) => Nothing::Denied { exists, security: Security::Insecure },
        false => Nothing::Unknown(NoRoute::Bogus),
    }
}

fn exists(code: ResponseCode) -> bool {
    code != ResponseCode::NXDomain
}

fn of(secure: bool) -> Security {
    if secure { Security::Secure } else { Security::Insecure }
}

fn records_of<'a>(lookup: &'a Lookup, name: &Name, kind: RecordType) -> Vec<&'a Record> {
    lookup.answers().iter().filter(|record| record.record_type() == kind && record.name == *name).collect()
}

/// What validation says of an RRset; `None` where what proved it is not there.
fn proven(lookup: &Lookup, name: &Name, kind: RecordType, records: &[&Record]) -> Result<Option<Security>, Nothing> {
    if records.iter().any(|record| record.proof.is_bogus()) {
        return Err(Nothing::Unknown(NoRoute::Bogus));
    }
    if !records.iter().all(|record| record.proof.is_secure()) {
        return Ok(Some(Security::Insecure));
    }
    let covers = |signature: &&RRSIG| signature.input().type_covered == kind;
    let signature = signatures(lookup.answers()).filter(|(owner, _)| *owner == name).map(|(_, one)| one).find(covers);
    let Some(signature) = signature else { return Ok(None) };
    // RFC 4035 section 5.3.4: fewer labels than the name has were signed, as a wildcard.
    let expanded = signature.input().num_labels < name.num_labels();
    if expanded && !is_signed_denial(lookup.authorities(), name) {
        return Err(Nothing::Unknown(NoRoute::Bogus));
    }
    Ok(Some(Security::Secure))
}

/// The signatures that proved something, with their owners.
fn signatures(records: &[Record]) -> impl Iterator<Item = (&Name, &RRSIG)> {
    records.iter().filter(|record| record.proof.is_secure()).filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some((&record.name, signature)),
        _ => None,
    })
}

/// Whether there are NSEC or NSEC3 records, all signed by zones that `name` is in. hickory has held what they say against question
/// and answer.
fn is_signed_denial(authorities: &[Record], name: &Name) -> bool {
    let denies = |kind| matches!(kind, RecordType::NSEC | RecordType::NSEC3);
    let mut signers = signatures(authorities)
        .filter(|(_, signature)| denies(signature.input().type_covered))
        .map(|(_, signature)| &signature.input().signer_name)
        .peekable();
    signers.peek().is_some() && signers.all(|signer| signer.zone_of(name))
}

/// Names that hickory denies by itself, asking nobody (RFC 6761, RFC 7686).
fn is_special(name: &Name) -> bool {
    let last = name.iter().next_back().unwrap_or_default().to_ascii_lowercase();
    matches!(last.as_slice(), b"invalid" | b"localhost" | b"onion")
}

/// Without its final dot, in lower case.
fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
