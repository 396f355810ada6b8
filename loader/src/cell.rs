//! Cells of text columns: checked against their declared types, and collected to Arrow columns.

use crate::ColumnType;
use arrow_array::ArrayRef;
use arrow_array::builder::{BooleanBuilder, Date32Builder, Int64Builder, StringBuilder};
use arrow_schema::DataType;
use std::sync::Arc;

/// One cell, checked against its column's type. An empty field is a missing value.
pub(crate) enum Cell<'a> {
    Null,
    Text(&'a str),
    Int(i64),
    Date(i32),
    Bool(bool),
}

impl<'a> Cell<'a> {
    /// `text` as it is.
    pub(crate) fn text(text: &'a str) -> Cell<'a> {
        if text.is_empty() { Cell::Null } else { Cell::Text(text) }
    }

    /// `text` as `kind`, or nothing if it is not.
    pub(crate) fn parse(text: &'a str, kind: ColumnType) -> Option<Cell<'a>> {
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

/// The cells of one column, as they are collected.
pub(crate) enum Column {
    Text(StringBuilder),
    Int(Int64Builder),
    Date(Date32Builder),
    Bool(BooleanBuilder),
}

impl Column {
    pub(crate) fn new(kind: ColumnType) -> Column {
        match kind {
            ColumnType::Text | ColumnType::Decimal | ColumnType::Json => Column::Text(StringBuilder::new()),
            ColumnType::Int => Column::Int(Int64Builder::new()),
            ColumnType::Date => Column::Date(Date32Builder::new()),
            ColumnType::Bool => Column::Bool(BooleanBuilder::new()),
        }
    }

    pub(crate) fn append(&mut self, cell: &Cell<'_>) {
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

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Text(builder) => Arc::new(builder.finish()),
            Column::Int(builder) => Arc::new(builder.finish()),
            Column::Date(builder) => Arc::new(builder.finish()),
            Column::Bool(builder) => Arc::new(builder.finish()),
        }
    }
}

/// The Arrow type of the cells of a column of type `kind`.
pub(crate) fn data_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Text | ColumnType::Decimal | ColumnType::Json => DataType::Utf8,
        ColumnType::Int => DataType::Int64,
        ColumnType::Date => DataType::Date32,
        ColumnType::Bool => DataType::Boolean,
    }
}
