//! The declared type of a text column.

use serde::Deserialize;

/// The type of a CSV or TSV column. Undeclared columns are text: a ZIP code keeps its zero.
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
