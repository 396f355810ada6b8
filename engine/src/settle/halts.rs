//! What keeps a run's rows from going on: its brakes, the providers they hold, and the canaries that go ahead.

use super::{Brake, Canary, Settle, Shares, Via};
use crate::smtp::Verdict;
use crate::store::{Braked, HeldProvider};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Settle {
    /// Asks the brake. What may not be dropped waits.
    pub(super) fn may_drop(&self, verdict: &Verdict, via: Via<'_>) -> bool {
        let read = self.counters.read.load(Ordering::SeqCst);
        self.brake.as_ref().is_none_or(|brake| brake.allows(via, verdict.reason, read, self.clock.now()))
    }

    /// Whether a brake has stopped the run.
    pub fn is_braked(&self) -> bool {
        self.stops_at_once() || self.brake.as_ref().is_some_and(Brake::is_braked)
    }

    /// Whether no message more may be begun: what servers answer to these rows costs us our name.
    pub fn stops_at_once(&self) -> bool {
        self.shares.as_ref().is_some_and(Shares::has_stopped)
    }

    /// The same of those for one provider.
    pub fn holds(&self, provider: u64) -> bool {
        self.shares.as_ref().is_some_and(|shares| shares.holds(provider))
    }

    /// The rows that go ahead of all others for this provider, where the campaign wants that.
    pub fn canary(&self, provider: u64, name: &str) -> Option<Arc<Canary>> {
        self.shares.as_ref().and_then(|shares| shares.canary(provider, name))
    }

    /// The canaries that rows wait for, and how far each is.
    pub fn canaries(&self) -> Vec<String> {
        self.shares.as_ref().map(Shares::canaries).unwrap_or_default()
    }

    /// The providers at which rows wait for a person.
    pub fn held(&self) -> Vec<HeldProvider> {
        self.shares.as_ref().map(Shares::held).unwrap_or_default()
    }

    /// Why it waits for a person, if so. A run that has nothing left but rows at held providers does.
    pub fn braked(&self, only_held_left: bool) -> Option<Braked> {
        let dropped = self.brake.as_ref().and_then(Brake::braked);
        dropped.or_else(|| self.shares.as_ref().and_then(|shares| shares.braked(only_held_left)))
    }
}
