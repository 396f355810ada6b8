#!/usr/bin/env python3
"""Writes tests/data/foreign and tests/FOREIGN.md: files by other hands, and what their writers meant by them.

The tests need none of this. To write the files again:
    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install pyarrow duckdb pandas fastparquet polars
    /tmp/venv/bin/python loader/tests/support/foreign.py [folder with the unpacked npm package csv-spectrum]

What a file means is not read back from it (but for pyarrow's own four files of 2017, which pyarrow reads): each case states its rows as Python values, and `meant` turns those into what
loader/src/value.rs promises.
"""
import datetime as dt, decimal, json, math, pathlib, sys, uuid

TESTS = pathlib.Path(__file__).resolve().parents[1]
DATA = TESTS / "data" / "foreign"
CASES = []
UTC = dt.timezone.utc
D = decimal.Decimal


class Is:
    """A value that Python can't say itself, and how it comes out."""

    def __init__(self, value, out):
        self.value, self.out = value, out


def fraction(micros):
    if micros == 0:
        return ""
    return f".{micros // 1000:03}" if micros % 1000 == 0 else f".{micros:06}"


def meant(value):
    """`value` as templates see it; None where it is missing."""
    match value:
        case Is():
            return value.out
        case None | bool() | int() | str():
            return value
        case float():
            if math.isnan(value):
                return None
            return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else value
        case D():
            return f"{value:f}"
        case dt.datetime():
            zone = "Z" if value.tzinfo else ""
            value = value.astimezone(UTC) if value.tzinfo else value
            return f"{value.replace(microsecond=0, tzinfo=None).isoformat()}{fraction(value.microsecond)}{zone}"
        case dt.date():
            return value.isoformat()
        case dt.time():
            return f"{value:%H:%M:%S}{fraction(value.microsecond)}"
        case dt.timedelta():
            micros = value // dt.timedelta(microseconds=1)
            sign, micros = "-" * (micros < 0), abs(micros)
            seconds, micros = divmod(micros, 1_000_000)
            hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
            text = f"{hours}H" * (hours > 0) + f"{minutes}M" * (minutes > 0)
            if seconds or micros or not text:
                text += f"{seconds}{fraction(micros)}S"
            return f"{sign}PT{text}"
        case bytes():
            return value.hex()
        case uuid.UUID():
            return str(value)
        case list():
            return [meant(item) for item in value]
        case dict():
            return {str(meant(key)): meant(inner) for key, inner in value.items() if meant(inner) is not None}
    raise TypeError(type(value))


def raw(value):
    match value:
        case Is():
            return value.value
        case list():
            return [raw(item) for item in value]
        case dict():
            return {key: raw(inner) for key, inner in value.items()}
    return value


def columns(**named):
    """Columns as rows."""
    return [dict(zip(named, row)) for row in zip(*named.values(), strict=True)]


def case(name, writer, shows, rows=None, refused=None, then=None, rejects=None, declared=""):
    """Notes the file `name`, which was written already. `rejects`: row number to reason, those rows are not in `rows`."""
    assert (DATA / name).exists(), name
    if refused:
        outcome = f"refused: {refused}"
    else:
        out = [meant(row) for row in rows]
        for at, reason in sorted((rejects or {}).items()):
            out.insert(at, reason)
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in out)
        (DATA / f"{name}.json").write_text(f"[\n{lines}\n]\n")
        outcome = f"{len(out)} rows, then: {then}" if then else "read"
    CASES.append((name, declared, writer, shows, outcome))


def table_of():
    lines = [
        "# Files by other hands",
        "",
        "Each file in `data/foreign` is read as its writer meant it, or refused with a reason. `foreign.rs` reads this table and",
        "holds every line of it against the file and the rows in `FILE.json`; `support/foreign.py` writes all of them.",
        "Files named `like-…` are equal cases of files in apache/parquet-testing, which no registry carries; more of them, with the",
        "schemas and codecs of old writers, are made by `legacy.rs` when it runs. An empty CSV field is a missing value, so it is not",
        "in the rows. `spectrum-…` are the files of csv-spectrum 2.0.0 by Max Ogden (BSD-2-Clause), `pyarrow-v0.7.1…` lie in",
        "pyarrow's own tests (Apache-2.0).",
        "",
        "| file | declared | writer | shows | outcome |",
        "|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in one) + " |" for one in sorted(CASES)]
    refused = sum(one[4].startswith("refused") for one in CASES)
    lines += ["", f"{len(CASES)} files: {len(CASES) - refused} read, {refused} refused.", ""]
    (TESTS / "FOREIGN.md").write_text("\n".join(lines))


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    sys.modules["foreign"] = sys.modules["__main__"]
    DATA.mkdir(parents=True, exist_ok=True)
    for old in DATA.iterdir():
        old.unlink()
    import foreign_csv, foreign_parquet

    foreign_csv.write(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    foreign_parquet.write()
    table_of()
    print(CASES and f"{len(CASES)} files, {sum(f.stat().st_size for f in DATA.iterdir())} octets")
