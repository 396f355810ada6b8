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
    fn no_rows_a_type_that_is_not_supported_and_declared_types() {
        let empty =
            RecordBatch::new_empty(Arc::new(arrow_schema::Schema::new(vec![Field::new("a", DataType::Utf8, true)])));
        let error =
            |file: &tempfile::NamedTempFile| crate::open(&crate::Spec::new(file.path())).err().expect("refused");
        let file = written(&empty, Compression::SNAPPY);
        assert!(error(&file).to_string().ends_with("has a header and no rows"));
        let binary: ArrayRef = Arc::new(arrow_array::BinaryArray::from(vec![b"x".as_slice()]));
        let records = RecordBatch::try_from_iter([("photo", binary)]).expect("a batch");
        let file = written(&records, Compression::SNAPPY);
        assert!(error(&file).to_string().contains("column \"photo\" has the type Binary"), "{}", error(&file));
        let mut spec = crate::Spec::new(file.path());
        spec.columns.insert("photo".into(), crate::ColumnType::Text);
        assert!(crate::open(&spec).err().expect("refused").to_string().contains("carries its own types"));
    }
}
