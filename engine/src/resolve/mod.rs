//! Domains to MX hosts, MX hosts to addresses.
//!
//! 1. [`mod@fixed`] knows `[dns.static]` and the smarthost, and asks [`dns`] for the rest;
//! 2. [`dns`] asks name servers: MX, else A and AAAA (RFC 5321 section 5.1), null MX (RFC 7505), TLSA (RFC 7672 section 2.2) and
//!    TXT; answers are kept as long as their TTL says;
//! 3. [`dnssec`] says who looks at signatures, [`proof`] what an answer is worth;
//! 4. [`nets`] are networks where no public MX host can be;
//! 5. [`own`] looks at ourselves as receivers do.
//!
//! Promises: a look-up that did not get through is told from one that found nothing; what is bogus is believed in neither sense;
//! an address of a denied network never comes out of the DNS. Domains are looked up when a row is routed, hosts when a session is opened: a TTL that runs out in
//! mid-run is obeyed by the next connection.

mod dns;
mod dnssec;
mod fixed;
mod nets;
mod own;
mod proof;

pub use crate::mail::TlsaRecord;
pub use dns::{Dns, DnsConfig, DnsError, Family};
pub use dnssec::Dnssec;
pub use fixed::{Fixed, StaticRoute};
pub use nets::{Nets, parse as parse_net};
pub use own::{Introduction, Misgiving};

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Instant;

/// Where a domain's mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Its hosts, best first.
    pub hosts: Vec<MxHost>,
    /// Until when that is so; `None` is for ever.
    pub valid_until: Option<Instant>,
    /// What DNSSEC says of the answer that named them.
    pub security: Security,
}

/// What DNSSEC says of an answer (RFC 4035 section 4.3). What is bogus is no answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// Signed up to a root that we trust; so are denials.
    Secure,
    /// Provably unsigned, or nobody asked for signatures.
    Insecure,
}

impl Security {
    /// Of what rests on both.
    fn and(self, other: Security) -> Security {
        if self == Security::Secure { other } else { Security::Insecure }
    }
}

/// Where a host is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Where to connect, in order; at least one.
    pub at: Vec<SocketAddr>,
    /// What DNSSEC says of what stands at the host's own name, an address or a CNAME (RFC 7672 section 2.2.2: where that is
    /// insecure, nobody asks for TLSA records).
    pub security: Security,
}

/// An MX host: its name, which TLS must prove, and where it is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MxHost {
    /// Lower-case name without a final dot, or an IP address where a fixed route names none.
    pub name: String,
    /// The MX record's preference, lowest first.
    pub preference: u16,
    /// Where it is.
    pub place: Place,
}

impl MxHost {
    /// What logs and metrics call it: a domain without MX is somebody's own, and has no name there.
    pub fn shown(&self) -> &str {
        if matches!(self.place, Place::Implicit(_)) { WITHOUT_MX } else { &self.name }
    }
}

/// What logs and metrics call the host of every domain without MX.
pub const WITHOUT_MX: &str = "domain-without-mx";

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// There, by configuration.
    Fixed(SocketAddr),
    /// At this port of whatever addresses the DNS gives its name.
    Named(u16),
    /// The same, where the name is a recipient's domain that has no MX record (RFC 5321 section 5.1).
    Implicit(u16),
    /// The smarthost, at this port of whatever addresses the DNS gives its name; it may be in a denied network.
    Relay(u16),
    /// The smarthost, there by configuration.
    RelayAt(SocketAddr),
}

/// Why a domain has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// The domain does not exist.
    #[error("no_such_domain")]
    NoSuchDomain,
    /// It exists and has neither MX nor address records.
    #[error("no_mail_host")]
    NoMailHost,
    /// It says that it takes no mail (RFC 7505).
    #[error("null_mx")]
    NullMx,
    /// A name server refused or failed.
    #[error("dns_failed")]
    Failed,
    /// No name server answered in time.
    #[error("dns_timed_out")]
    TimedOut,
    /// An answer or a denial that ought to be signed is not, or falsely, or its keys could not be had (RFC 4035 section 4.3).
    #[error("dnssec_bogus")]
    Bogus,
    /// Our own machine has no descriptors left to ask with.
    #[error("out_of_resources")]
    Exhausted,
}

