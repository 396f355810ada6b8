//! The threads of a run: one reader, one for rows due again, one that finds routes, N shards, a rayon pool. They start
//! together; they stop in the order in which rows pass them.

use super::dispatch::Dispatch;
use super::feed::{self, Feed, ReadTo};
use super::recovery::{Known, LeftOver};
use super::{Blueprint, Error};
use crate::clock::Clock;
use crate::condition::Conditions;
use crate::mail::Row;
use crate::metrics::Metrics;
use crate::queue::{Deps, Limits, Run, Shard, Stop};
use crate::resolve::Resolver;
use crate::retry::Retry;
use crate::route::Router;
use crate::smtp::{Connector, Source};
use crate::store::{Manifest, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// What is to be done.
pub(super) struct Work {
    pub(super) run: Arc<Run>,
    pub(super) store: Arc<Store>,
    pub(super) manifest: Manifest,
    pub(super) scope: Scope,
    pub(super) left_over: LeftOver,
}

/// What is read, and how far.
pub(super) struct Scope {
    pub(super) blueprint: Blueprint,
    pub(super) known: Known,
    pub(super) limit: Option<u64>,
}

/// What it is done with.
pub(super) struct Gear {
    pub(super) router: Router,
    pub(super) sources: Vec<Source>,
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) connector: Connector,
    pub(super) limits: Limits,
    pub(super) retry: Retry,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) conditions: Arc<Conditions>,
}

/// The threads at work.
pub(super) struct Threads {
    shards: Vec<Shard>,
    router: JoinHandle<()>,
    reader: Option<JoinHandle<Result<ReadTo, Error>>>,
    read: Option<Result<ReadTo, Error>>,
    retry: JoinHandle<()>,
    halt: Arc<AtomicBool>,
    stop: watch::Sender<Stop>,
}

/// How they ended.
pub(super) struct Stopped {
    /// How far the input was read, or why no further.
    pub(super) read: Result<ReadTo, Error>,
    /// Whether nothing was left on a wire.
    pub(super) all_settled: bool,
}

/// Rows between the feeders and the router, as many as between it and a shard.
const ROUTING: usize = 256;
/// How long the reader may take to notice a stop: it may be waiting for a pipe that says nothing.
const READER_LEAVES: Duration = Duration::from_secs(2);
/// How long messages on the wire may take after a stop.
const WIND_DOWN: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(5);

impl Threads {
    /// Starts them all.
    pub(super) fn start(work: Work, gear: Gear) -> Result<Threads, Error> {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (stop, stopped) = watch::channel(Stop::No);
        let (metrics, halt) = (gear.metrics, Arc::new(AtomicBool::new(false)));
        let deps = Deps {
            resolver: gear.resolver,
            connector: gear.connector,
            limits: gear.limits,
            retry: gear.retry,
            clock: gear.clock.clone(),
            metrics: metrics.clone(),
            conditions: gear.conditions.clone(),
            pool: pool(count)?,
            stop: stopped.clone(),
        };
        let shards = shards(count, &deps)?;
        let dispatch = Dispatch {
            run: work.run.clone(),
            router: Arc::new(gear.router),
            shards: shards.iter().map(|shard| shard.jobs.clone()).collect(),
            sources: gear.sources.into_iter().map(Arc::new).collect(),
            metrics: metrics.clone(),
            conditions: gear.conditions,
            clock: gear.clock,
            stop: stopped,
        };
        let (rows_in, rows_out) = mpsc::channel(ROUTING);
        let router = router(dispatch, rows_out)?;
        let feed = Feed { run: work.run.clone(), router: rows_in, metrics, stop: halt.clone() };
        let (reader, retry) = feeders(feed, work)?;
        Ok(Threads { shards, router, reader: Some(reader), read: None, retry, halt, stop })
    }

    /// Whether one has ended that only ends when it is told to: it panicked.
    pub(super) fn are_broken(&self) -> bool {
        self.retry.is_finished() || self.router.is_finished() || self.shards.iter().any(Shard::is_done)
    }

    /// Whether the reader has come to its end.
    pub(super) fn has_read(&mut self) -> bool {
        if let Some(reader) = self.reader.take_if(|reader| reader.is_finished()) {
            let joined = reader.join().map_err(|_| Error::Internal("the reader panicked".into()));
            self.read = Some(joined.and_then(|read| read));
        }
        self.read.is_some()
    }

    /// How far the input was read, once [`has_read`](Threads::has_read) said so.
    pub(super) fn read(&self) -> Option<&Result<ReadTo, Error>> {
        self.read.as_ref()
    }

    /// Tells everyone to finish what is on the wire and let go of the rest, and waits for it.
    pub(super) fn stop(mut self) -> Result<Stopped, Error> {
        self.halt.store(true, Ordering::SeqCst);
        self.stop.send_replace(Stop::Gracefully);
        let patience = Instant::now() + READER_LEAVES;
        while !self.has_read() && Instant::now() < patience {
            std::thread::sleep(GLANCE);
        }
        let read = self.read.unwrap_or(Ok(ReadTo::Somewhere));
        let (fed, routed) = (self.retry.join(), self.router.join());
        let all_settled = wind_down(self.shards)?;
        fed.map_err(|_| Error::Internal("the retry thread panicked".into()))?;
        routed.map_err(|_| Error::Internal("the router panicked".into()))?;
        Ok(Stopped { read, all_settled })
    }
}

/// Waits for the shards to finish what is on the wire, but not for ever: what is left then is in doubt at the next start.
/// Returns whether all of them did.
fn wind_down(shards: Vec<Shard>) -> Result<bool, Error> {
    let deadline = Instant::now() + WIND_DOWN;
    while shards.iter().any(|shard| !shard.is_done()) && Instant::now() < deadline {
        std::thread::sleep(GLANCE);
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

type Feeders = (JoinHandle<Result<ReadTo, Error>>, JoinHandle<()>);

/// Starts the reader and the retry thread.
fn feeders(feed: Feed, work: Work) -> Result<Feeders, Error> {
    let Work { store, manifest, scope, left_over, .. } = work;
    // In hand before either thread starts: the run must not look at rest in between.
    left_over.backlog.iter().for_each(|_| feed.run.settle.take_in_hand());
    let reading = feed.clone();
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
