//! Domains to MX hosts. This only source is `[dns.static]`; the resolver behind the trait comes with DNS.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A fixed route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticRoute {
    /// The name or address that the certificate must prove.
    pub host: String,
    /// Where to connect.
    pub address: SocketAddr,
}

/// An MX host: its name, which TLS must prove, and its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MxHost {
    /// Lower-case name, or an IP address where the route names none.
    pub name: String,
    /// Where to connect, in order.
    pub addresses: Vec<SocketAddr>,
}

/// Why a domain has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// Nothing says where the domain's mail goes.
    #[error("no route")]
    Unknown,
}

/// Where a domain's mail goes.
pub trait Resolver: Send + Sync {
    /// The domain's MX hosts, best first.
    ///
    /// # Errors
    /// There is none.
    fn mx(&self, domain: &str) -> Result<Vec<MxHost>, NoRoute>;
}

/// `[dns.static]`: by domain, with `*` for every other.
#[derive(Clone, Debug, Default)]
pub struct StaticResolver(pub BTreeMap<String, StaticRoute>);

impl Resolver for StaticResolver {
    fn mx(&self, domain: &str) -> Result<Vec<MxHost>, NoRoute> {
        let route = self.0.get(domain).or_else(|| self.0.get("*")).ok_or(NoRoute::Unknown)?;
        Ok(vec![MxHost { name: route.host.clone(), addresses: vec![route.address] }])
    }
}
