//! Rows made from the claims: each claim again and again, with its own claim number and address.

use std::error::Error;
use std::path::Path;

/// Writes `count` rows to `to`, from the claims in `from`.
///
/// # Errors
/// A file can't be read or written.
pub fn rows(from: &Path, to: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(from)?;
    let header = reader.headers()?.clone();
    let column = |name: &str| header.iter().position(|field| field == name).ok_or(format!("no column {name}"));
    let (email, claim) = (column("email")?, column("claim_id")?);
    let claims = reader.records().collect::<Result<Vec<_>, _>>()?;
    let mut writer = csv::Writer::from_path(to)?;
    writer.write_record(&header)?;
    for (number, record) in (1..=count).zip(claims.iter().cycle()) {
        let fields = record.iter().enumerate().map(|(at, field)| match at {
            at if at == email => field.replacen('@', &format!(".{number}@"), 1),
            at if at == claim => format!("{field}-{number}"),
            _ => field.to_owned(),
        });
        writer.write_record(fields)?;
    }
    writer.flush()?;
    Ok(())
}

/// The demo campaign with `input` instead of its own.
///
/// # Errors
/// The demo's files aren't there.
pub fn campaign(input: &Path) -> Result<String, Box<dyn Error>> {
    let demo = Path::new("config/demo").canonicalize()?;
    let text = std::fs::read_to_string(demo.join("eob.toml"))?;
    let types = "columns = { lines = \"json\" }";
    Ok(text
        .replace("path = \"../../tests/data/eob/eob.parquet\"", &format!("path = \"{}\"\n{types}", input.display()))
        .replace("\"eob.html.hbs\"", &format!("\"{}\"", demo.join("eob.html.hbs").display()))
        .replace("\"eob.txt.hbs\"", &format!("\"{}\"", demo.join("eob.txt.hbs").display())))
}
