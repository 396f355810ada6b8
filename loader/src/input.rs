//! The files of a run as one stream of batches.
//!
//! 1. Patterns are expanded and every file is looked at: its header or footer, its columns against the first file's, and
//!    that one of them has a row. Nothing is handed out before all are found fit.
//! 2. The first file is kept open; each other is opened again when its turn comes, and must still have its columns and length.
//! 3. While batches are read the raw octets of all files pass one [`Tally`], in order.

use crate::ahead::Ahead;
use crate::columns::Columns;
use crate::opening::END;
use crate::reader::Reader;
use crate::tally::Tally;
use crate::{Batch, Error, Fault, Mark, Opening, Shape, Spec, Watched, files};
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// An input being read: an iterator of batches.
///
/// After an error nothing more comes.
pub struct Input {
    spec: Spec,
    files: Vec<PathBuf>,
    columns: Vec<(String, Shape)>,
    /// What each file was found to have, and its length.
    found: Vec<(Columns, u64)>,
    rows: Option<u64>,
    opening: Opening,
    tally: Tally,
    wanted: Option<HashSet<String>>,
    /// The file being read, and its place in `files`.
    reader: Option<Reader>,
    at: usize,
    /// The ordinal of the next row.
    next: u64,
}

/// Opens the input that `spec` describes and reads as much of each file as tells whether it can be read at all: its header
/// or footer, and that at least one row is there. The files are not read whole.
///
/// # Errors
/// Whatever makes a file as a whole unreadable, or files that don't belong together, with a hint.
pub fn open(spec: &Spec) -> Result<Input, Error> {
    open_with(spec, std::io::stdin)
}

/// [`open`], with `stdin` for standard input.
fn open_with<R: Read + Send + 'static>(spec: &Spec, stdin: impl FnOnce() -> R) -> Result<Input, Error> {
    let files = files::resolve(spec)?;
    let tally = Tally::new();
    let (first, opening) = if spec.is_stdin() {
        let stream = Ahead::new(stdin(), END as usize);
        let opening = Opening::of_stream(stream.head());
        (Reader::stream(stream, &files[0], spec, tally.clone())?, opening)
    } else {
        (Reader::file(&files[0], spec, tally.clone())?, Opening::of_files(&files)?)
    };
    let mut survey = Survey { found: vec![(first.columns(), 0)], rows: first.rows(), any: !first.is_empty() };
    for file in &files[1..] {
        survey.look(file, &files[0], spec)?;
    }
    if !survey.any {
        return Err(Error::new(&files[0], Fault::HeaderOnly));
    }
    let columns = survey.found[0].0.list.iter().map(|(name, meaning)| (name.clone(), meaning.shape())).collect();
    let Survey { found, rows, .. } = survey;
    let mut input = Input {
        spec: spec.clone(),
        files,
        columns,
        found,
        rows,
        opening,
        tally,
        wanted: None,
        reader: None,
        at: 0,
        next: 1,
    };
    input.take_up(first);
    Ok(input)
}

/// What the files looked at so far have.
struct Survey {
    found: Vec<(Columns, u64)>,
    rows: Option<u64>,
    any: bool,
}

impl Survey {
    fn look(&mut self, file: &Path, first: &Path, spec: &Spec) -> Result<(), Error> {
        let reader = Reader::file(file, spec, Tally::new())?;
        let columns = reader.columns();
        columns.follow(&self.found[0].0, first).map_err(|fault| Error::new(file, fault))?;
        self.found.push((columns, length(file)?));
        self.rows = self.rows.zip(reader.rows()).map(|(before, rows)| before.saturating_add(rows));
        self.any |= !reader.is_empty();
        Ok(())
    }
}

impl Input {
    /// The columns in the order of the first file, with what is inside them.
    pub fn columns(&self) -> &[(String, Shape)] {
        &self.columns
    }

    /// The files in reading order; `-` is standard input.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many rows it has, where every file says so itself (Parquet).
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// What tells this input from another as far as its ends tell.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Leaves in the batches only the columns that `wanted` names; to be called before the first batch. Which rows are
    /// malformed stays the same: a text file's others are still checked, as text and as what they are declared.
    pub fn project(&mut self, wanted: &dyn Fn(&str) -> bool) {
        self.wanted = Some(self.columns.iter().map(|(name, _)| name.clone()).filter(|name| wanted(name)).collect());
        if let Some(reader) = &mut self.reader {
            reader.project(wanted);
        }
    }

    /// How far the raw octets were read, and their digest: at least as far as the rows handed out reach, and to the end
    /// after the last batch.
    pub fn mark(&self) -> Mark {
        self.tally.mark()
    }

