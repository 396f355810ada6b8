//! What puts rows before the shards: the reader (new rows) and the retry thread (rows due again).

use super::recovery::Known;
use super::{Blueprint, Error};
use crate::clock::Timestamp;
use crate::gate::Verdict;
use crate::mail::{Origin, Outcome, Row, RunId};
use crate::metrics::{Metrics, Stage};
use crate::queue::Run;
use crate::store::{Manifest, Store};
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
        save: impl Fn(u64),
    ) -> Result<ReadTo, Error> {
        let mut gate = blueprint.gate();
        let mut room = limit.unwrap_or(u64::MAX);
        while let Some(batch) = self.metrics.time(Stage::Load, || blueprint.next_batch()) {
            let batch = batch?;
            let verdicts = self.metrics.time(Stage::Gate, || gate.judge(&batch, self.run.settle.now()));
            let Sorted { admitted, refused, read } = sort(verdicts, known, &mut room);
            if let Some(read) = read {
                self.run.settle.refuse(&refused, read);
                save(read);
            }
            for mut row in admitted {
                if self.stopping() {
                    return Ok(ReadTo::Somewhere);
                }
                row.first_attempt = again.get(&row.ordinal).copied();
                self.run.settle.take_in_hand();
                self.pass_on(row);
            }
            let last = batch.first + batch.len() as u64 - 1;
            if self.stopping() || read != Some(last) {
                return Ok(ReadTo::Somewhere);
            }
        }
        Ok(ReadTo::End)
    }

    /// Takes up rows when they are due, until it is told to stop. `left_over` are rows that were due when the last engine
    /// died; they are in hand.
    pub(super) fn retry(&self, left_over: Vec<Row>) {
        for row in left_over {
            self.pass_on(row);
        }
        while !self.stopping() {
            let due = self.run.settle.take_due(DUE_AT_ONCE, provider);
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

/// Where a due row stands in the backlog: a row that was never routed has no provider yet.
fn provider(row: &Row) -> u64 {
    match row.origin {
        Origin::Backlog(provider) => provider,
        Origin::Input => 0,
    }
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
pub(super) fn save(store: &Store, run: RunId, manifest: &Manifest, read: u64) {
    let manifest = Manifest { read: manifest.read.max(read), ..manifest.clone() };
    if let Err(error) = store.put_manifest(run, &manifest, false) {
        tracing::error!(%error, "can't write how far the input was read");
    }
}
