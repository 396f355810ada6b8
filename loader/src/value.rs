//! Arrow cells as the JSON values that templates see.
//!
//! | in the file | comes out as |
//! |---|---|
//! | text, enum, dictionary of text | text |
//! | integer, of 8 to 64 bits, signed or not | number with every digit |
//! | float, of 16 to 64 bits | number: the shortest that reads as the same float; an infinity is the text `Infinity` or `-Infinity`; NaN, which pandas writes for a missing value, is missing |
//! | decimal | text with every digit: `"58.10"` |
//! | boolean | `true`, `false` |
//! | date | `"2024-02-29"` |
//! | time of day | `"12:34:56"`, with a fraction if it is not zero |
//! | timestamp | RFC 3339 in UTC with `Z` where the column has a zone; without `Z` where it has none |
//! | duration | ISO 8601 in hours, minutes and seconds: `"PT25H"` |
//! | UUID | `"00112233-4455-6677-8899-aabbccddeeff"` |
//! | other binary | lower-case hexadecimal text |
//! | JSON | its value, its objects without nulls; text that only claims to be JSON stays text |
//! | list, of any length or view | array; a null item stays `null`, leaving it out would shift the others |
//! | struct | object without its nulls |
//! | map | object without nulls; keys that are numbers, dates or the like become text |
//!
//! Nulls are left out, and so are dates past the calendar's end (the year 262142): to a template they are missing.

use crate::meaning::Meaning;
use crate::temporal;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch, downcast_dictionary_array, downcast_run_array};
use arrow_buffer::ArrowNativeType;
use arrow_schema::DataType;
use serde_json::{Map, Number, Value};
use std::fmt::Write;
use std::ops::Range;

/// The cells of row `index` by column name, without nulls.
pub(crate) fn row(records: &RecordBatch, meanings: &[Meaning], index: usize) -> Map<String, Value> {
    let schema = records.schema_ref();
    let columns = schema.fields().iter().zip(records.columns()).zip(meanings);
    columns
        .filter_map(|((field, array), meaning)| Some((field.name().clone(), present(array, meaning, index)?)))
        .collect()
}

/// The value of a cell, unless it is missing or a JSON `null`.
fn present(array: &dyn Array, meaning: &Meaning, index: usize) -> Option<Value> {
    cell(array, meaning, index).filter(|value| !value.is_null())
}

fn cell(array: &dyn Array, meaning: &Meaning, index: usize) -> Option<Value> {
    if array.is_null(index) {
        return None;
    }
    match array.data_type() {
        DataType::Dictionary(..) => return dictionary(array, meaning, index),
        DataType::RunEndEncoded(..) => return run(array, meaning, index),
        _ => {}
    }
    match meaning {
        // A column of nothing but nulls has no null bitmap.
        Meaning::Nothing => None,
        Meaning::Truth => Some(array.as_boolean_opt()?.value(index).into()),
        Meaning::Integer => integer(array, index),
        Meaning::Float => float(array, index),
        Meaning::Decimal => decimal(array, index).map(Value::from),
        Meaning::Text => text(array, index).map(Value::from),
        Meaning::Json => text(array, index).map(json),
        Meaning::Octets => octets(array, index).map(|octets| hexadecimal(octets).into()),
        Meaning::Uuid => octets(array, index).map(|octets| uuid(octets).into()),
        Meaning::Date | Meaning::Time | Meaning::Instant | Meaning::Local | Meaning::Duration => {
            temporal::text(array, index).map(Value::from)
        }
        Meaning::List(item) => list(array, item, index),
        Meaning::Struct(fields) => {
            let columns = array.as_struct_opt()?.columns().iter().zip(fields);
            let cells =
                columns.filter_map(|(array, (name, inner))| Some((name.clone(), present(array, inner, index)?)));
            Some(Value::Object(cells.collect()))
        }
        Meaning::Map(key, value) => map(array, key, value, index),
    }
}

fn dictionary(array: &dyn Array, meaning: &Meaning, index: usize) -> Option<Value> {
    downcast_dictionary_array!(
        array => cell(array.values().as_ref(), meaning, array.keys().value(index).as_usize()),
        _ => None
    )
}

fn run(array: &dyn Array, meaning: &Meaning, index: usize) -> Option<Value> {
    downcast_run_array!(
        array => cell(array.values().as_ref(), meaning, array.get_physical_index(index)),
        _ => None
    )
}

fn native<T: ArrowPrimitiveType>(array: &dyn Array, index: usize) -> T::Native {
    array.as_primitive::<T>().value(index)
}

