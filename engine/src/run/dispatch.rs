//! Between the feeders and the shards: finds each row's route, without letting one slow name server hold up the rest.
//!
//! Comes in: rows in hand, from the reader and the retry thread. Goes next: their shards. Rows of a domain whose look-up is
//! under way are parked, up to [`PARKED`]; past it nothing more is taken in, and the feeders wait.

use crate::mail::{Kind, Outcome, Row};
use crate::metrics::{Metrics, Queue, Stage};
use crate::queue::{Job, Run, Stop};
use crate::resolve::NoRoute;
use crate::route::{Found, Router};
use crate::smtp::Source;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What finds routes and passes rows on.
pub(super) struct Dispatch {
    pub(super) run: Arc<Run>,
    pub(super) router: Arc<Router>,
    pub(super) shards: Vec<mpsc::Sender<Job>>,
    /// The campaign's pool; never empty.
    pub(super) sources: Vec<Arc<Source>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: watch::Receiver<Stop>,
}

/// Rows that may wait for look-ups: each costs a few kilobytes, as in a shard's backlog.
const PARKED: usize = 20_000;
/// Look-ups at once; the resolver bounds its queries too.
const LOOKUPS: usize = 256;

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
        let mut lookups: JoinSet<(String, Found)> = JoinSet::new();
        let mut parked = Parked::default();
        let mut open = true;
        while open || !lookups.is_empty() {
            let has_room = parked.count < PARKED && lookups.len() < LOOKUPS;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop == Stop::Gracefully) => break,
                Some(looked_up) = lookups.join_next() => {
                    // A look-up that panicked would keep its rows for ever: whoever watches us must see it.
                    let (domain, found) = looked_up.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()));
                    self.metrics.looked_up(found.as_ref().map_or_else(|trouble| trouble.label(), |_| "found"));
                    let mut found = Some(found);
                    // While a full shard is waited for the answer can grow too old for the rest.
                    for row in parked.take(&domain) {
                        self.metrics.rows(Queue::Routing).dec();
                        match found.take().or_else(|| self.router.known(&domain, Instant::now())) {
                            Some(found) => self.pass_on(row, &found).await,
                            None => self.park(row, &mut parked, &mut lookups),
                        }
                    }
                }
                row = inbox.recv(), if open && has_room => match row {
                    None => open = false,
                    Some(row) => match self.router.known(row.to.domain(), Instant::now()) {
                        Some(found) => self.pass_on(row, &found).await,
                        None => self.park(row, &mut parked, &mut lookups),
                    },
                }
            }
        }
        self.let_go(inbox, &parked).await;
    }

    /// Stopped: what is still here stands in the input or the store as before.
    async fn let_go(&self, mut inbox: mpsc::Receiver<Row>, parked: &Parked) {
        inbox.close();
        let mut left = parked.count;
        self.metrics.rows(Queue::Routing).set(0);
        while inbox.recv().await.is_some() {
            left += 1;
        }
        (0..left).for_each(|_| self.run.settle.let_go());
    }

    fn park(&self, row: Row, parked: &mut Parked, lookups: &mut JoinSet<(String, Found)>) {
        let domain = row.to.domain().to_owned();
        self.metrics.rows(Queue::Routing).inc();
        if parked.add(&domain, row) {
            let (router, metrics) = (self.router.clone(), self.metrics.clone());
            lookups.spawn(async move {
                let since = Instant::now();
                let found = router.find(&domain).await;
                metrics.took(Stage::Route, since.elapsed());
                (domain, found)
            });
        }
    }

    /// Hands a row to its shard, and waits while memory is full; or settles it where there is no route.
    async fn pass_on(&self, row: Row, found: &Found) {
        match found {
            Ok(route) => {
                let shard = &self.shards[route.shard(self.shards.len())];
                let source = self.source(&row);
                let place = self.run.room.enter().await;
                let job = Job { row, route: route.clone(), source, run: self.run.clone(), place };
                if shard.send(job).await.is_err() {
                    self.run.settle.let_go();
                }
            }
            Err(trouble) => self.unroutable(row, *trouble),
        }
    }

    /// Sources take turns over rows, and a row over its attempts: what refuses one may take another.
    fn source(&self, row: &Row) -> Arc<Source> {
        let turn = row.ordinal.wrapping_add(u64::from(row.attempts)) % self.sources.len() as u64;
        self.sources[usize::try_from(turn).unwrap_or(0)].clone()
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
