//! Why the store can't be used.

use crate::mail::RunId;
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
