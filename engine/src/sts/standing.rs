//! How a domain stands to MTA-STS.

use super::{Fault, Kept, Policy, PolicyId, ShelfError};
use std::sync::Arc;

/// How sure an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// A kept policy that holds is good enough, if its domain announces no other.
    AsKept,
    /// The policy is fetched again: before a message ends for good (RFC 8461 section 5.1), and to refresh (section 3.3). Not if
    /// somebody has tried within five minutes.
    FetchAgain,
}

/// How a domain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It announces no policy, and none is kept that holds.
    NoPolicy,
    /// No policy is kept that holds, and nobody could say what it is now. RFC 8461 section 3.3 delivers as though there were
    /// none: MTA-STS is blind to who stands in the way from the first moment. What else is demanded stays demanded.
    Unknown {
        /// Why.
        why: Fault,
        /// What held until it ran out: whoever stands in the way for as long as that looks just like this (section 10.2).
        lapsed: Option<Arc<Kept>>,
    },
    /// It has one that holds.
    Policy(Known),
}

/// A policy that holds, and how we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The policy as it is kept.
    pub kept: Arc<Kept>,
    /// Where it comes from.
    pub source: Source,
}

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was fetched just now.
    Fetched,
    /// It is kept, and its domain announces no other.
    Kept,
    /// It is kept and holds, although it could not be found out whether there is a newer one, or what that is.
    KeptDespite(Fault),
}

impl Standing {
    /// Whether it was found out that there is no newer policy. As long as it wasn't, no message may end for good because of
    /// this one (RFC 8461 section 5.1).
    pub fn is_current(&self) -> bool {
        match self {
            Standing::NoPolicy => true,
            Standing::Unknown { .. } => false,
            Standing::Policy(known) => !matches!(known.source, Source::KeptDespite(_)),
        }
    }

    /// What went wrong, if anything did.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Standing::NoPolicy => None,
            Standing::Unknown { why, .. } => Some(*why),
            Standing::Policy(known) => match known.source {
                Source::KeptDespite(fault) => Some(fault),
                Source::Fetched | Source::Kept => None,
            },
        }
    }
}

impl Known {
    pub(super) fn standing(kept: Kept, source: Source) -> Standing {
        Standing::Policy(Known { kept: Arc::new(kept), source })
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        self.kept.policy()
    }

    /// The `id` under which it was fetched.
    pub fn id(&self) -> &PolicyId {
        self.kept.id()
    }
}

/// Why nothing at all can be said: rows wait until it can.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    /// The kept policies can't be read or written. To go on would be to send past a policy that we have.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// Our own machine has nothing left to ask with, and no policy that holds is kept.
    #[error("out of resources")]
    Exhausted,
}
