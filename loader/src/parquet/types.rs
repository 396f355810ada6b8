//! The Arrow types that Parquet columns are decoded to.

use crate::Fault;
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::schema::types::{ColumnDescPtr, Type};
use std::sync::Arc;

/// `schema` with the types that we want decoded, whose leaves in Parquet's schema are `leaves`:
///
/// - text and octets as views, so that a long value that a page names a thousand times is held once;
/// - enums, which are text by Parquet's own words, as text;
/// - INT96 timestamps in microseconds: their nanoseconds would wrap around before 1677 and after 2262, as the dates of
///   Spark's files do.
pub(super) fn wanted(schema: &Schema, leaves: &[ColumnDescPtr]) -> Schema {
    let mut leaves = leaves.iter();
    let fields: Fields = schema.fields().iter().map(|field| of(field, &mut leaves)).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn of(field: &FieldRef, leaves: &mut std::slice::Iter<'_, ColumnDescPtr>) -> FieldRef {
    let kind = match field.data_type() {
        DataType::List(item) => DataType::List(of(item, leaves)),
        DataType::LargeList(item) => DataType::LargeList(of(item, leaves)),
        DataType::ListView(item) => DataType::ListView(of(item, leaves)),
        DataType::LargeListView(item) => DataType::LargeListView(of(item, leaves)),
        DataType::FixedSizeList(item, len) => DataType::FixedSizeList(of(item, leaves), *len),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| of(field, leaves)).collect()),
        DataType::Map(entries, sorted) => DataType::Map(of(entries, leaves), *sorted),
        kind => match leaves.next() {
            Some(leaf) => scalar(kind, leaf),
            None => kind.clone(),
        },
    };
    let plain = Field::clone(field);
    Arc::new(plain.with_data_type(kind))
}

fn scalar(kind: &DataType, leaf: &ColumnDescPtr) -> DataType {
    let is_enum = leaf.logical_type_ref() == Some(&LogicalType::Enum) || leaf.converted_type() == ConvertedType::ENUM;
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView if is_enum => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Timestamp(TimeUnit::Nanosecond, zone) if leaf.physical_type() == Physical::INT96 => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        kind => kind.clone(),
    }
}

/// Refuses groups that are no plain structs, lists or maps.
pub(super) fn refuse_groups(group: &Type) -> Result<(), Fault> {
    for field in group.get_fields() {
        let info = field.get_basic_info();
        if let Some(LogicalType::Variant(_)) = info.logical_type_ref() {
            return Err(Fault::UnsupportedType { column: field.name().to_owned(), kind: "VARIANT".into() });
        }
        if field.is_group() {
            refuse_groups(field)?;
        }
    }
    Ok(())
}
