//! Routes by configuration; the DNS for what they leave open.

use super::{Addresses, Answer, Dns, Mx, MxHost, NoAddress, NoRoute, Place, Resolver, Security, TlsaRecord};
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

impl StaticRoute {
    /// The route as a domain's only MX host.
    fn host(&self) -> MxHost {
        MxHost { name: self.host.clone(), preference: 0, place: Place::Fixed(self.address) }
    }
}

/// `[dns.static]` by domain with `*` for every other, then the smarthost, then the DNS.
#[derive(Default)]
pub struct Fixed {
    /// Fixed routes by lower-case domain.
    pub routes: BTreeMap<String, StaticRoute>,
    /// Where every domain without a fixed route goes.
    pub smarthost: Option<MxHost>,
    /// What is asked for the rest; without it the rest has no route.
    pub dns: Option<Dns>,
}

impl Fixed {
    /// These routes and nothing else.
    pub fn only(routes: BTreeMap<String, StaticRoute>) -> Fixed {
        Fixed { routes, ..Fixed::default() }
    }
}

impl Resolver for Fixed {
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
        let route = self.routes.get(domain).or_else(|| self.routes.get("*")).map(StaticRoute::host);
        if let Some(host) = route.or_else(|| self.smarthost.clone()) {
            return Box::pin(async { Ok(Mx { hosts: vec![host], valid_until: None, security: Security::Insecure }) });
        }
        match &self.dns {
            Some(dns) => Box::pin(dns.mx(domain)),
            None => Box::pin(async { Err(NoRoute::NoMailHost) }),
        }
    }

    fn says_anything(&self) -> Answer<'_, bool> {
        match &self.dns {
            Some(dns) => Box::pin(dns.says_anything()),
            None => Box::pin(async { true }),
        }
    }

    fn addresses<'a>(&'a self, host: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
        match (&host.place, &self.dns) {
            (Place::Fixed(address) | Place::RelayAt(address), _) => Box::pin(async { Ok(fixed(*address)) }),
            (Place::Named(port) | Place::Implicit(port), Some(dns)) => Box::pin(dns.addresses(&host.name, *port, true)),
            (Place::Relay(port), Some(dns)) => Box::pin(dns.addresses(&host.name, *port, false)),
            (Place::Named(_) | Place::Implicit(_) | Place::Relay(_), None) => Box::pin(async { Err(NoAddress::None) }),
        }
    }

    fn host_addresses<'a>(&'a self, name: &'a str, port: u16) -> Answer<'a, Result<Addresses, NoAddress>> {
        // `*` is where mail goes, whoever it is for; it says nothing of other hosts.
        match (self.routes.get(name), &self.dns) {
            (Some(route), _) => Box::pin(async { Ok(fixed(route.address)) }),
            (None, Some(dns)) => Box::pin(dns.addresses(name, port, true)),
            (None, None) => Box::pin(async { Err(NoAddress::None) }),
        }
    }

    /// Of MX hosts that the DNS named: what configuration names, configuration vouches for.
    fn tlsa<'a>(&'a self, host: &'a MxHost) -> Answer<'a, Result<Vec<TlsaRecord>, NoAddress>> {
        match (&host.place, &self.dns) {
            (Place::Named(port) | Place::Implicit(port), Some(dns)) => Box::pin(dns.tlsa(&host.name, *port)),
            _ => Box::pin(async { Ok(Vec::new()) }),
        }
    }

    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Result<Vec<String>, NoRoute>> {
        match &self.dns {
            Some(dns) => Box::pin(dns.txt(name)),
            None => Box::pin(async { Ok(Vec::new()) }),
        }
    }
}

/// Where configuration says that a host is; no DNSSEC vouches for that.
fn fixed(address: SocketAddr) -> Addresses {
    Addresses { at: vec![address], security: Security::Insecure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_is_where_a_route_of_its_very_name_says() {
        let route = |address: &str| StaticRoute { host: "h".into(), address: address.parse().expect("an address") };
        let named = ("mta-sts.b.example".to_owned(), route("127.0.0.1:8443"));
        let resolver = Fixed::only(BTreeMap::from([named, ("*".to_owned(), route("127.0.0.1:2525"))]));
        let found = resolver.host_addresses("mta-sts.b.example", 443).await.map(|found| found.at);
        assert_eq!(found, Ok(vec!["127.0.0.1:8443".parse().expect("an address")]));
        let found = resolver.host_addresses("mta-sts.c.example", 443).await;
        assert_eq!(found, Err(NoAddress::None), "the route of all mail is no web server");
    }
}
