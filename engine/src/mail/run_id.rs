//! The name of a run.

use std::fmt;

/// A campaign with one input: the first eight octets of SHA-256 over the campaign's name and the input's fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl RunId {
    /// Big-endian octets, so that the store's keys sort by run.
    pub fn octets(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
