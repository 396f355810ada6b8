//! RocksDB behind names of ours.

use super::batch::{Batch, Edit};
use super::codec::VERSION;
use super::{Error, Family, options};
use crate::condition::Conditions;
use crate::mail::RunId;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The store of one state directory.
pub struct Store {
    pub(super) db: DB,
    pub(super) boot: [u8; 16],
    /// The next turn in the backlog.
    pub(super) turns: AtomicU64,
    pub(super) settings: Settings,
}

/// What the engine tells its store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long keys stay taken. Default: 400 days, so that a yearly notice meets last year's.
    pub sent_kept: Duration,
    /// Where the store says what keeps it from writing.
    pub conditions: Arc<Conditions>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { sent_kept: Duration::from_secs(400 * 24 * 60 * 60), conditions: Arc::default() }
    }
}

const FORMAT: &[u8] = b"format";

impl Store {
    /// Opens the store under `state_dir`, and makes it if it isn't there. Only the holder of the state directory's lock may.
    ///
    /// # Errors
    /// RocksDB can't open it, or another version of sealpost made it.
    pub fn open(state_dir: &Path, settings: &Settings) -> Result<Store, Error> {
        refuse_format_1(state_dir)?;
        let mut options = options::database();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let db = DB::open_cf_descriptors(&options, folder(state_dir), options::families(settings.sent_kept))?;
        let store = Store { db, boot: boot_id(), turns: AtomicU64::new(0), settings: settings.clone() };
        if store.format()?.is_none() {
            store.write(&Batch::of(Family::Engine, FORMAT, [VERSION]), true)?;
        }
        // Unless the standing is taken, which says the same number again.
        store.begin_turns(store.standing()?.map_or(0, |standing| standing.generation) + 1);
        Ok(store)
    }

    /// SEAM
    pub fn give_up(&self) {}

    /// Whether a store was ever made under `state_dir`.
    pub fn exists(state_dir: &Path) -> bool {
        state_dir.join("db/CURRENT").exists()
    }

    /// Opens the store to read it while an engine may be writing it; `scratch` takes RocksDB's own log files.
    ///
    /// # Errors
    /// RocksDB can't open it, or another version of sealpost made it.
    pub fn observe(state_dir: &Path, scratch: &Path) -> Result<Store, Error> {
        refuse_format_1(state_dir)?;
        let settings = Settings::default();
        let mut options = options::database();
        options.set_max_open_files(-1);
        let families = options::families(settings.sent_kept);
        let db = DB::open_cf_descriptors_as_secondary(&options, folder(state_dir).as_path(), scratch, families)?;
        db.try_catch_up_with_primary()?;
        let store = Store { db, boot: boot_id(), turns: AtomicU64::new(0), settings };
        store.format()?;
        Ok(store)
    }

    /// The kernel's name for this boot: leases of another one may have been sent without a trace.
    pub fn boot(&self) -> [u8; 16] {
        self.boot
    }

    /// How long keys stay taken.
    pub fn sent_kept(&self) -> Duration {
        self.settings.sent_kept
    }

    /// Every key and value of every family, for the tests that look for PHI at rest.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn everything(&self, mut each: impl FnMut(&'static str, &[u8], &[u8])) -> Result<(), Error> {
        for family in Family::ALL {
            for item in self.db().iterator_cf(self.family(family), IteratorMode::Start) {
                let (key, value) = item?;
                each(family.name(), &key, &value);
            }
        }
        Ok(())
    }

    /// Makes the changes of `batch` in one write; `synced` waits for the disk. Every write goes this way.
    pub(super) fn write(&self, batch: &Batch, synced: bool) -> Result<(), Error> {
        let mut write = WriteBatch::default();
        for edit in batch.edits() {
            match edit {
                Edit::Put(family, key, value) => write.put_cf(self.family(*family), key, value),
                Edit::Delete(family, key) => write.delete_cf(self.family(*family), key),
                Edit::DeleteRange(family, from, to) => write.delete_range_cf(self.family(*family), from, to),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(synced);
        Ok(self.db().write_opt(write, &options)?)
    }

    /// One value.
    pub(super) fn read(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.db().get_cf(self.family(family), key)?)
    }

    /// Entries of `family` that belong to `run`, in key order, until `each` says `false`. `each` must not use the store.
    pub(super) fn scan(
        &self,
        family: Family,
        run: RunId,
        each: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.scan_range(family, &run.octets(), past(&run.octets()), each)
    }

    /// The same, for keys from `start` up to and without `end`.
    pub(super) fn scan_range(
        &self,
        family: Family,
        start: &[u8],
        end: Vec<u8>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut options = ReadOptions::default();
        // Spares the iterator the tombstones behind the range.
        options.set_iterate_upper_bound(end);
        let from = IteratorMode::From(start, Direction::Forward);
        for item in self.db().iterator_cf_opt(self.family(family), options, from) {
            let (key, value) = item?;
            if !each(&key, &value)? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn db(&self) -> &DB {
        &self.db
    }

    pub(super) fn family(&self, family: Family) -> &ColumnFamily {
        self.db().cf_handle(family.name()).expect("every family was opened")
    }

    pub(super) fn begin_turns(&self, generation: u64) {
        self.turns.fetch_max(generation << 40, Ordering::SeqCst);
    }

    fn format(&self) -> Result<Option<u8>, Error> {
        match self.read(Family::Engine, FORMAT)?.as_deref() {
            None => Ok(None),
            Some([VERSION]) => Ok(Some(VERSION)),
            Some(other) => Err(Error::Later(other.first().copied().unwrap_or_default())),
        }
    }
}

/// A key behind all those that begin with `prefix`: they are shorter than this.
pub(super) fn past(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xff; 32]].concat()
}

fn folder(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("db")
}

/// Format 1 had no family `engine`, which is the first to be made now.
fn refuse_format_1(state_dir: &Path) -> Result<(), Error> {
    if !Store::exists(state_dir) {
        return Ok(());
    }
    let present = DB::list_cf(&Options::default(), folder(state_dir))?;
    let has = |family: Family| present.iter().any(|name| name == family.name());
    if has(Family::Run) && !has(Family::Engine) { Err(Error::Format1) } else { Ok(()) }
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

    #[test]
    fn a_store_of_format_1_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("folder");
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        drop(DB::open_cf(&options, folder.path().join("db"), ["key", "run", "outcome"]).expect("made"));
        let error = Store::open(folder.path(), &Settings::default()).err().expect("refused");
        assert_eq!(error.to_string(), "the store was made by an earlier version of sealpost (format 1)");
        assert!(Store::observe(folder.path(), &folder.path().join("scratch")).is_err());
    }

    #[test]
    fn a_store_of_a_later_format_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        store.write(&Batch::of(Family::Engine, FORMAT, [VERSION + 1]), true).expect("written");
        drop(store);
        assert!(matches!(Store::open(folder.path(), &Settings::default()), Err(Error::Later(3))));
    }
}
