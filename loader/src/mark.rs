//! How far an input was read, and what was read until there.

use crate::{Error, Fault, Spec, files};
use aws_lc_rs::digest::{Context, SHA256};
use std::io::{ErrorKind, Read};

/// The first `octets` raw octets of an input: of all its files in order, compressed ones as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How many they are.
    pub octets: u64,
    /// Their SHA-256.
    pub digest: [u8; 32],
}

impl Mark {
    pub(crate) fn new(octets: u64, context: Context) -> Mark {
        Mark { octets, digest: sha256(context) }
    }
}

/// The mark at the end of the input that `spec` describes, in one pass over its octets.
///
/// # Errors
/// A file can't be read, or the input is standard input.
pub fn whole(spec: &Spec) -> Result<Mark, Error> {
    beginning(spec, u64::MAX)
}

/// Whether the input that `spec` describes begins with the octets of `mark`. Reads no further than they go.
///
/// # Errors
/// A file can't be read, or the input is standard input.
pub fn same(spec: &Spec, mark: &Mark) -> Result<bool, Error> {
    Ok(beginning(spec, mark.octets)? == *mark)
}

fn beginning(spec: &Spec, mut left: u64) -> Result<Mark, Error> {
    if spec.is_stdin() {
        return Err(Error::new(&spec.paths[0], Fault::StdinOnce));
    }
    let mut context = Context::new(&SHA256);
    let mut octets = 0;
    let mut buffer = vec![0; 256 * 1024];
    for path in files::resolve(spec)? {
        let mut file = files::open(&path)?.take(left);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    context.update(&buffer[..count]);
                    octets += count as u64;
                    left -= count as u64;
                }
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(Error::new(&path, cause)),
            }
        }
        if left == 0 {
            break;
        }
    }
    Ok(Mark::new(octets, context))
}

/// The digest in `context`.
pub(crate) fn sha256(context: Context) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(context.finish().as_ref());
    octets
}
