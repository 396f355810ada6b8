//! Takes up a run where it stopped.

use crate::clock::Timestamp;
use crate::mail::{Kind, Outcome, Row, RunId};
use crate::secret::DataKey;
use crate::store::{Change, Error, Family, Lease, Store};
use std::collections::BTreeMap;

/// Which rows of the input are not to be taken up again: a bit a row, so that ten million cost 1.2 MB.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<u64>);

impl Known {
    pub(super) fn contains(&self, ordinal: u64) -> bool {
        let (word, bit) = place(ordinal);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn insert(&mut self, ordinal: u64) {
        let (word, bit) = place(ordinal);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }
}

fn place(ordinal: u64) -> (usize, u64) {
    (usize::try_from(ordinal / 64).expect("row numbers fit memory"), 1 << (ordinal % 64))
}

/// What the last engine left open.
pub(super) struct LeftOver {
    /// Rows that were due when it died.
    pub(super) backlog: Vec<Row>,
    /// Rows of the input that go out again, with the time of their first attempt: their `Date` and lifetime stay.
    pub(super) again: BTreeMap<u64, Timestamp>,
    /// How many rows were in doubt.
    pub(super) in_doubt: usize,
}

/// Settles doubt: rows that may have been sent and have no outcome are recorded so (`hold`), or their leases are forgotten and
/// they go out again under the same Message-ID (`resend`).
pub(super) fn take_up(
    store: &Store,
    run: RunId,
    key: &DataKey,
    resend: bool,
    now: Timestamp,
) -> Result<LeftOver, Error> {
    let leases = store.leases(run)?;
    let first = |leases: &[Lease]| leases.iter().map(|lease| (lease.ordinal, lease.first)).collect();
    let (doubtful, others): (Vec<_>, Vec<_>) = leases.into_iter().partition(|lease| lease.is_doubtful(store.boot()));
    let (started, mut again): (BTreeMap<_, _>, BTreeMap<_, _>) = (first(&doubtful), first(&others));
    store.forget_leases(run, again.keys().copied())?;
    let mut backlog = store.backlog_from(run, None, usize::MAX, key)?;
    let in_doubt = started.len();
    if resend {
        store.forget_leases(run, started.keys().copied())?;
        again.extend(started);
        return Ok(LeftOver { backlog, again, in_doubt });
    }
    let outcome = |attempts| Outcome::new(Kind::InDoubt, now, attempts + 1, "engine_died");
    for row in backlog.extract_if(.., |row| started.contains_key(&row.ordinal)) {
        store.settle(run, &row, &Change::Ended(&outcome(row.attempts)), key)?;
    }
    let fresh = store.leases(run)?.into_iter().map(|lease| (lease.ordinal, outcome(0))).collect::<Vec<_>>();
    store.put_outcomes(run, &fresh, key)?;
    Ok(LeftOver { backlog, again, in_doubt })
}

/// The rows that have an outcome or stand in the store.
pub(super) fn known(store: &Store, run: RunId) -> Result<Known, Error> {
    let mut known = Known::default();
    for family in [Family::Outcome, Family::Deferred, Family::Backlog] {
        store.ordinals(family, run, |ordinal| known.insert(ordinal))?;
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits() {
        let mut known = Known::default();
        for ordinal in [1, 63, 64, 65, 10_000] {
            assert!(!known.contains(ordinal));
            known.insert(ordinal);
            assert!(known.contains(ordinal));
        }
        assert!(!known.contains(2) && !known.contains(1_000_000));
    }
}
