//! Policies over real HTTPS on loopback, in a world of our making: DNS, clock and shelf are the tests'.

mod host;

use super::*;
use crate::resolve::{Addresses, Answer, Mx, MxHost, NoAddress, Security};
use host::{Act, Identity, PolicyHost, ok, response};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

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

#[tokio::test]
async fn a_policy_is_fetched_kept_and_not_fetched_again() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    let standing = world.ask().await;
    assert_eq!(brief(&standing), Some((Mode::Enforce, "1", Source::Fetched)));
    assert!(standing.is_current());
    let asked = world.host.last.lock().expect("not poisoned").to_ascii_lowercase();
    assert!(asked.starts_with("mta-sts.b.example\r\nget /.well-known/mta-sts.txt http/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nhost: mta-sts.b.example\r\n"), "{asked}");
    let kept = world.kept().expect("kept");
    assert_eq!((kept.fetched(), kept.until()), (T0, T0.after(Duration::from_secs(7 * DAY))));
    assert!(kept.policy().permits("mx.b.example"));
    world.pass(3 * DAY);
    let world = world.restarted();
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Kept)));
    assert_eq!(world.host.asked(), 1);
}

#[tokio::test]
async fn no_record_is_no_policy_and_nobody_is_asked() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    let two = vec!["v=STSv1; id=1;".to_owned(), "v=STSv1; id=2;".to_owned()];
    let answers = [
        Ok(Vec::new()),
        Ok(vec!["v=spf1 -all".to_owned()]),
        Ok(two),
        Err(NoRoute::NoSuchDomain),
        Err(NoRoute::NoMailHost),
    ];
    for answer in answers {
        world.answer(answer.clone());
        assert_eq!(world.ask().await, Standing::NoPolicy, "{answer:?}");
    }
    assert_eq!(world.host.connected.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_the_policy_host_may_answer() {
    let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{ENFORCE}\r\n0\r\n\r\n", ENFORCE.len());
    let largest = format!("{ENFORCE}x: {}", "x".repeat((64 << 10) - ENFORCE.len() - 3));
    let cases = [
        ("parameters", response("200 OK", "content-type: Text/Plain ; charset=utf-8\r\n", ENFORCE)),
        ("the largest", ok(&largest)),
        ("chunks", [chunked.as_slice(), chunk.as_bytes()].concat()),
        ("another word for OK", response("200 Fine", "Content-Type: text/plain\r\n", ENFORCE)),
        ("caching", response("200 OK", "Content-Type: text/plain\r\nCache-Control: no-store\r\nAge: 999\r\n", ENFORCE)),
    ];
    for (name, answer) in cases {
        let world = World::of(Act::Say(answer)).await;
        assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Fetched)), "{name}");
        assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Kept)), "{name}");
    }
}

