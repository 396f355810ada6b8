//! Parquet files as batches. The footer is read when the file is opened, so that a file that was cut short stops a run before
//! it starts.
//!
//! A damaged file can make the decoder panic; that is contained here and comes out as an error like any other damage.

mod follower;
mod footer;
mod scan;
mod types;

use crate::meaning::Meaning;
use crate::tally::Tally;
use crate::{Batch, Error, Fault};
use follower::Follower;
use footer::Footer;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A Parquet file being read.
pub(crate) struct Rows {
    path: PathBuf,
    file: File,
    footer: Footer,
    follower: Follower,
    /// The columns that come out.
    wanted: Vec<usize>,
    meanings: Arc<[Meaning]>,
    reader: Option<ParquetRecordBatchReader>,
    /// Rows handed out.
    read: u64,
    ended: bool,
}

impl Rows {
    /// Reads the footer of `file`, whose octets `tally` is shown as they are decoded.
    pub(crate) fn open(file: File, path: &Path, tally: Tally) -> Result<Rows, Error> {
        let footer = contained(|| Footer::read(&file)).map_err(|fault| Error::new(path, fault))?;
        let again = file.try_clone().map_err(|cause| Error::new(path, cause))?;
        let follower = Follower::new(again, tally);
        let (wanted, meanings) =
            footer.columns.iter().enumerate().map(|(at, (_, meaning))| (at, meaning.clone())).unzip();
        let (path, meanings) = (path.to_owned(), Vec::into(meanings));
        Ok(Rows { path, file, footer, follower, wanted, meanings, reader: None, read: 0, ended: false })
    }

    /// The columns in file order.
    pub(crate) fn columns(&self) -> &[(String, Meaning)] {
        &self.footer.columns
    }

    /// How many rows it has.
    pub(crate) fn total(&self) -> u64 {
        self.footer.rows()
    }

    /// From now on only the columns that `wanted` names are decoded and come out.
    pub(crate) fn project(&mut self, wanted: &dyn Fn(&str) -> bool) {
        let columns = &self.footer.columns;
        self.wanted = (0..columns.len()).filter(|at| wanted(&columns[*at].0)).collect();
        self.meanings = self.wanted.iter().map(|at| columns[*at].1.clone()).collect();
    }

    /// The next batch, whose first row has the ordinal `first`.
    pub(crate) fn next(&mut self, first: u64) -> Option<Result<Batch, Error>> {
        if self.ended {
            return None;
        }
        let batch = contained(AssertUnwindSafe(|| self.batch(first)));
        self.ended = !matches!(batch, Ok(Some(_)));
        batch.map_err(|fault| Error::new(&self.path, fault)).transpose()
    }

    fn batch(&mut self, first: u64) -> Result<Option<Batch>, Fault> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let reader = self.start()?;
                self.reader.insert(reader)
            }
        };
        let Some(records) = reader.next() else {
            self.follower.finish()?;
            return if self.read == self.total() { Ok(None) } else { Err(self.ended_early()) };
        };
        let records = records.map_err(|cause| Fault::Parquet(cause.to_string()))?;
        self.read += records.num_rows() as u64;
        self.follower.go_to(self.footer.octets_of(self.read))?;
        Ok(Some(Batch { first, records, rejects: Vec::new(), meanings: self.meanings.clone() }))
    }

    fn start(&self) -> Result<ParquetRecordBatchReader, Fault> {
        let file = self.file.try_clone()?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), self.wanted.iter().copied());
        let rows = self.footer.batch_rows(&mask);
        builder.with_projection(mask).with_batch_size(rows).build().map_err(Fault::from)
    }

    fn ended_early(&self) -> Fault {
        Fault::Parquet(format!("it ends after {} of {} rows", self.read, self.total()))
    }
}

impl From<parquet::errors::ParquetError> for Fault {
    fn from(cause: parquet::errors::ParquetError) -> Fault {
        Fault::Parquet(cause.to_string())
    }
}

/// What `decode` returns, or a fault where it panics.
fn contained<T>(decode: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(Fault::Parquet("its pages can't be decoded".into())))
}

