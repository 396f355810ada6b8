//! A reader whose beginning was looked at.

use std::io::{BufRead, ErrorKind, Read, Result};

/// Octets read ahead, and then the rest. An error met while reading ahead is told when the reader comes to its place, so that
/// what stands before the damage is read first.
pub(crate) struct Ahead<R> {
    head: Vec<u8>,
    at: usize,
    error: Option<std::io::Error>,
    rest: R,
}

impl<R: Read> Ahead<R> {
    /// Reads up to `len` octets ahead; fewer only at the end or before an error.
    pub(crate) fn new(mut rest: R, len: usize) -> Self {
        let mut head = Vec::new();
        let error = rest.by_ref().take(len as u64).read_to_end(&mut head).err();
        Ahead { head, at: 0, error, rest }
    }

    /// What was read ahead.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Whether reading ahead, up to `len` octets, came to the end and nothing is after it.
    pub(crate) fn is_whole(&self, len: usize) -> bool {
        self.head.len() < len && self.error.is_none()
    }
}

impl<R: BufRead> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.at < self.head.len() {
            return Ok(&self.head[self.at..]);
        }
        match self.error.take() {
            Some(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => self.rest.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        if self.at < self.head.len() {
            self.at += count;
            if self.at == self.head.len() {
                // The look is over; its memory goes.
                (self.head, self.at) = (Vec::new(), 0);
            }
        } else {
            self.rest.consume(count);
        }
    }
}

impl<R: Read> Read for Ahead<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.at < self.head.len() {
            let count = (&self.head[self.at..]).read(into)?;
            self.at += count;
            return Ok(count);
        }
        match self.error.take() {
            Some(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => self.rest.read(into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> Result<usize> {
            Err(ErrorKind::UnexpectedEof.into())
        }
    }

    #[test]
    fn an_error_keeps_its_place() {
        let mut ahead = Ahead::new(b"abc".chain(Broken), 100);
        assert_eq!(ahead.head(), b"abc");
        let mut read = Vec::new();
        assert_eq!(ahead.read_to_end(&mut read).expect_err("broken").kind(), ErrorKind::UnexpectedEof);
        assert_eq!(read, b"abc");
    }

    #[test]
    fn nothing_is_lost_or_doubled() {
        for len in [0, 1, 3, 6, 100] {
            let mut read = Vec::new();
            let mut ahead = Ahead::new(&b"abcdef"[..], len);
            while let [first, ..] = *ahead.fill_buf().expect("reads") {
                read.push(first);
                ahead.consume(1);
            }
            assert_eq!(read, b"abcdef", "{len}");
        }
    }
}
