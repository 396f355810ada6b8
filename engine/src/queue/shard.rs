//! One shard: its thread, its lanes, and when rows move on.

use super::drought::Drought;
use super::gauges::Gauges;
use super::lane::{Lane, LaneKey};
use super::{Limits, Press, conversation};
use crate::clock::Clock;
use crate::condition::Conditions;
use crate::mail::{Message, Row, hint};
use crate::metrics::{Metrics, Stage};
use crate::render::Unrenderable;
use crate::resolve::Resolver;
use crate::retry::Retry;
use crate::route::Route;
use crate::settle::Settle;
use crate::smtp::{Connector, Fate, Policy, Source, Verdict};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// What a shard needs to know of a run.
pub struct Run {
    /// Its accounts.
    pub settle: Settle,
    /// What makes its messages.
    pub press: Press,
    /// Whether rows are dropped where STARTTLS is missing.
    pub exclusive: bool,
}

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
}

/// Whether shards go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// They do.
    No,
    /// Finish what is on the wire, say QUIT, let go of the rest.
    Gracefully,
}

/// What every shard is given.
#[derive(Clone)]
pub struct Deps {
    /// Finds the addresses of MX hosts.
    pub resolver: Arc<dyn Resolver>,
    /// Makes TLS connections.
    pub connector: Connector,
    /// The machine's bounds; `connections` and `rows_in_memory` already cut to this shard's share.
    pub limits: Limits,
    /// How long a provider is suspended.
    pub retry: Retry,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What holds the whole engine up.
    pub conditions: Arc<Conditions>,
    /// Renders and signs.
    pub pool: Arc<rayon::ThreadPool>,
    /// When to stop.
    pub stop: watch::Receiver<Stop>,
}

/// A shard's thread and the way in.
pub struct Shard {
    /// Takes jobs; blocks while the shard holds all it may.
    pub jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

/// Jobs between the reader and the shard: enough to keep it busy while the reader decodes a batch.
const CHANNEL: usize = 256;
/// What a shard's ready messages may take together: thousands of letters, hundreds with a statement in them.
const READY_OCTETS: usize = 64 << 20;
/// How long rows are bounced for what the DNS said; then it is asked again.
const DNS_SAYS_NO: Duration = Duration::from_secs(30);
/// How soon a shard notices that a session ended with nothing left to do.
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
            let owner = Rc::new(Owner {
                gauges: Gauges::of(&deps.metrics),
                deps,
                lanes: RefCell::default(),
                held: Cell::new(0),
                ready_octets: Cell::new(0),
                connections: Cell::new(0),
                wanting: RefCell::default(),
                wanted: Notify::new(),
                drought: Drought::default(),
                rendered,
            });
            tokio::task::LocalSet::new().block_on(&runtime, owner.work(inbox, results));
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

pub(super) struct Owner {
    pub(super) deps: Deps,
    pub(super) gauges: Gauges,
    lanes: RefCell<HashMap<LaneKey, Rc<Lane>>>,
    held: Cell<usize>,
    /// Of messages that wait for a session.
    ready_octets: Cell<usize>,
    connections: Cell<usize>,
    /// Lanes that wanted a session while all were taken, the longest waiting first.
    wanting: RefCell<VecDeque<Rc<Lane>>>,
    /// Rung for an idle session when a lane wants its place.
    wanted: Notify,
    pub(super) drought: Drought,
    rendered: mpsc::UnboundedSender<(LaneKey, Job, Result<Message, Unrenderable>)>,
}

impl Owner {
    async fn work(
        self: Rc<Self>,
        mut inbox: mpsc::Receiver<Job>,
        mut results: mpsc::UnboundedReceiver<(LaneKey, Job, Result<Message, Unrenderable>)>,
    ) {
        let mut stop = self.deps.stop.clone();
        let mut open = true;
        while open || self.held.get() > 0 || self.connections.get() > 0 {
            let has_room = self.held.get() < self.deps.limits.rows_in_memory;
            tokio::select! {
                job = inbox.recv(), if open && has_room => match job {
                    Some(job) => self.take(job),
                    None => open = false,
                },
                Some((key, job, result)) = results.recv() => self.rendered(key, job, result),
                _ = stop.changed() => {}
                // Sessions change counts without a message to this loop.
                () = tokio::time::sleep(TICK) => {}
            }
            if *stop.borrow() == Stop::Gracefully {
                open = false;
                inbox.close();
                while let Ok(job) = inbox.try_recv() {
                    job.run.settle.let_go();
                }
                self.wind_down();
            }
        }
    }

