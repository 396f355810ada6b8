//! Text files as batches: a header row, then one record a row, typed as declared.

use crate::cell::{self, Cell, Column};
use crate::compression::Compression;
use crate::meaning::Meaning;
use crate::records::{Fields, MAX_RECORD, Record, Records};
use crate::text::Text;
use crate::{Batch, ColumnType, Encoding, Error, Fault, Flaw, Reject, Spec};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BATCH_ROWS: usize = 1024;
/// A batch is cut early past this much content, so that memory follows octets and not only rows.
const BATCH_OCTETS: usize = 8 << 20;
const MAX_NAME: usize = 128;

/// A text file being read.
pub(crate) struct Rows {
    path: PathBuf,
    /// What rejects name, where there are several files.
    named: Option<Arc<Path>>,
    records: Records,
    compression: Option<Compression>,
    encoding: Encoding,
    names: Vec<String>,
    kinds: Vec<ColumnType>,
    built: Built,
    pending: Option<Record>,
    failed: Option<Fault>,
}

/// The columns that come out.
struct Built {
    at: Vec<usize>,
    schema: SchemaRef,
    meanings: Arc<[Meaning]>,
}

/// What is wrong with a row, and in which column.
type Flawed = (Option<usize>, Flaw);

impl Rows {
    /// Reads the header in `raw`, the content of the file at `path`, and its first record.
    pub(crate) fn open(
        raw: impl Read + Send + 'static,
        path: &Path,
        delimiter: u8,
        spec: &Spec,
    ) -> Result<Rows, Error> {
        let fail = |fault| Error::new(path, fault);
        let text = Text::open(raw, spec.encoding).map_err(fail)?;
        let (compression, encoding) = (text.compression, text.encoding);
        let reading = |cause| fail(Fault::reading(cause, compression));
        let mut records = Records::new(text.input, delimiter);
        let header = records.read().map_err(reading)?.ok_or_else(|| fail(Fault::Empty))?;
        let names = header_names(&records, &header, encoding).map_err(fail)?;
        if let Some((column, kind)) = spec.columns.iter().find(|(column, _)| !names.contains(column)) {
            return Err(fail(Fault::DeclaredColumnMissing { column: column.clone(), kind: *kind, present: names }));
        }
        let kind = |name: &String| spec.columns.get(name).copied().unwrap_or(ColumnType::Text);
        let kinds: Vec<_> = names.iter().map(kind).collect();
        let built = Built::new(&names, &kinds, (0..names.len()).collect());
        let pending = records.read().map_err(reading)?;
        let path = path.to_owned();
        Ok(Rows { path, named: None, records, compression, encoding, names, kinds, built, pending, failed: None })
    }

    /// The columns in file order.
    pub(crate) fn columns(&self) -> Vec<(String, Meaning)> {
        self.names.iter().zip(&self.kinds).map(|(name, kind)| (name.clone(), Meaning::declared(*kind))).collect()
    }

