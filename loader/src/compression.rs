//! Compressed text files, recognised by their first octets.

use std::io::{BufRead, Read};

/// How a text file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, of one or several members.
    Gzip,
    /// RFC 8878, of one or several frames.
    Zstd,
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Compression::Gzip { "gzip" } else { "zstd" })
    }
}

impl Compression {
    /// What the first octets of a file say. Not its name: a gzip file named `.csv` is gzip all the same.
    pub(crate) fn by_magic(head: &[u8]) -> Option<Compression> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
            // A skippable frame, with which parallel compressors begin (RFC 8878, section 3.1.2).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// `packed` as the octets that were packed. Windows past 128 MiB are refused, so memory is bounded.
    pub(crate) fn unpack(self, packed: impl BufRead + Send + 'static) -> std::io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
        })
    }

    /// What unpacks it by hand.
    pub(crate) fn command(self) -> &'static str {
        if self == Compression::Gzip { "gunzip FILE" } else { "unzstd FILE" }
    }
}
