//! Where an engine's signatures are made: by themselves, or, where the machine can, RSA-2048 ones eight at a time.
//!
//! Whoever hands a row to the threads that render says so here ([`Signing::expect`]), and the row brings its message when it is
//! rendered ([`Coming::sign`]). The thread that brings the eighth signs all eight; nobody waits for a signature on a thread. Where
//! the last that was expected has come and those who wait are fewer than eight, a thread of its own (*gather*) wakes after
//! [`LONGEST_WAIT`](super::gathering) and has them signed.
//!
//! One lock for all threads, taken twice a message and held for 50 ns in all (measured): 32 CPUs at 4,000 messages a second
//! each hold it for 0.6 % of the time.

use super::eight::{Lanes, encode, sign};
use super::gathering::Gathering;
use super::{Algorithm, Backend, Unsigned};
use crate::mail::Sealed;
use crate::metrics::{Metrics, Single, Stage};
use crypto_mb::{Key, Library, Number};
use rayon::ThreadPool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Whether RSA-2048 signatures are made together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Together {
    /// Where the machine can.
    #[default]
    Auto,
    /// Never.
    Off,
}

/// Makes signatures, and counts them.
pub struct Signing {
    metrics: Arc<Metrics>,
    together: Option<Arc<Desk>>,
}

/// One message is on its way to be signed.
pub struct Coming {
    signing: Arc<Signing>,
    is_expected: bool,
}

/// Where messages gather.
struct Desk {
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
struct Waiting {
    key: Arc<Key>,
    unsigned: Unsigned,
    signatures: Vec<Vec<u8>>,
    /// Which of them is missing.
    missing: usize,
    since: Instant,
    done: Box<dyn FnOnce(Sealed) + Send>,
}

/// As many signatures pay for eight lanes, which take the same time however many are used: 1.07 ms and 0.05 ms for their
/// verification, where aws-lc-rs takes 0.25 ms for one. (CPU time in one process by turns, medians; on a CPU that can run the one,
/// the other uses AVX-512 IFMA too, so that the ratio is much the same everywhere.)
pub(super) const FEWEST: usize = 5;

impl Signing {
    /// One at a time.
    pub fn singly(metrics: Arc<Metrics>) -> Signing {
        Signing { metrics, together: None }
    }

    /// Together, where that is wanted and the machine can; `threads` sign what would wait too long. Says in the log which it is.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(wanted: Together, threads: &Arc<ThreadPool>, metrics: Arc<Metrics>) -> std::io::Result<Signing> {
        if wanted == Together::Off {
            tracing::info!("RSA-2048 signatures are made one at a time: [signing] together is off");
            return Ok(Signing::singly(metrics));
        }
        match Library::open() {
            Ok(library) => {
                tracing::info!("RSA-2048 signatures are made eight at a time, by crypto_mb {}", library.version());
                Signing::over(Box::new(library), threads.clone(), metrics)
            }
            Err(why) => {
                tracing::info!("RSA-2048 signatures are made one at a time: {why}");
                Ok(Signing::singly(metrics))
            }
        }
    }

    /// Together, by `lanes`.
    pub(super) fn over(
        lanes: Box<dyn Lanes>,
        threads: Arc<ThreadPool>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Signing> {
        let state = State { gathering: Gathering::new(), sleeps: false, over: false };
        let desk = Desk { lanes, metrics: metrics.clone(), threads, state: Mutex::new(state), bell: Condvar::new() };
        let desk = Arc::new(desk);
        let watched = desk.clone();
        std::thread::Builder::new().name("gather".into()).spawn(move || watched.watch())?;
        Ok(Signing { metrics, together: Some(desk) })
    }

    /// A message is on its way: it is waited for.
    pub fn expect(self: &Arc<Self>) -> Coming {
        if let Some(desk) = &self.together {
            desk.state().gathering.expect();
        }
        Coming { signing: self.clone(), is_expected: self.together.is_some() }
    }
}

/// How RSA-2048 signatures can be made here, for people.
pub fn hand() -> String {
    match Library::open() {
        Ok(library) => format!("RSA-2048 signatures eight at a time (crypto_mb {})", library.version()),
        Err(why) => format!("RSA-2048 signatures one at a time ({why})"),
    }
}

impl Drop for Signing {
    fn drop(&mut self) {
        if let Some(desk) = &self.together {
            desk.state().over = true;
            desk.bell.notify_one();
        }
    }
}

impl Coming {
    /// Signs a message, now or, together with others, soon; then calls `done`, on this thread or another.
    pub fn sign(mut self, mut unsigned: Unsigned, done: impl FnOnce(Sealed) + Send + 'static) {
        let since = Instant::now();
        let desk = self.signing.together.as_ref();
        // A domain has one RSA key at most; were there two, the second would be used alone.
        let lane = desk.and_then(|_| unsigned.fields.iter().position(|field| field.backend.together().is_some()));
        let fields = unsigned.fields.iter().enumerate();
        let signatures: Vec<_> = fields
            .map(|(at, field)| match lane {
                Some(lane) if lane == at => Vec::new(),
                _ => alone(&self.signing.metrics, field.backend.as_ref(), &field.signed),
            })
            .collect();
        let key = lane.and_then(|lane| unsigned.fields[lane].backend.together().cloned());
        let spent = unsigned.spent + since.elapsed();
        let (Some(desk), Some(missing), Some(key)) = (desk.cloned(), lane, key) else {
            self.signing.metrics.took(Stage::Sign, spent);
            return done(unsigned.seal(&signatures));
        };
        self.is_expected = false;
        unsigned.spent = spent;
        desk.bring(Waiting { key, unsigned, signatures, missing, since: Instant::now(), done: Box::new(done) });
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Some(desk) = self.signing.together.as_ref().filter(|_| self.is_expected) {
            desk.miss();
        }
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn bring(&self, one: Waiting) {
        let mut state = self.state();
        let batch = state.gathering.bring(one, Instant::now());
        self.ring(state);
        self.sign(batch);
    }

    fn miss(&self) {
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
        let since = Instant::now();
        let together = if batch.len() < FEWEST { vec![None; batch.len()] } else { self.together(&batch) };
        let count = u32::try_from(batch.len()).unwrap_or(u32::MAX).max(1);
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
    /// Sends the message on, with this signature or, where there is none, with one of its own. `share` is the time that its share
    /// in a batch took.
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

fn alone(metrics: &Metrics, backend: &dyn Backend, signed: &[u8]) -> Vec<u8> {
    let how = match backend.algorithm() {
        Algorithm::Rsa => Single::Rsa,
        Algorithm::Ed25519 => Single::Ed25519,
    };
    metrics.signing.signed(how, || backend.sign(signed))
}
