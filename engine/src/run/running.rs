//! A run at work.

use super::feed::ReadTo;
use super::threads::{Stopped, Threads};
use super::{Error, Exporter, Lock};
use crate::mail::{Kind, RunId};
use crate::metrics::{Metrics, Stage};
use crate::queue::Run;
use crate::store::{Latency, Manifest, Store, Tally};
use std::sync::Arc;
use std::time::Instant;

/// What `start` found.
pub enum Started {
    /// The run is at work.
    Running(Box<Running>),
    /// It was finished before; nothing is sent.
    Finished(Summary),
}

/// The handle of a run at work.
pub struct Running {
    pub(super) run: RunId,
    pub(super) shared: Arc<Run>,
    pub(super) store: Arc<Store>,
    pub(super) manifest: Manifest,
    pub(super) before: Tally,
    pub(super) rows: Option<u64>,
    pub(super) in_doubt: usize,
    pub(super) threads: Threads,
    pub(super) metrics: Arc<Metrics>,
    pub(super) exporter: Option<Exporter>,
    pub(super) since: Instant,
    pub(super) _lock: Lock,
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
    /// How long messages took on the wire.
    pub latency: Option<Latency>,
}

impl Running {
    /// Its run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The counts now.
    pub fn tally(&self) -> Tally {
        self.shared.settle.tally()
    }

    /// How many rows the input has, where it says so itself or was read to its end.
    pub fn rows(&self) -> Option<u64> {
        self.rows.or_else(|| matches!(self.threads.read(), Some(Ok(ReadTo::End))).then(|| self.tally().read))
    }

    /// Rows that the last engine left in doubt.
    pub fn found_in_doubt(&self) -> usize {
        self.in_doubt
    }

    /// Whether everything that can be done is done: all read, nothing in memory, nothing deferred; or a part of the engine
    /// failed. After a `--limit` the run rests as soon as nothing is in memory or deferred.
    pub fn is_done(&mut self) -> bool {
        if self.threads.are_broken() || self.shared.settle.fault().is_some() {
            return true;
        }
        // Also where the input broke off: what was read of it is still sent.
        self.threads.has_read() && self.shared.settle.is_at_rest()
    }

    /// Why the input could not be read to its end, as soon as that is known. What was read of it is still sent.
    pub fn input_broke(&self) -> Option<&Error> {
        self.threads.read().and_then(|read| read.as_ref().err())
    }

    /// Ends the run, or stops it with rows left, and says how it stands.
    ///
    /// # Errors
    /// The store failed, or the input broke in the middle: what was accepted before is recorded.
    pub fn finish(self) -> Result<Summary, Error> {
        let Stopped { read, all_settled } = self.threads.stop()?;
        let mut tally = self.shared.settle.tally();
        if !all_settled {
            // Messages are still on a wire; the store knows which, and they are in doubt.
            let manifest = Manifest { read: tally.read, ..self.manifest.clone() };
            tally = Tally::of(&self.store, self.run, &manifest, false)?;
        }
        let worked = self.since.elapsed();
        self.metrics.stop(worked);
        let seconds = worked.as_secs_f64();
        // The reader saved how far it came.
        let mut manifest = self.store.manifest(self.run)?.unwrap_or(self.manifest);
        manifest.read = manifest.read.max(tally.read);
        manifest.read_all |= matches!(read, Ok(ReadTo::End));
        manifest.seconds += seconds;
        manifest.latency = latency(&self.metrics).or(manifest.latency);
        if manifest.read_all && tally.left() == 0 {
            manifest.finished = Some(self.shared.settle.now());
        }
        self.metrics.time(Stage::Sync, || self.store.put_manifest(self.run, &manifest, true))?;
        if let Some(fault) = self.shared.settle.fault() {
            return Err(Error::Internal(fault));
        }
        read?;
        let delivered_now = tally.count(Kind::Delivered) - self.before.count(Kind::Delivered);
        let (campaign, read_all) = (manifest.campaign, manifest.read_all);
        let latency = manifest.latency;
        Ok(Summary { campaign, run: self.run, tally, read_all, seconds, delivered_now, latency })
    }

    /// What serves `/metrics`, to outlive the run.
    pub fn take_exporter(&mut self) -> Option<Exporter> {
        self.exporter.take()
    }
}

fn latency(metrics: &Metrics) -> Option<Latency> {
    let send = |q| metrics.quantile(Stage::Send, q);
    Some(Latency { p50: send(0.5)?, p90: send(0.9)?, p99: send(0.99)? })
}
