"""Parquet by pyarrow, DuckDB, pandas (both engines) and Polars: every type, every codec, every way to store them."""
import base64, datetime as dt, gzip, pathlib, shutil, uuid

import duckdb
import fastparquet
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from foreign import DATA, UTC, D, Is, case, columns, meant, raw

NAN, INF = float("nan"), float("inf")
EPOCH = dt.date(1970, 1, 1)
ZONE = dt.timezone(dt.timedelta(hours=-5))


def arrow(name, shows, types, rows, writer="pyarrow", refused=None, **options):
    """Rows as a file of pyarrow's, with the columns' types."""
    schema = pa.schema(types)
    arrays = [pa.array([raw(row[field.name]) for row in rows], field.type) for field in schema]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), DATA / name, **options)
    case(name, writer, shows, rows, refused=refused)


def numbers():
    for bits in (8, 16, 32, 64):
        signed = columns(n=[-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0, None])
        arrow(f"pyarrow-int{bits}.parquet", f"int{bits}, its ends", {"n": getattr(pa, f"int{bits}")()}, signed)
        unsigned = columns(n=[0, 2**bits - 1, None])
        arrow(f"pyarrow-uint{bits}.parquet", f"uint{bits}, its ends", {"n": getattr(pa, f"uint{bits}")()}, unsigned)
    half = [Is(np.float16(0.5), 0.5), Is(np.float16(-2), -2.0), Is(np.float16(NAN), None), Is(np.float16(INF), "Infinity")]
    arrow("pyarrow-float16.parquet", "float16, infinity, NaN", {"x": pa.float16()}, columns(x=half))
    arrow("pyarrow-float32.parquet", "float32, shortest digits, infinities, NaN", {"x": pa.float32()},
          columns(x=[0.1, -2.0, 3.4e38, NAN, INF, -INF, None]))
    arrow("pyarrow-float64.parquet", "float64, its ends, infinities, NaN", {"x": pa.float64()},
          columns(x=[0.1, -0.0, 1.7976931348623157e308, 5e-324, NAN, INF, -INF, None]))
    arrow("pyarrow-boolean.parquet", "boolean", {"b": pa.bool_()}, columns(b=[True, False, None]))
    for bits, precision in [(32, 9), (64, 18), (128, 38), (256, 76)]:
        kind = getattr(pa, f"decimal{bits}")
        most = D("9" * (precision - 2) + ".99")
        rows = columns(d=[D("58.10"), D("-0.05"), most, most.copy_negate(), None])
        arrow(f"pyarrow-decimal{bits}.parquet", f"decimal{bits}, every digit", {"d": kind(precision, 2)}, rows)
        if bits < 256:
            arrow(f"pyarrow-decimal{bits}-integer.parquet", f"decimal{bits} as integer where it fits",
                  {"d": kind(precision, 2)}, rows, store_decimal_as_integer=True)
    arrow("pyarrow-null.parquet", "a column of nulls", {"a": pa.null(), "b": pa.string()}, columns(a=[None, None], b=["x", "y"]))


