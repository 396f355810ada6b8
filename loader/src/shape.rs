//! What templates can expect to find under a column's name.

use crate::error::Fault;
use arrow_schema::{DataType, Field};

/// The structure of a column's values, as far as the file tells before a row is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Text, a number, a date: nothing inside.
    Scalar,
    /// A list of values of one shape.
    List(Box<Shape>),
    /// Named values.
    Struct(Vec<(String, Shape)>),
    /// JSON: known only when a row is there.
    Unknown,
}

/// The key under which Arrow fields name an extension type, and the canonical name for JSON text
/// (Arrow "Canonical Extension Types").
pub(crate) const EXTENSION: (&str, &str) = ("ARROW:extension:name", "arrow.json");

impl Shape {
    /// The shape of `field`, or why its type can't be given to templates.
    pub(crate) fn of(field: &Field) -> Result<Shape, Fault> {
        if is_json(field) {
            return Ok(Shape::Unknown);
        }
        match field.data_type() {
            DataType::List(item) | DataType::LargeList(item) => Ok(Shape::List(Box::new(Shape::of(item)?))),
            DataType::Struct(fields) => fields
                .iter()
                .map(|field| Ok((field.name().clone(), Shape::of(field)?)))
                .collect::<Result<_, Fault>>()
                .map(Shape::Struct),
            DataType::Dictionary(_, value) if is_scalar(value) => Ok(Shape::Scalar),
            kind if is_scalar(kind) => Ok(Shape::Scalar),
            kind => Err(Fault::UnsupportedType { column: field.name().clone(), kind: kind.to_string() }),
        }
    }
}

pub(crate) fn is_json(field: &Field) -> bool {
    field.metadata().get(EXTENSION.0).is_some_and(|name| name == EXTENSION.1)
}

fn is_scalar(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Null
            | DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Date32
            | DataType::Date64
            | DataType::Timestamp(..)
            | DataType::Decimal128(..)
    )
}
