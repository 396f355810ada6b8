//! Asks, connects, looks, says goodbye.

use super::{Finding, HostFinding, Outlook};
use crate::clock::Clock;
use crate::mail::{Demand, Level, MxTrust, Peer, TlsFault, Tlsa};
use crate::metrics::Metrics;
use crate::resolve::{Addresses, MxHost, NoAddress, NoRoute, Resolver, Security};
use crate::route::{Route, Router, Word};
use crate::smtp::{Access, Connector, Dial, Policy, Session, Source, Target, Timeouts, Verdict};
use crate::standing::{Subject, TlsStanding};
use crate::sts::{Freshness, Mode, Standing, Sts};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::{OnceCell, Semaphore};

/// What a prober works with.
pub struct Means {
    /// Finds routes, with the floor of TLS that is asked for.
    pub router: Router,
    /// That floor.
    pub floor: Level,
    /// Finds hosts.
    pub resolver: Arc<dyn Resolver>,
    /// What domains ask of whoever sends to them.
    pub policies: Arc<Sts>,
    /// Makes TLS connections, and has no tickets yet.
    pub connector: Connector,
    /// Opens connections.
    pub dial: Arc<dyn Dial>,
    /// What hosts have shown.
    pub standing: Arc<TlsStanding>,
    /// Who we are.
    pub source: Source,
    /// How long we wait.
    pub timeouts: Timeouts,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Finds out what hosts can do. It remembers them: make a new one to look again.
pub struct Prober {
    means: Means,
    /// A run's figures are not about sessions of ours.
    metrics: Arc<Metrics>,
    seen: Mutex<HashMap<Key, Arc<OnceCell<Seen>>>>,
    turns: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    places: Semaphore,
}

/// What a session is the same for, whatever domain it is about.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    host: MxHost,
    level: Level,
    mx_trust: MxTrust,
}

/// How a session went.
#[derive(Clone)]
enum Seen {
    /// It came as far as a message could be sent.
    Open { version: &'static str, peer: Option<Peer> },
    /// TLS fell short.
    Short(TlsFault),
    /// Something else stood in the way.
    Trouble(String),
}

/// Sessions at once: 64 dead hosts cost 64 descriptors, and hosts that live are done with by hundreds a second.
const AT_ONCE: usize = 64;
/// Of them to one address, whatever names it has.
const AT_AN_ADDRESS: usize = 2;
/// Addresses of one host that are tried, and hosts of one domain: what a session of a run would try.
const MOST_ADDRESSES: usize = 10;

impl Prober {
    /// A prober that has seen nothing.
    pub fn new(means: Means) -> Prober {
        let metrics = Arc::new(Metrics::new(crate::metrics::Config { providers: 0 }));
        let (seen, turns) = (Mutex::default(), Mutex::default());
        Prober { means, metrics, seen, turns, places: Semaphore::new(AT_ONCE) }
    }

    /// What becomes of the mail of `domain` (lower case, A-labels).
    pub async fn domain(&self, domain: &str) -> Finding {
        let found = self.means.router.find(domain).await;
        let now = self.means.clock.now();
        let mut finding = Finding {
            domain: domain.to_owned(),
            at: now,
            asked: now,
            floor: self.means.floor,
            mx_trust: None,
            policy: String::new(),
            hosts: Vec::new(),
            outlook: Outlook::Waits(String::new()),
        };
        let route = match found {
            Ok(route) => route,
            Err(trouble) => return Finding { outlook: without_route(trouble), ..finding },
        };
        finding.mx_trust = Some(route.mx_trust);
        finding.policy = self.policy_of(domain, &route).await;
        for host in route.hosts.iter().take(MOST_ADDRESSES) {
            finding.hosts.push(self.host(&route, host).await);
        }
        let outlooks = finding.hosts.iter().map(|host| host.outlook.clone());
        finding.outlook = outlooks.reduce(Outlook::or).expect("a route has at least one host");
        finding
    }

    async fn policy_of(&self, domain: &str, route: &Route) -> String {
        // What the operator says of a domain is not the domain's to change.
        if route.mx_trust == MxTrust::Static {
            return String::new();
        }
        // The router has asked just now, so that this costs nothing.
        let word = match self.means.policies.policy_of(domain, Freshness::AsKept).await {
            Ok(Standing::NoPolicy) => "",
            Ok(Standing::Unknown { .. }) | Err(_) => "unknown",
            Ok(Standing::Policy(known)) => match known.policy().mode() {
                Mode::Enforce => "enforce",
                Mode::Testing => "testing",
                Mode::None => "none",
            },
        };
        word.to_owned()
    }

    async fn host(&self, route: &Route, host: &MxHost) -> HostFinding {
        let waits =
            |outlook| HostFinding { host: host.name.clone(), tlsa: String::new(), version: None, peer: None, outlook };
        // No address helps a host whose name will not do, whatever it proves.
        if let Some(fault) = route.demand.excludes(&host.name, route.mx_trust, true) {
            return waits(self.short(route, host, &Tlsa::Absent, fault));
        }
        let addresses = match self.means.resolver.addresses(host).await {
            Ok(addresses) => addresses,
            Err(trouble) => return waits(without_address(trouble, route.access.relays)),
        };
        let tlsa = match self.tlsa(host, addresses.security).await {
            Ok(tlsa) => tlsa,
            Err(outlook) => return waits(outlook),
        };
        let dane = matches!(tlsa, Tlsa::Usable(_));
        let finding = HostFinding { tlsa: word_of(&tlsa).to_owned(), ..waits(Outlook::Able) };
        if let Some(fault) = route.demand.excludes(&host.name, route.mx_trust, dane) {
            return HostFinding { outlook: self.short(route, host, &tlsa, fault), ..finding };
        }
        match self.seen(route, host, &addresses, &tlsa).await {
            Seen::Open { version, peer } => HostFinding { version: Some(version.to_owned()), peer, ..finding },
            Seen::Short(fault) => HostFinding { outlook: self.short(route, host, &tlsa, fault), ..finding },
            Seen::Trouble(reason) => HostFinding { outlook: Outlook::Waits(reason), ..finding },
        }
    }

