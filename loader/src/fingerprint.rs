//! The digest that tells one input from another.

use crate::error::Error;
use std::io::Read;
use std::path::Path;

/// A running digest; the engine brings its own SHA-256, so that this crate needs no cryptography.
pub trait Digest {
    /// Takes the next octets of the file.
    fn update(&mut self, octets: &[u8]);
}

/// Feeds the whole file at `path` to `digest`.
///
/// # Errors
/// The file can't be read.
pub fn fingerprint(path: &Path, digest: &mut impl Digest) -> Result<(), Error> {
    let mut file = crate::open::file(path)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => digest.update(&buffer[..count]),
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(Error::new(path, cause.into())),
        }
    }
}
