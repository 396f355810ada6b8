//! Proves that a record was written by us and not changed.

use aws_lc_rs::hmac;

/// The key under which the audit trail is chained.
pub struct AuditKey(hmac::Key);

impl AuditKey {
    /// The key of these octets.
    pub fn new(octets: &[u8; 32]) -> AuditKey {
        AuditKey(hmac::Key::new(hmac::HMAC_SHA256, octets))
    }

    /// HMAC-SHA-256 over `record`.
    pub fn mac(&self, record: &[u8]) -> [u8; 32] {
        hmac::sign(&self.0, record).as_ref().try_into().expect("HMAC-SHA-256 is 32 octets")
    }
}
