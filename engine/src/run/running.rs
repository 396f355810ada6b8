//! A run at work.

use super::choice::{Choice, choose};
use super::dispatch::Dispatch;
use super::feed::{self, Feed, ReadTo};
use super::recovery::{self, Known, LeftOver};
use super::{Blueprint, Error, Exporter, Lock, Setup, data_key, token_key};
use crate::mail::{Kind, Row, RunId};
use crate::metrics::{Metrics, Stage};
use crate::queue::{Deps, Limits, Press, Run, Shard, Stop};
use crate::route::Router;
use crate::secret::DataKey;
use crate::settle::{Rules, Settle};
use crate::smtp::Connector;
use crate::store::{Family, Latency, Manifest, Store, Tally};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// What `start` found.
pub enum Started {
    /// The run is at work.
    Running(Box<Running>),
    /// It was finished before; nothing is sent.
    Finished(Summary),
}

/// The handle of a run at work.
pub struct Running {
    run: RunId,
    shared: Arc<Run>,
    store: Arc<Store>,
    manifest: Manifest,
    before: Tally,
    rows: Option<u64>,
    in_doubt: usize,
    shards: Vec<Shard>,
    reader: Option<JoinHandle<Result<ReadTo, Error>>>,
    read: Option<Result<ReadTo, Error>>,
    retry: JoinHandle<()>,
    router: JoinHandle<()>,
    metrics: Arc<Metrics>,
    exporter: Option<Exporter>,
    halt: Arc<AtomicBool>,
    stop: watch::Sender<Stop>,
    since: Instant,
    _lock: Lock,
}

/// A run's accounts when it ended or stopped.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The campaign's name.
    pub campaign: String,
    /// The run.
    pub run: RunId,
    /// Where the rows stand.
    pub tally: Tally,
    /// Whether the input was read to its end.
    pub read_all: bool,
    /// Seconds this engine worked on it.
    pub seconds: f64,
    /// Messages delivered by this engine.
    pub delivered_now: u64,
    /// How long messages took on the wire.
    pub latency: Option<Latency>,
}

/// How long the reader may take to notice a stop.
const READER_LEAVES: Duration = Duration::from_secs(2);

/// Rows between the feeders and the router, as many as between it and a shard. Those of a domain that must be looked up
/// again take the same answer.
const ROUTING: usize = 256;

/// How long messages on the wire may take after a stop.
const WIND_DOWN: Duration = Duration::from_secs(20);

/// Starts a run, or says that it was finished before.
///
/// # Errors
/// Whatever stops it before the first message: input, columns, templates, keys, the lock, the store.
pub fn start(setup: Setup) -> Result<Started, Error> {
    let mut blueprint = Blueprint::new(setup.campaign.clone())?;
    let connector = Connector::new(&setup.roots, setup.identity.as_ref())?;
    let mut lock = Lock::take(&setup.state_dir)?;
    let store = Arc::new(Store::open(&setup.state_dir)?);
    let manifest = match choose(&store, &mut blueprint)? {
        Choice::Finished(manifest) => return finished(&store, blueprint.run(), manifest).map(Started::Finished),
        Choice::Open(manifest) => manifest,
        Choice::New => manifest_of(&blueprint, &setup),
    };
    let renderer = blueprint.renderer(token_key(&store, &setup.master)?)?;
    let needed = blueprint.project(renderer.uses());
    let manifest = opened(&store, &blueprint, manifest, needed)?;
    let run = blueprint.run();
    lock.name(run).map_err(|cause| Error::State { path: setup.state_dir.clone(), cause })?;
    let metrics = Arc::new(Metrics::new(setup.metrics.config()));
    let exporter = setup
        .metrics
        .listen
        .map(|listen| Exporter::start(listen, metrics.clone(), setup.metrics.linger))
        .transpose()?;
    let key = data_key(&store, &setup.master, run)?;
    let resend = setup.campaign.transport.on_doubt.resends();
    let left_over = recovery::take_up(&store, run, &key, resend, setup.clock.now())?;
    let known = recovery::known(&store, run)?;
    let before = Tally::of(&store, run, &manifest, false)?;
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (stop, stopped) = watch::channel(Stop::No);
    let shards = shards(count, &deps(&setup, connector, pool(count)?, &metrics, stopped.clone()))?;
    let shared = Arc::new(Run {
        settle: accounts(&store, run, key, &setup, &metrics, &before),
        press: Press::new(renderer, setup.signer),
        exclusive: setup.campaign.transport.exclusive,
    });
    let halt = Arc::new(AtomicBool::new(false));
    let dispatch = Dispatch {
        run: shared.clone(),
        router: Arc::new(Router::new(setup.resolver, setup.campaign.transport.demand, setup.relay)),
        shards: shards.iter().map(|shard| shard.jobs.clone()).collect(),
        sources: setup.sources.into_iter().map(Arc::new).collect(),
        metrics: metrics.clone(),
        stop: stopped,
    };
    let (rows_in, rows_out) = mpsc::channel(ROUTING);
    let router = router(dispatch, rows_out)?;
    let feed = Feed { run: shared.clone(), router: rows_in, metrics: metrics.clone(), stop: halt.clone() };
    let (rows, in_doubt) = (blueprint.rows(), left_over.in_doubt);
    let scope = ReadScope { blueprint, known, limit: setup.options.limit };
    let (reader, retry) = feeders(feed, scope, left_over, &store, &manifest)?;
    Ok(Started::Running(Box::new(Running {
        run,
        shared,
        store,
        manifest,
        before,
        rows,
        in_doubt,
        shards,
        reader: Some(reader),
        read: None,
        retry,
        router,
        metrics,
        exporter,
        halt,
        stop,
        since: Instant::now(),
        _lock: lock,
    })))
}