def times():
    days = columns(d=[dt.date(2024, 2, 29), dt.date(1582, 10, 15), dt.date(9999, 12, 31), None])
    arrow("pyarrow-date32.parquet", "date32", {"d": pa.date32()}, days)
    arrow("pyarrow-date64.parquet", "date64", {"d": pa.date64()}, days)
    morning = [dt.time(0, 0), dt.time(12, 34, 56), None]
    arrow("pyarrow-time32s.parquet", "time32 in seconds", {"t": pa.time32("s")}, columns(t=morning))
    arrow("pyarrow-time32ms.parquet", "time32 in milliseconds", {"t": pa.time32("ms")}, columns(t=morning + [dt.time(1, 2, 3, 4000)]))
    arrow("pyarrow-time64us.parquet", "time64 in microseconds", {"t": pa.time64("us")}, columns(t=morning + [dt.time(23, 59, 59, 999999)]))
    arrow("pyarrow-time64ns.parquet", "time64 in nanoseconds", {"t": pa.time64("ns")}, columns(t=[Is(1, "00:00:00.000000001"), None]))
    at = [dt.datetime(2023, 1, 27, 10, 0), dt.datetime(1700, 1, 1, 0, 0, 1), None]
    for unit in ("s", "ms", "us", "ns"):
        arrow(f"pyarrow-timestamp-{unit}.parquet", f"timestamp in {unit}, no zone", {"t": pa.timestamp(unit)}, columns(t=at))
        zoned = [one and one.replace(tzinfo=UTC) for one in at]
        arrow(f"pyarrow-timestamp-{unit}-utc.parquet", f"timestamp in {unit}, UTC", {"t": pa.timestamp(unit, "UTC")}, columns(t=zoned))
    local = [dt.datetime(2023, 1, 27, 10, 0, 0, 500000, ZONE), None]
    arrow("pyarrow-timestamp-named.parquet", "timestamp in a zone of a name", {"t": pa.timestamp("us", "America/New_York")}, columns(t=local))
    arrow("pyarrow-timestamp-offset.parquet", "timestamp in a zone of an offset", {"t": pa.timestamp("ms", "-05:00")}, columns(t=local))
    nanos = [Is(1_674_813_600_123_456_789, "2023-01-27T10:00:00.123456789")]
    arrow("pyarrow-timestamp-nanos.parquet", "nanoseconds", {"t": pa.timestamp("ns")}, columns(t=nanos))
    arrow("pyarrow-timestamp-ancient.parquet", "a year that the calendar does not have is missing", {"t": pa.timestamp("ms")},
          columns(t=[Is(2**60, None), dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59)]))
    arrow("like-int96.parquet", "INT96 timestamps (alltypes_plain, int96_from_spark)", {"t": pa.timestamp("ns")},
          columns(t=[dt.datetime(2009, 3, 1, 0, 1), dt.datetime(1969, 12, 31, 23, 59, 59, 999999), None]),
          use_deprecated_int96_timestamps=True)
    for unit in ("s", "ms", "us", "ns"):
        lasting = [dt.timedelta(hours=25, seconds=1), dt.timedelta(seconds=-90), dt.timedelta(0), None]
        arrow(f"pyarrow-duration-{unit}.parquet", f"duration in {unit}", {"d": pa.duration(unit)}, columns(d=lasting))


def texts():
    words = columns(s=["Víctor", "", "日本", "\U0001f600", None])
    for name, kind in [("string", pa.string()), ("large-string", pa.large_string()), ("string-view", pa.string_view()),
                       ("dictionary", pa.dictionary(pa.int32(), pa.string()))]:
        arrow(f"pyarrow-{name}.parquet", f"text as {kind}", {"s": kind}, words)
    arrow("pyarrow-dictionary-int.parquet", "a dictionary of integers", {"n": pa.dictionary(pa.int8(), pa.int64())}, columns(n=[7, 8, 7, None]))
    octets = columns(b=[b"\x00\xff", b"text", b"", None])
    for name, kind in [("binary", pa.binary()), ("large-binary", pa.large_binary()), ("binary-view", pa.binary_view())]:
        arrow(f"pyarrow-{name}.parquet", f"octets as {kind}: hexadecimal", {"b": kind}, octets)
    arrow("pyarrow-fixed-binary.parquet", "octets of a fixed length", {"b": pa.binary(3)}, columns(b=[b"abc", b"\x00\x01\xfe", None]))
    one = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    arrow("pyarrow-uuid.parquet", "UUID", {"u": pa.uuid()}, columns(u=[Is(one.bytes, str(one)), None]))
    said = [Is('{"a": [1, null]}', {"a": [1, None]}), Is('"x"', "x"), Is("null", None), None]
    arrow("pyarrow-json.parquet", "JSON, its inside", {"j": pa.json_()}, columns(j=said))