    /// They are asked for only where the addresses are signed (RFC 7672 section 2.2.2).
    async fn tlsa(&self, host: &MxHost, security: Security) -> Result<Tlsa, Outlook> {
        if security == Security::Insecure {
            return Ok(Tlsa::Absent);
        }
        let found = self.means.resolver.tlsa(host).await;
        found.map(Tlsa::of).map_err(|_| Outlook::Waits("tlsa_unknown".into()))
    }

    /// A host can't do what is demanded. What is seen here counts for a run: a fault that it sees again is no new one.
    fn short(&self, route: &Route, host: &MxHost, tlsa: &Tlsa, fault: TlsFault) -> Outlook {
        let subject = route.class.alone().map_or(Subject::Host(&host.name), Subject::Domain);
        let promised = route.word != Word::None || *tlsa != Tlsa::Absent;
        let (_, fault) = self.means.standing.judge(subject, fault, promised, false, self.means.clock.now());
        // No row ends for good by a policy that may be out of date (RFC 8461 section 5.1).
        let current = route.word != Word::Enforces { current: false };
        let reason = fault.label().to_owned();
        if current && fault.is_the_peers() { Outlook::Unable(reason) } else { Outlook::Waits(reason) }
    }

    /// What a session with the host came to: the first to ask opens it, others wait for that.
    async fn seen(&self, route: &Route, host: &MxHost, addresses: &Addresses, tlsa: &Tlsa) -> Seen {
        let level = route.demand.level().min(Level::Verified);
        let key = Key { host: host.clone(), level, mx_trust: route.mx_trust };
        let cell = self.seen.lock().expect("no holder panics").entry(key).or_default().clone();
        cell.get_or_init(|| self.visit(route, host, addresses, tlsa)).await.clone()
    }

    async fn visit(&self, route: &Route, host: &MxHost, addresses: &Addresses, tlsa: &Tlsa) -> Seen {
        // What else the domain demands was asked before; whoever shares this session may demand something else.
        let demand = Demand::new(route.demand.level().min(Level::Verified)).raise(&tlsa.demand());
        let policy = Policy {
            ehlo: self.means.source.ehlo.clone(),
            demand,
            tlsa: tlsa.clone(),
            mx_trust: route.mx_trust,
            looked_at: false,
            careful: false,
            avoid_tls: false,
            access: Access { login: None, ..route.access.clone() },
        };
        let mut refusal = None;
        for address in addresses.at.iter().take(MOST_ADDRESSES) {
            let Ok(from) = self.means.source.towards(address.ip()) else { continue };
            let seen = self.session(Target { address: *address, host: &host.name, from }, &policy).await;
            match (&seen, &refusal) {
                (Seen::Open { .. }, _) => return seen,
                // What may be otherwise in a moment comes first.
                (Seen::Trouble(_), Some(Seen::Short(_))) | (_, None) => refusal = Some(seen),
                _ => {}
            }
        }
        refusal.unwrap_or(Seen::Trouble("no_source_address".into()))
    }

    async fn session(&self, target: Target<'_>, policy: &Policy) -> Seen {
        let turn = self.turn(target.address.ip());
        let _turn = turn.acquire().await.expect("nobody closes it");
        let _place = self.places.acquire().await.expect("nobody closes it");
        let Means { dial, connector, timeouts, standing, clock, .. } = &self.means;
        match Session::open(&**dial, target, policy, connector, *timeouts, self.metrics.clone()).await {
            Ok(session) => {
                let proof = session.proof().expect("an open session has one").clone();
                if proof.is_encrypted() {
                    standing.shown(target.host, proof.evidence(), clock.now());
                }
                session.quit().await;
                Seen::Open { version: proof.version(), peer: proof.evidence().peer }
            }
            // A run would go on in clear.
            Err(verdict) if verdict.is_tls() && policy.demand.level() == Level::Opportunistic => {
                Seen::Open { version: "none", peer: None }
            }
            Err(verdict) => refused(&verdict),
        }
    }

    fn turn(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().expect("no holder panics");
        turns.entry(address).or_insert_with(|| Arc::new(Semaphore::new(AT_AN_ADDRESS))).clone()
    }
}

fn refused(verdict: &Verdict) -> Seen {
    verdict.tls_fault().map_or_else(|| Seen::Trouble(verdict.why()), Seen::Short)
}

fn without_route(trouble: NoRoute) -> Outlook {
    let reason = trouble.label().to_owned();
    if trouble.is_transient() { Outlook::Waits(reason) } else { Outlook::Bounces(reason) }
}

fn without_address(trouble: NoAddress, relays: bool) -> Outlook {
    let reason = trouble.label().to_owned();
    if trouble.is_transient() || relays { Outlook::Waits(reason) } else { Outlook::Bounces(reason) }
}

fn word_of(tlsa: &Tlsa) -> &'static str {
    match tlsa {
        Tlsa::Absent => "",
        Tlsa::Unusable => "unusable",
        Tlsa::Usable(_) => "usable",
    }
}
