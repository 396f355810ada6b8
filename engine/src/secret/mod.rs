//! Keys and what they protect.
//!
//! ```text
//! master key (outside the state directory)
//!  ├─ wraps the index key       row keys in `sent`: found again, never read back
//!  ├─ wraps the token key       Message-ID, VERP token, MIME boundary
//!  ├─ wraps the audit key       the audit trail's chain
//!  └─ wraps a data key per run  sealed rows and reply texts of that run
//! ```
//! Everything that rests on disk and holds a field of a row is sealed with its run's data key: AES-256-GCM under a random
//! nonce (NIST SP 800-38D section 8.2.2), with the place where it rests (column family, run, ordinal) as associated data,
//! so that a sealed value moved elsewhere does not open. Keys are zeroed when dropped and have no `Debug`.

mod audit;
mod data_key;
mod file;
mod index;
mod master;
mod token;

pub use audit::AuditKey;
pub use data_key::{DataKey, Place};
pub use file::{KeyFileError, owner_only, write_owner_only};
pub use index::{IndexKey, SentKey};
pub use master::{KeyError, KeyPlace, MasterKey, password};
pub use token::TokenKey;

/// Whether all cryptography of this binary comes from a FIPS 140-3 module that has passed its self-test: that of a `fips` build.
pub fn in_fips_mode() -> bool {
    aws_lc_rs::try_fips_mode().is_ok()
}

/// Fills an array from the operating system's random source.
fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    aws_lc_rs::rand::fill(&mut octets).expect("the operating system's random source answers");
    octets
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_module_is_what_the_build_says() {
        assert_eq!(super::in_fips_mode(), cfg!(feature = "fips"));
    }
}
