//! The names that a message bears in public. They are keyed hashes of (run, ordinal): the same over every attempt, guessable
//! by nobody, and without PHI.

use crate::mail::RunId;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;

/// Makes Message-IDs, MIME boundaries and envelope sender tokens.
pub struct TokenKey(hmac::Key);

/// Octets of MAC in a token: 80 bits, past guessing.
const MAC: usize = 10;

impl TokenKey {
    /// The key of these octets.
    pub fn new(octets: &[u8; 32]) -> TokenKey {
        TokenKey(hmac::Key::new(hmac::HMAC_SHA256, octets))
    }

    /// The part of the Message-ID before the `@`.
    pub fn message_id(&self, run: RunId, ordinal: u64) -> String {
        lower(&self.mac(b"message-id", run, ordinal)[..16])
    }

    /// A MIME boundary. The `=_` can't occur in quoted-printable text (RFC 2045 section 6.7).
    pub fn boundary(&self, run: RunId, ordinal: u64) -> String {
        format!("=_{}", lower(&self.mac(b"boundary", run, ordinal)[..15]))
    }

    /// The envelope sender's local part: run, ordinal and a MAC over them as 42 characters, so that a bounce names its row.
    pub fn return_path(&self, run: RunId, ordinal: u64) -> String {
        let mac = self.mac(b"return-path", run, ordinal);
        lower(&[&run.octets()[..], &ordinal.to_be_bytes(), &mac[..MAC]].concat())
    }

    /// The row that an envelope sender's local part names, if we made it. Case is forgiven: some servers write local parts in
    /// capitals, and base32 survives that.
    pub fn read_return_path(&self, local_part: &str) -> Option<(RunId, u64)> {
        let octets = BASE32_NOPAD.decode(local_part.to_ascii_uppercase().as_bytes()).ok()?;
        let (run, rest) = octets.split_first_chunk::<8>()?;
        let (ordinal, mac) = rest.split_first_chunk::<8>()?;
        let (run, ordinal) = (RunId(u64::from_be_bytes(*run)), u64::from_be_bytes(*ordinal));
        let expected = self.mac(b"return-path", run, ordinal);
        verify_slices_are_equal(mac, &expected[..MAC]).ok().map(|()| (run, ordinal))
    }

    fn mac(&self, use_: &[u8], run: RunId, ordinal: u64) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(use_);
        context.update(&[0]);
        context.update(&run.octets());
        context.update(&ordinal.to_be_bytes());
        context.sign().as_ref().try_into().expect("HMAC-SHA-256 is 32 octets")
    }
}

fn lower(octets: &[u8]) -> String {
    BASE32_NOPAD.encode(octets).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_distinct_and_short() {
        let key = TokenKey::new(&[1; 32]);
        assert_eq!(key.message_id(RunId(1), 1), key.message_id(RunId(1), 1));
        assert_ne!(key.message_id(RunId(1), 1), key.message_id(RunId(1), 2));
        assert_ne!(key.message_id(RunId(1), 1), TokenKey::new(&[2; 32]).message_id(RunId(1), 1));
        assert!(key.return_path(RunId(u64::MAX), u64::MAX).len() <= 64);
        assert!(key.boundary(RunId(1), 1).len() <= 68);
    }

    proptest::proptest! {
        /// RFC 5321 section 4.5.3.1.1 gives a local part 64 octets.
        #[test]
        fn a_return_path_names_its_row_and_nothing_else_does(run: u64, ordinal: u64, at in 0_usize..42, other in "[a-z2-7]") {
            let key = TokenKey::new(&[1; 32]);
            let token = key.return_path(RunId(run), ordinal);
            let lower_base32 = |octet| matches!(octet, b'a'..=b'z' | b'2'..=b'7');
            proptest::prop_assert!(token.len() == 42 && token.bytes().all(lower_base32));
            proptest::prop_assert_eq!(key.read_return_path(&token), Some((RunId(run), ordinal)));
            proptest::prop_assert_eq!(key.read_return_path(&token.to_ascii_uppercase()), Some((RunId(run), ordinal)));
            proptest::prop_assert_eq!(TokenKey::new(&[2; 32]).read_return_path(&token), None);
            let mut forged = token.clone();
            forged.replace_range(at..=at, &other);
            proptest::prop_assert_eq!(key.read_return_path(&forged).is_some(), forged == token);
        }

        #[test]
        fn any_local_part_can_be_asked_about(text in "\\PC{0,60}") {
            proptest::prop_assert_eq!(TokenKey::new(&[1; 32]).read_return_path(&text), None);
        }
    }
}
