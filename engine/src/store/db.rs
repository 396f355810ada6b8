//! RocksDB behind names of ours.

use super::Family;
use crate::mail::RunId;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, Options, WriteOptions};
use std::path::Path;

/// The store of one state directory.
pub struct Store {
    pub(super) db: DB,
    pub(super) boot: [u8; 16],
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

    /// Whether a store was ever made under `state_dir`.
    pub fn exists(state_dir: &Path) -> bool {
        state_dir.join("db/CURRENT").exists()
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
    pub(super) fn scan(
        &self,
        family: Family,
        run: RunId,
        each: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.scan_from(family, run, &run.octets(), each)
    }

    pub(super) fn scan_from(
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

    pub(super) fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("every family was opened")
    }
}

fn options() -> Options {
    let mut options = Options::default();
    // Values are sealed and don't compress; the WAL must be plain, so that tests can look for PHI in it.
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_keep_log_file_num(2);
    options.set_max_total_wal_size(256 << 20);
    // Over all families: by default each may hold 128 MB before it writes, which a million outcomes would fill.
    options.set_db_write_buffer_size(32 << 20);
    options
}

pub(super) fn sync(synced: bool) -> WriteOptions {
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
