//! Decides where a row goes: domain → MX hosts → site → provider → shard, and what TLS is demanded there.
//!
//! Comes in: a gated row's domain. Goes next: the shard that owns the provider. Promise: a provider is always on one shard.

use crate::mail::{Demand, Level};
use crate::resolve::{MxHost, NoRoute, Place, Resolver};
use crate::smtp::Access;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

/// The name of a site: a hash of its lower-case MX hosts and the order of their preferences, whatever numbers express it.
/// Never a printed name, which can collide. A fixed route's address is part of it: two routes may give one name to two
/// machines.
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
    /// What its hosts ask of us.
    pub access: Access,
}

impl Route {
    /// The shard that owns this route's provider.
    pub fn shard(&self, shards: usize) -> usize {
        let shards = u64::try_from(shards).unwrap_or(1).max(1);
        usize::try_from(self.provider.0 % shards).unwrap_or(0)
    }

    /// The name that logs and metrics know it by: its best host's.
    pub fn name(&self) -> &str {
        self.hosts.first().map_or("", MxHost::shown)
    }
}

/// A route, or why there is none.
pub type Found = Result<Arc<Route>, NoRoute>;

/// Finds routes, and remembers them by domain as long as they are valid.
pub struct Router {
    resolver: Arc<dyn Resolver>,
    demand: Demand,
    relay: Access,
    known: RwLock<HashMap<String, Known>>,
}

struct Known {
    found: Found,
    valid_until: Option<Instant>,
}

/// How long a look-up that found nothing, or did not get through, is not made again here. Name servers have their own say on
/// this (RFC 2308), which the resolver obeys; this keeps the rows of one domain from asking it each.
const NOTHING_FOR: Duration = Duration::from_secs(30);
/// Domains remembered; past it they are all forgotten, since the resolver still knows the answers.
const MOST_KNOWN: usize = 50_000;

impl Router {
    /// Routes for a campaign that demands `demand` everywhere. A smarthost is entered as `relay` says.
    pub fn new(resolver: Arc<dyn Resolver>, demand: Demand, relay: Access) -> Router {
        Router { resolver, demand, relay, known: RwLock::default() }
    }

    /// What is known of `domain` at `now`, without asking anybody.
    pub fn known(&self, domain: &str, now: Instant) -> Option<Found> {
        let known = self.known.read().expect("no holder panics");
        let known = known.get(domain)?;
        known.valid_until.is_none_or(|until| now < until).then(|| known.found.clone())
    }

    /// Asks for the route of `domain` and remembers the answer.
    ///
    /// # Errors
    /// There is none, or nobody could say.
    pub async fn find(&self, domain: &str) -> Found {
        let mx = self.resolver.mx(domain).await;
        let valid_until = mx
            .as_ref()
            .map_or_else(|_| Some(tokio::time::Instant::now().into_std() + NOTHING_FOR), |mx| mx.valid_until);
        let found = mx.map(|mx| Arc::new(self.route(mx.hosts)));
        let mut known = self.known.write().expect("no holder panics");
        // Two look-ups of one domain may be under way: the one that nobody answered does not undo the other's answer.
        let now = Instant::now();
        let valid = |known: &Known| known.found.is_ok() && known.valid_until.is_none_or(|until| now < until);
        if found.as_ref().is_err_and(|trouble| trouble.is_transient()) && known.get(domain).is_some_and(valid) {
            return found;
        }
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(domain.to_owned(), Known { found: found.clone(), valid_until });
        found
    }

    /// Whether the DNS says anything at all; where it does, what was not found is the domain's own affair.
    pub async fn dns_says_anything(&self) -> bool {
        self.resolver.says_anything().await
    }

    fn route(&self, hosts: Vec<MxHost>) -> Route {
        let site = site(&hosts);
        let relayed = hosts.iter().any(|host| matches!(host.place, Place::Relay(_) | Place::RelayAt(_)));
        let access = if relayed { self.relay.clone() } else { Access::default() };
        // Who learns our password or sees our certificate must have proven who it is.
        let demand = if access.needs_proof() { self.demand.raise(Level::Verified) } else { self.demand };
        Route { site, provider: ProviderId(site.0), hosts, demand, access }
    }
}

fn site(hosts: &[MxHost]) -> SiteId {
    let mut preferences: Vec<_> = hosts.iter().map(|host| host.preference).collect();
    preferences.sort_unstable();
    preferences.dedup();
    let rank = |host: &MxHost| preferences.partition_point(|preference| *preference < host.preference);
    let name = |host: &MxHost| format!("{} {} {}", rank(host), host.name.to_ascii_lowercase(), place(&host.place));
    let mut names: Vec<String> = hosts.iter().map(name).collect();
    names.sort_unstable();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, names.join("\n").as_bytes());
    SiteId(u64::from_be_bytes(digest.as_ref()[..8].try_into().expect("SHA-256 has 32 octets")))
}

