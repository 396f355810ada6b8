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
use crate::store::About;
use crate::sts::{Freshness, Kept};
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
    fetch_again(engine, due_policies(engine, now)?)?;
    for (floor, domains) in due_findings(engine, now, every)? {
        let prober = Arc::new(prober(&engine.gear, engine.policies.clone(), engine.standing.clone(), floor)?);
        let again = |finding: Finding| {
            let asked = domains.get(&finding.domain).copied().unwrap_or(finding.asked);
            keep(&engine.store, &Finding { asked, ..finding })
        };
        work(&prober, domains.keys().cloned().collect(), AT_ONCE, again, || engine.is_stopping())?;
    }
    Ok(())
}

fn due_policies(engine: &Engine, now: Timestamp) -> Result<Vec<String>, Error> {
    let mut due = Vec::new();
    engine.store.scan_shown(About::Policy, |domain, octets| {
        if Kept::decode(octets).is_some_and(|kept| kept.lives(now) && kept.is_due(now)) {
            due.push(domain.to_owned());
        }
    })?;
    Ok(due)
}

fn fetch_again(engine: &Engine, domains: Vec<String>) -> Result<(), Error> {
    let runtime = runtime()?;
    for domain in domains {
        if engine.is_stopping() {
            break;
        }
        let fetched = engine.policies.policy_of(&domain, Freshness::FetchAgain);
        runtime.block_on(async {
            // A policy host that is slow must not hold up the engine's end.
            tokio::select! {
                biased;
                standing = fetched => if let Err(error) = standing {
                    tracing::warn!(%error, "an MTA-STS policy could not be refreshed");
                },
                () = stops(engine) => {}
            }
        });
    }
    Ok(())
}

async fn stops(engine: &Engine) {
    while !engine.is_stopping() {
        tokio::time::sleep(GLANCE).await;
    }
}

/// Domains that were probed lately, and not just now, with when somebody asked about them.
type Due = BTreeMap<Level, BTreeMap<String, Timestamp>>;

/// What is due, by floor. Domains that nobody has asked about for long are forgotten.
fn due_findings(engine: &Engine, now: Timestamp, every: Duration) -> Result<Due, Error> {
    let (mut due, mut old) = (Due::new(), Vec::new());
    engine.store.scan_shown(About::Finding, |domain, octets| match Finding::decode(octets) {
        Some(finding) if now.since(finding.asked) >= KEPT_FOR => old.push(domain.to_owned()),
        Some(finding) if now.since(finding.at) >= every / 2 => {
            due.entry(finding.floor).or_default().insert(domain.to_owned(), finding.asked);
        }
        Some(_) => {}
        None => old.push(domain.to_owned()),
    })?;
    for domain in old {
        engine.store.forget_shown(About::Finding, &domain)?;
    }
    Ok(due)
}
