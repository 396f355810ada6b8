//! Text of another encoding as UTF-8.

use crate::Encoding;
use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::io::{BufRead, Read, Result};

/// A reader's text as UTF-8. What the encoding does not allow, such as half a surrogate pair, comes out as [`MALFORMED`], an
/// octet that UTF-8 never holds: the row around it is found at fault, where U+FFFD would pass for what was written.
pub(crate) struct Decoded<R> {
    inner: R,
    decoder: Decoder,
    text: Vec<u8>,
    at: usize,
    done: bool,
}

const MALFORMED: u8 = 0xff;
const TEXT: usize = 64 * 1024;

impl<R: BufRead> Decoded<R> {
    /// The text of `inner`, which begins with `head`.
    pub(crate) fn new(inner: R, head: &[u8], encoding: Encoding) -> Self {
        let encoding = match encoding {
            Encoding::Utf16 if head.starts_with(b"\xfe\xff") => UTF_16BE,
            Encoding::Utf16 => UTF_16LE,
            Encoding::Latin1 | Encoding::Utf8 => WINDOWS_1252,
        };
        Decoded { inner, decoder: encoding.new_decoder_with_bom_removal(), text: Vec::new(), at: 0, done: false }
    }

    fn refill(&mut self) -> Result<()> {
        self.text.resize(TEXT, 0);
        let mut written = 0;
        while written == 0 && !self.done {
            let octets = self.inner.fill_buf()?;
            let last = octets.is_empty();
            // The last octet is left for the mark of a malformed sequence.
            let room = &mut self.text[..TEXT - 1];
            let (result, taken, wrote) = self.decoder.decode_to_utf8_without_replacement(octets, room, last);
            self.inner.consume(taken);
            written = wrote;
            match result {
                DecoderResult::Malformed(..) => {
                    self.text[written] = MALFORMED;
                    written += 1;
                }
                DecoderResult::InputEmpty => self.done = last,
                DecoderResult::OutputFull => {}
            }
        }
        self.text.truncate(written);
        self.at = 0;
        Ok(())
    }
}

impl<R: BufRead> BufRead for Decoded<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.at == self.text.len() && !self.done {
            self.refill()?;
        }
        Ok(&self.text[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl<R: BufRead> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn decoded(octets: &[u8], encoding: Encoding, step: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let mut decoded = Decoded::new(BufReader::with_capacity(step, octets), octets, encoding);
        decoded.read_to_end(&mut text).expect("reads");
        text
    }

    #[test]
    fn malformed_text_is_marked() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"\xff\xfea\0\0\xd8b\0", b"a\xffb"),
            (b"a\0\0\xdcb\0", b"a\xffb"),
            (b"a\0b", b"a\xff"),
            (b"\xfe\xff\0a\0\xe9", "aé".as_bytes()),
            (b"\xfd\xff", "\u{fffd}".as_bytes()),
        ];
        for (octets, expected) in cases {
            assert_eq!(decoded(octets, Encoding::Utf16, 1), *expected, "{octets:?}");
        }
        assert_eq!(decoded(b"caf\xe9 \x80", Encoding::Latin1, 2), "café €".as_bytes());
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "\\PC{0,200}", step in 1_usize..9) {
            let octets: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            if !octets.starts_with(b"\xff\xfe") && !octets.starts_with(b"\xfe\xff") {
                prop_assert_eq!(decoded(&octets, Encoding::Utf16, step), text.as_bytes());
            }
        }
    }
}
