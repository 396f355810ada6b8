//! The time, injected: tests bring their own.
//!
//! The engine goes by [`SteadyClock`], which no setting of the wall clock moves at once; what is over in a moment reads
//! [`SystemClock`].

mod day;
mod recent;
mod steady;

pub use day::{Day, Zone};
pub use recent::Recent;
pub use steady::{Sources, SteadyClock, SystemSources};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since the epoch, as DKIM and `Date` want them.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// `self` + `span`.
    pub fn after(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it isn't.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// How far the wall clock is from this one, if that is more than it may be without a word.
    fn apart(&self) -> Option<Apart> {
        None
    }
}

/// How the wall clock stands to the engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// It shows a later time, by so much.
    Ahead(Duration),
    /// It shows an earlier time, by so much.
    Behind(Duration),
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