    fn take(self: &Rc<Self>, job: Job) {
        // Small sites see one session a run: which of equal hosts it meets first must not be the same every time.
        let turn = usize::try_from(self.deps.clock.now().0).unwrap_or(0);
        let policy = || Policy {
            ehlo: job.source.ehlo.clone(),
            demand: job.route.demand,
            // A smarthost without STARTTLS is not the recipient's fault: its rows wait.
            exclusive: job.run.exclusive && !job.route.access.relays,
            avoid_tls: false,
            access: job.route.access.clone(),
        };
        let lane = self
            .lanes
            .borrow_mut()
            .entry(key(&job))
            .or_insert_with(|| Rc::new(Lane::new(key(&job), job.route.clone(), job.source.clone(), policy(), turn)))
            .clone();
        lane.route.replace(job.route.clone());
        self.held.set(self.held.get() + 1);
        lane.state.borrow_mut().backlog.push_back(job);
        self.gauges.backlog.inc();
        self.advance(&lane);
    }

    fn rendered(self: &Rc<Self>, key: LaneKey, job: Job, result: Result<Message, Unrenderable>) {
        let Some(lane) = self.lanes.borrow().get(&key).cloned() else { return self.let_go(job) };
        lane.state.borrow_mut().rendering -= 1;
        self.gauges.rendering.dec();
        match result {
            Ok(message) => {
                self.ready_octets.set(self.ready_octets.get() + message.octets().len());
                lane.state.borrow_mut().ready.push_back((job, message));
                self.gauges.ready.inc();
                lane.bell.notify_one();
            }
            Err(fault) => {
                job.run.settle.unrenderable(&job.row, &fault);
                self.settled();
            }
        }
        self.advance(&lane);
    }

    /// Moves a lane's rows on as far as there is room: settled if it is suspended, else to rayon, and to new sessions.
    pub(super) fn advance(self: &Rc<Self>, lane: &Rc<Lane>) {
        if *self.deps.stop.borrow() == Stop::Gracefully {
            return;
        }
        let now = self.deps.clock.now();
        let suspension = lane.state.borrow_mut().suspension(now);
        if let Some((verdict, until)) = suspension {
            let jobs = self.drain(lane);
            for job in jobs {
                job.run.settle.postpone(job.row, &verdict, until);
                self.settled();
            }
            return;
        }
        let mut state = lane.state.borrow_mut();
        // Two ahead of each session: one to go out with the next round trip, one being made; and two to open one for.
        let ahead = 2 * state.sessions + 2;
        while state.ready.len() + state.rendering < ahead {
            // Letters with files in them are large: past the bound each lane has one at a time.
            if self.ready_octets.get() > READY_OCTETS && state.ready.len() + state.rendering > 0 {
                break;
            }
            let Some(job) = state.backlog.pop_front() else { break };
            state.rendering += 1;
            self.gauges.backlog.dec();
            self.gauges.rendering.inc();
            self.render(job);
        }
        let most = self.deps.limits.connections_per_provider.min(state.most_sessions(now));
        let idle = state.sessions - state.busy;
        if state.ready.len() <= idle || state.sessions >= most {
            return;
        }
        if self.connections.get() == self.deps.limits.connections || self.drought.holds() {
            let mut wanting = self.wanting.borrow_mut();
            if !wanting.iter().any(|other| Rc::ptr_eq(other, lane)) {
                wanting.push_back(lane.clone());
            }
            drop(wanting);
            self.wanted.notify_waiters();
            return;
        }
        state.sessions += 1;
        self.connections.set(self.connections.get() + 1);
        tokio::task::spawn_local(conversation::hold(self.clone(), lane.clone()));
    }