fn place(place: &Place) -> String {
    match place {
        Place::Fixed(address) => address.to_string(),
        Place::Named(_) | Place::Implicit(_) => String::new(),
        Place::Relay(port) => format!("relay {port}"),
        Place::RelayAt(address) => format!("relay {address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::{Addresses, Answer, Fixed, Mx, NoAddress, Security, StaticRoute};

    fn host(name: &str, place: Place) -> MxHost {
        MxHost { name: name.into(), preference: 10, place }
    }

    fn fixed(port: u16) -> Place {
        Place::Fixed(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn a_site_is_the_set_of_its_hosts() {
        let named = Place::Named(25);
        let pair = |a: &str, b: &str| site(&[host(a, named.clone()), host(b, named.clone())]);
        assert_eq!(pair("a.example", "B.example"), pair("b.example", "a.example"));
        assert_ne!(pair("a.example", "b.example"), site(&[host("a.example", named.clone())]));
        let ranked = |a: u16, b: u16| {
            let host = |name: &str, preference| MxHost { preference, ..host(name, named.clone()) };
            site(&[host("a.example", a), host("b.example", b)])
        };
        assert_eq!(ranked(1, 2), ranked(10, 50), "one order, other numbers");
        assert!(ranked(1, 2) != ranked(2, 1) && ranked(1, 2) != ranked(1, 1));
        assert_ne!(site(&[host("a.example", fixed(25))]), site(&[host("a.example", fixed(26))]));
        assert_ne!(site(&[host("a.example", named)]), site(&[host("a.example", Place::Relay(25))]));
    }

    /// Answers a number of times, each with another host, valid for an hour or not at all.
    struct Changing(std::sync::atomic::AtomicU16, Duration);

    impl Resolver for Changing {
        fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
            let number = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let hosts = vec![host(&format!("mx{number}.{domain}"), Place::Named(25))];
            let valid_until = Some(Instant::now() + self.1);
            Box::pin(async move {
                if domain == "down.example" {
                    Err(NoRoute::TimedOut)
                } else {
                    Ok(Mx { hosts, valid_until, security: Security::Insecure })
                }
            })
        }

        fn addresses<'a>(&'a self, _: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
            Box::pin(async { Err(NoAddress::None) })
        }
    }

    fn ask(router: &Router, domain: &str) -> Found {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        router.known(domain, Instant::now()).unwrap_or_else(|| runtime.block_on(router.find(domain)))
    }

    #[test]
    fn routes_are_remembered_while_they_are_valid_and_failures_for_a_while() {
        let router = |valid| {
            let resolver = Arc::new(Changing(0.into(), valid));
            Router::new(resolver, Demand::new(Level::Verified), Access::default())
        };
        let lasting = router(Duration::from_secs(3600));
        let found = ask(&lasting, "a.example").expect("a route");
        assert!(Arc::ptr_eq(&found, &ask(&lasting, "a.example").expect("again")), "remembered");
        assert!(found.shard(3) < 3);
        assert_eq!(ask(&lasting, "down.example").err(), Some(NoRoute::TimedOut));
        assert!(lasting.known("down.example", Instant::now()).is_some(), "not asked again at once");
        assert!(lasting.known("down.example", Instant::now() + NOTHING_FOR).is_none());
        let fleeting = router(Duration::ZERO);
        let (one, other) = (ask(&fleeting, "a.example"), ask(&fleeting, "a.example"));
        assert_ne!(one.expect("a route").site, other.expect("a route").site, "asked again");
    }

    /// Answers once, then never again.
    struct Once(std::sync::atomic::AtomicBool);

    impl Resolver for Once {
        fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
            let first = !self.0.swap(true, std::sync::atomic::Ordering::SeqCst);
            let mx =
                Mx { hosts: vec![host(domain, Place::Named(25))], valid_until: None, security: Security::Insecure };
            Box::pin(async move { if first { Ok(mx) } else { Err(NoRoute::TimedOut) } })
        }

        fn addresses<'a>(&'a self, _: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
            Box::pin(async { Err(NoAddress::None) })
        }
    }

    #[test]
    fn a_look_up_that_nobody_answers_does_not_undo_a_route_that_is_valid() {
        let router = Router::new(Arc::new(Once(false.into())), Demand::new(Level::Verified), Access::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert!(runtime.block_on(router.find("a.example")).is_ok());
        assert_eq!(runtime.block_on(router.find("a.example")).err(), Some(NoRoute::TimedOut));
        assert!(router.known("a.example", Instant::now()).is_some_and(|found| found.is_ok()));
    }

    #[test]
    fn a_smarthost_that_asks_who_we_are_must_be_proven() {
        let login = Some(crate::smtp::Login { user: "u".into(), password: "p".to_owned().into() });
        let relay = Access { login, relays: true, ..Access::default() };
        let route = StaticRoute { host: "mx.a.example".into(), address: ([127, 0, 0, 1], 25).into() };
        let resolver = Fixed {
            routes: [("a.example".to_owned(), route)].into(),
            smarthost: Some(host("relay.example", Place::Relay(587))),
            dns: None,
        };
        let router = Router::new(Arc::new(resolver), Demand::new(Level::Opportunistic), relay);
        let relayed = ask(&router, "b.example").expect("a route");
        assert_eq!((relayed.demand.level(), relayed.access.relays), (Level::Verified, true));
        let fixed = ask(&router, "a.example").expect("a route");
        assert_eq!((fixed.demand.level(), fixed.access.relays), (Level::Opportunistic, false));
    }
}
