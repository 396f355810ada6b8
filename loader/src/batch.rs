//! A run of rows that were read together.

use crate::meaning::Meaning;
use crate::{ColumnType, Encoding};
use arrow_array::RecordBatch;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

/// Rows `first ..= first + len - 1` of the input, as Arrow columns.
///
/// Malformed rows keep their place, as nulls, and are listed in `rejects`: row `i` of `records` always has the ordinal
/// `first + i`.
pub struct Batch {
    /// The ordinal of the first row, counted from 1.
    pub first: u64,
    /// The rows' cells.
    pub records: RecordBatch,
    /// The malformed rows, in ascending order of `index`.
    pub rejects: Vec<Reject>,
    /// How the cells of each column are meant.
    pub(crate) meanings: Arc<[Meaning]>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} rows from {})", self.len(), self.first)
    }
}

impl Batch {
    /// How many rows it has, malformed ones included.
    pub fn len(&self) -> usize {
        self.records.num_rows()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cells of row `index` by column name. Nulls are left out: to a template a null is a missing field.
    pub fn row(&self, index: usize) -> Map<String, Value> {
        crate::value::row(&self.records, &self.meanings, index)
    }
}

/// One malformed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its place in the batch.
    pub index: usize,
    /// Its file, where the input has several.
    pub file: Option<Arc<Path>>,
    /// The line of the file on which it begins, counted from 1.
    pub line: u64,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// What is wrong.
    pub flaw: Flaw,
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}, ", file.display())?;
        }
        write!(f, "line {}", self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column \"{column}\"")?;
        }
        write!(f, ": {}", self.flaw)
    }
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The row's number of fields differs from the header's.
    #[error("has {found} fields where the header has {expected}")]
    FieldCount {
        /// Fields in the row.
        found: usize,
        /// Fields in the header.
        expected: usize,
    },
    /// A cell isn't UTF-8.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// A cell isn't text of the declared encoding.
    #[error("is not {} text", .0.name())]
    NotInEncoding(Encoding),
    /// A cell can't be read as its declared type.
    #[error("is not of the declared type {}", .0.word())]
    NotOfType(ColumnType),
    /// The record is longer than [`MAX_RECORD`](crate::records::MAX_RECORD) octets.
    #[error("is longer than {0} octets")]
    TooLong(usize),
    /// The file ended inside a quoted field.
    #[error("opens a quote that is never closed")]
    OpenQuote,
}
