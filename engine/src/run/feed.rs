//! What puts rows before the shards: the reader (new rows) and the retry thread (rows due again).

use super::record::Record;
use super::recovery::Known;
use super::{Blueprint, Error};
use crate::clock::Timestamp;
use crate::gate::{Gate, Verdict};
use crate::mail::{Kind, Outcome, Row};
use crate::metrics::{Metrics, Stage};
use crate::queue::Run;
use crate::secret::DataKey;
use crate::store::Store;
use loader::{Batch, Mark, Watched};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// What feeds a run, and the way to its router.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) run: Arc<Run>,
    pub(super) store: Arc<Store>,
    pub(super) key: Arc<DataKey>,
    pub(super) router: mpsc::Sender<Row>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) record: Arc<Record>,
    pub(super) stop: Arc<AtomicBool>,
}

/// What is read, and how far.
pub(super) struct Scope {
    pub(super) blueprint: Blueprint,
    pub(super) gate: Gate,
    pub(super) known: Known,
    pub(super) limit: Option<u64>,
}

/// How often rows that are due are looked for.
const TICK: Duration = Duration::from_millis(100);
/// Rows taken up at once: what the shards can hold is bounded by the run's room, not by this.
const AT_ONCE: usize = 256;

/// How the reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadTo {
    /// The input's end.
    End,
    /// `--limit`, or a stop.
    Somewhere,
}

impl Feed {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.run.settle.fault().is_some()
    }

    /// Passes on what the last engine left in the backlog, before anything new: a site gets its rows in the order in which
    /// they came.
    pub(super) fn left_over(&self, horizon: u64, again: &BTreeMap<u64, Timestamp>) -> Result<(), Error> {
        let mut after = None;
        while !self.stopping() {
            let rows = self.store.backlog_from(self.run.id, after, AT_ONCE, &self.key)?;
            let Some(last) = rows.last() else { break };
            after = last.origin.place();
            // What this engine has put there since is in its lanes.
            for mut row in rows.into_iter().filter(|row| row.origin.place().is_some_and(|(_, turn)| turn < horizon)) {
                if self.stopping() {
                    return Ok(());
                }
                row.doubted |= again.contains_key(&row.ordinal);
                self.run.settle.take_in_hand();
                self.pass_on(row);
            }
        }
        Ok(())
    }

    /// Reads the whole input, or until it is told to stop or has taken up as many rows as it may. Rows in `again` keep the
    /// time of their first attempt.
    pub(super) fn read(&self, scope: Scope, again: &BTreeMap<u64, Timestamp>) -> Result<ReadTo, Error> {
        let Scope { mut blueprint, mut gate, known, limit } = scope;
        let mut room = limit.unwrap_or(u64::MAX);
        // Batches of a stream that may be another than it seems: bounded by what the last engine held.
        let mut unproven = Vec::new();
        let mut last = 0;
        while let Some(batch) = self.metrics.time(Stage::Load, || blueprint.next_batch()) {
            let batch = batch?;
            last = batch.first + batch.len() as u64 - 1;
            unproven.push(batch);
            match blueprint.watched() {
                Watched::Same => {}
                // It must be read as far as the mark, or what was taken of it could never be proven.
                Watched::NotYet => continue,
                Watched::Differs => return Err(another(&blueprint)),
            }
            for batch in unproven.drain(..) {
                let judge = || self.judge(&mut gate, &batch, &known, &mut room);
                let sorted = self.metrics.time(Stage::Gate, judge)?;
                let whole = sorted.read == Some(batch.first + batch.len() as u64 - 1);
                self.admit(sorted, again, blueprint.mark());
                if self.stopping() || !whole {
                    return Ok(ReadTo::Somewhere);
                }
            }
        }
        if !unproven.is_empty() {
            return Err(another(&blueprint));
        }
        // The last octets of a file are past its last row.
        self.record.read_to(last, blueprint.mark());
        Ok(ReadTo::End)
    }

    /// Judges a batch until `room` rows were admitted.
    fn judge(&self, gate: &mut Gate, batch: &Batch, known: &Known, room: &mut u64) -> Result<Sorted, Error> {
        let mut sorted = Sorted { admitted: Vec::new(), refused: Vec::new(), read: None };
        let (mut next, now) = (0, self.run.settle.now());
        while next < batch.len() && *room > 0 {
            // No more than can be admitted: a key must not be taken for a row that stays unread.
            let end = batch.len().min(next.saturating_add(usize::try_from(*room).unwrap_or(usize::MAX)));
            let verdicts = gate.judge(batch, next..end, now, |ordinal| known.contains(ordinal))?;
            verdicts.into_iter().for_each(|verdict| sorted.add(verdict, room));
            next = end;
        }
        Ok(sorted)
    }

    /// Records what the gate refused of a batch and passes the others on, as long as it is not told to stop.
    fn admit(&self, mut sorted: Sorted, again: &BTreeMap<u64, Timestamp>, mark: Mark) {
        if self.stopping() {
            return;
        }
        if self.record.manifest().copied {
            self.doubt(&mut sorted, again);
        }
        if let Some(read) = sorted.read {
            // First: an outcome whose octets no mark vouches for could be taken for another input's.
            self.record.read_to(read, mark);
            self.run.settle.refuse(&sorted.refused, read);
        }
        for mut row in sorted.admitted {
            if self.stopping() {
                return;
            }
            row.first_attempt = again.get(&row.ordinal).copied();
            row.doubted = row.first_attempt.is_some();
            self.run.settle.take_in_hand();
            self.pass_on(row);
        }
    }

    /// Rows of a run that was open when the state directory was copied: the original may have sent them, unless a person
    /// wants them sent again.
    fn doubt(&self, sorted: &mut Sorted, again: &BTreeMap<u64, Timestamp>) {
        let now = self.run.settle.now();
        let doubt = |row: Row| (row.ordinal, Outcome::new(Kind::InDoubt, now, 0, "state_copied"));
        let doubted = sorted.admitted.extract_if(.., |row| !again.contains_key(&row.ordinal));
        sorted.refused.extend(doubted.map(doubt));
    }

    /// Takes up rows when they are due, until it is told to stop.
    pub(super) fn retry(&self) {
        while !self.stopping() {
            let due = if self.run.hold.is_paused() { Vec::new() } else { self.run.settle.take_due(AT_ONCE) };
            let idle = due.is_empty();
            for row in due {
                self.pass_on(row);
            }
            if idle {
                std::thread::sleep(TICK);
            }
        }
    }

    /// Hands a row to the router; waits while it has no room. The row is in hand.
    fn pass_on(&self, row: Row) {
        if self.router.blocking_send(row).is_err() {
            self.run.settle.let_go();
        }
    }
}

fn another(blueprint: &Blueprint) -> Error {
    Error::AnotherStream { run: blueprint.run(), finished: false }
}

/// A batch past the gate.
struct Sorted {
    admitted: Vec<Row>,
    refused: Vec<(u64, Outcome)>,
    /// The last row looked at, unless there was no room for any.
    read: Option<u64>,
}

impl Sorted {
    fn add(&mut self, verdict: Verdict, room: &mut u64) {
        match verdict {
            Verdict::Known(ordinal) => self.read = Some(ordinal),
            Verdict::Refused(ordinal, outcome) => {
                self.read = Some(ordinal);
                self.refused.push((ordinal, outcome));
            }
            Verdict::Admitted(row) => {
                self.read = Some(row.ordinal);
                *room -= 1;
                self.admitted.push(row);
            }
        }
    }
}