    /// Whether it has no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_none()
    }

    /// From now on rejects name the file.
    pub(crate) fn name_file(&mut self) {
        self.named = Some(self.path.as_path().into());
    }

    /// From now on only the columns that `wanted` names come out.
    pub(crate) fn project(&mut self, wanted: &dyn Fn(&str) -> bool) {
        let at = (0..self.names.len()).filter(|at| wanted(&self.names[*at])).collect();
        self.built = Built::new(&self.names, &self.kinds, at);
    }

    /// The next batch, whose first row has the ordinal `first`. One record is always read ahead, so that a file's end never
    /// makes an empty batch; where reading fails, the rows before come first.
    pub(crate) fn next(&mut self, first: u64) -> Option<Result<Batch, Error>> {
        let mut columns: Vec<_> = self.built.at.iter().map(|at| Column::new(self.kinds[*at])).collect();
        let mut rejects = Vec::new();
        let (mut index, mut octets) = (0, 0);
        while let Some(record) = self.pending.take() {
            if let Err((column, flaw)) = self.take(&record, &mut columns) {
                let column = column.map(|at| self.names[at].clone());
                rejects.push(Reject { index, file: self.named.clone(), line: record.line, column, flaw });
            }
            index += 1;
            octets += record.octets;
            match self.records.read() {
                Ok(next) => self.pending = next,
                Err(cause) => self.failed = Some(Fault::reading(cause, self.compression)),
            }
            if index == BATCH_ROWS || octets >= BATCH_OCTETS {
                break;
            }
        }
        if index == 0 {
            return self.failed.take().map(|fault| Err(Error::new(&self.path, fault)));
        }
        let arrays = columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(index));
        let records = RecordBatch::try_new_with_options(self.built.schema.clone(), arrays, &options)
            .expect("every column got one cell a row, of the schema's type");
        Some(Ok(Batch { first, records, rejects, meanings: self.built.meanings.clone() }))
    }

    /// Appends the record just read to `columns`: all of it, or all nulls and what is wrong.
    fn take(&self, record: &Record, columns: &mut [Column]) -> Result<(), Flawed> {
        let checked = self.fields(record).and_then(|fields| Ok((self.typed(&fields)?, fields)));
        let (typed, fields) =
            checked.inspect_err(|_| columns.iter_mut().for_each(|column| column.append(&Cell::Null)))?;
        let mut typed = typed.iter();
        for (at, column) in self.built.at.iter().zip(columns) {
            match self.kinds[*at] {
                ColumnType::Text => column.append(&Cell::text(fields.get(*at))),
                _ => column.append(typed.find(|(of, _)| of == at).map_or(&Cell::Null, |(_, cell)| cell)),
            }
        }
        Ok(())
    }

    /// The record just read as text: all its columns, whether they come out or not.
    fn fields(&self, record: &Record) -> Result<Fields<'_>, Flawed> {
        if record.too_long {
            return Err((None, Flaw::TooLong(MAX_RECORD)));
        }
        if record.open_quote {
            return Err((None, Flaw::OpenQuote));
        }
        if record.fields != self.kinds.len() {
            return Err((None, Flaw::FieldCount { found: record.fields, expected: self.kinds.len() }));
        }
        self.records.text(record).map_err(|at| match self.encoding {
            Encoding::Utf8 => (Some(at), Flaw::NotUtf8),
            other => (Some(at), Flaw::NotInEncoding(other)),
        })
    }

    /// The cells of the columns that are declared as more than text, with their places: only these can be at fault, and most
    /// files have none. Whether a row is well formed does not depend on which columns come out.
    fn typed<'a>(&self, fields: &Fields<'a>) -> Result<Vec<(usize, Cell<'a>)>, Flawed> {
        let kinds = self.kinds.iter().copied().enumerate().filter(|(_, kind)| *kind != ColumnType::Text);
        let cell = |(at, kind)| match Cell::parse(fields.get(at), kind) {
            Some(cell) => Ok((at, cell)),
            None => Err((Some(at), Flaw::NotOfType(kind))),
        };
        kinds.map(cell).collect()
    }
}

impl Built {
    fn new(names: &[String], kinds: &[ColumnType], at: Vec<usize>) -> Built {
        let field = |at: &usize| Field::new(&names[*at], cell::data_type(kinds[*at]), true);
        let schema = Arc::new(Schema::new(at.iter().map(field).collect::<Vec<_>>()));
        let meanings = at.iter().map(|at| Meaning::declared(kinds[*at])).collect();
        Built { at, schema, meanings }
    }
}

