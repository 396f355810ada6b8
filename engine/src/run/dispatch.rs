//! Between the feeders and the shards: finds each row's route, without letting one slow name server hold up the rest.
//!
//! Comes in: rows in hand, from the reader and the retry thread. Goes next: their shards. Rows of a domain whose look-up is
//! under way are parked, up to [`PARKED`]; past it nothing more is taken in, and the feeders wait. So they do while the DNS is
//! gone ([`outage`](super::outage)); rows of domains whose route is known were passed on before.

use super::outage::{Outage, Ruling};
use crate::clock::Clock;
use crate::condition::{Condition, Conditions};
use crate::mail::{Kind, Outcome, Row};
use crate::metrics::{Metrics, Queue, Stage};
use crate::queue::{Job, Run, Stop};
use crate::resolve::NoRoute;
use crate::route::{Found, Router};
use crate::smtp::Source;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// What finds routes and passes rows on.
pub(super) struct Dispatch {
    pub(super) run: Arc<Run>,
    pub(super) router: Arc<Router>,
    pub(super) shards: Vec<mpsc::Sender<Job>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) conditions: Arc<Conditions>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: watch::Receiver<Stop>,
}

/// Rows that may wait for look-ups: each costs a few kilobytes, as in a shard's backlog.
const PARKED: usize = 20_000;
/// Look-ups at once; the resolver bounds its queries too.
const LOOKUPS: usize = 256;

/// How often a DNS that is gone is tried again, and the clock looked at.
const SECOND: Duration = Duration::from_secs(1);

/// What is not passed on yet.
#[derive(Default)]
struct Pending {
    lookups: JoinSet<Answer>,
    /// Domains whose look-up is under way. The resolver makes one query of two that are alike: a second question would only
    /// share the first's fate.
    asked: HashSet<String>,
    parked: Parked,
    outage: Outage,
}

/// How a question ended.
enum Answer {
    /// Of a domain's route, asked in this era of the DNS.
    Found(String, Found, u64),
    /// Of whether the DNS says anything at all, asked in this era.
    Control(bool, u64),
}

/// Rows by the domain they wait for.
#[derive(Default)]
struct Parked {
    rows: HashMap<String, Vec<Row>>,
    count: usize,
}

