//! DKIM (RFC 6376, RFC 8301, RFC 8463): relaxed/relaxed, From, Subject, To and Date over-signed, no `l=`.
//!
//! 1. [`canon`] makes canonical octets of header fields and body.
//! 2. [`Signer`] hashes the body once and says what each key has to sign.
//! 3. [`Signing`] lets the keys' [`Backend`]s fill their `b=`: each by itself or, for RSA-2048 on a CPU that can, up to eight
//!    messages together: [`gathering`] decides when, [`desk`] lets the right thread do it, [`eight`] signs and verifies them.
//! 4. [`keys`] reads and makes keys, once a run.
//!
//! Our own signer, because signing is on the message path: signing together needs to see many messages at once, and
//! mail-auth 0.13 keeps whitespace-only lines at the end of a body. dkimpy judges it in `tests/`.

mod canon;
mod desk;
mod eight;
mod gathering;
mod keys;
mod signer;
mod signing;
#[cfg(test)]
mod tests;

pub use keys::{Algorithm, DkimKey, KeyPair, KeyTrouble, dns_record, generate};
pub use signer::{Backend, Signer, Unsigned};
pub use signing::{Coming, Signing, Together, hand};
