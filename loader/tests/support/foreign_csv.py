"""CSV, TSV and their dialects: csv-spectrum, DuckDB, pandas, pyarrow, Polars, Python's csv, and broken files."""
import csv, gzip, json, random, shutil, zlib

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv

from foreign import DATA, case, columns

ROWS = columns(
    id=["001", "002", "003"],
    name=['Ann "Bo" Carr', "Zoë, née Šimák", "line one\nline two"],
    note=["", "tab\there", "semi;colon"],
)
#: An empty field is a missing value.
PLAIN = [{key: value for key, value in row.items() if value} for row in ROWS]
ASCII = columns(id=["001", "002"], name=["Ann", 'Bo "B"'])
LATIN = columns(id=["001", "002"], name=["Zoë", "50 € à Orléans"])


def spectrum(folder):
    """The cases of csv-spectrum 2.0.0 (BSD-2-Clause), its files as they are."""
    if folder is None:
        return
    for file in sorted((folder / "csvs").glob("*.csv")):
        name = f"spectrum-{file.name}"
        shutil.copy(file, DATA / name)
        rows = json.loads((folder / "json" / f"{file.stem}.json").read_text())
        if file.stem == "location_coordinates":
            # Its JSON is one object, with another phone number than its CSV.
            rows = [{**rows, "Contact Phone Number": "2095257564", "Counties": "Stanislaus"}]
        shows = "its case of that name" + ("; an empty field is a missing value" if "empty" in name else "")
        rows = [{key: value for key, value in row.items() if value} for row in rows]
        case(name, "csv-spectrum", shows, rows)


