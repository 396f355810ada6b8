//! What an operator told the engine: pauses and cancellations, as shards see them.

use crate::mail::RunId;
use crate::route::Route;
use std::collections::BTreeSet;

/// A whole set of orders. A new one replaces the old, and shards look through their lanes again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// Nothing is begun.
    pub all_paused: bool,
    /// Providers by name, and single sites by their best host, at which nothing is begun.
    pub paused_providers: BTreeSet<String>,
    /// Sources from which nothing is begun.
    pub paused_sources: BTreeSet<String>,
    /// The same for what a run's rows end as cancelled at.
    pub cancelled_providers: BTreeSet<(RunId, String)>,
    /// Sources from which a run's rows end as cancelled.
    pub cancelled_sources: BTreeSet<(RunId, String)>,
    /// Counts changes that only runs themselves know of.
    pub edition: u64,
}

impl Controls {
    /// Whether nothing is begun on `route` from `source`. Both names of a route hold: an order that was given before a rule
    /// made its site part of a provider, by this engine or an earlier one, is not undone by that.
    pub fn pause(&self, route: &Route, source: &str) -> bool {
        let paused = |name: &str| self.paused_providers.contains(name);
        self.all_paused || paused(route.name()) || paused(route.host()) || self.paused_sources.contains(source)
    }

    /// Whether rows of `run` end as cancelled there.
    pub fn cancel(&self, run: RunId, route: &Route, source: &str) -> bool {
        let holds =
            |set: &BTreeSet<(RunId, String)>, name: &str| !set.is_empty() && set.contains(&(run, name.to_owned()));
        let providers = &self.cancelled_providers;
        holds(providers, route.name()) || holds(providers, route.host()) || holds(&self.cancelled_sources, source)
    }
}
