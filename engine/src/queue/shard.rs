//! One shard: its thread, the way in, and the loop that everything in it starts from.

use super::clerk::Clerk;
use super::lane::LaneKey;
use super::owner::Owner;
use super::{Controls, Limits, Place, Pool, Run};
use crate::clock::Clock;
use crate::condition::Conditions;
use crate::mail::{Message, Row};
use crate::metrics::Metrics;
use crate::render::Unrenderable;
use crate::resolve::Resolver;
use crate::retry::Retry;
use crate::route::Route;
use crate::settle::Flight;
use crate::shaping::Shaping;
use crate::sign::Signing;
use crate::smtp::{Connector, Dial, Source};
use crate::standing::TlsStanding;
use crate::store::Store;
use crate::tlsrpt::Book;
use crate::warmup::{Ticket, Warming};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

/// A row on its way through a shard.
pub struct Job {
    /// The row.
    pub row: Row,
    /// Where it goes.
    pub route: Arc<Route>,
    /// Where it comes from.
    pub source: Arc<Source>,
    /// Whose it is.
    pub run: Arc<Run>,
    /// Its place in memory.
    pub place: Place,
    /// Which of its lane's rows it is, once it has had its turn.
    pub turn: u64,
    /// What it took of its source's allowance when it had its turn, where that warms up.
    pub ticket: Option<Ticket>,
    /// That others wait for what it comes to, once it has had its turn.
    pub flight: Option<Flight>,
}

impl Job {
    /// Whether it may be begun.
    pub(super) fn goes_on(&self) -> bool {
        self.run.goes_on() && !self.run.settle.holds(self.route.provider.0)
    }

    /// Whether it is to be let go.
    pub(super) fn leaves(&self) -> bool {
        self.run.leaves_at(self.route.provider)
    }
}

/// A row that rayon has seen.
pub(super) struct Rendered {
    pub(super) key: LaneKey,
    pub(super) job: Job,
    pub(super) result: Result<Message, Unrenderable>,
}

/// Whether shards go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// They do.
    No,
    /// Finish what is on the wire, say QUIT, let go of the rest.
    Gracefully,
    /// Wait for nobody any longer: connections are dropped, and what was started on them is in doubt.
    AtOnce,
}

/// What every shard is given.
#[derive(Clone)]
pub struct Deps {
    /// The shaping rules, for what waits when they are read again.
    pub shaping: Arc<Shaping>,
    /// Finds the addresses of MX hosts.
    pub resolver: Arc<dyn Resolver>,
    /// Makes TLS connections.
    pub connector: Connector,
    /// What hosts have shown of TLS.
    pub standing: Arc<TlsStanding>,
    /// Counts sessions for TLS reports, where they are sent.
    pub reports: Option<Arc<Book>>,
    /// The machine's bounds; `connections` already cut to this shard's share.
    pub limits: Limits,
    /// How long a provider is suspended.
    pub retry: Retry,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Renders.
    pub pool: Pool,
    /// Signs.
    pub signing: Arc<Signing>,
    /// Opens connections.
    pub dial: Arc<dyn Dial>,
    /// What sources that warm up may send.
    pub warming: Arc<Warming>,
    /// Leases what was rendered.
    pub clerk: Clerk,
    /// What keeps the engine from sending.
    pub conditions: Arc<Conditions>,
    /// What an operator ordered.
    pub controls: watch::Receiver<Arc<Controls>>,
    /// When to stop.
    pub stop: watch::Receiver<Stop>,
    /// Where what is learned of providers is kept.
    pub store: Arc<Store>,
}

/// A shard's thread and the way in.
pub struct Shard {
    /// Takes jobs.
    pub jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

/// Jobs between the reader and the shard: enough to keep it busy while the reader decodes a batch.
pub(super) const CHANNEL: usize = 256;
/// How soon a shard notices that a session ended with nothing left to do, or that a run's room is full.
const TICK: Duration = Duration::from_millis(20);

impl Shard {
    /// Starts shard number `index`.
    ///
    /// # Errors
    /// The thread or its runtime can't be made.
    pub fn start(index: usize, deps: Deps) -> std::io::Result<Shard> {
        let (jobs, inbox) = mpsc::channel(CHANNEL);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            let (rendered, results) = mpsc::unbounded_channel();
            let owner = Rc::new(Owner::new(deps, rendered));
            tokio::task::LocalSet::new().block_on(&runtime, work(owner, inbox, results));
        })?;
        Ok(Shard { jobs, thread })
    }

    /// Whether its thread has ended.
    pub fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lets it end once its jobs are settled, and waits for that.
    ///
    /// # Errors
    /// It panicked.
    pub fn join(self) -> std::thread::Result<()> {
        drop(self.jobs);
        self.thread.join()
    }
}

pub(super) async fn work(
    owner: Rc<Owner>,
    mut inbox: mpsc::Receiver<Job>,
    mut results: mpsc::UnboundedReceiver<Rendered>,
) {
    let (mut stop, mut controls) = (owner.deps.stop.clone(), owner.deps.controls.clone());
    let (mut open, mut stopping) = (true, false);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while open || (owner.held.get() > 0 && !stopping) || owner.connections.get() > 0 {
        tokio::select! {
            // Orders before work, and what is made before what is new; a fixed order also repeats in a simulation.
            biased;
            Ok(()) = stop.changed() => {}
            Ok(()) = controls.changed() => owner.obey(),
            // Sessions change counts without a message to this loop.
            _ = tick.tick() => owner.look_round(),
            Some(rendered) = results.recv() => owner.rendered(rendered),
            job = inbox.recv(), if open => match job {
                Some(job) => owner.take(job),
                None => open = false,
            },
        }
        if *stop.borrow() != Stop::No {
            (open, stopping) = (false, true);
            inbox.close();
            while let Ok(job) = inbox.try_recv() {
                job.run.settle.let_go();
            }
            owner.wind_down();
        }
    }
    owner.keep_learned();
    // What comes later finds nobody, and is let go by who brought it.
    results.close();
    while let Ok(rendered) = results.try_recv() {
        rendered.job.run.settle.let_go();
    }
    inbox.close();
    while let Some(job) = inbox.recv().await {
        job.run.settle.let_go();
    }
}