def with_python():
    for name, shows, options in [
        ("unix", "LF, every field quoted", {"dialect": "unix"}),
        ("excel", "CR LF, quoted where needed", {"dialect": "excel"}),
        ("semicolon", "semicolons", {"delimiter": ";"}),
        ("pipe", "pipes, CR LF", {"delimiter": "|"}),
    ]:
        with open(DATA / f"python-{name}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ROWS[0], **options)
            writer.writeheader()
            writer.writerows(ROWS)
        declared = f"delimiter={options['delimiter']}".replace("|", "pipe") if "delimiter" in options else ""
        case(f"python-{name}.csv", "Python csv", shows, PLAIN, declared=declared)
    with open(DATA / "python-excel.tsv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ROWS[0], dialect="excel-tab")
        writer.writeheader()
        writer.writerows(ROWS)
    case("python-excel.tsv", "Python csv", "tabs, with the quoting of CSV", PLAIN)


def with_pandas():
    frame = pd.DataFrame(ROWS)
    for name, shows, options, declared in [
        ("plain.csv", "as it comes", {}, ""),
        ("all.csv", "every field quoted", {"quoting": csv.QUOTE_ALL}, ""),
        ("bom.csv", "UTF-8 with a byte order mark", {"encoding": "utf-8-sig"}, ""),
        ("crlf.csv", "CR LF", {"lineterminator": "\r\n"}, ""),
        ("gzip.csv.gz", "gzip", {"compression": {"method": "gzip", "mtime": 1}}, ""),
        ("utf16.csv", "UTF-16 with a mark", {"encoding": "utf-16"}, "encoding=utf-16"),
        ("utf16le.csv", "UTF-16 without a mark", {"encoding": "utf-16-le"}, "encoding=utf-16"),
        ("tabs.tsv", "tabs", {"sep": "\t"}, ""),
    ]:
        frame.to_csv(DATA / f"pandas-{name}", index=False, **options)
        case(f"pandas-{name}", "pandas to_csv", shows, PLAIN, declared=declared)
    # pandas hands zstd to a package of its own; pyarrow's stream does the same work.
    text = frame.to_csv(index=False).encode()
    with pa.CompressedOutputStream(str(DATA / "pandas-zstd.csv.zst"), "zstd") as out:
        out.write(text)
    case("pandas-zstd.csv.zst", "pandas to_csv, pyarrow zstd", "zstd", PLAIN)
    with pa.CompressedOutputStream(str(DATA / "pandas-zstd.tsv.zst"), "zstd") as out:
        out.write(frame.to_csv(index=False, sep="\t").encode())
    case("pandas-zstd.tsv.zst", "pandas to_csv, pyarrow zstd", "zstd, tabs", PLAIN)
    pd.DataFrame(LATIN).to_csv(DATA / "pandas-latin1.csv", index=False, encoding="cp1252")
    case("pandas-latin1.csv", "pandas to_csv", "windows-1252 as declared", LATIN, declared="encoding=latin1")
    shutil.copy(DATA / "pandas-latin1.csv", DATA / "pandas-latin1-undeclared.csv")
    case("pandas-latin1-undeclared.csv", "pandas to_csv", "windows-1252, not declared", refused="is not UTF-8 text")
    shutil.copy(DATA / "pandas-utf16.csv", DATA / "pandas-utf16-undeclared.csv")
    case("pandas-utf16-undeclared.csv", "pandas to_csv", "UTF-16, not declared", refused="is not UTF-8 text")
    frame.to_csv(DATA / "pandas-index.csv")
    case("pandas-index.csv", "pandas to_csv", "the index as a column without a name", refused="column 1 of its header has no name")
    pd.DataFrame(ROWS[:0], columns=list(ROWS[0])).to_csv(DATA / "pandas-no-rows.csv", index=False)
    case("pandas-no-rows.csv", "pandas to_csv", "a header alone", refused="has a header and no rows")
    types = pd.DataFrame({
        "n": [1, -2], "amount": ["77.50", "0.00"], "day": pd.to_datetime(["2024-02-29", "1999-12-31"]),
        "yes": [True, False], "lines": ['[{"code": "A1"}]', "{}"],
    })
    types.to_csv(DATA / "pandas-types.csv", index=False)
    rows = columns(n=[1, -2], amount=["77.50", "0.00"], day=["2024-02-29", "1999-12-31"], yes=[True, False],
                   lines=[[{"code": "A1"}], {}])
    case("pandas-types.csv", "pandas to_csv", "declared types", rows,
         declared="n:int amount:decimal day:date yes:bool lines:json")


def with_duckdb():
    duckdb.sql("create table t (id varchar, name varchar, note varchar)")
    duckdb.executemany("insert into t values (?, ?, ?)", [list(row.values()) for row in ROWS])
    for name, shows, options, declared in [
        ("plain.csv", "as it comes", "", ""),
        ("gzip.csv.gz", "gzip", ", compression gzip", ""),
        ("zstd.csv.zst", "zstd", ", compression zstd", ""),
        ("tabs.tsv", "tabs", ", delimiter '\t'", ""),
        ("pipe.csv", "pipes, every field quoted", ", delimiter '|', force_quote *", "delimiter=pipe"),
    ]:
        duckdb.sql(f"copy t to '{DATA}/duckdb-{name}' (format csv, header{options})")
        case(f"duckdb-{name}", "DuckDB COPY", shows, PLAIN, declared=declared)
    duckdb.sql(f"copy (select 'x' as a, 1 as b) to '{DATA}/duckdb-headless.csv' (format csv, header false)")
    # Nothing tells a header of plain words from a row of them; one row alone is a header.
    case("duckdb-headless.csv", "DuckDB COPY", "no header, one row", refused="has a header and no rows")
    duckdb.sql(f"copy (select 'ann@a.example' as a, 1 as b from range(2)) to '{DATA}/duckdb-headless-2.csv' (format csv, header false)")
    case("duckdb-headless-2.csv", "DuckDB COPY", "no header, addresses", refused="its first row does not look like a header")


def with_others():
    pa.csv.write_csv(pa.Table.from_pylist(ROWS), DATA / "pyarrow-plain.csv")
    case("pyarrow-plain.csv", "pyarrow write_csv", "as it comes: all text quoted", PLAIN)
    pl.DataFrame(ROWS).write_csv(DATA / "polars-plain.csv")
    case("polars-plain.csv", "Polars write_csv", "as it comes", PLAIN)
    pl.DataFrame(ROWS).write_csv(DATA / "polars-bom-crlf.csv", include_bom=True, line_terminator="\r\n")
    case("polars-bom-crlf.csv", "Polars write_csv", "mark and CR LF", PLAIN)


def broken():
    """What goes wrong on the way."""
    def put(name, octets):
        (DATA / name).write_bytes(octets)

    text = pd.DataFrame(ASCII).to_csv(index=False).encode()
    put("hand-members.csv.gz", gzip.compress(text[:11], mtime=1) + gzip.compress(text[11:], mtime=1))
    case("hand-members.csv.gz", "Python gzip", "two members", ASCII)
    put("hand-frames.csv.zst", pa.compress(text[:11], "zstd", asbytes=True) + pa.compress(text[11:], "zstd", asbytes=True))
    case("hand-frames.csv.zst", "pyarrow zstd", "two frames", ASCII)
    put("hand-misnamed.csv", gzip.compress(text, mtime=1))
    case("hand-misnamed.csv", "Python gzip", "gzip named .csv", ASCII)
    put("hand-misnamed.csv.gz", text)
    case("hand-misnamed.csv.gz", "Python", "plain text named .gz", ASCII)
    dice = random.Random(1)
    rows = columns(id=[f"{at:04}" for at in range(3000)], name=[f"{dice.randrange(10**12):012}" for _ in range(3000)])
    many = pd.DataFrame(rows).to_csv(index=False).encode()
    cut = gzip.compress(many, mtime=1)[:-10_000]
    put("hand-cut.csv.gz", cut)
    whole = zlib.decompressobj(31).decompress(cut).decode().split("\n")[1:-1]
    read = [row for row, line in zip(rows, whole) if line == f"{row['id']},{row['name']}"]
    case("hand-cut.csv.gz", "Python gzip", "cut short", read, then="is cut short: its gzip stream has no end")
    put("hand-no-crc.csv.gz", gzip.compress(text, mtime=1)[:-8])
    case("hand-no-crc.csv.gz", "Python gzip", "cut before its check sum", ASCII, then="is cut short: its gzip stream has no end")
    bad = bytearray(gzip.compress(text, mtime=1))
    bad[-5] ^= 1
    put("hand-bad-crc.csv.gz", bytes(bad))
    case("hand-bad-crc.csv.gz", "Python gzip", "a check sum that is not its own", ASCII, then="is damaged: its gzip stream can't be unpacked")
    put("hand-cut.csv.zst", pa.compress(many, "zstd", asbytes=True)[:40])
    case("hand-cut.csv.zst", "pyarrow zstd", "cut short before the first block ends", refused="is cut short: its zstd stream has no end")
    put("hand-cut-utf16.csv", "id,name\n1,Ann\n2,Bo".encode("utf-16-le")[:-1])
    case("hand-cut-utf16.csv", "Python", "half a character at the end", [{"id": "1", "name": "Ann"}], declared="encoding=utf-16",
         rejects={1: 'line 3, column "name": is not UTF-16 text'})
    put("hand-big-endian.csv", "\ufeffid,name\n1,Zoë\n".encode("utf-16-be"))
    case("hand-big-endian.csv", "Python", "UTF-16, big-endian", [{"id": "1", "name": "Zoë"}], declared="encoding=utf-16")
    put("hand-marked.csv", "\ufeffid,name\n1,Zoë\n".encode())
    case("hand-marked.csv", "Python", "declared Latin-1, and the mark of UTF-8", declared="encoding=latin1",
         refused="begins with the mark of UTF-8 text, not Latin-1")
    put("hand-empty.csv", b"")
    case("hand-empty.csv", "nobody", "nothing at all", refused="is empty")
    put("hand-empty.csv.gz", gzip.compress(b"", mtime=1))
    case("hand-empty.csv.gz", "Python gzip", "nothing, packed", refused="is empty")
    put("hand-workbook.csv", b"PK\x03\x04\x14\x00\x06\x00")
    case("hand-workbook.csv", "nobody", "an Excel workbook named .csv", refused="is a ZIP archive or an Excel workbook, not text")
    put("hand-ragged.csv", b"a,b\n1,2\n3\n4,5,6\n7,8\n")
    case("hand-ragged.csv", "nobody", "rows of other lengths", columns(a=["1", "7"], b=["2", "8"]),
         rejects={1: "line 3: has 1 fields where the header has 2", 2: "line 4: has 3 fields where the header has 2"})


def write(folder):
    spectrum(folder)
    with_python()
    with_pandas()
    with_duckdb()
    with_others()
    broken()