fn header_names(records: &Records, header: &Record, encoding: Encoding) -> Result<Vec<String>, Fault> {
    if header.too_long || header.open_quote {
        return Err(Fault::NoHeader);
    }
    let mut names: Vec<String> = Vec::with_capacity(header.fields);
    for at in 0..header.fields {
        let name = std::str::from_utf8(records.field(at)).map_err(|_| Fault::HeaderNotInEncoding(encoding))?.trim();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn rows(content: &[u8], declare: &[(&str, ColumnType)]) -> Result<Vec<Batch>, Error> {
        read(content, declare, Some(Encoding::Utf8))
    }

    fn read(content: &[u8], declare: &[(&str, ColumnType)], encoding: Option<Encoding>) -> Result<Vec<Batch>, Error> {
        let mut file = tempfile::Builder::new().suffix(".csv").tempfile().expect("temporary file");
        file.write_all(content).expect("write");
        let mut spec = Spec { encoding, ..Spec::new(file.path()) };
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
            let spec = Spec { delimiter: Some(delimiter), ..Spec::new(file.path()) };
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
    fn nulls_in_json_are_missing_but_in_lists() {
        let content = b"a\n\"[{\"\"code\"\":\"\"A\"\",\"\"owe\"\":null},null,[null,{\"\"x\"\":null}]]\"\nnull\n";
        let batches = rows(content, &[("a", ColumnType::Json)]).expect("readable");
        assert_eq!(batches[0].row(0)["a"], serde_json::json!([{"code": "A"}, null, [null, {}]]));
        assert!(batches[0].row(1).is_empty());
    }

    /// A last record without a line end, as long as the buffer is at that moment, or with as many fields.
    #[test]
    fn a_file_that_ends_where_the_buffer_does() {
        let short = "x".repeat(16 * 1024 - 1);
        for (first, flaws) in [("1", 0), ("\"1", 1)] {
            for second in [short.clone(), format!("{short}x"), "x".repeat(32 * 1024 - 1), "x".repeat(4096)] {
                let content = match flaws {
                    0 => format!("a,b\n{first},{second}"),
                    _ => format!("a,b\n{second},{first}"),
                };
                let batches = rows(content.as_bytes(), &[]).expect("readable");
                assert_eq!(batches[0].rejects.len(), flaws, "{} octets", second.len());
                assert!(batches[0].rejects.iter().all(|reject| reject.flaw == Flaw::OpenQuote));
            }
        }
        let names: Vec<_> = (0..256).map(|at| format!("n{at}")).collect();
        let many = format!("{}\n{}", names.join(","), vec!["1"; 256].join(","));
        assert_eq!(rows(many.as_bytes(), &[]).expect("readable")[0].rejects, []);
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
        let error = read(b"a,b\n1,2\n3,\xff\n", &[], None).expect_err("another encoding");
        assert_eq!(error.hint().as_deref(), Some("set encoding = \"latin1\" under [input]"));
        let error = rows(b"a\n1\n", &[("b", ColumnType::Int)]).expect_err("no such column");
        assert_eq!(error.hint().as_deref(), Some("its columns are: a"));
    }

    #[test]
    fn octets_past_the_look_that_are_not_utf8_cost_their_row() {
        let mut content = b"a,b\n".to_vec();
        content.extend(b"x,y\n".repeat(20_000));
        content.extend(b"\xc3,\xa9\nx,\xe9\n");
        let batches = read(&content, &[], None).expect("readable");
        let flaws: Vec<_> = batches.iter().flat_map(|batch| &batch.rejects).map(ToString::to_string).collect();
        let expected = ["line 20002, column \"a\": is not UTF-8 text", "line 20003, column \"b\": is not UTF-8 text"];
        assert_eq!(flaws, expected);
    }

    #[test]
    fn other_encodings_as_declared() {
        let text = "name,b\r\n\"Zoë, €\",1\r\n";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        let half: Vec<u8> = [&le[..], b"\0\xd8,\x002\0\r\0\n\0x\0,\x003\0"].concat();
        let latin = encoding_rs::WINDOWS_1252.encode(text).0;
        for (content, encoding) in [(&le[..], Encoding::Utf16), (&be, Encoding::Utf16), (&latin, Encoding::Latin1)] {
            let batches = read(content, &[], Some(encoding)).expect("readable");
            assert_eq!(batches[0].row(0)["name"], "Zoë, €");
            assert!(read(content, &[], None).is_err(), "not UTF-8");
        }
        let batches = read(&half, &[], Some(Encoding::Utf16)).expect("readable");
        let found: Vec<_> = batches[0].rejects.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["line 3, column \"name\": is not UTF-16 text"]);
        assert_eq!(batches[0].row(2)["name"], "x");
    }

    #[test]
    fn columns_that_are_not_wanted_are_checked_and_left_out() {
        let mut file = tempfile::Builder::new().suffix(".csv").tempfile().expect("temporary file");
        file.write_all(b"a,b,c\n1,2,3\n1,x,2\n3,\xff,4\n5,6\n").expect("write");
        let mut spec = Spec { encoding: Some(Encoding::Utf8), ..Spec::new(file.path()) };
        spec.columns = [("a".to_owned(), ColumnType::Int), ("b".to_owned(), ColumnType::Int)].into();
        let mut input = crate::open(&spec).expect("opens");
        input.project(&|name| name != "b");
        assert_eq!(input.columns().len(), 3);
        let batch = input.next().expect("a batch").expect("reads");
        assert_eq!(serde_json::Value::Object(batch.row(0)), serde_json::json!({"a": 1, "c": "3"}));
        let flaws: Vec<_> = batch.rejects.iter().map(|reject| (reject.index, &reject.flaw)).collect();
        let not_int = Flaw::NotOfType(ColumnType::Int);
        assert_eq!(flaws, [(1, &not_int), (2, &Flaw::NotUtf8), (3, &Flaw::FieldCount { found: 2, expected: 3 })]);
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
