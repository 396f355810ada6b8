//! What the operator declares about an input file.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The kind of file, taken from its name's ending unless declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// RFC 4180 text with a header row.
    Csv,
    /// Apache Parquet.
    Parquet,
}

/// The type of a CSV column. Undeclared columns are text: a ZIP code keeps its zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// As written.
    Text,
    /// A 64-bit signed integer.
    Int,
    /// A decimal number, kept digit for digit (`77.50` stays `77.50`).
    Decimal,
    /// A calendar date, `YYYY-MM-DD`.
    Date,
    /// `true` or `false`, in any case.
    Bool,
    /// A JSON value; templates see its inside.
    Json,
}

impl ColumnType {
    /// The word a campaign file uses for it.
    pub fn word(self) -> &'static str {
        match self {
            ColumnType::Text => "text",
            ColumnType::Int => "int",
            ColumnType::Decimal => "decimal",
            ColumnType::Date => "date",
            ColumnType::Bool => "bool",
            ColumnType::Json => "json",
        }
    }
}

/// One input file as declared.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Where it is.
    pub path: PathBuf,
    /// Its kind; `None` takes it from the name's ending.
    pub format: Option<Format>,
    /// The byte between two CSV fields.
    pub delimiter: u8,
    /// Declared types of CSV columns, by column name.
    pub columns: BTreeMap<String, ColumnType>,
}

impl Spec {
    /// `path` with nothing declared about it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Spec { path: path.into(), format: None, delimiter: b',', columns: BTreeMap::new() }
    }
}
