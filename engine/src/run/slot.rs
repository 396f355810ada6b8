//! A run in the engine, from its opening to its end.

use super::Error;
use super::engine::{Engine, WIND_DOWN};
use super::feed::ReadTo;
use super::feeders::Feeders;
use super::record::Record;
use crate::clock::{Recent, Timestamp};
use crate::control::{Refusal, RunState, RunView};
use crate::mail::{Kind, RunId};
use crate::metrics::{Metrics, Stage};
use crate::queue::{Room, Run};
use crate::secret::DataKey;
use crate::store::{HeldProvider, Latency, Manifest, Store, Tally};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A run that this engine opened.
pub(super) enum Slot {
    /// It is at work.
    Open(Box<OpenRun>),
    /// Its end is being written down.
    Ending(Box<RunView>),
    /// It is over, for this engine.
    Over(Box<RunView>),
}

/// A run at work.
pub(super) struct OpenRun {
    pub(super) shared: Arc<Run>,
    pub(super) record: Arc<Record>,
    pub(super) key: Arc<DataKey>,
    pub(super) feeders: Feeders,
    pub(super) before: Tally,
    pub(super) rows: Option<u64>,
    pub(super) in_doubt: usize,
    pub(super) until_empty: bool,
    pub(super) deadline: Option<Timestamp>,
    pub(super) since: Instant,
    pub(super) leaving: Option<Instant>,
    /// Since when messages on a wire have only so much time.
    pub(super) hurried: Option<Instant>,
    pub(super) cancelled: bool,
    pub(super) failed: Option<String>,
    /// Nothing of it was left that could be sent.
    pub(super) rested: bool,
    pub(super) recent: Recent,
}

/// How long the reader may take to notice a stop: it may be waiting for a pipe that says nothing.
const READER_LEAVES: Duration = Duration::from_secs(2);
/// How long what was broken off may take to be settled.
const LAST_MOMENT: Duration = Duration::from_secs(1);

impl Slot {
    /// The run's view now.
    pub(super) fn view(&mut self, now: Timestamp) -> RunView {
        match self {
            Slot::Open(open) => open.view(now),
            Slot::Ending(view) | Slot::Over(view) => (**view).clone(),
        }
    }

