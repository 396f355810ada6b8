//! Where rows stand: `lease`, `outcome`, `deferred`, `backlog`, and how they move between them.

use super::codec::{self, VERSION, decode_outcome, decode_row, encode_outcome, encode_row, number, split_row};
use super::{Error, Family, Store};
use crate::clock::Timestamp;
use crate::mail::{Origin, Outcome, Row, RunId};
use crate::secret::DataKey;
use rocksdb::WriteBatch;
use std::collections::BTreeMap;

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
    /// Marks that the last octets of this row's message are about to be handed to the socket.
    ///
    /// # Errors
    /// The store can't be written; the message must not be sent then.
    pub fn put_started(&self, run: RunId, row: &Row, now: Timestamp) -> Result<(), Error> {
        let first = row.first_attempt.unwrap_or(now);
        let value = [&[VERSION], now.0.to_be_bytes().as_slice(), &first.0.to_be_bytes(), &self.boot].concat();
        Ok(self.db.put_cf(self.family(Family::Lease), codec::key(run, &[row.ordinal]), value)?)
    }

    /// Replaces whatever the store holds of a row by `change`, in one write.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn settle(&self, run: RunId, row: &Row, change: &Change<'_>, key: &DataKey) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        batch.delete_cf(self.family(Family::Lease), codec::key(run, &[row.ordinal]));
        if let Origin::Backlog(provider) = row.origin {
            batch.delete_cf(self.family(Family::Backlog), codec::key(run, &[provider, row.ordinal]));
        }
        match change {
            Change::Ended(outcome) => {
                let value = encode_outcome(outcome, run, row.ordinal, key);
                batch.put_cf(self.family(Family::Outcome), codec::key(run, &[row.ordinal]), value);
            }
            Change::Deferred { due, why } => {
                let value = encode_row(row, why, Family::Deferred.name(), run, key);
                batch.put_cf(self.family(Family::Deferred), codec::key(run, &[due.0, row.ordinal]), value);
            }
        }
        Ok(self.db.write(batch)?)
    }

    /// Writes the outcomes of rows that never became rows (malformed, duplicate), in one write.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_outcomes(&self, run: RunId, outcomes: &[(u64, Outcome)], key: &DataKey) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for (ordinal, outcome) in outcomes {
            let value = encode_outcome(outcome, run, *ordinal, key);
            batch.put_cf(self.family(Family::Outcome), codec::key(run, &[*ordinal]), value);
            batch.delete_cf(self.family(Family::Lease), codec::key(run, &[*ordinal]));
        }
        Ok(self.db.write(batch)?)
    }

    /// Removes `started` marks, so that their rows are sent again.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn forget_leases(&self, run: RunId, ordinals: impl Iterator<Item = u64>) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for ordinal in ordinals {
            batch.delete_cf(self.family(Family::Lease), codec::key(run, &[ordinal]));
        }
        Ok(self.db.write(batch)?)
    }

    /// The rows that were started and have no outcome, with the time of their first attempt.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn open_leases(&self, run: RunId) -> Result<BTreeMap<u64, Timestamp>, Error> {
        let mut leases = BTreeMap::new();
        self.scan(Family::Lease, run, |key, value| {
            let ordinal = number(key, 1).unwrap_or(0);
            let first = value.strip_prefix(&[VERSION]).and_then(|times| number(times, 1));
            let first = first.ok_or(Error::Damaged { family: "lease", run, ordinal })?;
            leases.insert(ordinal, Timestamp(first));
            Ok(true)
        })?;
        Ok(leases)
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

    /// Every ordinal of `run` in `family`, the last number of its keys.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn ordinals(&self, family: Family, run: RunId, mut each: impl FnMut(u64)) -> Result<(), Error> {
        self.scan(family, run, |key, _| {
            if let Some(ordinal) = number(key, key.len() / 8 - 1) {
                each(ordinal);
            }
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
    /// None may be due before `from`; the second value is the next such bound. `provider` says where a row belongs.
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
        provider: impl Fn(&Row) -> u64,
    ) -> Result<(Vec<Row>, Timestamp), Error> {
        let mut due = Vec::new();
        let mut next = now;
        // Seeking past what was taken spares the iterator its tombstones.
        self.scan_from(Family::Deferred, run, &codec::key(run, &[from.0]), |place, value| {
            let when = number(place, 1).unwrap_or(0);
            if due.len() == most || when > now.0 {
                next = next.min(Timestamp(when));
                return Ok(false);
            }
            due.push((place.to_vec(), row(Family::Deferred, run, place, value, Origin::Input, key)?));
            Ok(true)
        })?;
        let mut batch = WriteBatch::default();
        let mut rows = Vec::with_capacity(due.len());
        for (place, mut row) in due {
            let provider = provider(&row);
            row.origin = Origin::Backlog(provider);
            let value = encode_row(&row, "", Family::Backlog.name(), run, key);
            batch.delete_cf(self.family(Family::Deferred), place);
            batch.put_cf(self.family(Family::Backlog), codec::key(run, &[provider, row.ordinal]), value);
            rows.push(row);
        }
        if !rows.is_empty() {
            self.db.write(batch)?;
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
            let (why, _) = split_row(value).ok_or(Error::Damaged { family: "deferred", run, ordinal })?;
            each(Timestamp(number(place, 1).unwrap_or(0)), why);
            Ok(true)
        })
    }

    /// The rows that stand in `backlog`: taken up before a crash and not settled.
    ///
    /// # Errors
    /// The store can't be read, or a row does not open.
    pub fn backlog(&self, run: RunId, key: &DataKey) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.scan(Family::Backlog, run, |place, value| {
            let origin = Origin::Backlog(number(place, 1).unwrap_or(0));
            rows.push(row(Family::Backlog, run, place, value, origin, key)?);
            Ok(true)
        })?;
        Ok(rows)
    }
}

