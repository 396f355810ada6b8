//! Seals what rests on disk.

use super::random;
use crate::mail::RunId;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

/// A run's data key. `seal` writes nonce (12 octets) ‖ ciphertext ‖ tag (16 octets).
pub struct DataKey(RandomizedNonceKey);

/// Where a sealed value rests: its associated data.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// A wrapped key of this name.
    Key(&'a [u8]),
    /// A value of a column family that belongs to a row.
    Row(&'static str, RunId, u64),
}

impl Place<'_> {
    fn associated_data(self) -> Vec<u8> {
        match self {
            Place::Key(name) => [b"key\0".as_slice(), name].concat(),
            Place::Row(family, run, ordinal) => {
                [family.as_bytes(), b"\0", &run.octets(), &ordinal.to_be_bytes()].concat()
            }
        }
    }
}

impl DataKey {
    /// The key of these octets.
    pub fn new(octets: &[u8; 32]) -> DataKey {
        DataKey(RandomizedNonceKey::new(&AES_256_GCM, octets).expect("32 octets are an AES-256 key"))
    }

    /// A new key's octets, to be wrapped and then used.
    pub fn generate() -> Zeroizing<[u8; 32]> {
        Zeroizing::new(random())
    }

    /// Seals `plain` for its place.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let mut body = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(place.associated_data()), &mut body)
            .expect("a value of far less than 64 GiB can be sealed");
        [nonce.as_ref().as_slice(), &body].concat()
    }

    /// Opens what was sealed for this place; `None` if it wasn't, or not with this key.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let length = self.0.open_in_place(nonce, Aad::from(place.associated_data()), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn opens_only_in_its_place(plain in proptest::collection::vec(proptest::num::u8::ANY, 0..200), flip in 0_usize..400) {
            let key = DataKey::new(&DataKey::generate());
            let place = Place::Row("deferred", RunId(7), 9);
            let sealed = key.seal(place, &plain);
            let opened = key.open(place, &sealed);
            proptest::prop_assert_eq!(opened.as_deref(), Some(plain.as_slice()));
            for other in [Place::Row("deferred", RunId(7), 8), Place::Row("backlog", RunId(7), 9), Place::Row("deferred", RunId(8), 9)] {
                proptest::prop_assert!(key.open(other, &sealed).is_none());
            }
            let mut damaged = sealed.clone();
            let at = flip % damaged.len();
            damaged[at] ^= 1;
            proptest::prop_assert!(key.open(place, &damaged).is_none());
        }
    }
}
