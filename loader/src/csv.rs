//! CSV files as batches: RFC 4180 with any one-byte delimiter, CR LF or LF, an optional byte order mark, a header row.
//!
//! Records are split by `csv-core` into a buffer of our own. A record past [`MAX_RECORD`] is read on and thrown away, so
//! that a quote left open costs one row's memory and not the machine's.

use crate::shape::EXTENSION;
use crate::{Batch, ColumnType, Error, Fault, Flaw, Reject, Shape, Spec};
use arrow_array::builder::{BooleanBuilder, Date32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use csv_core::ReadRecordResult;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;

/// The longest record, in octets of content: a row that rendered into a message would exceed what receivers take long before.
pub(crate) const MAX_RECORD: usize = 4 << 20;
const BATCH_ROWS: usize = 1024;
/// A batch is cut early past this much content, so that memory follows octets and not only rows.
const BATCH_OCTETS: usize = 8 << 20;
const MAX_COLUMNS: usize = 10_000;
const MAX_NAME: usize = 128;

pub(crate) struct Rows {
    path: PathBuf,
    records: Records,
    schema: SchemaRef,
    kinds: Vec<ColumnType>,
    pending: Option<Record>,
    next: u64,
}

impl Rows {
    pub(crate) fn open(file: File, spec: &Spec) -> Result<Rows, Error> {
        let fail = |fault| Error::new(&spec.path, fault);
        let mut records = Records::new(file, spec.delimiter);
        let header = records.read().map_err(|cause| fail(cause.into()))?.ok_or_else(|| fail(Fault::Empty))?;
        let names = header_names(&records, &header).map_err(fail)?;
        if let Some((column, kind)) = spec.columns.iter().find(|(column, _)| !names.contains(column)) {
            return Err(fail(Fault::DeclaredColumnMissing { column: column.clone(), kind: *kind, present: names }));
        }
        let kinds: Vec<_> =
            names.iter().map(|name| spec.columns.get(name).copied().unwrap_or(ColumnType::Text)).collect();
        let schema = Schema::new(names.iter().zip(&kinds).map(|(name, kind)| field(name, *kind)).collect::<Vec<_>>());
        let pending = records.read().map_err(|cause| fail(cause.into()))?;
        if pending.is_none() {
            return Err(fail(Fault::HeaderOnly));
        }
        Ok(Rows { path: spec.path.clone(), records, schema: Arc::new(schema), kinds, pending, next: 1 })
    }

    pub(crate) fn columns(&self) -> Vec<(String, Shape)> {
        let shape = |kind: &ColumnType| if *kind == ColumnType::Json { Shape::Unknown } else { Shape::Scalar };
        self.schema.fields().iter().zip(&self.kinds).map(|(field, kind)| (field.name().clone(), shape(kind))).collect()
    }

    /// The next batch. One record is always read ahead, so that a file's end never makes an empty batch.
    pub(crate) fn next(&mut self) -> Option<Result<Batch, Error>> {
        let mut columns: Vec<Column> = self.kinds.iter().map(|kind| Column::new(*kind)).collect();
        let mut rejects = Vec::new();
        let mut index = 0;
        let mut octets = 0;
        while let Some(record) = self.pending.take() {
            if let Err((column, flaw)) = self.take(&record, &mut columns) {
                let column = column.map(|at| self.schema.field(at).name().clone());
                rejects.push(Reject { index, line: record.line, column, flaw });
            }
            index += 1;
            octets += record.octets;
            match self.records.read() {
                Ok(next) => self.pending = next,
                Err(cause) => return Some(Err(Error::new(&self.path, cause.into()))),
            }
            if index == BATCH_ROWS || octets >= BATCH_OCTETS {
                break;
            }
        }
        if index == 0 {
            return None;
        }
        let first = self.next;
        self.next += index as u64;
        let arrays = columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(index));
        let records = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .expect("every column got one cell a row, of the schema's type");
        Some(Ok(Batch { first, records, rejects }))
    }

    /// Appends the record just read to `columns`: all of it, or all nulls and what is wrong.
    fn take(&self, record: &Record, columns: &mut [Column]) -> Result<(), (Option<usize>, Flaw)> {
        let parsed = self.parse(record);
        for (at, column) in columns.iter_mut().enumerate() {
            match &parsed {
                Ok(cells) => column.append(&cells[at]),
                Err(_) => column.append(&Cell::Null),
            }
        }
        parsed.map(drop)
    }

    fn parse(&self, record: &Record) -> Result<Vec<Cell<'_>>, (Option<usize>, Flaw)> {
        if record.too_long {
            return Err((None, Flaw::TooLong(MAX_RECORD)));
        }
        if record.open_quote {
            return Err((None, Flaw::OpenQuote));
        }
        if record.fields != self.kinds.len() {
            return Err((None, Flaw::FieldCount { found: record.fields, expected: self.kinds.len() }));
        }
        (0..record.fields)
            .map(|at| {
                let text = std::str::from_utf8(self.records.field(at)).map_err(|_| (Some(at), Flaw::NotUtf8))?;
                Cell::parse(text, self.kinds[at]).ok_or((Some(at), Flaw::NotOfType(self.kinds[at])))
            })
            .collect()
    }
}

