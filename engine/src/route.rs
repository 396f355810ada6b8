//! Decides where a row goes: domain → MX hosts → site → provider → shard, on what terms, and what TLS is demanded there.
//!
//! Comes in: a gated row's domain. Goes next: the shard that owns the provider. Promise: a provider is always on one shard.

use crate::mail::{Demand, Level, MxTrust, TlsFault};
use crate::resolve::{Mx, MxHost, NoRoute, Place, Resolver, Security};
use crate::shaping::{Bounds, Shape, Shaping};
use crate::smtp::Access;
use crate::sts::{Freshness, Mode, Standing, Sts};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

/// The name of a site: a hash of its lower-case MX hosts and the order of their preferences, whatever numbers express it.
/// Never a printed name, which can collide. A fixed route's address is part of it: two routes may give one name to two
/// machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u64);

/// The sites that share limits: those that a shaping rule groups, else a site by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(pub u64);

impl ProviderId {
    /// Of the provider that a rule gives this name. It is the same in every engine, so that what was learned is found again.
    fn named(name: &str) -> ProviderId {
        // What a site's number is made of begins with a rank, so this is no site's.
        ProviderId(hash(&format!("provider {name}")))
    }
}

/// Where a domain's messages go. Shared by all its rows.
#[derive(Clone, Debug)]
pub struct Route {
    /// Whose route it is.
    pub domain: Arc<str>,
    /// How that domain stands to MTA-STS.
    pub standing: Standing,
    /// The MX host set.
    pub site: SiteId,
    /// Who shares its limits.
    pub provider: ProviderId,
    /// What the shaping rules make of it: the provider's name, how fast it may be sent to, what its replies mean.
    pub shape: Shape,
    /// Its hosts, best first.
    pub hosts: Vec<MxHost>,
    /// What must hold before MAIL FROM.
    pub demand: Demand,
    /// How it is known that the domain's mail goes to these hosts.
    pub mx_trust: MxTrust,
    /// What the domain has said of TLS.
    pub word: Word,
    /// Which other domains' sessions its messages may share.
    pub class: Class,
    /// What its hosts ask of us.
    pub access: Access,
}

/// What a domain's MTA-STS policy says, as far as it bears on what becomes of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// Nothing that binds anybody.
    None,
    /// It announces a policy, or may do so, and nobody could say what it is: nothing is demanded (RFC 8461 section 3.3), nor
    /// is it found out that nothing vouches for its hosts.
    Unknown,
    /// It promises TLS.
    Enforces {
        /// Whether it was found out that there is no newer policy.
        current: bool,
    },
}

impl Word {
    /// Whether the domain has said, where nobody could forge it, that its hosts have TLS.
    pub fn promises_tls(self) -> bool {
        matches!(self, Word::Enforces { .. })
    }

    /// Whether rows may end for good by `fault`: not by a policy that may be out of date (RFC 8461 section 5.1), nor for want of
    /// one that could not be fetched.
    pub fn confirms(self, fault: TlsFault) -> bool {
        match self {
            Word::None => true,
            Word::Unknown => fault != TlsFault::MxUnproven,
            Word::Enforces { current } => current,
        }
    }
}

/// What the sessions of a route depend on, besides its hosts, and what becomes of its rows where none can be opened. Domains of
/// one site and one class share sessions, whatever policies they have: each session's proof is still held against each
/// message's demand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    level: Level,
    mx_trust: MxTrust,
    /// Rows that share sessions share their faults: none may end by the policy of another's domain, which is sure where its own
    /// is not.
    word: Word,
    /// A bit for each host, in order, that the demand allows whatever it proves itself by.
    allowed: u32,
    /// The domain, where no host can do: what is confirmed of that, is of this domain alone.
    alone: Option<Arc<str>>,
}

impl Class {
    /// The class of `domain`, whose mail goes to `hosts` and which says nothing itself.
    pub fn of(domain: &str, hosts: &[MxHost], demand: &Demand, mx_trust: MxTrust) -> Class {
        let allows = |host: &MxHost, dane| demand.excludes(&host.name, mx_trust, dane).is_none();
        let bits = hosts.iter().enumerate().filter(|(_, host)| allows(host, false)).map(|(at, _)| 1 << (at % 32));
        let alone = !hosts.iter().any(|host| allows(host, true));
        let alone = alone.then(|| domain.into());
        Class { level: demand.level(), mx_trust, word: Word::None, allowed: bits.sum(), alone }
    }
}