LINES = pa.struct({"code": pa.string(), "owe": pa.decimal128(9, 2)})


def nested():
    words = [["a", None, "c"], [], None, ["d"]]
    for name, kind in [("list", pa.list_(pa.string())), ("large-list", pa.large_list(pa.string())),
                       ("list-view", pa.list_view(pa.string())), ("large-list-view", pa.large_list_view(pa.string()))]:
        try:
            arrow(f"pyarrow-{name}.parquet", f"a {kind}, with nulls inside", {"l": kind}, columns(l=words))
        except pa.ArrowNotImplementedError as reason:
            print("not written:", name, reason)
    arrow("pyarrow-fixed-list.parquet", "lists of a fixed length", {"l": pa.list_(pa.int32(), 2)}, columns(l=[[1, 2], [3, None]]))
    arrow("like-nested_lists.snappy.parquet", "lists of lists of lists (nested_lists.snappy)",
          {"a": pa.list_(pa.list_(pa.list_(pa.string()))), "b": pa.int32()},
          columns(a=[[[["a", "b"], ["c"]], [None, ["d"]]], [[["a"], ["c", "d"]], [None, ["e"]]], [[]]], b=[1, 1, 2]))
    lines = [[{"code": "A1", "owe": D("58.10")}, {"code": "B2", "owe": None}], [], None]
    arrow("pyarrow-list-struct.parquet", "claim lines: a list of structs", {"lines": pa.list_(LINES)}, columns(lines=lines))
    deep = [{"a": {"b": {"c": 1, "d": [1.5]}}, "e": None}, None, {"a": None, "e": "x"}]
    kind = pa.struct({"a": pa.struct({"b": pa.struct({"c": pa.int64(), "d": pa.list_(pa.float64())})}), "e": pa.string()})
    arrow("like-nested_structs.parquet", "structs in structs (nested_structs.rust)", {"s": kind}, columns(s=deep))
    maps = columns(m=[{"b": 1, "a": None}, {}, None])
    arrow("pyarrow-map.parquet", "a map by text", {"m": pa.map_(pa.string(), pa.int64())}, as_pairs(maps))
    arrow("pyarrow-map-int.parquet", "a map by integers", {"m": pa.map_(pa.int32(), pa.string())}, as_pairs(columns(m=[{1: "x", -2: "y"}])))
    arrow("pyarrow-map-date.parquet", "a map by dates", {"m": pa.map_(pa.date32(), pa.string())}, as_pairs(columns(m=[{dt.date(2024, 2, 29): "x"}])))
    arrow("pyarrow-map-float.parquet", "a map by floats", {"m": pa.map_(pa.float64(), pa.string())}, as_pairs(columns(m=[{1.5: "x"}])),
          refused='column "m" has the type map with keys that are floating-point numbers')
    inner = pa.map_(pa.string(), pa.map_(pa.int32(), pa.bool_()))
    arrow("like-nested_maps.snappy.parquet", "maps in maps (nested_maps.snappy)", {"a": inner},
          [{"a": Is([("a", [(1, True), (2, False)])], {"a": {"1": True, "2": False}})}, {"a": Is([("b", [])], {"b": {}})}])
    arrow("like-null_list.parquet", "an empty list of nulls (null_list)", {"l": pa.list_(pa.null())}, columns(l=[[], [None]]))


def as_pairs(rows):
    return [{key: one and Is(list(one.items()), meant(one)) if one else Is([] if one == {} else None, one) for key, one in row.items()} for row in rows]


MIXED = columns(
    id=list(range(1, 13)),
    name=[f"name {at % 3}" for at in range(12)],
    owe=[D(f"{at}.25") for at in range(12)],
    day=[EPOCH + dt.timedelta(days=19_000 + at) for at in range(12)],
    words=[[], None, ["a"]] * 4,
)
MIXED_TYPES = {"id": pa.int64(), "name": pa.string(), "owe": pa.decimal128(12, 2), "day": pa.date32(), "words": pa.list_(pa.string())}


