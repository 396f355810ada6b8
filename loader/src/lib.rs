//! Recipient files to typed row batches. This crate knows nothing of mail.
//!
//! The way of a row:
//! 1. [`spec`] — what the operator said of the file: path, delimiter, declared column types;
//! 2. [`mod@open`] — looks at the file and refuses what can't be read before anything starts;
//! 3. [`csv`] or [`parquet`] — streams it as [`Batch`]es of Arrow columns, in memory bounded by one batch;
//! 4. [`value`] — turns one row of a batch into the JSON object that templates see.
//!
//! Promises: rows are numbered from 1 in file order, malformed rows included, so that a row's number (its *ordinal*) never
//! depends on what was wrong elsewhere; a malformed row is a [`Reject`] with line, column and reason, and never an `Err`;
//! an [`Error`] always names the file. No cell value enters an error or a reason: they may be PHI.

mod batch;
mod csv;
mod error;
mod fingerprint;
mod open;
mod parquet;
mod shape;
mod spec;
mod value;

pub use arrow_array::RecordBatch;
pub use batch::{Batch, Flaw, Reject};
pub use error::{Error, Fault};
pub use fingerprint::{Digest, fingerprint};
pub use open::{Reader, open};
pub use shape::Shape;
pub use spec::{ColumnType, Format, Spec};