impl Route {
    /// The shard that owns this route's provider.
    pub fn shard(&self, shards: usize) -> usize {
        let shards = u64::try_from(shards).unwrap_or(1).max(1);
        usize::try_from(self.provider.0 % shards).unwrap_or(0)
    }

    /// The name that operators and metrics know its provider by: its rule's, else its best host's.
    pub fn name(&self) -> &str {
        self.shape.group.as_deref().unwrap_or_else(|| self.host())
    }

    /// Its best host's name, by which logs tell the sites of a provider apart.
    pub fn host(&self) -> &str {
        self.hosts.first().map_or("", MxHost::shown)
    }
}

/// The providers that rows were routed to, over all runs of an engine, by the best host of each site. A name takes less than a
/// row, and a million recipients have tens of thousands of sites.
#[derive(Debug, Default)]
pub struct Met(RwLock<BTreeMap<String, Arc<str>>>);

impl Met {
    /// A route was found.
    fn note(&self, route: &Route) {
        let known =
            self.0.read().expect("no holder panics").get(route.host()).is_some_and(|name| **name == *route.name());
        if !known {
            self.0.write().expect("no holder panics").insert(route.host().to_owned(), route.name().into());
        }
    }

    /// All of them, by name.
    pub fn names(&self) -> BTreeSet<String> {
        self.0.read().expect("no holder panics").values().map(ToString::to_string).collect()
    }

    /// The provider of the site with this best host, in whatever case.
    pub fn provider_of(&self, host: &str) -> Option<Arc<str>> {
        self.0.read().expect("no holder panics").get(&host.to_ascii_lowercase()).cloned()
    }

    /// The best hosts of the sites that belong to `provider`.
    pub fn hosts_of(&self, provider: &str) -> BTreeSet<String> {
        let met = self.0.read().expect("no holder panics");
        met.iter().filter(|(_, name)| ***name == *provider).map(|(host, _)| host.clone()).collect()
    }
}

/// A route, or why there is none.
pub type Found = Result<Arc<Route>, NoRoute>;

/// Finds routes, and remembers them by domain as long as they are valid.
pub struct Router {
    resolver: Arc<dyn Resolver>,
    policies: Option<Arc<Sts>>,
    demand: Demand,
    floors: Arc<BTreeMap<String, Level>>,
    relay: Access,
    shaping: Arc<Shaping>,
    known: RwLock<HashMap<String, Known>>,
    met: Arc<Met>,
}

struct Known {
    found: Found,
    valid_until: Option<Instant>,
    since: Instant,
    /// Under which edition of the shaping rules.
    edition: u64,
}

/// How long a look-up that found nothing, or did not get through, is not made again here. Name servers have their own say on
/// this (RFC 2308), which the resolver obeys; this keeps the rows of one domain from asking it each.
const NOTHING_FOR: Duration = Duration::from_secs(30);
/// How long a route is believed whose domain may have a policy, however long its MX records live: one that is new, or has run
/// out, is noticed by then.
const WORD_FOR: Duration = Duration::from_secs(3600);
/// How long a policy that rows have failed under is taken for the newest.
const POLICY_FOR: Duration = Duration::from_secs(300);
/// Domains remembered; past it they are all forgotten, since the resolver still knows the answers.
const MOST_KNOWN: usize = 50_000;

impl Router {
    /// Routes for a campaign that demands `demand` everywhere. A smarthost is entered as `relay` says.
    pub fn new(resolver: Arc<dyn Resolver>, demand: Demand, relay: Access) -> Router {
        let (known, met, floors) = (RwLock::default(), Arc::default(), Arc::default());
        let shaping = Arc::new(Shaping::none(Bounds::NONE));
        Router { resolver, policies: None, demand, floors, relay, shaping, known, met }
    }

    /// The same by these rules, whichever they are from time to time.
    pub fn shaped(self, shaping: Arc<Shaping>) -> Router {
        Router { shaping, ..self }
    }

    /// The same, which asks for the policies of domains.
    pub fn asking(self, policies: Arc<Sts>) -> Router {
        Router { policies: Some(policies), ..self }
    }