#[tokio::test]
async fn what_it_may_not_answer() {
    let text = "Content-Type: text/plain\r\n";
    let endless = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("8001\r\n{}\r\n", "x".repeat(0x8001)).repeat(2);
    let cases = [
        (Fault::Status(301), response("301 Moved", "Location: https://mta-sts.b.example/x\r\n", "")),
        (Fault::Status(302), response("302 Found", &format!("{text}Location: /.well-known/mta-sts.txt\r\n"), ENFORCE)),
        (Fault::Status(404), response("404 Not Found", text, ENFORCE)),
        (Fault::Status(500), response("500 Oh", text, ENFORCE)),
        (Fault::Status(203), response("203 Changed on the way", text, ENFORCE)),
        (Fault::MediaType, response("200 OK", "Content-Type: text/html\r\n", ENFORCE)),
        (Fault::MediaType, response("200 OK", "Content-Type: text/plainer\r\n", ENFORCE)),
        (Fault::MediaType, response("200 OK", "", ENFORCE)),
        (Fault::TooLarge, ok(&format!("{ENFORCE}x: {}", "x".repeat(64 << 10)))),
        (Fault::TooLarge, [endless.as_slice(), chunk.as_bytes()].concat()),
        (Fault::Broken, response("200 OK", &format!("{text}X: {}\r\n", "x".repeat(20_000)), ENFORCE)),
        (Fault::Broken, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 900\r\n\r\nversion".to_vec()),
        (Fault::Broken, b"220 mx.b.example ESMTP\r\n".to_vec()),
        (Fault::Broken, Vec::new()),
        (Fault::Invalid(PolicyFault::Version), ok("")),
        (Fault::Invalid(PolicyFault::Mode), ok(&ENFORCE.replace("enforce", "strict"))),
    ];
    for (fault, answer) in cases {
        let world = World::of(Act::Say(answer)).await;
        assert_eq!(world.ask().await, unknown(fault));
        assert_eq!((world.ask().await, world.host.asked()), (unknown(fault), 1), "{fault:?} is remembered");
        assert_eq!(world.kept(), None);
        assert!(!world.ask().await.is_current());
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_prove_the_policy_host() {
    let own = || vec!["mta-sts.b.example".to_owned()];
    let cases = [
        ("another name", Identity::Of(vec!["b.example".into(), "www.b.example".into()])),
        ("a wildcard of two labels", Identity::Of(vec!["*.example".into()])),
        ("expired", Identity::Expired(own())),
        ("unknown issuer", Identity::Stranger(own())),
    ];
    for (name, identity) in cases {
        let world = World::with(identity, Act::Say(ok(ENFORCE))).await;
        assert_eq!(world.ask().await, unknown(Fault::Certificate), "{name}");
        assert_eq!((world.host.asked(), world.kept()), (0, None), "{name}");
    }
    let world = World::of(Act::Plain).await;
    assert_eq!(world.ask().await, unknown(Fault::Handshake));
}

/// Time passes by itself once the host has fallen silent.
#[tokio::test]
async fn a_policy_host_that_is_slow() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 66\r\n\r\nversion: STSv1".to_vec();
    let world = World::of(Act::Stall(head)).await;
    assert_eq!((world.ask().await, world.host.asked()), (unknown(Fault::TimedOut), 1));
}

#[tokio::test]
async fn a_policy_host_that_does_no_handshake() {
    let world = World::of(Act::Mute).await;
    assert_eq!(world.ask().await, unknown(Fault::TimedOut));
}

#[tokio::test]
async fn a_policy_host_that_is_not_there() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    for (at, fault) in [
        (Ok(vec![closed]), Fault::Unreachable),
        (Err(NoAddress::None), Fault::NoAddress),
        (Err(NoAddress::Denied), Fault::NoAddress),
        (Err(NoAddress::Failed), Fault::NoAddress),
    ] {
        world.locate(at);
        assert_eq!(world.ask().await, unknown(fault));
        world.pass(FIVE_MINUTES);
    }
    world.locate(Ok(vec![closed, world.host.address]));
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Fetched)), "another address is tried");
}

#[tokio::test]
async fn another_id_is_another_policy() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.ask().await;
    world.announce("2");
    world.host.say(Act::Say(ok(TESTING)));
    assert_eq!(brief(&world.ask().await), Some((Mode::Testing, "2", Source::Fetched)));
    world.announce("3");
    world.host.say(Act::Say(ok(NONE)));
    assert_eq!(brief(&world.ask().await), Some((Mode::None, "3", Source::Fetched)), "taken back");
    assert_eq!(brief(&world.ask().await), Some((Mode::None, "3", Source::Kept)));
    assert_eq!((world.host.asked(), world.kept().map(|kept| kept.policy().mode())), (3, Some(Mode::None)));
}

