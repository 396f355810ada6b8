//! Attempts by provider: the large ones by name.

use super::book::Book as Register;
use prometheus::{GaugeVec, IntCounterVec};
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
    paces: Paces,
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
    pub(super) fn new(attempts: IntCounterVec, paces: Paces, most: usize) -> Providers {
        Providers { attempts, paces, most, book: Mutex::default() }
    }

    /// An attempt at `provider` ended so; `result` is a closed label.
    pub fn attempt(&self, provider: &str, result: &str) {
        let named = self.book.lock().expect("no holder panics").counts(provider, self.most);
        self.attempts.with_label_values(&[if named { provider } else { OTHER }, result]).inc();
    }
}

impl Providers {
    /// `provider` refused all of us: for `what`, a closed label.
    pub fn refused(&self, provider: &str, what: &str) {
        let named = self.is_named(provider);
        self.paces.refusals.with_label_values(&[if named { provider } else { OTHER }, what]).inc();
    }

    /// How fast `provider` is sent to from `source`. Of those without a name nothing is shown: they share none.
    pub fn pace(&self, provider: &str, source: &str, pace: Pace) {
        if self.is_named(provider) {
            let labels = [provider, source];
            self.paces.window.with_label_values(&labels).set(pace.window);
            self.paces.rate.with_label_values(&labels).set(pace.rate.unwrap_or(f64::INFINITY));
            self.paces.held.with_label_values(&labels).set(pace.held_seconds);
        }
    }

    fn is_named(&self, provider: &str) -> bool {
        self.book.lock().expect("no holder panics").named.contains(provider)
    }
}

/// How fast a provider is sent to.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Sessions at once.
    pub window: f64,
    /// Messages a second, if there is a bound.
    pub rate: Option<f64>,
    /// Seconds in which nothing is sent, from now.
    pub held_seconds: f64,
}

/// Series of that.
pub(super) struct Paces {
    refusals: IntCounterVec,
    window: GaugeVec,
    rate: GaugeVec,
    held: GaugeVec,
}

impl Paces {
    pub(super) fn new(register: &Register<'_>) -> Paces {
        let labels = ["provider", "source"];
        Paces {
            refusals: register.counters(
                "sealpost_provider_refusals_total",
                "Refusals of all of us for our pace, by provider and what was too many: rate, connection",
                &["provider", "what"],
            ),
            window: register.measures("sealpost_provider_window", "Sessions that a provider is given at once", &labels),
            rate: register.measures(
                "sealpost_provider_rate",
                "Messages a second that a provider is given at most; infinite without a bound",
                &labels,
            ),
            held: register.measures(
                "sealpost_provider_held_seconds",
                "Seconds for which nothing is sent to a provider that refused us",
                &labels,
            ),
        }
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
        let providers = Providers::new(attempts.clone(), Paces::new(&Register(&prometheus::Registry::new())), 1);
        (0..50).for_each(|small| providers.attempt(&format!("small{small}"), "delivered"));
        (0..100).for_each(|_| providers.attempt("large", "delivered"));
        (0..100).for_each(|_| providers.attempt("late", "delivered"));
        assert_eq!(count(&attempts, "large"), 100 - NAMED_FROM + 1);
        assert_eq!(count(&attempts, "late"), 0);
        assert_eq!(count(&attempts, "other"), 50 + NAMED_FROM - 1 + 100);
    }
}
