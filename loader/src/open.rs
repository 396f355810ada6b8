//! Looks at a file and chooses its reader.

use crate::{Batch, Error, Fault, Format, Shape, Spec, csv, parquet};
use std::fs::File;
use std::path::Path;

/// A file being read: an iterator of batches.
pub struct Reader {
    columns: Vec<(String, Shape)>,
    rows: Option<u64>,
    batches: Batches,
}

enum Batches {
    Csv(Box<csv::Rows>),
    Parquet(Box<parquet::Rows>),
}

/// Opens the file that `spec` describes and reads as much of it as tells whether it can be read at all: its header or
/// footer, and that at least one row is there.
///
/// # Errors
/// Whatever makes the file as a whole unreadable, with a hint.
pub fn open(spec: &Spec) -> Result<Reader, Error> {
    let fail = |fault| Error::new(&spec.path, fault);
    let file = file(&spec.path)?;
    let format = spec.format.or_else(|| by_name(&spec.path)).ok_or_else(|| fail(Fault::UnknownFormat))?;
    if file.metadata().map_err(|cause| fail(cause.into()))?.len() == 0 {
        return Err(fail(Fault::Empty));
    }
    match format {
        Format::Csv => {
            let rows = csv::Rows::open(file, spec)?;
            Ok(Reader { columns: rows.columns(), rows: None, batches: Batches::Csv(Box::new(rows)) })
        }
        Format::Parquet => {
            if !spec.columns.is_empty() {
                return Err(fail(Fault::TypesDeclaredForParquet));
            }
            let rows = parquet::Rows::open(file, &spec.path)?;
            Ok(Reader {
                columns: rows.columns().map_err(fail)?,
                rows: Some(rows.total()),
                batches: Batches::Parquet(Box::new(rows)),
            })
        }
    }
}

impl Reader {
    /// The columns in file order, with what is inside them.
    pub fn columns(&self) -> &[(String, Shape)] {
        &self.columns
    }

    /// How many rows the file has, where it says so itself (Parquet).
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }
}

impl Iterator for Reader {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.batches {
            Batches::Csv(rows) => rows.next(),
            Batches::Parquet(rows) => rows.next(),
        }
    }
}

/// Opens `path`, which must not be a directory.
pub(crate) fn file(path: &Path) -> Result<File, Error> {
    let file = File::open(path).map_err(|cause| Error::new(path, cause.into()))?;
    let kind = file.metadata().map_err(|cause| Error::new(path, cause.into()))?;
    if kind.is_dir() {
        return Err(Error::new(path, Fault::Directory));
    }
    Ok(file)
}

fn by_name(path: &Path) -> Option<Format> {
    let ending = path.extension()?.to_str()?;
    match ending.to_ascii_lowercase().as_str() {
        "csv" | "txt" => Some(Format::Csv),
        "parquet" | "pq" => Some(Format::Parquet),
        _ => None,
    }
}
