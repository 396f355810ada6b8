//! DKIM (RFC 6376, RFC 8301, RFC 8463): relaxed/relaxed, From, Subject, To and Date over-signed, no `l=`.
//!
//! 1. [`canon`] makes canonical octets of header fields and body.
//! 2. [`Signer`] hashes the body once and lets each key's [`Backend`] fill its `b=`.
//! 3. [`keys`] reads and makes keys, once a run.
//!
//! Our own signer, because signing is on the message path: the batch backend needs to see many messages at once, and
//! mail-auth 0.13 keeps whitespace-only lines at the end of a body. dkimpy judges it in `tests/`.

mod canon;
mod keys;
mod signer;

pub use keys::{Algorithm, DkimKey, KeyPair, KeyTrouble, dns_record, generate};
pub use signer::{Backend, Signer};
