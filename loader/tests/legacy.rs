//! Parquet as no current Python writer makes it: the schemas of old writers, converted types, codecs of Hadoop's. Equal cases
//! of files in apache/parquet-testing, named after them.

use arrow_array::builder::StringRunBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};
use loader::Spec;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type as Ints};
use parquet::file::metadata::{ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;

/// The values of one leaf column, with definition and repetition levels.
enum Leaf<'a> {
    Ints(&'a [i32], &'a [i16], &'a [i16]),
    Octets(&'a [&'a [u8]], &'a [i16], &'a [i16]),
    Fixed(&'a [&'a [u8]]),
}

fn write(message: &str, leaves: &[Leaf<'_>], compression: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(message).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let fixed = |octets: &[u8]| FixedLenByteArray::from(octets.to_vec());
    for leaf in leaves {
        let mut column = group.next_column().expect("no error").expect("a column");
        match leaf {
            Leaf::Ints(values, definitions, repetitions) => {
                column.typed::<Ints>().write_batch(values, Some(definitions), Some(repetitions)).map(drop)
            }
            Leaf::Octets(values, definitions, repetitions) => {
                let values: Vec<_> = values.iter().map(|octets| ByteArray::from(octets.to_vec())).collect();
                column.typed::<ByteArrayType>().write_batch(&values, Some(definitions), Some(repetitions)).map(drop)
            }
            Leaf::Fixed(values) => {
                let values: Vec<_> = values.iter().map(|octets| fixed(octets)).collect();
                column.typed::<FixedLenByteArrayType>().write_batch(&values, None, None).map(drop)
            }
        }
        .expect("written");
        column.close().expect("closed");
    }
    group.close().expect("closed");
    writer.into_inner().expect("closed")
}

fn read(octets: &[u8]) -> Result<Vec<Value>, String> {
    let mut file = tempfile::Builder::new().suffix(".parquet").tempfile().expect("a file");
    file.write_all(octets).expect("written");
    let mut rows = Vec::new();
    for batch in loader::open(&Spec::new(file.path())).map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        rows.extend((0..batch.len()).map(|index| Value::Object(batch.row(index))));
    }
    Ok(rows)
}

const PLAIN: Compression = Compression::UNCOMPRESSED;

#[test]
fn lists_of_old_writers() {
    let no_list =
        write("message m { repeated int32 n; }", &[Leaf::Ints(&[1, 2, 3], &[1, 1, 0, 1], &[0, 1, 0, 0])], PLAIN);
    assert_eq!(
        read(&no_list),
        Ok(vec![json!({"n": [1, 2]}), json!({"n": []}), json!({"n": [3]})]),
        "repeated_primitive_no_list"
    );
    let message = "message m { optional group phones { repeated group phone { required int32 number; optional binary kind (UTF8); } } }";
    let phones = write(
        message,
        &[Leaf::Ints(&[5, 6], &[2, 2, 1, 0], &[0, 1, 0, 0]), Leaf::Octets(&[b"home"], &[3, 2, 1, 0], &[0, 1, 0, 0])],
        PLAIN,
    );
    let expected = vec![
        json!({"phones": {"phone": [{"number": 5, "kind": "home"}, {"number": 6}]}}),
        json!({"phones": {"phone": []}}),
        json!({}),
    ];
    assert_eq!(read(&phones), Ok(expected), "repeated_no_annotation");
    let message = "message m { optional group a (LIST) { repeated group array (LIST) { repeated int32 array; } } }";
    let old = write(message, &[Leaf::Ints(&[1, 2, 3, 4], &[3, 3, 3, 3], &[0, 2, 1, 2])], PLAIN);
    assert_eq!(read(&old), Ok(vec![json!({"a": [[1, 2], [3, 4]]})]), "old_list_structure");
}

#[test]
fn maps_of_old_writers() {
    let message = "message m { optional group m (MAP_KEY_VALUE) { repeated group map { required binary key (UTF8); optional int32 value; } } }";
    let leaves = [Leaf::Octets(&[b"a", b"b"], &[2, 2, 0], &[0, 1, 0]), Leaf::Ints(&[1], &[3, 2, 0], &[0, 1, 0])];
    assert_eq!(
        read(&write(message, &leaves, PLAIN)),
        Ok(vec![json!({"m": {"a": 1}}), json!({})]),
        "incorrect_map_schema"
    );
    let message = "message m { required group m (MAP) { repeated group key_value { required binary key (UTF8); } } }";
    let rows = read(&write(message, &[Leaf::Octets(&[b"a", b"b"], &[1, 1], &[0, 1])], PLAIN));
    assert_eq!(rows, Ok(vec![json!({"m": ["a", "b"]})]), "map_no_value: a list of its keys");
}

