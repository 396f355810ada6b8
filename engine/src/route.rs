//! Decides where a row goes: domain → MX hosts → site → provider → shard, and what TLS is demanded there.
//!
//! Comes in: a gated row's domain. Goes next: the shard that owns the provider. Promise: a provider is always on one shard.

use crate::mail::Demand;
use crate::resolve::{MxHost, NoRoute, Resolver};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// The name of a site: a hash of its sorted lower-case MX hosts. Never a printed name, which can collide. A fixed route's
/// address is part of it: two routes may give one name to two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u64);

/// The sites that share limits. Until shaping rules group them, a provider is a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(pub u64);

/// Where a domain's messages go. Shared by all its rows.
#[derive(Debug)]
pub struct Route {
    /// The MX host set.
    pub site: SiteId,
    /// Who shares its limits.
    pub provider: ProviderId,
    /// Its hosts, best first.
    pub hosts: Vec<MxHost>,
    /// What must hold before MAIL FROM.
    pub demand: Demand,
}

impl Route {
    /// The shard that owns this route's provider.
    pub fn shard(&self, shards: usize) -> usize {
        let shards = u64::try_from(shards).unwrap_or(1).max(1);
        usize::try_from(self.provider.0 % shards).unwrap_or(0)
    }
}

/// Finds routes, and remembers them by domain.
pub struct Router {
    resolver: Arc<dyn Resolver>,
    demand: Demand,
    known: RwLock<HashMap<String, Result<Arc<Route>, NoRoute>>>,
}

impl Router {
    /// Routes for a campaign that demands `demand` everywhere.
    pub fn new(resolver: Arc<dyn Resolver>, demand: Demand) -> Router {
        Router { resolver, demand, known: RwLock::default() }
    }

    /// The route of `domain`.
    ///
    /// # Errors
    /// There is none.
    pub fn route(&self, domain: &str) -> Result<Arc<Route>, NoRoute> {
        if let Some(known) = self.known.read().expect("no holder panics").get(domain) {
            return known.clone();
        }
        let route = self.resolver.mx(domain).map(|hosts| {
            let site = site(&hosts);
            Arc::new(Route { site, provider: ProviderId(site.0), hosts, demand: self.demand })
        });
        self.known.write().expect("no holder panics").insert(domain.to_owned(), route.clone());
        route
    }
}

fn site(hosts: &[MxHost]) -> SiteId {
    let mut names: Vec<String> = hosts
        .iter()
        .map(|host| {
            let addresses: Vec<_> = host.addresses.iter().map(ToString::to_string).collect();
            format!("{} {}", host.name.to_ascii_lowercase(), addresses.join(","))
        })
        .collect();
    names.sort_unstable();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, names.join("\n").as_bytes());
    SiteId(u64::from_be_bytes(digest.as_ref()[..8].try_into().expect("SHA-256 has 32 octets")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Level;
    use crate::resolve::{StaticResolver, StaticRoute};

    fn host(name: &str, port: u16) -> MxHost {
        MxHost { name: name.into(), addresses: vec![([127, 0, 0, 1], port).into()] }
    }

    #[test]
    fn a_site_is_the_set_of_its_hosts() {
        let site_of = |hosts: &[MxHost]| site(hosts);
        assert_eq!(
            site_of(&[host("a.example", 25), host("B.example", 25)]),
            site_of(&[host("b.example", 25), host("a.example", 25)])
        );
        assert_ne!(site_of(&[host("a.example", 25)]), site_of(&[host("a.example", 26)]));
        assert_ne!(site_of(&[host("a.example", 25)]), site_of(&[host("a.example", 25), host("b.example", 25)]));
    }

    #[test]
    fn static_routes_and_none() {
        let route = StaticRoute { host: "mx.a.example".into(), address: ([127, 0, 0, 1], 2525).into() };
        let resolver = StaticResolver([("a.example".to_owned(), route)].into());
        let router = Router::new(Arc::new(resolver), Demand::new(Level::Verified));
        let found = router.route("a.example").expect("a route");
        assert!(Arc::ptr_eq(&found, &router.route("a.example").expect("again")), "remembered");
        assert!(found.shard(3) < 3);
        assert_eq!(router.route("b.example").err(), Some(NoRoute::Unknown));
    }
}
