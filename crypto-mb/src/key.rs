//! Keys in the library's form.

use zeroize::Zeroizing;

/// The parts of a private key, as PKCS #1 has them: octets, the highest first, without leading zeros.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// `n`.
    pub modulus: &'a [u8],
    /// `e`.
    pub public_exponent: &'a [u8],
    /// `p`.
    pub prime_1: &'a [u8],
    /// `q`.
    pub prime_2: &'a [u8],
    /// `d` mod `p` - 1.
    pub exponent_1: &'a [u8],
    /// `d` mod `q` - 1.
    pub exponent_2: &'a [u8],
    /// `q` to the -1 mod `p`.
    pub coefficient: &'a [u8],
}

/// A private key of 2048 bits with two primes of 1024 bits and the public exponent 65537, which is what the library's public
/// operation is made for. It leaves memory when dropped.
#[cfg_attr(not(crypto_mb), expect(dead_code, reason = "there is no library to read them"))]
pub struct Key {
    pub(crate) modulus: Box<Words<32>>,
    pub(crate) prime_1: Box<Words<16>>,
    pub(crate) prime_2: Box<Words<16>>,
    pub(crate) exponent_1: Box<Words<16>>,
    pub(crate) exponent_2: Box<Words<16>>,
    pub(crate) coefficient: Box<Words<16>>,
}

/// A number as the library reads it: words of 64 bits, the lowest first.
pub(crate) type Words<const N: usize> = Zeroizing<[u64; N]>;

const EXPONENT: [u8; 3] = [1, 0, 1];

impl Key {
    /// The key of these parts; `None` if it is of another size or exponent. Whether the parts fit each other is not looked at:
    /// where they don't, results don't stand up to the public operation.
    pub fn new(parts: Parts<'_>) -> Option<Key> {
        let fits = parts.public_exponent == EXPONENT
            && is_full(parts.modulus, 256)
            && is_full(parts.prime_1, 128)
            && is_full(parts.prime_2, 128);
        fits.then_some(())?;
        Some(Key {
            modulus: words(parts.modulus)?,
            prime_1: words(parts.prime_1)?,
            prime_2: words(parts.prime_2)?,
            exponent_1: words(parts.exponent_1)?,
            exponent_2: words(parts.exponent_2)?,
            coefficient: words(parts.coefficient)?,
        })
    }
}

/// Whether a number fills `len` octets and is odd.
fn is_full(octets: &[u8], len: usize) -> bool {
    octets.len() == len && octets[0] >= 0x80 && octets[len - 1] % 2 == 1
}

/// In a box from the start: what is moved leaves a copy behind.
fn words<const N: usize>(octets: &[u8]) -> Option<Box<Words<N>>> {
    let mut words = Box::new(Zeroizing::new([0_u64; N]));
    if octets.len() > N * 8 {
        return None;
    }
    for (at, octet) in octets.iter().rev().enumerate() {
        words[at / 8] |= u64::from(*octet) << (at % 8 * 8);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_lowest_first() {
        assert_eq!(**words::<2>(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).expect("fits"), [0x0203_0405_0607_0809, 1]);
        assert_eq!(**words::<1>(&[]).expect("fits"), [0]);
        assert!(words::<1>(&[1; 9]).is_none());
    }

    #[test]
    fn keys_of_another_kind_are_not_taken() {
        let (modulus, prime, rest) = ([0xff; 256], [0xff; 128], [1; 128]);
        let good = Parts {
            modulus: &modulus,
            public_exponent: &EXPONENT,
            prime_1: &prime,
            prime_2: &prime,
            exponent_1: &rest,
            exponent_2: &rest,
            coefficient: &rest,
        };
        assert!(Key::new(good).is_some());
        let cases = [
            ("exponent", Parts { public_exponent: &[3], ..good }),
            ("3072 bits", Parts { modulus: &[0xff; 384], ..good }),
            ("2047 bits", Parts { modulus: &[0x7f; 256], ..good }),
            ("even", Parts { prime_1: &[0xfe; 128], ..good }),
            ("uneven primes", Parts { prime_2: &[0xff; 129], ..good }),
            ("empty", Parts { modulus: &[], ..good }),
            ("too long", Parts { coefficient: &[1; 129], ..good }),
        ];
        for (name, parts) in cases {
            assert!(Key::new(parts).is_none(), "{name}");
        }
    }
}
