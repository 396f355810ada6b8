//! What the operator declares about an input.

use crate::{ColumnType, Encoding, Format};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One input as declared: what a run reads, of one or several files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Files or glob patterns, read in this order; exactly `["-"]` is standard input. What a pattern matches is read in the
    /// order of names. A name that exists as written is that file, whatever pattern characters it holds.
    pub paths: Vec<PathBuf>,
    /// The kind of every file; `None` takes it from each name's ending. Standard input has no name: it must be declared.
    pub format: Option<Format>,
    /// The byte between two fields of a text file; `None` is a comma in CSV, a tab in TSV.
    pub delimiter: Option<u8>,
    /// The encoding of text files; `None` is UTF-8, and refuses a file that begins otherwise.
    pub encoding: Option<Encoding>,
    /// Declared types of text columns, by column name.
    pub columns: BTreeMap<String, ColumnType>,
}

impl Spec {
    /// `path` with nothing declared about it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Spec { paths: vec![path.into()], ..Spec::default() }
    }

    /// The format of the file at `path`, declared or by name.
    pub(crate) fn format_of(&self, path: &Path) -> Option<Format> {
        self.format.or_else(|| Format::by_name(path))
    }

    /// Whether it names standard input, alone as it must be.
    pub(crate) fn is_stdin(&self) -> bool {
        matches!(self.paths.as_slice(), [path] if path.as_os_str() == STDIN)
    }
}

/// The path that stands for standard input.
pub(crate) const STDIN: &str = "-";