impl Running {
    /// The counts now.
    pub fn tally(&self) -> Tally {
        self.shared.settle.tally()
    }

    /// How many rows the input has, where it says so itself or was read to its end.
    pub fn rows(&self) -> Option<u64> {
        self.rows.or_else(|| matches!(self.read, Some(Ok(ReadTo::End))).then(|| self.tally().read))
    }

    /// Rows that the last engine left in doubt.
    pub fn found_in_doubt(&self) -> usize {
        self.in_doubt
    }

    /// Whether everything that can be done is done: all read, nothing in memory, nothing deferred; or a part of the engine
    /// failed. After a `--limit` the run rests as soon as nothing is in memory or deferred.
    pub fn is_done(&mut self) -> bool {
        // Neither ends before it is told to, unless it panicked.
        let broken = self.retry.is_finished() || self.router.is_finished() || self.shards.iter().any(Shard::is_done);
        if broken || self.shared.settle.fault().is_some() {
            return true;
        }
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join_reader();
        }
        match &self.read {
            None => false,
            // Also where the input broke off: what was read of it is still sent.
            Some(_) => self.shared.settle.is_at_rest(),
        }
    }

    /// Why the input could not be read to its end, as soon as that is known. What was read of it is still sent.
    pub fn input_broke(&self) -> Option<&Error> {
        self.read.as_ref().and_then(|read| read.as_ref().err())
    }

    /// Tells everyone to finish what is on the wire and let go of the rest.
    pub fn stop(&self) {
        self.halt.store(true, Ordering::SeqCst);
        self.stop.send_replace(Stop::Gracefully);
    }

    /// Ends the run, or stops it with rows left, and says how it stands.
    ///
    /// # Errors
    /// The store failed, or the input broke in the middle: what was accepted before is recorded.
    pub fn finish(mut self) -> Result<Summary, Error> {
        self.stop();
        // It may be waiting for a pipe that says nothing.
        let patience = Instant::now() + READER_LEAVES;
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join_reader();
        }
        let read = self.read.unwrap_or(Ok(ReadTo::Somewhere));
        self.retry.join().map_err(|_| Error::Internal("the retry thread panicked".into()))?;
        let routed = self.router.join();
        let ended = wind_down(self.shards)?;
        routed.map_err(|_| Error::Internal("the router panicked".into()))?;
        let mut tally = self.shared.settle.tally();
        if !ended {
            // Messages are still on a wire; the store knows which, and they are in doubt.
            let manifest = Manifest { read: tally.read, ..self.manifest.clone() };
            tally = Tally::of(&self.store, self.run, &manifest, false)?;
        }
        let worked = self.since.elapsed();
        self.metrics.stop(worked);
        let seconds = worked.as_secs_f64();
        // The reader saved how far it came.
        let mut manifest = self.store.manifest(self.run)?.unwrap_or(self.manifest);
        manifest.read = manifest.read.max(tally.read);
        manifest.read_all |= matches!(read, Ok(ReadTo::End));
        manifest.seconds += seconds;
        manifest.latency = latency(&self.metrics).or(manifest.latency);
        if manifest.read_all && tally.left() == 0 {
            manifest.finished = Some(self.shared.settle.now());
        }
        self.metrics.time(Stage::Sync, || self.store.put_manifest(self.run, &manifest, true))?;
        if let Some(fault) = self.shared.settle.fault() {
            return Err(Error::Internal(fault));
        }
        read?;
        let delivered_now = tally.count(Kind::Delivered) - self.before.count(Kind::Delivered);
        let (campaign, read_all) = (manifest.campaign, manifest.read_all);
        let latency = manifest.latency;
        Ok(Summary { campaign, run: self.run, tally, read_all, seconds, delivered_now, latency })
    }

    /// What serves `/metrics`, to outlive the run.
    pub fn take_exporter(&mut self) -> Option<Exporter> {
        self.exporter.take()
    }

    fn join_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            let joined = reader.join().map_err(|_| Error::Internal("the reader panicked".into()));
            self.read = Some(joined.and_then(|read| read));
        }
    }
}

fn latency(metrics: &Metrics) -> Option<Latency> {
    let send = |q| metrics.quantile(Stage::Send, q);
    Some(Latency { p50: send(0.5)?, p90: send(0.9)?, p99: send(0.99)? })
}

