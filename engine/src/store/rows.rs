//! Where rows stand: `outcome` and `deferred`, and how they move there.

use super::batch::Batch;
use super::codec::{self, decode_outcome, encode_backlog, encode_deferred, encode_outcome, number, split_backlog};
use super::codec::{open_row, split_deferred};
use super::db::past;
use super::{Error, Family, Store};
use crate::clock::Timestamp;
use crate::mail::{Kind, Origin, Outcome, Row, RunId};
use crate::secret::DataKey;

/// What a settled row becomes.
#[derive(Debug)]
pub enum Change<'a> {
    /// It ended.
    Ended(&'a Outcome),
    /// It waits until then.
    Deferred {
        /// Its next attempt.
        due: Timestamp,
        /// Codes and closed labels; no PHI.
        why: &'a str,
    },
}

impl Store {
    /// Replaces whatever the store holds of a row by `change`, in one write.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn settle(&self, run: RunId, row: &Row, change: &Change<'_>, key: &DataKey) -> Result<(), Error> {
        let mut batch = Batch::default();
        let lease = codec::key(run, &[row.ordinal]);
        match (change, row.first_attempt) {
            (Change::Deferred { .. }, Some(first)) if row.doubted => {
                batch.put(Family::Lease, lease, self.again_value(first))
            }
            _ => batch.delete(Family::Lease, lease),
        }
        if let Origin::Backlog { provider, turn } = row.origin {
            batch.delete(Family::Backlog, codec::key(run, &[provider, turn]));
        }
        match change {
            Change::Ended(outcome) => {
                let value = encode_outcome(outcome, run, row.ordinal, key);
                batch.put(Family::Outcome, codec::key(run, &[row.ordinal]), value);
            }
            Change::Deferred { due, why } => {
                let value = encode_deferred(row, why, run, key);
                batch.put(Family::Deferred, codec::key(run, &[due.0, row.ordinal]), value);
            }
        }
        self.write(&batch, false)
    }

    /// Writes the outcomes of rows that stand nowhere in the store (malformed, duplicate), in one write.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_outcomes(&self, run: RunId, outcomes: &[(u64, Outcome)], key: &DataKey) -> Result<(), Error> {
        let mut batch = Batch::default();
        for (ordinal, outcome) in outcomes {
            let value = encode_outcome(outcome, run, *ordinal, key);
            batch.put(Family::Outcome, codec::key(run, &[*ordinal]), value);
            batch.delete(Family::Lease, codec::key(run, &[*ordinal]));
        }
        if batch.is_empty() { Ok(()) } else { self.write(&batch, false) }
    }

    /// How a row ended, if it did.
    ///
    /// # Errors
    /// The store can't be read, or the outcome is damaged.
    pub fn outcome_kind(&self, run: RunId, ordinal: u64) -> Result<Option<Kind>, Error> {
        let Some(value) = self.read(Family::Outcome, &codec::key(run, &[ordinal]))? else { return Ok(None) };
        let outcome = decode_outcome(&value, run, ordinal, None);
        let damaged = || self.seen(Error::Damaged { family: "outcome", run, ordinal });
        outcome.map(|outcome| Some(outcome.kind)).ok_or_else(damaged)
    }

    /// How many entries `family` has of `run`.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn count(&self, family: Family, run: RunId) -> Result<u64, Error> {
        let mut count = 0;
        self.scan(family, run, |_, _| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }

    /// Every ordinal of `run` in `family`.
    ///
    /// # Errors
    /// The store can't be read, or an entry is damaged.
    pub fn ordinals(&self, family: Family, run: RunId, mut each: impl FnMut(u64)) -> Result<(), Error> {
        self.scan(family, run, |key, value| {
            let ordinal = match family {
                Family::Backlog => split_backlog(value).map(|(ordinal, _)| ordinal),
                // The last number of its keys.
                _ => number(key, key.len() / 8 - 1),
            };
            each(ordinal.ok_or(Error::Damaged { family: family.name(), run, ordinal: 0 })?);
            Ok(true)
        })
    }

    /// Every outcome of `run`, by ordinal. Texts stay sealed without `key`.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn scan_outcomes(
        &self,
        run: RunId,
        key: Option<&DataKey>,
        mut each: impl FnMut(u64, Outcome),
    ) -> Result<(), Error> {
        self.scan(Family::Outcome, run, |place, value| {
            let ordinal = number(place, 1).unwrap_or(0);
            let outcome = decode_outcome(value, run, ordinal, key);
            each(ordinal, outcome.ok_or(Error::Damaged { family: "outcome", run, ordinal })?);
            Ok(true)
        })
    }

    /// Moves up to `most` rows that are due at `now` from `deferred` to `backlog` and returns them, the longest due first.
    /// None may be due before `from`; the second value is the next such bound. They stand there without a
    /// provider, since nobody has looked for their route yet.
    ///
    /// # Errors
    /// The store can't be read or written, or a row does not open.
    pub fn take_due(
        &self,
        run: RunId,
        from: Timestamp,
        now: Timestamp,
        most: usize,
        key: &DataKey,
    ) -> Result<(Vec<Row>, Timestamp), Error> {
        let mut due = Vec::new();
        let mut next = now;
        // Seeking past what was taken spares the iterator its tombstones.
        let end = past(&run.octets());
        self.scan_range(Family::Deferred, &codec::key(run, &[from.0]), end, |place, value| {
            let when = number(place, 1).unwrap_or(0);
            if due.len() == most || when > now.0 {
                next = next.min(Timestamp(when));
                return Ok(false);
            }
            due.push((place.to_vec(), deferred(run, place, value, key)?));
            Ok(true)
        })?;
        let (mut batch, mut rows) = (Batch::default(), Vec::with_capacity(due.len()));
        let first = self.turns(due.len() as u64);
        for (turn, (place, mut row)) in (first..).zip(due) {
            row.origin = Origin::Backlog { provider: 0, turn };
            batch.delete(Family::Deferred, place);
            batch.put(Family::Backlog, codec::key(run, &[0, turn]), encode_backlog(&row, run, key));
            rows.push(row);
        }
        if !rows.is_empty() {
            self.write(&batch, false)?;
        }
        Ok((rows, next))
    }

    /// Every deferred row of `run`: when it is due, and why it waits.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn scan_deferred(&self, run: RunId, mut each: impl FnMut(Timestamp, &str)) -> Result<(), Error> {
        self.scan(Family::Deferred, run, |place, value| {
            let ordinal = number(place, 2).unwrap_or(0);
            let (why, _) = split_deferred(value).ok_or(Error::Damaged { family: "deferred", run, ordinal })?;
            each(Timestamp(number(place, 1).unwrap_or(0)), why);
            Ok(true)
        })
    }
}

