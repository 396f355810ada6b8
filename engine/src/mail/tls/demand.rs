//! What must hold before MAIL FROM.

use super::{MxPattern, TlsFault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Levels of transport security, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// TLS where it works, clear text where it doesn't.
    Opportunistic,
    /// Encrypted, whoever the peer is.
    Required,
    /// Encrypted, and the peer has proven the MX host's name.
    Verified,
    /// Verified, and it is proven that the domain's mail goes to a host of that name.
    Authenticated,
}

impl Level {
    /// Its word in configuration and reports.
    pub fn word(self) -> &'static str {
        match self {
            Level::Opportunistic => "opportunistic",
            Level::Required => "required",
            Level::Verified => "verified",
            Level::Authenticated => "authenticated",
        }
    }
}

/// How it is known that a domain's mail goes to a host: who changes an unproven MX record gets the mail, and proves his own
/// name to perfection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MxTrust {
    /// The DNS says so, and nothing vouches for it.
    Plain,
    /// The operator says so.
    Static,
    /// The domain's MTA-STS policy in `enforce` names the host (RFC 8461).
    Sts,
    /// The MX records are signed (RFC 7672 section 2.2.1).
    Dnssec,
}

impl MxTrust {
    /// Its word in reports.
    pub fn word(self) -> &'static str {
        match self {
            MxTrust::Plain => "plain",
            MxTrust::Static => "static",
            MxTrust::Sts => "sts",
            MxTrust::Dnssec => "dnssec",
        }
    }
}

/// How a peer has proven its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// By a certificate that leads to a root we trust (RFC 6125).
    Pkix,
    /// By a certificate below one that the TLSA records name (RFC 7672 section 3.1.2).
    DaneTa,
    /// By the certificate or key that the TLSA records name (RFC 7672 section 3.1.1).
    DaneEe,
}

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 3] = [Peer::Pkix, Peer::DaneTa, Peer::DaneEe];

    /// Its word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Peer::Pkix => "pkix",
            Peer::DaneTa => "dane-ta",
            Peer::DaneEe => "dane-ee",
        }
    }

    /// Whether TLSA records have proven it.
    pub fn is_dane(self) -> bool {
        self != Peer::Pkix
    }
}

/// Which proofs of a peer's name count, from `verified` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peers {
    /// Any of them.
    Any,
    /// TLSA records alone: the host has usable ones, and they say all about it (RFC 7672 section 2.2).
    Dane,
}

impl Peers {
    /// Whether `peer` counts.
    pub fn accept(self, peer: Peer) -> bool {
        self == Peers::Any || peer.is_dane()
    }
}

/// What must hold before MAIL FROM: a level, the proofs of a peer's name that count, and the hosts that may have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    level: Level,
    peers: Peers,
    /// Each allows the host; none allows every host.
    filters: BTreeSet<Arc<[MxPattern]>>,
}

impl Demand {
    /// A demand for `level`, at any host.
    pub fn new(level: Level) -> Demand {
        Demand { level, peers: Peers::Any, filters: BTreeSet::new() }
    }

    /// A demand that TLSA records prove the peer (RFC 7672 section 2.2).
    pub fn dane() -> Demand {
        Demand { peers: Peers::Dane, ..Demand::new(Level::Verified) }
    }

    /// What an MTA-STS policy in `enforce` demands: a host of these, verified (RFC 8461 section 5).
    pub fn sts(hosts: Arc<[MxPattern]>) -> Demand {
        Demand { filters: BTreeSet::from([hosts]), ..Demand::new(Level::Verified) }
    }

    /// Both demands at once. There is no way down.
    #[must_use]
    pub fn raise(&self, other: &Demand) -> Demand {
        Demand {
            level: self.level.max(other.level),
            peers: self.peers.max(other.peers),
            filters: &self.filters | &other.filters,
        }
    }

    /// What is demanded of the transport.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Which proofs of the peer's name count.
    pub fn peers(&self) -> Peers {
        self.peers
    }

    /// Why no session with `host` can meet it, whatever is said there: the name of the host is not good enough, or not the right
    /// one. `dane`: the peer proves itself by TLSA records.
    ///
    /// Where DNSSEC vouches both for the name and for the key, an MTA-STS policy has no say (RFC 8461 section 2). Where the MX
    /// records are unsigned it has: whoever forged them would prove a host of his own.
    pub fn excludes(&self, host: &str, trust: MxTrust, dane: bool) -> Option<TlsFault> {
        if self.level == Level::Authenticated && trust == MxTrust::Plain {
            return Some(TlsFault::MxUnproven);
        }
        let named = self.filters.iter().all(|patterns| patterns.iter().any(|pattern| pattern.matches(host)));
        let waived = dane && trust == MxTrust::Dnssec;
        (!named && !waived).then_some(TlsFault::StsMismatch)
    }
}
