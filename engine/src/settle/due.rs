//! When a deferred row is tried again.

use crate::clock::Timestamp;

/// When a deferred row is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// After its own back-off.
    InTurn,
    /// After its own back-off, and not before this.
    NotBefore(Timestamp),
    /// At this time.
    At(Timestamp),
}

impl Due {
    /// The time, where its own back-off would end at `next`.
    pub(super) fn after(self, next: Timestamp) -> Timestamp {
        match self {
            Due::InTurn => next,
            Due::NotBefore(until) => next.max(until),
            Due::At(until) => until,
        }
    }
}
