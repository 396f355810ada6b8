//! A text file's octets on their way to UTF-8: unpacked, looked at, decoded.

use crate::ahead::Ahead;
use crate::compression::Compression;
use crate::decode::Decoded;
use crate::{Encoding, Fault};
use std::io::{BufRead, BufReader, Read};

/// A text file as UTF-8, but for octets that are none and stand for what can't be read.
pub(crate) struct Text {
    pub(crate) input: Box<dyn BufRead + Send>,
    pub(crate) compression: Option<Compression>,
    pub(crate) encoding: Encoding,
}

const BUFFER: usize = 256 * 1024;
/// How much is looked at to tell whether it is UTF-8.
const LOOK: usize = 64 * 1024;
const MAGIC: usize = 8;

impl Text {
    /// The text in `raw`.
    pub(crate) fn open(raw: impl Read + Send + 'static, declared: Option<Encoding>) -> Result<Text, Fault> {
        let raw = Ahead::new(BufReader::with_capacity(BUFFER, raw), MAGIC);
        let compression = Compression::by_magic(raw.head());
        let plain: Box<dyn BufRead + Send> = match compression {
            None => Box::new(raw),
            Some(compression) => Box::new(BufReader::with_capacity(BUFFER, compression.unpack(raw)?)),
        };
        let looked = Ahead::new(plain, LOOK);
        let encoding = Encoding::of(looked.head(), looked.is_whole(LOOK), declared)?;
        let input: Box<dyn BufRead + Send> = match encoding {
            Encoding::Utf8 => Box::new(looked),
            other => {
                let head = looked.head()[..looked.head().len().min(MAGIC)].to_vec();
                Box::new(Decoded::new(looked, &head, other))
            }
        };
        Ok(Text { input, compression, encoding })
    }
}