#[test]
fn annotations_of_octets() {
    let one = |annotation: &str, octets: &[u8]| {
        let message = format!("message m {{ required binary v {annotation}; }}");
        read(&write(&message, &[Leaf::Octets(&[octets], &[0], &[0])], PLAIN))
    };
    let fixed = |annotation: &str, octets: &[u8]| {
        let message = format!("message m {{ required fixed_len_byte_array({}) v {annotation}; }}", octets.len());
        read(&write(&message, &[Leaf::Fixed(&[octets])], PLAIN))
    };
    let uuid: Vec<u8> = (0..16).collect();
    let good = [
        ("byte_array_decimal", one("(DECIMAL(10,2))", &[0x16, 0xb2]), json!("58.10")),
        (
            "fixed_length_decimal_legacy",
            fixed("(DECIMAL(13,2))", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xfb]),
            json!("-0.05"),
        ),
        ("an enum", one("(ENUM)", b"gold"), json!("gold")),
        ("JSON", one("(JSON)", b"{\"a\": 1}"), json!({"a": 1})),
        ("no JSON", one("(JSON)", b"{a}"), json!("{a}")),
        ("text without a name", one("", b"a\x01"), json!("6101")),
        ("UUID", fixed("(UUID)", &uuid), json!("00010203-0405-0607-0809-0a0b0c0d0e0f")),
    ];
    for (name, rows, expected) in good {
        assert_eq!(rows, Ok(vec![json!({"v": expected})]), "{name}");
    }
    let refused = [
        ("BSON", one("(BSON)", b"x"), "column \"v\" has the type BSON, which is not supported"),
        ("INTERVAL", fixed("(INTERVAL)", &[0; 12]), "column \"v\" has the type INTERVAL, which is not supported"),
        ("text that is none", one("(UTF8)", b"caf\xe9"), "is not a whole Parquet file"),
    ];
    for (name, rows, text) in refused {
        assert!(rows.as_ref().is_err_and(|error| error.contains(text)), "{name}: {rows:?}");
    }
}

#[test]
fn codecs_of_hadoop() {
    let (message, ints) = ("message m { required int32 n; }", [7; 100]);
    let expected = Ok(vec![json!({"n": 7}); 100]);
    let packed = write(message, &[Leaf::Ints(&ints, &[0; 100], &[0; 100])], Compression::LZ4);
    assert_eq!(read(&packed), expected, "hadoop_lz4_compressed");
    let packed = write(message, &[Leaf::Ints(&ints, &[0; 100], &[0; 100])], Compression::LZ4_RAW);
    assert_eq!(read(&packed), expected, "lz4_raw_compressed");
    let plain = write(message, &[Leaf::Ints(&ints, &[0; 100], &[0; 100])], PLAIN);
    let error = read(&said_to_be_lzo(&plain)).expect_err("no LZO");
    assert!(error.contains("is compressed with LZO, which is not supported"), "{error}");
}

/// `octets`, whose footer is made to say that the pages are LZO.
fn said_to_be_lzo(octets: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(octets).expect("written");
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).expect("a footer");
    let mut groups = Vec::new();
    for group in metadata.row_groups() {
        let columns = group
            .columns()
            .iter()
            .map(|column| column.clone().into_builder().set_compression(Compression::LZO).build().expect("a column"));
        let columns = columns.collect();
        groups.push(group.clone().into_builder().set_column_metadata(columns).build().expect("a group"));
    }
    let metadata = metadata.into_builder().set_row_groups(groups).build();
    let mut file = octets.to_vec();
    ParquetMetaDataWriter::new(&mut file, &metadata).finish().expect("written");
    file
}

#[test]
fn two_columns_of_one_name() {
    let octets = write(
        "message m { required int32 n; required int32 n; }",
        &[Leaf::Ints(&[1], &[0], &[0]), Leaf::Ints(&[1], &[0], &[0])],
        PLAIN,
    );
    assert!(read(&octets).is_err_and(|error| error.contains("has two columns named \"n\"")));
}

#[test]
fn runs_and_large_cells() {
    let mut runs = StringRunBuilder::<Int32Type>::new();
    runs.extend([Some("a"), Some("a"), None, Some("b")]);
    let runs: ArrayRef = Arc::new(runs.finish());
    let records = RecordBatch::try_from_iter_with_nullable([("s", runs, true)]).expect("a batch");
    let mut writer = ArrowWriter::try_new(Vec::new(), records.schema(), None).expect("a writer");
    writer.write(&records).expect("written");
    let rows = read(&writer.into_inner().expect("closed"));
    assert_eq!(rows, Ok(vec![json!({"s": "a"}), json!({"s": "a"}), json!({}), json!({"s": "b"})]));

    let large: Vec<Vec<u8>> = (0..20).map(|at| vec![b'a' + at; 1 << 20]).collect();
    let large: Vec<&[u8]> = large.iter().map(Vec::as_slice).collect();
    let octets = write("message m { required binary s (UTF8); }", &[Leaf::Octets(&large, &[0; 20], &[0; 20])], PLAIN);
    let mut file = tempfile::Builder::new().suffix(".parquet").tempfile().expect("a file");
    file.write_all(&octets).expect("written");
    let input = loader::open(&Spec::new(file.path())).expect("opens");
    assert!(input.map(|batch| batch.expect("reads").len()).all(|rows| rows <= 8), "batches follow octets");
}
