//! What keeps the engine from sending for now, other than the servers it sends to: a full disk, no descriptors, no DNS.
//!
//! Whoever notices a trouble sets it here and clears it when it is gone; shards ask before they commit to another message,
//! `status` and `/metrics` say why nothing moves.

use crate::clock::{Apart, Clock, Timestamp};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A trouble of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The state directory's disk has no room for outcomes.
    DiskFull,
    /// The store can't be written, or holds what it should not.
    StoreFailed,
    /// The process may open no more files.
    Descriptors,
    /// No name server answers.
    Dns,
    /// The system's clock was set; the engine goes on by its own until both agree.
    ClockJumped,
}

impl Condition {
    /// All of them.
    pub const ALL: [Condition; 5] =
        [Condition::DiskFull, Condition::StoreFailed, Condition::Descriptors, Condition::Dns, Condition::ClockJumped];

    /// Its word in `status` and the label of `sealpost_condition`.
    pub fn word(self) -> &'static str {
        match self {
            Condition::DiskFull => "disk_full",
            Condition::StoreFailed => "store_failed",
            Condition::Descriptors => "descriptors",
            Condition::Dns => "dns",
            Condition::ClockJumped => "clock_jumped",
        }
    }

    /// Whether no further message may be begun: its outcome could not be recorded.
    fn stops_sending(self) -> bool {
        matches!(self, Condition::DiskFull | Condition::StoreFailed)
    }
}

/// The troubles of now. Shared by everything in an engine.
#[derive(Debug, Default)]
pub struct Conditions {
    now: Mutex<BTreeMap<Condition, (Timestamp, String)>>,
    stopped: AtomicBool,
}

impl Conditions {
    /// `condition` holds; `why` is for people and without PHI. Said once in the log.
    pub fn set(&self, condition: Condition, why: &str, at: Timestamp) {
        let mut now = self.now.lock().expect("no holder panics");
        if now.contains_key(&condition) {
            return;
        }
        // Whoever watches the engine is told by its view.
        tracing::info!(condition = condition.word(), why, "condition holds");
        now.insert(condition, (at, why.to_owned()));
        self.stopped.store(now.keys().any(|condition| condition.stops_sending()), Ordering::SeqCst);
    }

    /// `condition` holds no longer.
    pub fn clear(&self, condition: Condition) {
        let mut now = self.now.lock().expect("no holder panics");
        if now.remove(&condition).is_some() {
            tracing::info!(condition = condition.word(), "condition gone");
            self.stopped.store(now.keys().any(|condition| condition.stops_sending()), Ordering::SeqCst);
        }
    }

    /// Notices whether `clock` is apart from the wall clock; to be asked every second or so.
    pub fn heed_clock(&self, clock: &dyn Clock) {
        let words = |by: std::time::Duration, where_to| {
            let minutes = by.as_secs() / 60;
            format!("the system's clock is {minutes} minutes {where_to} of the engine's, which follows it step by step")
        };
        match clock.apart() {
            Some(Apart::Ahead(by)) => self.set(Condition::ClockJumped, &words(by, "ahead"), clock.now()),
            Some(Apart::Behind(by)) => self.set(Condition::ClockJumped, &words(by, "short"), clock.now()),
            None => self.clear(Condition::ClockJumped),
        }
    }

    /// Whether `condition` holds.
    pub fn holds(&self, condition: Condition) -> bool {
        self.now.lock().expect("no holder panics").contains_key(&condition)
    }

    /// Whether no further message may be begun.
    pub fn stop_sending(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// What holds, since when, and why.
    pub fn list(&self) -> Vec<(Condition, Timestamp, String)> {
        let now = self.now.lock().expect("no holder panics");
        now.iter().map(|(condition, (since, why))| (*condition, *since, why.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock as far from the wall's as it is told.
    struct Told(Option<Apart>);

    impl Clock for Told {
        fn now(&self) -> Timestamp {
            Timestamp(5)
        }

        fn apart(&self) -> Option<Apart> {
            self.0
        }
    }

    #[test]
    fn only_what_keeps_outcomes_from_being_recorded_stops_sending() {
        for condition in Condition::ALL {
            let conditions = Conditions::default();
            conditions.set(condition, "a test", Timestamp(1));
            conditions.set(condition, "again", Timestamp(2));
            assert_eq!(conditions.list(), [(condition, Timestamp(1), "a test".to_owned())], "said once");
            let stops = matches!(condition, Condition::DiskFull | Condition::StoreFailed);
            assert_eq!((conditions.stop_sending(), conditions.holds(condition)), (stops, true));
            conditions.clear(condition);
            assert!(!conditions.stop_sending() && !conditions.holds(condition) && conditions.list().is_empty());
        }
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_until_both_agree() {
        let conditions = Conditions::default();
        let hours = std::time::Duration::from_secs(7200);
        for (apart, words) in [(Apart::Ahead(hours), "120 minutes ahead"), (Apart::Behind(hours), "120 minutes short")]
        {
            conditions.heed_clock(&Told(Some(apart)));
            assert!(conditions.list()[0].2.contains(words), "{:?}", conditions.list());
            assert!(!conditions.stop_sending());
            conditions.heed_clock(&Told(None));
            assert!(conditions.list().is_empty());
        }
    }
}