def storage():
    for codec in ("none", "snappy", "gzip", "zstd", "lz4", "brotli"):
        arrow(f"pyarrow-codec-{codec}.parquet", f"compressed with {codec}", MIXED_TYPES, MIXED, compression=codec)
    arrow("like-datapage_v2.snappy.parquet", "data pages of version 2 (datapage_v2.snappy)", MIXED_TYPES, MIXED, data_page_version="2.0", compression="snappy")
    arrow("like-version1.parquet", "format version 1.0", MIXED_TYPES, MIXED, version="1.0")
    arrow("like-plain.parquet", "no dictionaries", MIXED_TYPES, MIXED, use_dictionary=False)
    arrow("like-checksum.parquet", "page check sums (datapage_v1-…-checksum)", MIXED_TYPES, MIXED, write_page_checksum=True)
    arrow("like-index.parquet", "page index and row groups of five (data_index_bloom_encoding_stats)", MIXED_TYPES, MIXED, write_page_index=True, row_group_size=5)
    arrow("like-no-schema.parquet", "without Arrow's own schema", MIXED_TYPES, MIXED, store_schema=False)
    arrow("like-old-lists.parquet", "lists of two levels (list_columns)", MIXED_TYPES, MIXED, use_compliant_nested_type=False)
    ints = {"a": pa.int32(), "b": pa.int64()}
    rows = columns(a=[7, -1, 2**31 - 1, None] * 50, b=[2**62, -(2**62), None, 0] * 50)
    arrow("like-delta_binary_packed.parquet", "DELTA_BINARY_PACKED", ints, rows, use_dictionary=False, column_encoding={"a": "DELTA_BINARY_PACKED", "b": "DELTA_BINARY_PACKED"})
    words = columns(s=[f"prefix {at}" for at in range(50)] + [None])
    for encoding in ("DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"):
        arrow(f"like-{encoding.lower()}.parquet", encoding, {"s": pa.string()}, words, use_dictionary=False, column_encoding={"s": encoding})
    floats = columns(x=[0.5, -1.25, None] * 30, y=[1e-300, 2.5, None] * 30, n=[1, 2, None] * 30)
    arrow("like-byte_stream_split.zstd.parquet", "BYTE_STREAM_SPLIT", {"x": pa.float32(), "y": pa.float64(), "n": pa.int32()}, floats,
          use_dictionary=False, use_byte_stream_split=True, compression="zstd")
    arrow("like-rle_boolean_encoding.gzip.parquet", "RLE booleans", {"b": pa.bool_()}, columns(b=[True, False, None, True] * 17),
          compression="gzip", data_page_version="2.0", use_dictionary=False, column_encoding={"b": "RLE"})
    arrow("pyarrow-no-rows.parquet", "no rows", {"a": pa.string()}, [], refused="has a header and no rows")
    arrow("pyarrow-many-groups.parquet", "2,500 rows in row groups of 700", {"n": pa.int32(), "s": pa.string()},
          columns(n=list(range(2500)), s=[f"{at:x}" for at in range(2500)]), row_group_size=700)