/// A new run's manifest.
fn manifest_of(blueprint: &Blueprint, setup: &Setup) -> Manifest {
    Manifest {
        campaign: setup.campaign.name.clone(),
        input: blueprint.input(),
        fingerprint: blueprint.fingerprint().to_owned(),
        mark: None,
        kept: None,
        opened: setup.clock.now(),
        finished: None,
        read: 0,
        read_all: false,
        seconds: 0.0,
        latency: None,
    }
}

/// Opens a run, or opens it again: rows that the store has kept must have what the letter needs now.
fn opened(
    store: &Store,
    blueprint: &Blueprint,
    manifest: Manifest,
    needed: Option<BTreeSet<String>>,
) -> Result<Manifest, Error> {
    let run = blueprint.run();
    let stored = store.count(Family::Deferred, run)? + store.count(Family::Backlog, run)?;
    if let Some(kept) = manifest.kept.as_ref().filter(|_| stored > 0) {
        let all = || blueprint.columns().iter().map(|column| column.name.clone()).collect();
        let missing = needed.clone().unwrap_or_else(all).into_iter().find(|name| !kept.contains(name));
        if let Some(column) = missing {
            return Err(Error::ColumnNotKept { campaign: blueprint.campaign().path.clone(), column, rows: stored });
        }
        return Ok(manifest);
    }
    let manifest = Manifest { kept: needed, ..manifest };
    store.put_manifest(run, &manifest, true)?;
    Ok(manifest)
}

fn finished(store: &Store, run: RunId, manifest: Manifest) -> Result<Summary, Error> {
    let tally = Tally::of(store, run, &manifest, false)?;
    let (campaign, read_all) = (manifest.campaign, manifest.read_all);
    Ok(Summary { campaign, run, tally, read_all, seconds: 0.0, delivered_now: 0, latency: manifest.latency })
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

fn deps(
    setup: &Setup,
    connector: Connector,
    pool: Arc<rayon::ThreadPool>,
    metrics: &Arc<Metrics>,
    stop: watch::Receiver<Stop>,
) -> Deps {
    Deps {
        resolver: setup.resolver.clone(),
        connector,
        limits: setup.limits,
        retry: setup.retry,
        clock: setup.clock.clone(),
        metrics: metrics.clone(),
        pool,
        stop,
    }
}

/// Waits for the shards to finish what is on the wire, but not for ever: what is left then is in doubt at the next start.
/// Returns whether all of them did.
fn wind_down(shards: Vec<Shard>) -> Result<bool, Error> {
    let deadline = Instant::now() + WIND_DOWN;
    while shards.iter().any(|shard| !shard.is_done()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (done, stuck): (Vec<_>, Vec<_>) = shards.into_iter().partition(Shard::is_done);
    for shard in done {
        shard.join().map_err(|_| Error::Internal("a shard panicked".into()))?;
    }
    Ok(stuck.is_empty())
}

fn shards(count: usize, deps: &Deps) -> Result<Vec<Shard>, Error> {
    // Each has at least one, so that every provider can be reached.
    let share = |whole: usize, index: usize| (whole / count + usize::from(index < whole % count)).max(1);
    let limits = |index| Limits {
        connections: share(deps.limits.connections, index),
        rows_in_memory: share(deps.limits.rows_in_memory, index),
        ..deps.limits
    };
    (0..count)
        .map(|index| Shard::start(index, Deps { limits: limits(index), ..deps.clone() }))
        .collect::<std::io::Result<_>>()
        .map_err(|cause| Error::Internal(format!("can't start a shard: {cause}")))
}

/// What is read, and how far.
struct ReadScope {
    blueprint: Blueprint,
    known: Known,
    limit: Option<u64>,
}

type Feeders = (JoinHandle<Result<ReadTo, Error>>, JoinHandle<()>);

/// Starts the reader and the retry thread.
fn feeders(
    feed: Feed,
    scope: ReadScope,
    left_over: LeftOver,
    store: &Arc<Store>,
    manifest: &Manifest,
) -> Result<Feeders, Error> {
    // In hand before either thread starts: the run must not look at rest in between.
    left_over.backlog.iter().for_each(|_| feed.run.settle.take_in_hand());
    let (reading, store, manifest) = (feed.clone(), store.clone(), manifest.clone());
    let reader = thread("reader", move || {
        let run = scope.blueprint.run();
        let save = |read, mark| feed::save(&store, run, &manifest, read, mark);
        reading.read(scope.blueprint, &scope.known, &left_over.again, scope.limit, save)
    })?;
    let retry = thread("retry", move || feed.retry(left_over.backlog))?;
    Ok((reader, retry))
}

/// Starts the thread that finds routes.
fn router(dispatch: Dispatch, inbox: mpsc::Receiver<Row>) -> Result<JoinHandle<()>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Error::Internal(format!("can't start the router: {cause}")))?;
    thread("router", move || runtime.block_on(dispatch.work(inbox)))
}

fn pool(threads: usize) -> Result<Arc<rayon::ThreadPool>, Error> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("press-{index}"))
        .build()
        .map(Arc::new)
        .map_err(|cause| Error::Internal(format!("can't start rendering threads: {cause}")))
}

fn thread<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, Error> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|cause| Error::Internal(format!("can't start the {name} thread: {cause}")))
}