    /// The same, which demands no less than `floors` of the domains that it names.
    pub fn above(self, floors: Arc<BTreeMap<String, Level>>) -> Router {
        Router { floors, ..self }
    }

    /// The same, which tells `met` whom it found.
    pub fn telling(self, met: Arc<Met>) -> Router {
        Router { met, ..self }
    }

    /// What is known of `domain` at `now`, without asking anybody.
    pub fn known(&self, domain: &str, now: Instant) -> Option<Found> {
        let known = self.known.read().expect("no holder panics");
        let known = known.get(domain).filter(|known| known.edition == self.shaping.edition())?;
        known.valid_until.is_none_or(|until| now < until).then(|| known.found.clone())
    }

    /// The same for a row that was tried before: where a policy may be to blame, it is asked for anew.
    pub fn known_again(&self, domain: &str, now: Instant) -> Option<Found> {
        let since = self.known.read().expect("no holder panics").get(domain)?.since;
        let found = self.known(domain, now)?;
        let bound = found.as_ref().is_ok_and(|route| route.word != Word::None);
        (!bound || now < since + POLICY_FOR).then_some(found)
    }

    /// Asks for the route of `domain` and remembers the answer.
    ///
    /// # Errors
    /// There is none, or nobody could say.
    pub async fn find(&self, domain: &str) -> Found {
        // Before the question: rules that are read meanwhile make the answer an old one.
        let edition = self.shaping.edition();
        let found = self.look_up(domain).await;
        let valid_until = found.as_ref().map_or_else(
            |_| Some(tokio::time::Instant::now().into_std() + NOTHING_FOR),
            |(_, valid_until)| *valid_until,
        );
        let found = found.map(|(route, _)| Arc::new(route));
        found.iter().for_each(|route| self.met.note(route));
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
        known.insert(domain.to_owned(), Known { found: found.clone(), valid_until, since: now, edition });
        found
    }

    /// Whether the DNS says anything at all; where it does, what was not found is the domain's own affair.
    pub async fn dns_says_anything(&self) -> bool {
        self.resolver.says_anything().await
    }

    async fn look_up(&self, domain: &str) -> Result<(Route, Option<Instant>), NoRoute> {
        let mx = self.resolver.mx(domain).await?;
        let mut valid_until = mx.valid_until;
        let standing = match &self.policies {
            // What the operator says of a domain is not the domain's to change.
            Some(policies) if mx_trust(&mx) != MxTrust::Static => {
                let until = tokio::time::Instant::now().into_std() + WORD_FOR;
                valid_until = Some(valid_until.map_or(until, |valid| valid.min(until)));
                let asked = self.known.read().expect("no holder panics").get(domain).is_some_and(has_policy);
                let freshness = if asked { Freshness::FetchAgain } else { Freshness::AsKept };
                // To go on without knowing would be to send past a policy that we have.
                policies.policy_of(domain, freshness).await.map_err(|_| NoRoute::Exhausted)?
            }
            _ => Standing::NoPolicy,
        };
        Ok((self.route(domain, mx, &standing), valid_until))
    }

    fn route(&self, domain: &str, mx: Mx, standing: &Standing) -> Route {
        let (asked, word) = match standing {
            Standing::Policy(known) if known.policy().mode() == Mode::Enforce => {
                let word = Word::Enforces { current: standing.is_current() };
                (Demand::sts(known.policy().mx().into()), word)
            }
            Standing::Unknown { .. } => (Demand::new(Level::Opportunistic), Word::Unknown),
            _ => (Demand::new(Level::Opportunistic), Word::None),
        };
        let mx_trust = match mx_trust(&mx) {
            // The demand lets it go to no host but those of the policy.
            MxTrust::Plain if word.promises_tls() => MxTrust::Sts,
            trust => trust,
        };
        let hosts = mx.hosts;
        let site = site(&hosts);
        let relayed = hosts.iter().any(|host| matches!(host.place, Place::Relay(_) | Place::RelayAt(_)));
        let access = if relayed { self.relay.clone() } else { Access::default() };
        // Who learns our password or sees our certificate must have proven who it is.
        let proven = Demand::new(if access.needs_proof() { Level::Verified } else { Level::Opportunistic });
        let floor = Demand::new(self.floors.get(domain).copied().unwrap_or(Level::Opportunistic));
        let demand = self.demand.raise(&proven).raise(&asked).raise(&floor);
        let class = Class { word, ..Class::of(domain, &hosts, &demand, mx_trust) };
        let shape = self.shaping.shape(domain, &hosts);
        let provider = shape.group.as_deref().map_or(ProviderId(site.0), ProviderId::named);
        let (domain, standing) = (domain.into(), standing.clone());
        Route { domain, standing, site, provider, shape, hosts, demand, mx_trust, word, class, access }
    }
}