#[tokio::test]
async fn a_kept_policy_holds_while_the_policy_host_is_down() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.ask().await;
    world.announce("2");
    let down = Fault::Status(503);
    world.host.say(Act::Say(response("503 Later", "", "")));
    let despite = Some((Mode::Enforce, "1", Source::KeptDespite(down)));
    let standing = world.ask().await;
    assert_eq!((brief(&standing), standing.is_current(), standing.fault()), (despite, false, Some(down)));
    world.pass(FIVE_MINUTES - 1);
    assert_eq!((brief(&world.ask_again().await), world.host.asked()), (despite, 2), "not within five minutes");
    world.pass(1);
    assert_eq!((brief(&world.ask().await), world.host.asked()), (despite, 3));
    world.announce("3");
    assert_eq!((brief(&world.ask().await), world.host.asked()), (despite, 4), "of another id nobody knows yet");
    assert_eq!(world.kept().expect("kept").last_tried(), world.clock.now());
    world.pass(7 * DAY);
    let lapsed = world.kept().map(|kept| Kept { last_tried: world.clock.now(), ..kept });
    assert_eq!(world.ask().await, Standing::Unknown { why: down, lapsed: lapsed.map(Arc::new) }, "it has run out");
    world.pass(FIVE_MINUTES);
    world.host.say(Act::Say(ok(TESTING)));
    assert_eq!(brief(&world.ask().await), Some((Mode::Testing, "3", Source::Fetched)), "and here it is again");
}

#[tokio::test]
async fn a_kept_policy_holds_while_its_record_is_gone_or_unknown() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.ask().await;
    let answers = [
        (Ok(Vec::new()), Source::Kept),
        (Err(NoRoute::NoSuchDomain), Source::Kept),
        (Err(NoRoute::Failed), Source::KeptDespite(Fault::Record)),
        (Err(NoRoute::TimedOut), Source::KeptDespite(Fault::Record)),
        (Err(NoRoute::Exhausted), Source::KeptDespite(Fault::Exhausted)),
    ];
    for (answer, source) in answers.clone() {
        world.answer(answer);
        assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", source)));
        assert_eq!(brief(&world.ask_again().await), Some((Mode::Enforce, "1", source)));
    }
    world.pass(7 * DAY);
    let lapsed = world.kept().map(Arc::new);
    world.answer(Err(NoRoute::TimedOut));
    assert_eq!(world.ask().await, Standing::Unknown { why: Fault::Record, lapsed });
    world.answer(Err(NoRoute::Exhausted));
    assert!(matches!(world.trouble().await, Some(Trouble::Exhausted)));
    world.answer(Ok(Vec::new()));
    assert_eq!((world.ask().await, world.kept()), (Standing::NoPolicy, None), "it is over");
    assert_eq!(world.host.asked(), 1);
}

#[tokio::test]
async fn a_policy_is_fetched_again_where_that_is_asked_for() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.ask().await;
    world.host.say(Act::Say(ok(TESTING)));
    world.pass(FIVE_MINUTES - 1);
    assert_eq!(brief(&world.ask_again().await), Some((Mode::Enforce, "1", Source::Kept)), "it is fresh");
    world.pass(1);
    assert_eq!(brief(&world.ask_again().await), Some((Mode::Testing, "1", Source::Fetched)), "under the same id");
    assert_eq!(world.kept().expect("kept").fetched(), world.clock.now());
    assert_eq!(world.host.asked(), 2);
    world.pass(FIVE_MINUTES);
    world.host.say(Act::Say(Vec::new()));
    let despite = Source::KeptDespite(Fault::Broken);
    assert_eq!(brief(&world.ask_again().await), Some((Mode::Testing, "1", despite)));
    let world = world.restarted();
    assert_eq!(brief(&world.ask_again().await), Some((Mode::Testing, "1", despite)), "not taken for a success");
}

#[tokio::test]
async fn a_policy_of_no_time_spares_its_host_all_the_same() {
    let world = World::of(Act::Say(ok(&ENFORCE.replace("604800", "0")))).await;
    world.ask().await;
    world.pass(FIVE_MINUTES - 1);
    assert_eq!((brief(&world.ask().await).is_some(), world.host.asked()), (true, 1));
    world.pass(1);
    assert_eq!((brief(&world.ask().await).is_some(), world.host.asked()), (true, 2));
}

