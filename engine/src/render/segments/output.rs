//! Where segments are written to.

use super::Odd;
use crate::render::edition::is_clean;
use encodify::base64::MIME;
use encodify::qp::BODY;

/// What takes the pieces of a text.
pub(super) trait Output {
    fn literal(&mut self, literal: &Literal) -> Result<(), Odd>;
    /// Where a value is to be appended, unencoded.
    fn value(&mut self) -> &mut String;
}

/// The text itself.
impl Output for String {
    fn literal(&mut self, literal: &Literal) -> Result<(), Odd> {
        self.push_str(&literal.text);
        Ok(())
    }

    fn value(&mut self) -> &mut String {
        self
    }
}

/// A piece of a template as it stands there, and its whole lines encoded beforehand.
pub(super) struct Literal {
    pub(super) text: String,
    lines: Option<Lines>,
}

/// The whole lines in a literal: quoted-printable begins anew on each line.
struct Lines {
    start: usize,
    end: usize,
    encoded: Vec<u8>,
}

impl Literal {
    pub(super) fn new(text: String) -> Literal {
        let start = text.find('\n').map(|at| at + 1);
        let end = text.rfind('\n').map(|at| at + 1);
        let lines = start.zip(end).filter(|(start, end)| is_clean(&text[*start..*end]));
        let encoded = |(start, end)| Lines { start, end, encoded: BODY.encode(&text[start..end]).into_bytes() };
        Literal { lines: lines.map(encoded), text }
    }

    /// Whether a text with this in it can't stand in a message as it is: it is not ASCII, or a line is too long. There may be
    /// other reasons.
    pub(super) fn needs_encoding(&self) -> bool {
        let whole = self.lines.as_ref().map_or("", |lines| &self.text[lines.start..lines.end]);
        !self.text.is_ascii() || whole.lines().any(|line| line.len() > LONGEST)
    }
}

/// Octets of a line that mail-builder leaves alone.
const LONGEST: usize = 77;

/// The text in quoted-printable: a line is encoded when it is complete, unless it was beforehand.
pub(super) struct Quoted {
    encoded: Vec<u8>,
    /// What follows the last line that was encoded.
    open: String,
    /// Octets of the text.
    length: usize,
}

impl Quoted {
    pub(super) fn with_capacity(octets: usize) -> Quoted {
        Quoted { encoded: Vec::with_capacity(octets), open: String::with_capacity(512), length: 0 }
    }

    /// What was written, if mail-builder would have chosen this encoding too.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Odd> {
        self.close()?;
        if self.encoded.len() < MIME.encoded_len(self.length) { Ok(self.encoded) } else { Err(Odd) }
    }

    fn close(&mut self) -> Result<(), Odd> {
        if !is_clean(&self.open) {
            return Err(Odd);
        }
        self.length += self.open.len();
        BODY.encode_append(&self.open, &mut self.encoded);
        self.open.clear();
        Ok(())
    }
}

impl Output for Quoted {
    fn literal(&mut self, literal: &Literal) -> Result<(), Odd> {
        let Some(Lines { start, end, encoded }) = &literal.lines else {
            self.open.push_str(&literal.text);
            return Ok(());
        };
        self.open.push_str(&literal.text[..*start]);
        self.close()?;
        self.length += end - start;
        self.encoded.extend_from_slice(encoded);
        self.open.push_str(&literal.text[*end..]);
        Ok(())
    }

    fn value(&mut self) -> &mut String {
        &mut self.open
    }
}
