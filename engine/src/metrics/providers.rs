//! Attempts by provider: the large ones by name.

use prometheus::IntCounterVec;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

/// Attempts after which a provider gets series of its own, if there is room. Large providers get there first, whatever the
/// order of the input; what they did before stays counted as `other`.
pub const NAMED_FROM: u64 = 10;
/// Providers whose attempts are counted before they have a name; past it new ones stay `other`.
const WATCHED: usize = 10_000;
/// The label of providers without series of their own.
pub const OTHER: &str = "other";

/// Counts attempts.
pub struct Providers {
    attempts: IntCounterVec,
    most: usize,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    named: HashSet<String>,
    /// Attempts of those that have no name yet.
    growing: HashMap<String, u64>,
}

impl Providers {
    /// Counts with `attempts`, and names `most` providers.
    pub(super) fn new(attempts: IntCounterVec, most: usize) -> Providers {
        Providers { attempts, most, book: Mutex::default() }
    }

    /// An attempt at `provider` ended so; `result` is a closed label.
    pub fn attempt(&self, provider: &str, result: &str) {
        let named = self.book.lock().expect("no holder panics").counts(provider, self.most);
        self.attempts.with_label_values(&[if named { provider } else { OTHER }, result]).inc();
    }
}

impl Book {
    /// Counts an attempt at a provider that has no name yet. Whether it has one now.
    fn counts(&mut self, provider: &str, most: usize) -> bool {
        if self.named.contains(provider) {
            return true;
        }
        if self.named.len() == most {
            return false;
        }
        if !self.growing.contains_key(provider) && self.growing.len() == WATCHED {
            return false;
        }
        let attempts = self.growing.entry(provider.to_owned()).or_default();
        *attempts += 1;
        if *attempts < NAMED_FROM {
            return false;
        }
        self.growing.remove(provider);
        self.named.insert(provider.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Opts;

    fn count(attempts: &IntCounterVec, provider: &str) -> u64 {
        attempts.with_label_values(&[provider, "delivered"]).get()
    }

    #[test]
    fn the_first_to_grow_large_are_named_and_nothing_is_lost() {
        let attempts = IntCounterVec::new(Opts::new("a", "b"), &["provider", "result"]).expect("good");
        let providers = Providers::new(attempts.clone(), 1);
        (0..50).for_each(|small| providers.attempt(&format!("small{small}"), "delivered"));
        (0..100).for_each(|_| providers.attempt("large", "delivered"));
        (0..100).for_each(|_| providers.attempt("late", "delivered"));
        assert_eq!(count(&attempts, "large"), 100 - NAMED_FROM + 1);
        assert_eq!(count(&attempts, "late"), 0);
        assert_eq!(count(&attempts, "other"), 50 + NAMED_FROM - 1 + 100);
    }
}
