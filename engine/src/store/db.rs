//! RocksDB behind names of ours.

use super::Manifest;
use super::codec::{self, VERSION, decode_outcome, decode_row, encode_outcome, encode_row, number};
use crate::clock::Timestamp;
use crate::mail::{Origin, Outcome, Row, RunId};
use crate::secret::DataKey;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, Options, WriteBatch, WriteOptions};
use std::collections::BTreeMap;
use std::path::Path;

/// The store of one state directory.
pub struct Store {
    db: DB,
    boot: [u8; 16],
}

/// A store that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// RocksDB's own.
    #[error("the store: {0}")]
    RocksDb(#[from] rocksdb::Error),
    /// A value that isn't of the format, or not of the key.
    #[error("the store: a value in \"{family}\" (run {run}, row {ordinal}) is damaged or sealed under another key")]
    Damaged {
        /// The column family.
        family: &'static str,
        /// The run.
        run: RunId,
        /// The row.
        ordinal: u64,
    },
}

/// Column families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Wrapped keys.
    Key,
    /// Manifests.
    Run,
    /// How rows ended.
    Outcome,
    /// Rows that wait for a time.
    Deferred,
    /// Rows taken up again.
    Backlog,
    /// `started` marks.
    Lease,
}

impl Family {
    const ALL: [Family; 6] =
        [Family::Key, Family::Run, Family::Outcome, Family::Deferred, Family::Backlog, Family::Lease];

    fn name(self) -> &'static str {
        match self {
            Family::Key => "key",
            Family::Run => "run",
            Family::Outcome => "outcome",
            Family::Deferred => "deferred",
            Family::Backlog => "backlog",
            Family::Lease => "lease",
        }
    }
}

/// What a settled row becomes.
#[derive(Debug)]
pub enum Change<'a> {
    /// It ended.
    Ended(&'a Outcome),
    /// It waits until then.
    Deferred(Timestamp),
}

impl Store {
    /// Opens the store under `state_dir`, and makes it if it isn't there. Only the holder of the state directory's lock may.
    ///
    /// # Errors
    /// RocksDB can't open it.
    pub fn open(state_dir: &Path) -> Result<Store, Error> {
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let families = Family::ALL.map(Family::name);
        Ok(Store { db: DB::open_cf(&options, state_dir.join("db"), families)?, boot: boot_id() })
    }

    /// Opens the store to read it while an engine may be writing it; `scratch` takes RocksDB's own log files.
    ///
    /// # Errors
    /// RocksDB can't open it.
    pub fn observe(state_dir: &Path, scratch: &Path) -> Result<Store, Error> {
        let mut options = options();
        options.set_max_open_files(-1);
        let db = DB::open_cf_as_secondary(
            &options,
            state_dir.join("db"),
            scratch.to_owned(),
            Family::ALL.map(Family::name),
        )?;
        db.try_catch_up_with_primary()?;
        Ok(Store { db, boot: boot_id() })
    }

    /// The manifest of `run`.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn manifest(&self, run: RunId) -> Result<Option<Manifest>, Error> {
        let value = self.db.get_cf(self.family(Family::Run), run.octets())?;
        value.map(|value| manifest(run, &value)).transpose()
    }

    /// Writes a manifest; `synced` waits for the disk.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_manifest(&self, run: RunId, manifest: &Manifest, synced: bool) -> Result<(), Error> {
        let mut value = vec![VERSION];
        serde_json::to_writer(&mut value, manifest).expect("a manifest serialises");
        Ok(self.db.put_cf_opt(self.family(Family::Run), run.octets(), value, &sync(synced))?)
    }

    /// All runs, the latest opened last.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn runs(&self) -> Result<Vec<(RunId, Manifest)>, Error> {
        let mut runs = Vec::new();
        for item in self.db.iterator_cf(self.family(Family::Run), IteratorMode::Start) {
            let (key, value) = item?;
            let run = RunId(number(&key, 0).unwrap_or(0));
            runs.push((run, manifest(run, &value)?));
        }
        runs.sort_by_key(|(_, manifest)| manifest.opened);
        Ok(runs)
    }

    /// A wrapped key.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn wrapped_key(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.db.get_cf(self.family(Family::Key), name)?;
        Ok(value.map(|value| value.get(1..).unwrap_or_default().to_vec()))
    }

    /// Stores a wrapped key, synced: what it seals must never outlive it.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_wrapped_key(&self, name: &[u8], wrapped: &[u8]) -> Result<(), Error> {
        let value = [&[VERSION], wrapped].concat();
        Ok(self.db.put_cf_opt(self.family(Family::Key), name, value, &sync(true))?)
    }

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
            Change::Deferred(due) => {
                let value = encode_row(row, Family::Deferred.name(), run, key);
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
            let value = encode_row(&row, Family::Backlog.name(), run, key);
            batch.delete_cf(self.family(Family::Deferred), place);
            batch.put_cf(self.family(Family::Backlog), codec::key(run, &[provider, row.ordinal]), value);
            rows.push(row);
        }
        if !rows.is_empty() {
            self.db.write(batch)?;
        }
        Ok((rows, next))
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

    /// Waits until everything written so far is on the disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sync(&self) -> Result<(), Error> {
        Ok(self.db.flush_wal(true)?)
    }

    /// Every key and value of every family, for the tests that look for PHI at rest.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn everything(&self, mut each: impl FnMut(&'static str, &[u8], &[u8])) -> Result<(), Error> {
        for family in Family::ALL {
            for item in self.db.iterator_cf(self.family(family), IteratorMode::Start) {
                let (key, value) = item?;
                each(family.name(), &key, &value);
            }
        }
        Ok(())
    }

    /// Entries of `family` that belong to `run`, in key order, until `each` says `false`.
    fn scan(
        &self,
        family: Family,
        run: RunId,
        each: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.scan_from(family, run, &run.octets(), each)
    }

    fn scan_from(
        &self,
        family: Family,
        run: RunId,
        start: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let prefix = run.octets();
        for item in self.db.iterator_cf(self.family(family), IteratorMode::From(start, Direction::Forward)) {
            let (key, value) = item?;
            if !key.starts_with(&prefix) || !each(&key, &value)? {
                break;
            }
        }
        Ok(())
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("every family was opened")
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

fn manifest(run: RunId, value: &[u8]) -> Result<Manifest, Error> {
    value.strip_prefix(&[VERSION]).and_then(|json| serde_json::from_slice(json).ok()).ok_or(Error::Damaged {
        family: "run",
        run,
        ordinal: 0,
    })
}

fn options() -> Options {
    let mut options = Options::default();
    // Values are sealed and don't compress; the WAL must be plain, so that tests can look for PHI in it.
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_keep_log_file_num(2);
    options.set_max_total_wal_size(256 << 20);
    options
}

fn sync(synced: bool) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(synced);
    options
}

/// The kernel's name for this boot (random(4)): what tells a dead process from a lost machine.
fn boot_id() -> [u8; 16] {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| u128::from_str_radix(&text.trim().replace('-', ""), 16).ok())
        .unwrap_or(0)
        .to_be_bytes()
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
        store.settle(RUN, &a_row(5), &Change::Deferred(Timestamp(100)), &key).expect("deferred");
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
