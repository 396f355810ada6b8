//! Why the store can't be used.

use super::Family;
use super::codec::number;
use crate::mail::RunId;
use rocksdb::ErrorKind;
use std::path::PathBuf;

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
        /// The row; 0 where it is not known.
        ordinal: u64,
    },
    /// RocksDB found damage in its files.
    #[error("the store: \"{family}\"{} is damaged: {cause}", of(*.run, *.ordinal))]
    Corrupt {
        /// The column family.
        family: &'static str,
        /// The run, where it is known.
        run: Option<RunId>,
        /// The row, where it is known.
        ordinal: Option<u64>,
        /// What RocksDB says.
        cause: rocksdb::Error,
    },
    /// Files that it can't do without are gone.
    #[error("{}: {what}", path.display())]
    Lost {
        /// The database's folder.
        path: PathBuf,
        /// What is gone.
        what: &'static str,
    },
    /// It could not be opened again after trouble with the disk, and the engine stops.
    #[error("the store is closed")]
    Closed,
    /// Made before there were leases.
    #[error("the store was made by an earlier version of sealpost (format 1)")]
    Format1,
    /// Made by a version that is not out yet.
    #[error("the store was made by a later version of sealpost (format {0})")]
    Later(u8),
    /// A file beside the store.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's refusal.
        cause: std::io::Error,
    },
}

impl Error {
    /// Whether something in the store can't be read, and never will be.
    pub fn is_damage(&self) -> bool {
        match self {
            Error::Damaged { .. } | Error::Corrupt { .. } | Error::Lost { .. } => true,
            Error::RocksDb(cause) => cause.kind() == ErrorKind::Corruption,
            _ => false,
        }
    }

    /// RocksDB's refusal to read at `key` of `family`, or behind it.
    pub(super) fn reading(family: Family, key: &[u8], cause: rocksdb::Error) -> Error {
        if cause.kind() != ErrorKind::Corruption {
            return Error::RocksDb(cause);
        }
        let by_run = !matches!(family, Family::Engine | Family::Key | Family::Sent);
        let run = number(key, 0).filter(|_| by_run).map(RunId);
        let ordinal = number(key, 1).filter(|_| matches!(family, Family::Outcome | Family::Lease));
        Error::Corrupt { family: family.name(), run, ordinal, cause }
    }
}

fn of(run: Option<RunId>, ordinal: Option<u64>) -> String {
    let run = run.map(|run| format!(" of run {run}"));
    let row = ordinal.map(|ordinal| format!(", row {ordinal}"));
    run.into_iter().chain(row).collect()
}
