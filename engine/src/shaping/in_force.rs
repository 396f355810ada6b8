//! The rules in force. Shared by all routers of an engine; a change of them is a new edition, upon which routes are made anew.

use super::rules::{Rule, Rules};
use super::terms::{Bounds, Shape, Terms};
use crate::mail::Mistake;
use crate::resolve::MxHost;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

/// Rules within the machine's bounds, and where they can be read again.
#[derive(Debug)]
pub struct Shaping {
    file: Option<PathBuf>,
    bounds: Bounds,
    edition: AtomicU64,
    now: RwLock<Arc<InForce>>,
}

/// One edition, with all shapes made: destinations of one provider share them.
#[derive(Debug)]
struct InForce {
    edition: u64,
    rules: Option<Arc<Rules>>,
    /// For whom the DNS names and no rule does.
    stranger: Shape,
    /// For whom the operator routes himself and no rule names.
    by_hand: Shape,
    /// For each rule: of hosts that the DNS names, and of those routed by hand.
    of_rules: Vec<[Shape; 2]>,
}

impl Shaping {
    /// These rules; those of `file`, if they can be read again.
    pub fn new(rules: Rules, file: Option<PathBuf>, bounds: Bounds) -> Shaping {
        Shaping::made(Some(Arc::new(rules)), file, bounds)
    }

    /// No rules: each site is a provider, and given all that the machine allows.
    pub fn none(bounds: Bounds) -> Shaping {
        Shaping::made(None, None, bounds)
    }

    fn made(rules: Option<Arc<Rules>>, file: Option<PathBuf>, bounds: Bounds) -> Shaping {
        let now = RwLock::new(Arc::new(InForce::new(0, rules, bounds)));
        Shaping { file, bounds, edition: AtomicU64::new(0), now }
    }

    /// Grows with each change.
    pub fn edition(&self) -> u64 {
        self.edition.load(Ordering::SeqCst)
    }

    /// What the rules of now make of mail to `domain`, whose MX hosts these are.
    pub fn shape(&self, domain: &str, hosts: &[MxHost]) -> Shape {
        self.now().shape(domain, hosts).clone()
    }

    /// The rules of now, if there are any.
    pub fn rules(&self) -> Option<Arc<Rules>> {
        self.now().rules.clone()
    }

    /// Reads the file again. `None` where the rules are none of a file. On an error what was in force stays.
    ///
    /// # Errors
    /// The first mistake in it, with its line.
    pub fn read_again(&self) -> Result<Option<Arc<Rules>>, Mistake> {
        let Some(file) = &self.file else { return Ok(None) };
        let rules = Arc::new(Rules::read(file)?);
        let mut now = self.now.write().expect("no holder panics");
        let edition = now.edition + 1;
        *now = Arc::new(InForce::new(edition, Some(rules.clone()), self.bounds));
        self.edition.store(edition, Ordering::SeqCst);
        Ok(Some(rules))
    }

    fn now(&self) -> Arc<InForce> {
        self.now.read().expect("no holder panics").clone()
    }
}

impl InForce {
    fn new(edition: u64, rules: Option<Arc<Rules>>, bounds: Bounds) -> InForce {
        let unruled = |terms: Terms| Shape { edition, group: None, terms: Arc::new(terms), replies: Arc::new([]) };
        let by_hand = unruled(Terms::within(bounds));
        let Some(known) = &rules else {
            return InForce { edition, rules, stranger: by_hand.clone(), by_hand, of_rules: Vec::new() };
        };
        let stranger = unruled(known.reasons(None, false, bounds).terms());
        let of_rule = |rule: &Rule| {
            [false, true].map(|by_hand| Shape {
                edition,
                group: Some(rule.name.clone()),
                terms: Arc::new(known.reasons(Some(rule), by_hand, bounds).terms()),
                replies: rule.replies.clone(),
            })
        };
        let of_rules = known.rules.iter().map(of_rule).collect();
        InForce { edition, rules, stranger, by_hand, of_rules }
    }

    fn shape(&self, domain: &str, hosts: &[MxHost]) -> &Shape {
        let Some(rules) = &self.rules else { return &self.by_hand };
        let found = rules.find(domain, hosts);
        match found.index.and_then(|index| self.of_rules.get(index)) {
            Some(shapes) => &shapes[usize::from(found.by_hand)],
            None if found.by_hand => &self.by_hand,
            None => &self.stranger,
        }
    }
}
