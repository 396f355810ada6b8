//! What an operator told the engine: pauses and cancellations, as shards see them.

use crate::mail::RunId;
use std::collections::BTreeSet;

/// A whole set of orders. A new one replaces the old, and shards look through their lanes again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// Nothing is begun.
    pub all_paused: bool,
    /// Providers, by the name of their best host, at which nothing is begun.
    pub paused_providers: BTreeSet<String>,
    /// Sources from which nothing is begun.
    pub paused_sources: BTreeSet<String>,
    /// Providers at which a run's rows end as cancelled.
    pub cancelled_providers: BTreeSet<(RunId, String)>,
    /// Sources from which a run's rows end as cancelled.
    pub cancelled_sources: BTreeSet<(RunId, String)>,
    /// Counts changes that only runs themselves know of.
    pub edition: u64,
}

impl Controls {
    /// Whether nothing is begun at `provider` from `source`.
    pub fn pause(&self, provider: &str, source: &str) -> bool {
        self.all_paused || self.paused_providers.contains(provider) || self.paused_sources.contains(source)
    }

    /// Whether rows of `run` end as cancelled there.
    pub fn cancel(&self, run: RunId, provider: &str, source: &str) -> bool {
        let holds =
            |set: &BTreeSet<(RunId, String)>, name: &str| !set.is_empty() && set.contains(&(run, name.to_owned()));
        holds(&self.cancelled_providers, provider) || holds(&self.cancelled_sources, source)
    }
}