def old_and_broken():
    """Files as they lie in pyarrow's own tests (Apache-2.0), and files that are damaged."""
    data = pathlib.Path(pa.__file__).parent / "tests" / "data" / "parquet"
    for file in sorted(data.glob("*.parquet")):
        rows = pq.read_table(file).to_pylist()
        shutil.copy(file, DATA / f"pyarrow-{file.name}")
        case(f"pyarrow-{file.name}", "pyarrow 0.7.1", "a file of 2017", rows)
    whole = (DATA / "pyarrow-codec-snappy.parquet").read_bytes()
    for name, octets, shows, refused in [
        ("cut", whole[:-100], "cut short", "is not a whole Parquet file"),
        ("tiny", b"PAR1", "four octets", "is not a whole Parquet file"),
        ("text", b"id,name\n1,Ann\n", "text named .parquet", "is not a whole Parquet file"),
        ("no-footer", whole[:4] + b"\0" * 64 + whole[-8:], "its footer is nothing", "is not a whole Parquet file"),
    ]:
        (DATA / f"hand-{name}.parquet").write_bytes(octets)
        case(f"hand-{name}.parquet", "Python", shows, refused=refused)
    (DATA / "hand-empty.parquet").write_bytes(b"")
    case("hand-empty.parquet", "nobody", "nothing at all", refused="is empty")
    (DATA / "hand-packed.parquet.gz").write_bytes(gzip.compress(whole, mtime=1))
    case("hand-packed.parquet.gz", "Python gzip", "Parquet inside gzip", refused="is a Parquet file inside a gzip file")
    (DATA / "hand-named.csv").write_bytes(whole)
    case("hand-named.csv", "pyarrow", "Parquet named .csv", refused="is Parquet, not text")
    # Rows of the first group come out, then the second one's pages are zeros.
    rows = columns(n=list(range(2048)))
    table = pa.table({"n": pa.array([row["n"] for row in rows], pa.int64())})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=1024, use_dictionary=False, compression="none")
    octets = bytearray(sink.getvalue().to_pybytes())
    chunk = pq.ParquetFile(pa.BufferReader(bytes(octets))).metadata.row_group(1).column(0)
    octets[chunk.data_page_offset : chunk.data_page_offset + 200] = bytes(200)
    (DATA / "hand-zeros.parquet").write_bytes(octets)
    case("hand-zeros.parquet", "pyarrow", "a page of zeros in the second row group", rows[:1024], then="is not a whole Parquet file")


def encrypted():
    """Both kinds of Parquet's own encryption."""
    import pyarrow.parquet.encryption as pe

    class Kms(pe.KmsClient):
        def __init__(self, config):
            pe.KmsClient.__init__(self)

        def wrap_key(self, key, name):
            return base64.b64encode(key)

        def unwrap_key(self, wrapped, name):
            return base64.b64decode(wrapped)

    table = pa.table({"id": [1, 2], "name": ["Ann", "Bo"]})
    for name, options in [("footer", {}), ("columns", {"plaintext_footer": True})]:
        config = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["name"]}, **options)
        properties = pe.CryptoFactory(Kms).file_encryption_properties(pe.KmsConnectionConfig(), config)
        file = DATA / f"like-encrypt_{name}.parquet"
        with pq.ParquetWriter(file, table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)
        case(file.name, "pyarrow", f"encrypted {name} (encrypt_columns_and_footer, …_plaintext_footer)", refused="is encrypted Parquet")


