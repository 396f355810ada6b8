//! What a column's cells are: how they come out, and whether those of two files agree.

use crate::{ColumnType, Fault, Shape};
use arrow_schema::{DataType, Field};
use parquet::basic::{ConvertedType, LogicalType};
use parquet::schema::types::ColumnDescPtr;

/// The kind of value in a column, whatever its width or storage. [`crate::value`] says how each comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Nothing,
    Truth,
    Integer,
    Float,
    Decimal,
    Text,
    Octets,
    Uuid,
    Json,
    Date,
    Time,
    /// A point in time.
    Instant,
    /// A date and a time of day, somewhere.
    Local,
    Duration,
    List(Box<Meaning>),
    Struct(Vec<(String, Meaning)>),
    Map(Box<Meaning>, Box<Meaning>),
}

/// The key under which Arrow fields name an extension type (Arrow "Canonical Extension Types").
const EXTENSION: &str = "ARROW:extension:name";
const DEEPEST: usize = 64;

impl Meaning {
    /// The meaning of a text column declared as `kind`.
    pub(crate) fn declared(kind: ColumnType) -> Meaning {
        match kind {
            ColumnType::Text => Meaning::Text,
            ColumnType::Int => Meaning::Integer,
            ColumnType::Decimal => Meaning::Decimal,
            ColumnType::Date => Meaning::Date,
            ColumnType::Bool => Meaning::Truth,
            ColumnType::Json => Meaning::Json,
        }
    }

    /// The meaning of `field`, whose leaves in Parquet's schema come next in `leaves`; or why it can't be given to templates.
    pub(crate) fn of(field: &Field, leaves: &mut dyn Iterator<Item = &ColumnDescPtr>) -> Result<Meaning, Fault> {
        Meaning::inside(field, field.name(), leaves, 0)
    }

