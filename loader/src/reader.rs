//! One file, or standard input, being read.

use crate::ahead::Ahead;
use crate::columns::Columns;
use crate::compression::Compression;
use crate::tally::{Tally, Tee};
use crate::{Batch, Error, Fault, Format, Spec, csv, files, parquet};
use std::io::Read;
use std::path::Path;

/// A file's batches, whatever its format.
pub(crate) enum Reader {
    Text(Box<csv::Rows>),
    Parquet(Box<parquet::Rows>),
}

impl Reader {
    /// Opens the file at `path` as `spec` declares it: its header or footer is read, and `tally` is shown its octets.
    pub(crate) fn file(path: &Path, spec: &Spec, tally: Tally) -> Result<Reader, Error> {
        let fail = |fault| Error::new(path, fault);
        let file = files::open(path)?;
        let format = spec.format_of(path).ok_or_else(|| fail(Fault::UnknownFormat))?;
        if file.metadata().map_err(|cause| fail(cause.into()))?.len() == 0 {
            return Err(fail(Fault::Empty));
        }
        if format != Format::Parquet {
            return Reader::text(Tee::new(file, tally), path, format, spec);
        }
        if !spec.columns.is_empty() {
            return Err(fail(Fault::TypesDeclaredForParquet));
        }
        let look = Ahead::new(file.try_clone().map_err(|cause| fail(cause.into()))?, 4);
        if let Some(with) = Compression::by_magic(look.head()) {
            return Err(fail(Fault::CompressedParquet(with)));
        }
        Ok(Reader::Parquet(Box::new(parquet::Rows::open(file, path, tally)?)))
    }

    /// Opens standard input, whose content is `stream`.
    pub(crate) fn stream(
        stream: impl Read + Send + 'static,
        path: &Path,
        spec: &Spec,
        tally: Tally,
    ) -> Result<Reader, Error> {
        match spec.format {
            None => Err(Error::new(path, Fault::UndeclaredFormat)),
            Some(Format::Parquet) => Err(Error::new(path, Fault::ParquetFromStdin)),
            Some(format) => Reader::text(Tee::new(stream, tally), path, format, spec),
        }
    }

    fn text(raw: impl Read + Send + 'static, path: &Path, format: Format, spec: &Spec) -> Result<Reader, Error> {
        let delimiter = spec.delimiter.unwrap_or(format.delimiter());
        Ok(Reader::Text(Box::new(csv::Rows::open(raw, path, delimiter, spec)?)))
    }

    /// Its columns in file order.
    pub(crate) fn columns(&self) -> Columns {
        match self {
            Reader::Text(rows) => Columns { list: rows.columns(), typed: false },
            Reader::Parquet(rows) => Columns { list: rows.columns().to_vec(), typed: true },
        }
    }

    /// How many rows it has, where it says so.
    pub(crate) fn rows(&self) -> Option<u64> {
        match self {
            Reader::Text(_) => None,
            Reader::Parquet(rows) => Some(rows.total()),
        }
    }

    /// Whether it has no row.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Reader::Text(rows) => rows.is_empty(),
            Reader::Parquet(rows) => rows.total() == 0,
        }
    }

    /// From now on rejects name the file.
    pub(crate) fn name_file(&mut self) {
        if let Reader::Text(rows) = self {
            rows.name_file();
        }
    }

    /// From now on only the columns that `wanted` names come out.
    pub(crate) fn project(&mut self, wanted: &dyn Fn(&str) -> bool) {
        match self {
            Reader::Text(rows) => rows.project(wanted),
            Reader::Parquet(rows) => rows.project(wanted),
        }
    }

    /// The next batch, whose first row has the ordinal `first`.
    pub(crate) fn next(&mut self, first: u64) -> Option<Result<Batch, Error>> {
        match self {
            Reader::Text(rows) => rows.next(first),
            Reader::Parquet(rows) => rows.next(first),
        }
    }
}