fn deferred(run: RunId, place: &[u8], value: &[u8], key: &DataKey) -> Result<Row, Error> {
    let ordinal = number(place, 2).unwrap_or(0);
    split_deferred(value)
        .and_then(|(_, sealed)| open_row(sealed, "deferred", run, ordinal, Origin::Input, key))
        .ok_or(Error::Damaged { family: "deferred", run, ordinal })
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::mail::{Address, Fields};

    const RUN: RunId = RunId(7);

    fn a_row(ordinal: u64) -> Row {
        let to = Address::parse("ann@b.example").expect("an address");
        Row {
            ordinal,
            to,
            fields: Fields::default(),
            attempts: 1,
            first_attempt: Some(Timestamp(1)),
            doubted: false,
            origin: Origin::Input,
        }
    }

    #[test]
    fn a_row_stands_in_one_place() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let key = DataKey::new(&[9; 32]);
        let counts = |store: &Store| {
            [Family::Outcome, Family::Deferred, Family::Backlog, Family::Lease]
                .map(|family| store.count(family, RUN).expect("count"))
        };
        store.start(&super::super::Leave::of(RUN, &a_row(5), Timestamp(1)), Timestamp(2)).expect("started");
        store
            .settle(RUN, &a_row(5), &Change::Deferred { due: Timestamp(100), why: "450 4.2.1" }, &key)
            .expect("deferred");
        assert_eq!(counts(&store), [0, 1, 0, 0]);
        let due = |from, now| store.take_due(RUN, Timestamp(from), Timestamp(now), 10, &key).expect("readable");
        assert!(due(0, 99).0.is_empty());
        assert!(due(101, 200).0.is_empty(), "the search begins where it is told to");
        let (rows, next) = due(99, 150);
        assert_eq!(next, Timestamp(150));
        assert_eq!(counts(&store), [0, 0, 1, 0]);
        assert!(matches!(rows[0].origin, Origin::Backlog { provider: 0, .. }));
        let mut ordinals = Vec::new();
        store.ordinals(Family::Backlog, RUN, |ordinal| ordinals.push(ordinal)).expect("readable");
        assert_eq!(ordinals, [5], "also where the key does not say");
        assert_eq!(store.outcome_kind(RUN, 5).expect("readable"), None);
        let outcome = Outcome::new(Kind::Delivered, Timestamp(101), 2, "");
        store.settle(RUN, &rows[0], &Change::Ended(&outcome), &key).expect("ended");
        assert_eq!(counts(&store), [1, 0, 0, 0]);
        assert_eq!(store.outcome_kind(RUN, 5).expect("readable"), Some(Kind::Delivered));
        assert_eq!(store.count(Family::Outcome, RunId(8)).expect("another run"), 0);
    }

    #[test]
    fn an_observer_sees_what_the_engine_writes() {
        let folder = tempfile::tempdir().expect("folder");
        let scratch = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let key = DataKey::new(&[9; 32]);
        store
            .put_outcomes(RUN, &[(1, Outcome::new(Kind::Invalid, Timestamp(1), 0, "address"))], &key)
            .expect("written");
        let observer = Store::observe(folder.path(), scratch.path()).expect("an observer");
        assert_eq!(observer.count(Family::Outcome, RUN).expect("count"), 1);
    }
}
