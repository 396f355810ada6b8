//! Several files as one input, and what tells one input from another.

use loader::{ColumnType, Format, Shape, Spec, Watched};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &[u8])]) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        for (name, content) in files {
            folder.put(name, content);
        }
        folder
    }

    fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.0.path().join(name), content).expect("written");
    }

    fn spec(&self, names: &[&str]) -> Spec {
        Spec { paths: names.iter().map(|name| self.0.path().join(name)).collect(), ..Spec::default() }
    }

    fn refused(&self, names: &[&str]) -> String {
        let error = loader::open(&self.spec(names)).err().expect("refused");
        assert!(error.hint().is_some(), "{error}");
        error.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn foreign(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/foreign").join(name)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).expect("written");
    encoder.finish().expect("packed")
}

/// `rows` rows that don't compress well.
fn many(rows: u64) -> Vec<u8> {
    let line = |at: u64| format!("{at},{:x}\n", at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    "id,name\n".chars().map(String::from).chain((0..rows).map(line)).collect::<String>().into_bytes()
}

#[test]
fn ordinals_go_on_over_files_and_rejects_name_theirs() {
    let folder = Folder::with(&[
        ("eob-2.csv", b"name,id\nBo,3\n4\n"),
        ("eob-1.csv", b"id,name\n1,Ann\n2,Zoe\n"),
        ("eob-3.csv.gz", &gzip(b"id,name\n")),
        ("eob-4.tsv", b"id\tname\n5\tEve\n"),
    ]);
    let input = loader::open(&folder.spec(&["eob-*"])).expect("opens");
    let names: Vec<_> = input.files().iter().map(|file| file.file_name().expect("a name").to_owned()).collect();
    assert_eq!(names, ["eob-1.csv", "eob-2.csv", "eob-3.csv.gz", "eob-4.tsv"]);
    let batches: Vec<_> = input.map(|batch| batch.expect("reads")).collect();
    assert_eq!(batches.iter().map(|batch| batch.first).collect::<Vec<_>>(), [1, 3, 5]);
    assert_eq!(Value::Object(batches[1].row(0)), json!({"id": "3", "name": "Bo"}));
    let reject = batches[1].rejects[0].to_string();
    assert!(reject.ends_with("eob-2.csv, line 3: has 1 fields where the header has 2"), "{reject}");
}

#[test]
fn files_that_do_not_belong_together_stop_the_run() {
    let folder = Folder::with(&[
        ("a.csv", b"id,name\n1,Ann\n"),
        ("less.csv", b"id\n1\n"),
        ("more.csv", b"id,name,note\n1,Ann,x\n"),
        ("empty.csv", b""),
        ("header.csv", b"id,name\n"),
        ("cut.csv.gz", &gzip(b"id,name\n1,Ann\n")[..12]),
    ]);
    let cases: &[(&[&str], &str)] = &[
        (&["a.csv", "less.csv"], "less.csv: has no column \"name\", which a.csv has"),
        (&["a.csv", "more.csv"], "more.csv: has a column \"note\", which a.csv has not"),
        (&["a.csv", "empty.csv"], "empty.csv: is empty"),
        (&["header.csv"], "header.csv: has a header and no rows"),
        (&["a.csv", "cut.csv.gz"], "cut.csv.gz: is cut short: its gzip stream has no end"),
        (&["a.csv", "gone.csv"], "gone.csv: No such file or directory (os error 2)"),
        (&["a.csv", "a.csv"], "a.csv: is named twice"),
        (&["."], ".: is a directory, not a file"),
    ];
    for (names, text) in cases {
        assert_eq!(folder.refused(names), *text);
    }
    assert_eq!(
        loader::open(&folder.spec(&["header.csv", "a.csv"]))
            .expect("opens")
            .map(|b| b.expect("reads").len())
            .sum::<usize>(),
        1
    );
}

#[test]
fn parquet_files_must_mean_the_same_and_text_beside_them_have_the_shape() {
    let spec = |paths: &[PathBuf]| Spec { paths: paths.to_vec(), ..Spec::default() };
    let refused = |paths: &[PathBuf]| loader::open(&spec(paths)).err().expect("refused").to_string();
    let (narrow, wide) = (foreign("pyarrow-int8.parquet"), foreign("pyarrow-uint64.parquet"));
    let input = loader::open(&spec(&[narrow.clone(), wide])).expect("integers are integers");
    assert_eq!(input.rows(), Some(7));
    assert_eq!(input.last().expect("batches").expect("reads").first, 5);
    let (day, time) = (foreign("pyarrow-date32.parquet"), foreign("pyarrow-duration-s.parquet"));
    let text = refused(&[day.clone(), time]);
    assert!(
        text.contains("column \"d\" is durations, and dates in ") && text.ends_with("pyarrow-date32.parquet"),
        "{text}"
    );
    let folder = Folder::with(&[("n.csv", b"n\n5\n"), ("l.csv", b"l\n5\n")]);
    let csv = folder.0.path().join("n.csv");
    assert_eq!(loader::open(&spec(&[csv, narrow])).expect("scalars").count(), 2);
    let text = refused(&[foreign("pyarrow-list.parquet"), folder.0.path().join("l.csv")]);
    assert!(text.contains("column \"l\" is text, and lists in "), "{text}");
    let mut typed = spec(&[day]);
    typed.columns.insert("d".into(), ColumnType::Date);
    assert!(loader::open(&typed).err().expect("refused").to_string().contains("carries its own types"));
}

#[test]
fn the_mark_at_the_end_is_that_of_the_whole_and_is_found_again() {
    let text = many(30_000);
    let folder = Folder::with(&[
        ("plain.csv", &text),
        ("packed.csv.gz", &gzip(&text)),
        ("packed.csv.zst", &zstd::encode_all(&text[..], 3).expect("packed")),
    ]);
    let spec = |paths: Vec<PathBuf>| Spec { paths, ..Spec::default() };
    let inputs = [
        folder.spec(&["plain.csv"]),
        folder.spec(&["packed.csv.gz"]),
        folder.spec(&["packed.csv.zst", "plain.csv", "packed.csv.gz"]),
        spec(vec![foreign("pyarrow-many-groups.parquet")]),
        spec(vec![foreign("duckdb-codec-zstd.parquet"), foreign("duckdb-codec-snappy.parquet")]),
    ];
    for spec in inputs {
        let whole = loader::whole(&spec).expect("read");
        let mut input = loader::open(&spec).expect("opens");
        let mut marks = Vec::new();
        while let Some(batch) = input.next() {
            batch.expect("reads");
            marks.push(input.mark());
        }
        assert_eq!(input.mark(), whole);
        marks.push(whole);
        for mark in [marks[0], marks[marks.len() / 2], whole] {
            assert!(loader::same(&spec, &mark).expect("read"));
            let other = loader::Mark { digest: [0; 32], ..mark };
            let longer = loader::Mark { octets: whole.octets + 1, ..mark };
            for (mark, expected) in [(mark, Watched::Same), (other, Watched::Differs), (longer, Watched::Differs)] {
                let mut input = loader::open(&spec).expect("opens");
                input.watch(mark);
                input.by_ref().for_each(|batch| drop(batch.expect("reads")));
                assert_eq!(input.watched(), expected);
                assert_eq!(loader::same(&spec, &mark).expect("read"), expected == Watched::Same);
            }
        }
    }
}

#[test]
fn a_mark_covers_the_rows_handed_out() {
    let text = many(100_000);
    let folder = Folder::with(&[("a.csv", &text)]);
    let mut input = loader::open(&folder.spec(&["a.csv"])).expect("opens");
    assert!(input.mark().octets < 1 << 20, "opening does not read the file");
    let mut rows = 0;
    while let Some(batch) = input.next() {
        rows += batch.expect("reads").len();
        let line_ends = text.iter().enumerate().filter(|(_, octet)| **octet == b'\n').map(|(at, _)| at + 1);
        let end = line_ends.clone().nth(rows).unwrap_or(text.len());
        assert!(input.mark().octets >= end as u64);
        if rows > 20_000 {
            break;
        }
    }
    let spec = Spec::new(foreign("pyarrow-many-groups.parquet"));
    let mut input = loader::open(&spec).expect("opens");
    let len = std::fs::metadata(&spec.paths[0]).expect("there").len();
    input.next().expect("a batch").expect("reads");
    let first = input.mark();
    assert!(first.octets > 0 && first.octets < len, "as far as its row groups");
    assert!(loader::same(&spec, &first).expect("read"));
}

#[test]
fn an_opening_is_the_content_and_its_order() {
    let text = many(200_000);
    let mut other = text.clone();
    *other.last_mut().expect("an octet") = b' ';
    let mut middle = text.clone();
    let at = middle.len() / 2;
    middle[at] = b' ';
    let files = [("a.csv", &text[..]), ("copy.csv", &text), ("tail.csv", &other), ("middle.csv", &middle)];
    let folder = Folder::with(&files);
    let opening = |names: &[&str]| loader::open(&folder.spec(names)).expect("opens").opening();
    assert_eq!(opening(&["a.csv"]), opening(&["copy.csv"]));
    assert_ne!(opening(&["a.csv"]), opening(&["tail.csv"]));
    assert_eq!(opening(&["a.csv"]), opening(&["middle.csv"]), "the watch is for that");
    assert_ne!(opening(&["a.csv", "tail.csv"]), opening(&["tail.csv", "a.csv"]));
}

#[test]
fn only_wanted_columns_come_out() {
    let folder = Folder::with(&[("a.csv", b"id,name,note\n1,Ann,x\n"), ("b.csv", b"note,id,name\ny,2,Bo\n")]);
    let csv = folder.spec(&["a.csv", "b.csv"]);
    let parquet = Spec::new(foreign("pyarrow-codec-zstd.parquet"));
    for (spec, columns, first) in [(csv, 3, json!({"id": "1"})), (parquet, 5, json!({"id": 1}))] {
        let mut input = loader::open(&spec).expect("opens");
        input.project(&|name| name == "id");
        assert_eq!(input.columns().len(), columns, "columns() tells of all");
        let batches: Vec<_> = input.map(|batch| batch.expect("reads")).collect();
        assert_eq!(Value::Object(batches[0].row(0)), first);
        assert!(batches.iter().all(|batch| batch.records.num_columns() == 1));
        let mut input = loader::open(&spec).expect("opens");
        input.project(&|_| false);
        let none: usize = input.by_ref().map(|batch| batch.expect("reads").len()).sum();
        assert_eq!(none, batches.iter().map(loader::Batch::len).sum::<usize>(), "rows without columns are rows");
        assert_eq!(input.mark(), loader::whole(&spec).expect("read"));
    }
}

#[test]
fn shapes_of_nested_columns() {
    let spec = Spec::new(foreign("pyarrow-list-struct.parquet"));
    let inner = Shape::Struct(vec![("code".into(), Shape::Scalar), ("owe".into(), Shape::Scalar)]);
    let expected = [("lines".to_owned(), Shape::List(Box::new(inner)))];
    assert_eq!(loader::open(&spec).expect("opens").columns(), expected);
    for name in ["pyarrow-map.parquet", "pyarrow-json.parquet"] {
        assert_eq!(loader::open(&Spec::new(foreign(name))).expect("opens").columns()[0].1, Shape::Unknown);
    }
}

#[test]
fn a_file_that_changes_before_its_turn_is_told() {
    for other in [&b"other\n2\n"[..], b"id\n2\n3\n"] {
        let folder = Folder::with(&[("a.csv", b"id\n1\n"), ("b.csv", b"id\n2\n")]);
        let mut input = loader::open(&folder.spec(&["a.csv", "b.csv"])).expect("opens");
        folder.put("b.csv", other);
        assert!(input.next().expect("a batch").is_ok());
        let error = input.next().expect("an end").expect_err("changed");
        assert!(error.to_string().ends_with("b.csv: was changed while the files before it were read"), "{error}");
        assert!(input.next().is_none());
    }
}

#[test]
fn an_input_may_go_to_another_thread() {
    fn sent<T: Send>(_: &T) {}
    sent(
        &loader::open(&Spec { format: Some(Format::Csv), ..Spec::new(foreign("spectrum-simple.csv")) }).expect("opens"),
    );
}
