//! What can be wrong with an input, and what helps.

use crate::compression::Compression;
use crate::{ColumnType, Encoding};
use std::path::PathBuf;

/// What is wrong with a file. No text holds a cell's value.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// No path at all.
    #[error("no file is named")]
    NoPath,
    /// A pattern that matches no file.
    #[error("matches no file")]
    NoMatch,
    /// A pattern that is none.
    #[error("is not a pattern: {0}")]
    Pattern(&'static str),
    /// One file would be read twice.
    #[error("is named twice")]
    Twice,
    /// Standard input beside files.
    #[error("can't be read together with files")]
    StdinAmongFiles,
    /// Standard input where a second pass is asked for.
    #[error("can be read only once")]
    StdinOnce,
    /// The path is a directory.
    #[error("is a directory, not a file")]
    Directory,
    /// A pipe, a socket or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// Nothing is in it.
    #[error("is empty")]
    Empty,
    /// A header row and no row after it, in every file.
    #[error("has a header and no rows")]
    HeaderOnly,
    /// The name's ending says nothing.
    #[error("can't tell its format from its name")]
    UnknownFormat,
    /// Standard input has no name that could say anything.
    #[error("its format is not declared")]
    UndeclaredFormat,
    /// Parquet is read from its end.
    #[error("can't be Parquet, which is read from its end")]
    ParquetFromStdin,
    /// A Parquet file inside a compressed one.
    #[error("is a Parquet file inside a {0} file")]
    CompressedParquet(Compression),
    /// Octets of some other kind of file, where text is expected.
    #[error("is {0}, not text")]
    NotText(&'static str),
    /// A compressed file that ends too early.
    #[error("is cut short: its {0} stream has no end")]
    CutShort(Compression),
    /// A compressed file that can't be unpacked.
    #[error("is damaged: its {0} stream can't be unpacked")]
    Damaged(Compression),
    /// A first row that holds an address, or is too long or broken to be a header. Its cells may be PHI and are not shown.
    #[error("its first row does not look like a header")]
    NoHeader,
    /// A header that isn't text of the encoding.
    #[error("its header is not {} text", .0.name())]
    HeaderNotInEncoding(Encoding),
    /// Text of no declared encoding that isn't UTF-8. The encoding is one that would read it.
    #[error("is not UTF-8 text")]
    NotUtf8(Option<Encoding>),
    /// It begins with the mark of another encoding than the declared one.
    #[error("begins with the mark of {} text, not {}", found.name(), declared.name())]
    OtherEncoding {
        /// What was declared.
        declared: Encoding,
        /// What the mark says.
        found: Encoding,
    },
    /// A header field without a name.
    #[error("column {0} of its header has no name")]
    UnnamedColumn(usize),
    /// Two columns of one name.
    #[error("has two columns named \"{0}\"")]
    SameColumnTwice(String),
    /// A type was declared for a column that isn't there.
    #[error("has no column \"{column}\" (declared as {})", kind.word())]
    DeclaredColumnMissing {
        /// The declared name.
        column: String,
        /// Its declared type.
        kind: ColumnType,
        /// The names that are there.
        present: Vec<String>,
    },
    /// A column of the first file is not in this one.
    #[error("has no column \"{column}\", which {} has", first.display())]
    ColumnMissing {
        /// The column.
        column: String,
        /// The first file.
        first: PathBuf,
    },
    /// A column of this file is not in the first one.
    #[error("has a column \"{column}\", which {} has not", first.display())]
    ColumnExtra {
        /// The column.
        column: String,
        /// The first file.
        first: PathBuf,
    },
    /// A column that is something else in the first file.
    #[error("column \"{column}\" is {here}, and {there} in {}", first.display())]
    ColumnDiffers {
        /// The column.
        column: String,
        /// What it is in this file.
        here: String,
        /// What it is in the first file.
        there: String,
        /// The first file.
        first: PathBuf,
    },
    /// The file was looked at, and was another when its turn came.
    #[error("was changed while the files before it were read")]
    Changed,
    /// A Parquet file that ends before its footer or is damaged.
    #[error("is not a whole Parquet file: {0}")]
    Parquet(String),
    /// A Parquet file with an encrypted footer or encrypted columns.
    #[error("is encrypted Parquet")]
    Encrypted,
    /// A Parquet file whose codec isn't supported.
    #[error("is compressed with {0}, which is not supported")]
    Codec(&'static str),
    /// Types were declared for a file that carries its own.
    #[error("is Parquet and carries its own types: remove `columns`")]
    TypesDeclaredForParquet,
    /// A column type that templates can't be given.
    #[error("column \"{column}\" has the type {kind}, which is not supported")]
    UnsupportedType {
        /// The column, with its parents.
        column: String,
        /// Its type.
        kind: String,
    },
}

impl Fault {
    /// What the operator can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Fault::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                "correct [input] path; it is relative to the campaign file".into()
            }
            Fault::Io(_) | Fault::TypesDeclaredForParquet => return None,
            Fault::NoPath => "name a file in [input] path".into(),
            Fault::NoMatch => {
                "correct [input] path; patterns are relative to the campaign file, as in \"eob-*.csv\"".into()
            }
            Fault::Pattern(_) => "patterns know *, ?, [abc] and **; a bracket itself is written [[]".into(),
            Fault::Twice => "a file read twice would send twice: remove one, or narrow the pattern".into(),
            Fault::StdinAmongFiles => "set path = \"-\" alone, or name files only".into(),
            Fault::StdinOnce | Fault::ParquetFromStdin => "save it as a file and name that in [input] path".into(),
            Fault::Directory => "name the file itself in [input] path, or a pattern like \"folder/*.csv\"".into(),
            Fault::NotAFile => "give its content on standard input with path = \"-\"".into(),
            Fault::Empty | Fault::HeaderOnly => "check that the export that wrote it has finished".into(),
            Fault::UnknownFormat => "name it .csv, .tsv or .parquet, or set format = \"csv\" under [input]".into(),
            Fault::UndeclaredFormat => "set format = \"csv\" or \"tsv\" under [input]".into(),
            Fault::CompressedParquet(with) => format!("unpack it first: {}", with.command()),
            Fault::NotText(_) => "export it as CSV, or as Parquet named .parquet".into(),
            Fault::CutShort(_) | Fault::Damaged(_) => {
                "copy or export it again; the rows before the damage were read".into()
            }
            Fault::NoHeader => "the first row must name the columns; were they left out of the export?".into(),
            Fault::NotUtf8(Some(encoding)) => format!("set encoding = \"{}\" under [input]", encoding.word()),
            Fault::NotUtf8(None) => {
                "export it as UTF-8; with encoding = \"utf-8\" under [input], only the rows at fault are left out"
                    .into()
            }
            Fault::HeaderNotInEncoding(_) => "export it as UTF-8, or correct encoding under [input]".into(),
            Fault::OtherEncoding { found, .. } => format!("set encoding = \"{}\" under [input]", found.word()),
            Fault::UnnamedColumn(_) => {
                "give every column a name; is the delimiter right, and is the first row the header?".into()
            }
            Fault::SameColumnTwice(_) => "rename one of them".into(),
            Fault::DeclaredColumnMissing { present, .. } => format!("its columns are: {}", present.join(", ")),
            Fault::ColumnMissing { .. } | Fault::ColumnExtra { .. } | Fault::ColumnDiffers { .. } => {
                "files of one run must have the same columns; send others as a run of their own".into()
            }
            Fault::Changed => "let the exports finish before the run".into(),
            Fault::Parquet(_) => "copy it again: a Parquet file that was cut short has lost its footer".into(),
            Fault::Encrypted => "write it without encryption, to a place that is encrypted itself".into(),
            Fault::Codec(_) => "write it with zstd or snappy".into(),
            Fault::UnsupportedType { .. } => "leave the column out of the file, or write it as text".into(),
        })
    }

    /// What a failed read means. Decoders report damage as errors without a number of the operating system.
    pub(crate) fn reading(cause: std::io::Error, compression: Option<Compression>) -> Fault {
        match compression {
            Some(with) if cause.raw_os_error().is_none() => match cause.kind() {
                std::io::ErrorKind::UnexpectedEof => Fault::CutShort(with),
                _ => Fault::Damaged(with),
            },
            _ => Fault::Io(cause),
        }
    }
}
