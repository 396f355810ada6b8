//! One seed: shards, routers, feeders, servers and an operator on one thread and simulated time, until everything rests.

use super::feeders;
use super::judge;
use super::net::Net;
use super::operator;
use super::plan::{Blast, Plan};
use super::shards::{Shards, lose_patience};
use super::warmup::days;
use super::world::{Facts, SimulatedClock, World};
use crate::clock::{Clock, Day, Timestamp};
use crate::condition::Conditions;
use crate::mail::{Demand, Level, Mailbox, RunId};
use crate::metrics::{Config, Metrics, Queue};
use crate::queue::{Clerk, Controls, Deps, Glance, Hold, Job, Left, Limits, Pool, Press, Room, Run, Stop, Sync};
use crate::render::{MessagePlan, Renderer, Template, Wording};
use crate::route::Router;
use crate::run::dispatch::Dispatch;
use crate::run::engine::WIND_DOWN;
use crate::run::ledger::StoreLedger;
use crate::secret::{DataKey, TokenKey};
use crate::settle::{Limits as Bounds, Rules, Settle, Shares};
use crate::shaping::Shaping;
use crate::sign::{Signer, Signing};
use crate::smtp::{Access, Connector, Root, Source};
use crate::standing::TlsStanding;
use crate::store::{Store, Tally};
use crate::warmup::{Schedule, Warming, Warmup, Warmups};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

/// What came of a seed.
pub(super) struct Story {
    pub(super) trace: Vec<String>,
    pub(super) wrong: Vec<String>,
    pub(super) reached: BTreeMap<&'static str, u64>,
    /// Messages that sites took, by day, site and our address.
    pub(super) daily: BTreeMap<(Day, usize, Option<IpAddr>), u32>,
    /// How the first run stood when each day was over, and how many of its rows waited for the next.
    pub(super) evenings: Vec<(Tally, u64)>,
}

/// Everything of one seed.
pub(super) struct Case {
    pub(super) world: Arc<World>,
    pub(super) store: Arc<Store>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) conditions: Arc<Conditions>,
    /// Each shard has its own, since a channel wakes its hearers in any order.
    pub(super) controls: Vec<watch::Sender<Arc<Controls>>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) runs: Vec<Rc<OneRun>>,
    /// How the first source warms up.
    pub(super) warmup: Option<Warmup>,
}

/// One run of it.
pub(super) struct OneRun {
    pub(super) shared: Arc<Run>,
    pub(super) key: Arc<DataKey>,
    /// Tells the feeders to take up nothing more.
    pub(super) halt: Cell<bool>,
    pub(super) stop: watch::Sender<Stop>,
    pub(super) read_all: Cell<bool>,
    pub(super) left: Cell<bool>,
    /// Rows that came back from `deferred`.
    pub(super) due: Cell<u64>,
}

/// Nothing that a plan can hold takes longer: sites that rest for ten minutes after each handful of rows.
const REST_WITHIN: Duration = Duration::from_secs(12 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const BRIEF: Duration = Duration::from_millis(20);
pub(super) const GLANCE: Duration = Duration::from_millis(250);

static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["mx.example".to_owned()]).expect("a certificate");
    Connector::new(&[Root::Der(made.cert.der().to_vec())], None).expect("a connector")
});

/// Plays `plan` on `store`, which must not have met its seed before.
pub(super) fn play(plan: Plan, store: &Arc<Store>) -> Story {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    // Other seeds have used the store: what they learned of the same providers is of another world.
    store.forget_paces(|_| true).expect("written");
    LocalSet::new().block_on(&runtime, async {
        let world = World::new(plan, store);
        act(&world, store).await;
        let mut facts = world.facts();
        let facts = std::mem::take(&mut *facts);
        let Facts { trace, wrong, reached, daily, evenings, .. } = facts;
        Story { trace, wrong, reached, daily, evenings }
    })
}

/// What every shard is given, but for its own orders and its stop.
fn deps(
    world: &World,
    store: &Arc<Store>,
    net: &Arc<Net>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    conditions: Arc<Conditions>,
) -> Deps {
    // The store has met other seeds, whose sites had the same names.
    let ledger = StoreLedger::since(Day(u32::MAX), store.clone()).expect("writable");
    let of = warmup(&world.plan, clock.now()).map(|warmup| (a_source(0).ipv4.expect("it has one").into(), warmup));
    let warmups = Warmups { of: of.into_iter().collect(), zone: world.plan.zone };
    let warming = Arc::new(Warming::new(warmups, Arc::new(ledger)));
    Deps {
        shaping: Arc::new(Shaping::none(world.plan.limits.bounds())),
        resolver: net.clone(),
        connector: CONNECTOR.clone(),
        standing: Arc::new(TlsStanding::new(store.clone(), Duration::from_secs(1800))),
        reports: None,
        limits: Limits { ..world.plan.limits },
        retry: world.plan.retry,
        clock,
        signing: Arc::new(Signing::singly(metrics.clone())),
        metrics,
        pool: Pool::Here,
        dial: net.clone(),
        warming,
        clerk: Clerk::here(store.clone(), Sync::Never),
        conditions,
        controls: watch::channel(Arc::default()).1,
        stop: watch::channel(Stop::No).1,
        store: store.clone(),
    }
}