def with_duckdb():
    def copy(name, query, shows, rows=None, refused=None, options=""):
        duckdb.sql(f"copy ({query}) to '{DATA}/duckdb-{name}.parquet' (format parquet{options})")
        case(f"duckdb-{name}.parquet", "DuckDB COPY", shows, rows, refused=refused)

    copy("scalars", """select true b, 1::tinyint i1, -2::smallint i2, 3::integer i4, 9007199254740993 i8,
         255::utinyint u1, 65535::usmallint u2, 4294967295::uinteger u4, 18446744073709551615::ubigint u8,
         0.1::float f4, 0.1::double f8, 58.10::decimal(9, 2) d4, -0.05::decimal(18, 2) d8,
         12345678901234567890123456789012345.67::decimal(38, 2) d16, 'Zoë' s, '\\x00\\xFF'::blob o, null::varchar n""",
         "every scalar", [dict(b=True, i1=1, i2=-2, i4=3, i8=9007199254740993, u1=255, u2=65535, u4=2**32 - 1, u8=2**64 - 1,
         f4=0.1, f8=0.1, d4=D("58.10"), d8=D("-0.05"), d16=D("12345678901234567890123456789012345.67"), s="Zoë", o=b"\x00\xff")])
    copy("times", """select date '2024-02-29' d, time '12:34:56.5' t, timestamp '2023-01-27 10:00:00.25' ts,
         timestamptz '2023-01-27 10:00:00+02' tz, timestamp_s '2023-01-27 10:00:00' s, timestamp_ms '2023-01-27 10:00:00' ms,
         timestamp_ns '2023-01-27 10:00:00.123456789' ns""", "dates and times",
         [dict(d=dt.date(2024, 2, 29), t=dt.time(12, 34, 56, 500000), ts=dt.datetime(2023, 1, 27, 10, 0, 0, 250000),
         tz=dt.datetime(2023, 1, 27, 8, tzinfo=UTC), s=dt.datetime(2023, 1, 27, 10), ms=dt.datetime(2023, 1, 27, 10),
         ns=Is(0, "2023-01-27T10:00:00.123456789"))])
    copy("midnight", "select time '24:00:00' t", "the end of a day", [dict(t=Is(0, "24:00:00"))])
    copy("uuid", "select uuid '00112233-4455-6677-8899-aabbccddeeff' u", "UUID", [dict(u="00112233-4455-6677-8899-aabbccddeeff")])
    copy("enum", "select 'gold'::enum('silver', 'gold') e from range(2)", "enum", [dict(e="gold")] * 2)
    copy("json", """select '{"a": [1, 2.5]}'::json j""", "JSON, its inside", [dict(j={"a": [1, 2.5]})])
    copy("nested", """select [1, null, 3] l, [[1], []] ll, {'a': 1, 'b': {'c': 'x', 'd': null}} s,
         [{'code': 'A1', 'owe': 58.10::decimal(9, 2)}] lines, map {'x': 1, 'y': 2} m, map {1: 'one'} mi, [1, 2]::integer[2] fixed""",
         "lists, structs, maps", [dict(l=[1, None, 3], ll=[[1], []], s={"a": 1, "b": {"c": "x"}}, lines=[{"code": "A1", "owe": D("58.10")}],
         m={"x": 1, "y": 2}, mi={"1": "one"}, fixed=[1, 2])])
    copy("hugeint", "select 170141183460469231731687303715884105727::hugeint h", "hugeint, which DuckDB writes as a double", [dict(h=1.7014118346046923e38)])
    copy("interval", "select interval '14 months 3 days' i", "INTERVAL", refused='column "i" has the type INTERVAL')
    many = [dict(n=at, s=f"row {at % 7}") for at in range(300)]
    for codec in ("uncompressed", "snappy", "gzip", "zstd", "lz4_raw", "brotli"):
        copy(f"codec-{codec}", "select n::integer n, 'row ' || (n % 7) s from range(300) t(n)", f"compressed with {codec}", many, options=f", codec '{codec}'")
    copy("v2", "select n::integer n, 'row ' || (n % 7) s from range(300) t(n)", "Parquet version 2 encodings", many, options=", parquet_version v2")
    try:
        copy("variant", "select 42::variant v", "VARIANT", refused='column "v" has the type VARIANT')
    except duckdb.Error as reason:
        print("not written: variant", reason)
    try:
        duckdb.sql("set force_mbedtls_unsafe = 'true'")
        duckdb.sql("pragma add_parquet_key('k', '0123456789112345')")
        copy("encrypted", "select 1 a", "DuckDB's encryption", refused="is encrypted Parquet", options=", encryption_config {footer_key: 'k'}")
    except duckdb.Error as reason:
        print("not written: encrypted", reason)


