//! What a session's transport has proven, held against what messages demand.

use crate::mail::{Demand, Level, MxTrust, Peer, TlsFault};

/// What a session's transport has proven. Only `tls` makes one, of a handshake that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The MX host's name.
    host: String,
    evidence: Evidence,
}

/// What is kept of a session, for those who ask years later how a message travelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// `TLSv1.3`, `TLSv1.2`, or `none`.
    pub version: &'static str,
    /// The cipher suite as IANA names it; empty without TLS.
    pub suite: String,
    /// The group of the key exchange; empty without TLS.
    pub key_exchange: String,
    /// How the peer has proven its name, if that was demanded.
    pub peer: Option<Peer>,
    /// How it is known that the domain's mail goes there.
    pub mx_trust: MxTrust,
    /// SHA-256 of the peer's certificate.
    pub fingerprint: Option<[u8; 32]>,
    /// Whether it went on from an earlier session (and the certificate is that one's).
    pub resumed: bool,
}

impl Proof {
    pub(super) fn new(host: &str, evidence: Evidence) -> Proof {
        Proof { host: host.to_owned(), evidence }
    }

    /// Nothing is proven: clear text.
    pub(in crate::smtp) fn clear() -> Proof {
        let (suite, key_exchange) = (String::new(), String::new());
        let evidence = Evidence {
            version: "none",
            suite,
            key_exchange,
            peer: None,
            mx_trust: MxTrust::Plain,
            fingerprint: None,
            resumed: false,
        };
        Proof::new("", evidence)
    }

    /// What a handshake would have proven.
    #[cfg(test)]
    pub(in crate::smtp) fn of_test(host: &str, peer: Option<Peer>, mx_trust: MxTrust) -> Proof {
        let Proof { evidence, .. } = Proof::clear();
        Proof::new(host, Evidence { version: "TLSv1.3", peer, mx_trust, ..evidence })
    }

    /// Whether a message that demands `demand` may travel here.
    pub fn satisfies(&self, demand: &Demand) -> bool {
        self.shortfall(demand).is_none()
    }

    /// Why it may not, if so.
    pub(super) fn shortfall(&self, demand: &Demand) -> Option<TlsFault> {
        let Evidence { peer, mx_trust, .. } = self.evidence;
        let level = demand.level();
        if level >= Level::Required && !self.is_encrypted() {
            return Some(TlsFault::NoStartTls);
        }
        if level >= Level::Verified && !peer.is_some_and(|peer| demand.peers().accept(peer)) {
            return Some(TlsFault::CertificateInvalid);
        }
        demand.excludes(&self.host, mx_trust, peer.is_some_and(Peer::is_dane))
    }

    /// Whether there is TLS at all.
    pub fn is_encrypted(&self) -> bool {
        self.evidence.version != "none"
    }

    /// What is kept of it.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// `TLSv1.3`, `TLSv1.2`, or `none`.
    pub fn version(&self) -> &'static str {
        self.evidence.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{MxPattern, Tlsa, TlsaRecord};
    use proptest::prelude::*;

    const LEVELS: [Level; 4] = [Level::Opportunistic, Level::Required, Level::Verified, Level::Authenticated];
    const TRUSTS: [MxTrust; 4] = [MxTrust::Plain, MxTrust::Static, MxTrust::Sts, MxTrust::Dnssec];

    fn filter(host: &str) -> Demand {
        Demand::sts([MxPattern::parse(host).expect("a pattern")].into())
    }

    fn proofs() -> Vec<Proof> {
        let mut proofs = vec![Proof::clear()];
        for host in ["mx.a.example", "mx.b.example"] {
            for peer in [None, Some(Peer::Pkix), Some(Peer::DaneTa), Some(Peer::DaneEe)] {
                proofs.extend(TRUSTS.map(|trust| Proof::of_test(host, peer, trust)));
            }
        }
        proofs
    }

    /// The table of all pairs: which levels each kind of proof satisfies, as DESIGN says it.
    #[test]
    fn what_satisfies_what() {
        for proof in proofs() {
            let (peer, trust) = (proof.evidence.peer, proof.evidence.mx_trust);
            let clear = proof.version() == "none";
            let most = match (clear, peer, trust) {
                (true, _, _) => Level::Opportunistic,
                (false, None, _) => Level::Required,
                (false, Some(_), MxTrust::Plain) => Level::Verified,
                (false, Some(_), _) => Level::Authenticated,
            };
            for level in LEVELS {
                assert_eq!(proof.satisfies(&Demand::new(level)), level <= most, "{proof:?} for {level:?}");
                let dane = Demand::new(level).raise(&Demand::dane());
                let proven = peer.is_some_and(Peer::is_dane) && !clear && level <= most;
                assert_eq!(proof.satisfies(&dane), proven, "{proof:?} for DANE and {level:?}");
            }
        }
    }

    #[test]
    fn a_policy_counts_unless_dnssec_vouches_for_host_and_key() {
        let demand = filter("mx.a.example");
        for trust in TRUSTS {
            let proof = |host, peer| Proof::of_test(host, Some(peer), trust).satisfies(&demand);
            assert!(proof("mx.a.example", Peer::Pkix) && proof("mx.a.example", Peer::DaneEe));
            assert!(!proof("mx.b.example", Peer::Pkix));
            assert_eq!(proof("mx.b.example", Peer::DaneEe), trust == MxTrust::Dnssec, "{trust:?}");
        }
    }

    fn any_part() -> impl Strategy<Value = Demand> {
        let record = |usage, length| TlsaRecord { usage, selector: 1, matching: 1, data: vec![1; length] };
        prop_oneof![
            prop::sample::select(LEVELS.to_vec()).prop_map(Demand::new),
            Just(Tlsa::of(vec![record(3, 32)]).demand()),
            Just(Tlsa::of(vec![record(1, 32)]).demand()),
            Just(Tlsa::of(Vec::new()).demand()),
            Just(filter("mx.a.example")),
            Just(filter("*.b.example")),
        ]
    }

    proptest! {
        /// Whatever policies come together, in whatever order: what satisfies the whole satisfies each part.
        #[test]
        fn no_part_is_lost(parts in prop::collection::vec(any_part(), 1..8), turn in 0_usize..8) {
            let raise = |parts: &[Demand]| parts.iter().skip(1).fold(parts[0].clone(), |sum, part| sum.raise(part));
            let whole = raise(&parts);
            for proof in proofs() {
                for part in &parts {
                    prop_assert!(!proof.satisfies(&whole) || proof.satisfies(part), "{:?} {:?}", proof, part);
                }
            }
            prop_assert!(parts.iter().all(|part| whole.level() >= part.level() && whole.peers() >= part.peers()));
            prop_assert_eq!(&whole.raise(&whole), &whole);
            let mut turned = parts.clone();
            turned.rotate_left(turn % parts.len());
            prop_assert_eq!(raise(&turned), whole);
        }
    }
}
