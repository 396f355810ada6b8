//! Finds a value again without keeping it.

use aws_lc_rs::hmac;

/// Turns row keys (and, later, addresses) into what the store can look up. It is rewrapped when the master key changes and
/// never replaced: another one would find nothing of what was taken.
pub struct IndexKey(hmac::Key);

/// A row's key within its campaign, as the store knows it: HMAC-SHA-256 over `sent`, the campaign's name and the key, each
/// ended by a NUL but the last, cut to 16 octets. Two of ten million meet with a chance of 1 in 10^24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SentKey(pub [u8; 16]);

impl IndexKey {
    /// The key of these octets.
    pub fn new(octets: &[u8; 32]) -> IndexKey {
        IndexKey(hmac::Key::new(hmac::HMAC_SHA256, octets))
    }

    /// The place of a row's key in `sent`. A campaign's name has no control character, so the NUL ends it.
    pub fn sent(&self, campaign: &str, key: &str) -> SentKey {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [b"sent\0", campaign.as_bytes(), b"\0", key.as_bytes()] {
            context.update(part);
        }
        SentKey(*context.sign().as_ref().first_chunk().expect("HMAC-SHA-256 is 32 octets"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_in_its_campaign_only() {
        let key = IndexKey::new(&[1; 32]);
        assert_eq!(key.sent("eob", "C-1"), key.sent("eob", "C-1"));
        assert_ne!(key.sent("eob", "C-1"), key.sent("eob", "C-2"));
        assert_ne!(key.sent("eob", "C-1"), key.sent("eo", "bC-1"));
        assert_ne!(key.sent("eob", "C-1"), IndexKey::new(&[2; 32]).sent("eob", "C-1"));
    }
}
