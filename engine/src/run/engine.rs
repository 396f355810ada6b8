//! The one engine of a state directory: lock, store, clerk, shards, and the runs that are open.

use super::feeders::thread;
use super::ledger::StoreLedger;
use super::shelf::StoreShelf;
use super::slot::{Slot, state_of};
use super::{Error, Exporter, Lock, Machinery, probing, refresh, reports, steward};
use crate::clock::Timestamp;
use crate::condition::Conditions;
use crate::control::{RunState, Socket};
use crate::mail::RunId;
use crate::metrics::Metrics;
use crate::queue::{Clerk, Controls, Deps, Limits, Pool, Shard, Stop};
use crate::route::Met;
use crate::sign::Signing;
use crate::smtp::{Connector, Tcp};
use crate::standing::TlsStanding;
use crate::store::{Settings, Store};
use crate::sts::Sts;
use crate::throttle::Learned;
use crate::tlsrpt::Book;
use crate::warmup::Warming;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// An engine at work. It ends when [`Engine::stop`] is called; drop it then, which gives the state directory back.
pub struct Engine {
    pub(super) gear: Machinery,
    pub(super) store: Arc<Store>,
    pub(super) conditions: Arc<Conditions>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) controls: watch::Sender<Arc<Controls>>,
    pub(super) runs: Mutex<BTreeMap<RunId, Slot>>,
    /// Whom rows were routed to.
    pub(super) met: Arc<Met>,
    /// What domains ask of whoever sends to them.
    pub(super) policies: Arc<Sts>,
    /// Counts sessions for TLS reports, where they are sent.
    pub(super) book: Option<Arc<Book>>,
    pub(super) reports: Mutex<Option<JoinHandle<()>>>,
    /// What hosts have shown.
    pub(super) standing: Arc<TlsStanding>,
    /// The probe that was asked for last.
    pub(super) probing: probing::Latest,
    pub(super) since: Timestamp,
    /// Held while a run is opened: two commands may bring the same input.
    pub(super) opening: Mutex<()>,
    pub(super) draining: AtomicBool,
    pub(super) shards: Mutex<Vec<Shard>>,
    stop: watch::Sender<Stop>,
    ended: AtomicBool,
    steward: Mutex<Option<JoinHandle<()>>>,
    refresh: Mutex<Option<JoinHandle<()>>>,
    clerk: Mutex<Option<JoinHandle<()>>>,
    socket: Mutex<Option<Socket>>,
    exporter: Mutex<Option<Exporter>>,
    /// The last field: the next engine may begin once the store above is closed.
    _lock: Lock,
}

/// How long messages on the wire may take after a stop.
pub(super) const WIND_DOWN: Duration = Duration::from_secs(20);
/// How long the end may take once the store is given up.
const GRACE: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(5);

impl Engine {
    /// Locks the state directory and starts everything that runs share.
    ///
    /// # Errors
    /// Another engine is at work, the store can't be used or is a copy, or a thread can't be started.
    pub fn start(gear: Machinery) -> Result<Arc<Engine>, Error> {
        let connector = Connector::new(&gear.roots, gear.identity.as_ref())?;
        let https = connector.https();
        let lock = Lock::take(&gear.state_dir)?;
        let conditions = Arc::new(Conditions::default());
        let store = Arc::new(open(&gear, &conditions)?);
        super::offline::end_cancelled(&store, &gear.master, gear.clock.now())?;
        forget_old_paces(&store, gear.clock.now())?;
        let metrics = Arc::new(Metrics::new(gear.metrics.config()));
        let serve = |listen| Exporter::start(listen, metrics.clone(), conditions.clone(), gear.metrics.linger);
        let exporter = gear.metrics.listen.map(serve).transpose()?;
        let (stop, stopped) = watch::channel(Stop::No);
        let (controls, ordered) = watch::channel(Arc::new(Controls::default()));
        let (clerk, clerk_thread) = clerk(&gear, &store, &metrics)?;
        let standing = Arc::new(TlsStanding::new(store.clone(), gear.exclusive_confirm));
        let (book, reports) = reporting(&gear, &connector, &store, &stopped)?.unzip();
        let threads = pool(cpus())?;
        let deps = Deps {
            shaping: gear.shaping.clone(),
            resolver: gear.resolver.clone(),
            connector,
            standing: standing.clone(),
            reports: book.clone(),
            limits: gear.limits,
            retry: gear.retry,
            clock: gear.clock.clone(),
            metrics: metrics.clone(),
            signing: signing(&gear, &threads, &metrics)?,
            pool: Pool::Rayon(threads),
            dial: Arc::new(Tcp),
            warming: warming(&gear, &store)?,
            clerk,
            conditions: conditions.clone(),
            controls: ordered,
            stop: stopped,
            store: store.clone(),
        };
        let shards = shards(cpus(), &deps)?;
        let shelf = Arc::new(StoreShelf(store.clone()));
        let policies = Arc::new(Sts::new(gear.resolver.clone(), &https, shelf, gear.clock.clone()));
        drop(deps);
        let engine = Arc::new(Engine {
            since: gear.clock.now(),
            met: Arc::default(),
            policies,
            book,
            reports: Mutex::new(reports),
            standing,
            probing: probing::Latest::default(),
            gear,
            store,
            conditions,
            metrics,
            controls,
            runs: Mutex::default(),
            opening: Mutex::default(),
            draining: AtomicBool::new(false),
            shards: Mutex::new(shards),
            stop,
            ended: AtomicBool::new(false),
            steward: Mutex::default(),
            refresh: Mutex::default(),
            clerk: Mutex::new(clerk_thread),
            socket: Mutex::default(),
            exporter: Mutex::new(exporter),
            _lock: lock,
        });
        engine.serve()?;
        Ok(engine)
    }

