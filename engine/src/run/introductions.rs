//! Whether what our sources say of themselves is what the DNS says of them.

use super::Error;
use super::setup::{asked, start};
use crate::plan::Machine;
use crate::resolve::{Introduction, Misgiving, Nets, NoRoute};
use crate::smtp::Source;
use std::net::IpAddr;

/// One address of a source, as receivers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduced {
    /// The source.
    pub source: Source,
    /// Its address; `None` where the system chooses one.
    pub address: Option<IpAddr>,
    /// What was found.
    pub seen: Seen,
}

/// What was found out about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// What the DNS says, and what is wrong with that.
    Looked(Introduction, Vec<Misgiving>),
    /// It was not looked at: the closed reason why it makes no sense to.
    Spared(&'static str),
    /// The DNS did not answer.
    Unknown(NoRoute),
}

/// Looks at each address of these sources; not from within a runtime. Nothing is looked at where everything goes to a smarthost or
/// by a fixed route: who receives there knows us otherwise.
///
/// # Errors
/// There is no name server to ask, or the trust anchors can't be read.
pub fn introductions(machine: &Machine, sources: &[Source]) -> Result<Vec<Introduced>, Error> {
    let dns = asked(machine).map(|config| start(machine, config)).transpose()?;
    let special = Nets::default();
    let of = |source: &Source, address: Option<IpAddr>| {
        let seen = match (&dns, address) {
            (None, _) => Seen::Spared("the DNS is not asked here"),
            (_, None) => Seen::Spared("the system chooses the address"),
            (_, Some(address)) if special.contains(address) => Seen::Spared("not a public address"),
            (Some(dns), Some(address)) => match dns.introduction(address, &source.ehlo) {
                Ok(found) => {
                    let misgivings = found.misgivings(address, &source.ehlo);
                    Seen::Looked(found, misgivings)
                }
                Err(trouble) => Seen::Unknown(trouble),
            },
        };
        Introduced { source: source.clone(), address, seen }
    };
    Ok(sources.iter().flat_map(|source| addresses(source).into_iter().map(|address| of(source, address))).collect())
}

/// The addresses of a source; one that is left to the system counts as one.
fn addresses(source: &Source) -> Vec<Option<IpAddr>> {
    let own: Vec<_> =
        [source.ipv4.map(IpAddr::V4), source.ipv6.map(IpAddr::V6)].into_iter().filter(Option::is_some).collect();
    if own.is_empty() { vec![None] } else { own }
}