    fn inside(
        field: &Field,
        path: &str,
        leaves: &mut dyn Iterator<Item = &ColumnDescPtr>,
        depth: usize,
    ) -> Result<Meaning, Fault> {
        if depth > DEEPEST {
            return Err(unsupported(path, format!("nested more than {DEEPEST} deep")));
        }
        let mut child = |field: &Field, path: &str| Meaning::inside(field, path, leaves, depth + 1);
        match field.data_type() {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => Ok(Meaning::List(Box::new(child(item, path)?))),
            DataType::Struct(fields) => {
                let mut inner: Vec<(String, Meaning)> = Vec::with_capacity(fields.len());
                for field in fields {
                    let path = format!("{path}.{}", field.name());
                    if inner.iter().any(|(name, _)| name == field.name()) {
                        return Err(Fault::SameColumnTwice(path));
                    }
                    inner.push((field.name().clone(), child(field, &path)?));
                }
                Ok(Meaning::Struct(inner))
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    let key = child(&fields[0], &format!("{path}.key"))?;
                    if !key.can_name() {
                        return Err(unsupported(path, format!("map with keys that are {}", key.word())));
                    }
                    Ok(Meaning::Map(Box::new(key), Box::new(child(&fields[1], &format!("{path}.value"))?)))
                }
                other => Err(unsupported(path, other.to_string())),
            },
            kind => {
                let leaf = leaves.next().ok_or_else(|| unsupported(path, kind.to_string()))?;
                let extension = field.metadata().get(EXTENSION).map(String::as_str);
                Meaning::leaf(kind, leaf, extension).ok_or_else(|| unsupported(path, name(kind, leaf)))
            }
        }
    }

    fn leaf(kind: &DataType, leaf: &ColumnDescPtr, extension: Option<&str>) -> Option<Meaning> {
        match (leaf.logical_type_ref(), leaf.converted_type(), extension) {
            (Some(LogicalType::Json), ..) | (_, ConvertedType::JSON, _) => return Some(Meaning::Json),
            (_, _, Some("arrow.json")) => return Some(Meaning::Json),
            (Some(LogicalType::Uuid), ..) | (_, _, Some("arrow.uuid")) => return Some(Meaning::Uuid),
            (
                Some(
                    LogicalType::Bson
                    | LogicalType::Geometry(_)
                    | LogicalType::Geography(_)
                    | LogicalType::_Unknown { .. },
                ),
                ..,
            )
            | (_, ConvertedType::BSON | ConvertedType::INTERVAL, _) => return None,
            _ => {}
        }
        Meaning::of_type(kind)
    }

    fn of_type(kind: &DataType) -> Option<Meaning> {
        use DataType as D;
        Some(match kind {
            D::Null => Meaning::Nothing,
            D::Boolean => Meaning::Truth,
            D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => Meaning::Integer,
            D::Float16 | D::Float32 | D::Float64 => Meaning::Float,
            D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => Meaning::Decimal,
            D::Utf8 | D::LargeUtf8 | D::Utf8View => Meaning::Text,
            D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => Meaning::Octets,
            D::Date32 | D::Date64 => Meaning::Date,
            D::Time32(_) | D::Time64(_) => Meaning::Time,
            D::Timestamp(_, Some(_)) => Meaning::Instant,
            D::Timestamp(_, None) => Meaning::Local,
            D::Duration(_) => Meaning::Duration,
            D::Dictionary(_, value) => return Meaning::of_type(value),
            D::RunEndEncoded(_, value) => return Meaning::of_type(value.data_type()),
            _ => return None,
        })
    }

    /// What templates can expect to find.
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Meaning::Json | Meaning::Map(..) => Shape::Unknown,
            Meaning::List(item) => Shape::List(Box::new(item.shape())),
            Meaning::Struct(fields) => {
                Shape::Struct(fields.iter().map(|(name, inner)| (name.clone(), inner.shape())).collect())
            }
            _ => Shape::Scalar,
        }
    }

    /// Whether a column of this meaning and one of `other` can be one column. A column of nulls fits to any; the fields of
    /// structs may stand in any order.
    pub(crate) fn agrees(&self, other: &Meaning) -> bool {
        match (self, other) {
            (Meaning::Nothing, _) | (_, Meaning::Nothing) => true,
            (Meaning::List(one), Meaning::List(other)) => one.agrees(other),
            (Meaning::Map(key, one), Meaning::Map(other_key, other)) => key.agrees(other_key) && one.agrees(other),
            (Meaning::Struct(ours), Meaning::Struct(theirs)) => {
                let same = |(name, one): &(String, Meaning)| {
                    theirs.iter().any(|(other_name, other)| name == other_name && one.agrees(other))
                };
                ours.len() == theirs.len() && ours.iter().all(same)
            }
            _ => self == other,
        }
    }

    /// Whether its values can be the names in a JSON object.
    fn can_name(&self) -> bool {
        !matches!(self, Meaning::Float | Meaning::Json | Meaning::List(_) | Meaning::Struct(_) | Meaning::Map(..))
    }

    /// It in words.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Meaning::Nothing => "nulls",
            Meaning::Truth => "true or false",
            Meaning::Integer => "integers",
            Meaning::Float => "floating-point numbers",
            Meaning::Decimal => "decimals",
            Meaning::Text => "text",
            Meaning::Octets => "octets",
            Meaning::Uuid => "UUIDs",
            Meaning::Json => "JSON",
            Meaning::Date => "dates",
            Meaning::Time => "times of day",
            Meaning::Instant => "timestamps with a zone",
            Meaning::Local => "timestamps without a zone",
            Meaning::Duration => "durations",
            Meaning::List(_) => "lists",
            Meaning::Struct(_) => "structs",
            Meaning::Map(..) => "maps",
        }
    }
}

fn unsupported(path: &str, kind: String) -> Fault {
    Fault::UnsupportedType { column: path.to_owned(), kind }
}

/// What the writer called the type that is refused.
fn name(kind: &DataType, leaf: &ColumnDescPtr) -> String {
    match (leaf.logical_type_ref(), leaf.converted_type()) {
        // Twelve octets of months, days and milliseconds, of which the decoder would lose the months.
        (_, ConvertedType::INTERVAL) => "INTERVAL".into(),
        (Some(LogicalType::Bson), _) | (_, ConvertedType::BSON) => "BSON".into(),
        (Some(LogicalType::Geometry(_)), _) => "GEOMETRY".into(),
        (Some(LogicalType::Geography(_)), _) => "GEOGRAPHY".into(),
        (Some(LogicalType::_Unknown { .. }), _) => "of a newer Parquet".into(),
        _ => kind.to_string(),
    }
}
