//! Where messages gather until eight can be signed together, and who signs them.
//!
//! The thread that brings the eighth signs all eight; nobody waits for a signature on a thread. Where the last that was
//! expected has come and those who wait are fewer than eight, a thread of its own (*gather*) wakes after
//! [`LONGEST_WAIT`](super::gathering::LONGEST_WAIT) and has them signed.
//!
//! One lock for all threads, taken twice a message and held for 50 ns in all (measured): 32 CPUs at 4,000 messages a second
//! each hold it for 0.6 % of the time.

use super::Unsigned;
use super::eight::{Lanes, encode, sign};
use super::gathering::Gathering;
use super::signing::alone;
use crate::mail::Sealed;
use crate::metrics::{Metrics, Stage};
use crypto_mb::{Key, Number};
use rayon::ThreadPool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Where messages gather.
pub(super) struct Desk {
    lanes: Box<dyn Lanes>,
    metrics: Arc<Metrics>,
    threads: Arc<ThreadPool>,
    state: Mutex<State>,
    bell: Condvar,
}

struct State {
    gathering: Gathering<Waiting>,
    /// Whether *gather* sleeps until it is rung for.
    sleeps: bool,
    over: bool,
}

/// A message that waits for one signature.
pub(super) struct Waiting {
    pub(super) key: Arc<Key>,
    pub(super) unsigned: Unsigned,
    pub(super) signatures: Vec<Vec<u8>>,
    /// Which of them is missing.
    pub(super) missing: usize,
    pub(super) since: Instant,
    pub(super) done: Box<dyn FnOnce(Sealed) + Send>,
}

/// As many signatures pay for eight lanes, which take the same time however many are used: 1.07 ms and 0.05 ms for their
/// verification, where aws-lc-rs takes 0.25 ms for one (CPU time in one process by turns, medians, on an AMD EPYC).
pub(super) const FEWEST: usize = 5;

impl Desk {
    /// A desk and its thread, which ends after [`close`](Desk::close).
    pub(super) fn open(
        lanes: Box<dyn Lanes>,
        threads: Arc<ThreadPool>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Arc<Desk>> {
        let state = Mutex::new(State { gathering: Gathering::new(), sleeps: false, over: false });
        let desk = Arc::new(Desk { lanes, metrics, threads, state, bell: Condvar::new() });
        let watched = desk.clone();
        std::thread::Builder::new().name("gather".into()).spawn(move || watched.watch())?;
        Ok(desk)
    }

    /// Nobody will come any more; those who wait are signed.
    pub(super) fn close(&self) {
        self.state().over = true;
        self.bell.notify_one();
    }

    /// Somebody is on his way.
    pub(super) fn expect(&self) {
        self.state().gathering.expect();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Somebody who was expected is here.
    pub(super) fn bring(&self, one: Waiting) {
        let mut state = self.state();
        let batch = state.gathering.bring(one, Instant::now());
        self.ring(state);
        self.sign(batch);
    }

    /// Somebody who was expected won't come.
    pub(super) fn miss(&self) {
        let mut state = self.state();
        let batch = state.gathering.miss(Instant::now());
        self.ring(state);
        self.sign(batch);
    }

    /// Wakes *gather* if there is something to wait for and it does not. Under load there isn't: somebody is always coming.
    fn ring(&self, mut state: MutexGuard<'_, State>) {
        if state.sleeps && state.gathering.deadline().is_some() {
            state.sleeps = false;
            drop(state);
            self.bell.notify_one();
        }
    }

    /// What *gather* does until the engine ends.
    fn watch(self: Arc<Self>) {
        let mut state = self.state();
        loop {
            let batch = if state.over { state.gathering.take() } else { state.gathering.due(Instant::now()) };
            if !batch.is_empty() {
                let desk = self.clone();
                self.threads.spawn(move || desk.sign(batch));
            }
            if state.over {
                return;
            }
            state = match state.gathering.deadline() {
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.bell.wait_timeout(state, left).expect("no holder panics").0
                }
                None => {
                    state.sleeps = true;
                    let mut woken = self.bell.wait(state).expect("no holder panics");
                    woken.sleeps = false;
                    woken
                }
            };
        }
    }

    /// Signs those who waited, together if that is worth it, and sends each on.
    fn sign(&self, batch: Vec<Waiting>) {
        if batch.is_empty() {
            return;
        }
        let since = Instant::now();
        let together = if batch.len() < FEWEST { vec![None; batch.len()] } else { self.together(&batch) };
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let share = since.elapsed() / count;
        for (waiting, signature) in batch.into_iter().zip(together) {
            self.metrics.took(Stage::Gather, since.duration_since(waiting.since));
            waiting.finish(signature, share, &self.metrics);
        }
    }

    fn together(&self, batch: &[Waiting]) -> Vec<Option<Number>> {
        let encoded =
            |waiting: &Waiting| (waiting.key.clone(), encode(&waiting.unsigned.fields[waiting.missing].signed));
        let encoded: Vec<_> = batch.iter().map(encoded).collect();
        sign(self.lanes.as_ref(), &encoded, &self.metrics)
    }
}

impl Waiting {
    /// Sends the message on, with this signature or, where there is none, with one of its own. `share` is the time that its
    /// share in a batch took.
    fn finish(self, signature: Option<Number>, share: Duration, metrics: &Metrics) {
        let Waiting { unsigned, mut signatures, missing, done, .. } = self;
        let since = Instant::now();
        let field = &unsigned.fields[missing];
        signatures[missing] = match signature {
            Some(signature) => signature.to_vec(),
            None => alone(metrics, field.backend.as_ref(), &field.signed),
        };
        metrics.took(Stage::Sign, unsigned.spent + share + since.elapsed());
        done(unsigned.seal(&signatures));
    }
}
