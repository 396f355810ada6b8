//! Looks again, once a day, at policies that are kept and at domains that were probed: an MTA-STS policy is fetched again while
//! the old one lives (RFC 8461 section 3.3), and a host that has lost its TLS is known before a run meets it.
//!
//! A thread of its own, with a few look-ups at once: no row waits for it. It ends with the engine.

use super::Error;
use super::engine::Engine;
use super::feeders::thread;
use super::probing::{keep, prober, runtime, work};
use crate::clock::Timestamp;
use crate::mail::Level;
use crate::probe::Finding;
use crate::store::{About, Store};
use crate::sts::{Freshness, Kept, Sts};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Domains looked at at once, beside what runs do.
const AT_ONCE: usize = 4;
/// Domains that nobody has asked about for so long are let go.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often it is asked whether the engine stops.
const GLANCE: Duration = Duration::from_millis(50);

/// Starts the thread, where anything is to be looked at again.
pub(super) fn start(engine: &Arc<Engine>) -> Result<Option<JoinHandle<()>>, Error> {
    let Some(every) = engine.gear.tls_refresh.filter(|_| engine.gear.machine.is_some()) else { return Ok(None) };
    let engine = engine.clone();
    thread("refresh", move || watch(&engine, every)).map(Some)
}

fn watch(engine: &Engine, every: Duration) {
    let mut turn = 0;
    while rest(engine, jittered(every, engine.since, turn)) {
        turn += 1;
        if let Err(error) = round(engine, every) {
            tracing::warn!(%error, "policies and hosts could not be looked at again");
        }
    }
}

/// Waits, and says whether the engine goes on.
fn rest(engine: &Engine, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        if engine.is_stopping() {
            return false;
        }
        std::thread::sleep(GLANCE);
    }
    !engine.is_stopping()
}

/// Within a tenth of the interval, so that machines that were started together don't ask together.
fn jittered(every: Duration, since: Timestamp, turn: u32) -> Duration {
    let luck = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        format!("{} {} {turn}", std::process::id(), since.0).as_bytes(),
    );
    every * 9 / 10 + every / 5 * u32::from(luck.as_ref()[0]) / 256
}

fn round(engine: &Engine, every: Duration) -> Result<(), Error> {
    engine.probing.clear();
    let now = engine.gear.clock.now();
    fetch_again(&engine.policies, due_policies(&engine.store, now)?, || engine.is_stopping())?;
    for (floor, domains) in due_findings(&engine.store, now, every)? {
        let prober = Arc::new(prober(&engine.gear, engine.policies.clone(), engine.standing.clone(), floor)?);
        let again = |finding: Finding| {
            let asked = domains.get(&finding.domain).copied().unwrap_or(finding.asked);
            keep(&engine.store, &Finding { asked, ..finding })
        };
        work(&prober, domains.keys().cloned().collect(), AT_ONCE, again, || engine.is_stopping())?;
    }
    Ok(())
}

fn due_policies(store: &Store, now: Timestamp) -> Result<Vec<String>, Error> {
    let mut due = Vec::new();
    store.scan_shown(About::Policy, |domain, octets| {
        if Kept::decode(octets).is_some_and(|kept| kept.lives(now) && kept.is_due(now)) {
            due.push(domain.to_owned());
        }
    })?;
    Ok(due)
}

/// One after the other, until `stop` says so: a policy host that is slow must not hold up the engine's end.
fn fetch_again(policies: &Sts, domains: Vec<String>, stop: impl Fn() -> bool) -> Result<(), Error> {
    let fetched = async {
        for domain in domains {
            if let Err(error) = policies.policy_of(&domain, Freshness::FetchAgain).await {
                tracing::warn!(%error, "an MTA-STS policy could not be refreshed");
            }
        }
    };
    let stopped = async {
        while !stop() {
            tokio::time::sleep(GLANCE).await;
        }
    };
    runtime()?.block_on(async {
        tokio::select! {
            biased;
            () = fetched => {}
            () = stopped => {}
        }
    });
    Ok(())
}

/// Domains that were probed lately, and not just now, with when somebody asked about them.
type Due = BTreeMap<Level, BTreeMap<String, Timestamp>>;

