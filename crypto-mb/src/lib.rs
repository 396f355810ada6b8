//! RSA-2048, up to eight keys and numbers at a time, by Intel's `crypto_mb` (Apache License 2.0): on a CPU with AVX-512 IFMA
//! eight private operations take little more time than one.
//!
//! 1. [`Library::open`] says whether the library was there at build time and whether this CPU can run it.
//! 2. A [`Key`] keeps the parts of a private key in the library's form.
//! 3. [`Library::private`] and [`Library::public`] raise numbers to the keys' exponents. What the numbers mean
//!    (padding, whether a result is to be believed) is for the caller.
//!
//! This is the only crate of ours with `unsafe` in it: `library.rs` declares seven functions of `crypto_mb/rsa.h`,
//! `cpu_features.h` and `version.h` by hand. No message, no row and no octet from outside comes here, only numbers of a fixed
//! length.

mod key;
#[cfg_attr(crypto_mb, path = "library.rs")]
#[cfg_attr(not(crypto_mb), path = "absent.rs")]
mod library;

pub use key::{Key, Parts};
pub use library::Library;

/// How many at a time.
pub const LANES: usize = 8;
/// Octets of a number: 2048 bits, the highest octet first.
pub const OCTETS: usize = 256;
/// A number below a key's modulus.
pub type Number = [u8; OCTETS];

/// Why there is no library to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It was not there when we were built.
    Build,
    /// This CPU can't run it.
    Cpu,
}

impl std::fmt::Display for Absent {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Absent::Build => "built without crypto_mb",
            Absent::Cpu => "no AVX-512 IFMA here",
        })
    }
}

impl std::error::Error for Absent {}
