//! Parquet files as batches. The footer is read at `open`, so that a file that was cut short stops a run before it starts.

use crate::{Batch, Error, Fault, Shape};
use arrow_schema::SchemaRef;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Rows of one decoded batch: large enough to hide per-batch costs, small enough to hold several in memory.
const BATCH_ROWS: usize = 1024;

pub(crate) struct Rows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
    total: u64,
    next: u64,
}

impl Rows {
    pub(crate) fn open(file: File, path: &Path) -> Result<Rows, Error> {
        let fail = |cause: parquet::errors::ParquetError| Error::new(path, Fault::Parquet(cause.to_string()));
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(fail)?;
        let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        if total == 0 {
            return Err(Error::new(path, Fault::HeaderOnly));
        }
        let schema = builder.schema().clone();
        let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(fail)?;
        Ok(Rows { path: path.to_owned(), reader, schema, total, next: 1 })
    }

    pub(crate) fn columns(&self) -> Result<Vec<(String, Shape)>, Fault> {
        let mut columns: Vec<(String, Shape)> = Vec::new();
        for field in self.schema.fields() {
            if columns.iter().any(|(name, _)| name == field.name()) {
                return Err(Fault::SameColumnTwice(field.name().clone()));
            }
            columns.push((field.name().clone(), Shape::of(field)?));
        }
        Ok(columns)
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn next(&mut self) -> Option<Result<Batch, Error>> {
        let records = match self.reader.next()? {
            Ok(records) => records,
            Err(cause) => return Some(Err(Error::new(&self.path, Fault::Parquet(cause.to_string())))),
        };
        let first = self.next;
        self.next += records.num_rows() as u64;
        Some(Ok(Batch { first, records, rejects: Vec::new() }))
    }
}
