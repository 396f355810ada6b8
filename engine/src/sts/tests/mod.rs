//! Policies over real HTTPS on loopback, in a world of our making: DNS, clock and shelf are the tests'.

mod fetching;
mod host;
mod keeping;
mod together;
mod trouble;

use super::*;
use crate::resolve::{Addresses, Answer, Mx, MxHost, NoAddress, Security};
use host::{Act, Identity, PolicyHost, ok, response};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const DOMAIN: &str = "b.example";
const T0: Timestamp = Timestamp(1_800_000_000_000);
const FIVE_MINUTES: u64 = 300;
const DAY: u64 = 24 * 3600;

/// A policy file of a week.
const ENFORCE: &str = "version: STSv1\nmode: enforce\nmx: *.b.example\nmax_age: 604800\n";
const TESTING: &str = "version: STSv1\nmode: testing\nmx: mx.b.example\nmax_age: 604800\n";
const NONE: &str = "version: STSv1\nmode: none\nmax_age: 604800\n";

/// What the DNS says.
struct Zone {
    txt: Mutex<Result<Vec<String>, NoRoute>>,
    at: Mutex<Result<Vec<SocketAddr>, NoAddress>>,
}

impl Resolver for Zone {
    fn mx<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
        unreachable!("policies need no MX")
    }

    fn addresses<'a>(&'a self, _: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
        unreachable!("policies need no MX")
    }

    fn host_addresses<'a>(&'a self, name: &'a str, port: u16) -> Answer<'a, Result<Addresses, NoAddress>> {
        assert!(name.starts_with("mta-sts.") && name.ends_with(DOMAIN) && port == 443, "{name} {port}");
        let at = self.at.lock().expect("not poisoned").clone();
        Box::pin(async { Ok(Addresses { at: at?, security: Security::Insecure }) })
    }

    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Result<Vec<String>, NoRoute>> {
        assert!(name.starts_with("_mta-sts.") && name.ends_with(DOMAIN), "{name}");
        let found = self.txt.lock().expect("not poisoned").clone();
        Box::pin(async { found })
    }
}

struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A shelf that breaks when it is told to.
#[derive(Default)]
struct Fickle {
    memory: MemoryShelf,
    unreadable: AtomicBool,
    unwritable: AtomicBool,
}

fn broken_if(broken: &AtomicBool) -> Result<(), ShelfError> {
    let cause = || ShelfError::new(std::io::Error::other("the disk is gone"));
    if broken.load(Ordering::SeqCst) { Err(cause()) } else { Ok(()) }
}

impl Shelf for Fickle {
    fn get(&self, domain: &str) -> Result<Option<Kept>, ShelfError> {
        broken_if(&self.unreadable).and_then(|()| self.memory.get(domain))
    }

    fn put(&self, domain: &str, kept: &Kept) -> Result<(), ShelfError> {
        broken_if(&self.unwritable).and_then(|()| self.memory.put(domain, kept))
    }

    fn forget(&self, domain: &str) -> Result<(), ShelfError> {
        broken_if(&self.unwritable).and_then(|()| self.memory.forget(domain))
    }
}

struct World {
    host: Arc<PolicyHost>,
    zone: Arc<Zone>,
    clock: Arc<Hand>,
    shelf: Arc<Fickle>,
    sts: Arc<Sts>,
}

impl World {
    /// A policy host that acts so, announced under the id `1`, and nothing kept.
    async fn of(act: Act) -> World {
        World::with(Identity::Of(vec!["mta-sts.b.example".into()]), act).await
    }

    async fn with(identity: Identity, act: Act) -> World {
        let host = PolicyHost::start(identity, act).await;
        let at = Mutex::new(Ok(vec![host.address]));
        let zone = Arc::new(Zone { txt: Mutex::new(Ok(Vec::new())), at });
        let (clock, shelf) = (Arc::new(Hand(T0.0.into())), Arc::new(Fickle::default()));
        let sts = Arc::new(Sts::new(zone.clone(), &host.trust, shelf.clone(), clock.clone()));
        let world = World { host, zone, clock, shelf, sts };
        world.announce("1");
        world
    }

    fn announce(&self, id: &str) {
        self.answer(Ok(vec![format!("v=STSv1; id={id};")]));
    }

    /// What the DNS says of the TXT record from now on.
    fn answer(&self, txt: Result<Vec<String>, NoRoute>) {
        *self.zone.txt.lock().expect("not poisoned") = txt;
    }

    fn locate(&self, at: Result<Vec<SocketAddr>, NoAddress>) {
        *self.zone.at.lock().expect("not poisoned") = at;
    }

    /// The same, after another start of the engine: what was only in memory is gone.
    fn restarted(self) -> World {
        let sts = Sts::new(self.zone.clone(), &self.host.trust, self.shelf.clone(), self.clock.clone());
        World { sts: Arc::new(sts), ..self }
    }

    fn pass(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    async fn ask(&self) -> Standing {
        self.sts.policy_of(DOMAIN, Freshness::AsKept).await.expect("no trouble")
    }

    async fn ask_again(&self) -> Standing {
        self.sts.policy_of(DOMAIN, Freshness::FetchAgain).await.expect("no trouble")
    }

    async fn trouble(&self) -> Option<Trouble> {
        self.sts.policy_of(DOMAIN, Freshness::AsKept).await.err()
    }

    fn kept(&self) -> Option<Kept> {
        self.shelf.memory.get(DOMAIN).expect("readable")
    }
}

/// The mode, the id and the source, in short.
fn brief(standing: &Standing) -> Option<(Mode, &str, Source)> {
    match standing {
        Standing::Policy(known) => Some((known.policy().mode(), known.id().as_str(), known.source)),
        Standing::NoPolicy | Standing::Unknown { .. } => None,
    }
}

fn unknown(why: Fault) -> Standing {
    Standing::Unknown { why, lapsed: None }
}
