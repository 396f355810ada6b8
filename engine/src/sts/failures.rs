//! Fetches that failed a short while ago.

use super::kept::lately;
use super::{Fault, PolicyId};
use crate::clock::Timestamp;
use std::collections::HashMap;
use std::sync::Mutex;

/// Remembers, by domain, the id that could not be fetched, and why. In memory alone: after a start one more fetch is made.
#[derive(Default)]
pub(super) struct Failures(Mutex<HashMap<String, Failure>>);

struct Failure {
    id: PolicyId,
    at: Timestamp,
    fault: Fault,
}

/// Domains remembered; past it they are all forgotten, which costs a fetch each.
const MOST: usize = 10_000;

impl Failures {
    /// Why the policy `id` of `domain` could not be fetched, if that was lately.
    pub(super) fn of(&self, domain: &str, id: &PolicyId, now: Timestamp) -> Option<Fault> {
        let failures = self.0.lock().expect("no holder panics");
        let failure = failures.get(domain)?;
        (failure.id == *id && lately(failure.at, now)).then_some(failure.fault)
    }

    pub(super) fn note(&self, domain: &str, id: &PolicyId, fault: Fault, at: Timestamp) {
        let mut failures = self.0.lock().expect("no holder panics");
        if failures.len() >= MOST {
            failures.retain(|_, failure| lately(failure.at, at));
        }
        if failures.len() >= MOST {
            failures.clear();
        }
        failures.insert(domain.to_owned(), Failure { id: id.clone(), at, fault });
    }

    pub(super) fn forget(&self, domain: &str) {
        self.0.lock().expect("no holder panics").remove(domain);
    }
}