def with_pandas():
    frame = pd.DataFrame({
        "n": pd.array([1, None], "Int64"), "x": [0.5, NAN], "s": ["Zoë", None], "yes": [True, False],
        "at": pd.to_datetime(["2023-01-27 10:00:00.5", None]), "zoned": pd.to_datetime(["2023-01-27 10:00:00", None]).tz_localize("Europe/Prague"),
        "kind": pd.Categorical(["gold", "silver"]), "lasting": pd.to_timedelta(["1 days 01:00:00", None]),
    })
    rows = [dict(n=1, x=0.5, s="Zoë", yes=True, at=dt.datetime(2023, 1, 27, 10, 0, 0, 500000), zoned=dt.datetime(2023, 1, 27, 9, tzinfo=UTC),
                 kind="gold", lasting=dt.timedelta(hours=25)), dict(yes=False, kind="silver")]
    frame.to_parquet(DATA / "pandas-types.parquet")
    case("pandas-types.parquet", "pandas, pyarrow", "pandas' own types, missing values", rows)
    frame.set_index("n").to_parquet(DATA / "pandas-index.parquet")
    case("pandas-index.parquet", "pandas, pyarrow", "an index of a name is a column", rows)
    frame = frame.drop(columns=["lasting"])
    frame.to_parquet(DATA / "fastparquet-types.parquet", engine="fastparquet")
    for row in rows:
        row.pop("lasting", None)
    case("fastparquet-types.parquet", "pandas, fastparquet", "pandas' own types, missing values", rows)
    small = pd.DataFrame({"n": [1, 2, 3], "s": ["a", "b", "c"], "o": [b"\0", b"\1", b"\2"]})
    rows = columns(n=[1, 2, 3], s=["a", "b", "c"], o=[b"\0", b"\1", b"\2"])
    for codec in ("UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4", "LZ4_RAW", "BROTLI"):
        name = f"fastparquet-codec-{codec.lower()}.parquet"
        try:
            fastparquet.write(str(DATA / name), small, compression=codec, object_encoding={"s": "utf8", "o": "bytes"})
            case(name, "fastparquet", f"compressed with {codec}", rows)
        except Exception as reason:
            (DATA / name).unlink(missing_ok=True)
            print("not written:", name, type(reason).__name__, reason)
    fastparquet.write(str(DATA / "fastparquet-groups.parquet"), small, row_group_offsets=[0, 2], object_encoding={"s": "json", "o": "bytes"})
    case("fastparquet-groups.parquet", "fastparquet", "two row groups, text as JSON", rows)
    when = pd.DataFrame({"t": pd.to_datetime(["2023-01-27 10:00:00", "1900-01-01 00:00:00"]).astype("datetime64[ns]")})
    fastparquet.write(str(DATA / "fastparquet-int96.parquet"), when, times="int96")
    case("fastparquet-int96.parquet", "fastparquet", "INT96 timestamps", columns(t=[dt.datetime(2023, 1, 27, 10), dt.datetime(1900, 1, 1)]))


def with_polars():
    frame = pl.DataFrame({
        "n": [1, None], "u": pl.Series([2**64 - 1, 0], dtype=pl.UInt64), "s": ["Zoë", None], "day": [dt.date(2024, 2, 29), None],
        "t": [dt.time(12, 34, 56), None], "at": [dt.datetime(2023, 1, 27, 10), None], "owe": [D("58.10"), None], "l": [["a", None], []],
        "st": [{"a": 1}, {"a": None}], "kind": pl.Series(["gold", "gold"], dtype=pl.Categorical), "o": [b"\xff", None],
        "lasting": [dt.timedelta(hours=25), None],
    })
    rows = [dict(n=1, u=2**64 - 1, s="Zoë", day=dt.date(2024, 2, 29), t=dt.time(12, 34, 56), at=dt.datetime(2023, 1, 27, 10), owe=D("58.10"),
                 l=["a", None], st={"a": 1}, kind="gold", o=b"\xff", lasting=dt.timedelta(hours=25)), dict(u=0, l=[], st={}, kind="gold")]
    frame.write_parquet(DATA / "polars-types.parquet")
    case("polars-types.parquet", "Polars", "Polars' types", rows)


def write():
    numbers()
    times()
    texts()
    nested()
    storage()
    old_and_broken()
    encrypted()
    with_duckdb()
    with_pandas()
    with_polars()