fn header_names(records: &Records, header: &Record) -> Result<Vec<String>, Fault> {
    if header.too_long || header.open_quote {
        return Err(Fault::NoHeader);
    }
    let mut names: Vec<String> = Vec::with_capacity(header.fields);
    for at in 0..header.fields {
        let name = std::str::from_utf8(records.field(at)).map_err(|_| Fault::HeaderNotUtf8)?.trim();
        // Names are shown in errors, data must not be: a file without a header has an address in its first row.
        if name.contains('@') || name.contains(char::is_control) || name.len() > MAX_NAME {
            return Err(Fault::NoHeader);
        }
        if name.is_empty() {
            return Err(Fault::UnnamedColumn(at + 1));
        }
        if names.iter().any(|other| other == name) {
            return Err(Fault::SameColumnTwice(name.to_owned()));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn field(name: &str, kind: ColumnType) -> Field {
    let of = |data_type| Field::new(name, data_type, true);
    match kind {
        ColumnType::Text | ColumnType::Decimal => of(DataType::Utf8),
        ColumnType::Int => of(DataType::Int64),
        ColumnType::Date => of(DataType::Date32),
        ColumnType::Bool => of(DataType::Boolean),
        ColumnType::Json => of(DataType::Utf8).with_metadata([(EXTENSION.0.into(), EXTENSION.1.into())].into()),
    }
}

/// One cell, checked against its column's type. An empty field is a missing value.
enum Cell<'a> {
    Null,
    Text(&'a str),
    Int(i64),
    Date(i32),
    Bool(bool),
}

impl<'a> Cell<'a> {
    fn parse(text: &'a str, kind: ColumnType) -> Option<Cell<'a>> {
        if text.is_empty() {
            return Some(Cell::Null);
        }
        match kind {
            ColumnType::Text => Some(Cell::Text(text)),
            ColumnType::Int => text.trim().parse().ok().map(Cell::Int),
            ColumnType::Decimal => is_decimal(text.trim()).then(|| Cell::Text(text.trim())),
            ColumnType::Date => days(text.trim()).map(Cell::Date),
            ColumnType::Bool if text.eq_ignore_ascii_case("true") => Some(Cell::Bool(true)),
            ColumnType::Bool if text.eq_ignore_ascii_case("false") => Some(Cell::Bool(false)),
            ColumnType::Bool => None,
            ColumnType::Json => serde_json::from_str::<serde::de::IgnoredAny>(text).ok().map(|_| Cell::Text(text)),
        }
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

/// Days since 1970-01-01 of a `YYYY-MM-DD` date, as Arrow's `Date32` counts them.
fn days(text: &str) -> Option<i32> {
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(chrono::NaiveDate::default()).num_days()).ok()
}

enum Column {
    Text(StringBuilder),
    Int(Int64Builder),
    Date(Date32Builder),
    Bool(BooleanBuilder),
}

impl Column {
    fn new(kind: ColumnType) -> Column {
        match kind {
            ColumnType::Text | ColumnType::Decimal | ColumnType::Json => Column::Text(StringBuilder::new()),
            ColumnType::Int => Column::Int(Int64Builder::new()),
            ColumnType::Date => Column::Date(Date32Builder::new()),
            ColumnType::Bool => Column::Bool(BooleanBuilder::new()),
        }
    }

    fn append(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Column::Text(builder), Cell::Text(text)) => builder.append_value(text),
            (Column::Int(builder), Cell::Int(number)) => builder.append_value(*number),
            (Column::Date(builder), Cell::Date(days)) => builder.append_value(*days),
            (Column::Bool(builder), Cell::Bool(truth)) => builder.append_value(*truth),
            (Column::Text(builder), _) => builder.append_null(),
            (Column::Int(builder), _) => builder.append_null(),
            (Column::Date(builder), _) => builder.append_null(),
            (Column::Bool(builder), _) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Text(builder) => Arc::new(builder.finish()),
            Column::Int(builder) => Arc::new(builder.finish()),
            Column::Date(builder) => Arc::new(builder.finish()),
            Column::Bool(builder) => Arc::new(builder.finish()),
        }
    }
}

/// What is known of the record whose content stands in [`Records`].
#[derive(Clone, Copy, Debug)]
struct Record {
    line: u64,
    fields: usize,
    octets: usize,
    too_long: bool,
    open_quote: bool,
}

/// The file split into records; holds the content of the last one.
struct Records {
    input: BufReader<File>,
    parser: csv_core::Reader,
    content: Vec<u8>,
    ends: Vec<usize>,
}

impl Records {
    fn new(file: File, delimiter: u8) -> Records {
        Records {
            input: BufReader::with_capacity(256 * 1024, file),
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            content: vec![0; 16 * 1024],
            ends: vec![0; 256],
        }
    }

    fn field(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.content[start..self.ends[at]]
    }

    /// Reads one record, or `None` at the file's end.
    fn read(&mut self) -> std::io::Result<Option<Record>> {
        let (mut written, mut fields, mut quotes) = (0, 0, 0_usize);
        let (mut too_long, mut open_quote, mut probed) = (false, false, false);
        let mut line = self.parser.line();
        loop {
            let input = match self.input.fill_buf() {
                Ok(input) => input,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(cause),
            };
            // At the file's end a line end is offered first: one that does not end the record stands inside a quote.
            let at_end = input.is_empty();
            let in_record = written > 0 || fields > 0 || quotes > 0;
            let probing = at_end && in_record && !probed;
            let input = if probing { b"\n".as_slice() } else { input };
            let (result, taken, wrote, ended) =
                self.parser.read_record(input, &mut self.content[written..], &mut self.ends[fields..]);
            if written == 0 && fields == 0 && quotes == 0 {
                // Blank lines before the record belong to nobody.
                line += input[..taken]
                    .iter()
                    .take_while(|octet| matches!(octet, b'\r' | b'\n'))
                    .filter(|o| **o == b'\n')
                    .count() as u64;
            }
            quotes += input[..taken].iter().filter(|octet| **octet == b'"').count();
            self.input.consume(if probing { 0 } else { taken });
            open_quote |= probing && result == ReadRecordResult::InputEmpty;
            probed |= probing;
            written += wrote;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.content.len() < MAX_RECORD => {
                    self.content.resize(self.content.len() * 2, 0);
                }
                ReadRecordResult::OutputFull => (written, too_long) = (0, true),
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_COLUMNS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => (fields, too_long) = (0, true),
                ReadRecordResult::Record => {
                    return Ok(Some(Record { line, fields, octets: written, too_long, open_quote }));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn rows(content: &[u8], declare: &[(&str, ColumnType)]) -> Result<Vec<Batch>, Error> {
        let mut file = tempfile::Builder::new().suffix(".csv").tempfile().expect("temporary file");
        file.write_all(content).expect("write");
        let mut spec = Spec::new(file.path());
        spec.columns = declare.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        crate::open(&spec)?.collect()
    }

    #[test]
    fn reads_what_rfc_4180_allows() {
        let cases: &[(&str, &[u8])] = &[
            ("LF", b"a,b\n1,\"x \"\"y\"\", z\"\n"),
            ("CR LF", b"a,b\r\n1,\"x \"\"y\"\", z\"\r\n"),
            ("byte order mark", b"\xef\xbb\xbfa,b\n1,\"x \"\"y\"\", z\"\n"),
            ("no newline at the end", b"a,b\n1,\"x \"\"y\"\", z\""),
            ("blank lines", b"a,b\n\n1,\"x \"\"y\"\", z\"\n\n"),
        ];
        for (name, content) in cases {
            let batches = rows(content, &[]).expect(name);
            assert_eq!(batches.len(), 1, "{name}");
            assert!(batches[0].rejects.is_empty(), "{name}");
            let row = serde_json::Value::Object(batches[0].row(0));
            assert_eq!(row, serde_json::json!({"a": "1", "b": "x \"y\", z"}), "{name}");
        }
    }

    #[test]
    fn any_delimiter() {
        for delimiter in [b';', b'\t', b'|'] {
            let content = "a,b\n1,\"x,y\"\n".replace(',', std::str::from_utf8(&[delimiter]).expect("ASCII"));
            let mut file = tempfile::Builder::new().suffix(".csv").tempfile().expect("temporary file");
            file.write_all(content.as_bytes()).expect("write");
            let spec = Spec { delimiter, ..Spec::new(file.path()) };
            let batch = crate::open(&spec).expect("opens").next().expect("a batch").expect("reads");
            assert_eq!(batch.row(0)["b"], format!("x{}y", char::from(delimiter)));
        }
    }

    #[test]
    fn declared_types_and_empty_fields() {
        let declare = [
            ("n", ColumnType::Int),
            ("m", ColumnType::Decimal),
            ("d", ColumnType::Date),
            ("t", ColumnType::Bool),
            ("j", ColumnType::Json),
        ];
        let batches = rows(b"z,n,m,d,t,j\n01234,-7,77.50,2024-02-29,TRUE,\"[{\"\"a\"\":1}]\"\n,,,,,\n", &declare)
            .expect("readable");
        let row = serde_json::Value::Object(batches[0].row(0));
        let expected =
            serde_json::json!({"z": "01234", "n": -7, "m": "77.50", "d": "2024-02-29", "t": true, "j": [{"a": 1}]});
        assert_eq!(row, expected);
        assert!(batches[0].row(1).is_empty(), "empty fields are missing values");
    }

    #[test]
    fn a_malformed_row_is_named_and_keeps_its_place() {
        let content = b"a,b\n1,2\n3\n4,\xff\n5,x\n\n6,7\n8,9,10\n";
        let batches = rows(content, &[("b", ColumnType::Int)]).expect("readable");
        let found: Vec<_> = batches[0].rejects.iter().map(|reject| (reject.index, reject.to_string())).collect();
        assert_eq!(
            found,
            [
                (1, "line 3: has 1 fields where the header has 2".to_owned()),
                (2, "line 4, column \"b\": is not UTF-8 text".to_owned()),
                (3, "line 5, column \"b\": is not of the declared type int".to_owned()),
                (5, "line 8: has 3 fields where the header has 2".to_owned()),
            ]
        );
        assert_eq!(batches[0].len(), 6);
    }

    #[test]
    fn a_ten_megabyte_field_costs_one_row() {
        let mut content = b"a,b\n1,".to_vec();
        content.resize(content.len() + (10 << 20), b'x');
        content.extend_from_slice(b"\n2,y\n");
        let batches = rows(&content, &[]).expect("readable");
        let flaws: Vec<_> = batches.iter().flat_map(|batch| &batch.rejects).map(|reject| &reject.flaw).collect();
        assert_eq!(flaws, [&Flaw::TooLong(MAX_RECORD)]);
        let last = batches.last().expect("a batch");
        assert_eq!(last.row(last.len() - 1)["b"], "y");
    }

    #[test]
    fn an_open_quote_is_told() {
        let batches = rows(b"a,b\n1,\"x\n2,y\n", &[]).expect("readable");
        assert_eq!(batches[0].rejects[0].flaw, Flaw::OpenQuote);
        assert_eq!(batches[0].rejects[0].line, 2);
        for whole in [&b"a,b\n1,5\" pipe"[..], b"a,b\n1,\"\"", b"a,b\n1,\"x\"", b"a,b\n1,2"] {
            assert!(rows(whole, &[]).expect("readable")[0].rejects.is_empty(), "{}", String::from_utf8_lossy(whole));
        }
    }

    #[test]
    fn files_that_stop_a_run() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "is empty"),
            (b"a,b\n", "has a header and no rows"),
            (b"a,\xff\n1,2\n", "its header is not UTF-8 text"),
            (b"a,,c\n1,2,3\n", "column 2 of its header has no name"),
            (b"ann@b.example,7\n1,2\n", "its first row does not look like a header"),
            (b"a,\"b\n1,2\n", "its first row does not look like a header"),
            (b"a,b,a\n1,2,3\n", "has two columns named \"a\""),
        ];
        for (content, text) in cases {
            let error = rows(content, &[]).expect_err(text);
            assert!(error.to_string().ends_with(text), "{error}");
        }
        let error = rows(b"a\n1\n", &[("b", ColumnType::Int)]).expect_err("no such column");
        assert_eq!(error.hint().as_deref(), Some("its columns are: a"));
    }

    proptest::proptest! {
        /// Whatever the octets, the reader neither panics nor loses count.
        #[test]
        fn any_octets(content in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let mut file = b"a,b\n".to_vec();
            file.extend(content);
            if let Ok(batches) = rows(&file, &[("b", ColumnType::Int)]) {
                let mut next = 1;
                for batch in batches {
                    proptest::prop_assert_eq!(batch.first, next);
                    next += batch.len() as u64;
                }
            }
        }
    }
}
