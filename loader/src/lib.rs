//! Recipient files to typed row batches. This crate knows nothing of mail.
//!
//! The way of a row:
//! 1. [`spec`] — what the operator said of the input: paths, format, encoding, declared column types;
//! 2. [`files`] — the files that the paths and patterns name;
//! 3. [`input`] — looks at every file, refuses what can't be read before anything starts, then reads one after another;
//! 4. [`reader`] — one file, of whichever format;
//! 5. text: [`tally`] sees the raw octets, [`compression`] unpacks them, [`encoding`] and [`decode`] make them UTF-8,
//!    [`records`] splits them, [`cell`] types the fields, [`csv`] makes batches of them;
//! 6. Parquet: [`parquet`] decodes row groups, while a second cursor shows [`tally`] the octets;
//! 7. [`value`] — turns one row of a [`Batch`] into the JSON object that templates see, by each column's [`meaning`].
//!
//! Promises: rows are numbered from 1 in file order and on over files, malformed rows included, so that a row's number (its
//! *ordinal*) never depends on what was wrong elsewhere; a malformed row is a [`Reject`] with line, column and reason, and
//! never an `Err`; an [`Error`] always names the file, and comes after the rows before it. Memory is bounded by one batch,
//! and one row group's pages. No cell value enters an error or a reason: they may be PHI.

mod ahead;
mod batch;
mod cell;
mod column_type;
mod columns;
mod compression;
mod csv;
mod decode;
mod encoding;
mod error;
mod fault;
mod files;
mod format;
mod input;
mod mark;
mod meaning;
mod opening;
mod parquet;
mod reader;
mod records;
mod shape;
mod spec;
mod tally;
mod temporal;
mod text;
mod value;

pub use arrow_array::RecordBatch;
pub use batch::{Batch, Flaw, Reject};
pub use column_type::ColumnType;
pub use compression::Compression;
pub use encoding::Encoding;
pub use error::Error;
pub use fault::Fault;
pub use format::Format;
pub use input::{Input, open};
pub use mark::{Mark, same, whole};
pub use opening::Opening;
pub use shape::Shape;
pub use spec::Spec;
pub use tally::Watched;