    fn render(&self, mut job: Job) {
        let key = key(&job);
        let (rendered, metrics) = (self.rendered.clone(), self.deps.metrics.clone());
        self.deps.pool.spawn(move || {
            let (now, press) = (job.run.settle.now(), &job.run.press);
            // A template engine that panics over one row must cost that row, not the run.
            let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let content = metrics.time(Stage::Render, || press.render(&mut job.row, now));
                content.map(|content| metrics.time(Stage::Sign, || press.sign(&content, now)))
            }));
            let result =
                made.unwrap_or_else(|_| Err(Unrenderable { reason: "render", detail: "it broke the renderer".into() }));
            // The shard is gone only when it was told to stop; the row then stands where it stood.
            if let Err(mpsc::error::SendError((_, job, _))) = rendered.send((key, job, result)) {
                job.run.settle.let_go();
            }
        });
    }

    /// Suspends a lane by a verdict that every session there would meet. Sessions that fail together are one failure: a
    /// suspension in force is neither counted again nor prolonged.
    pub(super) fn suspend(self: &Rc<Self>, lane: &Rc<Lane>, verdict: Verdict) {
        let now = self.deps.clock.now();
        let mut state = lane.state.borrow_mut();
        if state.suspension(now).is_none() {
            state.failures += 1;
            let route = lane.route.borrow();
            let wait = self.deps.retry.wait(state.failures, route.site.0);
            let until = now.after(if verdict.fate == Fate::Bounced { wait.min(DNS_SAYS_NO) } else { wait });
            let host = route.name();
            let seconds = until.since(now).as_secs();
            let (why, hint) = (verdict.why(), hint(&verdict.why()));
            tracing::warn!(host, why, seconds, hint, "open -> suspended");
            state.suspended = Some((verdict, until));
        }
        drop(state);
        self.advance(lane);
    }

    /// Returns when `lane` has nothing to send and another lane wants the place of its idle session.
    pub(super) async fn gives_way(&self, lane: &Lane) {
        // Nothing else runs between the question and the wait: a shard is one thread.
        while !lane.state.borrow().is_empty() || self.wanting.borrow().is_empty() {
            self.wanted.notified().await;
        }
    }

    /// Messages of so many octets are no longer ready: they went to a wire, or were let go.
    pub(super) fn left_ready(&self, octets: usize) {
        self.ready_octets.set(self.ready_octets.get() - octets);
    }

    /// One row less in memory.
    pub(super) fn settled(&self) {
        self.held.set(self.held.get() - 1);
    }

    /// A session of `lane` ended. Its place goes to the lane that waited longest, and only then back to this one.
    pub(super) fn hung_up(self: &Rc<Self>, lane: &Rc<Lane>) {
        self.connections.set(self.connections.get() - 1);
        // One that waited may have got a place since, or have nothing left to send: ask until the place is taken.
        while self.connections.get() < self.deps.limits.connections && !self.drought.holds() {
            let Some(next) = self.wanting.borrow_mut().pop_front() else { break };
            self.advance(&next);
        }
        self.advance(lane);
        // A million recipients have tens of thousands of sites; most get a message or two.
        if lane.state.borrow().is_forgettable(self.deps.clock.now()) {
            self.lanes.borrow_mut().remove(&lane.key);
        }
    }

    /// Every job of `lane` that is not on a wire or on rayon.
    fn drain(&self, lane: &Lane) -> Vec<Job> {
        let mut state = lane.state.borrow_mut();
        self.gauges.backlog.sub(state.backlog.len() as i64);
        self.gauges.ready.sub(state.ready.len() as i64);
        self.left_ready(state.ready.iter().map(|(_, message)| message.octets().len()).sum());
        state.drain()
    }

    fn let_go(&self, job: Job) {
        job.run.settle.let_go();
        self.settled();
    }

    fn wind_down(&self) {
        let lanes: Vec<_> = self.lanes.borrow().values().cloned().collect();
        for lane in lanes {
            for job in self.drain(&lane) {
                self.let_go(job);
            }
            lane.bell.notify_waiters();
        }
    }
}

fn key(job: &Job) -> LaneKey {
    (job.route.provider, job.source.name.clone(), job.route.demand.level(), job.run.exclusive)
}
