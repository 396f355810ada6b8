//! The kind of a file.

use serde::Deserialize;
use std::path::Path;

/// The kind of file, taken from its name's ending unless declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// RFC 4180 text with a header row, its fields parted by commas.
    Csv,
    /// The same, its fields parted by tabs. Quotes mean what they mean in CSV: a field may hold a tab, a line end or a doubled
    /// quote inside quotes. The backslash escapes of IANA's `text/tab-separated-values` cousins are not interpreted.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format that the ending of `path` stands for, looking through a compression's ending (`claims.csv.gz`).
    pub(crate) fn by_name(path: &Path) -> Option<Format> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "csv" | "txt" => Some(Format::Csv),
            "tsv" | "tab" => Some(Format::Tsv),
            "parquet" | "parq" | "pq" => Some(Format::Parquet),
            "gz" | "gzip" | "zst" | "zstd" => Format::by_name(Path::new(path.file_stem()?)),
            _ => None,
        }
    }

    /// The byte between two fields where none is declared.
    pub(crate) fn delimiter(self) -> u8 {
        if self == Format::Tsv { b'\t' } else { b',' }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings() {
        let cases = [
            ("a.csv", Some(Format::Csv)),
            ("a.TXT", Some(Format::Csv)),
            ("a.csv.gz", Some(Format::Csv)),
            ("a.tsv.zst", Some(Format::Tsv)),
            ("dir.csv/a.tab", Some(Format::Tsv)),
            ("a.parquet", Some(Format::Parquet)),
            ("a.parquet.gz", Some(Format::Parquet)),
            ("a.gz", None),
            ("csv", None),
            ("a.xlsx", None),
        ];
        for (name, format) in cases {
            assert_eq!(Format::by_name(Path::new(name)), format, "{name}");
        }
    }
}
