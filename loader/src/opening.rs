//! What tells one input from another before it was read.

use crate::mark::sha256;
use crate::{Error, files};
use aws_lc_rs::digest::{Context, SHA256};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// An input's identity as far as its ends tell: SHA-256 over, for each file in order, its length, its first and its last
/// 256 KiB (where a Parquet file keeps its statistics). Neither name nor time counts: a copied file is the same input. Of
/// standard input it is the first 256 KiB, or what there is, and never equals that of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opening(pub [u8; 32]);

/// How much of each end counts.
pub(crate) const END: u64 = 256 * 1024;

impl Opening {
    pub(crate) fn of_files(paths: &[PathBuf]) -> Result<Opening, Error> {
        let mut context = Context::new(&SHA256);
        context.update(b"files\0");
        for path in paths {
            let fail = |cause: std::io::Error| Error::new(path, cause);
            let mut file = files::open(path)?;
            let len = file.metadata().map_err(fail)?.len();
            context.update(&len.to_be_bytes());
            for start in [0, len.saturating_sub(END)] {
                let mut octets = Vec::new();
                file.seek(SeekFrom::Start(start)).map_err(fail)?;
                file.by_ref().take(END).read_to_end(&mut octets).map_err(fail)?;
                context.update(&octets);
            }
        }
        Ok(Opening(sha256(context)))
    }

    pub(crate) fn of_stream(head: &[u8]) -> Opening {
        let mut context = Context::new(&SHA256);
        context.update(b"stream\0");
        context.update(head);
        Opening(sha256(context))
    }
}
