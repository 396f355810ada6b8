//! A run at work.

use super::feed::{self, Feed, ReadTo};
use super::{Blueprint, Error, Lock, Setup, data_key, recovery, token_key};
use crate::mail::{Kind, RunId};
use crate::queue::{Deps, Press, Run, Shard, Stop};
use crate::route::Router;
use crate::settle::{Rules, Settle};
use crate::smtp::Connector;
use crate::store::{Manifest, Store, Tally};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

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
}

/// How long messages on the wire may take after a stop.
const WIND_DOWN: Duration = Duration::from_secs(20);

/// Starts a run, or says that it was finished before.
///
/// # Errors
/// Whatever stops it before the first message: input, columns, templates, keys, the lock, the store.
pub fn start(setup: Setup) -> Result<Started, Error> {
    let blueprint = Blueprint::new(setup.campaign.clone())?;
    let connector = Connector::new(&setup.roots)?;
    let lock = Lock::take(&setup.state_dir)?;
    let store = Arc::new(Store::open(&setup.state_dir)?);
    let renderer = blueprint.renderer(token_key(&store, &setup.master)?)?;
    let run = blueprint.run();
    let now = setup.clock.now();
    let manifest = match store.manifest(run)? {
        Some(manifest) => manifest,
        None => Manifest {
            campaign: setup.campaign.name.clone(),
            input: setup.campaign.source.spec.path.display().to_string(),
            fingerprint: blueprint.fingerprint().to_owned(),
            opened: now,
            finished: None,
            read: 0,
            read_all: false,
            seconds: 0.0,
        },
    };
    if manifest.finished.is_some() {
        let tally = Tally::of(&store, run, &manifest, false)?;
        let (campaign, read_all) = (manifest.campaign, manifest.read_all);
        return Ok(Started::Finished(Summary { campaign, run, tally, read_all, seconds: 0.0, delivered_now: 0 }));
    }
    let key = data_key(&store, &setup.master, run)?;
    store.put_manifest(run, &manifest, true)?;
    let on_doubt = setup.campaign.transport.on_doubt;
    let (in_doubt, left_over) = recovery::take_up(&store, run, &key, on_doubt.resends(), now)?;
    let known = recovery::known(&store, run)?;
    let tally = Tally::of(&store, run, &manifest, false)?;
    let rules =
        Rules { retry: setup.retry, lifetime: setup.campaign.transport.lifetime, resend_doubt: on_doubt.resends() };
    let shared = Arc::new(Run {
        settle: Settle::new(store.clone(), run, key, setup.clock.clone(), rules, &tally),
        press: Press::new(renderer, setup.signer),
        exclusive: setup.campaign.transport.exclusive,
    });
    let (stop, stopped) = watch::channel(Stop::No);
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shards = shards(
        count,
        &setup.limits,
        Deps {
            ehlo: setup.ehlo,
            connector,
            limits: setup.limits,
            retry: setup.retry,
            clock: setup.clock,
            pool: pool(count)?,
            stop: stopped,
        },
    )?;
    let halt = Arc::new(AtomicBool::new(false));
    let feed = Feed {
        run: shared.clone(),
        router: Arc::new(Router::new(setup.resolver, setup.campaign.transport.demand)),
        shards: shards.iter().map(|shard| shard.jobs.clone()).collect(),
        stop: halt.clone(),
    };
    let rows = blueprint.rows();
    let reader = {
        let (feed, store, manifest) = (feed.clone(), store.clone(), manifest.clone());
        let limit = setup.options.limit;
        thread("reader", move || feed.read(blueprint, &known, limit, |read| feed::save(&store, run, &manifest, read)))?
    };
    let retry = thread("retry", move || feed.retry(left_over))?;
    Ok(Started::Running(Box::new(Running {
        run,
        shared,
        store,
        manifest,
        before: tally,
        rows,
        in_doubt,
        shards,
        reader: Some(reader),
        read: None,
        retry,
        halt,
        stop,
        since: Instant::now(),
        _lock: lock,
    })))
}

impl Running {
    /// The run's name.
    pub fn run(&self) -> RunId {
        self.run
    }

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

    /// Whether everything that can be done is done: all read, nothing in memory, nothing deferred; or the store failed.
    /// After a `--limit` the run rests as soon as nothing is in memory or deferred.
    pub fn is_done(&mut self) -> bool {
        if self.shared.settle.fault().is_some() {
            return true;
        }
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join_reader();
        }
        match &self.read {
            None => false,
            // The input broke: what was read of it is still sent.
            Some(Err(_)) => self.shared.settle.is_idle(),
            Some(Ok(_)) => self.shared.settle.is_at_rest(),
        }
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
        self.join_reader();
        let read = self.read.unwrap_or(Ok(ReadTo::Somewhere));
        self.retry.join().map_err(|_| Error::Internal("the retry thread panicked".into()))?;
        let deadline = Instant::now() + WIND_DOWN;
        while self.shards.iter().any(|shard| !shard.is_done()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        for shard in self.shards {
            if shard.is_done() {
                shard.join().map_err(|_| Error::Internal("a shard panicked".into()))?;
            }
        }
        let tally = self.shared.settle.tally();
        let seconds = self.since.elapsed().as_secs_f64();
        let read_all = self.manifest.read_all || matches!(read, Ok(ReadTo::End));
        let mut manifest = self.manifest;
        manifest.read = manifest.read.max(tally.read);
        manifest.read_all = read_all;
        manifest.seconds += seconds;
        if read_all && tally.left() == 0 {
            manifest.finished = Some(self.shared.settle.now());
        }
        self.store.put_manifest(self.run, &manifest, true)?;
        self.store.sync()?;
        if let Some(fault) = self.shared.settle.fault() {
            return Err(Error::Internal(fault));
        }
        read?;
        let delivered_now = tally.count(Kind::Delivered) - self.before.count(Kind::Delivered);
        Ok(Summary { campaign: manifest.campaign, run: self.run, tally, read_all, seconds, delivered_now })
    }

    fn join_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            let joined = reader.join().map_err(|_| Error::Internal("the reader panicked".into()));
            self.read = Some(joined.and_then(|read| read));
        }
    }
}

fn shards(count: usize, limits: &crate::queue::Limits, deps: Deps) -> Result<Vec<Shard>, Error> {
    let share = |whole: usize| whole.div_ceil(count).max(1);
    let limits = crate::queue::Limits {
        connections: share(limits.connections),
        rows_in_memory: share(limits.rows_in_memory),
        ..*limits
    };
    (0..count)
        .map(|index| Shard::start(index, Deps { limits, ..deps.clone() }))
        .collect::<std::io::Result<_>>()
        .map_err(|cause| Error::Internal(format!("can't start a shard: {cause}")))
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
