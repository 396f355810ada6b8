//! What puts rows before the shards: the reader (new rows) and the retry thread (rows due again).

use super::recovery::Known;
use super::{Blueprint, Error};
use crate::clock::Timestamp;
use crate::gate::Verdict;
use crate::mail::{Outcome, Row, RunId};
use crate::metrics::{Metrics, Stage};
use crate::queue::Run;
use crate::store::{Manifest, Store};
use loader::{Mark, Watched};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// The way to the router.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) run: Arc<Run>,
    pub(super) router: mpsc::Sender<Row>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: Arc<AtomicBool>,
}

/// How often rows that are due are looked for.
const TICK: Duration = Duration::from_millis(100);
/// Rows taken up at once: what the shards can hold is bounded by their channels, not by this.
const DUE_AT_ONCE: usize = 256;

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

    /// Reads the whole input, or until it is told to stop or has taken up `limit` rows. Rows that are `known` to the store
    /// are passed over; rows in `again` keep the time of their first attempt. `save` is told how far it came.
    pub(super) fn read(
        &self,
        mut blueprint: Blueprint,
        known: &Known,
        again: &BTreeMap<u64, Timestamp>,
        limit: Option<u64>,
        save: impl Fn(u64, Mark),
    ) -> Result<ReadTo, Error> {
        let mut gate = blueprint.gate();
        let mut room = limit.unwrap_or(u64::MAX);
        // What is new among rows of a stream that may be another than it seems: bounded by what the last engine held.
        let mut unproven = Vec::new();
        let mut last = 0;
        while let Some(batch) = self.metrics.time(Stage::Load, || blueprint.next_batch()) {
            let batch = batch?;
            let verdicts = self.metrics.time(Stage::Gate, || gate.judge(&batch, self.run.settle.now()));
            let sorted = sort(verdicts, known, &mut room);
            last = batch.first + batch.len() as u64 - 1;
            let whole = sorted.read == Some(last);
            unproven.push(sorted);
            match blueprint.watched() {
                Watched::Same => {
                    unproven.drain(..).for_each(|sorted| self.admit(sorted, again, &save, blueprint.mark()))
                }
                Watched::NotYet => {}
                Watched::Differs => return Err(another(&blueprint)),
            }
            // A stream must be read as far as the mark, or what was taken of it could never be proven.
            let proven = blueprint.watched() != Watched::NotYet;
            if self.stopping() || (!whole && proven) {
                return Ok(ReadTo::Somewhere);
            }
        }
        if !unproven.is_empty() {
            return Err(another(&blueprint));
        }
        // The last octets of a file are past its last row.
        save(last, blueprint.mark());
        Ok(ReadTo::End)
    }

    /// Records what the gate refused of a batch and passes the others on, as long as it is not told to stop.
    fn admit(&self, sorted: Sorted, again: &BTreeMap<u64, Timestamp>, save: &impl Fn(u64, Mark), mark: Mark) {
        if let Some(read) = sorted.read {
            // First: an outcome whose octets no mark vouches for could be taken for another input's.
            save(read, mark);
            self.run.settle.refuse(&sorted.refused, read);
        }
        for mut row in sorted.admitted {
            if self.stopping() {
                return;
            }
            row.first_attempt = again.get(&row.ordinal).copied();
            self.run.settle.take_in_hand();
            self.pass_on(row);
        }
    }

    /// Takes up rows when they are due, until it is told to stop. `left_over` are rows that were due when the last engine
    /// died; they are in hand.
    pub(super) fn retry(&self, left_over: Vec<Row>) {
        for row in left_over {
            self.pass_on(row);
        }
        while !self.stopping() {
            let due = self.run.settle.take_due(DUE_AT_ONCE);
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

/// Takes verdicts until `room` rows were admitted; rows that the store knows are passed over.
fn sort(verdicts: Vec<Verdict>, known: &Known, room: &mut u64) -> Sorted {
    let mut sorted = Sorted { admitted: Vec::new(), refused: Vec::new(), read: None };
    for verdict in verdicts {
        if *room == 0 {
            break;
        }
        match verdict {
            Verdict::Refused(ordinal, outcome) => {
                sorted.read = Some(ordinal);
                if !known.contains(ordinal) {
                    sorted.refused.push((ordinal, outcome));
                }
            }
            Verdict::Admitted(row) => {
                sorted.read = Some(row.ordinal);
                if !known.contains(row.ordinal) {
                    *room -= 1;
                    sorted.admitted.push(row);
                }
            }
        }
    }
    sorted
}

/// Writes how far the input was read. Not synced: after a crash the reader reads again, and the store knows better.
pub(super) fn save(store: &Store, run: RunId, manifest: &Manifest, read: u64, mark: Mark) {
    // A run that is taken up again reads from the start: what was once read stays so.
    let mark = manifest.mark.filter(|before| before.octets > mark.octets).unwrap_or(mark);
    let manifest = Manifest { read: manifest.read.max(read), mark: Some(mark), ..manifest.clone() };
    if let Err(error) = store.put_manifest(run, &manifest, false) {
        tracing::error!(%error, "can't write how far the input was read");
    }
}