    /// Compares the input with `mark` as it is read; to be called before the first batch.
    pub fn watch(&mut self, mark: Mark) {
        self.tally.watch(mark);
    }

    /// What came of [`Input::watch`]. Once the input has ended it is no longer [`Watched::NotYet`].
    pub fn watched(&self) -> Watched {
        self.tally.watched()
    }

    fn take_up(&mut self, mut reader: Reader) {
        if self.files.len() > 1 {
            reader.name_file();
        }
        if let Some(wanted) = &self.wanted {
            reader.project(&|name| wanted.contains(name));
        }
        self.reader = Some(reader);
    }

    /// Turns to the next file. `false`: there is none.
    fn turn(&mut self) -> Result<bool, Error> {
        self.at += 1;
        let Some(file) = self.files.get(self.at) else {
            self.tally.end();
            return Ok(false);
        };
        let reader = Reader::file(file, &self.spec, self.tally.clone())?;
        if (reader.columns(), length(file)?) != self.found[self.at] {
            return Err(Error::new(file, Fault::Changed));
        }
        self.take_up(reader);
        Ok(true)
    }
}

fn length(file: &Path) -> Result<u64, Error> {
    file.metadata().map(|found| found.len()).map_err(|cause| Error::new(file, cause))
}

impl Iterator for Input {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.tally.begin();
        loop {
            match self.reader.as_mut()?.next(self.next) {
                Some(Ok(batch)) => {
                    self.next += batch.len() as u64;
                    return Some(Ok(batch));
                }
                Some(Err(error)) => {
                    self.reader = None;
                    return Some(Err(error));
                }
                None => self.reader = None,
            }
            match self.turn() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    const TEXT: &[u8] = b"id,name\n1,Ann\n2,Bo\n3\n";

    fn stdin() -> Spec {
        Spec { format: Some(Format::Csv), ..Spec::new("-") }
    }

    /// A pipe: octets come one by one.
    struct Drip(&'static [u8]);

    impl Read for Drip {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(into.len()).min(1);
            (&mut self.0).take(1).read(&mut into[..count])
        }
    }

    #[test]
    fn standard_input_is_read_like_a_file() {
        let mut input = open_with(&stdin(), || Drip(TEXT)).expect("opens");
        assert_eq!(input.files(), [PathBuf::from("-")]);
        assert_eq!(input.rows(), None);
        let batch = input.next().expect("a batch").expect("reads");
        assert_eq!(batch.row(1)["name"], "Bo");
        assert_eq!(batch.rejects[0].to_string(), "line 4: has 1 fields where the header has 2");
        assert!(input.next().is_none());
        assert_eq!(input.mark().octets, TEXT.len() as u64);
        assert_eq!(input.opening(), open_with(&stdin(), || TEXT).expect("opens").opening());
        let error = crate::whole(&stdin()).expect_err("one pass");
        assert_eq!(error.to_string(), "standard input: can be read only once");
    }

    #[test]
    fn standard_input_is_watched_though_its_head_was_read() {
        let mark = {
            let mut input = open_with(&stdin(), || TEXT).expect("opens");
            input.by_ref().for_each(drop);
            input.mark()
        };
        for (content, expected) in [(TEXT, Watched::Same), (b"id,name\n1,Ann\n2,Bob\n3\n", Watched::Differs)] {
            let mut input = open_with(&stdin(), || Drip(content)).expect("opens");
            input.watch(mark);
            input.by_ref().for_each(drop);
            assert_eq!(input.watched(), expected);
        }
        let mut input = open_with(&stdin(), || &TEXT[..20]).expect("opens");
        input.watch(mark);
        assert_eq!(input.watched(), Watched::NotYet);
        input.by_ref().for_each(drop);
        assert_eq!(input.watched(), Watched::Differs, "it ended before the mark");
    }

    #[test]
    fn what_standard_input_can_not_be() {
        let cases: &[(Option<Format>, &'static [u8], &str, &str)] = &[
            (None, TEXT, "its format is not declared", "set format"),
            (Some(Format::Parquet), TEXT, "can't be Parquet, which is read from its end", "save it as a file"),
            (Some(Format::Csv), b"", "is empty", "export"),
            (Some(Format::Tsv), b"a\tb\n", "has a header and no rows", "export"),
        ];
        for (format, content, text, hint) in cases {
            let error = open_with(&Spec { format: *format, ..stdin() }, || *content).err().expect(text);
            assert_eq!(error.to_string(), format!("standard input: {text}"));
            assert!(error.hint().expect("a hint").contains(hint));
        }
    }
}