/// How the first source warms up, since today.
fn warmup(plan: &Plan, now: Timestamp) -> Option<Warmup> {
    let schedule = Schedule::new("simulated", plan.caps.clone()).ok()?;
    Some(Warmup { since: plan.zone.day(now), schedule: Arc::new(schedule) })
}

async fn act(world: &Arc<World>, store: &Arc<Store>) {
    let turns = store.turns(0);
    let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::start());
    let (metrics, conditions) = (Arc::new(Metrics::new(Config { providers: 4 })), Arc::new(Conditions::default()));
    let net = Arc::new(Net::new(world.clone()));
    let deps = deps(world, store, &net, clock.clone(), metrics.clone(), conditions.clone());
    let Shards { jobs, stops, controls, glances, working } = Shards::start(world.plan.shards, &deps);
    let mut case = Case {
        world: world.clone(),
        store: store.clone(),
        metrics: metrics.clone(),
        conditions,
        controls,
        warmup: warmup(&world.plan, clock.now()),
        clock,
        runs: Vec::new(),
    };
    let mut feeders = Vec::new();
    for number in 0..world.plan.runs.len() {
        sleep(world.plan.runs[number].begins).await;
        feeders.extend(case.open(number, &net, &jobs));
    }
    drop((deps, jobs));
    let case = Rc::new(case);
    let operator = spawn_local(operator::work(case.clone()));
    let watcher = spawn_local(watch(world.clone(), glances));
    let sun = spawn_local(days(case.clone()));
    case.rest(&operator).await;
    if world.plan.stop.is_some() {
        case.runs.iter().for_each(|run| run.leave());
        stops.iter().for_each(|stop| _ = stop.send_replace(Stop::Gracefully));
    }
    // Half of the time sooner than servers answer, so that messages are broken off.
    let patience = if world.plan.seed.is_multiple_of(2) { BRIEF } else { WIND_DOWN };
    let in_the_end = spawn_local(lose_patience(stops, patience));
    operator.abort();
    operator.await.ok();
    watcher.abort();
    sun.abort();
    sun.await.ok();
    case.runs.iter().for_each(|run| run.halt.set(true));
    case.end(feeders, working).await;
    in_the_end.abort();
    let due: u64 = case.runs.iter().map(|run| run.due.get()).sum();
    world.reach("came back", due);
    world.reach("spilt", store.turns(0) - turns - due);
    judge::judge(&case);
    // Deferred rows are shown as long as their run is here.
    drop(case);
    let deferred = metrics.rows(Queue::Deferred).get();
    if deferred != 0 {
        world.wrong(format_args!("Deferred shows {deferred} without a run"));
    }
}

impl Case {
    /// Opens run `number` and starts its feeders.
    fn open(&mut self, number: usize, net: &Arc<Net>, jobs: &[mpsc::Sender<Job>]) -> Vec<JoinHandle<()>> {
        let blast = self.world.plan.runs[number].clone();
        let key = Arc::new(DataKey::new(&[7; 32]));
        let (stop, stopped) = watch::channel(Stop::No);
        let id = self.world.id(number);
        let run = Rc::new(OneRun {
            shared: Arc::new(self.run(id, &blast, &key)),
            key,
            halt: Cell::new(false),
            stop,
            read_all: Cell::new(false),
            left: Cell::new(false),
            due: Cell::new(0),
        });
        self.runs.push(run.clone());
        let (rows, inbox) = mpsc::channel(4);
        let dispatch = Dispatch {
            run: run.shared.clone(),
            router: Arc::new(self.router(net.clone())),
            shards: jobs.to_vec(),
            metrics: self.metrics.clone(),
            conditions: self.conditions.clone(),
            clock: self.clock.clone(),
            stop: stopped,
        };
        vec![
            spawn_local(feeders::read(self.world.clone(), run.clone(), number, blast, rows.clone())),
            spawn_local(feeders::retry(run, rows)),
            spawn_local(dispatch.work(inbox)),
        ]
    }

    fn router(&self, net: Arc<Net>) -> Router {
        let shaping = Shaping::none(self.world.plan.limits.bounds());
        Router::new(net, Demand::new(Level::Opportunistic), Access::default()).shaped(Arc::new(shaping))
    }

