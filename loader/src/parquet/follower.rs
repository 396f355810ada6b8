//! The second cursor on a Parquet file. Decoding jumps about; the digest wants every octet in order.

use crate::tally::Tally;
use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::FileExt;

/// Shows the tally the file's octets, up to where it is told.
pub(super) struct Follower {
    file: File,
    at: u64,
    buffer: Vec<u8>,
    tally: Tally,
}

impl Follower {
    pub(super) fn new(file: File, tally: Tally) -> Follower {
        Follower { file, at: 0, buffer: Vec::new(), tally }
    }

    /// Goes on to octet `end`, or to the file's end if that comes first.
    pub(super) fn go_to(&mut self, end: u64) -> Result<()> {
        self.buffer.resize(256 * 1024, 0);
        while self.at < end {
            let room = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(self.buffer.len());
            // By position: the file's own cursor is the decoder's.
            match self.file.read_at(&mut self.buffer[..room], self.at) {
                Ok(0) => break,
                Ok(count) => {
                    self.tally.take(&self.buffer[..count]);
                    self.at += count as u64;
                }
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    /// Goes on to the file's end.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.go_to(u64::MAX)
    }
}
