//! Deferred rows that a wrong clock put out of reach.

use super::batch::Batch;
use super::codec::{self, number};
use super::db::past;
use super::{Error, Family, Store};
use crate::clock::Timestamp;
use crate::mail::RunId;

/// Rows moved in one write: some megabytes.
const AT_ONCE: usize = 1000;

impl Store {
    /// Gives every deferred row of `run` that is due after `beyond` the time that `new_due` has for its ordinal, and returns
    /// how many there were. `new_due` must not give a time after `beyond`. Values move as they are: the time is no part of
    /// what a row is sealed to.
    ///
    /// # Errors
    /// The store can't be read or written; a row then stands under its old time or its new one.
    pub fn reschedule(&self, run: RunId, beyond: Timestamp, new_due: impl Fn(u64) -> Timestamp) -> Result<u64, Error> {
        let mut moved = 0;
        // Nothing is due after the end of time.
        let Some(from) = beyond.0.checked_add(1).map(Timestamp) else { return Ok(0) };
        loop {
            let far = self.far(run, from)?;
            if far.is_empty() {
                return Ok(moved);
            }
            let mut batch = Batch::default();
            for (key, value) in &far {
                let ordinal = number(key, 2).unwrap_or(0);
                batch.delete(Family::Deferred, key.clone());
                // Never past the bound, or the next round would find it again.
                let due = new_due(ordinal).min(beyond);
                batch.put(Family::Deferred, codec::key(run, &[due.0, ordinal]), value.clone());
            }
            self.write(&batch, false)?;
            moved += far.len() as u64;
        }
    }

    /// Some of the rows that are due at `from` or later.
    fn far(&self, run: RunId, from: Timestamp) -> Result<Vec<Entry>, Error> {
        let mut far = Vec::new();
        let end = past(&run.octets());
        self.scan_range(Family::Deferred, &codec::key(run, &[from.0]), end, |key, value| {
            far.push((key.to_vec(), value.to_vec()));
            Ok(far.len() < AT_ONCE)
        })?;
        Ok(far)
    }
}

type Entry = (Vec<u8>, Vec<u8>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, Fields, Origin, Row};
    use crate::secret::DataKey;
    use crate::store::{Change, Settings};

    const RUN: RunId = RunId(7);

    fn defer(store: &Store, run: RunId, ordinal: u64, due: u64, key: &DataKey) {
        let to = Address::parse("ann@b.example").expect("an address");
        let fields = Fields::default();
        let first_attempt = Some(Timestamp(1));
        let row = Row { ordinal, to, fields, attempts: 1, first_attempt, doubted: false, origin: Origin::Input };
        let change = Change::Deferred { due: Timestamp(due), why: "450 4.2.1" };
        store.settle(run, &row, &change, key).expect("deferred");
    }

    fn times(store: &Store, run: RunId) -> Vec<Timestamp> {
        let mut times = Vec::new();
        store.scan_deferred(run, |when, _| times.push(when)).expect("readable");
        times
    }

    #[test]
    fn what_is_due_too_far_ahead_gets_its_new_time_and_the_rest_keeps_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, key) = (Store::open(folder.path(), &Settings::default()).expect("a store"), DataKey::new(&[9; 32]));
        let beyond = 10_000;
        defer(&store, RUN, 1, 50, &key);
        defer(&store, RUN, 2, beyond, &key);
        (3..=2503).for_each(|ordinal| defer(&store, RUN, ordinal, beyond + 1 + ordinal % 3 * 1_000_000, &key));
        defer(&store, RunId(8), 4, 9_000_000, &key);
        let again = || store.reschedule(RUN, Timestamp(beyond), |ordinal| Timestamp(100 + ordinal)).expect("moved");
        assert_eq!([again(), again()], [2501, 0]);
        let all = store.take_due(RUN, Timestamp(0), Timestamp(beyond), 10_000, &key).expect("they open").0;
        assert_eq!(all.len(), 2503);
        assert_eq!(times(&store, RunId(8)), [Timestamp(9_000_000)], "another run's row stays where it was");
    }

    #[test]
    fn a_new_time_past_the_bound_is_cut_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, key) = (Store::open(folder.path(), &Settings::default()).expect("a store"), DataKey::new(&[9; 32]));
        defer(&store, RUN, 5, u64::MAX, &key);
        assert_eq!(store.reschedule(RUN, Timestamp(7), |_| Timestamp(1_000)).expect("moved"), 1);
        assert_eq!(times(&store, RUN), [Timestamp(7)]);
    }
}
