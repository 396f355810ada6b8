//! A run's live counts.

use crate::mail::Kind;
use std::sync::atomic::AtomicU64;

/// Live counts; `in_hand` are rows in the engine: in memory, or in the backlog of a lane.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) read: AtomicU64,
    pub(super) ended: [AtomicU64; Kind::ALL.len()],
    pub(super) deferred: AtomicU64,
    pub(super) in_hand: AtomicU64,
}

impl Counters {
    pub(super) fn ended(&self, kind: Kind) -> &AtomicU64 {
        &self.ended[usize::from(kind.number()) - 1]
    }
}