    fn run(&self, id: RunId, blast: &Blast, key: &Arc<DataKey>) -> Run {
        let rules =
            Rules { retry: self.world.plan.retry, lifetime: blast.lifetime, resend_doubt: blast.resend, marks: true };
        let canaries =
            Shares::new(Bounds { unknown: None, blocked: None, canary: blast.canary }, Vec::new(), Vec::new());
        let (store, key, clock, metrics) = (self.store.clone(), key.clone(), self.clock.clone(), self.metrics.clone());
        Run {
            id,
            settle: Settle::new(store, id, key, clock, rules, metrics, &Tally::default()).watched_by(canaries),
            press: press(id),
            exclusive: false,
            weight: blast.weight,
            sources: (0..self.world.plan.sources).map(a_source).collect(),
            tomorrow: AtomicU64::new(0),
            room: Room::new(blast.room),
            hold: Hold::default(),
        }
    }

    /// Waits until everything that can be done is done, or for the moment at which the engine is to stop.
    async fn rest(&self, operator: &JoinHandle<()>) {
        let until = self.world.plan.stop.unwrap_or(REST_WITHIN + DAY * self.world.plan.days);
        while self.world.elapsed() < until {
            if operator.is_finished() && self.runs.iter().all(|run| run.rests()) {
                return self.world.say("case", "rests");
            }
            sleep(GLANCE).await;
        }
        if self.world.plan.stop.is_none() {
            let standing = |run: &Rc<OneRun>| {
                format!(
                    "{:?} idle: {} full: {}",
                    run.shared.settle.tally(),
                    run.shared.settle.is_idle(),
                    run.shared.room.is_full()
                )
            };
            let runs: Vec<_> = self.runs.iter().map(standing).collect();
            self.world.wrong(format_args!("no rest: {runs:?}"));
        }
    }

    /// Waits for the end of all that works.
    async fn end(&self, feeders: Vec<JoinHandle<()>>, shards: Vec<JoinHandle<Left>>) {
        let end = async {
            for feeder in feeders {
                if feeder.await.is_err() {
                    self.world.wrong("a feeder panicked");
                }
            }
            for shard in shards {
                match shard.await {
                    Ok(left) if left == Left::default() => {}
                    Ok(left) => self.world.wrong(format_args!("a shard left {left:?}")),
                    Err(_) => self.world.wrong("a shard panicked"),
                }
            }
        };
        if timeout(REST_WITHIN, end).await.is_err() {
            self.world.wrong("no end");
        }
        self.world.say("case", "ended");
    }
}

impl OneRun {
    fn rests(&self) -> bool {
        let settle = &self.shared.settle;
        if self.left.get() { settle.is_idle() } else { self.read_all.get() && settle.is_at_rest() }
    }

    /// Lets go of every row that is not on a wire, as the engine does. The shards are told by new orders.
    pub(super) fn leave(&self) {
        self.left.set(true);
        self.shared.hold.leave();
        self.halt.set(true);
        self.stop.send_replace(Stop::Gracefully);
    }
}

/// Sees to it that no lane sleeps that could go on.
async fn watch(world: Arc<World>, glances: Vec<Glance>) {
    let mut before = vec![BTreeSet::new(); glances.len()];
    loop {
        sleep(Duration::from_millis(400)).await;
        for (glance, before) in glances.iter().zip(&mut before) {
            let now = glance.asleep();
            for lane in now.intersection(before) {
                world.wrong(format_args!("{lane} sleeps"));
            }
            *before = now;
        }
    }
}

pub(super) fn a_source(number: usize) -> Arc<Source> {
    let last = u8::try_from(number + 1).expect("few sources");
    Arc::new(Source {
        name: format!("source{number}").into(),
        ehlo: "out.acme.example".into(),
        ipv4: Some(Ipv4Addr::new(192, 0, 2, last)),
        ipv6: None,
    })
}

/// The shortest letter there is: what is simulated is its way.
fn press(run: RunId) -> Press {
    let template = |text: &str| Template { path: "t.hbs".into(), line: 1, text: text.into() };
    let plan = MessagePlan {
        from: Mailbox::parse("Acme <notices@acme.example>").expect("a mailbox"),
        reply_to: None,
        return_path: "bounces.acme.example".into(),
        to_name: None,
        wordings: vec![Wording {
            language: None,
            from_name: None,
            subject: template("a"),
            html: None,
            text: Some(template("a\n")),
        }],
        language: None,
        partials: Vec::new(),
        attachments: Vec::new(),
        feedback_id: None,
        auto_submitted: false,
        headers: Vec::new(),
        max_size: 1_000_000,
    };
    let renderer = Renderer::new(plan, &[], &[], TokenKey::new(&[1; 32]), run).expect("it compiles");
    Press::new(renderer, Arc::new(Signer::new("acme.example", Vec::new(), Duration::from_secs(3600))))
}
