//! Rows counted by where they stand.

use super::{Family, Manifest, Store};
use crate::mail::{Kind, RunId};
use std::collections::BTreeMap;

/// A run's rows, counted. `read` is always the sum of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows read from the input.
    pub read: u64,
    /// Rows by outcome.
    pub ended: BTreeMap<Kind, u64>,
    /// Rows that wait for a time.
    pub deferred: u64,
    /// Rows that wait for nothing but their turn.
    pub waiting: u64,
}

impl Tally {
    /// Counts what the store holds of `run`. Unless an engine is at work on it (`live`), rows are in doubt that were started,
    /// or leased before the machine was started last; all other leased rows wait.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn of(store: &Store, run: RunId, manifest: &Manifest, live: bool) -> Result<Tally, super::Error> {
        let mut tally = Tally { read: manifest.read, ..Tally::default() };
        let mut highest = 0;
        store.scan_outcomes(run, None, |ordinal, outcome| {
            *tally.ended.entry(outcome.kind).or_default() += 1;
            highest = highest.max(ordinal);
        })?;
        tally.deferred = store.count(Family::Deferred, run)?;
        for lease in store.leases(run)? {
            highest = highest.max(lease.ordinal);
            if !live && lease.is_doubtful(store.boot()) {
                *tally.ended.entry(Kind::InDoubt).or_default() += 1;
            }
        }
        tally.read = tally.read.max(highest);
        tally.waiting = tally.read.saturating_sub(tally.ended() + tally.deferred);
        Ok(tally)
    }

    /// Rows that ended as `kind`.
    pub fn count(&self, kind: Kind) -> u64 {
        self.ended.get(&kind).copied().unwrap_or(0)
    }

    /// Rows that ended.
    pub fn ended(&self) -> u64 {
        self.ended.values().sum()
    }

    /// Rows that are still to be sent.
    pub fn left(&self) -> u64 {
        self.waiting + self.deferred
    }
}