    /// Whether nothing more is done for it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Slot::Over(_))
    }

    /// Lets it go.
    pub(super) fn leave(&mut self) {
        if let Slot::Open(open) = self {
            open.leave();
        }
    }

    /// Its room, while it is at work.
    pub(super) fn room(&self) -> Option<Arc<Room>> {
        match self {
            Slot::Open(open) => Some(open.shared.room.clone()),
            _ => None,
        }
    }

    /// The run itself, to be ended.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Box<OpenRun>> {
        let view = Box::new(self.view(now));
        match std::mem::replace(self, Slot::Ending(view)) {
            Slot::Open(open) => Some(open),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl OpenRun {
    /// The run's name.
    pub(super) fn id(&self) -> RunId {
        self.shared.id
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// A part of the engine failed: the run can't go on.
    pub(super) fn fail(&mut self, why: &str) {
        self.failed.get_or_insert_with(|| why.to_owned());
    }

    /// Whether everything that can be done is done, or it must stop.
    pub(super) fn wants_to_leave(&mut self, now: Timestamp, draining: bool) -> bool {
        let settle = &self.shared.settle;
        if self.failed.is_some() || self.feeders.are_broken() || settle.fault().is_some() || settle.is_braked() {
            return true;
        }
        if draining {
            self.feeders.halt();
        }
        // Also where the input broke off: what was read of it is still sent.
        let read = self.feeders.read().is_some();
        let settle = &self.shared.settle;
        self.rested = read && settle.is_at_rest();
        // What waits for tomorrow is like what is deferred: there is nothing to be done for it now.
        let tomorrow = self.shared.tomorrow.load(Ordering::SeqCst);
        let done = if self.until_empty || draining { settle.is_idle_but_for(tomorrow) } else { settle.is_at_rest() };
        (read && done) || self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Lets go of every row that is not on a wire.
    pub(super) fn leave(&mut self) {
        self.leaving.get_or_insert_with(Instant::now);
        self.shared.hold.leave();
        self.feeders.stop();
    }

    /// Messages on a wire have 20 seconds once the engine stops or the deadline has come: a server that says nothing must not
    /// hold up either for its ten minutes. `true` when that time is just over, which shards are to be told.
    pub(super) fn hurry(&mut self, now: Timestamp, stopping: bool) -> bool {
        let hurried = stopping || self.deadline.is_some_and(|deadline| now >= deadline);
        if !self.is_leaving() || !hurried {
            return false;
        }
        let since = *self.hurried.get_or_insert_with(Instant::now);
        since.elapsed() >= WIND_DOWN && self.shared.hold.break_off()
    }

    /// Whether nothing of it is left in memory or on a wire, or too long was waited for that.
    pub(super) fn has_left(&mut self, stopping: bool) -> bool {
        let Some(since) = self.leaving else { return false };
        let patient = since.elapsed() < READER_LEAVES;
        let gone = self.shared.settle.is_idle() && self.feeders.have_ended(patient);
        // What was broken off is settled at once, unless the disk is stuck.
        let stuck = self.hurried.is_some_and(|since| since.elapsed() >= WIND_DOWN + LAST_MOMENT);
        gone || (stopping && stuck)
    }

    /// Providers that its brakes have come to hold since they were last written down, and where to.
    pub(super) fn newly_held(&self) -> Option<(Arc<Record>, Vec<HeldProvider>)> {
        let held = Some(self.shared.settle.held()).filter(|held| !held.is_empty())?;
        (held.len() > self.record.manifest().held_providers.len()).then(|| (self.record.clone(), held))
    }

    /// Remembers how many messages were delivered by now.
    pub(super) fn note(&mut self, now: Timestamp) {
        let delivered = self.shared.settle.tally().count(Kind::Delivered);
        self.recent.note(now, delivered);
    }

    /// How it stands.
    pub(super) fn view(&mut self, now: Timestamp) -> RunView {
        // One that leaves because its deadline has come was not resumed.
        let state = if self.shared.hold.is_paused() { RunState::Paused } else { RunState::Running };
        let broke = self.feeders.read().and_then(|read| read.as_ref().err().map(ToString::to_string));
        let read_to_end = matches!(self.feeders.read(), Some(Ok(ReadTo::End)));
        let tally = self.shared.settle.tally();
        let manifest = self.record.manifest();
        let mut view = RunView::at_rest(self.id(), &manifest, &tally, state);
        view.rows = self.rows.or_else(|| read_to_end.then_some(tally.read));
        view.read_all |= read_to_end;
        view.found_in_doubt = self.in_doubt as u64;
        view.input_broke = broke;
        view.seconds = self.since.elapsed().as_secs_f64();
        view.delivered_now = tally.count(Kind::Delivered).saturating_sub(self.before.count(Kind::Delivered));
        view.canaries = self.shared.settle.canaries();
        view.tomorrow = self.shared.tomorrow.load(Ordering::SeqCst);
        view.recent = self.recent.per_second(now, tally.count(Kind::Delivered));
        view
    }

    /// Writes down how it ended, or how far it came. Nothing of it is in memory any more.
    pub(super) fn end(mut self, engine: &Engine, now: Timestamp) -> RunView {
        let mut last = self.view(now);
        let all_settled = self.shared.settle.is_idle();
        let (run, fault) = (self.id(), self.shared.settle.fault().or(self.failed.take()));
        let delivered_before = self.before.count(Kind::Delivered);
        let (record, key, seconds, cancelled) = (self.record, self.key, last.seconds, self.cancelled);
        let (tally, read) = (self.shared.settle.tally(), self.feeders.into_read());
        let braked = self.shared.settle.braked(self.rested && tally.left() > 0);
        let write = || -> Result<(Manifest, Tally), Error> {
            if let Some(braked) = braked {
                record.change(true, |manifest| manifest.braked = Some(braked))?;
            }
            let end = End { store: &engine.store, metrics: &engine.metrics, run, now };
            if cancelled {
                end.cancel_rest(&record, &key, tally.read)?;
            }
            let tally = if all_settled && !cancelled { tally } else { end.recount(&record, tally.read)? };
            let manifest =
                end.write(&record, &tally, matches!(read, Ok(ReadTo::End)), seconds, cancelled, all_settled)?;
            Ok((manifest, tally))
        };
        match write() {
            Ok((manifest, tally)) => {
                engine.count_braked();
                let mut ended = RunView::at_rest(run, &manifest, &tally, state_here(&manifest));
                ended.delivered_now = tally.count(Kind::Delivered).saturating_sub(delivered_before);
                last = RunView { rows: last.rows, found_in_doubt: last.found_in_doubt, seconds, ..ended };
            }
            Err(error) => {
                last.state = RunState::Stopped;
                last.failed = Some(error.into());
            }
        }
        last.failed =
            fault.map(|fault| Error::Internal(fault).into()).or(last.failed).or(read.err().map(Refusal::from));
        last
    }
}

/// What the end of a run needs.
struct End<'a> {
    store: &'a Store,
    metrics: &'a Metrics,
    run: RunId,
    now: Timestamp,
}

impl End<'_> {
    /// Every row that was read and has not ended is cancelled.
    fn cancel_rest(&self, record: &Record, key: &DataKey, read: u64) -> Result<u64, Error> {
        record.change(true, |manifest| {
            manifest.read = manifest.read.max(read);
            manifest.cancelled = manifest.cancelled.or(Some(self.now));
        })?;
        super::offline::cancel_rest(self.store, self.run, key, read, self.now)
    }

    /// The counts as the store has them: messages may still be on a wire, and these are in doubt.
    fn recount(&self, record: &Record, read: u64) -> Result<Tally, Error> {
        let manifest = Manifest { read: record.manifest().read.max(read), ..record.manifest() };
        Ok(Tally::of(self.store, self.run, &manifest, false)?)
    }

    fn write(
        &self,
        record: &Record,
        tally: &Tally,
        read_all: bool,
        seconds: f64,
        cancelled: bool,
        all_settled: bool,
    ) -> Result<Manifest, Error> {
        if all_settled {
            // Rows that were leased and let go were not sent: power loss must not make doubt of them.
            self.forget_leased()?;
        }
        let latency = latency(self.metrics);
        let manifest = self.metrics.time(Stage::Sync, || {
            record.change(true, |manifest| {
                manifest.read = manifest.read.max(tally.read);
                manifest.read_all |= read_all;
                manifest.seconds += seconds;
                manifest.latency = latency.or(manifest.latency);
                if all_settled && (cancelled || (manifest.read_all && tally.left() == 0)) {
                    manifest.finished = Some(self.now);
                    manifest.braked = None;
                }
            })
        })?;
        if manifest.finished.is_some() && all_settled && !cancelled {
            self.store.clear(self.run)?;
        }
        Ok(manifest)
    }

    fn forget_leased(&self) -> Result<(), Error> {
        let leased = self.store.leases(self.run)?.into_iter().filter(|lease| lease.hold == crate::store::Hold::Leased);
        Ok(self.store.forget_leases(self.run, leased)?)
    }
}

/// The same, for an engine that has just ended it: one that is paused is left for later like any other.
fn state_here(manifest: &Manifest) -> RunState {
    match state_of(manifest) {
        RunState::Paused => RunState::Stopped,
        other => other,
    }
}

/// What a manifest says of a run that nobody is at work on.
pub(super) fn state_of(manifest: &Manifest) -> RunState {
    match (manifest.cancelled, manifest.finished, manifest.paused) {
        (Some(_), ..) => RunState::Cancelled,
        (None, Some(_), _) => RunState::Finished,
        _ if manifest.braked.is_some() => RunState::Braked,
        (None, None, true) => RunState::Paused,
        (None, None, false) => RunState::Stopped,
    }
}

fn latency(metrics: &Metrics) -> Option<Latency> {
    let send = |q| metrics.quantile(Stage::Send, q);
    Some(Latency { p50: send(0.5)?, p90: send(0.9)?, p99: send(0.99)? })
}
