//! What a Parquet file says of itself.

use super::scan::scan;
use super::types;
use crate::Fault;
use crate::meaning::Meaning;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Compression;
use parquet::file::metadata::{FooterTail, ParquetMetaData};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A footer that was found fit to read by.
pub(super) struct Footer {
    pub(super) metadata: ArrowReaderMetadata,
    pub(super) columns: Vec<(String, Meaning)>,
    groups: Vec<Group>,
}

/// Where a row group ends.
struct Group {
    /// Rows in it and in those before it.
    rows: u64,
    /// The octet after the last of it and of those before it.
    end: u64,
}

/// Rows of one decoded batch: large enough to hide per-batch costs, small enough to hold several in memory.
const BATCH_ROWS: u64 = 1024;
/// Rows are fewer where they are large, so that memory follows octets and not only rows.
const BATCH_OCTETS: u64 = 8 << 20;

impl Footer {
    pub(super) fn read(file: &File) -> Result<Footer, Fault> {
        look(file)?;
        let plain = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
        refuse_codecs(plain.metadata())?;
        types::refuse_groups(plain.parquet_schema().root_schema())?;
        let wanted = Arc::new(types::wanted(plain.schema(), plain.parquet_schema().columns()));
        let options = ArrowReaderOptions::new().with_schema(wanted);
        let metadata = ArrowReaderMetadata::try_new(plain.metadata().clone(), options)?;
        let columns = columns(&metadata)?;
        let groups = groups(metadata.metadata())?;
        Ok(Footer { metadata, columns, groups })
    }

    /// How many rows the file has.
    pub(super) fn rows(&self) -> u64 {
        self.groups.last().map_or(0, |group| group.rows)
    }

    /// The octet after the last of those that the first `rows` rows were decoded from.
    pub(super) fn octets_of(&self, rows: u64) -> u64 {
        let at = self.groups.partition_point(|group| group.rows < rows);
        self.groups.get(at).map_or(u64::MAX, |group| group.end)
    }

    /// How many rows a batch of the columns in `mask` may have.
    pub(super) fn batch_rows(&self, mask: &ProjectionMask) -> usize {
        let largest = self.metadata.metadata().row_groups().iter().map(|group| {
            let columns = group.columns().iter().enumerate().filter(|(at, _)| mask.leaf_included(*at));
            let octets: i64 = columns.map(|(_, column)| column.uncompressed_size().max(0)).sum();
            octets.unsigned_abs() / group.num_rows().unsigned_abs().max(1)
        });
        let rows = (BATCH_OCTETS / largest.max().unwrap_or(0).max(1)).clamp(1, BATCH_ROWS);
        usize::try_from(rows).unwrap_or(1)
    }
}

/// Looks at the footer before the decoder does. An encrypted one has a magic number of its own (Parquet Modular Encryption,
/// section 5.3).
fn look(file: &File) -> Result<(), Fault> {
    const TAIL: usize = 8;
    let cut = || Fault::Parquet("it ends before its footer".into());
    let end = file.metadata()?.len().checked_sub(TAIL as u64).ok_or_else(cut)?;
    let mut tail = [0; TAIL];
    file.read_exact_at(&mut tail, end)?;
    let tail = FooterTail::try_new(&tail)?;
    if tail.is_encrypted_footer() {
        return Err(Fault::Encrypted);
    }
    let start = end.checked_sub(tail.metadata_length() as u64).ok_or_else(cut)?;
    let mut footer = vec![0; tail.metadata_length()];
    file.read_exact_at(&mut footer, start)?;
    scan(&footer)
}

fn refuse_codecs(metadata: &ParquetMetaData) -> Result<(), Fault> {
    let mut columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    if columns.any(|column| column.compression() == Compression::LZO) {
        return Err(Fault::Codec("LZO"));
    }
    Ok(())
}

fn columns(metadata: &ArrowReaderMetadata) -> Result<Vec<(String, Meaning)>, Fault> {
    let mut leaves = metadata.parquet_schema().columns().iter();
    let mut columns: Vec<(String, Meaning)> = Vec::new();
    for field in metadata.schema().fields() {
        if columns.iter().any(|(name, _)| name == field.name()) {
            return Err(Fault::SameColumnTwice(field.name().clone()));
        }
        columns.push((field.name().clone(), Meaning::of(field, &mut leaves)?));
    }
    Ok(columns)
}

fn groups(metadata: &ParquetMetaData) -> Result<Vec<Group>, Fault> {
    let damaged = || Fault::Parquet("its row groups have no size".into());
    let (mut rows, mut end) = (0_u64, 0_u64);
    let mut groups = Vec::with_capacity(metadata.num_row_groups());
    for group in metadata.row_groups() {
        let count = u64::try_from(group.num_rows()).map_err(|_| damaged())?;
        rows = rows.checked_add(count).ok_or_else(damaged)?;
        for column in group.columns() {
            let start =
                column.dictionary_page_offset().unwrap_or(column.data_page_offset()).min(column.data_page_offset());
            let ends = start.checked_add(column.compressed_size()).and_then(|end| u64::try_from(end).ok());
            end = end.max(ends.ok_or_else(damaged)?);
        }
        groups.push(Group { rows, end });
    }
    Ok(groups)
}
