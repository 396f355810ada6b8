//! Probes: by the engine that is at work, else by whoever holds the state directory meanwhile.

use super::engine::{Engine, open};
use super::shelf::StoreShelf;
use super::{Error, Lock, Machinery};
use crate::control;
use crate::mail::{Demand, Level};
use crate::plan::Machine;
use crate::probe::{Finding, Means, Prober};
use crate::route::Router;
use crate::smtp::{Connector, Tcp, Timeouts};
use crate::standing::TlsStanding;
use crate::store::{About, Store};
use crate::sts::Sts;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::MissedTickBehavior;

/// Domains looked at at once; hosts have bounds of their own.
const AT_ONCE: usize = 256;
/// How often it is asked whether to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// A probe from a state directory where no engine is at work. While it lives none can start.
pub struct Probing {
    prober: Arc<Prober>,
    store: Arc<Store>,
    _lock: Lock,
}

impl Probing {
    /// Takes the state directory of `machine`, to probe with the floor `floor`.
    ///
    /// # Errors
    /// An engine is at work, or whatever else keeps one from starting.
    pub fn at_rest(machine: &Machine, floor: Level) -> Result<Probing, Error> {
        let gear = Machinery::of(machine)?;
        let lock = Lock::take(&gear.state_dir)?;
        let store = Arc::new(open(&gear, &Arc::default())?);
        // Nobody waits here for a disk that is full: the command says so.
        store.give_up();
        let connector = Connector::new(&gear.roots, gear.identity.as_ref())?;
        let shelf = Arc::new(StoreShelf(store.clone()));
        let policies = Arc::new(Sts::new(gear.resolver.clone(), &connector.https(), shelf, gear.clock.clone()));
        let standing = Arc::new(TlsStanding::new(store.clone(), gear.exclusive_confirm));
        let prober = Arc::new(prober(&gear, policies, standing, floor)?);
        Ok(Probing { prober, store, _lock: lock })
    }

    /// Looks at `domains` (lower case, A-labels), tells what it finds, and writes it down, until `stop` says so.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn probe(
        &self,
        domains: Vec<String>,
        mut each: impl FnMut(Finding),
        stop: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let keep = |finding| {
            keep(&self.store, &finding)?;
            each(finding);
            Ok(())
        };
        work(&self.prober, domains, AT_ONCE, keep, stop)
    }
}

/// A prober with tickets and memory of its own.
pub(super) fn prober(
    gear: &Machinery,
    policies: Arc<Sts>,
    standing: Arc<TlsStanding>,
    floor: Level,
) -> Result<Prober, Error> {
    let source = gear.machine.as_ref().and_then(|machine| machine.sources.first()).cloned();
    let source = source.ok_or_else(|| Error::Internal("a rehearsal probes nobody".into()))?;
    let router = Router::new(gear.resolver.clone(), Demand::new(floor), gear.relay.clone());
    Ok(Prober::new(Means {
        router: router.asking(policies.clone()).above(gear.tls_domains.clone()),
        floor,
        resolver: gear.resolver.clone(),
        policies,
        connector: Connector::new(&gear.roots, gear.identity.as_ref())?,
        dial: Arc::new(Tcp),
        standing,
        source,
        timeouts: Timeouts { connect: gear.limits.connect_timeout, command: gear.limits.command_timeout },
        clock: gear.clock.clone(),
    }))
}

/// Looks at `domains`, so many at once, on this thread.
pub(super) fn work(
    prober: &Arc<Prober>,
    domains: Vec<String>,
    at_once: usize,
    mut each: impl FnMut(Finding) -> Result<(), Error>,
    stop: impl Fn() -> bool,
) -> Result<(), Error> {
    let runtime = runtime()?;
    let mut waiting = domains.into_iter();
    let work = async {
        let mut looks = JoinSet::new();
        let mut glance = tokio::time::interval(GLANCE);
        glance.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for domain in waiting.by_ref().take(at_once - looks.len()) {
                let prober = prober.clone();
                looks.spawn_local(async move { prober.domain(&domain).await });
            }
            tokio::select! {
                _ = glance.tick() => if stop() { return Ok(()) },
                found = looks.join_next() => {
                    let Some(found) = found else { return Ok(()) };
                    each(found.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic())))?;
                }
            }
        }
    };
    // Sessions are driven on one thread, as in a shard.
    LocalSet::new().block_on(&runtime, work)
}

/// Writes down what was found.
pub(super) fn keep(store: &Store, finding: &Finding) -> Result<(), Error> {
    Ok(store.put_shown(About::Finding, &finding.domain, &finding.encode())?)
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|cause| Error::Internal(format!("can't start a probe: {cause}")))
}

/// The probe that was asked for last, by its number and floor. Its domains come in parts, and its hosts are visited once.
#[derive(Default)]
pub(super) struct Latest(Mutex<Option<(u64, Level, Arc<Prober>)>>);

impl Latest {
    fn of(&self, id: u64, floor: Level, make: impl FnOnce() -> Result<Prober, Error>) -> Result<Arc<Prober>, Error> {
        let mut latest = self.0.lock().expect("no holder panics");
        if let Some((known, of, prober)) = &*latest
            && (*known, *of) == (id, floor)
        {
            return Ok(prober.clone());
        }
        let prober = Arc::new(make()?);
        *latest = Some((id, floor, prober.clone()));
        Ok(prober)
    }

    /// Lets go of what it has seen.
    pub(super) fn clear(&self) {
        *self.0.lock().expect("no holder panics") = None;
    }
}

impl Engine {
    /// Looks at some domains of a probe.
    pub(super) fn look_at(&self, probe: &control::Probe) -> Result<Vec<Finding>, Error> {
        let make = || prober(&self.gear, self.policies.clone(), self.standing.clone(), probe.floor);
        let prober = self.probing.of(probe.id, probe.floor, make)?;
        let mut found = Vec::new();
        let each = |finding| {
            keep(&self.store, &finding)?;
            found.push(finding);
            Ok(())
        };
        work(&prober, probe.domains.clone(), AT_ONCE, each, || self.is_stopping())?;
        Ok(found)
    }
}