/// What is due, by floor. Domains that nobody has asked about for long are forgotten.
fn due_findings(store: &Store, now: Timestamp, every: Duration) -> Result<Due, Error> {
    let (mut due, mut old) = (Due::new(), Vec::new());
    store.scan_shown(About::Finding, |domain, octets| match Finding::decode(octets) {
        Some(finding) if now.since(finding.asked) >= KEPT_FOR => old.push(domain.to_owned()),
        Some(finding) if now.since(finding.at) >= every / 2 => {
            due.entry(finding.floor).or_default().insert(domain.to_owned(), finding.asked);
        }
        Some(_) => {}
        None => old.push(domain.to_owned()),
    })?;
    for domain in old {
        store.forget_shown(About::Finding, &domain)?;
    }
    Ok(due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::clock::SystemClock;
    use crate::probe::Outlook;
    use crate::resolve::{Addresses, Answer, Mx, MxHost, NoAddress, NoRoute, Resolver};
    use crate::run::shelf::StoreShelf;
    use crate::smtp::{Connector, Root};
    use crate::store::Settings;

    const HOUR: u64 = 3_600_000;

    fn store() -> (Arc<Store>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        (Arc::new(Store::open(folder.path(), &Settings::default()).expect("a store")), folder)
    }

    /// A policy that was fetched so long ago, for a week.
    fn kept(store: &Store, domain: &str, now: Timestamp, hours: u64) {
        let fetched = now.0 - hours * HOUR;
        let stored = serde_json::json!({
            "version": 1, "id": "1", "mode": "enforce", "mx": ["mx.a.example"], "max_age": 604_800, "fetched": fetched,
            "last_tried": fetched,
        });
        store.put_shown(About::Policy, domain, stored.to_string().as_bytes()).expect("written");
    }

    fn found(store: &Store, domain: &str, at: Timestamp, asked: Timestamp) {
        let (policy, hosts, outlook) = (String::new(), Vec::new(), Outlook::Able);
        let (domain, floor) = (domain.to_owned(), Level::Verified);
        let finding = Finding { domain, at, asked, floor, mx_trust: None, policy, hosts, outlook };
        keep(store, &finding).expect("written");
    }

    #[test]
    fn what_is_due_is_what_lives_and_is_a_day_old() {
        let (store, _folder) = store();
        let now = SystemClock.now();
        kept(&store, "fresh.example", now, 1);
        kept(&store, "due.example", now, 25);
        kept(&store, "dead.example", now, 200);
        assert_eq!(due_policies(&store, now).expect("read"), ["due.example"]);

        let ago = |hours: u64| Timestamp(now.0 - hours * HOUR);
        found(&store, "just.example", ago(1), ago(1));
        found(&store, "again.example", ago(24), ago(100));
        found(&store, "forgotten.example", ago(24), ago(200));
        let day = Duration::from_secs(24 * 3600);
        let expected = Due::from([(Level::Verified, [("again.example".to_owned(), ago(100))].into())]);
        assert_eq!(due_findings(&store, now, day).expect("read"), expected);
        assert!(store.shown(About::Finding, "forgotten.example").expect("read").is_none(), "nobody asks about it");
        assert!(store.shown(About::Finding, "just.example").expect("read").is_some());
    }

    /// Every domain announces a new policy, and nobody serves it.
    struct Announcing;

    impl Resolver for Announcing {
        fn mx<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
            Box::pin(async { Err(NoRoute::NoMailHost) })
        }

        fn addresses<'a>(&'a self, _: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
            Box::pin(async { Err(NoAddress::None) })
        }

        fn txt<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Vec<String>, NoRoute>> {
            Box::pin(async { Ok(vec!["v=STSv1; id=2;".into()]) })
        }
    }

    #[test]
    fn a_policy_that_is_due_is_asked_for_and_holds_meanwhile() {
        let (store, _folder) = store();
        let now = SystemClock.now();
        kept(&store, "due.example", now, 25);
        let root = rcgen::generate_simple_self_signed(vec!["ca.example".into()]).expect("a certificate");
        let https = Connector::new(&[Root::Der(root.cert.der().to_vec())], None).expect("a connector").https();
        let shelf = Arc::new(StoreShelf(store.clone()));
        let sts = Sts::new(Arc::new(Announcing), &https, shelf, Arc::new(SystemClock));
        fetch_again(&sts, vec!["due.example".into()], || false).expect("asked");
        let after = store.shown(About::Policy, "due.example").expect("read").expect("it is kept");
        let after = Kept::decode(&after).expect("a policy");
        assert!(after.last_tried() >= now && after.lives(now), "{after:?}");
        assert_eq!(after.fetched(), Timestamp(now.0 - 25 * HOUR));
        assert!(due_policies(&store, SystemClock.now()).expect("read").is_empty(), "not again within the hour");
    }
}
