//! Files that other programs wrote, held against what their writers meant. `FOREIGN.md` is the table of them: one line per
//! file, with what is declared of it, and whether it is read or refused. The rows a file must have are in `FILE.json`: an
//! object for a good row, the reason for a malformed one.

use loader::{ColumnType, Encoding, Spec};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

struct Line {
    file: String,
    declared: String,
    outcome: String,
}

#[test]
fn every_file_is_read_as_its_writer_meant_it_or_refused_with_a_reason() {
    let wrong: Vec<_> =
        table().iter().filter_map(|line| check(line).err().map(|why| format!("{}: {why}", line.file))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_lists_exactly_the_files_in_the_folder() {
    let listed: BTreeSet<_> = table().into_iter().map(|line| line.file).collect();
    let names = std::fs::read_dir(data()).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let there: BTreeSet<_> =
        names.map(|name| name.into_string().expect("text")).filter(|name| !name.ends_with(".json")).collect();
    assert_eq!(listed, there);
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/foreign")
}

fn table() -> Vec<Line> {
    let lines =
        include_str!("FOREIGN.md").lines().filter(|line| line.starts_with("| ") && !line.starts_with("| file |"));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    lines
        .map(|line| match cells(line).as_slice() {
            [file, declared, _writer, _shows, outcome] => {
                Line { file: file.clone(), declared: declared.clone(), outcome: outcome.clone() }
            }
            other => panic!("{other:?} is no line of the table"),
        })
        .collect()
}

fn spec(line: &Line) -> Spec {
    let mut spec = Spec::new(data().join(&line.file));
    for word in line.declared.split_whitespace() {
        match word.split_once(['=', ':']).expect("a declaration") {
            ("encoding", name) => {
                let all = [Encoding::Utf8, Encoding::Latin1, Encoding::Utf16];
                spec.encoding = all.into_iter().find(|encoding| encoding.word() == name);
            }
            ("delimiter", "pipe") => spec.delimiter = Some(b'|'),
            ("delimiter", text) => spec.delimiter = text.bytes().next(),
            (column, word) => {
                let kind: ColumnType = serde_json::from_value(word.into()).expect("a type");
                spec.columns.insert(column.to_owned(), kind);
            }
        }
    }
    spec
}

/// The rows of the file, the reasons of malformed ones in their places, and what ended it if not its end.
fn read(spec: &Spec) -> Result<(Vec<Value>, Option<loader::Error>), loader::Error> {
    let mut rows = Vec::new();
    for batch in loader::open(spec)? {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Ok((rows, Some(error))),
        };
        assert_eq!(batch.first, rows.len() as u64 + 1);
        let first = rows.len();
        rows.extend((0..batch.len()).map(|index| Value::Object(batch.row(index))));
        for reject in &batch.rejects {
            rows[first + reject.index] = reject.to_string().into();
        }
    }
    Ok((rows, None))
}

fn check(line: &Line) -> Result<(), String> {
    let read = read(&spec(line));
    if let Some(text) = line.outcome.strip_prefix("refused: ") {
        return match read {
            Ok(_) => Err("was read".into()),
            Err(error) if error.to_string().contains(text) && error.hint().is_some() => Ok(()),
            Err(error) => Err(format!("refused otherwise: {error}, hint {:?}", error.hint())),
        };
    }
    let (rows, end) = read.map_err(|error| format!("was refused: {error}"))?;
    let expected =
        std::fs::read_to_string(data().join(format!("{}.json", line.file))).map_err(|why| why.to_string())?;
    let expected: Vec<Value> = serde_json::from_str(&expected).map_err(|why| why.to_string())?;
    let good_end = match (line.outcome.split_once(" rows, then: "), &end) {
        (None, None) => true,
        (Some((_, text)), Some(error)) => error.to_string().contains(text),
        _ => false,
    };
    if !good_end {
        return Err(format!("after {} rows it ended otherwise: {end:?}", rows.len()));
    }
    if rows.len() != expected.len() {
        return Err(format!("has {} rows, not {}", rows.len(), expected.len()));
    }
    match rows.iter().zip(&expected).position(|(found, expected)| found != expected) {
        Some(at) => Err(format!("row {} is {}, not {}", at + 1, rows[at], expected[at])),
        None => Ok(()),
    }
}
