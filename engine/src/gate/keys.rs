//! Which keys were taken.

use crate::clock::Timestamp;
use crate::store::Error;
use std::collections::HashSet;

/// Knows which keys were taken, and takes new ones.
pub trait Keys {
    /// What becomes of rows, given as ordinal and key in file order: one answer each.
    ///
    /// # Errors
    /// The store fails.
    fn claim(&mut self, rows: &[(u64, &str)], now: Timestamp) -> Result<Vec<Claim>, Error>;
}

/// Whether a row may have its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has it.
    New,
    /// An earlier row of the same input has it.
    Taken,
    /// Another run of the campaign has it.
    Sent,
}

/// Keys of one pass over an input that nobody is sent anything of.
#[derive(Default)]
pub struct Seen(
    /// SHA-256 of each key, cut to 16 octets: two keys of ten million meet with a chance below 10⁻²⁴.
    HashSet<[u8; 16]>,
);

impl Keys for Seen {
    fn claim(&mut self, rows: &[(u64, &str)], _: Timestamp) -> Result<Vec<Claim>, Error> {
        let claim = |(_, key): &(u64, &str)| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
            let key = digest.as_ref()[..16].try_into().expect("SHA-256 has 32 octets");
            if self.0.insert(key) { Claim::New } else { Claim::Taken }
        };
        Ok(rows.iter().map(claim).collect())
    }
}
