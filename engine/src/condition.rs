//! What keeps the engine from sending for now, other than the servers it sends to: a full disk, no descriptors, no DNS.
//!
//! Whoever notices a trouble sets it here and clears it when it is gone; shards ask before they commit to another message,
//! `status` and `/metrics` say why nothing moves.

use crate::clock::Timestamp;
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
        tracing::error!(condition = condition.word(), why, "the engine waits");
        now.insert(condition, (at, why.to_owned()));
        self.stopped.store(now.keys().any(|condition| condition.stops_sending()), Ordering::SeqCst);
    }

    /// `condition` holds no longer.
    pub fn clear(&self, condition: Condition) {
        let mut now = self.now.lock().expect("no holder panics");
        if now.remove(&condition).is_some() {
            tracing::warn!(condition = condition.word(), "the engine goes on");
            self.stopped.store(now.keys().any(|condition| condition.stops_sending()), Ordering::SeqCst);
        }
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
