//! Rows made from the claims: each claim again and again, with its own claim number and address.

use arrow_array::{ArrayRef, RecordBatch, StringArray, cast::AsArray};
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What kind of file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text, the claim's lines as JSON.
    Csv,
    /// Typed columns, the claim's lines as a nested list; zstd.
    Parquet,
}

impl Format {
    pub fn word(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        }
    }
}

/// Writes `count` rows into `folder`, from the claims in `tests/data/eob`.
///
/// # Errors
/// A file can't be read or written.
pub fn rows(format: Format, folder: &Path, count: u64) -> Result<PathBuf, Box<dyn Error>> {
    let to = folder.join(format!("rows.{}", format.word()));
    match format {
        Format::Csv => csv_rows(Path::new("tests/data/eob/eob.csv"), &to, count)?,
        Format::Parquet => parquet_rows(Path::new("tests/data/eob/eob.parquet"), &to, count)?,
    }
    Ok(to)
}

/// A claim's address with the row's number in it.
fn address(claims: &str, number: u64) -> String {
    claims.replacen('@', &format!(".{number}@"), 1)
}

fn csv_rows(from: &Path, to: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(from)?;
    let header = reader.headers()?.clone();
    let column = |name: &str| header.iter().position(|field| field == name).ok_or(format!("no column {name}"));
    let (email, claim) = (column("email")?, column("claim_id")?);
    let claims = reader.records().collect::<Result<Vec<_>, _>>()?;
    let mut writer = csv::Writer::from_path(to)?;
    writer.write_record(&header)?;
    for (number, record) in (1..=count).zip(claims.iter().cycle()) {
        let fields = record.iter().enumerate().map(|(at, field)| match at {
            at if at == email => address(field, number),
            at if at == claim => format!("{field}-{number}"),
            _ => field.to_owned(),
        });
        writer.write_record(fields)?;
    }
    writer.flush()?;
    Ok(())
}

fn parquet_rows(from: &Path, to: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let claims = ParquetRecordBatchReaderBuilder::try_new(File::open(from)?)?.build()?;
    let claims = claims.collect::<Result<Vec<_>, _>>()?;
    let schema = claims.first().ok_or("no claims")?.schema();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // What DuckDB writes: a row group is what a reader must hold.
        .set_max_row_group_row_count(Some(122_880))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(to)?, schema, Some(properties))?;
    let mut written = 0;
    for batch in claims.iter().cycle() {
        if written == count {
            break;
        }
        let length = usize::try_from(count - written)?.min(batch.num_rows());
        writer.write(&numbered(&batch.slice(0, length), written)?)?;
        written += length as u64;
    }
    writer.close()?;
    Ok(())
}

/// `batch` with addresses and claim numbers of the rows after `before`.
fn numbered(batch: &RecordBatch, before: u64) -> Result<RecordBatch, Box<dyn Error>> {
    let replace = |name: &str, make: &dyn Fn(&str, u64) -> String| -> Result<(usize, ArrayRef), Box<dyn Error>> {
        let at = batch.schema().index_of(name)?;
        let texts = batch.column(at).as_string::<i32>().iter().zip(before + 1..);
        let array: StringArray = texts.map(|(text, number)| text.map(|text| make(text, number))).collect();
        Ok((at, Arc::new(array)))
    };
    let mut columns = batch.columns().to_vec();
    for (at, array) in [replace("email", &address)?, replace("claim_id", &|claim, number| format!("{claim}-{number}"))?]
    {
        columns[at] = array;
    }
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Letter {
    /// The demo's notice, 18 KB.
    Demo,
    /// A shorter one, 7 KB.
    Notice,
}

impl Letter {
    pub fn word(self) -> &'static str {
        match self {
            Letter::Demo => "demo",
            Letter::Notice => "notice",
        }
    }

    /// Its templates, HTML and text.
    fn templates(self) -> [&'static str; 2] {
        match self {
            Letter::Demo => ["config/demo/eob.html.hbs", "config/demo/eob.txt.hbs"],
            Letter::Notice => ["perf/templates/notice.html.hbs", "perf/templates/notice.txt.hbs"],
        }
    }
}

/// The demo campaign with `input` instead of its own, and this letter.
///
/// # Errors
/// The demo's files aren't there, or no longer say what is replaced here.
pub fn campaign(input: &Path, format: Format, letter: Letter) -> Result<String, Box<dyn Error>> {
    let mut text = std::fs::read_to_string("config/demo/eob.toml")?;
    let [html, plain] = letter.templates().map(|path| Path::new(path).canonicalize());
    let (html, plain) = (html?, plain?);
    let types = if format == Format::Csv { "\ncolumns = { lines = \"json\" }" } else { "" };
    let own = "path = \"../../tests/data/eob/eob.parquet\"";
    for (from, to) in [
        (own, format!("path = \"{}\"{types}", input.display())),
        ("\"eob.html.hbs\"", format!("\"{}\"", html.display())),
        ("\"eob.txt.hbs\"", format!("\"{}\"", plain.display())),
    ] {
        if !text.contains(from) {
            return Err(format!("config/demo/eob.toml no longer has {from}").into());
        }
        text = text.replace(from, &to);
    }
    Ok(text)
}

/// The demo's machine, with metrics that outlive the run by a second.
///
/// # Errors
/// The demo's file isn't there.
pub fn machine() -> Result<String, Box<dyn Error>> {
    let text = std::fs::read_to_string("config/demo/sealpost.toml")?;
    Ok(format!("{text}\n[metrics]\nlinger = \"1s\"\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::plan::Campaign;

    #[test]
    fn generated_rows_make_letters_of_the_size_that_is_said() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        std::env::set_current_dir(root).expect("tests run in their crate's folder");
        let folder = std::env::temp_dir().join(format!("sealpost-perf-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (format, letter, size) in
            [(Format::Csv, Letter::Notice, 5_800..7_300), (Format::Parquet, Letter::Demo, 16_000..20_000)]
        {
            let input = rows(format, &folder, 3).expect("rows");
            let path = folder.join("perf.toml");
            std::fs::write(&path, campaign(&input, format, letter).expect("a campaign")).expect("written");
            Campaign::read(&path).expect("a good campaign");
            let messages = crate::messages::write(&path, &folder.join("messages")).expect("messages");
            assert_eq!(messages.count, 3);
            assert!(size.contains(&(messages.size / 3)), "{} octets, {}", messages.size / 3, letter.word());
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
