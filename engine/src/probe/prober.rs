//! Asks, connects, looks, says goodbye.

use super::{Finding, HostFinding, Outlook};
use crate::clock::Clock;
use crate::mail::{Demand, Level, MxTrust, Peer, TlsFault, Tlsa};
use crate::metrics::Metrics;
use crate::resolve::{Addresses, MxHost, NoAddress, NoRoute, Place, Resolver, Security};
use crate::route::{Route, Router};
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

/// What a session is the same for, whatever domain it is about and however well that likes the host.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    host: String,
    place: Place,
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
            Seen::Open { version, peer } => {
                self.means.standing.usable(&route.domain);
                HostFinding { version: Some(version.to_owned()), peer, ..finding }
            }
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
        let subject = Subject::of(fault, &host.name, &route.domain);
        let promised = route.word.promises_tls() || *tlsa != Tlsa::Absent;
        let confirmed = route.word.confirms(fault);
        let (_, fault) = self.means.standing.judge(subject, fault, promised, false, self.means.clock.now());
        let reason = fault.label().to_owned();
        if confirmed && fault.is_the_peers() { Outlook::Unable(reason) } else { Outlook::Waits(reason) }
    }

    /// What a session with the host came to: the first to ask opens it, others wait for that.
    async fn seen(&self, route: &Route, host: &MxHost, addresses: &Addresses, tlsa: &Tlsa) -> Seen {
        let level = route.demand.level().min(Level::Verified);
        let key = Key { host: host.name.clone(), place: host.place.clone(), level, mx_trust: route.mx_trust };
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
            replies: route.shape.replies.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::resolve::{Answer, Mx};
    use crate::smtp::{Dialling, Root, Wire};
    use crate::store::{Settings, Store};
    use crate::sts::MemoryShelf;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};

    /// Every domain's mail goes to one host. Whether `silent.example` has a policy, nobody says.
    struct Zone;

    impl Resolver for Zone {
        fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
            let preference = u16::try_from(domain.len()).expect("short");
            let hosts = vec![MxHost { name: "mx.a.example".into(), preference, place: Place::Named(25) }];
            Box::pin(async { Ok(Mx { hosts, valid_until: None, security: Security::Insecure }) })
        }

        fn addresses<'a>(&'a self, _: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
            let at = vec![([127, 0, 0, 1], 25).into()];
            Box::pin(async { Ok(Addresses { at, security: Security::Insecure }) })
        }

        fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Result<Vec<String>, NoRoute>> {
            let silent = name.ends_with("silent.example");
            Box::pin(async move { if silent { Err(NoRoute::TimedOut) } else { Ok(Vec::new()) } })
        }
    }

    /// A host without STARTTLS, which counts its sessions.
    struct Bare(Arc<AtomicUsize>);

    impl Dial for Bare {
        fn dial<'a>(&'a self, _: Target<'a>) -> Dialling<'a> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let (ours, theirs) = tokio::io::duplex(1 << 12);
            tokio::spawn(async move {
                let mut line = BufStream::new(theirs);
                let mut heard = String::new();
                for said in ["220 hello\r\n", "250 hello\r\n"] {
                    line.write_all(said.as_bytes()).await.ok();
                    line.flush().await.ok();
                    line.read_line(&mut heard).await.ok();
                }
            });
            Box::pin(async move { Ok(Box::new(ours) as Wire) })
        }
    }

    /// A prober with this floor, the sessions that it has had, and its folder.
    fn prober(floor: Level) -> (Prober, Arc<AtomicUsize>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Store::open(folder.path(), &Settings::default()).expect("a store"));
        let root = rcgen::generate_simple_self_signed(vec!["ca.example".into()]).expect("a certificate");
        let connector = Connector::new(&[Root::Der(root.cert.der().to_vec())], None).expect("a connector");
        let (resolver, sessions): (Arc<dyn Resolver>, _) = (Arc::new(Zone), Arc::default());
        let (shelf, clock) = (Arc::new(MemoryShelf::default()), Arc::new(SystemClock));
        let policies = Arc::new(Sts::new(resolver.clone(), &connector.https(), shelf, clock.clone()));
        let router = Router::new(resolver.clone(), Demand::new(floor), Access::default()).asking(policies.clone());
        let source = Source { name: "a".into(), ehlo: "us.example".into(), ipv4: None, ipv6: None };
        let means = Means {
            router,
            floor,
            resolver,
            policies,
            connector,
            dial: Arc::new(Bare(Arc::clone(&sessions))),
            standing: Arc::new(TlsStanding::new(store, Duration::from_secs(1800))),
            source,
            timeouts: Timeouts { connect: Duration::from_secs(9), command: None },
            clock,
        };
        (Prober::new(means), sessions, folder)
    }

    #[tokio::test]
    async fn what_is_foretold_is_what_a_run_would_do() {
        let unable = |reason: &str| Outlook::Unable(reason.into());
        let cases = [
            (Level::Verified, "a.example", unable("no_starttls")),
            // Nobody has promised anything.
            (Level::Verified, "silent.example", unable("no_starttls")),
            (Level::Authenticated, "a.example", unable("mx_unproven")),
            // Its policy may vouch for the host.
            (Level::Authenticated, "silent.example", Outlook::Waits("mx_unproven".into())),
        ];
        for (floor, domain, outlook) in cases {
            let (prober, ..) = prober(floor);
            assert_eq!(prober.domain(domain).await.outlook, outlook, "{floor:?} {domain}");
        }
    }

    #[tokio::test]
    async fn a_host_is_met_once_however_well_its_domains_like_it() {
        let (prober, sessions, _folder) = prober(Level::Verified);
        for domain in ["a.example", "another.example", "b.example"] {
            assert_eq!(prober.domain(domain).await.hosts.len(), 1);
        }
        assert_eq!(sessions.load(Ordering::SeqCst), 1);
    }
}
