//! Arrow cells as the JSON values that templates see.
//!
//! Text stays text; integers and floats become numbers; decimals become text with every digit; dates become `YYYY-MM-DD`;
//! timestamps become RFC 3339, with `Z` where the column has a zone. Nulls are left out, in structs too.

use crate::shape::is_json;
use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::as_datetime;
use arrow_array::types::{
    ArrowPrimitiveType, ArrowTemporalType, Date32Type, Date64Type, Decimal128Type, DecimalType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch, StructArray, downcast_dictionary_array};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, Field, TimeUnit};
use serde_json::{Map, Value};

/// The cells of row `index` by column name, without nulls.
pub(crate) fn row(records: &RecordBatch, index: usize) -> Map<String, Value> {
    let schema = records.schema_ref();
    cells(schema.fields().iter().map(AsRef::as_ref).zip(records.columns().iter().map(AsRef::as_ref)), index)
}

fn cells<'a>(columns: impl Iterator<Item = (&'a Field, &'a dyn Array)>, index: usize) -> Map<String, Value> {
    columns
        .filter_map(|(field, array)| {
            let value = cell(array, index)?;
            let value = if is_json(field) { parsed(value) } else { value };
            Some((field.name().clone(), value))
        })
        .filter(|(_, value)| !value.is_null())
        .collect()
}

/// JSON text was checked when it was read; a Parquet column that only claims to be JSON stays text.
fn parsed(value: Value) -> Value {
    match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

fn cell(array: &dyn Array, index: usize) -> Option<Value> {
    if array.is_null(index) {
        return None;
    }
    Some(match array.data_type() {
        // A column of nothing but nulls has no null bitmap.
        DataType::Null => return None,
        DataType::Boolean => array.as_boolean().value(index).into(),
        DataType::Int8 => native::<Int8Type>(array, index).into(),
        DataType::Int16 => native::<Int16Type>(array, index).into(),
        DataType::Int32 => native::<Int32Type>(array, index).into(),
        DataType::Int64 => native::<Int64Type>(array, index).into(),
        DataType::UInt8 => native::<UInt8Type>(array, index).into(),
        DataType::UInt16 => native::<UInt16Type>(array, index).into(),
        DataType::UInt32 => native::<UInt32Type>(array, index).into(),
        DataType::UInt64 => native::<UInt64Type>(array, index).into(),
        DataType::Float32 => native::<Float32Type>(array, index).into(),
        DataType::Float64 => native::<Float64Type>(array, index).into(),
        DataType::Utf8 => array.as_string::<i32>().value(index).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(index).into(),
        DataType::Utf8View => array.as_string_view().value(index).into(),
        DataType::Date32 => date::<Date32Type>(array, index)?,
        DataType::Date64 => date::<Date64Type>(array, index)?,
        DataType::Timestamp(unit, zone) => timestamp(array, index, *unit, zone.is_some())?,
        DataType::Decimal128(precision, scale) => {
            Decimal128Type::format_decimal(native::<Decimal128Type>(array, index), *precision, *scale).into()
        }
        DataType::Dictionary(..) => return dictionary(array, index),
        DataType::List(_) => list(array.as_list::<i32>().value(index).as_ref()),
        DataType::LargeList(_) => list(array.as_list::<i64>().value(index).as_ref()),
        DataType::Struct(_) => structure(array.as_struct(), index),
        other => unreachable!("{other} was refused when the file was opened"),
    })
}

fn native<T: ArrowPrimitiveType>(array: &dyn Array, index: usize) -> T::Native {
    array.as_primitive::<T>().value(index)
}

fn date<T: ArrowTemporalType>(array: &dyn Array, index: usize) -> Option<Value>
where
    i64: From<T::Native>,
{
    let when = as_datetime::<T>(native::<T>(array, index).into())?;
    Some(when.date().format("%Y-%m-%d").to_string().into())
}

fn timestamp(array: &dyn Array, index: usize, unit: TimeUnit, zoned: bool) -> Option<Value> {
    let when = match unit {
        TimeUnit::Second => as_datetime::<TimestampSecondType>(native::<TimestampSecondType>(array, index)),
        TimeUnit::Millisecond => {
            as_datetime::<TimestampMillisecondType>(native::<TimestampMillisecondType>(array, index))
        }
        TimeUnit::Microsecond => {
            as_datetime::<TimestampMicrosecondType>(native::<TimestampMicrosecondType>(array, index))
        }
        TimeUnit::Nanosecond => as_datetime::<TimestampNanosecondType>(native::<TimestampNanosecondType>(array, index)),
    }?;
    let zone = if zoned { "Z" } else { "" };
    Some(format!("{}{zone}", when.format("%Y-%m-%dT%H:%M:%S%.f")).into())
}

fn dictionary(array: &dyn Array, index: usize) -> Option<Value> {
    downcast_dictionary_array!(
        array => cell(array.values().as_ref(), array.keys().value(index).as_usize()),
        other => unreachable!("{other} is no dictionary")
    )
}

/// A null item stays `null`: leaving it out would shift the others.
fn list(items: &dyn Array) -> Value {
    (0..items.len()).map(|index| cell(items, index).unwrap_or(Value::Null)).collect::<Vec<_>>().into()
}

fn structure(array: &StructArray, index: usize) -> Value {
    Value::Object(cells(array.fields().iter().map(AsRef::as_ref).zip(array.columns().iter().map(AsRef::as_ref)), index))
}