fn has_policy(known: &Known) -> bool {
    known.found.as_ref().is_ok_and(|route| route.word != Word::None)
}

/// How it is known that a domain's mail goes to these hosts, before its policy is asked.
fn mx_trust(mx: &Mx) -> MxTrust {
    let by_configuration = |host: &MxHost| matches!(host.place, Place::Fixed(_) | Place::Relay(_) | Place::RelayAt(_));
    if mx.hosts.iter().all(by_configuration) {
        return MxTrust::Static;
    }
    match mx.security {
        Security::Secure => MxTrust::Dnssec,
        Security::Insecure => MxTrust::Plain,
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
    SiteId(hash(&names.join("\n")))
}

fn hash(name: &str) -> u64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    u64::from_be_bytes(digest.as_ref()[..8].try_into().expect("SHA-256 has 32 octets"))
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
        let met = Arc::new(Met::default());
        let router = |valid| {
            let resolver = Arc::new(Changing(0.into(), valid));
            Router::new(resolver, Demand::new(Level::Verified), Access::default()).telling(met.clone())
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
        let names: Vec<_> = met.names().into_iter().collect();
        assert_eq!(names, ["mx0.a.example", "mx1.a.example"], "who was found is known by name, once");
    }

    #[test]
    fn a_domain_is_asked_for_its_policy_however_long_its_mx_records_live() {
        let resolver: Arc<dyn Resolver> = Arc::new(Changing(0.into(), 24 * WORD_FOR));
        let root = rcgen::generate_simple_self_signed(vec!["ca.example".into()]).expect("a certificate");
        let roots = [crate::smtp::Root::Der(root.cert.der().to_vec())];
        let https = crate::smtp::Connector::new(&roots, None).expect("a connector").https();
        let (shelf, clock) = (Arc::new(crate::sts::MemoryShelf::default()), Arc::new(crate::clock::SystemClock));
        let policies = Arc::new(Sts::new(resolver.clone(), &https, shelf, clock));
        let plain = Router::new(resolver.clone(), Demand::new(Level::Verified), Access::default());
        let asking = Router::new(resolver, Demand::new(Level::Verified), Access::default()).asking(policies);
        for (router, remembered) in [(&plain, true), (&asking, false)] {
            ask(router, "a.example").expect("a route");
            assert!(router.known("a.example", Instant::now() + WORD_FOR / 2).is_some());
            assert_eq!(router.known("a.example", Instant::now() + 2 * WORD_FOR).is_some(), remembered);
        }
    }

    #[test]
    fn the_table_of_domains_raises_what_a_campaign_demands_and_lowers_nothing() {
        let floors = |level| Arc::new(BTreeMap::from([("a.example".to_owned(), level)]));
        let levels = [Level::Opportunistic, Level::Required, Level::Verified, Level::Authenticated];
        for campaign in levels {
            for named in levels {
                let resolver = Arc::new(Changing(0.into(), Duration::from_secs(3600)));
                let router = Router::new(resolver, Demand::new(campaign), Access::default()).above(floors(named));
                let level = |domain| ask(&router, domain).expect("a route").demand.level();
                assert_eq!(level("a.example"), campaign.max(named));
                assert_eq!((level("b.a.example"), level("b.example")), (campaign, campaign), "it names others");
            }
        }
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

    /// A policy of a week that names `mx`, fetched just now.
    fn policy(mx: &str, source: crate::sts::Source) -> Standing {
        let stored = format!(
            r#"{{"version":1,"id":"1","mode":"enforce","mx":["{mx}"],"max_age":604800,"fetched":0,"last_tried":0}}"#
        );
        let kept = Arc::new(crate::sts::Kept::decode(stored.as_bytes()).expect("a policy"));
        Standing::Policy(crate::sts::Known { kept, source })
    }

    #[test]
    fn who_shares_a_session_shares_what_becomes_of_rows_without_one() {
        use crate::sts::{Fault, Source};
        let router = Router::new(Arc::new(Fixed::default()), Demand::new(Level::Verified), Access::default());
        let class = |domain: &str, standing: &Standing| {
            let hosts = vec![host("mx.a.example", Place::Named(25))];
            router.route(domain, Mx { hosts, valid_until: None, security: Security::Secure }, standing).class
        };
        let current = policy("mx.a.example", Source::Kept);
        let despite = policy("*.a.example", Source::KeptDespite(Fault::TimedOut));
        let unknown = Standing::Unknown { why: Fault::TimedOut, lapsed: None };
        let standings = [Standing::NoPolicy, unknown, current, despite];
        for (one, first) in standings.iter().enumerate() {
            for (other, second) in standings.iter().enumerate() {
                let shared = class("a.example", first) == class("b.example", second);
                assert_eq!(shared, one == other, "{first:?} {second:?}");
            }
        }
        let fetched = policy("*.a.example", Source::Fetched);
        assert_eq!(class("a.example", &fetched), class("b.example", &standings[2]), "words are another matter");
    }

    const BOUNDS: Bounds = Bounds { connections: 20, messages_per_connection: 1000 };

    #[test]
    fn sites_that_a_rule_groups_are_one_provider_and_stay_sites() {
        let text = "[[provider]]\nname = \"large\"\nmx = [\"large.example\"]\nconnections = 4\n";
        let rules = crate::shaping::Rules::parse("shaping.toml".as_ref(), text).expect("good");
        let router = Router::new(
            Arc::new(Changing(0.into(), Duration::from_secs(60))),
            Demand::new(Level::Verified),
            Access::default(),
        );
        let met = Arc::new(Met::default());
        let router = router.shaped(Arc::new(Shaping::new(rules, None, BOUNDS))).telling(met.clone());
        // Each domain's host is a name below its own.
        let routes =
            ["a.large.example", "b.large.example", "c.example", "d.example"].map(|domain| ask(&router, domain));
        let [a, b, c, d] = routes.map(|route| route.expect("a route"));
        assert!(
            a.provider == b.provider && a.site != b.site && Arc::ptr_eq(&a.shape.terms, &b.shape.terms),
            "{a:?} {b:?}"
        );
        assert!(a.provider != c.provider && c.provider != d.provider, "who is in no rule is by itself");
        assert_eq!((a.name(), a.host(), c.name()), ("large", "mx0.a.large.example", "mx2.c.example"));
        assert_eq!((a.shape.terms.connections, c.shape.terms.connections), (4, 20));
        for shards in 1..20 {
            assert_eq!(a.shard(shards), b.shard(shards), "one owner of its limits");
        }
        assert_eq!(met.hosts_of("large"), ["mx0.a.large.example".to_owned(), "mx1.b.large.example".into()].into());
        assert_eq!(met.provider_of("MX1.b.large.example").as_deref(), Some("large"));
        assert_eq!(met.names(), ["large".to_owned(), "mx2.c.example".into(), "mx3.d.example".into()].into());
    }

    #[test]
    fn routes_are_made_anew_by_rules_that_were_read_again() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let write = |name: &str| {
            let text = format!("[[provider]]\nname = \"{name}\"\nmx = [\"a.example\"]\n");
            std::fs::write(file.path(), text).expect("written");
        };
        write("before");
        let rules = crate::shaping::Rules::read(file.path()).expect("good");
        let shaping = Arc::new(Shaping::new(rules, Some(file.path().into()), BOUNDS));
        let router = Router::new(
            Arc::new(Changing(0.into(), Duration::from_secs(3600))),
            Demand::new(Level::Verified),
            Access::default(),
        );
        let router = router.shaped(shaping.clone());
        let name = || ask(&router, "a.example").map(|route| route.name().to_owned());
        assert_eq!(name(), Ok("before".into()));
        write("after");
        assert_eq!(name(), Ok("before".into()), "remembered");
        shaping.read_again().expect("good");
        assert!(router.known("a.example", Instant::now()).is_none(), "forgotten");
        assert_eq!(name(), Ok("after".into()));
        assert!(router.known("a.example", Instant::now()).is_some());
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
