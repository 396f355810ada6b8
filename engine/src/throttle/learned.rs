//! What survives the process.

use crate::clock::Timestamp;
use std::time::Duration;

/// What survives the process.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Learned {
    /// Sessions at once, where more were refused or fewer would be begun with.
    pub window: Option<usize>,
    /// Messages a second, where there is a learned ceiling.
    pub ceiling: Option<f64>,
    /// Nothing before this time.
    pub held_until: Timestamp,
    /// When all this was so.
    pub at: Timestamp,
    /// What was sent under rates of an hour or a day, oldest first; at most 61 for each such rate.
    pub spent: Vec<Spent>,
}

/// Messages that a long rate still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Spent {
    /// The rate's span.
    pub seconds: u64,
    /// The number of the sixtieth of that span in which they were sent, from the epoch.
    pub bucket: u64,
    /// How many.
    pub count: u32,
}

impl Learned {
    /// How far it is trusted: fully when it is fresh, not at all from [`STALE`] on; `None` once it is forgotten. Trust is patience:
    /// where it ends, limits are tried at once. They are tried from where they were, so what is still true costs a refusal or
    /// two, never a wave.
    pub(super) fn trust(&self, now: Timestamp) -> Option<f64> {
        let age = now.since(self.at);
        (!self.is_forgotten(now)).then(|| 1.0 - (age.as_secs_f64() / STALE.as_secs_f64()).min(1.0))
    }

    /// Whether it is so old that it says nothing.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        now.since(self.at) >= FORGOTTEN
    }

    /// Until when it says that nothing may be sent; a clock that was wrong says nothing.
    pub(super) fn holds(&self, now: Timestamp) -> Timestamp {
        if self.held_until.since(now) <= LONGEST_HOLD { self.held_until } else { now }
    }
}

/// A weekly campaign finds its own limits, and tries them at once.
const STALE: Duration = Duration::from_secs(7 * 86_400);
/// A month later the provider may be another.
const FORGOTTEN: Duration = Duration::from_secs(30 * 86_400);
/// No hold of ours is longer.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);