impl NoRoute {
    /// The closed label that reports show.
    pub fn label(self) -> &'static str {
        match self {
            NoRoute::NoSuchDomain => "no_such_domain",
            NoRoute::NoMailHost => "no_mail_host",
            NoRoute::NullMx => "null_mx",
            NoRoute::Failed => "dns_failed",
            NoRoute::TimedOut => "dns_timed_out",
            NoRoute::Bogus => "dnssec_bogus",
            NoRoute::Exhausted => "out_of_resources",
        }
    }

    /// Whether it may be otherwise later.
    pub fn is_transient(self) -> bool {
        matches!(self, NoRoute::Failed | NoRoute::TimedOut | NoRoute::Bogus | NoRoute::Exhausted)
    }
}

/// Why an MX host has no address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// Its name has no address of the families we use.
    #[error("no_mx_address")]
    None,
    /// All its addresses are in denied networks.
    #[error("denied_address")]
    Denied,
    /// A name server refused, failed, or did not answer in time.
    #[error("dns_failed")]
    Failed,
    /// An answer or a denial is not signed as it ought to be.
    #[error("dnssec_bogus")]
    Bogus,
    /// Our own machine has no descriptors left to ask with.
    #[error("out_of_resources")]
    Exhausted,
}

/// Of a look-up that did not get through.
impl From<NoRoute> for NoAddress {
    fn from(trouble: NoRoute) -> NoAddress {
        match trouble {
            NoRoute::Bogus => NoAddress::Bogus,
            NoRoute::Exhausted => NoAddress::Exhausted,
            NoRoute::Failed | NoRoute::TimedOut => NoAddress::Failed,
            NoRoute::NoSuchDomain | NoRoute::NoMailHost | NoRoute::NullMx => NoAddress::None,
        }
    }
}

impl NoAddress {
    /// The closed label that reports show.
    pub fn label(self) -> &'static str {
        match self {
            NoAddress::None => "no_mx_address",
            NoAddress::Denied => "denied_address",
            NoAddress::Failed => "dns_failed",
            NoAddress::Bogus => "dnssec_bogus",
            NoAddress::Exhausted => "out_of_resources",
        }
    }

    /// Whether it may be otherwise later.
    pub fn is_transient(self) -> bool {
        // A resolver that sends every name to a network of its own, to block or to catch, must not end a whole list.
        self != NoAddress::None
    }
}

/// An answer that takes its time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What finds routes.
pub trait Resolver: Send + Sync {
    /// The MX hosts of `domain` (lower case, A-labels), best first.
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Result<Mx, NoRoute>>;

    /// Whether the DNS says anything at all: what is asked is in nobody's cache, and of a domain that is there for certain.
    /// What needs no DNS always can.
    fn says_anything(&self) -> Answer<'_, bool> {
        Box::pin(async { true })
    }

    /// Where to connect to `host`, in order.
    fn addresses<'a>(&'a self, host: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>>;

    /// Where the host `name`, which serves something other than mail, is found at `port`: where a fixed route of exactly this
    /// name says, else where the DNS says, denied networks left out.
    fn host_addresses<'a>(&'a self, _name: &'a str, _port: u16) -> Answer<'a, Result<Addresses, NoAddress>> {
        Box::pin(async { Err(NoAddress::None) })
    }

    /// The TLSA records of `host` at the port where it is (RFC 7672 section 2.2), if they are secure; none where DNSSEC proves
    /// that there are none, or that the name is unsigned. An error where nobody can say: then no session may be opened.
    fn tlsa<'a>(&'a self, _host: &'a MxHost) -> Answer<'a, Result<Vec<TlsaRecord>, NoAddress>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The TXT records of `name`, the strings of each put together (RFC 7208 section 3.3); none is an answer.
    fn txt<'a>(&'a self, _name: &'a str) -> Answer<'a, Result<Vec<String>, NoRoute>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