fn row(family: Family, run: RunId, place: &[u8], value: &[u8], origin: Origin, key: &DataKey) -> Result<Row, Error> {
    let ordinal = number(place, 2).unwrap_or(0);
    decode_row(value, family.name(), run, ordinal, origin, key).ok_or(Error::Damaged {
        family: family.name(),
        run,
        ordinal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, Fields, Kind};

    const RUN: RunId = RunId(7);

    fn a_row(ordinal: u64) -> Row {
        let to = Address::parse("ann@b.example").expect("an address");
        Row {
            ordinal,
            to,
            fields: Fields::default(),
            attempts: 1,
            first_attempt: Some(Timestamp(1)),
            origin: Origin::Input,
        }
    }

    #[test]
    fn a_row_stands_in_one_place() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path()).expect("a store");
        let key = DataKey::new(&[9; 32]);
        let counts = |store: &Store| {
            [Family::Outcome, Family::Deferred, Family::Backlog, Family::Lease]
                .map(|family| store.count(family, RUN).expect("count"))
        };
        store.put_started(RUN, &a_row(5), Timestamp(2)).expect("started");
        assert_eq!(store.open_leases(RUN).expect("leases"), BTreeMap::from([(5, Timestamp(1))]));
        store
            .settle(RUN, &a_row(5), &Change::Deferred { due: Timestamp(100), why: "450 4.2.1" }, &key)
            .expect("deferred");
        assert_eq!(counts(&store), [0, 1, 0, 0]);
        let due = |from, now| store.take_due(RUN, Timestamp(from), Timestamp(now), 10, &key, |_| 3).expect("readable");
        assert!(due(0, 99).0.is_empty());
        assert!(due(101, 200).0.is_empty(), "the search begins where it is told to");
        let (rows, next) = due(99, 150);
        assert_eq!(next, Timestamp(150));
        assert_eq!(counts(&store), [0, 0, 1, 0]);
        assert_eq!(rows[0].origin, Origin::Backlog(3));
        assert_eq!(store.backlog(RUN, &key).expect("backlog").len(), 1);
        let outcome = Outcome::new(Kind::Delivered, Timestamp(101), 2, "");
        store.settle(RUN, &rows[0], &Change::Ended(&outcome), &key).expect("ended");
        assert_eq!(counts(&store), [1, 0, 0, 0]);
        assert_eq!(store.count(Family::Outcome, RunId(8)).expect("another run"), 0);
    }

    #[test]
    fn an_observer_sees_what_the_engine_writes() {
        let folder = tempfile::tempdir().expect("folder");
        let scratch = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path()).expect("a store");
        let key = DataKey::new(&[9; 32]);
        store
            .put_outcomes(RUN, &[(1, Outcome::new(Kind::Invalid, Timestamp(1), 0, "address"))], &key)
            .expect("written");
        let observer = Store::observe(folder.path(), scratch.path()).expect("an observer");
        assert_eq!(observer.count(Family::Outcome, RUN).expect("count"), 1);
    }
}
