//! Text split into records, as RFC 4180 has them: any one-byte delimiter, CR LF or LF, an optional byte order mark.
//!
//! Records are split by `csv-core` into a buffer of our own. A record past [`MAX_RECORD`] is read on and thrown away, so
//! that a quote left open costs one row's memory and not the machine's.

use csv_core::ReadRecordResult;
use std::io::BufRead;

/// The longest record, in octets of content: a row that rendered into a message would exceed what receivers take long before.
pub(crate) const MAX_RECORD: usize = 4 << 20;
const MAX_COLUMNS: usize = 10_000;

/// What is known of the record whose content stands in [`Records`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) line: u64,
    pub(crate) fields: usize,
    pub(crate) octets: usize,
    pub(crate) too_long: bool,
    pub(crate) open_quote: bool,
}

/// The file split into records; holds the content of the last one.
pub(crate) struct Records {
    input: Box<dyn BufRead + Send>,
    parser: csv_core::Reader,
    content: Vec<u8>,
    ends: Vec<usize>,
}

/// A record's fields as text.
pub(crate) struct Fields<'a> {
    content: &'a str,
    ends: &'a [usize],
}

impl<'a> Fields<'a> {
    /// Field `at`.
    pub(crate) fn get(&self, at: usize) -> &'a str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.content[start..self.ends[at]]
    }
}

impl Records {
    pub(crate) fn new(input: Box<dyn BufRead + Send>, delimiter: u8) -> Records {
        Records {
            input,
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            content: vec![0; 16 * 1024],
            ends: vec![0; 256],
        }
    }

    /// The content of field `at` of the last record.
    pub(crate) fn field(&self, at: usize) -> &[u8] {
        &self.content[self.start(at)..self.ends[at]]
    }

    /// The whole content of `record`, the last one, if each of its fields is UTF-8; or the first field that is not.
    ///
    /// One check for all: fields that are not text alone could join to text, so each end must be a character's end.
    pub(crate) fn text(&self, record: &Record) -> Result<Fields<'_>, usize> {
        let ends = &self.ends[..record.fields];
        match std::str::from_utf8(&self.content[..record.octets]) {
            Ok(content) if ends.iter().all(|end| content.is_char_boundary(*end)) => Ok(Fields { content, ends }),
            _ => Err((0..record.fields).find(|at| std::str::from_utf8(self.field(*at)).is_err()).unwrap_or(0)),
        }
    }

    fn start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.ends[at - 1] }
    }

    /// Reads one record, or `None` at the file's end.
    pub(crate) fn read(&mut self) -> std::io::Result<Option<Record>> {
        let (mut written, mut fields, mut quotes) = (0, 0, 0_usize);
        let (mut too_long, mut open_quote, mut probed) = (false, false, false);
        let mut line = self.parser.line();
        loop {
            let input = match self.input.fill_buf() {
                Ok(input) => input,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(cause),
            };
            // At the file's end a line end is offered first: one that does not end the record stands inside a quote.
            let at_end = input.is_empty();
            let in_record = written > 0 || fields > 0 || quotes > 0;
            let probing = at_end && in_record && !probed;
            let input = if probing { b"\n".as_slice() } else { input };
            let (result, taken, wrote, ended) =
                self.parser.read_record(input, &mut self.content[written..], &mut self.ends[fields..]);
            if written == 0 && fields == 0 && quotes == 0 {
                // Blank lines before the record belong to nobody.
                line += input[..taken]
                    .iter()
                    .take_while(|octet| matches!(octet, b'\r' | b'\n'))
                    .filter(|o| **o == b'\n')
                    .count() as u64;
            }
            quotes += input[..taken].iter().filter(|octet| **octet == b'"').count();
            self.input.consume(if probing { 0 } else { taken });
            open_quote |= probing && result == ReadRecordResult::InputEmpty;
            // A full buffer takes no input: the line end is offered again.
            probed |= probing && !matches!(result, ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull);
            written += wrote;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.content.len() < MAX_RECORD => {
                    self.content.resize(self.content.len() * 2, 0);
                }
                ReadRecordResult::OutputFull => (written, too_long) = (0, true),
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_COLUMNS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => (fields, too_long) = (0, true),
                ReadRecordResult::Record => {
                    return Ok(Some(Record { line, fields, octets: written, too_long, open_quote }));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }
}