/// Fifty ask at once, the first of them leaves in the middle.
async fn fifty_ask(act: Act, held: Act) -> (Vec<Standing>, usize) {
    let world = World::of(held).await;
    let sts = world.sts.clone();
    let first = tokio::spawn(async move { sts.policy_of(DOMAIN, Freshness::AsKept).await });
    while world.host.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let mut askers = JoinSet::new();
    for _ in 0..50 {
        let sts = world.sts.clone();
        askers.spawn(async move { sts.policy_of(DOMAIN, Freshness::AsKept).await.expect("no trouble") });
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.host.connected.load(Ordering::SeqCst), 1, "the others wait");
    world.host.say(act);
    first.abort();
    (askers.join_all().await, world.host.asked())
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_fetch() {
    let (standings, asked) = fifty_ask(Act::Say(ok(ENFORCE)), Act::Hold(ok(ENFORCE))).await;
    assert_eq!(asked, 2, "the one that was given up, and one for all");
    let fetched = |standing: &&Standing| brief(standing) == Some((Mode::Enforce, "1", Source::Fetched));
    let kept = |standing: &&Standing| brief(standing) == Some((Mode::Enforce, "1", Source::Kept));
    assert_eq!((standings.iter().filter(fetched).count(), standings.iter().filter(kept).count()), (1, 49));
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_failure() {
    let (standings, asked) = fifty_ask(Act::Say(response("500 Oh", "", "")), Act::Hold(Vec::new())).await;
    assert_eq!(asked, 2);
    assert!(standings.iter().all(|standing| *standing == unknown(Fault::Status(500))));
}

#[tokio::test]
async fn so_many_are_fetched_at_once_and_no_more() {
    let names = (0..AT_ONCE + 8).map(|number| format!("d{number}.{DOMAIN}")).collect::<Vec<_>>();
    let hosts = names.iter().map(|name| format!("mta-sts.{name}")).collect();
    let world = World::with(Identity::Of(hosts), Act::Hold(ok(ENFORCE))).await;
    let mut askers = JoinSet::new();
    for name in names {
        let sts = world.sts.clone();
        askers.spawn(async move { sts.policy_of(&name, Freshness::AsKept).await.expect("no trouble") });
    }
    while world.host.asked() < AT_ONCE {
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    world.host.release.add_permits(AT_ONCE + 8);
    let standings = askers.join_all().await;
    assert!(standings.iter().all(|standing| brief(standing) == Some((Mode::Enforce, "1", Source::Fetched))));
    assert_eq!(world.host.most_held.load(Ordering::SeqCst), AT_ONCE);
}

#[tokio::test]
async fn a_shelf_that_fails_is_never_no_policy() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.shelf.unwritable.store(true, Ordering::SeqCst);
    assert!(matches!(world.trouble().await, Some(Trouble::Shelf(_))), "it is not believed before it is kept");
    assert_eq!(world.kept(), None);
    world.shelf.unwritable.store(false, Ordering::SeqCst);
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Fetched)));
    world.shelf.unreadable.store(true, Ordering::SeqCst);
    let answers =
        [Ok(vec!["v=STSv1; id=1;".to_owned()]), Ok(Vec::new()), Err(NoRoute::Failed), Err(NoRoute::NoSuchDomain)];
    for answer in answers {
        world.answer(answer.clone());
        let trouble = world.trouble().await.expect("trouble");
        assert!(matches!(trouble, Trouble::Shelf(_)), "{answer:?}");
        assert_eq!(trouble.to_string(), "the kept MTA-STS policies");
        assert_eq!(std::error::Error::source(&trouble).expect("a cause").to_string(), "the disk is gone");
    }
}

#[tokio::test]
async fn what_our_own_machine_lacks_is_not_the_policy_hosts_fault() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.locate(Err(NoAddress::Exhausted));
    assert!(matches!(world.trouble().await, Some(Trouble::Exhausted)), "rows wait");
    world.locate(Ok(vec![world.host.address]));
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Fetched)), "at once, when it can");
    world.locate(Err(NoAddress::Exhausted));
    world.announce("2");
    let despite = Source::KeptDespite(Fault::Exhausted);
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", despite)));
}
