//! TLSA records (RFC 6698), as SMTP uses them (RFC 7672).

use super::Demand;
use super::demand::Level;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A TLSA record (RFC 6698 section 2.1), as it stands in the zone: usable or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlsaRecord {
    /// 2 is DANE-TA, 3 is DANE-EE; others are not used for SMTP (RFC 7672 section 3.1.3).
    pub usage: u8,
    /// 0 is the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 is the thing itself, 1 its SHA-256, 2 its SHA-512.
    pub matching: u8,
    /// What is to match.
    pub data: Vec<u8>,
}

impl TlsaRecord {
    /// Whether we know what to do with it. Longer or shorter digests match nothing (RFC 7671 section 10.1.2).
    fn is_usable(&self) -> bool {
        let fits = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        matches!(self.usage, 2 | 3) && matches!(self.selector, 0 | 1) && fits
    }
}

/// What a host's TLSA records say, once DNSSEC has vouched for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tlsa {
    /// There are none.
    Absent,
    /// There are some, and none that we know what to do with.
    Unusable,
    /// These, of which one must match.
    Usable(Arc<[TlsaRecord]>),
}

impl Tlsa {
    /// What `records` say, in whatever order: name servers turn it with each answer, and tickets are kept by what it says.
    pub fn of(records: Vec<TlsaRecord>) -> Tlsa {
        if records.is_empty() {
            return Tlsa::Absent;
        }
        let usable: BTreeSet<_> = records.into_iter().filter(TlsaRecord::is_usable).collect();
        if usable.is_empty() { Tlsa::Unusable } else { Tlsa::Usable(usable.into_iter().collect()) }
    }

    /// What they demand of a session with the host (RFC 7672 section 2.2).
    pub fn demand(&self) -> Demand {
        match self {
            Tlsa::Absent => Demand::new(Level::Opportunistic),
            Tlsa::Unusable => Demand::new(Level::Required),
            Tlsa::Usable(_) => Demand::dane(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_records_are_usable() {
        let record =
            |usage, selector, matching, length| TlsaRecord { usage, selector, matching, data: vec![7; length] };
        let usable = [(2, 0, 0, 900), (2, 1, 1, 32), (3, 0, 2, 64), (3, 1, 1, 32), (3, 1, 0, 90)];
        for (usage, selector, matching, length) in usable {
            assert!(matches!(Tlsa::of(vec![record(usage, selector, matching, length)]), Tlsa::Usable(_)));
        }
        // PKIX-TA and PKIX-EE are not for SMTP; unknown parameters, and digests of the wrong length.
        let unusable = [
            (0, 1, 1, 32),
            (1, 1, 1, 32),
            (4, 1, 1, 32),
            (3, 2, 1, 32),
            (3, 1, 3, 48),
            (3, 1, 1, 31),
            (3, 1, 2, 32),
            (2, 0, 0, 0),
        ];
        for (usage, selector, matching, length) in unusable {
            assert_eq!(Tlsa::of(vec![record(usage, selector, matching, length)]), Tlsa::Unusable);
        }
        let both = Tlsa::of(vec![record(1, 1, 1, 32), record(3, 1, 1, 32)]);
        assert_eq!(both, Tlsa::Usable([record(3, 1, 1, 32)].into()));
        assert_eq!(Tlsa::of(Vec::new()), Tlsa::Absent);
        let (one, other) = (record(2, 0, 1, 32), record(3, 1, 1, 32));
        let turned = Tlsa::of(vec![other.clone(), one.clone(), other.clone()]);
        assert_eq!(turned, Tlsa::of(vec![one, other]), "the same in another order");
    }
}
