//! What shards know of a run.

use super::{Press, Room};
use crate::mail::RunId;
use crate::route::ProviderId;
use crate::settle::Settle;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// A run at work. Shared by its feeders and all shards.
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// Its accounts.
    pub settle: Settle,
    /// What makes its messages.
    pub press: Press,
    /// Whether rows are dropped where STARTTLS is missing.
    pub exclusive: bool,
    /// Its turns at a site, for each turn of a run of weight 1.
    pub weight: u32,
    /// How many of its rows may be in memory.
    pub room: Arc<Room>,
    /// Whether it goes on.
    pub hold: Hold,
}

/// Whether a run goes on, waits or leaves. Whoever changes it tells the shards by a new edition of their controls.
#[derive(Debug, Default)]
pub struct Hold(AtomicU8);

const PAUSED: u8 = 1;
const LEAVING: u8 = 2;
const BREAKING_OFF: u8 = 4;

impl Hold {
    /// Its rows wait.
    pub fn pause(&self) {
        self.0.fetch_or(PAUSED, Ordering::SeqCst);
    }

    /// They go on.
    pub fn resume(&self) {
        self.0.fetch_and(!PAUSED, Ordering::SeqCst);
    }

    /// They are let go, except for those on a wire.
    pub fn leave(&self) {
        self.0.fetch_or(LEAVING, Ordering::SeqCst);
    }

    /// Those on a wire are waited for no longer either. Says whether they were until now.
    pub fn break_off(&self) -> bool {
        self.0.fetch_or(BREAKING_OFF, Ordering::SeqCst) & BREAKING_OFF == 0
    }

    /// Whether rows wait.
    pub fn is_paused(&self) -> bool {
        self.0.load(Ordering::SeqCst) & PAUSED != 0
    }
}

impl Run {
    /// Whether its rows have turns.
    pub(super) fn goes_on(&self) -> bool {
        self.hold.0.load(Ordering::SeqCst) == 0 && !self.settle.stops_at_once()
    }

    /// Whether messages on a wire are waited for no longer.
    pub(super) fn breaks_off(&self) -> bool {
        self.hold.0.load(Ordering::SeqCst) & BREAKING_OFF != 0
    }

    /// Whether its rows are to be let go: it leaves, or a brake has stopped it, and the steward will hear of that in a moment.
    pub(super) fn leaves(&self) -> bool {
        self.hold.0.load(Ordering::SeqCst) & LEAVING != 0 || self.settle.stops_at_once()
    }

    /// Whether those for this provider are.
    pub(super) fn leaves_at(&self, provider: ProviderId) -> bool {
        self.leaves() || self.settle.holds(provider.0)
    }
}
