//! Where an engine's signatures are made: by themselves, or, where the machine can, RSA-2048 ones eight at a time.
//!
//! Whoever hands a row to the threads that render says so here ([`Signing::expect`]), and the row brings its message when it is
//! rendered ([`Coming::sign`]).

use super::desk::{Desk, Waiting};
use super::eight::Lanes;
use super::{Algorithm, Backend, Unsigned};
use crate::mail::Sealed;
use crate::metrics::{Metrics, Single, Stage};
use crypto_mb::Library;
use rayon::ThreadPool;
use std::sync::Arc;
use std::time::Instant;

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

impl Signing {
    /// One at a time.
    pub fn singly(metrics: Arc<Metrics>) -> Signing {
        Signing { metrics, together: None }
    }

    /// Together, where that is wanted and the machine can; `threads` sign what would wait too long. Says in the log which it
    /// is.
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
        let desk = Desk::open(lanes, threads, metrics.clone())?;
        Ok(Signing { metrics, together: Some(desk) })
    }

    /// A message is on its way: it is waited for.
    pub fn expect(self: &Arc<Self>) -> Coming {
        if let Some(desk) = &self.together {
            desk.expect();
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
            desk.close();
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

/// A signature made by itself.
pub(super) fn alone(metrics: &Metrics, backend: &dyn Backend, signed: &[u8]) -> Vec<u8> {
    let how = match backend.algorithm() {
        Algorithm::Rsa => Single::Rsa,
        Algorithm::Ed25519 => Single::Ed25519,
    };
    metrics.signing.signed(how, || backend.sign(signed))
}