fn integer(array: &dyn Array, index: usize) -> Option<Value> {
    Some(match array.data_type() {
        DataType::Int8 => native::<Int8Type>(array, index).into(),
        DataType::Int16 => native::<Int16Type>(array, index).into(),
        DataType::Int32 => native::<Int32Type>(array, index).into(),
        DataType::Int64 => native::<Int64Type>(array, index).into(),
        DataType::UInt8 => native::<UInt8Type>(array, index).into(),
        DataType::UInt16 => native::<UInt16Type>(array, index).into(),
        DataType::UInt32 => native::<UInt32Type>(array, index).into(),
        DataType::UInt64 => native::<UInt64Type>(array, index).into(),
        _ => return None,
    })
}

fn float(array: &dyn Array, index: usize) -> Option<Value> {
    let value = match array.data_type() {
        DataType::Float16 => widened(native::<Float16Type>(array, index).to_f32()),
        DataType::Float32 => widened(native::<Float32Type>(array, index)),
        _ => array.as_primitive_opt::<Float64Type>()?.value(index),
    };
    match value {
        f64::INFINITY => Some("Infinity".into()),
        f64::NEG_INFINITY => Some("-Infinity".into()),
        // Not for NaN.
        _ => Number::from_f64(value).map(Value::Number),
    }
}

/// The double that is written with the same few digits: 0.1, and not 0.10000000149011612.
fn widened(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn decimal(array: &dyn Array, index: usize) -> Option<String> {
    Some(match array.data_type() {
        DataType::Decimal32(precision, scale) => {
            Decimal32Type::format_decimal(native::<Decimal32Type>(array, index), *precision, *scale)
        }
        DataType::Decimal64(precision, scale) => {
            Decimal64Type::format_decimal(native::<Decimal64Type>(array, index), *precision, *scale)
        }
        DataType::Decimal128(precision, scale) => {
            Decimal128Type::format_decimal(native::<Decimal128Type>(array, index), *precision, *scale)
        }
        DataType::Decimal256(precision, scale) => {
            Decimal256Type::format_decimal(native::<Decimal256Type>(array, index), *precision, *scale)
        }
        // A declared column of a text file: kept as written.
        _ => text(array, index)?.to_owned(),
    })
}

fn text(array: &dyn Array, index: usize) -> Option<&str> {
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(index)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(index)),
        DataType::Utf8View => Some(array.as_string_view().value(index)),
        _ => None,
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).map_or_else(|_| text.into(), without_nulls)
}

/// As columns of the same shape would come out. The parser has seen to it that nothing is nested more than 128 deep.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        value => value,
    }
}

fn octets(array: &dyn Array, index: usize) -> Option<&[u8]> {
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(index)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(index)),
        DataType::BinaryView => Some(array.as_binary_view().value(index)),
        DataType::FixedSizeBinary(_) => Some(array.as_fixed_size_binary().value(index)),
        _ => None,
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn uuid(octets: &[u8]) -> String {
    let mut text = hexadecimal(octets);
    if octets.len() == 16 {
        for at in [20, 16, 12, 8] {
            text.insert(at, '-');
        }
    }
    text
}

fn list(array: &dyn Array, item: &Meaning, index: usize) -> Option<Value> {
    let (items, places) = match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            (list.values(), between(list.value_offsets(), index)?)
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            (list.values(), between(list.value_offsets(), index)?)
        }
        DataType::FixedSizeList(..) => {
            let list = array.as_fixed_size_list();
            (list.values(), from(list.value_offset(index), list.value_length())?)
        }
        DataType::ListView(_) => {
            let list = array.as_list_view::<i32>();
            (list.values(), from(*list.value_offsets().get(index)?, *list.value_sizes().get(index)?)?)
        }
        DataType::LargeListView(_) => {
            let list = array.as_list_view::<i64>();
            (list.values(), from(*list.value_offsets().get(index)?, *list.value_sizes().get(index)?)?)
        }
        _ => return None,
    };
    let values = places.map(|place| cell(items.as_ref(), item, place).unwrap_or(Value::Null));
    Some(values.collect::<Vec<_>>().into())
}

/// Where the items of list number `index` stand among those of all: a slice of them would be an array of its own.
fn between<T: ArrowNativeType>(offsets: &[T], index: usize) -> Option<Range<usize>> {
    Some(offsets.get(index)?.to_usize()?..offsets.get(index + 1)?.to_usize()?)
}

/// The same where the beginning and the length are known.
fn from<T: ArrowNativeType>(start: T, length: T) -> Option<Range<usize>> {
    let start = start.to_usize()?;
    Some(start..start.checked_add(length.to_usize()?)?)
}

fn map(array: &dyn Array, key: &Meaning, value: &Meaning, index: usize) -> Option<Value> {
    let map = array.as_map_opt()?;
    let (keys, values) = (map.keys(), map.values());
    let pair = |at| {
        let name = match cell(keys.as_ref(), key, at)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Some((name, present(values.as_ref(), value, at)?))
    };
    Some(Value::Object(between(map.value_offsets(), index)?.filter_map(pair).collect()))
}
