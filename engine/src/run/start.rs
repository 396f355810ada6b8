//! Puts a run together: lock, store, run, recovery, accounts, threads, in this order.

use super::opening::{self, Opened};
use super::threads::{Gear, Scope, Threads, Work};
use super::{Blueprint, Error, Exporter, Lock, Running, Setup, Started, data_key, recovery, token_key};
use crate::condition::Conditions;
use crate::mail::RunId;
use crate::metrics::Metrics;
use crate::queue::{Press, Run};
use crate::route::Router;
use crate::secret::DataKey;
use crate::settle::{Rules, Settle};
use crate::smtp::Connector;
use crate::store::{Store, Tally};
use std::sync::Arc;
use std::time::Instant;

/// Starts a run, or says that it was finished before.
///
/// # Errors
/// Whatever stops it before the first message: input, columns, templates, keys, the lock, the store.
pub fn start(setup: Setup) -> Result<Started, Error> {
    let mut blueprint = Blueprint::new(setup.campaign.clone())?;
    let connector = Connector::new(&setup.roots, setup.identity.as_ref())?;
    let mut lock = Lock::take(&setup.state_dir)?;
    let store = Arc::new(Store::open(&setup.state_dir)?);
    let token = token_key(&store, &setup.master)?;
    let Opened { manifest, renderer } = match opening::open(&store, &mut blueprint, &setup, token)? {
        Ok(opened) => opened,
        Err(finished) => return Ok(Started::Finished(finished)),
    };
    let run = blueprint.run();
    lock.name(run).map_err(|cause| Error::State { path: setup.state_dir.clone(), cause })?;
    let metrics = Arc::new(Metrics::new(setup.metrics.config()));
    let conditions = Arc::new(Conditions::default());
    let exporter = exporter(&setup, &metrics, &conditions)?;
    let key = data_key(&store, &setup.master, run)?;
    let resend = setup.campaign.transport.on_doubt.resends();
    let left_over = recovery::take_up(&store, run, &key, resend, setup.clock.now())?;
    let known = recovery::known(&store, run)?;
    let before = Tally::of(&store, run, &manifest, false)?;
    let shared = Arc::new(Run {
        settle: accounts(&store, run, key, &setup, &metrics, &before),
        press: Press::new(renderer, setup.signer),
        exclusive: setup.campaign.transport.exclusive,
    });
    let (rows, in_doubt) = (blueprint.rows(), left_over.in_doubt);
    let work = Work {
        run: shared.clone(),
        store: store.clone(),
        manifest: manifest.clone(),
        scope: Scope { blueprint, known, limit: setup.options.limit },
        left_over,
    };
    let gear = Gear {
        router: Router::new(setup.resolver.clone(), setup.campaign.transport.demand, setup.relay),
        sources: setup.sources,
        resolver: setup.resolver,
        connector,
        limits: setup.limits,
        retry: setup.retry,
        clock: setup.clock,
        metrics: metrics.clone(),
        conditions,
    };
    let threads = Threads::start(work, gear)?;
    Ok(Started::Running(Box::new(Running {
        run,
        shared,
        store,
        manifest,
        before,
        rows,
        in_doubt,
        threads,
        metrics,
        exporter,
        since: Instant::now(),
        _lock: lock,
    })))
}

/// Serves metrics where that was asked for.
fn exporter(setup: &Setup, metrics: &Arc<Metrics>, conditions: &Arc<Conditions>) -> Result<Option<Exporter>, Error> {
    let start = |listen| Exporter::start(listen, metrics.clone(), conditions.clone(), setup.metrics.linger);
    setup.metrics.listen.map(start).transpose()
}

fn accounts(
    store: &Arc<Store>,
    run: RunId,
    key: DataKey,
    setup: &Setup,
    metrics: &Arc<Metrics>,
    before: &Tally,
) -> Settle {
    let transport = &setup.campaign.transport;
    let rules = Rules { retry: setup.retry, lifetime: transport.lifetime, resend_doubt: transport.on_doubt.resends() };
    Settle::new(store.clone(), run, key, setup.clock.clone(), rules, metrics.clone(), before)
}