    /// Starts what works on the engine itself, and opens its socket.
    fn serve(self: &Arc<Engine>) -> Result<(), Error> {
        self.count_braked();
        let watched = self.clone();
        let steward = thread("steward", move || steward::work(&watched))?;
        *self.steward.lock().expect("no holder panics") = Some(steward);
        *self.refresh.lock().expect("no holder panics") = refresh::start(self)?;
        if self.gear.machine.is_some() {
            let fail = |cause| Error::State { path: self.gear.state_dir.join("socket"), cause };
            let socket = Socket::start(&self.gear.state_dir, self.clone()).map_err(fail)?;
            *self.socket.lock().expect("no holder panics") = Some(socket);
        }
        Ok(())
    }

    /// Finishes what is on the wire, closes sessions with QUIT, lets go of the rest and writes down how far every run came.
    /// What is still on a wire after 20 seconds is broken off, and in doubt where its last octets may have left. What serves
    /// metrics may go on.
    pub fn stop(&self) -> Option<Exporter> {
        self.draining.store(true, Ordering::SeqCst);
        self.runs().values_mut().for_each(Slot::leave);
        self.stop.send_replace(Stop::Gracefully);
        self.wind_down();
        // What is written from here on is no row's, and a disk that is full is not waited for.
        self.store.give_up();
        self.metrics.rests();
        self.ended.store(true, Ordering::SeqCst);
        let steward = self.steward.lock().expect("no holder panics").take();
        let refresh = self.refresh.lock().expect("no holder panics").take();
        for thread in [steward, refresh].into_iter().flatten() {
            thread.join().ok();
        }
        if self.join_shards() {
            // It holds the store, which must be closed before the process ends.
            let clerk = self.clerk.lock().expect("no holder panics").take();
            clerk.map(JoinHandle::join);
            self.close_book();
        }
        drop(self.socket.lock().expect("no holder panics").take());
        self.wait_for_the_store();
        self.exporter.lock().expect("no holder panics").take()
    }

    /// Waits until nobody but us has the store. Rayon, and a command that is still answered, let go of it in their own time; were
    /// one of them the last, RocksDB would be closed while the process ends, which aborts it.
    fn wait_for_the_store(&self) {
        let deadline = Instant::now() + GRACE;
        self.probing.clear();
        while self.is_shared() && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
    }

    /// Whether somebody else has the store, or what holds it for us: policies, standing and the book each do.
    fn is_shared(&self) -> bool {
        Arc::strong_count(&self.store) > 3 + usize::from(self.book.is_some())
            || Arc::strong_count(&self.policies) > 1
            || Arc::strong_count(&self.standing) > 1
    }

    /// Waits for the shards that have come to their end, and says whether all have. One that is stuck is left behind: the
    /// process ends.
    fn join_shards(&self) -> bool {
        let mut all = true;
        let polite = Instant::now() + GRACE;
        let deadline = polite + GRACE;
        for shard in std::mem::take(&mut *self.shards.lock().expect("no holder panics")) {
            while !shard.is_done() && Instant::now() < deadline {
                if Instant::now() >= polite {
                    // A server that does not answer QUIT.
                    self.break_off();
                }
                std::thread::sleep(GLANCE);
            }
            all &= shard.is_done();
            if shard.is_done() {
                shard.join().ok();
            }
        }
        all
    }