impl Dispatch {
    /// Passes rows on until the feeders are gone and nothing is parked, or until it is told to stop.
    pub(super) async fn work(self, mut inbox: mpsc::Receiver<Row>) {
        let mut stop = self.stop.clone();
        let mut pending = Pending::default();
        let mut second = tokio::time::interval(SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        while open || !pending.is_empty() {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop != Stop::No) => break,
                _ = second.tick() => self.once_a_second(&mut pending),
                Some(answer) = pending.lookups.join_next() => {
                    // A look-up that panicked would keep its rows for ever: whoever watches us must see it.
                    let answer = answer.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()));
                    self.answered(answer, &mut pending).await;
                }
                row = inbox.recv(), if open && pending.has_room() => match row {
                    None => open = false,
                    Some(row) => self.take_in(row, &mut pending).await,
                }
            }
        }
        self.let_go(inbox, &pending.parked).await;
    }

    async fn take_in(&self, row: Row, pending: &mut Pending) {
        // Where others of its domain wait, the last answer was none.
        let waits = pending.parked.rows.contains_key(row.to.domain());
        match self.known(&row).filter(|_| !waits) {
            Some(found) => self.pass_on(row, &found).await,
            None => self.park(row, pending),
        }
    }

    /// The route of a row, if it is known well enough.
    fn known(&self, row: &Row) -> Option<Found> {
        let now = Instant::now().into_std();
        if row.attempts == 0 {
            self.router.known(row.to.domain(), now)
        } else {
            self.router.known_again(row.to.domain(), now)
        }
    }

    async fn answered(&self, answer: Answer, pending: &mut Pending) {
        let ruling = match answer {
            Answer::Control(false, era) if era < pending.outage.era() => Ruling::Wait,
            Answer::Control(through, _) => pending.outage.control(through),
            Answer::Found(domain, found, era) => {
                pending.asked.remove(&domain);
                self.metrics.looked_up(found.as_ref().map_or_else(|trouble| trouble.label(), |_| "found"));
                match found {
                    // It was asked while nobody answered, and has waited for that until now.
                    Err(trouble) if trouble.is_transient() && era < pending.outage.era() => {
                        Ruling::AskAgain(vec![domain])
                    }
                    Err(trouble) if trouble.is_transient() => pending.outage.failed(&domain, trouble),
                    found => {
                        let ruling = pending.outage.got_through();
                        self.route_parked(&domain, found, pending).await;
                        ruling
                    }
                }
            }
        };
        self.rule(ruling, pending).await;
        if pending.lookups.is_empty() {
            let ruling = pending.outage.nothing_under_way();
            self.rule(ruling, pending).await;
        }
        if pending.outage.wants_control() {
            self.ask_control(pending);
        }
        self.show(pending);
    }

    /// Passes on the rows that wait for `domain`.
    async fn route_parked(&self, domain: &str, found: Found, pending: &mut Pending) {
        let mut found = Some(found);
        // While a full shard is waited for the answer can grow too old for the rest.
        for row in pending.parked.take(domain) {
            self.metrics.rows(Queue::Routing).dec();
            match found.take().or_else(|| self.known(&row)) {
                Some(found) => self.pass_on(row, &found).await,
                None => self.park(row, pending),
            }
        }
    }

    async fn rule(&self, ruling: Ruling, pending: &mut Pending) {
        match ruling {
            Ruling::Wait => {}
            Ruling::Believe(domains) => {
                for (domain, trouble) in domains {
                    self.route_parked(&domain, Err(trouble), pending).await;
                }
            }
            Ruling::AskAgain(domains) => {
                for domain in domains {
                    if pending.parked.rows.contains_key(&domain) {
                        self.look_up(domain, pending);
                    }
                }
            }
        }
    }

    fn once_a_second(&self, pending: &mut Pending) {
        if pending.outage.is_gone() {
            pending.outage.turn().into_iter().for_each(|domain| self.look_up(domain, pending));
            self.ask_control(pending);
        }
    }

    fn show(&self, pending: &Pending) {
        if pending.outage.is_gone() {
            let why = match pending.outage.is_bogus() {
                true => "no answer can be validated, not even the root's; see `sealpost check` and [dns] dnssec",
                false => "look-ups of several domains and of one of ours fail; see [dns] servers",
            };
            self.conditions.set(Condition::Dns, why, self.clock.now());
        } else {
            self.conditions.clear(Condition::Dns);
        }
    }

    /// Stopped: what is still here stands in the input or the store as before.
    async fn let_go(&self, mut inbox: mpsc::Receiver<Row>, parked: &Parked) {
        inbox.close();
        let mut left = parked.count;
        self.metrics.rows(Queue::Routing).sub(i64::try_from(parked.count).unwrap_or(i64::MAX));
        while inbox.recv().await.is_some() {
            left += 1;
        }
        (0..left).for_each(|_| self.run.settle.let_go());
    }

    fn park(&self, row: Row, pending: &mut Pending) {
        let domain = row.to.domain().to_owned();
        self.metrics.rows(Queue::Routing).inc();
        if pending.parked.add(&domain, row) {
            self.look_up(domain, pending);
        }
    }

    fn look_up(&self, domain: String, pending: &mut Pending) {
        if !pending.asked.insert(domain.clone()) {
            return;
        }
        let (router, metrics, era) = (self.router.clone(), self.metrics.clone(), pending.outage.era());
        pending.lookups.spawn(async move {
            let since = Instant::now();
            let found = router.find(&domain).await;
            metrics.took(Stage::Route, since.elapsed());
            Answer::Found(domain, found, era)
        });
    }

    fn ask_control(&self, pending: &mut Pending) {
        let (router, era) = (self.router.clone(), pending.outage.era());
        pending.lookups.spawn(async move { Answer::Control(router.dns_says_anything().await, era) });
    }

    /// Hands a row to its shard, and waits while memory is full; or settles it where there is no route.
    async fn pass_on(&self, row: Row, found: &Found) {
        match found {
            Ok(route) => {
                let shard = &self.shards[route.shard(self.shards.len())];
                let source = self.source(&row);
                let place = self.run.room.enter().await;
                let job = Job {
                    row,
                    route: route.clone(),
                    source,
                    run: self.run.clone(),
                    place,
                    turn: 0,
                    ticket: None,
                    flight: None,
                };
                if shard.send(job).await.is_err() {
                    self.run.settle.let_go();
                }
            }
            Err(trouble) => self.unroutable(row, *trouble),
        }
    }

    /// Sources take turns over rows, and a row over its attempts: what refuses one may take another.
    fn source(&self, row: &Row) -> Arc<Source> {
        let sources = &self.run.sources;
        let turn = row.ordinal.wrapping_add(u64::from(row.attempts)) % sources.len() as u64;
        sources[usize::try_from(turn).unwrap_or(0)].clone()
    }

    fn unroutable(&self, row: Row, trouble: NoRoute) {
        let settle = &self.run.settle;
        if trouble.is_transient() {
            return settle.unroutable(row, trouble.label());
        }
        let outcome = Outcome::new(Kind::Bounced, settle.now(), row.attempts, trouble.label());
        settle.end(&row, outcome);
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.lookups.is_empty() && self.parked.count == 0
    }

    /// Without the DNS rows stay where they are: in the input and the store.
    fn has_room(&self) -> bool {
        self.parked.count < PARKED && self.lookups.len() < LOOKUPS && !self.outage.is_gone()
    }
}

impl Parked {
    /// Returns whether it is the first of its domain.
    fn add(&mut self, domain: &str, row: Row) -> bool {
        self.count += 1;
        let rows = self.rows.entry(domain.to_owned()).or_default();
        rows.push(row);
        rows.len() == 1
    }

    fn take(&mut self, domain: &str) -> Vec<Row> {
        let rows = self.rows.remove(domain).unwrap_or_default();
        self.count -= rows.len();
        rows
    }
}
