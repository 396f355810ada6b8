//! Why a file as a whole can't be read.

use crate::ColumnType;
use std::path::{Path, PathBuf};

/// A file that can't be read, or can't be read further. `Display` names the file and the trouble, never a cell's value.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct Error {
    path: PathBuf,
    #[source]
    fault: Fault,
}

impl Error {
    pub(crate) fn new(path: &Path, fault: Fault) -> Self {
        Error { path: path.to_owned(), fault }
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        self.fault.hint()
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The path is a directory.
    #[error("is a directory, not a file")]
    Directory,
    /// Nothing is in it.
    #[error("is empty")]
    Empty,
    /// A header row and no row after it.
    #[error("has a header and no rows")]
    HeaderOnly,
    /// The name's ending says nothing.
    #[error("can't tell its format from its name")]
    UnknownFormat,
    /// A first row that holds an address, or is too long or broken to be a header. Its cells may be PHI and are not shown.
    #[error("its first row does not look like a header")]
    NoHeader,
    /// A CSV header that isn't UTF-8 text.
    #[error("its header is not UTF-8 text")]
    HeaderNotUtf8,
    /// A CSV header field without a name.
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
    /// A Parquet file that ends before its footer or is damaged.
    #[error("is not a whole Parquet file: {0}")]
    Parquet(String),
    /// Types were declared for a file that carries its own.
    #[error("is Parquet and carries its own types: remove `columns`")]
    TypesDeclaredForParquet,
    /// A column type that templates can't be given yet.
    #[error("column \"{column}\" has the type {kind}, which is not supported")]
    UnsupportedType {
        /// The column.
        column: String,
        /// Its Arrow type.
        kind: String,
    },
}

impl Fault {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Fault::Directory => "name the file itself in [input] path".into(),
            Fault::Empty | Fault::HeaderOnly => "check that the export that wrote it has finished".into(),
            Fault::UnknownFormat => "name it .csv or .parquet, or set format = \"csv\" under [input]".into(),
            Fault::NoHeader => "the first row must name the columns; were they left out of the export?".into(),
            Fault::HeaderNotUtf8 => "export it as UTF-8, for example: iconv -f latin1 -t utf-8".into(),
            Fault::UnnamedColumn(_) => {
                "give every column a name; is the delimiter right, and is the first row the header?".into()
            }
            Fault::SameColumnTwice(_) => "rename one of them".into(),
            Fault::DeclaredColumnMissing { present, .. } => format!("its columns are: {}", present.join(", ")),
            Fault::Parquet(_) => "copy it again: a Parquet file that was cut short has lost its footer".into(),
            Fault::UnsupportedType { .. } => "leave the column out of the file, or write it as text".into(),
            Fault::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                "correct [input] path; it is relative to the campaign file".into()
            }
            Fault::Io(_) | Fault::TypesDeclaredForParquet => return None,
        })
    }
}
