//! The name of a run.

use std::fmt;

/// A campaign with one input: the first eight octets of SHA-256 over the campaign's name and the input's fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl RunId {
    /// Big-endian octets, so that the store's keys sort by run.
    pub fn octets(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The run of a name as it is displayed.
    pub fn named(name: &str) -> Option<RunId> {
        let written = name.len() == 16 && name.bytes().all(|octet| octet.is_ascii_hexdigit());
        written.then(|| u64::from_str_radix(name, 16).ok().map(RunId)).flatten()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_by_its_name() {
        for run in [RunId(0), RunId(0xab), RunId(u64::MAX)] {
            assert_eq!(RunId::named(&run.to_string()), Some(run));
        }
        for name in ["", "ab", "+00000000000000a", "00000000000000000a", "small"] {
            assert_eq!(RunId::named(name), None, "{name}");
        }
    }
}