#[cfg(test)]
mod tests {
    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::types::Int32Type;
    use arrow_array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int64Array, ListArray,
        NullArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray, UInt8Array,
    };
    use arrow_schema::{DataType, Field, Fields};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, GzipLevel, ZstdLevel};
    use parquet::file::properties::WriterProperties;
    use std::sync::Arc;

    fn columns() -> Vec<(&'static str, ArrayRef)> {
        let plan: DictionaryArray<Int32Type> = ["Gold", "Gold"].into_iter().collect();
        let fields =
            Fields::from(vec![Field::new("code", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
        let codes: ArrayRef = Arc::new(StringArray::from(vec![Some("A1"), None, Some("C3")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let items = StructArray::new(fields.clone(), vec![codes, numbers], None);
        let item = Arc::new(Field::new("item", DataType::Struct(fields), true));
        let offsets = arrow_buffer::OffsetBuffer::from_lengths([2, 1]);
        let mut words = ListBuilder::new(StringBuilder::new());
        words.append_value([Some("a"), None]);
        words.append_null();
        vec![
            ("text", Arc::new(StringArray::from(vec![Some("Víctor"), None]))),
            ("plan", Arc::new(plan)),
            ("owe", Arc::new(Decimal128Array::from(vec![5810, -5]).with_precision_and_scale(12, 2).expect("fits"))),
            ("day", Arc::new(Date32Array::from(vec![19_384, -1]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_674_813_600_000_000, 0]).with_timezone("UTC"))),
            ("local", Arc::new(TimestampMicrosecondArray::from(vec![1_674_813_600_500_000, 0]))),
            ("yes", Arc::new(BooleanArray::from(vec![true, false]))),
            ("small", Arc::new(UInt8Array::from(vec![255, 0]))),
            ("ratio", Arc::new(Float64Array::from(vec![0.5, -2.0]))),
            ("nothing", Arc::new(NullArray::new(2))),
            ("lines", Arc::new(ListArray::new(item, offsets, Arc::new(items), None))),
            ("words", Arc::new(words.finish())),
        ]
    }

    fn written(records: &RecordBatch, compression: Compression) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".parquet").tempfile().expect("file");
        let properties = WriterProperties::builder().set_compression(compression).build();
        let target = file.reopen().expect("again");
        let mut writer = ArrowWriter::try_new(target, records.schema(), Some(properties)).expect("a writer");
        writer.write(records).expect("written");
        writer.close().expect("closed");
        file
    }

    #[test]
    fn every_type_comes_out_as_it_was_meant_whatever_the_codec() {
        let records =
            RecordBatch::try_from_iter_with_nullable(columns().into_iter().map(|(name, array)| (name, array, true)))
                .expect("a batch");
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let gzip = Compression::GZIP(GzipLevel::default());
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd, gzip] {
            let file = written(&records, compression);
            let reader = crate::open(&crate::Spec::new(file.path())).expect("opens");
            assert_eq!(reader.rows(), Some(2));
            let batches: Vec<_> = reader.map(|batch| batch.expect("reads")).collect();
            let rows: Vec<_> = (0..2).map(|index| serde_json::Value::Object(batches[0].row(index))).collect();
            let expected = serde_json::json!({
                "text": "Víctor", "plan": "Gold", "owe": "58.10", "day": "2023-01-27", "at": "2023-01-27T10:00:00Z",
                "local": "2023-01-27T10:00:00.500", "yes": true, "small": 255, "ratio": 0.5,
                "lines": [{"code": "A1", "n": 1}, {"n": 2}], "words": ["a", null],
            });
            assert_eq!(rows[0], expected, "{compression:?}");
            let expected = serde_json::json!({
                "plan": "Gold", "owe": "-0.05", "day": "1969-12-31", "at": "1970-01-01T00:00:00Z",
                "local": "1970-01-01T00:00:00", "yes": false, "small": 0, "ratio": -2.0, "lines": [{"code": "C3", "n": 3}],
            });
            assert_eq!(rows[1], expected, "{compression:?}");
        }
    }

    #[test]
    fn no_rows_and_declared_types() {
        let empty =
            RecordBatch::new_empty(Arc::new(arrow_schema::Schema::new(vec![Field::new("a", DataType::Utf8, true)])));
        let error =
            |file: &tempfile::NamedTempFile| crate::open(&crate::Spec::new(file.path())).err().expect("refused");
        let file = written(&empty, Compression::SNAPPY);
        assert!(error(&file).to_string().ends_with("has a header and no rows"));
        let mut spec = crate::Spec::new(file.path());
        spec.columns.insert("photo".into(), crate::ColumnType::Text);
        assert!(crate::open(&spec).err().expect("refused").to_string().contains("carries its own types"));
    }
}