    /// Waits until every run is over. A store that can't be written any more is not waited for past the deadline.
    fn wind_down(&self) {
        let deadline = Instant::now() + WIND_DOWN;
        while self.is_busy() && Instant::now() < deadline + GRACE {
            if Instant::now() >= deadline {
                self.store.give_up();
                self.break_off();
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Servers are waited for no longer.
    fn break_off(&self) {
        self.stop.send_if_modified(|stop| std::mem::replace(stop, Stop::AtOnce) != Stop::AtOnce);
    }

    /// Whether a run is open.
    pub fn is_busy(&self) -> bool {
        self.runs().values().any(|slot| !slot.is_over())
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    pub(super) fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, Slot>> {
        self.runs.lock().expect("no holder panics")
    }

    /// Changes what shards are told, which makes them look through their lanes.
    pub(super) fn order(&self, change: impl FnOnce(&mut Controls)) {
        self.controls.send_modify(|controls| {
            let mut new = Controls::clone(controls);
            change(&mut new);
            new.edition += 1;
            *controls = Arc::new(new);
        });
    }

    /// Shows how many runs wait for a person because their brakes have stopped them.
    pub(super) fn count_braked(&self) {
        let waits = |manifest: &crate::store::Manifest| state_of(manifest) == RunState::Braked;
        // What can't be read is said by whoever needs it.
        let runs = self.store.runs().unwrap_or_default();
        let braked = runs.iter().filter(|(_, manifest)| waits(manifest)).count();
        self.metrics.braked.set(i64::try_from(braked).unwrap_or(i64::MAX));
    }

    /// Shares memory out among the open runs.
    pub(super) fn share_room(&self) {
        let runs = self.runs();
        let open: Vec<_> = runs.values().filter_map(Slot::room).collect();
        let share = self.gear.limits.rows_in_memory / open.len().max(1);
        open.iter().for_each(|room| room.resize(share));
    }

    /// Whether a part that all runs need has ended without being told to.
    pub(super) fn is_broken(&self) -> bool {
        !self.has_ended()
            && *self.stop.borrow() == Stop::No
            && self.shards.lock().expect("no holder panics").iter().any(Shard::is_done)
    }
}

/// Opens the store, unless it is a copy of another.
pub(super) fn open(gear: &Machinery, conditions: &Arc<Conditions>) -> Result<Store, Error> {
    let settings = Settings { sent_kept: gear.sent_kept, conditions: conditions.clone() };
    let store = Store::open(&gear.state_dir, &settings)?;
    match store.take_standing(&gear.state_dir)? {
        Ok(_) => Ok(store),
        Err(copied) => Err(Error::Copied { path: gear.state_dir.clone(), why: copied.to_string() }),
    }
}

/// What sources that warm up may send, and have sent.
fn warming(gear: &Machinery, store: &Arc<Store>) -> Result<Arc<Warming>, Error> {
    let today = gear.warmups.zone.day(gear.clock.now());
    let ledger = StoreLedger::since(today, store.clone())?;
    Ok(Arc::new(Warming::new(gear.warmups.clone(), Arc::new(ledger))))
}

type Clerks = (Clerk, Option<JoinHandle<()>>);

fn clerk(gear: &Machinery, store: &Arc<Store>, metrics: &Arc<Metrics>) -> Result<Clerks, Error> {
    if !gear.durability.marks {
        return Ok((Clerk::nowhere(), None));
    }
    let started = Clerk::start(store.clone(), gear.durability.sync, metrics.clone());
    let (clerk, thread) = started.map_err(|cause| Error::Internal(format!("can't start the clerk: {cause}")))?;
    Ok((clerk, Some(thread)))
}

/// What counts sessions for TLS reports, and the thread that sends them.
type Reporting = (Arc<Book>, JoinHandle<()>);

/// Starts it, where it is wanted.
fn reporting(
    gear: &Machinery,
    connector: &Connector,
    store: &Arc<Store>,
    stopped: &watch::Receiver<Stop>,
) -> Result<Option<Reporting>, Error> {
    let Some(postman) = reports::postman(gear, connector)? else { return Ok(None) };
    let book = Arc::new(Book::new(store.clone(), gear.resolver.clone(), gear.clock.clone()));
    let thread = reports::start(book.clone(), postman, stopped.clone())?;
    Ok(Some((book, thread)))
}

fn signing(gear: &Machinery, threads: &Arc<rayon::ThreadPool>, metrics: &Arc<Metrics>) -> Result<Arc<Signing>, Error> {
    let started = Signing::start(gear.sign_together, threads, metrics.clone());
    started
        .map(Arc::new)
        .map_err(|cause| Error::Internal(format!("can't start the thread that signing needs: {cause}")))
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn shards(count: usize, deps: &Deps) -> Result<Vec<Shard>, Error> {
    // Each has at least one, so that every provider can be reached.
    let share = |whole: usize, index: usize| (whole / count + usize::from(index < whole % count)).max(1);
    let limits = |index| Limits { connections: share(deps.limits.connections, index), ..deps.limits };
    (0..count)
        .map(|index| Shard::start(index, Deps { limits: limits(index), ..deps.clone() }))
        .collect::<std::io::Result<_>>()
        .map_err(|cause| Error::Internal(format!("can't start a shard: {cause}")))
}

/// What was learned of providers a month ago says nothing any more.
fn forget_old_paces(store: &Store, now: Timestamp) -> Result<(), Error> {
    let is_old = |learned: Learned| learned.is_forgotten(now);
    Ok(store.forget_paces(|record| serde_json::from_value(record.learned.clone()).is_ok_and(is_old))?)
}

fn pool(threads: usize) -> Result<Arc<rayon::ThreadPool>, Error> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("press-{index}"))
        .build()
        .map(Arc::new)
        .map_err(|cause| Error::Internal(format!("can't start rendering threads: {cause}")))
}
